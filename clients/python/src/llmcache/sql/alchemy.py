"""Queries of SQLAlchemy: `install` watches what an engine writes, `cached_query` answers what it reads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Connection, Engine, Result, event, text
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.util import await_only

from ..flows import Call, Flow, arun, run
from .constructs import Compiled, changed, compiled, has_entities
from .dbapi import CachedConnection, is_open, query_plain
from .identity import NOBODY, Identity, converts, driver_name, file_name, followers, identify, url_name
from .ledger import Ledger
from .queries import Asked, Place, Queries, Settings, Tables, options
from .statements import EVERYTHING, Name, names_of, writing
from .values import Rows, RowsCodec

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

    from ..cache import AsyncCache, Cache

log = logging.getLogger("llmcache")

Waiting = Engine | Connection | Session
#: Where a dialect, which each engine has one of, has what watches it.
_PLACE = "_llmcache_installed"
_KEY = "llmcache.ledger"
_IDENTITY = "llmcache.identity"
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
        database: What the database is called, in tags and keys. Without it, its machine, port and name by the URL, or
            this machine and its file; processes that reach one database by several names, or read its replicas, must
            say one.
        ttl: For how many seconds answers are kept, unless a query says otherwise.
        max_rows: Larger answers are not kept.
        views: The tables that each view reads: {"active_orders": ["orders", "customers"]}.
        cascades: The tables that a write to one changes as well, by triggers: {"orders": ["order_log"]}. Foreign keys
            and partitions are known of SQLite and PostgreSQL.
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
        #: What connections are to say of themselves, if `database` does not say it.
        self._expected = None if database else url_name(dialect.name, engine.url)
        private = f"{dialect.name}:{id(dialect):x}-{time.time_ns():x}"
        super().__init__(cache, database or self._expected or private, dialect.name, settings)
        self._dialect, self._is_async = dialect, bool(dialect.is_async)
        #: What the first connection was; all are to be alike.
        self.identity: Identity | None = None
        self._has_failed = self._is_mute = False
        self._engine = engine
        listening: list[tuple[str, Callable[..., None]]] = [
            ("checkout", self._checked_out),
            ("begin", self._begin),
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("handle_error", self._failed),
        ]
        self._listening = [(name, self._guarded(listener)) for name, listener in listening]
        for name, listener in self._listening:
            event.listen(engine, name, listener)
        # The events of these come before they are done, and what counts is what is done.
        for name in ("do_commit", "do_commit_twophase"):
            setattr(dialect, name, self._committing(getattr(dialect, name)))
        for name in ("do_rollback", "do_rollback_twophase"):
            setattr(dialect, name, self._rolling_back(getattr(dialect, name)))

    def uninstall(self) -> None:
        """Watches no more."""
        for name, listener in self._listening:
            event.remove(self._engine, name, listener)
        for name in ("do_commit", "do_commit_twophase", "do_rollback", "do_rollback_twophase"):
            delattr(self._dialect, name)
        delattr(self._dialect, _PLACE)

    def changed(self, source: Any, *tables: str) -> None:
        """Says that a connection or session changes tables unseen, by a function for example. It counts when its
        transaction is committed."""
        source = source() if hasattr(source, "registry") and callable(source) else source
        source = getattr(source, "sync_connection", None) or getattr(source, "sync_session", None) or source
        if isinstance(source, Session):
            if self._is_async:
                raise TypeError("of an AsyncSession say its connection: await session.connection()")
            source = source.connection()
        self.ledger(source).before("", names_of(tables) or [EVERYTHING])

    def ledger(self, connection: Connection) -> Ledger:
        """What a connection has written."""
        ledger: Ledger | None = connection.info.get(_KEY)
        if ledger is None:
            ledger = connection.info[_KEY] = Ledger()
            if connection.in_transaction():
                # It began before it was watched.
                ledger.doubt()
        return ledger

    def is_fresh(self, connection: Connection, ledger: Ledger) -> bool:
        """Whether a statement sees now all that is committed by now."""
        if ledger.statements == 0:
            return True
        if self.dialect == "sqlite":
            return is_open(connection.connection.driver_connection) is False
        identity: Identity | None = connection.info.get(_IDENTITY)
        if identity is None or identity.keeps_snapshot or ledger.keeps_snapshot:
            return False
        return _level(connection) in _PER_STATEMENT

    def is_alike(self, connection: Connection, identity: Identity | None, scope: str) -> bool:
        """Whether rows that a connection has told are those that anybody is told who has this identity and scope."""
        there: Identity | None = connection.info.get(_IDENTITY)
        ledger = self.ledger(connection)
        is_anybodys = not ledger.has_temporary and (bool(scope) or not ledger.is_personal)
        return there is not None and identity is not None and there == identity and is_anybodys

    def is_personal(self) -> bool:
        """Whether listeners that set up a connection each time may decide what its rows are."""
        return len(list(self._engine.pool.dispatch.checkout)) > 1

    def _guarded(self, listener: Callable[..., None]) -> Callable[..., None]:
        """A listener that breaks no statement: where it fails itself, all of the database counts as changed."""

        def listen(*args: Any) -> None:
            try:
                listener(*args)
            except Exception:
                self._fails()
                ledger = _ledger(args[0])
                if ledger is not None:
                    ledger.doubt()

        return listen

    def _fails(self) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.exception("llmcache: a statement cannot be watched; all of the database counts as changed")
        self.owe([EVERYTHING])
        self.later()

    def _checked_out(self, connection: Any, record: Any, fairy: Any) -> None:
        """Finds out what a connection is and how its tables hang together, before anybody uses it."""
        is_known = record.info.get(_IDENTITY) is not None
        if (is_known and self.followers is not None) or is_open(record.driver_connection) is True:
            return

        def fetch(sql: str) -> list[tuple[Any, ...]]:
            cursor = connection.cursor()
            try:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()]
            finally:
                cursor.close()

        try:
            if not is_known:
                record.info[_IDENTITY] = found = self._identified(fetch, record.driver_connection)
                if self.dialect == "sqlite" and found is not NOBODY and converts(fetch, connection.rollback):
                    record.info[_IDENTITY] = found = NOBODY
                if self.identity is None and (found is NOBODY or not found.is_private):
                    self.identity = found
            if self.followers is None:
                self.followers = followers(fetch, self.dialect)
        except Exception as error:
            record.info[_IDENTITY] = NOBODY
            level = logging.DEBUG if self._is_mute else logging.WARNING
            self._is_mute = True
            log.log(level, "llmcache: a connection does not tell what it is, and is not cached (%s)", error)
        if self.dialect == "postgresql" or is_open(record.driver_connection):
            connection.rollback()

    def _identified(self, fetch: Any, driver: Any) -> Identity:
        dialect, query = self._dialect, self._engine.url.query
        more = [dialect.name, dialect.driver, *sorted(map(str, query.items())), getattr(driver, "text_factory", "")]
        if self.dialect not in ("sqlite", "postgresql"):
            more.append(self._engine.url.username)
        found = identify(fetch, self.dialect, more)
        told = self._told(found, driver)
        if self._expected is not None and told != self._expected:
            log.warning("llmcache: not cached, for it is %s and not %s: say database=", told, self._expected)
            return NOBODY
        return found

    def _told(self, found: Identity, driver: Any) -> str | None:
        """What a connection says that its database is called; what is expected, where it says nothing."""
        expected = self._expected or ""
        if self.dialect == "sqlite" and "file:" not in expected:
            return file_name(found.database or "")
        if self.dialect != "postgresql" or "," in expected:
            # Of several machines it is one.
            return expected
        return driver_name(driver) or url_name(self.dialect, self._engine.url.set(database=found.database))

    def _begin(self, connection: Connection) -> None:
        ledger: Ledger | None = connection.info.get(_KEY)
        if ledger is None:
            connection.info[_KEY] = Ledger()
        elif ledger.writes:
            # How the last transaction ended was never told.
            self._spread(ledger)

    def _before(self, connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        statement = getattr(getattr(context, "compiled", None), "statement", None)
        told = getattr(context, "execution_options", None) or connection.get_execution_options()
        writes: Iterable[Name]
        if isinstance(statement, UpdateBase):
            writes = changed(statement, told.get("schema_translate_map"))
        else:
            writes = writing(sql, self.dialect)
        ledger = self.ledger(connection)
        ledger.before(sql, self.follows(sql, writes), self.dialect)
        if ledger.defines:
            self.followers = None

    def _after(self, connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        is_over = _level(connection) == "AUTOCOMMIT"
        state = False if is_over else is_open(connection.connection.driver_connection)
        ledger = self.ledger(connection)
        defines = ledger.defines
        self._remove(ledger.after(state), defines)

    def _failed(self, context: Any) -> None:
        # A part of it may have been done, and be committed where each statement is.
        connection = context.connection
        if connection is None:
            return
        if context.is_disconnect:
            # Nobody was told what became of it.
            ledger = _ledger(connection)
            if ledger is not None:
                self._spread(ledger)
        elif context.execution_context is not None:
            self._after(connection, None, "", None, None, False)

    def _committing(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        def do(connection: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return commit(connection, *args, **kwargs)
            finally:
                # One that fails may have been done all the same.
                ledger = _ledger(connection)
                if ledger is not None:
                    self._spread(ledger)

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

    def _spread(self, ledger: Ledger) -> None:
        defines = ledger.defines
        self._remove(ledger.committed(), defines)

    def _remove(self, written: set[Name], defines: bool) -> None:
        if defines:
            self.followers = None
        if not written:
            return
        try:
            self.owe(written)
            if self._is_async:
                await_only(_shielded(self.settle()))
            else:
                run(self.settle())
        except Exception:
            self._fails()


#: Removals that go on though nobody waits for them any more.
_under_way: set[asyncio.Future[Any]] = set()


async def _shielded(flow: Flow[Any]) -> None:
    """Does all of it, also where whoever waits is cancelled."""
    task = asyncio.ensure_future(arun(flow))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    await asyncio.shield(task)


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
    if place.identity is None and place.ledger is None:
        # What connections there are is found out by the first one.
        yield Call(do, (_meet, statement))
        place = yield Call(do, (_look, statement, cache), {"connects": False})
    made, asked = _asked(place, statement, parameters, more, scope)
    if made is None or asked is None or place.identity is None:
        through = yield Call(do, (_execute, statement, parameters))
        return through
    (tables, named), identity = asked, place.identity

    def make() -> Any:
        return do(_rows, statement, parameters, place.queries, identity, scope)

    codec = RowsCodec(made.enums)
    rows = yield from place.queries.ask(
        Asked(made.sql, named, tables, codec, make, identity.who, scope, ttl, tags, place.block)
    )
    columns = made.columns if made.columns is not None and len(made.columns) == len(rows.keys) else None
    return IteratorResult(SimpleResultMetaData(rows.keys, columns), iter(rows.rows))


def _asked(
    place: _Place, statement: Any, parameters: Mapping[str, Any], more: frozenset[Name], scope: str
) -> tuple[Compiled | None, tuple[frozenset[Name], str] | None]:
    """What is asked; none where the answer is not to be kept."""
    try:
        schemas = {**statement.get_execution_options(), **place.options}.get("schema_translate_map")
        made = compiled(statement, place.dialect, parameters, schemas)
    except Exception as error:
        # The database is to say so, where it is wrong.
        log.debug("llmcache: a statement is not understood, and not cached (%r)", error)
        return None, None
    # One that nobody can read may be kept if the caller says what it reads.
    if made.why_not or (made.tables is None and not more):
        return made, None
    given = [sorted(made.parameters.items()), made.types]
    return made, place.queries.named(place, (made.tables or frozenset()) | more, given, scope)


class _Place(Place):
    """Where a query is asked."""

    def __init__(self, engine: Engine, connection: Connection | None, cache: Any, personal: bool) -> None:
        self.dialect: Any = engine.dialect
        self.queries = queries = _installed(engine, cache)
        self.options = (engine if connection is None else connection).get_execution_options()
        self.block: float | None = None
        is_personal = personal or queries.is_personal()
        if connection is None:
            super().__init__(queries.identity, is_personal=is_personal)
            return
        ledger = queries.ledger(connection)
        identity = connection.info.get(_IDENTITY) or NOBODY
        super().__init__(identity, ledger, queries.is_fresh(connection, ledger), is_personal)
        # Others may wait for what this connection holds, so it does not wait for them.
        self.block = 0.0 if ledger.writes else queries.settings.patience


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
    bound = _bound(statement)
    if not source.in_transaction():
        bind = source.get_bind(**bound)
        return _Place(bind.engine, bind if isinstance(bind, Connection) else None, cache, personal)
    if source.autoflush:
        source.flush()
    connection = source.connection(bind_arguments=bound)
    return _Place(connection.engine, connection, cache, personal)


def _bound(statement: Any) -> dict[str, Any]:
    """By what a session finds out which database a statement is for."""
    subject = getattr(statement, "_propagate_attrs", {}).get("plugin_subject")
    mapper = getattr(subject, "mapper", None)
    return {"clause": statement} if mapper is None else {"clause": statement, "mapper": mapper}


def _meet(source: Waiting, statement: Any) -> None:
    """Opens a connection, if there is none."""
    if isinstance(source, Session):
        source = source.get_bind(**_bound(statement)).engine
    if isinstance(source, Engine):
        source.connect().close()


def _execute(source: Waiting, statement: Any, parameters: Any) -> Result[Any]:
    if isinstance(source, Engine):
        with source.begin() as connection:
            done: Result[Any] = _detached(connection.execute(statement, parameters))
            return done
    return source.execute(statement, parameters)


def _detached(done: Any) -> Any:
    """A result that outlives its connection."""
    return done.freeze()() if isinstance(done, Result) and not isinstance(done, IteratorResult) else done


def _rows(source: Waiting, statement: Any, parameters: Any, queries: Installed, identity: Identity, scope: str) -> Rows:
    if isinstance(source, Engine):
        with source.begin() as connection:
            return _rows(connection, statement, parameters, queries, identity, scope)
    started = time.perf_counter()
    result = source.execute(statement, parameters)
    rows, keys = [tuple(row) for row in result.all()], tuple(result.keys())
    took = (time.perf_counter() - started) * 1000
    connection = source.connection(bind_arguments=_bound(statement)) if isinstance(source, Session) else source
    return Rows(keys, rows, took, not queries.is_alike(connection, identity, scope))


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
    except Exception:
        # One that is only being set up, or is gone.
        return None
    return ledger


def _level(connection: Connection) -> str:
    """The isolation of a connection's transactions, as far as SQLAlchemy was told."""
    dialect: Any = connection.dialect
    level = connection.get_execution_options().get("isolation_level") or dialect._on_connect_isolation_level
    return str(level or connection.default_isolation_level or "").replace("_", " ").upper()
