"""Queries of plain DB-API connections, such as those of sqlite3 and psycopg."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Result
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from ..codecs import NotStorable
from ..flows import run
from .ledger import Ledger
from .queries import Asked, Queries, Settings, Tables, options
from .statements import EVERYTHING, Name, names_of, normal, reading, system_table, temporary, why_not, writing
from .values import Rows, RowsCodec, digest

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..cache import AsyncCache, Cache

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
    ) -> None:
        """A connection; see `install` for what the rest means."""
        self._connection = connection
        settings = Settings(ttl, max_rows, views, cascades, patience)
        self.queries = _queries(connection, cache, database, settings) or Queries(
            cache, f"private-{secrets.token_hex(8)}", "", _dialect(connection), settings
        )
        self._ledger = Ledger()
        if is_open(connection):
            self._ledger.before("", [EVERYTHING])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

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
        given = options(ttl, tags, tables)
        return _result(self.queries, self._connection, self._ledger, sql, parameters, ttl, given, scope)

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
            self._spread(self._ledger.committed())

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
                self._spread(self._ledger.committed())

    def __enter__(self) -> Self:
        self._connection.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        try:
            return self._connection.__exit__(*error)
        finally:
            if error[0] is None:
                self._spread(self._ledger.committed())
            else:
                self._ledger.rolled_back()

    def _do(self, sql: Any, work: Callable[[], Any], writes: Iterable[Name] | None = None) -> Any:
        text = _text(sql, self._connection)
        own = temporary(text)
        if own is not None:
            self.queries.note_temporary(own)
        found = writes if writes is not None else writing(text, self.queries.dialect) if text else [EVERYTHING]
        self._ledger.before(text, found)
        try:
            return work()
        finally:
            self._spread(self._ledger.after(is_open(self._connection)))

    def _script(self, script: str, work: Callable[[], Any]) -> Any:
        self._spread(self._ledger.committed())
        return self._do("", work, writing(script, self.queries.dialect))

    def _spread(self, written: set[Name]) -> None:
        if written:
            run(self.queries.written(written))


class CachedCursor:
    """A cursor of a `CachedConnection`."""

    def __init__(self, owner: CachedConnection, cursor: Any) -> None:
        self._owner, self._cursor = owner, cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

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
    ledger = Ledger()
    if is_open(source) is not False:
        ledger.before("", [EVERYTHING])
    queries = _queries(source, cache, None, Settings())
    given = options(ttl, tags, tables)
    return _result(queries, source, ledger, sql, parameters or (), ttl, given, scope)


def _result(
    queries: Queries | None,
    connection: Any,
    ledger: Ledger,
    sql: str,
    parameters: Any,
    ttl: float | None,
    given: tuple[tuple[str, ...], frozenset[Name]],
    scope: str,
) -> Result[Any]:
    def make() -> Rows:
        return _rows(connection, sql, parameters)

    tags, more = given
    asked = None if queries is None else _asked(queries, connection, ledger, sql, parameters, more, scope)
    if asked is None or queries is None:
        ledger.before(sql, writing(sql, _dialect(connection)))
        rows = make()
        if queries is not None:
            run(_after(queries, ledger, connection))
    else:
        block = 0.0 if ledger.writes else queries.settings.patience
        tables, named = asked
        ledger.statements += is_open(connection) is not False
        rows = run(
            queries.ask(Asked(normal(sql, queries.dialect), named, tables, RowsCodec(), make, scope, ttl, tags, block))
        )
    return IteratorResult(SimpleResultMetaData(rows.keys), iter(rows.rows))


def _after(queries: Queries, ledger: Ledger, connection: Any) -> Any:
    written = ledger.after(is_open(connection))
    if written:
        yield from queries.written(written)


def _asked(
    queries: Queries,
    connection: Any,
    ledger: Ledger,
    sql: str,
    parameters: Any,
    more: frozenset[Name],
    scope: str,
) -> tuple[frozenset[Name], str] | None:
    dialect = queries.dialect
    values = list(parameters.values()) if isinstance(parameters, Mapping) else list(parameters)
    found = reading(sql, dialect)
    if (found is None and (not more or writing(sql, dialect))) or (found is not None and found.why_not):
        return None
    tables = queries.reads((frozenset() if found is None else found.tables) | more)
    fixed = why_not(sql, dialect, values) is None and system_table(tables) is None
    if not tables or not fixed or queries.is_temporary(tables) or (ledger.is_personal and not scope):
        return None
    if ledger.touches(tables) or not (ledger.statements == 0 or _sees_all(connection, ledger)):
        return None
    try:
        return tables, digest(sorted(parameters.items()) if isinstance(parameters, Mapping) else values)
    except NotStorable:
        return None


def _sees_all(connection: Any, ledger: Ledger) -> bool:
    """Whether a statement sees now all that is committed by now, though others were made before."""
    if is_open(connection) is False:
        return True
    if _driver(connection) in ("psycopg", "psycopg2"):
        level = getattr(connection, "isolation_level", None)
        return (level is None or int(level) in (1, 2)) and not ledger.keeps_snapshot
    return False


def _rows(connection: Any, sql: str, parameters: Any) -> Rows:
    started = time.perf_counter()
    cursor = connection.cursor()
    try:
        if _driver(connection) == "sqlite3":
            cursor.row_factory = None
        elif _driver(connection) == "psycopg":
            from psycopg.rows import tuple_row

            cursor.row_factory = tuple_row
        cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        keys = tuple(str(column[0]) for column in cursor.description or ())
        rows = [tuple(row) for row in cursor.fetchall()] if keys else []
    finally:
        cursor.close()
    return Rows(keys, rows, (time.perf_counter() - started) * 1000)


def _queries(connection: Any, cache: Any, database: str | None, settings: Settings) -> Queries | None:
    """The queries of a connection's database; None where nobody can name it."""
    dialect, who = _dialect(connection), ""
    if _driver(connection) == "sqlite3":
        who = digest(["sqlite3", str(connection.text_factory)])
        if database is None:
            path = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
            database = f"sqlite:{Path(path).resolve()}" if path else None
    elif _driver(connection) in ("psycopg", "psycopg2"):
        info = connection.info
        who = digest([_driver(connection), info.user, info.options])
        database = database or f"postgresql:{info.host or ''}:{info.port}/{info.dbname}"
    return None if database is None else Queries(cache, database, who, dialect, settings)


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
