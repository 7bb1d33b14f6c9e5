"""What can be asked of a cache, each as a value: what is sent for it, and what its reply means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from .question import Question, Word
from .types import Answer, Candidate, Due, Entry, Explanation, Fetched, Stats, Warmed

T = TypeVar("T")


class Op(Generic[T]):
    """A command about a cache."""

    #: Whether it changes anything that others can see.
    writes = False

    def words(self, key: str) -> list[Word]:
        """What is sent."""
        raise NotImplementedError

    def read(self, reply: Any) -> T:
        """What the reply means."""
        raise NotImplementedError

    def context(self) -> bytes | None:
        """The context it is about; none where it is about a whole cache."""
        return None


@dataclass(frozen=True)
class Terms:
    """How an answer is looked for."""

    mode: Literal["exact", "similar"] | None = None
    threshold: float | None = None
    #: Seconds.
    max_age: float | None = None
    stale_ok: bool = False
    touch: bool = True

    def words(self) -> list[Word]:
        words: list[Word] = []
        if self.mode:
            words.append(self.mode.upper())
        if self.threshold is not None:
            words += ["THRESHOLD", self.threshold]
        if self.max_age is not None:
            words += ["MAXAGE", int(self.max_age)]
        if self.stale_ok:
            words.append("STALEOK")
        if not self.touch:
            words.append("NOTOUCH")
        return words


@dataclass(frozen=True)
class Keep:
    """How an answer is kept."""

    strategy: str | None = None
    #: Seconds from now; 0 and less: it is over already.
    ttl: float | None = None
    persist: bool = False
    keep_ttl: bool = False
    #: Milliseconds of Unix time.
    expires_at: int | None = None
    #: Seconds for which it may be served beyond its time while somebody refreshes it.
    stale: float | None = None
    type: str | None = None
    tags: tuple[str, ...] = ()
    tokens: tuple[int, int] | None = None
    cost: Decimal | float | str | None = None
    #: Milliseconds.
    latency: float | None = None
    meta: Mapping[str, Any] | None = None

    def words(self) -> list[Word]:
        words: list[Word] = []
        if self.strategy:
            words += ["STRATEGY", self.strategy]
        if self.persist:
            words.append("PERSIST")
        if self.keep_ttl:
            words.append("KEEPTTL")
        if self.expires_at is not None:
            words += ["PXAT", self.expires_at]
        if self.ttl is not None:
            words += ["PX", max(1, round(self.ttl * 1000))] if self.ttl > 0 else ["PXAT", 1]
        if self.stale is not None:
            words += ["STALE", int(self.stale)]
        if self.type:
            words += ["TYPE", self.type]
        if self.tags:
            words += ["TAGS", len(self.tags), *self.tags]
        if self.tokens is not None:
            words += ["TOKENS", *self.tokens]
        if self.cost is not None:
            words += ["COST", f"{Decimal(str(self.cost)):f}"]
        if self.latency is not None:
            words += ["LATENCY", max(0, round(self.latency))]
        if self.meta is not None:
            words += ["META", json.dumps(self.meta)]
        return words

    def on(self, **changes: Any) -> Keep:
        """The same but for this."""
        return replace(self, **changes)


class Made:
    """What a call may answer in place of its response: that, and how it is kept.

    `Made(text, cost=0.002, tokens=(12, 80))`: what only the call knows. The rest are the fields of `Keep`.
    """

    def __init__(self, response: Any, **keep: Any) -> None:
        # Said now, so that a wrong name is told where it is written.
        Keep(**keep)
        self.response, self.keep = response, keep

    def __repr__(self) -> str:
        return f"Made({self.response!r}, {self.keep!r})"


@dataclass(frozen=True)
class Get(Op["Answer | None"]):
    """Look for an answer."""

    question: Question
    terms: Terms = Terms()

    def words(self, key: str) -> list[Word]:
        return ["LLMCACHE.GET", key, *self.question.words(), *self.terms.words(), "WITHMETA"]

    def read(self, reply: Any) -> Answer | None:
        return None if reply is None else answer(fields(reply))

    def context(self) -> bytes:
        return self.question.context


@dataclass(frozen=True)
class Set(Op[bool]):
    """Keep an answer. False where it was not kept."""

    question: Question
    response: bytes
    keep: Keep = Keep()
    condition: Literal["nx", "xx"] | None = None
    token: str | None = None
    writes = True

    def words(self, key: str) -> list[Word]:
        prompt, *rest = self.question.words()
        condition: list[Word] = [self.condition.upper()] if self.condition else []
        token: list[Word] = ["TOKEN", self.token] if self.token else []
        return ["LLMCACHE.SET", key, prompt, self.response, *rest, *condition, *token, *self.keep.words()]

    def read(self, reply: Any) -> bool:
        return reply is not None

    def context(self) -> bytes:
        return self.question.context


@dataclass(frozen=True)
class Fetch(Op[Fetched]):
    """Look for an answer, or for the right to compute it."""

    question: Question
    lease_ms: int
    block_ms: int = 0
    terms: Terms = Terms()

    def words(self, key: str) -> list[Word]:
        times: list[Word] = ["LEASE", self.lease_ms, "BLOCK", self.block_ms]
        return ["LLMCACHE.FETCH", key, *self.question.words(), *self.terms.words(), *times]

    def read(self, reply: Any) -> Fetched:
        told = fields(reply)
        state = text(told["state"])
        found = answer(told) if state in ("hit", "stale") else None
        token = told.get("token")
        return Fetched(
            state,  # type: ignore[arg-type]
            found,
            None if token is None else text(token),
            None if told.get("error") is None else text(told["error"]),
        )

    def context(self) -> bytes:
        return self.question.context


@dataclass(frozen=True)
class Renew(Op[bool]):
    """Keep the right to compute an answer for longer."""

    question: Question
    token: str
    lease_ms: int

    def words(self, key: str) -> list[Word]:
        return ["LLMCACHE.RENEW", key, self.token, self.lease_ms]

    def read(self, reply: Any) -> bool:
        return bool(reply)

    def context(self) -> bytes:
        return self.question.context


@dataclass(frozen=True)
class Release(Op[bool]):
    """Give the right to compute an answer back. With an error, those who wait have that."""

    question: Question
    token: str
    error: str | None = None

    def words(self, key: str) -> list[Word]:
        error: list[Word] = [] if self.error is None else ["ERROR", self.error]
        return ["LLMCACHE.RELEASE", key, self.token, *error]

    def read(self, reply: Any) -> bool:
        return bool(reply)

    def context(self) -> bytes:
        return self.question.context


@dataclass(frozen=True)
class Selection:
    """Which entries are meant: those that meet all of it."""

    everything: bool = False
    tags: tuple[str, ...] = ()
    model: str | None = None
    scope: str | None = None
    type: str | None = None
    strategy: str | None = None
    question: Question | None = None
    match: str | None = None
    #: Seconds.
    older_than: float | None = None

    def words(self) -> list[Word]:
        words: list[Word] = ["ALL"] if self.everything else []
        if self.tags:
            words += ["TAG", len(self.tags), *self.tags]
        model, scope = self.model, self.scope
        if self.question is not None:
            words += ["PROMPT", self.question.prompt_word, *self.question.identity()]
            # They are part of its identity.
            model = None if self.question.model else model
            scope = None if self.question.scope else scope
        named = {"MODEL": model, "SCOPE": scope, "TYPE": self.type, "STRATEGY": self.strategy}
        for name, value in named.items():
            words += [] if value is None else [name, value]
        if self.match is not None:
            words += ["MATCH", self.match]
        if self.older_than is not None:
            words += ["OLDERTHAN", int(self.older_than)]
        return words


@dataclass(frozen=True)
class Invalidate(Op[int]):
    """Remove entries, or make them stale; how many."""

    selection: Selection
    soft: bool = False
    dry_run: bool = False
    writes = True

    def words(self, key: str) -> list[Word]:
        flags: list[Word] = [*(["SOFT"] if self.soft else []), *(["DRYRUN"] if self.dry_run else [])]
        return ["LLMCACHE.INVALIDATE", key, *self.selection.words(), *flags]

    def read(self, reply: Any) -> int:
        return int(reply)

    def context(self) -> bytes | None:
        return None if self.selection.question is None else self.selection.question.context


@dataclass(frozen=True)
class Item:
    """A pair to be stored."""

    question: Question
    response: bytes
    keep: Keep = Keep()

    @property
    def is_plain(self) -> bool:
        """Whether WARM's JSON can say it; a SET can say all."""
        texts = (self.response, self.question.prompt_word)
        ended = self.keep.ttl is not None and self.keep.ttl <= 0
        return self.question.vector is None and not ended and all(map(_is_text, texts))

    def alone(self, only_new: bool) -> Set:
        """The same as a SET."""
        return Set(self.question, self.response, self.keep, "nx" if only_new else None)


@dataclass(frozen=True)
class Warm(Op[Warmed]):
    """Store many answers."""

    items: tuple[Item, ...]
    only_new: bool = False
    writes = True

    def words(self, key: str) -> list[Word]:
        objects = [_object(item) for item in self.items]
        new: list[Word] = ["NX"] if self.only_new else []
        return ["LLMCACHE.WARM", key, *new, "JSON", json.dumps(objects, ensure_ascii=False)]

    def read(self, reply: Any) -> Warmed:
        told = fields(reply)
        errors = tuple((int(position), text(why)) for position, why in told["errors"])
        return Warmed(int(told["stored"]), int(told["skipped"]), int(told["rejected"]), errors)


@dataclass(frozen=True)
class Feedback(Op[bool]):
    """Say that an entry was a good or a bad answer. False where there is no such entry."""

    id: str
    good: bool
    question: Question | None = None
    writes = True

    def words(self, key: str) -> list[Word]:
        words: list[Word] = ["LLMCACHE.FEEDBACK", key, self.id, "good" if self.good else "bad"]
        if self.question is not None:
            words += ["FOR", self.question.prompt_word, *self.question.identity()]
        return words

    def read(self, reply: Any) -> bool:
        return reply is not None

    def context(self) -> bytes | None:
        return None if self.question is None else self.question.context


@dataclass(frozen=True)
class Explain(Op[Explanation]):
    """Ask what a lookup would answer, and why."""

    question: Question
    terms: Terms = Terms()

    def words(self, key: str) -> list[Word]:
        return ["LLMCACHE.EXPLAIN", key, *self.question.words(), *self.terms.words()]

    def read(self, reply: Any) -> Explanation:
        told = fields(reply)
        candidates = []
        for candidate in map(fields, told["candidates"]):
            told_guards = fields(candidate.get("guards") or {})
            guards = tuple(f"{name}: {text(why)}" for name, why in told_guards.items() if text(why) != "pass")
            similarity, verdict = float(candidate["similarity"]), text(candidate["verdict"])
            candidates.append(Candidate(text(candidate["id"]), text(candidate["prompt"]), similarity, verdict, guards))
        names = ("digest", "context", "mode", "strategy", "rule")
        return Explanation(
            verdict=text(told["verdict"]),  # type: ignore[arg-type]
            reason=text(told["reason"]),
            match=_optional(told["match"]),
            threshold=None if told["threshold"] is None else float(told["threshold"]),
            candidates=tuple(candidates),
            steps={name: float(took) for name, took in fields(told["steps"]).items()},
            **{name: text(told[name] or "") for name in names},
        )

    def context(self) -> bytes:
        return self.question.context


@dataclass(frozen=True)
class GetStats(Op[Any]):
    """What a cache has done and saved."""

    by: str | None = None
    #: Seconds.
    window: int | None = None

    def words(self, key: str) -> list[Word]:
        by: list[Word] = [] if self.by is None else ["BY", self.by]
        window: list[Word] = [] if self.window is None else ["WINDOW", self.window]
        return ["LLMCACHE.STATS", key, *by, *window]

    def read(self, reply: Any) -> Any:
        if self.by is None:
            return stats(reply)
        return {name: stats(figures) for name, figures in fields(reply).items()}


@dataclass(frozen=True)
class Scan(Op["tuple[str, list[tuple[str, str]]]"]):
    """One page of the ids and prompts of entries, and where the next one begins; "0" after the last."""

    cursor: str = "0"
    count: int = 100
    match: str | None = None
    tag: str | None = None
    model: str | None = None
    scope: str | None = None

    def words(self, key: str) -> list[Word]:
        words: list[Word] = ["LLMCACHE.SCAN", key, self.cursor, "COUNT", self.count]
        named = {"MATCH": self.match, "TAG": self.tag, "MODEL": self.model, "SCOPE": self.scope}
        for name, value in named.items():
            words += [] if value is None else [name, value]
        return words

    def read(self, reply: Any) -> tuple[str, list[tuple[str, str]]]:
        return text(reply[0]), [(text(id), text(prompt)) for id, prompt in reply[1]]


@dataclass(frozen=True)
class GetEntry(Op["Entry | None"]):
    """Everything about one entry."""

    id: str
    with_response: bool = True

    def words(self, key: str) -> list[Word]:
        return ["LLMCACHE.ENTRY", key, self.id, *(["WITHRESPONSE"] if self.with_response else [])]

    def read(self, reply: Any) -> Entry | None:
        if reply is None:
            return None
        told = fields(reply)
        rest: dict[str, Any] = {name: text(told[name] or "") for name in ("system", "params", "scope", "rule", "meta")}
        return Entry(
            **_answer(told),
            created=int(told["created"]),
            produced_usd=usd(told["cost_usd"]),
            estimated=bool(told["estimated"]),
            size=int(told["size"]),
            stored=int(told["stored"]),
            **rest,
        )


@dataclass(frozen=True)
class Raw(Op[Any]):
    """Any other command, word by word. Its reply comes as it is, with names as text."""

    command: str
    rest: tuple[Word, ...] = ()
    writes: bool = field(default=True)

    def words(self, key: str) -> list[Word]:
        return [self.command, key, *self.rest]

    def read(self, reply: Any) -> Any:
        return plain(reply)


@dataclass(frozen=True)
class TakeDue(Op["list[Due]"]):
    """Planned prompts that are missing or about to expire, each for one worker at a time."""

    profile: str | None = None
    count: int = 10
    within: int = 0
    lease_ms: int = 60_000
    writes = True

    def words(self, key: str) -> list[Word]:
        profile: list[Word] = [] if self.profile is None else ["PROFILE", self.profile]
        rest: list[Word] = ["COUNT", self.count, "WITHIN", self.within, "LEASE", self.lease_ms]
        return ["LLMCACHE.WARM", key, "DUE", *profile, *rest]

    def read(self, reply: Any) -> list[Due]:
        due = []
        for told in map(fields, reply):
            asked = told.get("prompt", told.get("request"))
            due.append(
                Due(
                    prompt=text(asked),
                    is_request="request" in told,
                    identity=plain(told["identity"]),
                    profile=text(told["profile"]),
                    token=text(told["token"]),
                    options=tuple(told.get("options") or ()),
                )
            )
        return due


def text(value: Any) -> str:
    """A reply as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _optional(value: Any) -> str | None:
    return None if value is None else text(value)


def usd(value: Any) -> Decimal:
    """US dollars as the server writes them."""
    return Decimal(text(value))


def fields(reply: Any) -> dict[str, Any]:
    """A map, of RESP3 or of RESP2."""
    if isinstance(reply, Mapping):
        return {text(name): value for name, value in reply.items()}
    names: Iterable[Any] = reply[0::2]
    return dict(zip(map(text, names), reply[1::2], strict=True))


def plain(reply: Any) -> Any:
    """A reply with text instead of bytes."""
    if isinstance(reply, bytes):
        return text(reply)
    if isinstance(reply, Mapping):
        return {text(name): plain(value) for name, value in reply.items()}
    if isinstance(reply, (list, tuple)):
        return [plain(value) for value in reply]
    return reply


def _answer(told: Mapping[str, Any]) -> dict[str, Any]:
    ttl = int(told["ttl"])
    return {
        "response": told.get("response") or b"",
        "id": text(told["id"]),
        "etag": text(told["etag"]),
        "prompt": text(told["prompt"]),
        "model": text(told["model"] or ""),
        "strategy": text(told["strategy"] or ""),
        "type": text(told["type"] or ""),
        "tags": tuple(text(tag) for tag in told["tags"] or ()),
        "age": int(told["age"]),
        "ttl": None if ttl == -1 else ttl,
        "stale": bool(told["stale"]),
        "hits": int(told["hits"]),
        "tokens_in": int(told["tokens_in"] or 0),
        "tokens_out": int(told["tokens_out"] or 0),
        "cost_saved_usd": usd(told["cost_saved_usd"]),
        "latency_saved_ms": int(told["latency_saved_ms"]),
    }


def answer(told: Mapping[str, Any]) -> Answer:
    """The answer of GET and FETCH."""
    return Answer(
        **_answer(told),
        match=text(told["match"]),  # type: ignore[arg-type]
        similarity=float(told["similarity"]),
    )


_NUMBERS = frozenset(["hit_rate", "estimated_share", "compression_saved", "roi"])


def stats(reply: Any) -> Stats:
    """The figures of STATS."""
    figures: dict[str, Any] = {}
    for name, value in fields(reply).items():
        if name.endswith("_us"):
            figures[name] = {part: float(took) for part, took in fields(value).items()}
        elif name.endswith("_usd"):
            figures[name] = usd(value)
        elif name in _NUMBERS:
            figures[name] = float(value)
        elif name == "alerts":
            figures[name] = plain(value)
        else:
            figures[name] = int(value)
    return Stats(figures)


def add(parts: Sequence[Stats]) -> Stats:
    """The figures of several parts together. The slowest of several is that of one; a rate is of all."""
    if len(parts) == 1:
        return parts[0]
    sums: dict[str, Any] = {}
    for name, first in parts[0].items():
        values = [part[name] for part in parts]
        if isinstance(first, Mapping):
            sums[name] = {quantile: max(value[quantile] for value in values) for quantile in first}
        elif name == "alerts":
            sums[name] = [alert for value in values for alert in value]
        elif name in _NUMBERS:
            sums[name] = 0.0
        else:
            sums[name] = sum(values)

    def ratio(part: Any, whole: Any) -> float:
        return float(part) / float(whole) if whole else 0.0

    sums["hit_rate"] = ratio(sums["hits"], sums["lookups"])
    sums["compression_saved"] = (
        max(0.0, 1.0 - ratio(sums["bytes_stored"], sums["bytes_raw"])) if sums["bytes_raw"] else 0.0
    )
    sums["roi"] = ratio(sums["saving_per_month_usd"], sums["memory_cost_per_month_usd"])
    sums["memory_per_1k_entries"] = int(ratio(sums["memory_bytes"] * 1000, sums["entries"]))
    saved = [float(part["cost_saved_usd"]) for part in parts]
    sums["estimated_share"] = ratio(
        sum(value * part["estimated_share"] for value, part in zip(saved, parts, strict=True)), sum(saved)
    )
    return Stats(sums)


def _is_text(word: str | bytes) -> bool:
    try:
        word.encode() if isinstance(word, str) else word.decode()
    except UnicodeError:
        return False
    return True


def _object(item: Item) -> dict[str, Any]:
    """An item of WARM as an object."""
    question, keep = item.question, item.keep
    told: dict[str, Any] = {"response": item.response.decode()}
    if question.is_request:
        told["request"] = question.prompt
    else:
        told["prompt"] = (
            question.prompt_word if isinstance(question.prompt_word, str) else question.prompt_word.decode()
        )
    named = {
        "model": question.model,
        "system": question.system,
        "scope": question.scope,
        "params": question.params,
    }
    told |= {name: value for name, value in named.items() if value}
    options = {"strategy": keep.strategy, "type": keep.type, "tags": list(keep.tags), "meta": keep.meta}
    told |= {name: value for name, value in options.items() if value}
    if keep.tokens is not None:
        told["tokens"] = list(keep.tokens)
    if keep.cost is not None:
        told["cost"] = f"{Decimal(str(keep.cost)):f}"
    if keep.latency is not None:
        told["latency"] = round(keep.latency)
    if keep.ttl is not None:
        told["px"] = max(1, round(keep.ttl * 1000))
    if keep.expires_at is not None:
        told["pxat"] = keep.expires_at
    if keep.persist:
        told["persist"] = True
    if keep.keep_ttl:
        told["keepttl"] = True
    if keep.stale is not None:
        told["stale"] = int(keep.stale)
    return told
