"""LLMCACHE under the SDKs of OpenAI and Anthropic, with no other change to the code that uses them."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from ..cache import AsyncCache, Cache
from .control import NotCached, bypass, checked, using, was_cached

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import CallOptions

__all__ = ["NotCached", "bypass", "using", "was_cached", "wrap"]

C = TypeVar("C")

_SDKS = ("openai", "anthropic")


def wrap(
    client: C,
    cache: Cache | AsyncCache,
    *,
    price: Callable[[Any], Decimal | float | str] | None = None,
    when: Callable[[dict[str, Any]], bool] | None = None,
    **options: Unpack[CallOptions],
) -> C:
    """A client like this one whose answers are cached. The given one stays as it is.

    Chat completions, responses and messages are cached, streams too; all else passes. Sync clients and async ones may
    have either kind of cache.

    Args:
        client: One of `openai` or `anthropic`.
        cache: Where.
        price: What an answer has cost in US dollars, by its usage.
        when: Whether this request, given as its body, may be cached.
        options: As for `get_or_call`: scope, strategy, ttl, stale, type, tags, mode, threshold, max_age …
    """
    from .client import Settings, unwrapped, wrapped

    base = unwrapped(type(client))
    sdk = next((root for kind in base.__mro__ if (root := kind.__module__.partition(".")[0]) in _SDKS), None)
    if sdk is None or not hasattr(base, "request"):
        raise TypeError(f"wrap takes a client of openai or anthropic, got {client!r}")
    apis = {api.path: api for api in importlib.import_module(f".{sdk}", __name__).APIS}
    settings = Settings(cache, apis, price, when, checked(options))
    twin = copy.copy(client)
    twin.__class__ = wrapped(base, settings)
    _make_anew(twin, client)
    return twin


def _make_anew(twin: Any, client: Any) -> None:
    """What the given client has made of itself, such as `chat`, would go on with the given one."""
    made = dict(vars(client))
    for name, value in made.items():
        if isinstance(inspect.getattr_static(type(client), name, None), functools.cached_property):
            del vars(twin)[name]
        elif getattr(value, "_client", None) is client:
            setattr(twin, name, type(value)(twin))
    for name in made.keys() & {"with_raw_response", "with_streaming_response"} & vars(twin).keys():
        setattr(twin, name, type(made[name])(twin))
