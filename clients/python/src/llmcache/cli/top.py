"""The live view."""

from __future__ import annotations

import dataclasses
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .. import Cache, Entry, LlmcacheError, Stats, Unavailable
from . import human
from .app import CliError, Stop, app, console, is_live, session, tell
from .entries import Json
from .sample import hottest
from .server import caches as all_caches
from .server import server

_BARS = " ▁▂▃▄▅▆▇█"


@dataclasses.dataclass
class Frame:
    """What there is to see of one cache at one time."""

    name: str
    at: float
    stats: Stats
    #: Of the last minute.
    minute: Stats
    hottest: list[Entry]
    looked_at: int


@app.command()
def top(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Several caches, instead of that of --name.")] = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="All caches of the server.")] = False,
    interval: Annotated[float, typer.Option("--interval", "-i", help="Seconds between two frames.", min=0.1)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One frame.")] = False,
    prompts: Annotated[int, typer.Option(help="How many of the hottest prompts.", min=0, max=100)] = 5,
    sample: Annotated[int, typer.Option(help="How many entries are looked at for them.", min=0)] = 1000,
    as_json: Json = False,
) -> None:
    """Watch what caches do and save. q ends it."""
    settings = session(context)
    chosen = names or ([*all_caches(settings)] if every else [settings.name])
    if not chosen:
        raise CliError("there is no cache on this server")
    with ExitStack() as opened, Stop() as stop:
        caches = [opened.enter_context(settings.cache(name)) for name in chosen]
        server(caches[0])
        watch = Watch(caches, prompts, sample)
        if as_json or once or not is_live():
            _plainly(watch, interval, once, as_json, stop)
        else:
            _live(watch, interval, stop)


class Watch:
    """Takes frames. The hottest prompts are looked for anew every few seconds only."""

    def __init__(self, caches: list[Cache], prompts: int, sample: int) -> None:
        self.caches, self.prompts, self.sample = caches, prompts, sample
        self._hot: dict[str, tuple[float, list[Entry], int]] = {}
        self.before: dict[str, Frame] = {}
        self.history: dict[str, list[float]] = {}

    def frames(self) -> list[Frame]:
        """One of each cache."""
        return [self._frame(cache) for cache in self.caches]

    def _frame(self, cache: Cache) -> Frame:
        at, entries, looked_at = self._hot.get(cache.name, (0.0, [], 0))
        now = time.monotonic()
        if self.prompts and self.sample and now - at > 5:
            entries, looked_at = hottest(cache, self.prompts, self.sample, 0.5)
            self._hot[cache.name] = time.monotonic(), entries, looked_at
        frame = Frame(cache.name, now, cache.stats(), cache.stats(window=60), entries, looked_at)
        rate = self.rate(frame)
        if rate is not None:
            self.history.setdefault(cache.name, []).append(rate)
            del self.history[cache.name][:-40]
        return frame

    def rate(self, frame: Frame) -> float | None:
        """Lookups in a second since the frame before."""
        before = self.before.get(frame.name)
        self.before[frame.name] = frame
        if before is None or frame.at <= before.at:
            return None
        rate: float = max(0, frame.stats.lookups - before.stats.lookups) / (frame.at - before.at)
        return rate


def _plainly(watch: Watch, interval: float, once: bool, as_json: bool, stop: Stop) -> None:
    seen_server = False
    while not stop.wanted:
        told: dict[str, Any] = {"at": round(time.time() * 1000)}
        try:
            frames = watch.frames()
            picture, seen_server = draw(frames, watch), True
            told["caches"] = [_told(frame) for frame in frames]
        except Unavailable as error:
            # It outlives a restart of the server, but says at once that it was never there.
            if once or not seen_server:
                raise
            picture, told["error"] = _away(error), str(error)
        if as_json:
            tell(told)
        else:
            console().print(picture)
        sys.stdout.flush()
        if once:
            return
        stop.wait(interval)


def _away(error: Unavailable) -> RenderableType:
    return Text(f"The server cannot be reached: {human.clean(error)}", style="red")


def _told(frame: Frame) -> dict[str, Any]:
    hot = [{"id": entry.id, "prompt": entry.prompt, "hits": entry.hits} for entry in frame.hottest]
    return {"name": frame.name, "stats": frame.stats, "last_minute": frame.minute, "hottest": hot}


def _live(watch: Watch, interval: float, stop: Stop) -> None:
    with _keys(stop), Live(console=console(), screen=True, auto_refresh=False) as live:
        while not stop.wanted:
            try:
                picture = draw(watch.frames(), watch)
            except Unavailable as error:
                picture = _away(error)
            except LlmcacheError as error:
                live.stop()
                raise CliError(str(error)) from error
            live.update(Padding(picture, (0, 1)), refresh=True)
            stop.wait(interval)


@contextmanager
def _keys(stop: Stop) -> Iterator[None]:
    """Meanwhile q asks for an end."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    over = threading.Event()

    def ready(seconds: float) -> bool:
        return bool(select.select([number], [], [], seconds)[0])

    def listen() -> None:
        while not over.is_set():
            if not ready(0.1):
                continue
            try:
                keys = os.read(number, 1024)
                if keys == b"\x1b" and ready(0.05):
                    # An arrow or the like, which begins as the escape key does.
                    keys += os.read(number, 1024)
            except OSError:
                keys = b""
            if keys in (b"", b"\x1b") or (keys[:1] != b"\x1b" and set(keys) & set(b"qQ")):
                stop.ask()
                return

    tty.setcbreak(number)
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def draw(frames: list[Frame], watch: Watch) -> RenderableType:
    """The picture of a frame."""
    parts: list[RenderableType] = []
    if len(frames) > 1:
        parts += [_overview(frames), Text()]
    for frame in frames:
        parts += _cache(frame, watch.history.get(frame.name, []))
    return Group(*parts)


def _overview(frames: list[Frame]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cache")
    for title in ("hit rate", "saved", "entries", "memory", "lookups/min", "alerts"):
        table.add_column(title, justify="right")
    for frame in frames:
        stats = frame.stats
        figures = [human.percent(stats.hit_rate), human.usd(stats.cost_saved_usd), human.count(stats.entries)]
        figures += [human.size(stats.memory_bytes), human.count(frame.minute.lookups), str(len(stats.alerts))]
        table.add_row(Text(human.clean(frame.name)), *figures)
    return table


def _cache(frame: Frame, history: list[float]) -> list[RenderableType]:
    stats, minute = frame.stats, frame.minute
    grid = Table.grid(padding=(0, 3))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_row(
        _named("hit rate", human.percent(stats.hit_rate), "bold green"),
        _named("last minute", human.percent(minute.hit_rate) if minute.lookups else "-"),
        _named("lookups", human.count(stats.lookups)),
    )
    grid.add_row(
        _named("saved", human.usd(stats.cost_saved_usd), "bold green"),
        _named("a month", human.usd(stats.saving_per_month_usd)),
        _named("tokens", human.count(stats.tokens_saved)),
    )
    grid.add_row(
        _named("memory", human.size(stats.memory_bytes)),
        _named("entries", human.count(stats.entries)),
        _named("time saved", human.seconds(stats.latency_saved_ms / 1000)),
    )
    parts: list[RenderableType] = [Rule(Text(human.clean(frame.name), style="bold"), align="left", style="dim"), grid]
    if history:
        parts.append(Text.assemble(("lookups/s  ", "dim"), _spark(history), f"  {history[-1]:,.1f}"))
    parts += [Text(), _latencies(stats)]
    for alert in stats.alerts:
        parts.append(Text(f"ALERT {_alert(alert)}", style="bold red"))
    if frame.hottest:
        parts += [Text(), _hot(frame)]
    return [*parts, Text()]


def _alert(alert: dict[str, Any]) -> str:
    told = f"{alert['name']}: {alert['figure']} is {alert['value']}, {alert['direction']} {alert['bound']}"
    return human.clean(told)


def _named(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style))


def _latencies(stats: Stats) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("server time", style="dim")
    parts = ("p50", "p95", "p99", "max")
    for part in parts:
        table.add_column(part, justify="right")
    for name in ("get_exact", "get_similar", "set", "fetch"):
        times = stats[f"{name}_us"]
        if times["max"]:
            table.add_row(name.replace("_", " "), *(human.micros(times[part]) for part in parts))
    return table


def _hot(frame: Frame) -> Table:
    partly = frame.looked_at < frame.stats.entries
    title = f"hottest prompts (of {human.count(frame.looked_at)} entries)" if partly else "hottest prompts"
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("hits", justify="right")
    table.add_column("saved", justify="right")
    table.add_column(title, no_wrap=True, overflow="ellipsis")
    for entry in frame.hottest:
        prompt = Text(human.clip(entry.prompt, 160))
        table.add_row(human.count(entry.hits), human.usd(entry.cost_saved_usd), prompt)
    return table


def _spark(values: list[float]) -> str:
    most = max(values) or 1
    return "".join(_BARS[round(value / most * (len(_BARS) - 1))] for value in values)
