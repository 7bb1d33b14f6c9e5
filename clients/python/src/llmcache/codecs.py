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
        """The bytes of a value. Fails where it would come back as another one."""
        try:
            data = self.dumps(value)
            same = bool(self.loads(data) == value)
        except (TypeError, ValueError) as error:
            raise NotStorable(str(error)) from error
        if not same:
            raise NotStorable(f"a {type(value).__name__} would come back as something else")
        return data


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
