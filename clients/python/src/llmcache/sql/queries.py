"""Answers of queries in a cache, and what keeps them right.

Each set of tables has a stamp: a random word in the same cache, with the tags of these tables. The stamp is read before
the query is made, and is part of the key of its rows. A change of a table removes, by its tag, both the rows and the
stamp, so whatever is computed from an older state of the table is stored under a stamp that nobody reads any more. This
holds for all processes that share the cache, and for anyone who removes by tag what he has changed.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ops
from ..backends import Backend, Fallback, Near
from ..calls import Times, get_or_call
from ..flows import Call, Flow
from ..options import tags as tags_of
from ..question import Question
from ..types import LlmcacheError
from .statements import EVERYTHING, Name, names_of
from .values import Rows, RowsCodec, digest

if TYPE_CHECKING:
    from ..cache import AsyncCache, Cache

log = logging.getLogger("llmcache")

#: Of these an entry may have no more.
_MAX_TAGS = 64
_EXACT = ops.Terms(mode="exact")
_STAMP = ops.Terms(mode="exact", touch=False)
Tables = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Settings:
    """How the answers of one database's queries are kept."""

    #: Seconds, unless a call says otherwise.
    ttl: float = 300.0
    #: Larger answers are not kept.
    max_rows: int = 10_000
    #: The tables that each view reads.
    views: Tables | None = None
    #: The tables that a write to one changes as well, by triggers and foreign keys.
    cascades: Tables | None = None
    #: How long somebody who holds a connection waits for another's query, in seconds.
    patience: float = 2.0


@dataclass(frozen=True)
class Asked:
    """A query."""

    #: In its normal form.
    sql: str
    #: Names the parameters.
    parameters: str
    tables: frozenset[Name]
    codec: RowsCodec
    make: Callable[[], Rows | Awaitable[Rows]]
    #: Whoever sees other rows than others.
    scope: str = ""
    ttl: float | None = None
    tags: tuple[str, ...] = ()
    #: How long to wait for somebody else who asks the same.
    block: float | None = None


class Queries:
    """The cached answers of one database."""

    def __init__(self, cache: Cache | AsyncCache, database: str, who: str, dialect: str, settings: Settings) -> None:
        self.cache, self.settings, self.dialect = cache, settings, dialect
        self.database = database if len(database) <= 120 else f"{database[:80]}…{digest(database)}"
        self._who = who
        self._lock = threading.Lock()
        #: Removals that the cache has not taken yet.
        self._owed: dict[Name, int] = {}
        self._serial = 0
        self._temporary: set[Name] = set()
        self._views = _declared(settings.views)
        self._cascades = _declared(settings.cascades)

    # Tags

    def tag(self, table: str | Name = "") -> str:
        """The tag of a table's answers, or of all of this database: for LLMCACHE.INVALIDATE, from anywhere."""
        return f"sql:{self.database}:{table}" if table else f"sql:{self.database}"

    def reads(self, tables: Iterable[Name]) -> frozenset[Name]:
        """These tables, and those that views among them read."""
        return _spread(tables, self._views)

    def _read_tags(self, tables: Iterable[Name]) -> list[str]:
        found = {self.tag(table) for table in tables}
        # A write that names no schema may mean any.
        found |= {self.tag(f"*.{table.table}") for table in tables if table.schema}
        return ["sql", self.tag(), *sorted(found)]

    def _write_tags(self, tables: Iterable[Name]) -> list[str]:
        written = _spread(_spread(tables, self._views), self._cascades)
        if EVERYTHING in written:
            return [self.tag()]
        found = {self.tag(table.table) for table in written}
        found |= {self.tag(table if table.schema else f"*.{table.table}") for table in written}
        return sorted(found)

    # Tables that only one connection has

    def note_temporary(self, table: Name) -> None:
        """Notes that this name means different tables to different connections."""
        with self._lock:
            self._temporary.add(table)

    def is_temporary(self, tables: Iterable[Name]) -> bool:
        """Whether one of these is such a table."""
        with self._lock:
            return any(table.meets(other) for table in tables for other in self._temporary)

    # Asking

    def ask(self, asked: Asked) -> Flow[Rows]:
        """The rows, of the cache or of the database. Where the cache cannot help, the query is made."""
        backend, tags = _shared(self.cache.backend), self._read_tags(asked.tables)
        stamp = None
        if len(tags) + len(asked.tags) <= _MAX_TAGS and (yield from self._settle()):
            try:
                stamp = yield from self._stamp(backend, asked.tables, tags)
            except LlmcacheError as error:
                log.warning("llmcache: a query is not looked up (%s)", error)
        if stamp is None:
            rows: Rows = yield Call(asked.make)
            return rows
        context = {"sql": self.database, "parameters": asked.parameters, "stamp": stamp, "as": self._who}
        question = Question(asked.sql, params=context, scope=asked.scope or self.cache.scope)
        times = Times(self.cache.times.lease, self.cache.times.block if asked.block is None else asked.block)

        def keep(rows: Rows) -> ops.Keep | None:
            if len(rows.rows) > self.settings.max_rows:
                return None
            meta = {
                "statement": asked.sql,
                "database": self.database,
                "tables": sorted(str(table) for table in asked.tables),
                "ms": round(rows.took, 3),
                "rows": len(rows.rows),
            }
            return ops.Keep(
                ttl=self.settings.ttl if asked.ttl is None else asked.ttl,
                type="sql", tags=(*tags, *asked.tags), cost=0, tokens=(0, 0), latency=rows.took, meta=meta,
            )  # fmt: skip

        codec: Any = asked.codec
        call = Call(asked.make)
        result = yield from get_or_call(backend, question, call, codec, terms=_EXACT, keep=keep, times=times)
        found: Rows = result.response
        return found

    def _stamp(self, backend: Backend, tables: Iterable[Name], tags: list[str]) -> Flow[str | None]:
        """The stamp of these tables as it is now. None where it changes faster than it is read, or cannot be kept."""
        named = " ".join(sorted(str(table) for table in tables))
        question = Question(f"stamp of {named}", params={"sql": self.database})
        keep = ops.Keep(persist=True, type="sql-stamp", tags=tuple(tags), cost=0, tokens=(0, 0), latency=0)
        for _ in range(3):
            there = yield from backend.flow(ops.Get(question, _STAMP))
            if there is not None:
                return there.text
            mine = secrets.token_hex(8)
            if (yield from backend.flow(ops.Set(question, mine.encode(), keep, condition="nx"))):
                return mine
        return None

    # Changing

    def written(self, tables: Iterable[Name]) -> Flow[None]:
        """Removes what was made of these tables. What the cache does not take now it is told before the next read."""
        yield from self._settle(tables)

    def _settle(self, tables: Iterable[Name] = ()) -> Flow[bool]:
        """Whether the cache knows of all changes of this process, these included."""
        with self._lock:
            # Each change is known by its number: a removal that began before it does not count for it.
            self._serial += 1
            self._owed.update(dict.fromkeys(tables, self._serial))
            owed = dict(self._owed)
        if not owed:
            return True
        tags = self._write_tags(owed)
        try:
            for start in range(0, len(tags), _MAX_TAGS):
                selection = ops.Selection(tags=tuple(tags[start : start + _MAX_TAGS]))
                yield from self.cache.backend.flow(ops.Invalidate(selection))
        except LlmcacheError as error:
            log.warning("llmcache: changed tables are not removed yet; queries go to the database (%s)", error)
            return False
        with self._lock:
            for table, serial in owed.items():
                if self._owed.get(table) == serial:
                    del self._owed[table]
        return True


def options(ttl: float | None, tags: Iterable[str], tables: Iterable[str]) -> tuple[tuple[str, ...], frozenset[Name]]:
    """What a call says, checked."""
    if ttl is not None and ttl <= 0:
        raise ValueError(f"ttl must be above 0, got {ttl}")
    return tags_of(tags), names_of(tables)  # type: ignore[arg-type]


def _declared(tables: Tables | None) -> list[tuple[Name, frozenset[Name]]]:
    found = []
    for name, others in (tables or {}).items():
        (one,) = names_of([name])
        found.append((one, names_of(others)))
    return found


def _spread(tables: Iterable[Name], declared: list[tuple[Name, frozenset[Name]]]) -> frozenset[Name]:
    """Tables with all that follow from them."""
    found, new = set(tables), set(tables)
    while new:
        new = {other for one, others in declared if any(one.meets(it) for it in new) for other in others} - found
        found |= new
    return frozenset(found)


def _shared(backend: Backend) -> Backend:
    """What all processes have in common: no copy of this process, and nothing in the place of the server."""
    if isinstance(backend, Near):
        backend = backend.backend
    return backend.shared if isinstance(backend, Fallback) else backend
