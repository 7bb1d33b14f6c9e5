"""The page: figures as charts, and as tables beside them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from ... import Stats, __version__
from .. import human
from . import charts
from .figures import Bucket, Figures, total

#: How many names stand in a chart.
_NAMES = 8
_MISSES = {
    "miss_absent": "nothing there",
    "miss_expired": "its time was over",
    "miss_threshold": "too different",
    "miss_guard": "a guard objected",
}
_HITS = ("exact", "similar", "stale", "missed")
_TIMES = {
    "get_exact_us": "GET, exact",
    "get_similar_us": "GET, similar",
    "set_us": "SET",
    "fetch_us": "FETCH",
}


def page(figures: Figures, title: str) -> str:
    """The report as HTML."""
    style = files(__package__).joinpath("style.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = Template(files(__package__).joinpath("template.html").read_text("utf-8"))
    return template.substitute(
        title=escape(title),
        style=style,
        style_hash=digest,
        when=escape(_when(figures.at)),
        server=escape(figures.server),
        version=escape(__version__),
        tiles=_tiles(figures.stats),
        sections="\n".join(filter(None, _sections(figures))),
    )


def _sections(figures: Figures) -> Iterable[str]:
    stats = figures.stats
    yield _alerts(figures)
    yield _savings("Saved in the last 30 days", figures.days, "%-d %b", "day", "wide")
    yield _savings("Saved in the last 24 hours", figures.hours, "%H:%M", "hour")
    yield _lookups("Lookups in the last 30 days", figures.days, "%-d %b", "day")
    yield _projection(stats)
    yield _by("By model", "model", figures.models)
    yield _by("By strategy", "strategy", figures.strategies)
    yield _misses(stats)
    yield _latency(stats)
    yield _memory(figures)
    yield _prompts(figures)


def _section(title: str, body: str, lead: str = "", classes: str = "") -> str:
    told = f'<p class="soft">{escape(lead)}</p>' if lead else ""
    return f'<section class="{classes}"><h2>{escape(title)}</h2>{told}{body}</section>'


def _tiles(stats: Stats) -> str:
    saved, spent = stats.cost_saved_usd, stats.cost_spent_usd
    tiles = [
        ("saved", human.usd(saved), "main"),
        ("hit rate", human.percent(stats.hit_rate) if stats.lookups else "-", "main"),
        ("spent", human.usd(spent), ""),
        ("tokens saved", human.count(stats.tokens_saved), ""),
        ("waiting saved", human.seconds(stats.latency_saved_ms / 1000), ""),
        ("lookups", human.count(stats.lookups), ""),
        ("answers kept", human.count(stats.entries), ""),
        ("memory", human.size(stats.memory_bytes), ""),
    ]
    return "".join(
        f'<div class="tile {kind}"><dd>{escape(value)}</dd><dt>{escape(name)}</dt></div>' for name, value, kind in tiles
    )


def _alerts(figures: Figures) -> str:
    defined, firing = figures.info.get("alerts") or [], figures.stats.alerts
    if not defined and not firing:
        return ""
    known = {str(alert["name"]): alert for alert in [*defined, *firing]}
    items = []
    for name, alert in known.items():
        fires = any(str(one["name"]) == name for one in firing)
        figure = str(alert["figure"])
        rule = f"{_words(figure)} {alert['direction']} {_figure(figure, alert['bound'])}"
        rule += f" over {human.seconds(alert['window'])}" if alert.get("window") else ""
        now = "" if alert.get("value") is None else f", now {_figure(figure, alert['value'])}"
        since = f", since {_when(int(alert['since']) // 1000)}" if alert.get("since") else ""
        mark = '<b class="mark bad">firing</b>' if fires else '<b class="mark">quiet</b>'
        told = f'<span class="soft">{escape(rule + now + since)}</span>'
        items.append(f"<li><strong>{escape(name)} {mark}</strong>{told}</li>")
    what = f"{len(firing)} of {len(known)} firing." if firing else f"None of {len(known)} firing."
    body = f'<ul class="list">{"".join(items)}</ul>'
    return _section("Alerts", body, what, "wide firing" if firing else "wide")


def _words(figure: str) -> str:
    """The name of a figure as people say it."""
    return figure.removesuffix("_usd").removesuffix("_bytes").replace("_us.", " ").replace("_", " ")


def _figure(name: str, value: Any) -> str:
    """A figure as people read it."""
    number = Decimal(str(value))
    if name.endswith("_usd"):
        return human.usd(number)
    if "_us." in name:
        return human.micros(number)
    if name in ("hit_rate", "estimated_share", "compression_saved"):
        return human.percent(number)
    if "bytes" in name or name == "memory_per_1k_entries":
        return human.size(number)
    return human.count(number) if number == number.to_integral_value() else f"{number:,.2f}"


def _savings(title: str, buckets: Sequence[Bucket], form: str, unit: str, classes: str = "") -> str:
    saved = total(buckets, "cost_saved_usd")
    columns = [charts.Column(_label(bucket, form), [float(bucket["cost_saved_usd"])]) for bucket in buckets]
    best = max(buckets, key=lambda bucket: bucket["cost_saved_usd"], default=None)
    lead = f"{human.usd(saved)} in all"
    if best is not None and saved:
        lead += f", {human.usd(best['cost_saved_usd'])} in the best {unit} ({_label(best, form)})"
    drawn = charts.columns(title, f"US dollars saved per {unit}; {lead}.", columns, ["saved"], _dollars)
    names = ("cost_saved_usd", "cost_spent_usd", "tokens_saved")
    return _section(title, drawn + _over_time(buckets, form, unit, names), lead, classes)


def _lookups(title: str, buckets: Sequence[Bucket], form: str, unit: str) -> str:
    columns = []
    for bucket in buckets:
        parts = [float(bucket[name]) for name in ("hits_exact", "hits_similar", "hits_stale", "misses")]
        columns.append(charts.Column(_label(bucket, form), parts))
    hits, lookups = total(buckets, "hits"), total(buckets, "lookups")
    lead = f"{human.count(lookups)} lookups, {human.percent(hits / lookups)} answered" if lookups else "No lookups."
    drawn = charts.columns(title, f"Lookups per {unit}, hits from below; {lead}.", columns, _HITS, human.count)
    return _section(
        title, _legend(_HITS) + drawn + _over_time(buckets, form, unit, ("lookups", "hits", "misses")), lead
    )


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<li><svg aria-hidden="true"><rect width="12" height="12" rx="3" class="c{number}"/></svg>{escape(name)}</li>'
        for number, name in enumerate(names, 1)
    )
    return f'<ul class="legend">{items}</ul>'


def _over_time(buckets: Sequence[Bucket], form: str, unit: str, names: Sequence[str]) -> str:
    titles = {"cost_saved_usd": "saved", "cost_spent_usd": "spent", "tokens_saved": "tokens"}
    rows = [
        (
            _label(bucket, form),
            *(human.usd(bucket[name]) if "usd" in name else human.count(bucket[name]) for name in names),
        )
        for bucket in buckets
    ]
    table = _table(f"By {unit}", (unit, *(titles.get(name, name) for name in names)), rows)
    return f"<details><summary>As a table</summary>{table}</details>"


def _projection(stats: Stats) -> str:
    month, memory = stats.saving_per_month_usd, stats.memory_cost_per_month_usd
    rows = [
        charts.Row("saved a month", float(month), human.usd(month)),
        charts.Row("memory a month", float(memory), human.usd(memory), 3),
    ]
    if memory:
        lead = f"Memory costs {human.usd(memory)} a month: each dollar of it saves {human.usd(round(stats.roi, 2))}."
    else:
        lead = "If it goes on like this. What memory costs is not known: set llmcache.memory-usd-per-gb-month."
    if not stats.saving_per_year_usd:
        lead = "Nothing can be projected yet: that takes a minute of lookups, and savings."
    told = [
        ("a day", human.usd(stats.saving_per_day_usd)),
        ("a month", human.usd(month)),
        ("a year", human.usd(stats.saving_per_year_usd)),
        ("saved per dollar of memory", human.usd(round(stats.roi, 2)) if memory else "-"),
        ("tokens that are estimated", human.percent(stats.estimated_share)),
    ]
    drawn = charts.rows("Projected savings", lead, rows)
    return _section("Projection", drawn + _table("Projection", ("", ""), told), lead)


def _by(title: str, what: str, parts: Mapping[str, Stats]) -> str:
    named = [(_name(name, what), told) for name, told in parts.items() if told.lookups or told.entries or told.stores]
    named.sort(key=lambda pair: (-pair[1].cost_saved_usd, -pair[1].hits, pair[0]))
    if not named:
        return ""
    rows = [
        charts.Row(name, float(told.cost_saved_usd), human.usd(told.cost_saved_usd)) for name, told in named[:_NAMES]
    ]
    if not any(row.value for row in rows):
        rows = [charts.Row(name, float(told.hits), f"{human.count(told.hits)} hits") for name, told in named[:_NAMES]]
    titles = (what, "saved", "hits", "tokens", "hit rate") if what == "model" else (what, "saved", "hits", "tokens")
    table = _table(title, titles, [(name, *_saved(told))[: len(titles)] for name, told in named], stacked=True)
    most = named[0]
    lead = f"{most[0]} saves most: {human.usd(most[1].cost_saved_usd)}" if most[1].cost_saved_usd else ""
    return _section(title, charts.rows(title, f"Saved by {what}. {lead}", rows) + table, lead)


def _saved(told: Stats) -> tuple[str, ...]:
    """The rate comes last: a lookup that found nothing has no strategy, so only models have one."""
    rate = human.percent(told.hit_rate) if told.lookups else "-"
    return human.usd(told.cost_saved_usd), human.count(told.hits), human.count(told.tokens_saved), rate


def _name(name: str, what: str) -> str:
    if name:
        return name
    return "(none: misses)" if what == "strategy" else "(none)"


def _misses(stats: Stats) -> str:
    told = [(name, stats[field]) for field, name in _MISSES.items()]
    whole = stats.misses
    lead = f"{human.count(whole)} of {human.count(stats.lookups)} lookups found no answer." if whole else "No misses."
    rows = [
        charts.Row(
            name, float(number), f"{human.count(number)} · {human.percent(number / whole if whole else 0)}", colour
        )
        for (name, number), colour in zip(told, (4, 3, 2, 1), strict=True)
    ]
    table = _table("Misses", ("why", "misses"), [(name, f"{number:,}") for name, number in told])
    return _section("Why lookups missed", charts.rows("Why lookups missed", lead, rows) + _details(table), lead)


def _latency(stats: Stats) -> str:
    known = [(name, stats[field]) for field, name in _TIMES.items() if stats[field]["max"]]
    if not known:
        return ""
    parts = ("p50", "p95", "p99")
    spans = [charts.Span(name, [(part, times[part]) for part in parts]) for name, times in known]
    lead = "What the server worked on each command, without the network."
    drawn = charts.spans("Latency", lead, spans, human.micros)
    rows = [(name, *(human.micros(times[part]) for part in parts)) for name, times in known]
    legend = _legend([f"{part}" for part in parts])
    return _section("Latency", legend + drawn + _table("Latency", ("", *parts), rows), lead)


def _memory(figures: Figures) -> str:
    stats, info = figures.stats, figures.info
    parts = sorted((info.get("memory") or {}).items(), key=lambda part: -float(part[1]))
    rows = [charts.Row(str(name), float(value), human.size(value), 2) for name, value in parts if value]
    limit = f" of {human.size(info['maxmemory'])} allowed" if info.get("maxmemory") else ""
    lead = f"{human.size(stats.memory_bytes)}{limit} for {human.count(stats.entries)} answers."
    told: list[tuple[str, str]] = [
        ("responses as they came", human.size(stats.bytes_raw)),
        ("as they are stored", human.size(stats.bytes_stored)),
        ("saved by compression", human.percent(stats.compression_saved)),
        ("per 1,000 answers", human.size(stats.memory_per_1k_entries)),
        ("cost a month", human.usd(stats.memory_cost_per_month_usd)),
        ("evicted", human.count(stats.evictions)),
        ("expired", human.count(stats.expirations)),
    ]
    warnings = "".join(f"<p>{escape(str(warning))}</p>" for warning in info.get("warnings") or [])
    drawn = charts.rows("Memory", lead, rows)
    return _section("Memory", drawn + _table("Memory", ("", ""), told) + warnings, lead)


def _prompts(figures: Figures) -> str:
    if not figures.hottest:
        return ""
    items = "".join(
        f"<li><strong>{escape(human.clip(entry.prompt, 300))}</strong>"
        f'<span class="soft">{human.count(entry.hits)} hits · {human.usd(entry.cost_saved_usd)} saved'
        f"{' · ' + escape(entry.model) if entry.model else ''}</span></li>"
        for entry in figures.hottest
    )
    whole = figures.looked_at >= figures.stats.entries
    lead = "" if whole else f"Of {human.count(figures.looked_at)} entries that were looked at."
    return _section("Hottest prompts", f'<ol class="list">{items}</ol>', lead, "wide")


def _details(table: str) -> str:
    return f"<details><summary>As a table</summary>{table}</details>"


def _table(caption: str, titles: Sequence[str], rows: Iterable[Sequence[Any]], stacked: bool = False) -> str:
    """A table; `stacked`: on a phone names stand above their figures."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles) if any(titles) else ""
    body = []
    for first, *cells in rows:
        made = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        body.append(f'<tr><th scope="row">{escape(str(first))}</th>{made}</tr>')
    heads = f"<thead><tr>{head}</tr></thead>" if head else ""
    kind = ' class="stacked"' if stacked else ""
    return f"<table{kind}><caption>{escape(caption)}</caption>{heads}<tbody>{''.join(body)}</tbody></table>"


def _label(bucket: Bucket, form: str) -> str:
    return datetime.fromtimestamp(bucket.start).astimezone().strftime(form)


def _when(at: int) -> str:
    moment = datetime.fromtimestamp(at).astimezone()
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}"


def _dollars(value: float) -> str:
    return human.usd(Decimal(repr(value))).removesuffix(".00")
