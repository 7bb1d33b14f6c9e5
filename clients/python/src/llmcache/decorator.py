"""`@cached`: a function, method or coroutine whose answers are kept."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload
from uuid import UUID
from zoneinfo import ZoneInfo

from . import ops
from .calls import get_or_call
from .codecs import JSON, Codec
from .flows import Call, Flow, arun, run
from .options import tags as tags_of
from .question import Question, canonical
from .types import Result

if TYPE_CHECKING:
    from .cache import AsyncCache, Cache

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Tags = Iterable[str] | Callable[..., Iterable[str]]


def cached(
    cache: Cache | AsyncCache | Callable[[], Cache | AsyncCache],
    *,
    key: str | Callable[..., Any] | None = None,
    ignore: Iterable[str] = (),
    prompt: str | None = None,
    scope: str | None = None,
    model: str | None = None,
    strategy: str | None = None,
    ttl: float | None = None,
    stale: float | None = None,
    type: str | None = None,
    tags: Tags = (),
    cost: Any = None,
    when: Callable[[Any], bool] | None = None,
    codec: Codec = JSON,
    terms: ops.Terms = ops.Terms(),
) -> Callable[[Callable[P, R]], Cached[P, R]]:
    """Keeps what a function answers.

    What it answers depends on its arguments, so these are the key. Of `self` and `cls` it is the class, and the
    `cache_key` of the object if it has one. The function itself is part of the key, by its module and name.

    Args:
        cache: Where. A function that answers one is asked at each call.
        key: Instead of all arguments: a format string over them ("{user}:{page}"), or a function of them.
        ignore: Arguments that change nothing.
        prompt: The argument that is the prompt, so that similar lookups and strategies see it; others become params.
        scope: The argument whose value is the scope: what one has stored is never served to another.
        model: The argument that names the model.
        strategy, ttl, stale, type: How answers are kept, as in `Cache.set`.
        tags: Those of each answer; a format string among them is filled with the arguments, a function asked with them.
        cost: What a call costs in US dollars, or a function of its answer.
        when: Whether this answer is to be kept.
        codec: Between answers and bytes. What would not come back as it was is not kept.
        terms: How answers are looked for, such as `Terms(mode="similar")` with `prompt`.
    """
    if strategy is not None and ttl is not None:
        raise ValueError("strategy and ttl exclude each other, say one of them")
    settings = _Settings(
        key, frozenset(ignore), prompt, scope, model, tags, cost, when, codec, terms,
        ops.Keep(strategy=strategy, ttl=ttl, stale=stale, type=type),
    )  # fmt: skip

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        method: Any = function
        if isinstance(method, (staticmethod, classmethod)):
            inner: Any = decorate(method.__func__)
            return cast(Cached[P, R], staticmethod(inner) if isinstance(method, staticmethod) else _OfClass(inner))
        kind = AsyncCached if inspect.iscoroutinefunction(function) else Cached
        return kind(function, cache, settings)

    return decorate


class _Settings:
    def __init__(
        self,
        key: str | Callable[..., Any] | None,
        ignore: frozenset[str],
        prompt: str | None,
        scope: str | None,
        model: str | None,
        tags: Tags,
        cost: Any,
        when: Callable[[Any], bool] | None,
        codec: Codec,
        terms: ops.Terms,
        keep: ops.Keep,
    ) -> None:
        self.key, self.ignore, self.prompt, self.scope, self.model = key, ignore, prompt, scope, model
        self.tags: Any = tags if callable(tags) else tags_of(tags)  # type: ignore[arg-type]
        self.cost, self.when, self.codec, self.terms, self.keep = cost, when, codec, terms, keep


class Cached(Generic[P, R]):
    """A function whose answers are kept: called like it, with `detail`, `invalidate` and `question` beside it."""

    def __init__(self, function: Callable[P, R], cache: Any, settings: _Settings) -> None:
        functools.update_wrapper(self, function)
        self._function, self._cache, self._settings = function, cache, settings
        self._signature = inspect.signature(function)
        first = next(iter(self._signature.parameters), None)
        self._bound_name = first if first in ("self", "cls") else None
        self._is_async = inspect.iscoroutinefunction(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} yields its answer bit by bit; cache what it is made of")
        for name in (settings.prompt, settings.scope, settings.model, *settings.ignore):
            if name is not None and name not in self._signature.parameters:
                raise TypeError(f"{function.__qualname__} has no argument {name!r}")
        _look_like(self, function)

    def __reduce__(self) -> str:
        # As functions are: by where it is found.
        return self.__qualname__  # type: ignore[attr-defined, no-any-return]

    @property
    def cache(self) -> Any:
        """The cache it is kept in."""
        from .cache import AsyncCache, Cache

        return self._cache if isinstance(self._cache, (Cache, AsyncCache)) else self._cache()

    @overload
    def __get__(self, instance: None, owner: Any = None) -> Cached[P, R]: ...

    @overload
    def __get__(self: Cached[Concatenate[Any, Q], R], instance: object, owner: Any = None) -> Bound[Q, R]: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return AsyncBound(self, instance) if self._is_async else Bound(self, instance)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = run(self._flow(args, kwargs)).response
        return result

    def detail(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """The `Result`, whether it was cached and what it cost included. Awaitable where the function is."""
        flow = self._flow(args, kwargs)
        return arun(flow) if self._is_async else run(flow)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Forgets the answer to these arguments. Awaitable where the function is."""
        flow = self.cache.backend.flow(ops.Invalidate(ops.Selection(question=self.question(*args, **kwargs))))
        return arun(flow) if self._is_async else run(flow)

    def _flow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[Result]:
        cache, settings = self.cache, self._settings
        given = self._arguments(args, kwargs)
        call = Call(self._function, args, kwargs)
        keep = self._keep(given)
        return get_or_call(
            cache.backend,
            self._question(given),
            call,
            settings.codec,
            terms=settings.terms,
            keep=keep,
            times=cache.times,
        )

    def _keep(self, given: Mapping[str, Any]) -> Callable[[Any], ops.Keep | None]:
        settings = self._settings

        def decide(answer: Any) -> ops.Keep | None:
            if settings.when is not None and not settings.when(answer):
                return None
            cost = settings.cost(answer) if callable(settings.cost) else settings.cost
            return settings.keep.on(tags=self._tags(given), cost=cost)

        return decide

    def _tags(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        if callable(self._settings.tags):
            return tags_of(self._settings.tags(**self._named(given)))
        return tuple(tag.format(**self._named(given)) for tag in self._settings.tags)

    def question(self, *args: P.args, **kwargs: P.kwargs) -> Question:
        """What is asked with these arguments."""
        return self._question(self._arguments(args, kwargs))

    def _question(self, given: Mapping[str, Any]) -> Question:
        settings, name = self._settings, f"{self._function.__module__}.{self._function.__qualname__}"
        scope = None if settings.scope is None else given[settings.scope]
        model = None if settings.model is None else given[settings.model]
        asked = {
            name: value
            for name, value in given.items()
            if name not in settings.ignore and name not in (settings.scope, settings.model)
        }
        if self._bound_name is not None and self._bound_name in asked:
            asked["self"] = _whose(asked.pop(self._bound_name))
        prompt = None if settings.prompt is None else given[settings.prompt]
        asked.pop(settings.prompt or "", None)
        if callable(settings.key):
            asked = {"key": settings.key(**self._named(given))}
        elif settings.key is not None:
            asked = {"key": settings.key.format(**self._named(given))}
        params: dict[str, Any] = {"function": name}
        if settings.prompt is None:
            prompt = canonical(_plain(asked))
        else:
            params["arguments"] = _plain(asked)
            if not isinstance(prompt, str):
                # 1 and "1" are two.
                params["prompt"], prompt = type(prompt).__qualname__, canonical(_plain(prompt))
        return Question(
            prompt,
            model="" if model is None else str(model),
            scope=self.cache.scope if scope is None else str(scope),
            params=params,
        )

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, with those that were left out: `f(1)` and `f(a=1)` are one."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _named(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for formats and functions: those of `**kwargs` by their own names."""
        named: dict[str, Any] = {}
        for name, value in given.items():
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                named = {**value, **named}
            else:
                named[name] = value
        return named


class AsyncCached(Cached[P, R]):
    """A coroutine function whose answers are kept."""

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return (await arun(self._flow(args, kwargs))).response


class Bound(Generic[P, R]):
    """A method of one object."""

    def __init__(self, cached: Cached[Any, R], instance: Any) -> None:
        functools.update_wrapper(self, cached._function)
        _look_like(self, cached._function)
        self._cached, self._instance = cached, instance
        self.__self__ = instance
        signature = cached._signature
        self.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._cached(self._instance, *args, **kwargs)

    def detail(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """As `Cached.detail`."""
        return self._cached.detail(self._instance, *args, **kwargs)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """As `Cached.invalidate`."""
        return self._cached.invalidate(self._instance, *args, **kwargs)

    def question(self, *args: P.args, **kwargs: P.kwargs) -> Question:
        """As `Cached.question`."""
        return self._cached.question(self._instance, *args, **kwargs)


class AsyncBound(Bound[P, R]):
    """A method of one object, to be awaited."""

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return await cast(Any, self._cached)(self._instance, *args, **kwargs)


class _OfClass:
    """A class method: it is bound to the class that it is asked of."""

    def __init__(self, cached: Cached[Any, Any]) -> None:
        self._cached = cached

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self._cached.__get__(owner if owner is not None else type(instance), None)


def _look_like(wrapper: Any, function: Any) -> None:
    """So that whoever asks what kind of function it is hears that of the function itself."""
    for name in ("__code__", "__defaults__", "__kwdefaults__"):
        setattr(wrapper, name, getattr(function, name, None))


def _whose(instance: Any) -> Any:
    """What a method's object adds to the key: its class, and what it says itself."""
    kind = instance if isinstance(instance, type) else type(instance)
    own = getattr(instance, "cache_key", None)
    own = own() if callable(own) and not (isinstance(instance, type) and inspect.isfunction(own)) else own
    told = [f"{kind.__module__}.{kind.__qualname__}"]
    return told if own is None or inspect.isfunction(own) else [*told, own]


#: What says all of itself as text.
_TOLD = (
    Decimal, Fraction, UUID, PurePath, complex, range, timedelta, ZoneInfo, re.Pattern, IPv4Address, IPv6Address,
    IPv4Network, IPv6Network,
)  # fmt: skip


def _plain(value: Any) -> Any:
    """Arguments as JSON: by what they are, not by where they lie in memory, nor by a text that may leave things out."""
    if isinstance(value, Enum):
        return {_named_type(type(value)): value.name}
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else {"float": str(value)}
    if isinstance(value, Mapping):
        return {"map": sorted(([_plain(key), _plain(inner)] for key, inner in value.items()), key=canonical)}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((_plain(inner) for inner in value), key=canonical)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(value).hex()}
    owner = getattr(value, "__self__", None)
    can_be_found = inspect.isroutine(value) and "<" not in getattr(value, "__qualname__", "<")
    if isinstance(value, type) or (can_be_found and (owner is None or inspect.ismodule(owner))):
        return {"named": _named_type(value)}
    named = _named_type(type(value))
    if not isinstance(value, type) and hasattr(value, "cache_key"):
        own = value.cache_key
        return {named: _plain(own() if callable(own) else own)}
    if isinstance(value, _TOLD):
        return {named: repr(value)}
    if hasattr(value, "model_dump"):
        return {named: _plain(value.model_dump(mode="json"))}
    if hasattr(value, "__dataclass_fields__"):
        return {named: {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}}
    if hasattr(value, "isoformat"):
        return {named: [value.isoformat(), getattr(value, "fold", 0)]}
    if hasattr(value, "tobytes") and hasattr(value, "dtype") and getattr(value.dtype, "kind", "O") != "O":
        # An array; its text leaves out the middle of a long one.
        digest = hashlib.sha256(value.tobytes()).hexdigest()
        return {named: [str(value.dtype), list(getattr(value, "shape", ())), digest]}
    raise TypeError(f"a {named} as an argument says not what it is: give it a cache_key, or say key= or ignore=")


def _named_type(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
