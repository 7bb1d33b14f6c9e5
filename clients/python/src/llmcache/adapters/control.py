"""What one call may say about the cache, and what it may learn from it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..options import over, split
from ..types import LlmcacheError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import CallOptions

#: A header of one call, in the words of Cache-Control; it is not sent on.
HEADER = "x-llmcache"

_WORDS = frozenset(["no-store", "no-cache", "only-if-cached"])
_IN_THE_BODY = frozenset(["model", "system", "params", "vector"])

_said: ContextVar[Mapping[str, Any] | None] = ContextVar("llmcache", default=None)


class NotCached(LlmcacheError):
    """There is no cached answer, and the call said that it wants no other."""


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for calls of a client; a TypeError or a ValueError where one cannot be meant."""
    wrong = sorted(_IN_THE_BODY & options.keys())
    if wrong:
        raise TypeError(f"{', '.join(wrong)}: that is what the request says itself")
    split(options)
    return dict(options)


@contextmanager
def using(
    *,
    no_store: bool = False,
    no_cache: bool = False,
    only_if_cached: bool = False,
    **options: Unpack[CallOptions],
) -> Iterator[None]:
    """Calls of wrapped clients in this block have these options, over those of `wrap`.

    Args:
        no_store: They go past the cache: nothing is looked for, nothing is kept.
        no_cache: Nothing is looked for, but the new answer is kept instead of the old one.
        only_if_cached: Where there is no answer, they raise `NotCached`.
        options: As for `get_or_call`: scope, ttl, strategy, stale, type, tags, mode, threshold, max_age …
    """
    words = {"no-store": no_store, "no-cache": no_cache, "only-if-cached": only_if_cached}
    said = _said.set(over(_said.get() or {}, checked(options) | {word: True for word, said in words.items() if said}))
    try:
        yield
    finally:
        _said.reset(said)


def bypass() -> Any:
    """Calls of wrapped clients in this block go past the cache."""
    return using(no_store=True)


def told(header: str | None) -> tuple[dict[str, Any], frozenset[str]]:
    """The options of this call, and the words that hold for it."""
    options = dict(_said.get() or {})
    for word in filter(None, (word.strip().lower() for word in (header or "").split(","))):
        name, _, value = word.partition("=")
        if word in _WORDS:
            options[word] = True
        elif name == "max-age" and value.isdigit():
            options["max_age"] = int(value)
        else:
            raise ValueError(f"{HEADER} takes {', '.join(sorted(_WORDS))} and max-age=SECONDS, got {word!r}")
    words = frozenset(word for word in _WORDS if options.pop(word, False))
    return options, words


_marked: dict[int, weakref.ref[Any]] = {}


def mark(answer: Any) -> None:
    """Notes that this was cached."""
    key = id(answer)
    _marked[key] = weakref.ref(answer, lambda _: _marked.pop(key, None))


def was_cached(answer: Any) -> bool:
    """Whether an answer of a wrapped client, or the stream or raw response of one, came from the cache."""
    marked = _marked.get(id(answer))
    if marked is not None and marked() is answer:
        return True
    # The helpers' streams have that of the call in them.
    for name in ("http_response", "response", "_response"):
        headers = getattr(getattr(answer, name, None), "headers", None)
        if headers is not None:
            return bool(headers.get(HEADER) == "hit")
    return False
