"""Charts as SVG that is as wide as the page: places are percentages, so texts keep their size on a phone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_numbers = itertools.count(1)
Show = Callable[[float], str]


@dataclass(frozen=True)
class Column:
    """A column of a chart over time: its parts, from below."""

    label: str
    values: Sequence[float]


@dataclass(frozen=True)
class Row:
    """A bar from left to right."""

    label: str
    value: float
    shown: str
    colour: int = 1


@dataclass(frozen=True)
class Span:
    """Percentiles of one thing."""

    label: str
    points: Sequence[tuple[str, float]]


def _svg(title: str, description: str, height: int, parts: Sequence[str]) -> str:
    number = next(_numbers)
    names = f'aria-labelledby="t{number} d{number}"'
    head = f'<title id="t{number}">{escape(title)}</title><desc id="d{number}">{escape(description)}</desc>'
    return f'<svg role="img" {names} width="100%" height="{height}" class="chart">{head}{"".join(parts)}</svg>'


def nice(most: float) -> float:
    """The end of a scale: a round number that is not below."""
    if most <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(most))
    return next(step * size for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if most <= step * size * (1 + 1e-9))


def columns(title: str, description: str, data: Sequence[Column], names: Sequence[str], show: Show) -> str:
    """Columns over time. `names` are those of the parts."""
    top, height, foot = 28, 180, 28
    end = nice(max((sum(column.values) for column in data), default=0))
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = top + height * (1 - share)
        parts.append(f'<line x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        if share:
            parts.append(f'<text x="0" y="{y - 6:.1f}" class="tick">{escape(show(end * share))}</text>')
    step = 100 / max(1, len(data))
    for place, column in enumerate(data):
        below = float(top + height)
        told = ", ".join(f"{name} {show(value)}" for name, value in zip(names, column.values, strict=True))
        x, width = place * step + step * 0.11, step * 0.78
        bars = []
        for number, value in enumerate(column.values, 1):
            tall = value / end * height
            if tall <= 0:
                continue
            below -= tall
            box = f'x="{x:.3f}%" y="{below:.2f}" width="{width:.3f}%" height="{max(tall, 1):.2f}" rx="2"'
            bars.append(f'<rect {box} class="c{number}"/>')
        parts.append(f"<g><title>{escape(column.label)}: {escape(told)}</title>{''.join(bars)}</g>")
    parts += _time_labels([column.label for column in data], top + height + 22)
    return _svg(title, description, top + height + foot, parts)


def _time_labels(labels: Sequence[str], y: float) -> list[str]:
    if not labels:
        return []
    places = [(0.0, "start", labels[0]), (100.0, "end", labels[-1])]
    if len(labels) > 2:
        places.insert(1, (50.0, "middle", labels[len(labels) // 2]))
    return [
        f'<text x="{x:g}%" y="{y:g}" text-anchor="{anchor}" class="tick">{escape(label)}</text>'
        for x, anchor, label in places
    ]


def rows(title: str, description: str, data: Sequence[Row]) -> str:
    """Bars from left to right, each below its name and value."""
    most = max((row.value for row in data), default=0) or 1
    pitch, parts = 52, []
    for place, row in enumerate(data):
        y = place * pitch
        wide = max(0.0, row.value / most * 100)
        parts += [
            f'<text x="0" y="{y + 18}" class="name">{escape(clip(row.label, 22))}</text>',
            f'<text x="100%" y="{y + 18}" text-anchor="end" class="value">{escape(row.shown)}</text>',
            f'<rect x="0" y="{y + 27}" width="100%" height="12" rx="6" class="track"/>',
        ]
        if wide:
            box = f'x="0" y="{y + 27}" width="{wide:.3f}%" height="12" rx="6"'
            parts.append(f'<rect {box} class="c{row.colour}"><title>{escape(row.label)}</title></rect>')
    return _svg(title, description, max(1, len(data)) * pitch, parts)


def spans(title: str, description: str, data: Sequence[Span], show: Show) -> str:
    """Percentiles on a logarithmic scale: a line from the first to the last, a dot for each."""
    values = [value for span in data for _, value in span.points if value > 0]
    low = 10 ** math.floor(math.log10(min(values, default=1)))
    high = 10 ** math.ceil(math.log10(max(values, default=10)) + 1e-9)
    if high <= low:
        high = low * 10
    scale = math.log10(high / low)

    def place(value: float) -> float:
        return 3 + 94 * math.log10(max(value, low) / low) / scale

    pitch, parts = 62, []
    for number, span in enumerate(data):
        y = number * pitch
        first, last = place(span.points[0][1]), place(span.points[-1][1])
        parts += [
            f'<text x="0" y="{y + 18}" class="name">{escape(span.label)}</text>',
            f'<text x="100%" y="{y + 18}" text-anchor="end" class="value">{escape(show(span.points[0][1]))}</text>',
            f'<line x1="0" x2="100%" y1="{y + 38}" y2="{y + 38}" class="grid"/>',
            f'<line x1="{first:.2f}%" x2="{last:.2f}%" y1="{y + 38}" y2="{y + 38}" class="span"/>',
        ]
        for index, (name, value) in enumerate(span.points):
            told = f"<title>{escape(span.label)} {escape(name)}: {escape(show(value))}</title>"
            radius = 8 if index == 0 else 6
            parts.append(
                f'<circle cx="{place(value):.2f}%" cy="{y + 38}" r="{radius}" class="p{index + 1}">{told}</circle>'
            )
    y = len(data) * pitch + 16
    parts.append(f'<text x="0" y="{y}" class="tick">{escape(show(low))}</text>')
    parts.append(f'<text x="100%" y="{y}" text-anchor="end" class="tick">{escape(show(high))}</text>')
    return _svg(title, description, y + 8, parts)


def clip(text: str, length: int) -> str:
    """The beginning of a text."""
    return text if len(text) <= length else text[: length - 1] + "…"
