"""The keyword arguments of verbs, for type checkers and editors; and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypedDict

from .ops import Keep, Terms


class Context(TypedDict, total=False):
    """What an answer depends on beside the prompt."""

    model: str
    system: str
    params: Mapping[str, Any]
    scope: str
    vector: Sequence[float] | bytes


class LookupOptions(Context, total=False):
    """How an answer is looked for; see `ops.Terms`."""

    mode: Literal["exact", "similar"]
    threshold: float
    max_age: float
    stale_ok: bool
    touch: bool


class KeepOptions(TypedDict, total=False):
    """How an answer is kept; see `ops.Keep`."""

    strategy: str
    ttl: float
    persist: bool
    keep_ttl: bool
    expires_at: int
    stale: float
    type: str
    tags: Sequence[str]
    tokens: tuple[int, int]
    cost: Decimal | float | str
    latency: float
    meta: Mapping[str, Any]


class StoreOptions(Context, KeepOptions, total=False):
    """What is stored, and how."""


class CallOptions(LookupOptions, KeepOptions, total=False):
    """What is looked for, and how what is made is stored."""


_CONTEXT = frozenset(Context.__annotations__)
_LOOKUP = frozenset(LookupOptions.__annotations__) - _CONTEXT

#: Each says for how long an answer is kept, so only one of them can.
_LIVES = ("strategy", "ttl", "expires_at", "persist", "keep_ttl")


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], Terms, Keep]:
    """Options by what they are about: the question, the lookup, the keeping. An unknown one is a TypeError."""
    context = {name: value for name, value in options.items() if name in _CONTEXT}
    terms = {name: value for name, value in options.items() if name in _LOOKUP}
    keep = {name: value for name, value in options.items() if name not in _CONTEXT | _LOOKUP}
    return context, Terms(**terms), kept(**keep)


def kept(**given: Any) -> Keep:
    """How an answer is kept. A ValueError where two of these say for how long."""
    lives = _lives(given)
    if len(lives) > 1:
        raise ValueError(f"{' and '.join(lives)}: each says for how long an answer is kept, so only one of them can")
    return Keep(**(given | {"tags": tags(given.get("tags", ()))}))


def over(options: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options with changes to them. Where these say for how long an answer is kept, that is all that does."""
    if _lives(changes):
        options = {name: value for name, value in options.items() if name not in _LIVES}
    return {**options, **changes}


def _lives(given: Mapping[str, Any]) -> list[str]:
    return [name for name in _LIVES if given.get(name) is not None and given[name] is not False]


def tags(given: Sequence[str]) -> tuple[str, ...]:
    """Tags, of any sequence of them."""
    if isinstance(given, str):
        raise TypeError("tags are a list, got one str")
    return tuple(given)
