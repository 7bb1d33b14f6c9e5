"""How answers of Python functions become bytes, and come back. Nothing that is read can run anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class NotStorable(Exception):
    """A value that would not come back as it is."""


@dataclass(frozen=True)
class Codec:
    """Both ways between a value and bytes."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]

    def encode(self, value: Any) -> bytes:
        """The bytes of a value. NotStorable where it would come back as another one, or one of another type."""
        try:
            data = self.dumps(value)
            same = isinstance(data, bytes) and _alike(self.loads(data), value)
        except Exception as error:  # whatever a value, or a function of the user's, makes of it
            raise NotStorable(_why(error)) from error
        if not same:
            raise NotStorable(f"a {type(value).__name__} would come back as something else")
        return data

    def decode(self, data: bytes) -> Any:
        """The value of bytes. A ValueError where they are none."""
        try:
            return self.loads(data)
        except Exception as error:
            raise ValueError(f"not a value: {_why(error)}") from error


def _why(error: Exception) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:  # its text is that of what failed
        return type(error).__name__


def _alike(one: Any, other: Any) -> bool:
    """Whether two are equal and of the same types: a member of an enum of texts equals a text, but is none."""
    if type(one) is not type(other):
        return False
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if type(one) is dict:
        return _alike(list(one.items()), list(other.items()))
    return bool(one == other)


def _dump_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"not a str: {type(value).__name__}")
    return value.encode()


def _dump_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"not bytes: {type(value).__name__}")
    return value


def _dump_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


TEXT = Codec(_dump_text, bytes.decode)
BYTES = Codec(_dump_bytes, bytes)
JSON = Codec(_dump_json, json.loads)
