"""What commands answer, as Python values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple

FetchState = Literal["hit", "stale", "lease", "wait", "timeout", "failed"]


class LlmcacheError(Exception):
    """Anything this package says is wrong."""


class Unavailable(LlmcacheError):
    """The server cannot be reached, or cannot answer now."""

    #: Whether the server is well all the same.
    is_passing = False


class Dropped(Unavailable):
    """The connection was lost, or there is none."""


class Unwilling(Unavailable):
    """The server answers, but does not do this now, or has no module."""


class Crowded(Unavailable):
    """All connections that are allowed are in use."""

    is_passing = True


class Refused(LlmcacheError):
    """The server, or the backend in its place, does not take this command as it is."""


class Unsupported(LlmcacheError):
    """Only the server can do this, and there is none."""


@dataclass(frozen=True)
class Answer:
    """A cached response and what is known of it."""

    response: bytes
    id: str = ""
    etag: str = ""
    match: Literal["exact", "similar"] = "exact"
    similarity: float = 1.0
    prompt: str = ""
    model: str = ""
    strategy: str = ""
    type: str = ""
    tags: tuple[str, ...] = ()
    age: int = 0
    #: Seconds; None for ever.
    ttl: int | None = None
    stale: bool = False
    hits: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_saved_usd: Decimal = Decimal(0)
    latency_saved_ms: int = 0

    @property
    def text(self) -> str:
        """The response as text."""
        return self.response.decode("utf-8", "replace")

    def json(self) -> Any:
        """The response as JSON."""
        return json.loads(self.response)

    @property
    def cost_usd(self) -> Decimal:
        """What producing this answer cost."""
        return self.cost_saved_usd / self.hits if self.hits else Decimal(0)


@dataclass(frozen=True)
class Entry(Answer):
    """Everything about one entry. Its response is empty unless it was asked for."""

    system: str = ""
    params: str = ""
    scope: str = ""
    rule: str = ""
    meta: str = ""
    #: Milliseconds of Unix time.
    created: int = 0
    produced_usd: Decimal = Decimal(0)
    estimated: bool = False
    size: int = 0
    stored: int = 0

    @property
    def cost_usd(self) -> Decimal:
        return self.produced_usd


@dataclass(frozen=True)
class Fetched:
    """What FETCH says: an answer, the right to compute one, or neither."""

    state: FetchState
    answer: Answer | None = None
    token: str | None = None
    error: str | None = None


class Result(NamedTuple):
    """What `get_or_call` answers."""

    response: Any
    was_cached: bool
    #: US dollars that were spent, or saved where it was cached.
    cost: Decimal


@dataclass(frozen=True)
class Candidate:
    """An entry that a similar lookup looked at."""

    id: str
    prompt: str
    similarity: float
    verdict: str
    #: Those that strike, each with its reason: `numbers: 3 is asked only`.
    guards: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """What a lookup would answer, and why."""

    verdict: Literal["hit", "miss"]
    reason: str
    match: str | None = None
    digest: str = ""
    context: str = ""
    mode: str = "exact"
    threshold: float | None = None
    strategy: str = ""
    rule: str = ""
    candidates: tuple[Candidate, ...] = ()
    #: Microseconds by step.
    steps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Warmed:
    """What came of a WARM."""

    stored: int
    skipped: int
    rejected: int
    errors: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Due:
    """A planned prompt that somebody is to answer."""

    #: The prompt, or the request body.
    prompt: str
    is_request: bool
    identity: Mapping[str, Any]
    profile: str
    token: str
    #: What its SET is to say, word by word.
    options: tuple[bytes, ...] = ()


class Stats(Mapping[str, Any]):
    """The figures of STATS, by attribute and by name. US dollars are Decimals."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_fields"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Stats({self._fields!r})"
