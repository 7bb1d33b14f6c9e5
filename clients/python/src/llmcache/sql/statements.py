"""What the text of a statement says: which tables it reads and writes, and whether its answer may be kept."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

log = logging.getLogger("llmcache")


class Name(NamedTuple):
    """A table's name, in lower case: two that differ in case only are taken for one."""

    table: str
    schema: str = ""

    def meets(self, other: Name) -> bool:
        """Whether both may be one table. Without a schema it may be that of any."""
        return self.table == other.table and (self.schema == other.schema or not self.schema or not other.schema)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


#: Stands for tables that nobody can name.
EVERYTHING = Name("*")


def name_of(table: str, schema: str | None = None) -> Name:
    """A table's name. Of `catalog.schema` the schema counts."""
    return Name(table.lower(), (schema or "").rpartition(".")[2].lower())


def names_of(given: Iterable[str]) -> frozenset[Name]:
    """Names of "table" and "schema.table"."""
    if isinstance(given, str):
        raise TypeError("tables are a list, got one str")
    found = set()
    for one in given:
        schema, _, table = one.rpartition(".")
        found.add(name_of(table, schema))
    return frozenset(found)


@dataclass(frozen=True)
class Reading:
    """What a statement reads, and why its answer is not to be kept, if so."""

    tables: frozenset[Name]
    why_not: str | None = None


_TOKEN = re.compile(
    r"""(?P<literal>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`[^`]*`)
      | (?P<dollar>\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$)
      | (?P<blank>(?:\s|--[^\n]*|/\*(?![!+M]).*?\*/)+)""",
    re.VERBOSE | re.DOTALL,
)


_NESTED = re.compile(r"/\*(?:(?!\*/).)*/\*", re.DOTALL)


def normal(sql: str, dialect: str) -> str:
    """The text in one form: without comments, and with one blank where there is white space. Where it is not certain
    what is a literal, as it is."""
    doubtful = "\\" in sql or (dialect in ("sqlite", "mssql") and "[" in sql) or _NESTED.search(sql)
    if doubtful or (dialect in ("mysql", "mariadb") and ("--" in sql or "#" in sql)):
        return sql.strip()
    plain = _TOKEN.sub(lambda found: " " if found.lastgroup == "blank" else found.group(), sql)
    return plain.strip().rstrip(";").rstrip()


def bare(sql: str) -> str:
    """The text without comments and without what stands in quotes."""
    blank = {"literal": "''", "dollar": "''", "quoted": '""'}
    return _TOKEN.sub(lambda found: blank.get(found.lastgroup or "", " "), sql)


_MOMENTS = (
    "now|random|rand|randomblob|uuid|newid|uuid_generate_v1|uuid_generate_v1mc|uuid_generate_v4|gen_random_uuid|"
    "gen_random_bytes|uuidv4|uuidv7|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|sysdate|"
    "getdate|sysdatetime|curdate|curtime|utc_date|utc_time|utc_timestamp|unix_timestamp|nextval|currval|lastval|setval|"
    "last_insert_rowid|last_insert_id|changes|total_changes|row_count|found_rows|connection_id|pg_backend_pid|"
    "txid_current|pg_current_xact_id|current_setting|set_config|pg_sleep|sleep|benchmark|get_lock|release_lock|"
    "user|database|age|unixepoch"
)
_LOCKS = "pg_advisory_lock|pg_advisory_xact_lock|pg_try_advisory_lock|pg_try_advisory_xact_lock|pg_advisory_unlock"
_NOT_FIXED = re.compile(
    rf"\b(?:{_MOMENTS}|{_LOCKS})\s*\(|"
    r"\b(?:current_timestamp|current_date|current_time|localtime|localtimestamp|current_user|session_user|current_role|"
    r"system_user|sysdate|next\s+value\s+for|tablesample)\b|\.nextval\b|@@?\w",
    re.IGNORECASE,
)
_LOCKED = re.compile(
    r"\bfor\s+(?:no\s+key\s+)?update\b|\bfor\s+(?:key\s+)?share\b|\block\s+in\s+share\s+mode\b|\b(?:updlock|xlock|"
    r"holdlock|rowlock|tablock|tablockx)\b",
    re.IGNORECASE,
)
_SQLITE_TIME = re.compile(r"\b(?:date|time|datetime|julianday|strftime|timediff)\s*\(", re.IGNORECASE)
_NOW_LITERAL = re.compile(r"""['"]\s*(?:now|today|tomorrow|yesterday|allballs)\s*['"]""", re.IGNORECASE)
_SYSTEM = re.compile(r"^(?:pg_|sqlite_|information_schema$|mysql$|sys$|performance_schema$|temp$)", re.IGNORECASE)


def why_not(sql: str, dialect: str, parameters: Iterable[Any] = ()) -> str | None:
    """Why the answer to this text is another one next time, or must be asked for each time."""
    text = bare(sql)
    found = _LOCKED.search(text)
    if found:
        return f"it reads under a lock ({found.group()})"
    found = _NOT_FIXED.search(text)
    if found:
        return f"its answer differs each time ({found.group()})"
    says_now = _NOW_LITERAL.search(sql)
    given_now = any(isinstance(value, str) and value.strip().lower() == "now" for value in parameters)
    if dialect == "sqlite":
        told = says_now or given_now or re.search(r"\(\s*(?:'')?\s*\)", text)
        depends = bool(told) and _SQLITE_TIME.search(text) is not None
    else:
        depends = says_now is not None and "'" in says_now.group()
    return "its answer depends on the time" if depends else None


def system_table(tables: Iterable[Name]) -> str | None:
    """A table of the database's own among these; they change by themselves."""
    for table in tables:
        if _SYSTEM.match(table.table) or _SYSTEM.match(table.schema):
            return f"it reads {table.table}, which changes by itself"
    return None


_GLOT = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql", "cockroachdb": "postgres"}


def _parse(sql: str, dialect: str) -> list[Any] | None:
    """The statements of a text as trees; none where nobody can read them."""
    try:
        import sqlglot
        from sqlglot import exp
    except ImportError:
        return None
    plain = re.sub(r"%\((\w+)\)s", r":\1", sql)
    plain = re.sub(r"%s|\?\d+", "?", plain).replace("%%", "%")
    plain = re.sub(r"^\s*replace\b", "INSERT OR REPLACE", plain, flags=re.IGNORECASE)
    try:
        trees = sqlglot.parse(plain, dialect=_GLOT.get(dialect, dialect), error_level=sqlglot.ErrorLevel.RAISE)
    except (sqlglot.errors.SqlglotError, ValueError, RecursionError) as error:
        log.debug("llmcache: a statement cannot be read (%s)", type(error).__name__)
        return None
    found = [tree for tree in trees if tree is not None]
    return None if any(isinstance(tree, exp.Command) for tree in found) else found


def _tables(tree: Any) -> set[Name]:
    """The tables under a node, those that WITH defines for it left out."""
    from sqlglot import exp

    found = set()
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or not _is_defined(table)):
            found.add(name_of(table.name, table.db))
    return found


def _is_defined(table: Any) -> bool:
    """Whether a WITH that can be seen from there defines this name."""
    from sqlglot import exp

    wanted, node, part = table.name.lower(), table, None
    while node.parent is not None:
        above = node.parent
        if isinstance(above, exp.With):
            part = node
        elif (defined := above.args.get("with_") or above.args.get("with")) is not None:
            seen = list(defined.expressions)
            if node is defined and not defined.args.get("recursive"):
                seen = seen[: seen.index(part)]
            if any(one.alias.lower() == wanted for one in seen):
                return True
        node = above
    return False


@lru_cache(maxsize=4096)
def reading(sql: str, dialect: str) -> Reading | None:
    """What a text reads; none where it is no reading, or nobody can tell."""
    if verb(sql) not in ("select", "with", "values", "table", "("):
        return None
    trees = _parse(sql, dialect)
    if trees is None or len(trees) != 1:
        return None
    from sqlglot import exp

    (tree,) = trees
    changes = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Create)
    if not isinstance(tree, exp.Query) or tree.find(*changes) is not None:
        return None
    return Reading(frozenset(_tables(tree)), "it reads under a lock" if tree.find(exp.Lock) else None)


_VERB = re.compile(r"[\s;]*(\(|[A-Za-z]+)")
#: What changes no table.
_HARMLESS = frozenset(
    "values table ( explain describe desc show set reset pragma begin start commit end rollback savepoint release "
    "abort use fetch declare close analyze analyse vacuum reindex listen notify unlisten lock discard checkpoint "
    "comment deallocate move help".split()
)


def verb(sql: str) -> str:
    """The first word, in lower case."""
    found = _VERB.match(sql) or _VERB.match(bare(sql))
    return found.group(1).lower() if found else ""


@lru_cache(maxsize=4096)
def writing(sql: str, dialect: str) -> frozenset[Name]:
    """What a text may write; `EVERYTHING` where nobody can tell."""
    first, text = verb(sql), bare(sql)
    several = ";" in text.strip().rstrip(";")
    changing = re.search(r"\b(?:insert|update|delete|merge|into|replace|truncate|call|do)\b", text, re.IGNORECASE)
    if not several and (first in _HARMLESS and not (first == "explain" and changing)):
        return frozenset()
    if first in ("select", "with") and not several and not changing:
        return frozenset()
    trees = _parse(sql, dialect)
    if trees is None or re.search(r"\bcascade\b", text, re.IGNORECASE):
        return frozenset([EVERYTHING])
    found: set[Name] = set()
    for tree in trees:
        found |= _written(tree)
    return frozenset(found)


def _written(tree: Any) -> set[Name]:
    """What one statement writes. What it reads is taken along where it is not worth telling apart."""
    from sqlglot import exp

    if isinstance(tree, (exp.Transaction, exp.Commit, exp.Rollback, exp.Set, exp.Pragma)):
        return set()
    found: set[Name] = set()
    for change in tree.find_all(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into):
        target = change.this
        tables = target.find_all(exp.Table) if isinstance(target, exp.Expression) else ()
        found |= {name_of(table.name, table.db) for table in tables}
        if isinstance(change, exp.Delete):
            found |= {name_of(table.name, table.db) for table in change.args.get("tables") or ()}
        if isinstance(change, exp.Update) and not found:
            found |= _tables(change)
    if isinstance(tree, (exp.Alter, exp.Drop, exp.Create, exp.TruncateTable, exp.Copy)):
        found |= _tables(tree)
        if not found and str(tree.args.get("kind") or "").upper() not in ("INDEX", "SCHEMA", "SEQUENCE", "FUNCTION"):
            return {EVERYTHING}
        if isinstance(tree, exp.Drop) and str(tree.args.get("kind") or "").upper() == "SCHEMA":
            return {EVERYTHING}
    elif not found and not isinstance(tree, exp.Query):
        return {EVERYTHING}
    return found


_TEMPORARY = re.compile(
    r"""\s*create\s+(?:(?:local|global)\s+)?temp(?:orary)?\s+(?:table|view)\s+(?:if\s+not\s+exists\s+)?"""
    r"""(?:temp\s*\.\s*)?["`\[]?(\w+)""",
    re.IGNORECASE,
)


def temporary(sql: str) -> Name | None:
    """The table that only this connection is to have."""
    found = _TEMPORARY.match(sql)
    return name_of(found.group(1)) if found else None
