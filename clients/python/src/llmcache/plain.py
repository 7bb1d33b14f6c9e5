"""Any value as JSON, for a key: two that differ are never the same JSON, and what cannot be told is a TypeError."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sys
import typing
from collections import OrderedDict
from datetime import date, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import MappingProxyType, MemberDescriptorType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

#: What says all of itself as text. A subclass may have more to say, so it is not among them.
_TOLD = frozenset([
    Decimal, Fraction, UUID, complex, range, timedelta, timezone, PosixPath, PurePosixPath, WindowsPath,
    PureWindowsPath, IPv4Address, IPv6Address, IPv4Network, IPv6Network, IPv4Interface, IPv6Interface,
    type(typing.Literal), type(typing.ClassVar), type(Ellipsis), type(NotImplemented),
])  # fmt: skip
_ZONES = ("tzutc", "tzlocal", "tzoffset", "tzfile")
_URLS = ("pydantic.networks", "pydantic_core", "pydantic_core._pydantic_core")


def text(value: Any) -> str:
    """A value as the text of a key: equal ones are equal texts in every process, 1 and 1.0 are two."""
    return written(plain(value))


def written(told: Any) -> str:
    """JSON in one form."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def plain(value: Any) -> Any:
    """A value as JSON, by what it is: not by where it lies in memory, nor by a text that may leave things out.

    JSON stays as it is. All else is an object with one name that begins with `$`. An object says itself what it is by
    a `cache_key`, an attribute or a method; dataclasses, attrs and pydantic models are told by their fields, classes
    and functions by their names where they can be found by these. A TypeError says that a value cannot be told from
    another one.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise TypeError(f"a {type(value).__qualname__} in itself, or too deep, cannot be told from others") from None


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is int:
        return value if -(2**63) < value < 2**63 else {"$int": hex(value)}
    if kind is float:
        return value if value - value == 0 else {"$float": repr(value)}
    if kind is list:
        return [_plain(inner) for inner in value]
    if kind is dict and all(type(name) is str and name[:1] != "$" for name in value):
        return {name: _plain(inner) for name, inner in value.items()}
    if kind in (dict, tuple, set, frozenset, bytes, bytearray):
        return {f"${kind.__name__}": _content(value)}
    if kind is memoryview:
        return {"$memoryview": [value.format, list(value.shape), value.tobytes().hex()]}
    if kind is MappingProxyType:
        return {"$mappingproxy": _content(dict(value))}
    if typing.get_origin(value) is not None:
        return {"$type": [_plain(typing.get_origin(value)), _plain(list(typing.get_args(value)))]}
    if isinstance(value, type):
        return {"$named": found(value)}
    # One that is declared, not one that somebody has sent in a model which takes any field.
    if inspect.getattr_static(value, "cache_key", None) is not None:
        own = value.cache_key
        return {f"${named(kind)}": {"cache_key": _plain(own() if callable(own) else own)}}
    if inspect.isroutine(value):
        return {"$named": found(value)}
    if kind in _TOLD:
        return {f"${named(kind)}": repr(value)}
    if isinstance(value, Enum):
        return {f"${found(kind)}": _plain(value.value) if isinstance(value, Flag) else value.name}
    if isinstance(value, re.Pattern):
        return {"$pattern": [_plain(value.pattern), value.flags]}
    if isinstance(value, tzinfo):
        return {f"${named(kind)}": _zone(value)}
    if hasattr(value, "tobytes") and hasattr(value, "dtype") and not hasattr(value, "mask"):
        return _with_state(value, _array(value))
    if isinstance(value, (date, time)):
        told = [value.isoformat(), getattr(value, "fold", 0), _plain(getattr(value, "tzinfo", None))]
        return _with_state(value, told)
    if isinstance(value, (str, int, float, list, dict, tuple, set, frozenset, bytes, bytearray)):
        return _with_state(value, _content(value))
    if any(hasattr(kind, name) for name in ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields_set__")):
        return {f"${found(kind)}": _state(value)}
    if hasattr(value, "unicode_string") and any(base.__module__ in _URLS for base in kind.__mro__):
        return {f"${named(kind)}": str(value)}
    raise untold(value)


def untold(value: Any) -> TypeError:
    """Says that nobody can tell this value from another one."""
    return TypeError(f"a {named(type(value))} cannot be told from others like it: give it a cache_key")


def named(thing: Any) -> str:
    """The name of a class or a function. In the script that runs, it is that of its file."""
    module = thing.__module__
    if module in ("__main__", "__mp_main__"):
        main = sys.modules.get(module)
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None and spec.name != "__main__":
            module = spec.name
        elif file is not None:
            module = os.path.abspath(file)
    return f"{module}.{thing.__qualname__}"


def found(thing: Any) -> str:
    """The same, of what is found by that name: another one that is made in the same place is not."""
    generic = getattr(thing, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        return f"{found(generic['origin'])}{text(list(generic['args']))}"
    here: Any = sys.modules.get(getattr(thing, "__module__", None) or "")
    for name in getattr(thing, "__qualname__", "<").split("."):
        here = getattr(here, name, None)
    if here is thing:
        return named(thing)
    if thing is type(None):
        return "None"
    kind = "class" if isinstance(thing, type) else "function"
    what = getattr(thing, "__qualname__", repr(thing))
    raise TypeError(f"the {kind} {what} is not found by its name, so it cannot be told from others: use a cache_key")


def _content(value: Any) -> Any:
    """What is in a value of a built-in type, or of a subclass of one, whatever that makes of it."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _plain(int.__index__(value))
    if isinstance(value, float):
        return _plain(float.__float__(value))
    if isinstance(value, (list, tuple)):
        items = list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)
        return [_plain(inner) for inner in items]
    if isinstance(value, (set, frozenset)):
        members = set.__iter__(value) if isinstance(value, set) else frozenset.__iter__(value)
        return sorted(map(_plain, members), key=written)
    if isinstance(value, dict):
        pairs = [[_plain(key), _plain(inner)] for key, inner in dict.items(value)]
        return pairs if isinstance(value, OrderedDict) else sorted(pairs, key=written)
    return memoryview(value).hex()


def _with_state(value: Any, told: Any) -> Any:
    state = _state(value)
    return {f"${found(type(value))}": [told, state] if state else told}


def _state(value: Any) -> dict[str, Any]:
    """All attributes of an object: those in its dict and in slots. What is only computed from them does not count."""
    state = {
        name: inner
        for name, inner in getattr(value, "__dict__", {}).items()
        if not isinstance(inspect.getattr_static(type(value), name, None), cached_property)
    }
    for base in type(value).__mro__:
        for name, slot in vars(base).items():
            if isinstance(slot, MemberDescriptorType) and hasattr(value, name):
                state[name] = slot.__get__(value)
    return {name: _plain(inner) for name, inner in state.items()}


def _array(value: Any) -> Any:
    """An array; its text leaves out the middle of a long one."""
    if getattr(value.dtype, "hasobject", False) or getattr(value.dtype, "kind", "O") == "O":
        raise untold(value)
    return [str(value.dtype), list(getattr(value, "shape", ())), hashlib.sha256(value.tobytes()).hexdigest()]


def _zone(zone: Any) -> Any:
    name = zone.key if isinstance(zone, ZoneInfo) else getattr(zone, "zone", None)  # the latter is pytz
    if isinstance(name, str):
        return name
    if type(zone).__module__.startswith("dateutil.tz.") and type(zone).__name__ in _ZONES:
        return repr(zone)
    raise untold(zone)
