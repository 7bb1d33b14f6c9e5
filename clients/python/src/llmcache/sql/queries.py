"""Answers of queries in a cache, and what keeps them right.

Each set of tables has a stamp: a random word in the same cache, with the tags of these tables. The stamp is read before
the query is made, and is part of the key of its rows. A change of a table removes, by its tag, both the rows and the
stamp, so whatever is computed from an older state of the table is stored under a stamp that nobody reads any more. This
holds for all processes that share the cache, and for anyone who removes by tag what he has changed.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import ops
from ..backends import Backend, Fallback, Near
from ..calls import Times, get_or_call
from ..codecs import NotStorable
from ..flows import Call, Flow
from ..options import tags as tags_of
from ..question import Question
from ..types import LlmcacheError
from .debts import MAX_TAGS, debts_of
from .identity import Followers, Identity
from .ledger import Ledger
from .statements import EVERYTHING, Name, names_of
from .values import Rows, RowsCodec, digest

if TYPE_CHECKING:
    from ..cache import AsyncCache, Cache

log = logging.getLogger("llmcache")

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
    #: What of the connection decides its rows.
    who: str = ""
    #: Whoever sees other rows than others.
    scope: str = ""
    ttl: float | None = None
    tags: tuple[str, ...] = ()
    #: How long to wait for somebody else who asks the same.
    block: float | None = None


@dataclass
class Place:
    """From where a query is asked."""

    #: None where it is not known.
    identity: Identity | None
    #: None where no connection is at hand.
    ledger: Ledger | None = None
    #: Whether it sees now all that is committed by now.
    is_fresh: bool = True
    #: Whether its rows may be others than those of the next one who asks.
    is_personal: bool = False

    @property
    def who(self) -> str:
        """What of the connection decides its rows."""
        return "" if self.identity is None else self.identity.who

    def keeps(self, tables: Iterable[Name], scope: str) -> bool:
        """Whether the rows of these tables are those that anybody with this scope is told."""
        if self.identity is None or self.identity.is_private or (self.is_personal and not scope):
            return False
        ledger = self.ledger
        if ledger is None:
            return True
        if ledger.has_temporary or (ledger.is_personal and not scope):
            return False
        return self.is_fresh and not ledger.touches(tables)


class Queries:
    """The cached answers of one database."""

    def __init__(self, cache: Cache | AsyncCache, database: str, dialect: str, settings: Settings) -> None:
        self.cache, self.settings, self.dialect = cache, settings, dialect
        self.database = database if len(database) <= 120 else f"{database[:80]}…{digest(database)}"
        self._views = _declared(settings.views)
        self._cascades = _declared(settings.cascades)
        #: Which tables change with others, as the database says itself. None where that is to be asked.
        self.followers: Followers | None = None

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

    # Asking

    def named(self, place: Place, tables: Iterable[Name], given: Any, scope: str) -> tuple[frozenset[Name], str] | None:
        """The tables and the name of what is given; none where the answer is not to be kept."""
        found = self.reads(tables)
        if not found or not place.keeps(found, scope):
            return None
        try:
            return found, digest(given)
        except NotStorable:
            return None

    def ask(self, asked: Asked) -> Flow[Rows]:
        """The rows, of the cache or of the database. Where the cache cannot help, the query is made."""
        backend, tags = _shared(self.cache.backend), self._read_tags(asked.tables)
        stamp = None
        if len(tags) + len(asked.tags) <= MAX_TAGS and (yield from self.settle()):
            try:
                stamp = yield from self._stamp(backend, asked.tables, tags)
            except LlmcacheError as error:
                log.warning("llmcache: a query is not looked up (%s)", error)
        if stamp is None:
            rows: Rows = yield Call(asked.make)
            return rows
        context = {"sql": self.database, "parameters": asked.parameters, "stamp": stamp, "as": asked.who}
        question = Question(asked.sql, params=context, scope=asked.scope or self.cache.scope)
        times = Times(self.cache.times.lease, self.cache.times.block if asked.block is None else asked.block)

        def keep(rows: Rows) -> ops.Keep | None:
            if rows.is_private or not rows.keys or len(rows.rows) > self.settings.max_rows:
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
        named = json.dumps(sorted(tables))
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

    def follows(self, sql: str, writes: Iterable[Name]) -> set[Name]:
        """What is written, and what changes with it."""
        found = set(writes)
        if not found or EVERYTHING in found:
            return found
        return {EVERYTHING} if self.followers is None else self.followers.of(sql, self.dialect, found)

    def owe(self, tables: Iterable[Name]) -> None:
        """Notes that what was made of these tables is out of date."""
        debts_of(self.cache.backend).owe(self._write_tags(tables))

    def later(self) -> None:
        """Sees to it that what is owed is removed in the background."""
        debts_of(self.cache.backend).later(_shared(self.cache.backend))

    def settle(self) -> Flow[bool]:
        """Removes what is owed; whether the cache knows of all changes of this process. What it does not take now it is
        told later, and before the next read."""
        return (yield from debts_of(self.cache.backend).settle(_shared(self.cache.backend)))


def options(ttl: float | None, tags: Iterable[str], tables: Iterable[str]) -> tuple[tuple[str, ...], frozenset[Name]]:
    """What a call says, checked."""
    if ttl is not None and ttl <= 0:
        raise ValueError(f"ttl must be above 0, got {ttl}")
    return tags_of(tags), names_of(tables)  # type: ignore[arg-type]


Declared = Mapping[str, list[tuple[Name, frozenset[Name]]]]


def _declared(tables: Tables | None) -> Declared:
    found: dict[str, list[tuple[Name, frozenset[Name]]]] = {}
    for name, others in (tables or {}).items():
        (one,) = names_of([name])
        found.setdefault(one.table, []).append((one, names_of(others)))
    return found


def _spread(tables: Iterable[Name], declared: Declared) -> frozenset[Name]:
    """Tables with all that follow from them."""
    found, new = set(tables), set(tables)
    while new and declared:
        follow = (others for it in new for one, others in declared.get(it.table, ()) if one.meets(it))
        new = {other for others in follow for other in others} - found
        found |= new
    return frozenset(found)


def _shared(backend: Backend) -> Backend:
    """What all processes have in common: no copy of this process, and nothing in the place of the server."""
    if isinstance(backend, Near):
        backend = backend.backend
    return backend.shared if isinstance(backend, Fallback) else backend
