"""Filling a cache from a file, and keeping it full as a worker of its plans."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import Cache, Due, Item, LlmcacheError, Question, Unavailable
from ..ops import Op, Set
from ..question import Word
from . import human, items, makers
from .app import CliError, Stop, app, note, pairs, session, tell
from .entries import Json

#: How much is stored at once.
_BATCH, _BATCH_BYTES = 200, 4 << 20
#: How many failures are told one by one.
_TOLD = 20


@dataclasses.dataclass
class Summary:
    """What came of it."""

    total: int = 0
    done_before: int = 0
    stored: int = 0
    made: int = 0
    already_there: int = 0
    elsewhere: int = 0
    not_kept: int = 0
    no_response: int = 0
    failed: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0
    cost_told_usd: Decimal = Decimal(0)
    cost_counted_usd: Decimal = Decimal(0)
    tokens_told: int = 0
    interrupted: bool = False
    errors: list[str] = dataclasses.field(default_factory=list)

    def fail(self, why: str) -> None:
        """Notes a failure."""
        self.failed += 1
        if len(self.errors) < _TOLD:
            self.errors.append(why)


@app.command()
def warm(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="JSONL or CSV: prompt or request, response or none.", dir_okay=False)
    ] = None,
    command: Annotated[str | None, typer.Option(help="A program: the prompt comes in, the answer goes out.")] = None,
    python: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="A function from prompt to answer.")
    ] = None,
    structured: Annotated[
        bool, typer.Option("--structured", help="The program prints JSON: response, and cost, tokens, ttl, tags …")
    ] = False,
    profile: Annotated[str | None, typer.Option(help="Work for this plan, or for `all`, instead of a file.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is due.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks at what is due.", min=0.05)] = 5.0,
    within: Annotated[int, typer.Option(help="Also what expires within so many seconds.", min=0)] = 0,
    lease: Annotated[float, typer.Option(help="Seconds after which others may take it over.", min=1)] = 60.0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="How many answers are made at once.", min=1, max=256)] = 4,
    rate: Annotated[float | None, typer.Option(help="How many calls in a second at most.", min=0.001)] = None,
    retries: Annotated[int, typer.Option(help="How often a call is tried again.", min=0)] = 2,
    timeout: Annotated[float, typer.Option(help="Seconds that the program may take.", min=0.1)] = 300.0,
    state: Annotated[Path | None, typer.Option(help="Where to note what is done (FILE.state).", dir_okay=False)] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Also what has a fresh answer.")] = False,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Where an item names none.")] = None,
    system: Annotated[str | None, typer.Option(help="Where an item names none.")] = None,
    scope: Annotated[str | None, typer.Option(help="Where an item names none.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Where an item says nothing of its life.")] = None,
    ttl: Annotated[float | None, typer.Option(help="Seconds, where an item says nothing of its life.")] = None,
    type: Annotated[str | None, typer.Option(help="Where an item names none.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="Where an item has none.")] = None,
    as_json: Json = False,
) -> None:
    """Fill a cache from a file, or work for its plans."""
    if (file is None) == (profile is None):
        raise typer.BadParameter("say either a file or --profile")
    make = makers.maker(command, python, timeout, structured)
    pace = makers.Rate(rate)
    settings = session(context)
    with settings.cache() as cache, Stop() as stop:
        if file is None:
            if make is None:
                raise typer.BadParameter("a worker needs --command or --python")
            if settings.cluster:
                raise CliError("a plan is of one key: work for one part of the cache, without --cluster")
            plan = None if profile == "all" else profile
            worker = Worker(cache, make, plan, jobs, pace, retries, within, lease, stop)
            summary = worker.work(interval, once)
        else:
            defaults: dict[str, Any] = {"model": model, "system": system, "scope": scope, "strategy": strategy}
            defaults |= {"ttl": ttl, "type": type, "tags": tag}
            defaults = {name: value for name, value in defaults.items() if value}
            found = list(items.read(file, defaults, f"{settings.url or ''} {settings.name}"))
            notes = items.State(state or file.with_name(file.name + ".state"))
            filler = Filler(cache, make, jobs, pace, retries, lease, refresh, notes, stop)
            summary = filler.fill(found)
    _report(summary, as_json)
    if stop.wanted and file is not None:
        note("llmcache: interrupted; the same command goes on")
        raise typer.Exit(130 if stop.signal == signal.SIGINT else 143)
    raise typer.Exit(1 if summary.failed else 0)


def _report(summary: Summary, as_json: bool) -> None:
    if as_json:
        tell(summary)
        return
    rows = {
        "items": summary.total,
        "done before": summary.done_before,
        "stored": summary.stored,
        "made": summary.made,
        "there already": summary.already_there,
        "made elsewhere": summary.elsewhere,
        "not kept": summary.not_kept,
        "without response": summary.no_response,
        "failed": summary.failed,
    }
    told: dict[str, Any] = {
        name: f"{value:,}" for name, value in rows.items() if value or name in ("items", "stored", "made", "failed")
    }
    told["took"] = human.seconds(summary.seconds)
    if summary.made:
        told["model time"] = human.seconds(summary.model_seconds)
    told["cost told"] = human.usd(summary.cost_told_usd)
    told["cost counted"] = f"{human.usd(summary.cost_counted_usd)} (all stores of the cache meanwhile)"
    if summary.tokens_told:
        told["tokens told"] = human.count(summary.tokens_told)
    pairs(told)
    for why in summary.errors:
        note(f"llmcache: {why}")
    if summary.failed > len(summary.errors):
        note(f"llmcache: and {summary.failed - len(summary.errors):,} more failures")


class Filler:
    """Stores what a file has, and makes what it lacks."""

    def __init__(
        self,
        cache: Cache,
        make: makers.Maker | None,
        jobs: int,
        rate: makers.Rate,
        retries: int,
        lease: float,
        refresh: bool,
        notes: items.State,
        stop: Stop,
    ) -> None:
        self.cache, self.make, self.jobs, self.rate, self.retries = cache, make, jobs, rate, retries
        self.lease, self.refresh, self.notes, self.stop = lease, refresh, notes, stop
        self.summary = Summary()
        self._lock = threading.Lock()
        self._broken: BaseException | None = None

    def fill(self, found: list[items.WarmItem]) -> Summary:
        """All of it, or up to a stop."""
        started, before = time.monotonic(), spent(self.cache)
        summary = self.summary
        unique = {item.key: item for item in found}
        left = [item for item in unique.values() if item.key not in self.notes.done]
        summary.total, summary.done_before = len(unique), len(unique) - len(left)
        with Bar("warming", len(unique)) as bar:
            self._bar = bar
            bar.advance(summary.done_before)
            self._store([item for item in left if item.response is not None])
            missing = [item for item in left if item.response is None]
            if self.make is None:
                summary.no_response = len(missing)
            else:
                self._make(missing)
        complete = not (self.stop.wanted or summary.failed or self._broken or summary.elsewhere)
        self.notes.close(forget=complete)
        if self._broken is not None:
            raise self._broken
        summary.seconds, summary.interrupted = time.monotonic() - started, self.stop.wanted
        summary.cost_counted_usd = max(Decimal(0), spent(self.cache) - before)
        return summary

    def _store(self, left: list[items.WarmItem]) -> None:
        for batch in _batches(left):
            if self.stop.wanted:
                return
            pairs = [Item(self.cache.question(item.question), item.response or b"", item.keep) for item in batch]
            warmed = self.cache.warm(pairs, only_new=not self.refresh)
            wrong = dict(warmed.errors)
            done = []
            for position, item in enumerate(batch):
                if position in wrong:
                    self.summary.fail(f"line {item.line}: {wrong[position].removeprefix('ERR ')}")
                    continue
                done.append(item.key)
                self._count(item.keep)
            self.summary.stored += warmed.stored
            self.summary.already_there += warmed.skipped
            self.notes.add(done)
            self._bar.advance(len(batch))

    def _count(self, keep: Any) -> None:
        self.summary.cost_told_usd += Decimal(str(keep.cost or 0))
        self.summary.tokens_told += sum(keep.tokens or ())

    def _make(self, missing: list[items.WarmItem]) -> None:
        queue = iter(missing)
        threads = [threading.Thread(target=self._work, args=(queue,)) for _ in range(min(self.jobs, len(missing)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            # Signals are heard between two waits.
            while thread.is_alive():
                thread.join(0.1)

    def _work(self, queue: Iterator[items.WarmItem]) -> None:
        while not self.stop.wanted and self._broken is None:
            with self._lock:
                item = next(queue, None)
            if item is None:
                return
            try:
                self._one(item)
            except BaseException as error:
                with self._lock:
                    self._broken = self._broken or error
                return
            self._bar.advance(1)

    def _one(self, item: items.WarmItem) -> None:
        assert self.make is not None
        question, token = self.cache.question(item.question), None
        if not self.refresh:
            fetched = self.cache.fetch(question, lease=self.lease, block=0, mode="exact", touch=False)
            if fetched.state in ("hit", "wait", "timeout", "failed"):
                self._found(item, fetched.state == "hit")
                return
            # A stale answer that another one refreshes comes without a token.
            if fetched.token is None:
                self._found(item, False)
                return
            token = fetched.token
        try:
            with makers.Renewing(self.cache, question, token, self.lease) if token else nullcontext():
                made = makers.patiently(self.make, question, self.retries, self.rate, self.stop)
                keep = item.keep.on(**made.keep)
                kept = self.cache._do(Set(question, made.response, keep, token=token))
        except (makers.MakeFailed, LlmcacheError) as error:
            if isinstance(error, Unavailable):
                raise
            if token is not None:
                self.cache.release(question, token)
            if not self.stop.wanted:
                with self._lock:
                    self.summary.fail(f"line {item.line}: {error}")
            return
        with self._lock:
            self.summary.made += 1
            self.summary.stored += kept
            self.summary.not_kept += not kept
            self.summary.model_seconds += (keep.latency or 0) / 1000
            self._count(keep)
            self.notes.add([item.key])

    def _found(self, item: items.WarmItem, there: bool) -> None:
        with self._lock:
            if there:
                self.summary.already_there += 1
                self.notes.add([item.key])
            else:
                self.summary.elsewhere += 1


def _batches(left: list[items.WarmItem]) -> Iterator[list[items.WarmItem]]:
    batch: list[items.WarmItem] = []
    size = 0
    for item in left:
        batch.append(item)
        size += len(item.response or b"")
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def spent(cache: Cache) -> Decimal:
    """What all answers ever stored have cost."""
    counted: Decimal = cache.stats().cost_spent_usd
    return counted


class Bar:
    """A bar for whoever watches; for others nothing."""

    def __init__(self, title: str, total: int | None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress: Progress | None = None
        if sys.stderr.isatty():
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(title, total=total)

    def __enter__(self) -> Bar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self, number: int) -> None:
        """So many more are done."""
        if self._progress is not None:
            self._progress.advance(self._task, number)


@dataclasses.dataclass(frozen=True)
class StoreDue(Op[bool]):
    """Store the answer to a prompt that was due, as it was told to."""

    due: Due
    response: bytes
    more: tuple[Word, ...]
    question: Question
    writes = True

    def words(self, key: str) -> list[Word]:
        told: list[Word] = ["LLMCACHE.SET", key, self.due.prompt, self.response, *self.due.options]
        return [*told, *self.more, "TOKEN", self.due.token]

    def read(self, reply: Any) -> bool:
        return reply is not None

    def context(self) -> bytes:
        return self.question.context


class Worker:
    """Takes due prompts, has them answered, stores the answers."""

    def __init__(
        self,
        cache: Cache,
        make: makers.Maker,
        profile: str | None,
        jobs: int,
        rate: makers.Rate,
        retries: int,
        within: int,
        lease: float,
        stop: Stop,
    ) -> None:
        self.cache, self.make, self.profile, self.jobs, self.rate = cache, make, profile, jobs, rate
        self.retries, self.within, self.lease, self.stop = retries, within, lease, stop
        self.summary = Summary()
        self._lock = threading.Lock()

    def work(self, interval: float, once: bool) -> Summary:
        """Goes on until it is stopped; with `once` until nothing is due."""
        started, before = time.monotonic(), spent(self.cache)
        threads: list[threading.Thread] = []
        seen_server = False
        while not self.stop.wanted:
            threads = [thread for thread in threads if thread.is_alive()]
            try:
                taken = self._take(self.jobs - len(threads))
                seen_server = True
            except Unavailable:
                # A worker outlives a restart of the server, but says at once that it was never there.
                if once or not seen_server:
                    raise
                self.stop.wait(interval)
                continue
            for due in taken:
                thread = threading.Thread(target=self._one, args=(due,))
                thread.start()
                threads.append(thread)
            if not taken and not threads and once:
                break
            self.stop.wait(0.05 if threads else interval)
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
        self.summary.seconds, self.summary.interrupted = time.monotonic() - started, self.stop.wanted
        try:
            self.summary.cost_counted_usd = max(Decimal(0), spent(self.cache) - before)
        except Unavailable:
            pass
        return self.summary

    def _take(self, free: int) -> list[Due]:
        if free <= 0:
            return []
        taken = self.cache.due(self.profile, count=free, within=self.within, lease=self.lease)
        self.summary.total += len(taken)
        return taken

    def _one(self, due: Due) -> None:
        question = _asked(due)
        try:
            with makers.Renewing(self.cache, question, due.token, self.lease):
                made = makers.patiently(self.make, question, self.retries, self.rate, self.stop)
                more = tuple(_words(made, due.options))
                kept = self.cache._do(StoreDue(due, made.response, more, question))
        except (makers.MakeFailed, CliError, LlmcacheError) as error:
            if not self.stop.wanted:
                with self._lock:
                    self.summary.fail(f"{due.profile}: {error}")
            if self.stop.wanted:
                self._release(question, due.token)
            # What fails is not asked again before its lease is over: it would fail at once again.
            return
        with self._lock:
            self.summary.made += 1
            self.summary.stored += kept
            self.summary.not_kept += not kept
            self.summary.model_seconds += float(made.keep.get("latency") or 0) / 1000
            self.summary.cost_told_usd += Decimal(str(made.keep.get("cost") or 0))
            self.summary.tokens_told += sum(made.keep.get("tokens") or ())

    def _release(self, question: Question, token: str) -> None:
        try:
            self.cache.release(question, token)
        except LlmcacheError:
            # It runs out by itself.
            pass


def _asked(due: Due) -> Question:
    told = due.identity
    scope = str(told.get("scope") or "")
    if due.is_request:
        return Question(json.loads(due.prompt), scope=scope)
    params = json.loads(told["params"]) if told.get("params") else None
    return Question(due.prompt, str(told.get("model") or ""), str(told.get("system") or ""), params, scope)


def _words(made: makers.Made, options: tuple[bytes, ...]) -> list[Word]:
    """What is known of an answer, as far as its plan does not say it."""
    said = {bytes(word).upper() for word in options}
    words: list[Word] = []
    if made.keep.get("cost") is not None and b"COST" not in said:
        words += ["COST", f"{Decimal(str(made.keep['cost'])):f}"]
    if made.keep.get("tokens") and b"TOKENS" not in said:
        words += ["TOKENS", *made.keep["tokens"]]
    if b"LATENCY" not in said:
        words += ["LATENCY", round(float(made.keep.get("latency") or 0))]
    return words
