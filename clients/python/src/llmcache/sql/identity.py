"""Which database a connection reaches, and what of the connection itself decides which rows it is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .statements import Name, is_doubtful, name_of
from .values import digest

#: Does a statement and answers its rows.
Fetch = Callable[[str], list[tuple[Any, ...]]]
Edges = list[tuple[Name, Name]]
_LOCAL = frozenset(["", "localhost", "127.0.0.1", "::1"])
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}


@dataclass(frozen=True)
class Identity:
    """What a connection is."""

    #: Names what decides its rows: the user, the schemas, settings.
    who: str
    #: The database's own name, where it tells.
    database: str | None = None
    #: Whether its rows are for nobody else, because of tables of its own for example.
    is_private: bool = False
    #: Whether its transactions see what was committed when they began, and no more.
    keeps_snapshot: bool = False


#: One whose rows are kept for nobody.
NOBODY = Identity("", is_private=True)


@dataclass(frozen=True)
class Followers:
    """Which tables change with others."""

    #: By a row that is deleted, by one that is updated, and by anything.
    deletes: Edges = field(default_factory=list)
    updates: Edges = field(default_factory=list)
    always: Edges = field(default_factory=list)

    def of(self, sql: str, dialect: str, tables: Iterable[Name]) -> set[Name]:
        """Tables with all that a statement changes by changing them."""
        found, words = set(tables), sql.lower()
        everything = is_doubtful(sql, dialect) or "merge" in words
        edges = list(self.always)
        if everything or any(word in words for word in ("delete", "truncate", "replace")):
            # What follows by a deletion may be an update there, and the other way round.
            edges += self.deletes + self.updates
        elif "update" in words or "conflict" in words:
            edges += self.updates
        by_table: dict[str, Edges] = {}
        for edge in edges:
            by_table.setdefault(edge[0].table, []).append(edge)
        new = set(found)
        while new:
            next_ones = {to for one in new for start, to in by_table.get(one.table, ()) if start.meets(one)}
            new = next_ones - found
            found |= new
        return found


_SETTINGS = (
    "search_path", "TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits", "row_security",
    "lc_monetary", "lc_numeric", "lc_time", "default_text_search_config", "xmlbinary", "xmloption", "array_nulls",
    "standard_conforming_strings", "transform_null_equals", "client_encoding", "default_transaction_isolation",
    "session_replication_role",
)  # fmt: skip
_WHO_POSTGRES = (
    "/* llmcache */ SELECT current_database(), current_user, session_user, current_schemas(true)::text, "
    "(SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ("
    + ", ".join(f"'{name}'" for name in _SETTINGS)
    + ")), current_setting('default_transaction_isolation')"
)
_EDGES_POSTGRES = (
    "/* llmcache */ SELECT a.nspname, f.relname, b.nspname, t.relname, k.confdeltype::text, k.confupdtype::text "
    "FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace a ON a.oid = f.relnamespace "
    "JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace b ON b.oid = t.relnamespace "
    "WHERE k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd')) "
    "UNION ALL SELECT a.nspname, f.relname, b.nspname, t.relname, 'i', 'i' "
    "FROM pg_inherits i JOIN pg_class f ON f.oid = i.inhparent JOIN pg_namespace a ON a.oid = f.relnamespace "
    "JOIN pg_class t ON t.oid = i.inhrelid JOIN pg_namespace b ON b.oid = t.relnamespace "
    "WHERE f.relkind IN ('r', 'p', 'f')"
)
_OWN_SQLITE = "/* llmcache */ SELECT count(*) FROM sqlite_temp_master"
_EDGES_SQLITE = (
    '/* llmcache */ SELECT f."table", m.name, f.on_delete, f.on_update FROM "{0}".sqlite_master m '
    "JOIN pragma_foreign_key_list(m.name, '{0}') f WHERE m.type = 'table'"
)
_ACTIONS = frozenset(["c", "n", "d", "CASCADE", "SET NULL", "SET DEFAULT"])


def identify(fetch: Fetch, dialect: str, more: Iterable[Any] = ()) -> Identity:
    """What a connection is, as it says itself."""
    told = [str(one) for one in more]
    if dialect == "postgresql":
        ((database, *who, level),) = fetch(_WHO_POSTGRES)
        schemas = str(who[2])
        snapshot = str(level).lower() not in ("read committed", "read uncommitted")
        return Identity(digest([*told, *map(str, who)]), str(database), "pg_temp" in schemas, snapshot)
    if dialect == "sqlite":
        files = [(str(name), str(file)) for _, name, file in fetch("PRAGMA database_list")]
        others = [one for one in files if one[0] not in ("main", "temp")]
        told += [word for one in others for word in one]
        has_tables = any(name == "temp" for name, _ in files) and fetch(_OWN_SQLITE) != [(0,)]
        # One without a file is its own.
        is_private = has_tables or not all(file for _, file in others)
        path = next((file for name, file in files if name == "main"), "")
        told += [str(fetch(f"PRAGMA {name}")) for name in ("full_column_names", "short_column_names")]
        return Identity(digest(told), path, is_private)
    return Identity(digest(told))


def converts(fetch: Fetch, rollback: Callable[[], Any]) -> bool:
    """Whether a connection of SQLite makes other types of what columns hold, by converters that nobody can name. Asked
    of a table in a database of its own, for it does not say so otherwise."""
    fetch("ATTACH ':memory:' AS llmcache_types")
    try:
        fetch("CREATE TABLE llmcache_types.t (d DATE)")
        fetch("INSERT INTO llmcache_types.t VALUES ('2000-01-01')")
        told = fetch("/* llmcache */ SELECT d, '2000-01-01' AS \"d [date]\" FROM llmcache_types.t")
        return not all(isinstance(cell, (str, bytes)) for row in told for cell in row)
    finally:
        rollback()
        fetch("DETACH llmcache_types")


def followers(fetch: Fetch, dialect: str) -> Followers:
    """Which tables change with others, by foreign keys and as partitions. Of triggers nothing is known."""
    found = Followers()
    if dialect == "postgresql":
        rows = [(name_of(b, a), name_of(d, c), x, y) for a, b, c, d, x, y in fetch(_EDGES_POSTGRES)]
    elif dialect == "sqlite":
        names = [str(row[1]) for row in fetch("PRAGMA database_list") if str(row[1]).isidentifier()]
        told = [row for name in names if name != "temp" for row in fetch(_EDGES_SQLITE.format(name))]
        rows = [(name_of(a), name_of(b), x, y) for a, b, x, y in told]
    else:
        rows = []
    for one, other, deleted, updated in rows:
        if deleted == "i":
            found.always.extend([(one, other), (other, one)])
        if deleted in _ACTIONS:
            found.deletes.append((one, other))
        if updated in _ACTIONS:
            found.updates.append((one, other))
    return found


def database_name(dialect: str, host: str, port: Any, database: str) -> str:
    """What a database is called; one on this machine by the machine's name as well."""
    here = host.lower() in _LOCAL or host.startswith("/")
    port = port or _PORTS.get(dialect, "")
    return f"{dialect}:{socket.gethostname() if here else host.lower()}:{port}/{database}"


def file_name(path: str) -> str:
    """What a database in a file is called."""
    return f"sqlite:{socket.gethostname()}:{path if path.startswith('file:') else Path(path).resolve()}"


def url_name(dialect: str, url: Any) -> str | None:
    """What the database of a URL is called; none where the URL does not say which it is."""
    if dialect == "sqlite":
        path = url.database or ""
        if not path or ":memory:" in path or "mode=memory" in path or url.query.get("mode") == "memory":
            return None
        return file_name(path)
    query: Mapping[str, Any] = url.query
    if not (url.host or url.database or url.username or query):
        return None
    env = os.environ if dialect == "postgresql" else {}
    told = query.get("host") or env.get("PGHOST") or ""
    host = url.host or (told if isinstance(told, str) else ",".join(told))
    told = query.get("port") or env.get("PGPORT") or ""
    port = url.port or (told if isinstance(told, str) else ",".join(told))
    user = url.username or query.get("user") or env.get("PGUSER") or ""
    database = url.database or query.get("dbname") or env.get("PGDATABASE") or user
    if ":" in host and not port and not host.startswith("/") and host.count(":") == 1:
        host, _, port = host.partition(":")
    return database_name(dialect, host, port, str(database))


def driver_name(driver: Any) -> str | None:
    """What the database of a driver's connection to PostgreSQL is called, where the driver tells."""
    info: Any = getattr(driver, "info", None)
    if all(hasattr(info, name) for name in ("host", "port", "dbname")):
        return database_name("postgresql", info.host or "", info.port, info.dbname or "")
    address: Any = getattr(driver, "_addr", None)
    parameters: Any = getattr(driver, "_params", None)
    if address is not None and hasattr(parameters, "database"):
        host, port = address if isinstance(address, tuple) else (str(address), str(address).rpartition(".")[2])
        return database_name("postgresql", str(host), port, parameters.database or "")
    return None
