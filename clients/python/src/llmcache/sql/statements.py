"""What the text of a statement says: which tables it reads and writes, and whether its answer may be kept."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

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


#: Of longer texts only the last ones are remembered: they are hardly the same twice, and would fill the memory.
_LONG = 4096
R = TypeVar("R")
P = ParamSpec("P")


def _remembered(function: Callable[P, R]) -> Callable[P, R]:
    short: Any = lru_cache(maxsize=2048)(function)
    long: Any = lru_cache(maxsize=2)(function)

    @wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        told: R = (short if len(str(args[0])) <= _LONG else long)(*args, **kwargs)
        return told

    return answer


_TOKEN = re.compile(
    r"""(?P<literal>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`[^`]*`)
      | (?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
      | (?P<blank>(?:[ \t\r\n\f]|--[^\n]*|/\*(?![!+M]).*?\*/)+)""",
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"/\*(?:(?!\*/).)*/\*", re.DOTALL)
_DOLLAR = re.compile(r"\$\w*\$")
_RETURN = re.compile(r"\r(?!\n)")


def is_doubtful(sql: str, dialect: str) -> bool:
    """Whether it is not certain what in a text is a literal or a comment: databases and their settings differ."""
    return (
        "\\" in sql
        or ("[" in sql and dialect in ("sqlite", "mssql"))
        or ("`" in sql and dialect == "postgresql")
        or (dialect != "postgresql" and _DOLLAR.search(sql) is not None)
        or (dialect in ("mysql", "mariadb") and ("--" in sql or "#" in sql))
        or ("--" in sql and _RETURN.search(sql) is not None)
        or ("/*" in sql and _NESTED.search(sql) is not None)
    )


def normal(sql: str, dialect: str) -> str:
    """The text in one form: without comments, and with one blank where there is white space. In doubt as it is."""
    if is_doubtful(sql, dialect):
        return sql.strip()
    return without_comments(sql).strip().rstrip(";").rstrip()


def without_comments(sql: str) -> str:
    """The text from its first word on."""
    return _TOKEN.sub(lambda found: " " if found.lastgroup == "blank" else found.group(), sql).lstrip(" ;")


@_remembered
def bare(sql: str) -> str:
    """The text without comments and without what stands in quotes."""
    blank = {"literal": "''", "dollar": "''", "quoted": '""'}
    return _TOKEN.sub(lambda found: blank.get(found.lastgroup or "", " "), sql)


@_remembered
def parts(sql: str) -> tuple[str, ...]:
    """Each statement of a text, bare."""
    found = (part.strip() for part in bare(sql).split(";"))
    return tuple(part for part in found if part)


_MOMENTS = (
    "now|random|rand|randomblob|uuid|newid|uuid_generate_v1|uuid_generate_v1mc|uuid_generate_v4|gen_random_uuid|"
    "gen_random_bytes|uuidv4|uuidv7|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|sysdate|"
    "getdate|sysdatetime|curdate|curtime|utc_date|utc_time|utc_timestamp|unix_timestamp|nextval|currval|lastval|setval|"
    "last_insert_rowid|last_insert_id|changes|total_changes|row_count|found_rows|connection_id|pg_backend_pid|"
    "txid_current|pg_current_xact_id|current_setting|set_config|pg_sleep|sleep|benchmark|get_lock|release_lock|"
    "user|database|age|unixepoch"
)
_NOT_FIXED = re.compile(
    rf"\b(?:{_MOMENTS}|(?:pg|txid|inet|lo|dblink)_\w+|has_\w+_privilege|dblink)\s*\(|"
    r"\b(?:current_timestamp|current_date|current_time|localtime|localtimestamp|current_user|session_user|current_role|"
    r"current_catalog|current_schema|system_user|sysdate|next\s+value\s+for|tablesample)\b|\.nextval\b|@@?\w|"
    # A function whose name nobody can see.
    r'""\s*\(',
    re.IGNORECASE,
)
_LOCKED = re.compile(
    r"\bfor\s+(?:no\s+key\s+)?update\b|\bfor\s+(?:key\s+)?share\b|\block\s+in\s+share\s+mode\b|\b(?:updlock|xlock|"
    r"holdlock|rowlock|tablock|tablockx)\b",
    re.IGNORECASE,
)
_SQLITE_TIME = re.compile(r"\b(?:date|time|datetime|julianday|strftime|timediff)\s*\(", re.IGNORECASE)
_SQLITE_NOW = re.compile(r"\(\s*(?:'')?\s*\)|\bstrftime\s*\(\s*[?:@$%]\w*\s*\)", re.IGNORECASE)
_NOW = re.compile(r"\b(?:now|today|tomorrow|yesterday|allballs)\b", re.IGNORECASE)
_SYSTEM = re.compile(r"^(?:pg_|sqlite_|information_schema$|mysql$|sys$|performance_schema$|temp$)", re.IGNORECASE)


def why_not(sql: str, dialect: str, parameters: Iterable[Any] = ()) -> str | None:
    """Why the answer to this text is another one next time, or must be asked for each time."""
    if is_doubtful(sql, dialect):
        return "it is not certain what in it is a literal"
    text = bare(sql)
    found = _LOCKED.search(text)
    if found:
        return f"it reads under a lock ({found.group()})"
    found = _NOT_FIXED.search(text)
    if found:
        return f"its answer differs each time ({found.group()})"
    quotes = ("literal", "quoted", "dollar") if dialect == "sqlite" else ("literal", "dollar")
    told = any(_NOW.search(one.group()) for one in _TOKEN.finditer(sql) if one.lastgroup in quotes)
    depends = told or _says_now(list(parameters))
    if dialect == "sqlite":
        depends = (depends or _SQLITE_NOW.search(text) is not None) and _SQLITE_TIME.search(text) is not None
    return "its answer depends on the time" if depends else None


def _says_now(value: Any) -> bool:
    """Whether a parameter may mean the moment at which it is read, as 'now' and 'today' do."""
    if isinstance(value, str):
        return len(value) <= 64 and _NOW.search(value) is not None
    if isinstance(value, Mapping):
        value = list(value.values())
    return isinstance(value, (list, tuple, set, frozenset)) and any(_says_now(one) for one in value)


def system_table(tables: Iterable[Name]) -> str | None:
    """A table of the database's own among these; they change by themselves."""
    for table in tables:
        if _SYSTEM.match(table.table) or _SYSTEM.match(table.schema):
            return f"it reads {table.table}, which changes by itself"
    return None


_GLOT = {"postgresql": "postgres", "mariadb": "mysql", "mssql": "tsql", "cockroachdb": "postgres"}
_parsing = threading.local()


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not getattr(_parsing, "now", False)


# What it logs are whole statements, passwords and all.
logging.getLogger("sqlglot").addFilter(_is_not_ours)


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
    _parsing.now = True
    try:
        trees = sqlglot.parse(plain, dialect=_GLOT.get(dialect, dialect), error_level=sqlglot.ErrorLevel.RAISE)
    except Exception as error:
        log.debug("llmcache: a statement cannot be read (%s)", type(error).__name__)
        return None
    finally:
        _parsing.now = False
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


@_remembered
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
#: What reads, and may have a change within.
_READS = frozenset("select with values table ( explain describe desc".split())
#: What changes no table.
_HARMLESS = frozenset(
    "show set reset pragma begin start commit end rollback savepoint release abort use fetch declare close analyze "
    "analyse vacuum reindex listen notify unlisten lock discard checkpoint comment deallocate move help attach "
    "detach".split()
)
_CHANGES = re.compile(
    r"\b(?:insert|update|delete|merge|into|replace|truncate|call|do|execute|exec|create|alter|drop|refresh)\b",
    re.IGNORECASE,
)
_INSERT = re.compile(r"\s*insert\s+into\s+(?:(\w+)\s*\.\s*)?(\w+)\s*(?:\(|values\b|select\b|default\b)", re.IGNORECASE)
#: What can be told of others is not worth the time that reading them takes.
_HUGE = 65536


@_remembered
def verb(sql: str) -> str:
    """The first word, in lower case."""
    found = _VERB.match(sql) or _VERB.match(bare(sql))
    return found.group(1).lower() if found else ""


@_remembered
def writing(sql: str, dialect: str) -> frozenset[Name]:
    """What a text may write; `EVERYTHING` where nobody can tell."""
    everything, first = frozenset([EVERYTHING]), verb(sql)
    doubtful = is_doubtful(sql, dialect)
    text = sql if doubtful else bare(sql)
    several = ";" in text.strip().rstrip(";")
    changes = _CHANGES.findall(text)
    # To some, a text is several statements without a mark between them.
    harmless = first in _HARMLESS and not doubtful and dialect != "mssql"
    if not several and (harmless or (first in _READS | _HARMLESS and not changes)):
        return frozenset()
    if doubtful:
        return everything
    plain = _INSERT.match(text)
    if plain and not several and len(changes) == 2 and dialect != "mssql":
        return frozenset([name_of(plain[2], plain[1])])
    if len(sql) > _HUGE or re.search(r"\bcascade\b", text, re.IGNORECASE):
        return everything
    trees = _parse(sql, dialect)
    if trees is None:
        return everything
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
    r"\bcreate\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b|"
    r"\binto\s+(?:(?:local|global)\s+)?temp(?:orary)?\s+(?!values|select|default|with|overriding|set|as\b)|"
    r"\btemp\s*\.|(?:\btable|\binto)\s+#",
    re.IGNORECASE,
)
_SETS = frozenset("set reset discard use attach detach".split())
_FOR_NOW = re.compile(r"set\s+(?:local\s+)?(?:transaction|constraints|identity_insert)\b", re.IGNORECASE)
_PRAGMAS = re.compile(
    r"case_sensitive_like|writable_schema|column_names|reverse_unordered|empty_result|legacy", re.IGNORECASE
)


@_remembered
def makes_temporary(sql: str) -> bool:
    """Whether it may make a table that only this connection has."""
    return _TEMPORARY.search(bare(sql)) is not None or "pg_temp" in sql.lower()


@_remembered
def makes_personal(sql: str, dialect: str = "") -> bool:
    """Whether it may change what later statements of this connection mean."""
    if is_doubtful(sql, dialect) and ";" in sql and re.search(r"\b(?:set|reset|use|attach)\b", sql, re.IGNORECASE):
        return True
    for part in parts(sql):
        first = verb(part)
        if (first in _SETS and not _FOR_NOW.match(part)) or "set_config" in part.lower():
            return True
        if first == "pragma" and _PRAGMAS.search(sql):
            return True
    return False


@_remembered
def keeps_snapshot(sql: str) -> bool | None:
    """Whether it may set how much of what others commit is seen: in this transaction (False) or in all (True)."""
    if "isolation" not in sql.lower():
        return None
    kinds = {
        not (part.split()[0].lower() in ("begin", "start") or _FOR_NOW.match(part))
        for part in parts(sql)
        if verb(part) in ("set", "begin", "start") or "set_config" in part.lower()
    }
    return (True in kinds) if kinds else None
