"""Filling a cache from a file, and keeping it full as a worker of its plans."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import Cache, Due, Item, LlmcacheError, Question, Unavailable
from ..ops import Keep, Op, Set, fields, text
from ..question import Word
from . import human, items, makers
from .app import CliError, Stop, app, note, pairs, session, tell
from .entries import Json
from .notes import Notes
from .server import server

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

    def count(self, keep: Keep) -> None:
        """Adds what an answer is said to have cost."""
        self.cost_told_usd += Decimal(str(keep.cost or 0))
        self.tokens_told += sum(keep.tokens or ())

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
    settings = session(context)
    with settings.cache(create=True) as cache, Stop() as stop:
        making = Making(cache, make, jobs, makers.Rate(rate), retries, lease, stop)
        try:
            if file is None:
                if make is None:
                    raise typer.BadParameter("a worker needs --command or --python")
                if server(cache).cluster:
                    raise CliError("a plan is of one key: work for one part of the cache, without --cluster")
                plan = None if profile == "all" else profile
                _look_for(cache, plan, once)
                summary = Worker(making, plan, within).work(interval, once)
            else:
                defaults: dict[str, Any] = {"model": model, "system": system, "scope": scope, "strategy": strategy}
                defaults |= {"ttl": ttl, "type": type, "tags": tag}
                defaults = {name: value for name, value in defaults.items() if value}
                found = list(items.read(file, defaults))
                notes = Notes(state or file.with_name(file.name + ".state"), "warm", settings.place(), settings.name)
                summary = Filler(making, refresh, notes).fill(found)
        except KeyboardInterrupt:
            making.end()
            raise
    _report(summary, as_json)
    if stop.wanted and file is not None:
        note("llmcache: interrupted; the same command goes on")
        raise typer.Exit(128 + (stop.signal or 0))
    if summary.elsewhere:
        note(f"llmcache: {summary.elsewhere:,} are still made elsewhere: run it again")
    raise typer.Exit(1 if summary.failed or summary.elsewhere else 0)


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
        "still made elsewhere": summary.elsewhere,
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


@dataclasses.dataclass(frozen=True)
class Making:
    """How answers are made and stored: those of a file as those of a plan."""

    cache: Cache
    make: makers.Maker | None
    jobs: int
    rate: makers.Rate
    retries: int
    #: Seconds.
    lease: float
    stop: Stop
    summary: Summary = dataclasses.field(default_factory=Summary)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    _leases: dict[str, Question] = dataclasses.field(default_factory=dict)

    def one(
        self,
        name: str,
        question: Question,
        token: str | None,
        store: Callable[[makers.Made], tuple[Op[bool], Keep]],
        release: bool,
    ) -> BaseException | None:
        """Makes an answer and stores it, or counts a failure and answers why; with `release` others may then try."""
        assert self.make is not None
        if token is not None:
            self._leases[token] = question
        try:
            with makers.Renewing(self.cache, question, token, self.lease) if token else nullcontext():
                made = makers.patiently(self.make, question, self.retries, self.rate, self.stop)
                op, keep = store(made)
                kept = self.cache._do(op)
        except BaseException as error:  # on a thread nobody else would hear of it
            self._give_back(token, release or self.stop.wanted)
            if not self.stop.wanted:
                known = isinstance(error, (makers.MakeFailed, CliError, LlmcacheError))
                with self.lock:
                    self.summary.fail(f"{name}: {error if known else makers.named(error)}")
            return error
        self._give_back(token, False)
        with self.lock:
            self.summary.made += 1
            self.summary.stored += kept
            self.summary.not_kept += not kept
            self.summary.model_seconds += (keep.latency or 0) / 1000
            self.summary.count(keep)
        return None

    def _give_back(self, token: str | None, release: bool) -> None:
        question = self._leases.pop(token, None) if token else None
        if token and question and release:
            try:
                self.cache.release(question, token)
            except LlmcacheError:
                # It runs out by itself.
                pass

    def end(self) -> None:
        """Ends what is under way: others may make it."""
        makers.kill_all()
        for token in list(self._leases):
            self._give_back(token, True)


class Filler:
    """Stores what a file has, and makes what it lacks."""

    def __init__(self, making: Making, refresh: bool, notes: Notes) -> None:
        self.making, self.refresh, self.notes = making, refresh, notes
        self.cache, self.stop, self.summary = making.cache, making.stop, making.summary
        self._elsewhere: list[items.WarmItem] = []
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
            if self.making.make is None:
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
                self.summary.count(item.keep)
            self.summary.stored += warmed.stored
            self.summary.already_there += warmed.skipped
            self.notes.add(done)
            self._bar.advance(len(batch))

    def _make(self, missing: list[items.WarmItem]) -> None:
        """All of these; what others are at is waited for as long as the lease of one who died may last."""
        until: float | None = None
        while missing and not self.stop.wanted and self._broken is None:
            self._elsewhere = []
            queue = iter(missing)
            jobs = min(self.making.jobs, len(missing))
            _wait([_begin(self._work, queue) for _ in range(jobs)])
            missing = self._elsewhere
            if until is None:
                until = time.monotonic() + self.making.lease
                if missing:
                    note(f"llmcache: waiting for {len(missing):,} that are made elsewhere")
            elif time.monotonic() > until:
                break
            if missing:
                self.stop.wait(0.2)
        self.summary.elsewhere = len(self._elsewhere)

    def _work(self, queue: Iterator[items.WarmItem]) -> None:
        while not self.stop.wanted and self._broken is None:
            with self.making.lock:
                item = next(queue, None)
            if item is None:
                return
            try:
                self._one(item)
            except BaseException as error:
                self._broken = self._broken or error

    def _one(self, item: items.WarmItem) -> None:
        question, token = self.cache.question(item.question), None
        if not self.refresh:
            fetched = self.cache.fetch(question, lease=self.making.lease, block=0, mode="exact", touch=False)
            token = fetched.token
            if fetched.state == "hit":
                with self.making.lock:
                    self.summary.already_there += 1
                self._done(item)
                return
            # A stale answer that another one refreshes comes without a token, too.
            if token is None:
                with self.making.lock:
                    self._elsewhere.append(item)
                return

        def store(made: makers.Made) -> tuple[Op[bool], Keep]:
            keep = item.keep.on(**made.keep)
            return Set(question, made.response, keep, token=token), keep

        error = self.making.one(f"line {item.line}", question, token, store, release=True)
        if error is None:
            self._done(item)
        elif isinstance(error, (Unavailable, CliError)):
            raise error
        else:
            self._bar.advance(1)

    def _done(self, item: items.WarmItem) -> None:
        with self.making.lock:
            self.notes.add([item.key])
        self._bar.advance(1)


def _begin(work: Callable[[Any], None], what: Any) -> threading.Thread:
    # A daemon: who is asked to end twice ends.
    thread = threading.Thread(target=work, args=(what,), daemon=True)
    thread.start()
    return thread


def _wait(threads: list[threading.Thread]) -> None:
    for thread in threads:
        # Signals are heard between two waits.
        while thread.is_alive():
            thread.join(0.1)


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
    #: What the plan does not say.
    keep: Keep
    question: Question
    writes = True

    def words(self, key: str) -> list[Word]:
        told: list[Word] = ["LLMCACHE.SET", key, self.due.prompt, self.response, *self.due.options]
        return [*told, *self.keep.words(), "TOKEN", self.due.token]

    def read(self, reply: Any) -> bool:
        return reply is not None

    def context(self) -> bytes:
        return self.question.context


class Worker:
    """Takes due prompts, has them answered, stores the answers."""

    def __init__(self, making: Making, profile: str | None, within: int) -> None:
        self.making, self.profile, self.within = making, profile, within
        self.cache, self.stop, self.summary = making.cache, making.stop, making.summary

    def work(self, interval: float, once: bool) -> Summary:
        """Goes on until it is stopped; with `once` until nothing is due."""
        started, before = time.monotonic(), spent(self.cache)
        threads: list[threading.Thread] = []
        seen_server = False
        while not self.stop.wanted:
            threads = [thread for thread in threads if thread.is_alive()]
            try:
                taken = self._take(self.making.jobs - len(threads))
                seen_server = True
            except Unavailable:
                # A worker outlives a restart of the server, but says at once that it was never there.
                if once or not seen_server:
                    raise
                self.stop.wait(interval)
                continue
            threads += [_begin(self._one, due) for due in taken]
            if not taken and not threads and once:
                break
            self.stop.wait(0.05 if threads else interval)
        _wait(threads)
        self.summary.seconds, self.summary.interrupted = time.monotonic() - started, self.stop.wanted
        try:
            self.summary.cost_counted_usd = max(Decimal(0), spent(self.cache) - before)
        except Unavailable:
            pass
        return self.summary

    def _take(self, free: int) -> list[Due]:
        if free <= 0:
            return []
        taken = self.cache.due(self.profile, count=free, within=self.within, lease=self.making.lease)
        self.summary.total += len(taken)
        return taken

    def _one(self, due: Due) -> None:
        question = _asked(due)

        def store(made: makers.Made) -> tuple[Op[bool], Keep]:
            keep = _unsaid(made, due.options)
            return StoreDue(due, made.response, keep, question), keep

        # What fails is not asked again before its lease is over: it would fail at once again.
        self.making.one(due.profile, question, due.token, store, release=False)


def _look_for(cache: Cache, plan: str | None, once: bool) -> None:
    """Says so where there is no such plan: there may be one later, for who waits."""
    told = cache.command("WARM", "STATUS") or []
    names = sorted(str(fields(one)["profile"]) for one in told)
    if plan in names or (plan is None and names):
        return
    known = ", ".join(names) or "none"
    missing = f"there is no plan {plan!r} (plans: {known})" if plan else "there are no plans"
    if once and plan:
        raise CliError(missing)
    note(f"llmcache: {missing}")


def _asked(due: Due) -> Question:
    told = due.identity
    scope = str(told.get("scope") or "")
    if due.is_request:
        return Question(json.loads(due.prompt), scope=scope)
    params = json.loads(told["params"]) if told.get("params") else None
    return Question(due.prompt, str(told.get("model") or ""), str(told.get("system") or ""), params, scope)


#: How many words stand behind these; behind others, one.
_WORDS = {"REQUEST": 0, "PERSIST": 0, "KEEPTTL": 0, "TOKENS": 2}
#: What says how long an answer lives: one of them does.
_LIFE = frozenset(["STRATEGY", "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "PERSIST"])


def _unsaid(made: makers.Made, options: tuple[bytes, ...]) -> Keep:
    """What is known of an answer, as far as its plan does not say it."""
    said, words = set(), iter(options)
    for word in words:
        name = text(word).upper()
        said.add(name)
        for _ in range(int(next(words)) if name == "TAGS" else _WORDS.get(name, 1)):
            next(words)
    if said & _LIFE:
        said |= {"STRATEGY", "TTL", "PERSIST"}
    return Keep(**{name: value for name, value in made.keep.items() if name.upper() not in said})
