"""What SQLAlchemy's constructs say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, SelectBase, TextClause, types
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import Delete, UpdateBase

from .statements import Name, Reading, name_of, normal, reading, system_table, why_not, writing
from .values import enum_name

_LATER = re.compile(r"\(?__\[POSTCOMPILE_[^\]]*\]\)?")
Schemas = Mapping[str | None, str | None]


@dataclass
class Compiled:
    """A statement as it is sent."""

    sql: str
    parameters: Mapping[str, Any]
    #: None where nobody can tell.
    tables: frozenset[Name] | None
    why_not: str | None
    #: By which objects the columns of rows can be named.
    columns: list[tuple[Any, ...]] | None = None
    enums: dict[str, Any] = field(default_factory=dict)
    #: The types of parameters and columns; they decide what a value means.
    types: list[str] = field(default_factory=list)


def compiled(statement: Any, dialect: Any, parameters: Mapping[str, Any], schemas: Schemas | None) -> Compiled:
    """What is known of a reading statement."""
    compiler = _recorder(type(dialect).statement_compiler)(
        dialect,
        statement,
        schema_translate_map=schemas,
        render_schema_translate=bool(schemas),
    )
    # Lists of values are rendered only when they are sent.
    sql = _LATER.sub("(...)", compiler.string)
    readable = sql.replace("(...)", "(NULL)")
    given = dict(compiler.construct_params(parameters, escape_names=False))
    if compiler.changes:
        return Compiled(sql, given, None, "it writes")
    tables = frozenset(name_of(table.name, _schema(table, schemas)) for table in compiler.tables)
    found: Reading | None = Reading(tables)
    if compiler.is_opaque:
        told = reading(readable, dialect.name)
        found = told and Reading(told.tables | tables, told.why_not)
    why = compiler.is_locked or why_not(sql, dialect.name, given.values())
    if found is None:
        # Nobody can tell what it reads; whether it writes, perhaps.
        why = why or ("it may write" if writing(readable, dialect.name) else None)
    else:
        why = why or found.why_not or system_table(found.tables)
    is_text = isinstance(statement, TextClause)
    made = Compiled(normal(sql, dialect.name) if is_text else sql, given, None if found is None else found.tables, why)
    made.types = [_type(bind.type) for bind in compiler.binds.values()]
    if isinstance(statement, SelectBase):
        _describe(statement, made)
    return made


def has_entities(statement: Any) -> bool:
    """Whether its rows hold objects and not values alone."""
    if not isinstance(statement, (SelectBase, TextClause)):
        return True
    for one in getattr(statement, "column_descriptions", ()):
        expr = one["expr"]
        if not hasattr(expr, "type") or (expr is one.get("entity") and expr is not None):
            return True
    return False


def changed(statement: UpdateBase, schemas: Schemas | None) -> set[Name]:
    """The tables that a statement writes, and those that follow by foreign keys."""
    found: set[Name] = set()
    for part in (statement, *visitors.iterate(statement)):
        if isinstance(part, UpdateBase):
            action = "ondelete" if isinstance(part, Delete) else "onupdate"
            for table in _targets(part):
                found |= {name_of(one.name, _schema(one, schemas)) for one in _followers(table, action)}
    return found


def _targets(statement: UpdateBase) -> Iterable[Any]:
    for part in visitors.iterate(statement.table):
        if getattr(part, "__visit_name__", "") == "table":
            yield part
    # MySQL updates several tables at once: those of its values.
    for column in getattr(statement, "_values", None) or ():
        if getattr(column, "table", None) is not None and hasattr(column.table, "name"):
            yield column.table


def _followers(table: Any, action: str) -> list[Any]:
    """A table and those that a change of it changes."""
    found = [table]
    others = getattr(getattr(table, "metadata", None), "tables", {}).values()
    for one in found:
        for other in others:
            for key in other.foreign_keys:
                what = (getattr(key, action) or "").upper()
                if what in ("CASCADE", "SET NULL", "SET DEFAULT") and other not in found and _points_at(key, one):
                    found.append(other)
    return found


def _points_at(key: Any, table: Any) -> bool:
    schema, _, name = key.target_fullname.rpartition(".")[0].rpartition(".")
    return bool(name == table.name and (schema or None) == table.schema)


def _schema(table: Any, schemas: Schemas | None) -> str | None:
    schema: str | None = getattr(table, "schema", None)
    return schemas.get(schema, schema) if schemas else schema


def _describe(statement: Any, made: Compiled) -> None:
    columns: Sequence[Any] = list(statement.selected_columns)
    told: Sequence[Any] = getattr(statement, "column_descriptions", ())
    if isinstance(statement, Select) and len(told) == len(columns):
        made.columns = [(column, one["expr"]) for column, one in zip(columns, told, strict=True)]
    else:
        made.columns = [(column,) for column in columns]
    for column in columns:
        made.types.append(_type(column.type))
        kind = getattr(column.type, "item_type", column.type)
        if isinstance(kind, types.TypeDecorator):
            kind = kind.impl_instance
        if isinstance(kind, types.Enum) and kind.enum_class is not None:
            made.enums[enum_name(kind.enum_class)] = kind.enum_class


def _type(kind: Any) -> str:
    return f"{type(kind).__module__}.{kind!r}"


@lru_cache(maxsize=64)
def _recorder(base: Any) -> Any:
    """A dialect's compiler that notes what it comes across."""

    class Recorder(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.tables: list[Any] = []
            self.is_opaque = self.changes = False
            self.is_locked: str | None = None
            super().__init__(*args, **kwargs)

        def visit_table(self, table: Any, *args: Any, **kwargs: Any) -> Any:
            self.tables.append(table)
            return super().visit_table(table, *args, **kwargs)

        def visit_textclause(self, *args: Any, **kwargs: Any) -> Any:
            self.is_opaque = True
            return super().visit_textclause(*args, **kwargs)

        def visit_column(self, column: Any, *args: Any, **kwargs: Any) -> Any:
            self.is_opaque = self.is_opaque or column.is_literal
            return super().visit_column(column, *args, **kwargs)

        def for_update_clause(self, select: Any, **kwargs: Any) -> Any:
            self.is_locked = "it reads under a lock"
            return super().for_update_clause(select, **kwargs)

        def visit_insert(self, *args: Any, **kwargs: Any) -> Any:
            self.changes = True
            return super().visit_insert(*args, **kwargs)

        def visit_update(self, *args: Any, **kwargs: Any) -> Any:
            self.changes = True
            return super().visit_update(*args, **kwargs)

        def visit_delete(self, *args: Any, **kwargs: Any) -> Any:
            self.changes = True
            return super().visit_delete(*args, **kwargs)

    return Recorder
