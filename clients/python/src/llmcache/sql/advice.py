"""Which index would help a query, by what the database says of its plan."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, text

from .dbapi import CachedConnection, _dialect, is_open
from .statements import _parse, is_doubtful, parts, verb


@dataclass(frozen=True)
class Advice:
    """An index that would help, and why."""

    sql: str
    reason: str
    table: str
    columns: tuple[str, ...]
    #: Whether the database was seen to take it: SQLite on a copy of the schema. PostgreSQL decides by its own figures.
    is_tried: bool = False


@dataclass
class _Use:
    """How a statement uses one table: columns that are compared, those of ranges, and the order it is wanted in."""

    equal: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    group: list[str] = field(default_factory=list)

    def candidates(self) -> Iterator[tuple[str, ...]]:
        """Columns of indexes, the most promising first."""
        for wanted in (self.order, self.group):
            if wanted:
                yield _once([*self.equal, *wanted])
        if self.equal or self.ranges:
            yield _once([*self.equal, *self.ranges[:1]])
        for column in [*self.equal, *self.ranges]:
            yield (column,)


def advise(connection: Any, statement: Any, parameters: Any = None, *, min_rows: int = 1000) -> list[Advice]:
    """Indexes that would help a query of SQLite or PostgreSQL. Changes nothing.

    Args:
        connection: An engine or connection of SQLAlchemy, or a connection of DB-API. With an AsyncConnection:
            `await connection.run_sync(advise, statement)`.
        statement: A `select()`, a `text()`, or a str.
        parameters: Its parameters. PostgreSQL's plan depends on them.
        min_rows: Tables of PostgreSQL with fewer rows are read as a whole anyway.
    """
    if isinstance(connection, Engine):
        with connection.connect() as connected:
            return advise(connected, statement, parameters, min_rows=min_rows)
    if isinstance(connection, CachedConnection):
        connection = connection.connection
    sql, given = _sent(connection, statement, parameters)
    dialect = connection.dialect.name if isinstance(connection, Connection) else _dialect(connection)
    if dialect not in ("sqlite", "postgresql"):
        raise ValueError(f"advice is for SQLite and PostgreSQL, not for {dialect}")
    _refuse_others(sql, dialect)
    was_idle = _is_idle(connection)
    try:
        if dialect == "sqlite":
            return _advise_sqlite(connection, sql, given)
        return _advise_postgres(connection, sql, given, min_rows)
    finally:
        if was_idle and not _is_idle(connection):
            connection.rollback()


def _is_idle(connection: Any) -> bool:
    return not connection.in_transaction() if isinstance(connection, Connection) else is_open(connection) is False


def _refuse_others(sql: str, dialect: str) -> None:
    """Only one statement, and only one that has a plan: what comes after it would be done."""
    from sqlglot import exp

    if ";" in sql.strip().rstrip(";") and (is_doubtful(sql, dialect) or len(parts(sql)) != 1):
        raise ValueError("advice is for one statement")
    trees = _parse(sql, dialect)
    known = (exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Merge)
    if trees is None:
        good = verb(sql) in ("select", "with", "values", "(", "insert", "update", "delete", "merge")
    else:
        good = len(trees) == 1 and isinstance(trees[0], known)
    if not good:
        raise ValueError("advice is for SELECT, INSERT, UPDATE, DELETE and MERGE")


def _sent(connection: Any, statement: Any, parameters: Any) -> tuple[str, Any]:
    """A statement and its parameters as the driver has them."""
    if not isinstance(connection, Connection):
        return str(statement), parameters or ()
    if isinstance(statement, str):
        statement = text(statement)
    sent = statement.compile(dialect=connection.dialect).construct_expanded_state(parameters or {})
    return sent.statement, sent.positional_parameters if sent.positiontup is not None else sent.parameters


def _fetch(connection: Any, sql: str, parameters: Any) -> list[tuple[Any, ...]]:
    if isinstance(connection, Connection):
        result = connection.exec_driver_sql(sql, parameters or None)
        return [tuple(row) for row in result]
    with closing(connection.cursor()) as cursor:
        if isinstance(connection, sqlite3.Connection):
            cursor.row_factory = None
        cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in cursor.fetchall()]


# SQLite

_SCAN = re.compile(r"^SCAN (?:TABLE )?(?P<name>\S+)(?: AS (?P<alias>\S+))?")
_AUTOMATIC = re.compile(r"^SEARCH (?:TABLE )?(?P<name>\S+)(?: AS (?P<alias>\S+))? USING AUTOMATIC")
_SORT = re.compile(
    r"USE TEMP B-TREE FOR (?:LAST TERM OF |LAST \d+ TERMS OF |RIGHT PART OF )?(?P<what>ORDER BY|GROUP BY)"
)


def _advise_sqlite(connection: Any, sql: str, parameters: Any) -> list[Advice]:
    plan = _plan(connection, sql, parameters)
    uses = _uses(sql, "sqlite", lambda table: _columns_sqlite(connection, table))
    found: list[Advice] = []
    sorts = [match["what"] for line in plan if (match := _SORT.search(line))]
    reasons: dict[str, str] = {}
    for line in plan:
        match = _SCAN.match(line) or _AUTOMATIC.match(line)
        if match is None or "VIRTUAL TABLE" in line:
            continue
        name = (match["alias"] or match["name"]).strip('"').lower()
        automatic = line.startswith("SEARCH")
        said = "an index is built for each such query" if automatic else "all of its rows are read"
        reasons.setdefault(name, f"{said}: {line}")
    if sorts:
        for name, (_, use) in uses.items():
            if use.order or use.group:
                reasons.setdefault(name, f"the rows are sorted for each such query: {sorts[0]}")
    copy = _copy_schema(connection)
    for name, reason in reasons.items():
        if name in uses:
            table, use = uses[name]
            found += _first_that_helps(copy, sql, parameters, plan, table, use, reason)
    if copy is not None:
        copy.close()
    return found


def _first_that_helps(
    copy: sqlite3.Connection | None,
    sql: str,
    parameters: Any,
    plan: list[str],
    table: str,
    use: _Use,
    reason: str,
) -> list[Advice]:
    for columns in use.candidates():
        advice = _index(table, columns, reason)
        if copy is None:
            return [advice]
        name = "llmcache_" + "_".join(columns)
        try:
            copy.execute(f"CREATE INDEX {_quoted(name)} ON {_target(table)} ({_listed(columns)})")
            try:
                after = _plan(copy, sql, parameters)
            finally:
                copy.execute(f"DROP INDEX {_quoted(name)}")
        except sqlite3.Error:
            return [advice]
        if any(name in line for line in after) and _weight(after) < _weight(plan):
            return [Advice(advice.sql, advice.reason, table, columns, True)]
    return []


def _weight(plan: Iterable[str]) -> int:
    """How much a plan reads and sorts that it need not."""
    weight = 0
    for line in plan:
        if _SORT.search(line):
            weight += 1
        if _AUTOMATIC.match(line) or (_SCAN.match(line) and "USING" not in line):
            weight += 2
        elif _SCAN.match(line):
            weight += 1
    return weight


def _plan(connection: Any, sql: str, parameters: Any) -> list[str]:
    return [str(row[-1]) for row in _fetch(connection, f"EXPLAIN QUERY PLAN {sql}", parameters)]


def _copy_schema(connection: Any) -> sqlite3.Connection | None:
    """The same tables without rows; none where they cannot be made, for lack of an extension for example."""
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        made = _fetch(connection, "SELECT type, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rootpage = 0", ())
        for kind in ("table", "index", "view"):
            for one, sql in made:
                if one == kind and "sqlite_sequence" not in sql and "sqlite_stat" not in sql:
                    copy.execute(sql)
        if _fetch(connection, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'", ()):
            copy.execute("ANALYZE")
            for row in _fetch(connection, "SELECT tbl, idx, stat FROM sqlite_stat1", ()):
                copy.execute("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", row)
            copy.execute("ANALYZE sqlite_master")
    except sqlite3.Error:
        copy.close()
        return None
    return copy


def _columns_sqlite(connection: Any, table: str) -> set[str]:
    name = table.rpartition(".")[2].replace("'", "''")
    return {str(row[0]).lower() for row in _fetch(connection, f"SELECT name FROM pragma_table_info('{name}')", ())}


# PostgreSQL


def _advise_postgres(connection: Any, sql: str, parameters: Any, min_rows: int) -> list[Advice]:
    told = _fetch(connection, f"EXPLAIN (FORMAT JSON, VERBOSE) {sql}", parameters)[0][0]
    plan = json.loads(told) if isinstance(told, str) else told
    found: dict[str, Advice] = {}
    nodes = list(_nodes(plan[0]["Plan"], []))
    for node, above in nodes:
        if node["Node Type"] != "Seq Scan":
            continue
        table = f"{node['Schema']}.{node['Relation Name']}"
        rows = _rows_of(connection, table)
        if rows < min_rows:
            continue
        use = _use_of_node(node, above)
        columns = next(use.candidates(), ())
        few = float(node["Plan Rows"]) < rows / 4
        if not columns or (use.equal + use.ranges and not few and not use.order):
            continue
        if node.get("Filter") and few:
            reason = f"{int(rows)} rows are read for {node['Plan Rows']}: Seq Scan with {node['Filter']}"
        elif use.order:
            reason = f"{int(rows)} rows are read and sorted by {', '.join(use.order)}"
        else:
            continue
        shown = node["Relation Name"] if node["Schema"] == "public" else table
        advice = _index(shown, columns, reason)
        found.setdefault(advice.sql, advice)
    return list(found.values())


def _nodes(node: Mapping[str, Any], above: list[Mapping[str, Any]]) -> Iterator[tuple[Any, list[Any]]]:
    yield node, above
    for inner in node.get("Plans", ()):
        yield from _nodes(inner, [*above, node])


def _use_of_node(node: Mapping[str, Any], above: list[Mapping[str, Any]]) -> _Use:
    use, alias = _Use(), str(node.get("Alias", node["Relation Name"])).lower()
    trees = _parse(f"SELECT 1 FROM t WHERE {node['Filter']}", "postgresql") if node.get("Filter") else None
    if trees:
        _compare(trees[0].args.get("where"), lambda column: _own(column, alias), use)
    for outer in reversed(above):
        if outer["Node Type"] in ("Sort", "Incremental Sort"):
            keys = [str(key) for key in outer["Sort Key"]]
            plain = [re.fullmatch(rf"(?:{re.escape(alias)}\.)?\"?(\w+)\"?( DESC)?", key, re.IGNORECASE) for key in keys]
            if all(plain) and len({bool(key and key[2]) for key in plain}) == 1:
                use.order = [key[1] for key in plain if key]
        if outer["Node Type"] not in ("Limit", "Gather", "Gather Merge", "Sort", "Incremental Sort"):
            break
    # An order is worth an index of its own only if the sort has all to do, or only the first rows are wanted.
    if use.order and use.ranges:
        use.order = []
    return use


def _own(column: Any, alias: str) -> str | None:
    return column.name if column.table.lower() in ("", alias) else None


def _rows_of(connection: Any, table: str) -> float:
    schema, _, name = table.replace("'", "''").rpartition(".")
    found = _fetch(
        connection,
        "SELECT greatest(c.reltuples, 0), c.relpages FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE n.nspname = '{schema}' AND c.relname = '{name}'",
        None,
    )
    return float(found[0][0]) if found else 0.0


# Statements


def _uses(sql: str, dialect: str, columns_of: Any) -> dict[str, tuple[str, _Use]]:
    """How a statement uses its tables, by their aliases, each with the table's name."""
    from sqlglot import exp

    trees = _parse(sql, dialect)
    if not trees or len(trees) != 1:
        return {}
    found: dict[str, tuple[str, _Use]] = {}
    known: dict[str, set[str]] = {}
    for table in trees[0].find_all(exp.Table):
        if isinstance(table.this, exp.Identifier):
            name = f"{table.db}.{table.name}" if table.db else table.name
            found[table.alias_or_name.lower()] = (name, _Use())
            known[table.alias_or_name.lower()] = columns_of(name)
    for select in trees[0].find_all(exp.Select, exp.Update, exp.Delete):
        near = {
            table.alias_or_name.lower()
            for table in select.find_all(exp.Table)
            if table.find_ancestor(exp.Select, exp.Update, exp.Delete) is select
        }
        outer = set(found)
        for alias in near & outer:
            use = found[alias][1]

            def own(column: Any, alias: str = alias, near: set[str] = near) -> str | None:
                if column.table:
                    return column.name if column.table.lower() == alias else None
                owners = [one for one in near if column.name.lower() in known.get(one, ())]
                return column.name if owners == [alias] else None

            for part in (select.args.get("where"), *(join.args.get("on") for join in select.args.get("joins") or ())):
                _compare(part, own, use)
            for join in select.args.get("joins") or ():
                for column in join.args.get("using") or ():
                    if column.name.lower() in known[alias]:
                        use.equal.append(column.name)
            use.order += _ordered(select.args.get("order"), own)
            use.group += _plain_columns(getattr(select.args.get("group"), "expressions", ()), own)
    return found


def _compare(part: Any, own: Any, use: _Use) -> None:
    """Notes what a condition compares columns of one table with."""
    from sqlglot import exp

    if part is None:
        return
    ranges = (exp.GT, exp.GTE, exp.LT, exp.LTE)
    for node in part.find_all(exp.EQ, exp.In, exp.Is, exp.Between, exp.NullSafeEQ, *ranges):
        if node.find_ancestor(exp.Or, exp.Not, exp.Case) is not None or node.find_ancestor(exp.Select) is not (
            part.find_ancestor(exp.Select) or node.find_ancestor(exp.Select)
        ):
            continue
        sides = [node.this] if isinstance(node, (exp.In, exp.Between, exp.Is)) else [node.this, node.expression]
        for side in sides:
            while isinstance(side, (exp.Paren, exp.Cast)):
                side = side.this
            name = own(side) if isinstance(side, exp.Column) else None
            if name is not None:
                known = use.ranges if isinstance(node, (exp.Between, *ranges)) else use.equal
                known += [name] if name not in known else []


def _ordered(order: Any, own: Any) -> list[str]:
    terms = list(getattr(order, "expressions", ()))
    if len({bool(term.args.get("desc")) for term in terms}) > 1:
        return []
    return _plain_columns([term.this for term in terms], own)


def _plain_columns(expressions: Iterable[Any], own: Any) -> list[str]:
    from sqlglot import exp

    names = [own(one) if isinstance(one, exp.Column) else None for one in expressions]
    return [] if None in names else [str(name) for name in names]


def _index(table: str, columns: tuple[str, ...], reason: str) -> Advice:
    name = "_".join([table.rpartition(".")[2], *columns, "idx"]).lower()
    return Advice(f"CREATE INDEX {_quoted(name)} ON {_target(table)} ({_listed(columns)})", reason, table, columns)


def _once(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(columns))


def _target(table: str) -> str:
    return ".".join(_quoted(part) for part in table.split("."))


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(_quoted(column) for column in columns)


#: Words that a column can only be called in quotes, in SQLite or in PostgreSQL.
_RESERVED = frozenset(
    "abort action add after all alter always analyse analyze and any array as asc asymmetric attach authorization "
    "autoincrement before begin between binary both by cascade case cast check collate collation column commit "
    "concurrently conflict constraint create cross current current_catalog current_date current_role current_schema "
    "current_time current_timestamp current_user database default deferrable deferred delete desc detach distinct do "
    "drop each else end escape except exclude exclusive exists explain fail false fetch filter first following for "
    "foreign freeze from full generated glob grant group groups having if ignore ilike immediate in index indexed "
    "initially inner insert instead intersect into is isnull join key last lateral leading left like limit localtime "
    "localtimestamp match materialized natural no not nothing notnull null nulls of offset on only or order others "
    "outer over overlaps partition placing plan pragma preceding primary query raise range recursive references "
    "regexp reindex release rename replace restrict returning right rollback row rows savepoint select session_user "
    "set similar some symmetric system_user table tablesample temp temporary then ties to trailing transaction trigger "
    "true unbounded union unique update user using vacuum values variadic verbose view virtual when where window with "
    "without".split()
)


def _quoted(name: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'
