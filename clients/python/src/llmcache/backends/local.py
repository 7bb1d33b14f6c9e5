"""A cache without a server: the same operations on a shelf of this process or of a file.

It finds exact matches only, and decides by its own default strategy where the server would look at the content.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import logging
import re
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar, cast

from .. import ops
from ..flows import Flow, Local, Wait
from ..question import Question, canonical
from ..types import Answer, Entry, Explanation, Fetched, Refused, Stats, Unavailable, Unsupported, Warmed
from .base import Backend
from .forks import OfOneProcess
from .shelves import MemoryShelf, Record, Shelf

T = TypeVar("T")

log = logging.getLogger("llmcache")

#: Seconds by strategy; None is not stored.
STRATEGIES: dict[str, int | None] = {
    "aggressive": 86400,
    "standard": 21600,
    "conservative": 5400,
    "realtime": 900,
    "nocache": None,
}

_MICRO = Decimal(1_000_000)

#: Into how many parts ids are divided where a change of one is told.
_PARTS = 64

#: With how many leases those that have run out are looked for.
_FIRST_SWEEP = 1000

#: How the tokens that are given here begin; those of a server are hexadecimal.
_HERE = "here-"


@dataclass
class _Lease:
    token: str
    until: float
    waiting: deque[concurrent.futures.Future[Fetched]] = field(default_factory=deque)


class LocalBackend(Backend, OfOneProcess):
    """Answers from a shelf."""

    def __init__(
        self,
        shelf: Shelf | None = None,
        *,
        strategy: str = "standard",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.shelf = shelf or MemoryShelf()
        #: Whether it is in the place of a server, whose own strategies it does not know and takes for its default.
        self.stands_in = False
        self._strategy = strategy
        self._now = now
        self._counts: Counter[str] = Counter()
        self._saved: Counter[str] = Counter()
        #: How often an answer was stored, by a part of its id: a lookup before a change may be out of date.
        self._stored = [0] * _PARTS
        self._of_this_process()

    def begin_anew(self) -> None:
        """Who was at an answer, or waited for one, did so in the other process."""
        # Of a flow that is forgotten the end may come while its lock is held by the same thread.
        self._lock = threading.RLock()
        self._leases: dict[str, _Lease] = {}
        self._sweep_at = _FIRST_SWEEP

    def flow(self, op: ops.Op[T]) -> Flow[T]:
        if isinstance(op, ops.Fetch):
            return cast(T, (yield from self._fetch(op)))
        return cast(T, (yield from self._local(lambda: self._do(op))))

    def _local(self, work: Callable[[], Any]) -> Flow[Any]:
        if self.shelf.slow:
            return (yield Local(work))
        return work()

    def close(self) -> None:
        self.shelf.close()

    def clear(self) -> None:
        """Forgets all answers. Who is at one, and who waits for it, stay."""
        self.shelf.clear()

    @staticmethod
    def gave(token: str) -> bool:
        """Whether a lease is one of this kind of backend's."""
        return token.startswith(_HERE)

    def _do(self, op: ops.Op[Any]) -> Any:
        match op:
            case ops.Get():
                return self._get(op.question, op.terms)
            case ops.Set():
                return self._set(op)
            case ops.Renew():
                return self._renew(op)
            case ops.Release():
                return self._release(op)
            case ops.Invalidate():
                return self._invalidate(op)
            case ops.Warm():
                return self._warm(op)
            case ops.Feedback():
                return self._feedback(op)
            case ops.Explain():
                return self._explain(op)
            case ops.GetStats():
                return self._stats(op)
            case ops.Scan():
                return self._scan(op)
            case ops.GetEntry():
                return self._entry(op)
            case _:
                raise Unsupported(f"{type(op).__name__} needs the server: nothing in its place can do that")

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    # Looking

    def _look(self, question: Question, terms: ops.Terms) -> tuple[Record | None, str]:
        """The record that answers, and why it does or does not."""
        record, now = self.shelf.get(question.digest), self._now_ms()
        if record is None:
            return None, "absent"
        if record.dead_at is not None and record.dead_at <= now:
            self.shelf.bury(record.id, now)
            return None, "expired"
        if terms.max_age is not None and now - record.created > terms.max_age * 1000:
            return None, "expired"
        if record.fresh_until is not None and record.fresh_until <= now:
            return (record, "stale") if terms.stale_ok else (None, "expired")
        return record, "exact"

    def _serve(self, record: Record, stale: bool, touch: bool) -> Answer:
        if touch:
            record = replace(record, hits=record.hits + 1)
            try:
                self.shelf.use(record.id)
            except Unavailable as why:
                log.warning("llmcache: a hit is not counted (%s)", why)
            with self._lock:
                self._counts.update(lookups=1, hits=1, hits_exact=0 if stale else 1, hits_stale=1 if stale else 0)
                self._saved.update(
                    tokens_saved_in=record.tokens_in,
                    tokens_saved_out=record.tokens_out,
                    latency_saved_ms=record.latency_ms,
                    cost_micros=record.cost_micros,
                )
        return Answer(**self._fields(record, stale))

    def _missed(self, why: str, touch: bool) -> None:
        if touch:
            with self._lock:
                self._counts.update(lookups=1, misses=1, **{f"miss_{why}": 1})

    def _fields(self, record: Record, stale: bool) -> dict[str, Any]:
        now = self._now_ms()
        return {
            "response": record.response,
            "id": record.id,
            "etag": record.etag,
            "prompt": record.prompt,
            "model": record.model,
            "strategy": record.strategy,
            "type": record.type,
            "tags": record.tags,
            "age": max(0, now - record.created) // 1000,
            "ttl": None if record.fresh_until is None else max(0, record.fresh_until - now) // 1000,
            "stale": stale,
            "hits": record.hits,
            "tokens_in": record.tokens_in,
            "tokens_out": record.tokens_out,
            "cost_saved_usd": record.hits * Decimal(record.cost_micros) / _MICRO,
            "latency_saved_ms": record.hits * record.latency_ms,
        }

    def _get(self, question: Question, terms: ops.Terms) -> Answer | None:
        record, why = self._look(question, terms)
        if record is None:
            self._missed(why, terms.touch)
            return None
        return self._serve(record, why == "stale", terms.touch)

    def _explain(self, op: ops.Explain) -> Explanation:
        record, why = self._look(op.question, op.terms)
        strategy, _, _ = self._life(op.question, ops.Keep())
        digest, context = op.question.digest, op.question.context.hex()[:32]
        verdict, match = ("miss", None) if record is None else ("hit", "exact")
        return Explanation(
            verdict=verdict,  # type: ignore[arg-type]
            reason=why,
            match=match,
            digest=digest,
            context=context,
            strategy=strategy,
            rule="local:default",
        )

    # Leases

    def _fetch(self, op: ops.Fetch) -> Flow[Fetched]:
        until, touch, terms = (
            self._now() + op.block_ms / 1000,
            op.terms.touch,
            replace(op.terms, stale_ok=True),
        )
        while True:
            stored = self._stored[_part(op.question.digest)]
            record, why = yield from self._local(lambda: self._look(op.question, terms))
            if record is not None and why == "exact":
                return Fetched("hit", (yield from self._local(lambda: self._serve(record, False, touch))))
            told = self._take(op, why, until, record, stored)
            if told is None:
                continue
            if record is not None:
                # Somebody refreshes it; all others have the old one.
                refresh = told if isinstance(told, Fetched) else Fetched("wait")
                try:
                    stale = yield from self._local(lambda: self._serve(record, True, touch))
                except BaseException:
                    self._give_on(op, refresh)
                    raise
                return Fetched("stale", stale, refresh.token)
            if isinstance(told, Fetched):
                if told.state != "hit":
                    self._missed(why if why == "expired" else "absent", touch)
                return told
            future, seconds = told
            try:
                answered = yield Wait(future, seconds)
            except BaseException:
                self._give_on(op, self._leave(op.question, future))
                raise
            if isinstance(answered, Fetched):
                return answered
            late = self._leave(op.question, future)
            if late is not None:
                return late

    def _take(
        self, op: ops.Fetch, why: str, until: float, record: Record | None, stored: int
    ) -> Fetched | tuple[concurrent.futures.Future[Fetched], float] | None:
        """The lease, or that there is none for us, or somebody to wait for and how long. None where an answer may have
        come since it was looked for."""
        id, now = op.question.digest, self._now()
        with self._lock:
            if self._stored[_part(id)] != stored:
                return None
            self._sweep(now)
            lease = self._leases.get(id)
            if lease is None or lease.until <= now:
                waiting = deque() if lease is None else lease.waiting
                token = _new_token()
                self._leases[id] = _Lease(token, now + op.lease_ms / 1000, waiting)
                return Fetched("lease", token=token)
            if record is not None:
                return Fetched("wait")
            if now >= until:
                return Fetched("timeout" if op.block_ms else "wait")
            future: concurrent.futures.Future[Fetched] = concurrent.futures.Future()
            lease.waiting.append(future)
            return future, max(0.001, min(until, lease.until) - now)

    def _sweep(self, now: float) -> None:
        if len(self._leases) >= self._sweep_at:
            self._leases = {id: one for id, one in self._leases.items() if one.waiting or one.until > now}
            self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._leases))

    def _leave(self, question: Question, future: concurrent.futures.Future[Fetched]) -> Fetched | None:
        """Waits no more; what came in this moment."""
        with self._lock:
            lease = self._leases.get(question.digest)
            if lease is not None and future in lease.waiting:
                lease.waiting.remove(future)
            # From here on nobody answers it.
            future.cancel()
        return future.result() if future.done() and not future.cancelled() else None

    def _give_on(self, op: ops.Fetch, told: Fetched | None) -> None:
        """Hands on the right to make an answer that somebody got who does not want it any more."""
        if told is not None and told.token is not None:
            self._release(ops.Release(op.question, told.token))

    def _renew(self, op: ops.Renew) -> bool:
        with self._lock:
            lease = self._leases.get(op.question.digest)
            if lease is None or lease.token != op.token or lease.until <= self._now():
                return False
            lease.until = self._now() + op.lease_ms / 1000
            return True

    def _release(self, op: ops.Release) -> bool:
        id = op.question.digest
        with self._lock:
            lease = self._leases.get(id)
            if lease is None or lease.token != op.token or lease.until <= self._now():
                return False
            del self._leases[id]
            if op.error is not None:
                for future in lease.waiting:
                    _tell(future, Fetched("failed", error=op.error))
                return True
            while lease.waiting:
                token = _new_token()
                if _tell(lease.waiting.popleft(), Fetched("lease", token=token)):
                    left = max(1.0, lease.until - self._now())
                    self._leases[id] = _Lease(token, self._now() + left, lease.waiting)
                    break
            return True

    # Keeping

    def _life(self, question: Question, keep: ops.Keep) -> tuple[str, int | None, bool]:
        """The strategy, the milliseconds of Unix time until when it is fresh, and whether it is kept at all."""
        now = self._now_ms()
        lives = [keep.strategy, keep.ttl, keep.expires_at, keep.persist or None, keep.keep_ttl or None]
        if sum(life is not None for life in lives) > 1:
            raise Refused("ERR only one of STRATEGY, a time to live, PERSIST and KEEPTTL can be said")
        if keep.persist:
            return "explicit", None, True
        if keep.expires_at is not None:
            return "explicit", keep.expires_at, keep.expires_at > now
        if keep.ttl is not None:
            return "explicit", now + round(keep.ttl * 1000), keep.ttl > 0
        strategy = keep.strategy or "auto"
        if strategy == "auto":
            strategy = "nocache" if _is_hot(question) else self._strategy
        if strategy not in STRATEGIES:
            if not self.stands_in:
                raise Refused(f"ERR STRATEGY '{strategy}' is not known here, only to the server")
            strategy = self._strategy
        seconds = STRATEGIES[strategy]
        return strategy, None if seconds is None else now + seconds * 1000, seconds is not None

    def _set(self, op: ops.Set) -> bool:
        if op.token is not None and not self._holds(op.question.digest, op.token):
            self._counts["skips"] += 1
            return False
        with self.shelf.together():
            record, is_kept = self._put(op)
        if record is not None:
            self._answer_waiting(record.id, record)
        return is_kept

    def _put(self, op: ops.Set) -> tuple[Record | None, bool]:
        """What those who wait for it get, and whether it is kept."""
        question, id = op.question, op.question.digest
        there, _ = self._look(question, ops.Terms(stale_ok=True))
        if (op.condition == "nx") == (there is not None) and op.condition is not None:
            self._counts["skips"] += 1
            return None, False
        strategy, fresh_until, is_kept = self._life(question, op.keep)
        if op.keep.keep_ttl and there is not None:
            fresh_until, is_kept = there.fresh_until, True
        stale = 0 if op.keep.stale is None else round(op.keep.stale * 1000)
        tokens_in, tokens_out = op.keep.tokens or (0, 0)
        cost = Decimal(str(op.keep.cost or 0)) * _MICRO
        record = Record(
            id=id,
            prompt=_text(question.prompt_word),
            response=op.response,
            etag=hashlib.sha256(op.response).hexdigest()[:16],
            model=question.model_name(),
            system=question.system,
            params="" if not question.params else canonical(question.params),
            scope=question.scope,
            strategy=strategy,
            type=op.keep.type or "",
            tags=tuple(sorted(set(op.keep.tags))),
            meta="" if op.keep.meta is None else json.dumps(op.keep.meta),
            created=self._now_ms(),
            fresh_until=fresh_until,
            dead_at=None if fresh_until is None else fresh_until + stale,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost_micros=int(cost.to_integral_value(ROUND_HALF_UP)),
            latency_ms=round(op.keep.latency or 0),
        )
        gone = self.shelf.put(record) if is_kept else None
        if not is_kept and strategy == "explicit":
            self.shelf.remove([id])
        with self._lock:
            self._stored[_part(id)] += 1
            self._counts["skips" if gone is None else "stores"] += 1
            self._counts["evictions"] += gone or 0
        return record, gone is not None

    def _holds(self, id: str, token: str) -> bool:
        with self._lock:
            lease = self._leases.get(id)
            return lease is not None and lease.token == token and lease.until > self._now()

    def _answer_waiting(self, id: str, record: Record) -> None:
        with self._lock:
            lease = self._leases.pop(id, None)
            waiting = [] if lease is None else list(lease.waiting)
        for future in waiting:
            if _tell(future, Fetched("hit", Answer(**self._fields(replace(record, hits=1), False)))):
                with self._lock:
                    self._counts.update(lookups=1, hits=1, hits_exact=1, coalesced=1)
                    self._saved["cost_micros"] += record.cost_micros

    def _warm(self, op: ops.Warm) -> Warmed:
        stored, skipped, errors = 0, 0, []
        for position, item in enumerate(op.items):
            try:
                kept = self._set(
                    ops.Set(item.question, item.response, item.keep, condition="nx" if op.only_new else None)
                )
            except Refused as why:
                errors.append((position, str(why)))
            else:
                stored, skipped = stored + kept, skipped + (not kept)
        return Warmed(stored, skipped, len(errors), tuple(errors))

    # Letting go

    def _select(self, selection: ops.Selection) -> list[Record]:
        now = self._now_ms()
        glob = None if selection.match is None else _glob(selection.match)

        def meets(record: Record) -> bool:
            wanted = ("model", "scope", "type", "strategy")
            return (
                not (record.dead_at is not None and record.dead_at <= now)
                and (not selection.tags or not set(selection.tags).isdisjoint(record.tags))
                and all(getattr(selection, name) in (None, getattr(record, name)) for name in wanted)
                and (selection.question is None or selection.question.digest == record.id)
                and (glob is None or glob.fullmatch(record.prompt) is not None)
                and (selection.older_than is None or now - record.created > selection.older_than * 1000)
            )

        if not selection.words():
            raise Refused("ERR INVALIDATE needs at least one selector, or ALL")
        return [record for record in self.shelf.all() if meets(record)]

    def _invalidate(self, op: ops.Invalidate) -> int:
        selected, now = self._select(op.selection), self._now_ms()
        if op.dry_run:
            return len(selected)
        ids = [record.id for record in selected]
        if op.soft:
            self.shelf.age(ids, now)
        else:
            self.shelf.remove(ids)
        with self._lock:
            self._counts["invalidations"] += len(selected)
        return len(selected)

    def _feedback(self, op: ops.Feedback) -> bool:
        if self.shelf.get(op.id) is None:
            return False
        with self._lock:
            self._counts["feedback_good" if op.good else "feedback_bad"] += 1
        if not op.good and op.question is None:
            self.shelf.remove([op.id])
        return True

    # Telling

    def _stats(self, op: ops.GetStats) -> Any:
        if op.by is not None:
            raise Unsupported("STATS BY needs the server: nothing in its place counts that")
        entries, size = self.shelf.totals()
        with self._lock:
            counts, saved = dict(self._counts), dict(self._saved)
        figures: dict[str, Any] = dict.fromkeys(_FIGURES, 0) | {
            name: counts[name] for name in counts if name in _FIGURES
        }
        figures |= {name: value for name, value in saved.items() if name in _FIGURES}
        figures |= dict.fromkeys(_MONEY, Decimal(0))
        figures |= {
            "entries": entries,
            "memory_bytes": size,
            "hit_rate": figures["hits"] / figures["lookups"] if figures["lookups"] else 0.0,
            "tokens_saved": figures["tokens_saved_in"] + figures["tokens_saved_out"],
            "cost_saved_usd": Decimal(saved.get("cost_micros", 0)) / _MICRO,
            "memory_per_1k_entries": size * 1000 // entries if entries else 0,
            "alerts": [],
        }
        return Stats(figures)

    def _scan(self, op: ops.Scan) -> tuple[str, list[tuple[str, str]]]:
        tags = () if op.tag is None else (op.tag,)
        # All of them: a cursor would have to outlive changes.
        selection = ops.Selection(True, tags, op.model, op.scope, match=op.match)
        return "0", [(record.id, record.prompt) for record in self._select(selection)]

    def _entry(self, op: ops.GetEntry) -> Entry | None:
        record, now = self.shelf.get(op.id), self._now_ms()
        if record is None or (record.dead_at is not None and record.dead_at <= now):
            return None
        told = self._fields(record, record.fresh_until is not None and record.fresh_until <= now)
        if not op.with_response:
            told["response"] = b""
        return Entry(
            **told,
            system=record.system,
            params=record.params,
            scope=record.scope,
            rule="local:default",
            meta=record.meta,
            created=record.created,
            produced_usd=Decimal(record.cost_micros) / _MICRO,
            size=len(record.response),
            stored=len(record.response),
        )


def _part(id: str) -> int:
    return int(id[:8], 16) % _PARTS


def _new_token() -> str:
    return _HERE + secrets.token_hex(16)


def _tell(future: concurrent.futures.Future[Fetched], told: Fetched) -> bool:
    """Whether it still waited."""
    if not future.set_running_or_notify_cancel():
        return False
    future.set_result(told)
    return True


def _glob(pattern: str) -> re.Pattern[str]:
    """A pattern as the server reads it: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what stands for itself."""
    told, rest = "", pattern
    while rest:
        found = re.match(r"\\(.)|\[(\^?)((?:\\.|[^\]])*)(?:\]|\Z)|([*?])|(.)", rest, re.DOTALL)
        assert found is not None
        rest = rest[found.end() :]
        escaped, negated, among, wild, other = found.groups()
        if wild:
            told += ".*" if wild == "*" else "."
        elif among is not None:
            inside = "".join(
                f"{re.escape(min(low, high))}-{re.escape(max(low, high))}" if high else re.escape(low or one)
                for one, low, high in re.findall(r"\\(.)|(.)(?:-(.))?", among, re.DOTALL)
            )
            told += f"[{negated}{inside}]" if inside else "." if negated else "(?!)"
        else:
            told += re.escape(escaped or other)
    return re.compile(told, re.DOTALL)


def _is_hot(question: Question) -> bool:
    """Whether it is asked with a temperature above 1, so that each answer is to be another."""
    asked = question.prompt if question.is_request else question.params
    temperature = asked.get("temperature") if isinstance(asked, dict) else None
    return isinstance(temperature, (int, float)) and temperature > 1


def _text(word: str | bytes) -> str:
    return word if isinstance(word, str) else word.decode("utf-8", "surrogateescape")


_FIGURES = tuple(
    "lookups hits hits_exact hits_similar hits_stale misses miss_absent miss_expired miss_threshold miss_guard "
    "coalesced stores skips evictions expirations invalidations feedback_good feedback_bad tokens_saved_in "
    "tokens_saved_out latency_saved_ms bytes_raw bytes_stored".split()
)
_MONEY = tuple(
    "cost_spent_usd saving_per_day_usd saving_per_month_usd saving_per_year_usd memory_cost_per_month_usd".split()
)
