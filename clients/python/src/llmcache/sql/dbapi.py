"""Queries of plain DB-API connections, such as those of sqlite3 and psycopg."""

from __future__ import annotations

import importlib
import inspect
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Result
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from ..flows import run
from .identity import NOBODY, Identity, converts, driver_name, file_name, followers, identify
from .ledger import Ledger
from .queries import Asked, Place, Queries, Settings, Tables, options
from .statements import EVERYTHING, Name, names_of, normal, reading, system_table, why_not, writing
from .values import Rows, RowsCodec

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..cache import AsyncCache, Cache

log = logging.getLogger("llmcache")

_DIALECTS = {"sqlite3": "sqlite", "pymysql": "mysql", "MySQLdb": "mysql", "pyodbc": "mssql", "pymssql": "mssql"}


def is_open(driver: Any) -> bool | None:
    """Whether a driver's connection has a transaction open; None where it does not tell."""
    try:
        told = getattr(driver, "in_transaction", None)
        if told is None and hasattr(driver, "is_in_transaction"):
            told = driver.is_in_transaction()
        if told is None and hasattr(getattr(driver, "info", None), "transaction_status"):
            told = int(driver.info.transaction_status) != 0
    except Exception:
        return None
    return None if told is None else bool(told)


class CachedConnection:
    """A connection whose queries are answered of the cache, and whose changes remove what was made of these tables.

    It is used like the connection itself; `query` is what the cache answers. Changes that go past it, by the driver's
    own means for bulk loads for example, are to be told with `changed`.
    """

    def __init__(
        self,
        connection: Any,
        cache: Cache | AsyncCache,
        *,
        database: str | None = None,
        ttl: float = 300.0,
        max_rows: int = 10_000,
        views: Tables | None = None,
        cascades: Tables | None = None,
        patience: float = 2.0,
        variant: str = "",
    ) -> None:
        """A connection; see `install` for what the rest means.

        Args:
            variant: Names what makes values of this connection's rows others than those of others: `detect_types` of
                sqlite3, and loaders of psycopg, with which nothing is cached otherwise.
        """
        _refuse_async(connection)
        self._connection, self._variant = connection, variant
        settings = Settings(ttl, max_rows, views, cascades, patience)
        name = database or _database(connection) or f"private-{secrets.token_hex(8)}"
        self.queries = Queries(cache, name, _dialect(connection), settings)
        self._identity: Identity | None = None
        #: Whether it does not tell what it is.
        self._is_mute = False
        #: Whether all its statements come by here.
        self._is_wrapped = True
        self._ledger = Ledger()
        if is_open(connection):
            self._ledger.doubt()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
            return
        try:
            setattr(self._connection, name, value)
        finally:
            # Some of them end the transaction.
            self._made()

    @property
    def connection(self) -> Any:
        """The connection itself."""
        return self._connection

    def cursor(self, *args: Any, **kwargs: Any) -> CachedCursor:
        """A cursor whose changes are seen."""
        return CachedCursor(self, self._connection.cursor(*args, **kwargs))

    def execute(self, sql: Any, *args: Any, **kwargs: Any) -> CachedCursor:
        """As the connection's own, where it has one."""
        return CachedCursor(self, self._do(sql, lambda: self._connection.execute(sql, *args, **kwargs)))

    def executemany(self, sql: Any, *args: Any, **kwargs: Any) -> CachedCursor:
        """As the connection's own, where it has one."""
        return CachedCursor(self, self._do(sql, lambda: self._connection.executemany(sql, *args, **kwargs)))

    def executescript(self, script: str) -> CachedCursor:
        """As that of sqlite3, which commits first."""
        return CachedCursor(self, self._script(script, lambda: self._connection.executescript(script)))

    def query(
        self,
        sql: str,
        parameters: Any = (),
        *,
        ttl: float | None = None,
        tables: Iterable[str] = (),
        tags: Iterable[str] = (),
        scope: str = "",
    ) -> Result[Any]:
        """The rows of a query, of the cache where they are there; see `cached_query`."""
        own, more = options(ttl, tags, tables)
        parameters = () if parameters is None else parameters

        def make() -> Rows:
            return _rows(self._connection, sql, parameters)

        try:
            text, place = _text(sql, self._connection), self._place()
            asked = self._asked(place, text, parameters, more, scope)
        except Exception as error:
            # The database is to say so, where it is wrong.
            log.debug("llmcache: a statement is not understood, and not cached (%r)", error)
            asked = None
        if asked is None:
            rows: Rows = self._do(sql, make)
        else:
            block = 0.0 if self._ledger.writes else self.queries.settings.patience
            found, named = asked
            self._ledger.statements += is_open(self._connection) is not False
            text, who = normal(text, self.queries.dialect), place.who
            rows = run(self.queries.ask(Asked(text, named, found, RowsCodec(), make, who, scope, ttl, own, block)))
        return IteratorResult(SimpleResultMetaData(rows.keys), iter(rows.rows))

    def _asked(
        self, place: Place, sql: str, parameters: Any, more: frozenset[Name], scope: str
    ) -> tuple[frozenset[Name], str] | None:
        """The tables and the name of the parameters; none where the answer is not to be kept."""
        dialect = self.queries.dialect
        is_named = isinstance(parameters, Mapping)
        values = list(parameters.values()) if is_named else list(parameters)
        found = reading(sql, dialect)
        if why_not(sql, dialect, values) or (found is None and (not more or writing(sql, dialect))):
            return None
        tables = more if found is None else found.tables | more
        if (found is not None and found.why_not) or system_table(tables):
            return None
        given = sorted(parameters.items()) if is_named else values
        return self.queries.named(place, tables, given, scope)

    def _place(self) -> Place:
        self._look(edges=self._is_wrapped)
        ledger = self._ledger
        return Place(self._identity, ledger, ledger.statements == 0 or self._sees_all())

    def _sees_all(self) -> bool:
        """Whether a statement sees now all that is committed by now, though others were made before."""
        if is_open(self._connection) is False:
            return True
        if _driver(self._connection) in ("psycopg", "psycopg2"):
            level = getattr(self._connection, "isolation_level", None)
            return (level is None or int(level) in (1, 2)) and not self._ledger.keeps_snapshot
        return False

    def _look(self, edges: bool = True) -> None:
        """Finds out, between transactions, what the connection is and how its tables hang together."""
        edges = edges and self.queries.followers is None
        if self._is_mute or not (edges or self._identity is None):
            return
        dialect, is_busy = self.queries.dialect, is_open(self._connection) is True
        if is_busy and (self._identity is not None or dialect != "sqlite" or not self._variant):
            return
        try:
            if self._identity is None:
                self._identity = _identify(self._connection, self._variant)
                if self._identity.keeps_snapshot:
                    self._ledger.keeps_snapshot = self._ledger.always_keeps_snapshot = True
            if edges and not is_busy:
                self.queries.followers = followers(self._fetch, dialect)
            if not is_busy and is_open(self._connection):
                self._connection.rollback()
        except Exception as error:
            log.warning("llmcache: a connection does not tell what it is, and is not cached (%s)", error)
            self._identity, self._is_mute = NOBODY, True
            with suppress(Exception):
                self._connection.rollback()

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        return _rows(self._connection, sql, ()).rows

    def changed(self, *tables: str) -> None:
        """Says that tables were changed by other means; it counts when this transaction is committed."""
        self._ledger.before("", names_of(tables) or [EVERYTHING])
        if is_open(self._connection) is False:
            self._spread(self._ledger.committed())

    def commit(self) -> None:
        """Commits, and removes what is out of date by that."""
        try:
            self._connection.commit()
        finally:
            # One that fails may have been done all the same.
            self._committed()

    def tpc_prepare(self) -> None:
        """As the connection's own: what is written waits for `tpc_commit`."""
        self._ledger.prepared()
        self._connection.tpc_prepare()

    def tpc_commit(self, *xid: Any) -> None:
        """As the connection's own. What a transaction of somebody else's has written, nobody knows."""
        try:
            self._connection.tpc_commit(*xid)
        finally:
            if xid:
                self._ledger.doubt()
            self._committed()

    def tpc_rollback(self, *xid: Any) -> None:
        """As the connection's own."""
        try:
            self._connection.tpc_rollback(*xid)
        finally:
            self._ledger.rolled_back()

    def rollback(self) -> None:
        """Takes back what was not committed."""
        try:
            self._connection.rollback()
        finally:
            self._ledger.rolled_back()

    def close(self) -> None:
        """Closes it. What was not committed is lost, with the drivers' usual settings."""
        self._connection.close()
        self._ledger.rolled_back()

    @contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As that of psycopg: a transaction, or a savepoint inside of one."""
        name = secrets.token_hex(8)
        self._look()
        self._ledger.savepoint(name)
        try:
            with self._connection.transaction(*args, **kwargs) as inner:
                try:
                    yield inner
                except BaseException:
                    self._ledger.rollback_to(name)
                    raise
        finally:
            self._ledger.release(name)
            if is_open(self._connection) is False:
                self._committed()

    def __enter__(self) -> Self:
        self._connection.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        try:
            return self._connection.__exit__(*error)
        finally:
            if error[0] is None:
                self._committed()
            else:
                self._ledger.rolled_back()

    def _do(self, sql: Any, work: Callable[[], Any], writes: Iterable[Name] | None = None) -> Any:
        self._note(sql, writes)
        try:
            return work()
        finally:
            self._made()

    def _note(self, sql: Any, writes: Iterable[Name] | None = None) -> None:
        """Before a statement: a cache breaks none, so where it fails itself all counts as changed."""
        try:
            self._look()
            text = _text(sql, self._connection)
            found = writes if writes is not None else writing(text, self.queries.dialect) if text else [EVERYTHING]
            self._ledger.before(text, self.queries.follows(text, found), self.queries.dialect)
            if self._ledger.defines:
                self.queries.followers = None
        except Exception:
            log.exception("llmcache: a statement is not understood, and counts as a change of everything")
            self._ledger.doubt()

    def _made(self) -> None:
        """After a statement."""
        defines = self._ledger.defines
        self._spread(self._ledger.after(is_open(self._connection)), defines)

    def _committed(self) -> None:
        defines = self._ledger.defines
        self._spread(self._ledger.committed(), defines)

    def _script(self, script: str, work: Callable[[], Any]) -> Any:
        # It commits what was there before.
        before = self._ledger.committed()
        try:
            return self._do(script, work)
        finally:
            self._spread(before)

    def _spread(self, written: set[Name], defines: bool = False) -> None:
        if defines:
            self.queries.followers = None
        if not written:
            return
        try:
            self.queries.owe(written)
            run(self.queries.settle())
        except Exception:
            log.exception("llmcache: changed tables are not removed yet")
            self.queries.later()


#: What a CachedConnection has itself; all else is the connection's.
_OWN = frozenset(["_connection", "_variant", "_identity", "_is_mute", "_is_wrapped", "_ledger", "queries"])


class CachedCursor:
    """A cursor of a `CachedConnection`."""

    _owner: CachedConnection
    _cursor: Any

    def __init__(self, owner: CachedConnection, cursor: Any) -> None:
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_cursor", cursor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._cursor, name, value)

    @property
    def connection(self) -> CachedConnection:
        """Whose cursor it is."""
        return self._owner

    def execute(self, sql: Any, *args: Any, **kwargs: Any) -> Self:
        """As the cursor's own."""
        self._owner._do(sql, lambda: self._cursor.execute(sql, *args, **kwargs))
        return self

    def executemany(self, sql: Any, *args: Any, **kwargs: Any) -> Self:
        """As the cursor's own."""
        self._owner._do(sql, lambda: self._cursor.executemany(sql, *args, **kwargs))
        return self

    def executescript(self, script: str) -> Self:
        """As that of sqlite3."""
        self._owner._script(script, lambda: self._cursor.executescript(script))
        return self

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """As the cursor's own. Nobody knows what it writes."""
        return self._owner._do("", lambda: self._cursor.callproc(*args, **kwargs))

    @contextmanager
    def copy(self, sql: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As that of psycopg."""
        manager = self._owner._do(sql, lambda: self._cursor.copy(sql, *args, **kwargs))
        try:
            with manager as copying:
                yield copying
        finally:
            self._owner._do(sql, lambda: None)

    def stream(self, sql: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As that of psycopg."""
        self._owner._note(sql)
        try:
            yield from self._cursor.stream(sql, *args, **kwargs)
        finally:
            self._owner._made()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def __next__(self) -> Any:
        return next(self._cursor)

    def __enter__(self) -> Self:
        self._cursor.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._cursor.__exit__(*error)


def query_plain(
    source: Any,
    sql: str,
    parameters: Any,
    cache: Cache | AsyncCache | None,
    ttl: float | None,
    tables: Iterable[str],
    tags: Iterable[str],
    scope: str,
) -> Result[Any]:
    """The rows of a query on a connection or cursor. One that is not wrapped may have written anything in its
    transaction, so inside of one it is not cached."""
    if isinstance(source, CachedCursor):
        source = source.connection
    if isinstance(source, CachedConnection):
        return source.query(sql, parameters or (), ttl=ttl, tables=tables, tags=tags, scope=scope)
    if not hasattr(source, "cursor") and hasattr(source, "connection"):
        source = source.connection
    if not hasattr(source, "cursor"):
        raise TypeError(f"not an engine, a connection, a session or a cursor: {type(source).__name__}")
    if cache is None:
        raise ValueError("no cache for this connection: say cache=, or use a CachedConnection")
    connection = CachedConnection(source, cache)
    connection._is_wrapped = False
    if is_open(source) is not False:
        connection._ledger.doubt()
    return connection.query(sql, parameters or (), ttl=ttl, tables=tables, tags=tags, scope=scope)


def _rows(connection: Any, sql: str, parameters: Any) -> Rows:
    started = time.perf_counter()
    driver = _driver(connection)
    if driver == "psycopg2":
        cursor = connection.cursor(cursor_factory=importlib.import_module("psycopg2.extensions").cursor)
    else:
        cursor = connection.cursor()
    try:
        if driver == "sqlite3":
            cursor.row_factory = None
        elif driver == "psycopg":
            from psycopg.rows import tuple_row

            cursor.row_factory = tuple_row
        cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        keys = tuple(str(column[0]) for column in cursor.description or ())
        found = cursor.fetchall() if keys else []
    finally:
        cursor.close()
    rows = [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in found]
    return Rows(keys, rows, (time.perf_counter() - started) * 1000, any(len(row) != len(keys) for row in rows))


def _refuse_async(connection: Any) -> None:
    if any(inspect.iscoroutinefunction(getattr(connection, name, None)) for name in ("execute", "commit", "close")):
        raise TypeError(f"{type(connection).__name__} is to be awaited: use an engine of SQLAlchemy's asyncio")


def _database(connection: Any) -> str | None:
    """What the database of a connection is called; none where nobody can tell."""
    driver = _driver(connection)
    if driver == "sqlite3":
        told = connection.execute("PRAGMA database_list").fetchall()
        path = next((tuple(row)[2] for row in told if tuple(row)[1] == "main"), "")
        return file_name(path) if path else None
    return driver_name(connection) if driver in ("psycopg", "psycopg2") else None


def _identify(connection: Any, variant: str) -> Identity:
    """What a connection is. One whose values are not as others read them is kept for nobody."""
    driver = _driver(connection)

    def fetch(sql: str) -> list[tuple[Any, ...]]:
        return _rows(connection, sql, ()).rows

    if not variant and driver == "psycopg":
        import psycopg

        known, own = psycopg.adapters, connection.adapters
        numbers = {info.oid for info in own.types} | {info.array_oid for info in own.types}
        formats = [psycopg.pq.Format.TEXT, psycopg.pq.Format.BINARY]
        if any(
            own.get_loader(number, one) is not known.get_loader(number, one) for number in numbers for one in formats
        ):
            return NOBODY
    if (
        not variant
        and driver == "psycopg2"
        and any(getattr(connection, name, None) for name in ("string_types", "binary_types"))
    ):
        return NOBODY
    if not variant and driver == "sqlite3" and converts(fetch, connection.rollback):
        return NOBODY
    more = [driver, variant, getattr(connection, "text_factory", "")]
    return identify(fetch, _dialect(connection), more)


def _driver(connection: Any) -> str:
    modules = [kind.__module__.partition(".")[0] for kind in type(connection).__mro__]
    return next((one for one in modules if one in ("sqlite3", "psycopg", "psycopg2")), modules[0])


def _dialect(connection: Any) -> str:
    driver = _driver(connection)
    return _DIALECTS.get(driver, "postgresql" if driver.startswith("psycopg") else driver)


def _text(sql: Any, connection: Any) -> str:
    if isinstance(sql, bytes):
        return sql.decode("utf-8", "replace")
    if hasattr(sql, "as_string"):
        return str(sql.as_string(connection))
    return sql if isinstance(sql, str) else ""
