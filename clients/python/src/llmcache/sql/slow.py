"""Which queries take long, and which of them the cache is worth most for."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from .. import ops
from ..flows import Flow, arun, run

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..cache import AsyncCache, Cache


@dataclass
class Figures:
    """A statement, with whatever parameters, as far as its answers are in the cache now."""

    statement: str
    database: str
    tables: tuple[str, ...] = ()
    #: How many answers, one for each set of parameters.
    entries: int = 0
    hits: int = 0
    #: Milliseconds that the database took, on average and at most.
    mean_ms: float = 0.0
    max_ms: float = 0.0
    #: Milliseconds that hits have saved.
    saved_ms: float = 0.0
    rows: int = 0
    #: As they are stored.
    bytes: int = 0
    #: Hours for which the oldest of them has been there, and at least a minute.
    hours: float = 1 / 60

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return self.entries + self.hits

    @property
    def worth(self) -> float:
        """Milliseconds that are saved for each byte and hour."""
        return self.saved_ms / max(1, self.bytes) / self.hours


@dataclass
class SlowQueries:
    """Statements, the first the most of its kind."""

    slowest: list[Figures] = field(default_factory=list)
    most_frequent: list[Figures] = field(default_factory=list)
    most_valuable: list[Figures] = field(default_factory=list)
    #: How many answers were looked at, and whether there are more.
    seen: int = 0
    is_partial: bool = False


@overload
def slow_queries(cache: Cache, *, top: int = 10, limit: int = 1000, database: str | None = None) -> SlowQueries: ...


@overload
def slow_queries(
    cache: AsyncCache, *, top: int = 10, limit: int = 1000, database: str | None = None
) -> Awaitable[SlowQueries]: ...


def slow_queries(cache: Any, *, top: int = 10, limit: int = 1000, database: str | None = None) -> Any:
    """Statements by how long they take, how often they are asked, and what their answers save.

    They are those whose answers are in the cache now: what a change has removed is not counted any more.

    Args:
        cache: The cache. One to await is awaited.
        top: How many of each kind.
        limit: How many answers are looked at; each is a small command of its own.
        database: Only queries of this one, by the name that its tags have.
    """
    from ..cache import AsyncCache

    if top < 1 or limit < 1:
        raise ValueError(f"top and limit must be at least 1, got {top} and {limit}")
    flow = _slow(cache, top, limit, "sql" if database is None else f"sql:{database}")
    return arun(flow) if isinstance(cache, AsyncCache) else run(flow)


def _slow(cache: Any, top: int, limit: int, tag: str) -> Flow[SlowQueries]:
    found: dict[tuple[str, str], Figures] = {}
    told, cursor = SlowQueries(), "0"
    while True:
        cursor, page = yield from cache.backend.flow(ops.Scan(cursor, min(limit, 500), tag=tag))
        for id, _ in page:
            if told.seen >= limit:
                told.is_partial = True
                break
            entry = yield from cache.backend.flow(ops.GetEntry(id, False))
            if entry is not None and entry.type == "sql":
                told.seen += _add(found, entry)
        if cursor == "0" or told.is_partial:
            break
    figures = list(found.values())
    told.slowest = sorted(figures, key=lambda one: -one.mean_ms)[:top]
    told.most_frequent = sorted(figures, key=lambda one: -one.calls)[:top]
    told.most_valuable = sorted(figures, key=lambda one: (-one.worth, -one.mean_ms))[:top]
    return told


def _add(found: dict[tuple[str, str], Figures], entry: Any) -> bool:
    try:
        meta = json.loads(entry.meta)
        statement, database, took, rows = meta["statement"], meta["database"], float(meta["ms"]), int(meta["rows"])
        tables = tuple(map(str, meta["tables"]))
    except (ValueError, KeyError, TypeError):
        return False
    one = found.setdefault((database, statement), Figures(statement, database, tables))
    one.mean_ms = (one.mean_ms * one.entries + took) / (one.entries + 1)
    one.max_ms = max(one.max_ms, took)
    one.entries += 1
    one.hits += entry.hits
    one.saved_ms += took * entry.hits
    one.rows += rows
    one.bytes += entry.stored
    one.hours = max(one.hours, (time.time() * 1000 - entry.created) / 3_600_000)
    return True
