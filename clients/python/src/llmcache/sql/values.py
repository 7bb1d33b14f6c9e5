"""Values of databases as bytes, and back as the same values of the same types. What is read can run nothing."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from ..codecs import NotStorable

Enums = Mapping[str, type[Enum]]


@dataclass(frozen=True)
class Rows:
    """What a query answered: the names of its columns, and tuples."""

    keys: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    #: How long it took, in milliseconds.
    took: float = field(default=0.0, compare=False)
    #: Whether they are for nobody else.
    is_private: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class RowsCodec:
    """Both ways between rows and bytes. A value of a type that it does not know is not kept."""

    #: The classes that values may be of, by name: those of the statement's own columns.
    enums: Enums = field(default_factory=dict)

    def encode(self, value: Rows) -> bytes:
        """The bytes of rows."""
        try:
            told = {"keys": value.keys, "rows": [[_dump(cell, self.enums) for cell in row] for row in value.rows]}
            return json.dumps(told, separators=(",", ":"), allow_nan=False).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise NotStorable(str(error)) from error

    def loads(self, data: bytes) -> Rows:
        """The rows of bytes."""
        try:
            told = json.loads(data)
            rows = [tuple(self._load(cell) for cell in row) for row in told["rows"]]
            return Rows(tuple(map(str, told["keys"])), rows)
        except (KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ValueError(f"not rows: {error!r}") from error

    def _load(self, told: Any) -> Any:
        if isinstance(told, list):
            return [self._load(inner) for inner in told]
        if not isinstance(told, dict):
            return told
        ((tag, inner),) = told.items()
        match tag:
            case "tuple":
                return tuple(self._load(one) for one in inner)
            case "map":
                return {self._load(key): self._load(value) for key, value in inner}
            case "enum":
                return self.enums[inner[0]][inner[1]]
            case "flag":
                return self.enums[inner[0]](inner[1])
        return _LOADS[tag](inner)


def digest(value: Any) -> str:
    """Names a value, such as the parameters of a statement: 1, 1.0, True and '1' are four."""
    try:
        return hashlib.sha256(json.dumps(_dump(value), separators=(",", ":")).encode()).hexdigest()[:32]
    except (ValueError, RecursionError) as error:
        raise NotStorable(str(error)) from error


def _dump(value: Any, enums: Enums | None = None) -> Any:
    """A value as JSON has it. Of enumerations only those given, where they are."""
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is list:
        return [_dump(inner, enums) for inner in value]
    if kind is tuple:
        return {"tuple": [_dump(inner, enums) for inner in value]}
    if kind is dict:
        return {"map": [[_dump(key, enums), _dump(inner, enums)] for key, inner in value.items()]}
    if kind in _DUMPS:
        tag, dump = _DUMPS[kind]
        return {tag: dump(value)}
    if isinstance(value, UUID):
        return {"uuid": value.hex}
    if isinstance(value, Enum) and (enums is None or enums.get(enum_name(kind)) is kind):
        if isinstance(value, Flag):
            # One of several has no name of its own everywhere.
            return {"flag": [enum_name(kind), value.value]}
        return {"enum": [enum_name(kind), value.name]}
    raise NotStorable(f"a value of type {kind.__module__}.{kind.__qualname__} would not come back as it is")


def enum_name(kind: type) -> str:
    """By which name values of an enumeration are kept."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _dump_zone(zone: tzinfo | None, offset: timedelta | None) -> Any:
    if zone is None:
        return None
    if zone is timezone.utc:
        return "utc"
    if type(zone) is timezone and offset is not None:
        return offset.total_seconds()
    if type(zone) is ZoneInfo and zone.key:
        return zone.key
    raise NotStorable(f"a time zone of type {type(zone).__qualname__} would not come back as it is")


def _load_zone(told: Any) -> tzinfo | None:
    if told is None:
        return None
    if isinstance(told, str):
        return timezone.utc if told == "utc" else ZoneInfo(told)
    return timezone(timedelta(seconds=told))


def _dump_moment(value: datetime | time) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), _dump_zone(value.tzinfo, value.utcoffset()), value.fold]


def _load_datetime(told: Sequence[Any]) -> datetime:
    moment, zone, fold = told
    return datetime.fromisoformat(moment).replace(tzinfo=_load_zone(zone), fold=fold)


def _load_time(told: Sequence[Any]) -> time:
    moment, zone, fold = told
    return time.fromisoformat(moment).replace(tzinfo=_load_zone(zone), fold=fold)


_KINDS: list[tuple[type, str, Callable[[Any], Any], Callable[[Any], Any]]] = [
    (float, "float", repr, float),
    (Decimal, "decimal", str, Decimal),
    (bytes, "bytes", bytes.hex, bytes.fromhex),
    (bytearray, "bytearray", bytearray.hex, bytearray.fromhex),
    (datetime, "datetime", _dump_moment, _load_datetime),
    (date, "date", date.isoformat, date.fromisoformat),
    (time, "time", _dump_moment, _load_time),
    (timedelta, "span", lambda it: [it.days, it.seconds, it.microseconds], lambda told: timedelta(*told)),
    (UUID, "uuid", lambda it: it.hex, UUID),
    *(
        (kind, kind.__name__, str, kind)
        for kind in (
            ipaddress.IPv4Address,
            ipaddress.IPv6Address,
            ipaddress.IPv4Interface,
            ipaddress.IPv6Interface,
            ipaddress.IPv4Network,
            ipaddress.IPv6Network,
        )
    ),
]
_DUMPS = {kind: (tag, dump) for kind, tag, dump, _ in _KINDS}
_LOADS = {tag: load for _, tag, _, load in _KINDS}
