"""Queries of SQLAlchemy: `install` watches what an engine writes, `cached_query` answers what it reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Connection, Engine, Result, event, text
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.util import await_only

from ..codecs import NotStorable
from ..flows import Call, Flow, arun, run
from .constructs import Compiled, changed, compiled, has_entities
from .dbapi import CachedConnection, is_open, query_plain
from .ledger import Ledger
from .queries import Asked, Queries, Settings, Tables, options
from .statements import EVERYTHING, Name, temporary, writing
from .values import Rows, RowsCodec, digest

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

    from ..cache import AsyncCache, Cache

Waiting = Engine | Connection | Session
#: Where a dialect, which each engine has one of, has what watches it.
_PLACE = "_llmcache_installed"
_KEY = "llmcache.ledger"
#: Levels at which each statement sees what is committed when it begins.
_PER_STATEMENT = frozenset(["READ COMMITTED", "READ UNCOMMITTED", "AUTOCOMMIT"])


def install(
    engine: Engine | AsyncEngine,
    cache: Cache | AsyncCache,
    *,
    database: str | None = None,
    ttl: float = 300.0,
    max_rows: int = 10_000,
    views: Tables | None = None,
    cascades: Tables | None = None,
    patience: float = 2.0,
) -> Installed:
    """Watches what an engine writes: answers of queries over a table go when a change of it is committed.

    Args:
        engine: The engine. All its connections and sessions are watched; a `raw_connection()` is not.
        cache: Where answers are kept. All processes that write to the database are to name the same one.
        database: What the database is called, in tags and keys. Without it, its URL less credentials; processes that
            reach one database by several names must say one.
        ttl: For how many seconds answers are kept, unless a query says otherwise.
        max_rows: Larger answers are not kept.
        views: The tables that each view reads: {"active_orders": ["orders", "customers"]}.
        cascades: The tables that a write to one changes as well, by triggers or by foreign keys that the metadata does
            not tell: {"orders": ["order_log"]}.
        patience: For how many seconds one who holds a connection waits for another's same query, before asking too.
    """
    sync: Engine = getattr(engine, "sync_engine", None) or engine  # type: ignore[assignment]
    there: Installed | None = getattr(sync.dialect, _PLACE, None)
    if there is not None:
        if there.cache is not cache:
            raise ValueError("this engine has another cache already: uninstall that first")
        return there
    installed = Installed(sync, cache, database, Settings(ttl, max_rows, views, cascades, patience))
    setattr(sync.dialect, _PLACE, installed)
    return installed


class Installed(Queries):
    """An engine that is watched."""

    def __init__(self, engine: Engine, cache: Any, database: str | None, settings: Settings) -> None:
        dialect: Any = engine.dialect
        who = digest([engine.url.drivername, engine.url.username, sorted(map(str, engine.url.query.items()))])
        super().__init__(cache, database or _name(engine), who, dialect.name, settings)
        self._dialect, self._is_async = dialect, bool(dialect.is_async)
        self._listening: list[tuple[str, Callable[..., None]]] = [
            ("begin", self._begin),
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
        ]
        self._engine = engine
        for name, listener in self._listening:
            event.listen(engine, name, listener)
        event.listen(engine, "handle_error", self._failed)
        # The events of these come before they are done, and what counts is what is done.
        for name in ("do_commit", "do_commit_twophase"):
            setattr(dialect, name, self._committing(getattr(dialect, name)))
        for name in ("do_rollback", "do_rollback_twophase"):
            setattr(dialect, name, self._rolling_back(getattr(dialect, name)))

    def uninstall(self) -> None:
        """Watches no more."""
        for name, listener in self._listening:
            event.remove(self._engine, name, listener)
        event.remove(self._engine, "handle_error", self._failed)
        for name in ("do_commit", "do_commit_twophase", "do_rollback", "do_rollback_twophase"):
            delattr(self._dialect, name)
        delattr(self._dialect, _PLACE)

    def ledger(self, connection: Connection) -> Ledger:
        """What a connection has written."""
        ledger: Ledger | None = connection.info.get(_KEY)
        if ledger is None:
            ledger = connection.info[_KEY] = Ledger()
            if connection.in_transaction():
                # It began before it was watched.
                ledger.before("", [EVERYTHING])
        return ledger

    def is_fresh(self, connection: Connection, ledger: Ledger) -> bool:
        """Whether a statement sees now all that is committed by now."""
        if ledger.statements == 0:
            return True
        if self.dialect == "sqlite":
            return is_open(connection.connection.driver_connection) is False
        return _level(connection) in _PER_STATEMENT and not ledger.keeps_snapshot

    def _begin(self, connection: Connection) -> None:
        ledger: Ledger | None = connection.info.get(_KEY)
        if ledger is None:
            connection.info[_KEY] = Ledger()
        elif ledger.writes:
            # How the last transaction ended was never told.
            self._spread(ledger.committed())

    def _before(self, connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        statement = getattr(getattr(context, "compiled", None), "statement", None)
        writes: Iterable[Name]
        if isinstance(statement, UpdateBase):
            writes = changed(statement, connection.get_execution_options().get("schema_translate_map"))
        else:
            writes = writing(sql, self.dialect)
        own = temporary(sql)
        if own is not None:
            self.note_temporary(own)
        self.ledger(connection).before(sql, writes)

    def _after(self, connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        is_over = _level(connection) == "AUTOCOMMIT"
        state = False if is_over else is_open(connection.connection.driver_connection)
        self._spread(self.ledger(connection).after(state))

    def _failed(self, context: Any) -> None:
        # A part of it may have been done, and be committed where each statement is.
        if context.connection is not None and context.cursor is not None and not context.is_disconnect:
            self._after(context.connection, context.cursor, "", None, None, False)

    def _committing(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        def do(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return commit(connection, *args, **kwargs)
            finally:
                # One that fails may have been done all the same.
                ledger = _ledger(connection)
                if ledger is not None:
                    self._spread(ledger.committed())

        return do

    def _rolling_back(self, rollback: Callable[..., Any]) -> Callable[..., Any]:
        def do(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return rollback(connection, *args, **kwargs)
            finally:
                ledger = _ledger(connection)
                if ledger is not None:
                    ledger.rolled_back()

        return do

    def _spread(self, written: set[Name]) -> None:
        if written:
            if self._is_async:
                await_only(arun(self.written(written)))
            else:
                run(self.written(written))


@overload
def cached_query(
    source: Waiting | scoped_session[Any] | CachedConnection | Any,
    statement: Any,
    parameters: Any = None,
    *,
    cache: Cache | AsyncCache | None = None,
    ttl: float | None = None,
    tables: Iterable[str] = (),
    tags: Iterable[str] = (),
    scope: str = "",
) -> Result[Any]: ...


@overload
def cached_query(
    source: AsyncEngine | AsyncConnection | AsyncSession | async_scoped_session[Any],
    statement: Any,
    parameters: Any = None,
    *,
    cache: Cache | AsyncCache | None = None,
    ttl: float | None = None,
    tables: Iterable[str] = (),
    tags: Iterable[str] = (),
    scope: str = "",
) -> Awaitable[Result[Any]]: ...


def cached_query(
    source: Any,
    statement: Any,
    parameters: Any = None,
    *,
    cache: Cache | AsyncCache | None = None,
    ttl: float | None = None,
    tables: Iterable[str] = (),
    tags: Iterable[str] = (),
    scope: str = "",
) -> Any:
    """The rows of a query, of the cache where they are there. As `execute` of the source, and awaited where that is.

    What cannot be kept is asked of the database: statements that write or lock, or answer differently each time;
    entities of the ORM (their columns are kept); tables that this transaction has written; anything nobody can read.

    Args:
        source: An engine, a connection or a session of SQLAlchemy, or a connection of DB-API.
        statement: A `select()`, a `text()`, or a str.
        parameters: Its parameters.
        cache: Where, if `install` has not said it.
        ttl: For how many seconds.
        tables: Tables that it reads and does not name, such as those of functions.
        tags: Tags beside those of the tables.
        scope: Whose rows these are, where a tenant or a role decides that and not the statement.
    """
    if hasattr(source, "registry") and callable(source):
        # A session for each thread or task.
        source = source()
    is_async = any(hasattr(source, name) for name in ("sync_engine", "sync_connection", "sync_session"))
    if not is_async and not isinstance(source, (Engine, Connection, Session)):
        return query_plain(source, statement, parameters, cache, ttl, tables, tags, scope)
    given = options(ttl, tags, tables)
    statement = text(statement) if isinstance(statement, str) else statement
    flow = _query(_doing(source), statement, parameters or {}, cache, ttl, given, scope)
    return arun(flow) if is_async else run(flow)


Doing = Callable[..., Any]


def _query(
    do: Doing,
    statement: Any,
    parameters: Any,
    cache: Any,
    ttl: float | None,
    given: tuple[tuple[str, ...], frozenset[Name]],
    scope: str,
) -> Flow[Result[Any]]:
    tags, more = given
    if has_entities(statement) or not isinstance(parameters, Mapping):
        through: Result[Any] = yield Call(do, (_execute, statement, parameters))
        return through
    place: _Place = yield Call(do, (_look, statement, cache), {"connects": False})
    made = compiled(statement, place.dialect, parameters, place.schemas)
    asked = _asked(place, made, more, scope)
    if asked is None:
        through = yield Call(do, (_execute, statement, parameters))
        return through
    tables, named = asked

    def make() -> Any:
        return do(_rows, statement, parameters)

    rows = yield from place.queries.ask(
        Asked(made.sql, named, tables, RowsCodec(made.enums), make, scope, ttl, tags, place.block)
    )
    columns = made.columns if made.columns is not None and len(made.columns) == len(rows.keys) else None
    return IteratorResult(SimpleResultMetaData(rows.keys, columns), iter(rows.rows))


def _asked(place: _Place, made: Compiled, more: frozenset[Name], scope: str) -> tuple[frozenset[Name], str] | None:
    """The tables and the name of the parameters; None where it is not to be kept."""
    # One that nobody can read may be kept if the caller says what it reads.
    if made.why_not or (made.tables is None and not more):
        return None
    tables = place.queries.reads((made.tables or frozenset()) | more)
    if not tables or place.queries.is_temporary(tables) or (place.is_personal and not scope):
        return None
    if place.ledger is not None and (place.ledger.touches(tables) or not place.is_fresh):
        return None
    try:
        return tables, digest([sorted(made.parameters.items()), made.types])
    except NotStorable:
        return None


class _Place:
    """Where a query is asked."""

    def __init__(self, engine: Engine, connection: Connection | None, cache: Any, personal: bool) -> None:
        self.dialect: Any = engine.dialect
        self.queries = _installed(engine, cache)
        self.ledger = None if connection is None else self.queries.ledger(connection)
        self.is_fresh = connection is None or self.queries.is_fresh(connection, self.queries.ledger(connection))
        self.is_personal = personal or (self.ledger is not None and self.ledger.is_personal)
        told = (engine if connection is None else connection).get_execution_options()
        self.schemas = told.get("schema_translate_map")
        self.block: float | None = None
        if self.ledger is not None:
            # Others may wait for what this connection holds, so it does not wait for them.
            self.block = 0.0 if self.ledger.writes else self.queries.settings.patience


def _installed(engine: Engine, cache: Any) -> Installed:
    there: Installed | None = getattr(engine.dialect, _PLACE, None)
    if there is None and cache is None:
        raise ValueError("no cache for this engine: install(engine, cache) first")
    if there is None or (cache is not None and cache is not there.cache):
        return install(engine, cache)
    return there


def _look(source: Waiting, statement: Any, cache: Any) -> _Place:
    if isinstance(source, Engine):
        return _Place(source, None, cache, False)
    if isinstance(source, Connection):
        return _Place(source.engine, source, cache, False)
    # Listeners of this event may add to any statement, such as the tenant.
    personal = bool(source.dispatch.do_orm_execute)
    if not source.in_transaction():
        bind = source.get_bind(clause=statement)
        return _Place(bind.engine, bind if isinstance(bind, Connection) else None, cache, personal)
    if source.autoflush:
        source.flush()
    connection = source.connection(bind_arguments={"clause": statement})
    return _Place(connection.engine, connection, cache, personal)


def _execute(source: Waiting, statement: Any, parameters: Any) -> Result[Any]:
    if isinstance(source, Engine):
        with source.begin() as connection:
            done: Result[Any] = _detached(connection.execute(statement, parameters))
            return done
    return source.execute(statement, parameters)


def _detached(done: Any) -> Any:
    """A result that outlives its connection."""
    return done.freeze()() if isinstance(done, Result) and not isinstance(done, IteratorResult) else done


def _rows(source: Waiting, statement: Any, parameters: Any) -> Rows:
    started = time.perf_counter()
    result = _execute(source, statement, parameters)
    rows = [tuple(row) for row in result.all()]
    return Rows(tuple(result.keys()), rows, (time.perf_counter() - started) * 1000)


def _doing(source: Any) -> Doing:
    """Does something with a source, awaiting where it is one of those."""
    if isinstance(source, (Engine, Connection, Session)):
        return lambda what, *args, connects=True: what(source, *args)
    if not hasattr(source, "run_sync"):
        # An AsyncEngine.

        async def connected(what: Any, *args: Any) -> Any:
            async with source.begin() as connection:
                return await connection.run_sync(lambda sync: _detached(what(sync, *args)))

        return lambda what, *args, connects=True: (
            connected(what, *args) if connects else what(source.sync_engine, *args)
        )
    return lambda what, *args, connects=True: source.run_sync(what, *args)


def _ledger(connection: Any) -> Ledger | None:
    try:
        ledger: Ledger | None = connection.info.get(_KEY)
    except NotImplementedError:
        # One that is only being set up.
        return None
    return ledger


def _level(connection: Connection) -> str:
    """The isolation of a connection's transactions, as far as SQLAlchemy was told."""
    dialect: Any = connection.dialect
    level = connection.get_execution_options().get("isolation_level") or dialect._on_connect_isolation_level
    return str(level or connection.default_isolation_level or "").replace("_", " ").upper()


def _name(engine: Engine) -> str:
    """What a database is called: its URL, without who asks and by which driver."""
    url, kind = engine.url, engine.dialect.name
    if kind == "sqlite":
        path = url.database or ""
        if not path or ":memory:" in path or "mode=memory" in path or url.query.get("mode") == "memory":
            return f"sqlite:memory-{id(engine.dialect):x}-{time.time_ns():x}"
        return f"sqlite:{path}" if path.startswith("file:") else f"sqlite:{Path(path).resolve()}"
    if not url.host and not url.database:
        return f"{kind}:{id(engine.dialect):x}-{time.time_ns():x}"
    return f"{kind}:{url.host or ''}:{url.port or ''}/{url.database or ''}"
