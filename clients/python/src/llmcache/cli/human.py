"""Figures and texts as people read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Number = int | float | Decimal


def usd(amount: Number) -> str:
    """US dollars, with as many places as say something."""
    value = Decimal(amount)
    sign, value = ("-" if value < 0 else ""), abs(value)
    if value == 0:
        return "$0"
    if value < Decimal("0.0001"):
        return f"{sign}$" + f"{value:.6f}".rstrip("0").rstrip(".")
    if value < 1:
        return f"{sign}${value:.4f}" if value < Decimal("0.1") else f"{sign}${value:.2f}"
    if value < 10_000:
        return f"{sign}${value:,.2f}"
    return f"{sign}${value:,.0f}"


def count(number: Number) -> str:
    """A number of things: all digits while there are few."""
    value = float(number)
    if abs(value) < 100_000:
        return f"{round(value):,}"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{_three(value / size)} {unit}"
    return f"{value:,.0f}"


def size(number: Number) -> str:
    """Bytes."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{round(value)} B" if unit == "B" else f"{_three(value)} {unit}"
        value /= 1024
    return f"{_three(value)} TiB"


def percent(share: Number) -> str:
    """A share from 0 to 1."""
    return f"{float(share) * 100:.1f} %"


def micros(number: Number) -> str:
    """Microseconds."""
    value = float(number)
    if value < 1000:
        return f"{_three(value)} µs"
    return f"{_three(value / 1000)} ms" if value < 1e6 else f"{_three(value / 1e6)} s"


def seconds(number: Number) -> str:
    """A time of some seconds to some years."""
    value = float(number)
    if value < 1:
        return f"{_three(value * 1000)} ms"
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800), ("d", 86_400, 63_072_000)):
        if value < limit:
            return f"{_three(value / length)} {unit}"
    return f"{_three(value / 31_536_000)} y"


def clean(value: Any) -> str:
    """Text that a terminal takes for nothing but text: control characters of prompts are shown, not obeyed."""
    return "".join(char if char.isprintable() else _shown(char) for char in str(value))


def clip(value: Any, length: int) -> str:
    """The beginning of a text, on one line."""
    text = clean(" ".join(str(value).split()))
    return text if len(text) <= length else text[: length - 1] + "…"


def _shown(char: str) -> str:
    if char in "\n\t":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def _three(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")
