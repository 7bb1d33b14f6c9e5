"""`@cached`: a function, method or coroutine whose answers are kept."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

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

    What it answers depends on its arguments, so these are the key; `self` and `cls` are not, unless the object has a
    `cache_key`. The function itself is part of the key, by its module and name.

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
    settings = _Settings(
        key, frozenset(ignore), prompt, scope, model, tags, cost, when, codec, terms,
        ops.Keep(strategy=strategy, ttl=ttl, stale=stale, type=type),
    )  # fmt: skip

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        return Cached(function, cache, settings)

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
    """A function whose answers are kept: called like it, with `detail`, `invalidate`, `question` beside it."""

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
        if self._is_async:
            # For frameworks that ask.
            self._is_coroutine_marker = getattr(inspect, "_is_coroutine_mark", True)

    @property
    def cache(self) -> Any:
        """The cache it is kept in."""
        from .cache import AsyncCache, Cache

        return self._cache if isinstance(self._cache, (Cache, AsyncCache)) else self._cache()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else _Bound(self, instance)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._is_async:
            return self._respond(args, kwargs)  # type: ignore[return-value]
        result: R = run(self._flow(args, kwargs)).response
        return result

    async def _respond(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return (await arun(self._flow(args, kwargs))).response

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
            return tuple(self._settings.tags(**given))
        return tuple(tag.format(**given) for tag in self._settings.tags)

    def question(self, *args: P.args, **kwargs: P.kwargs) -> Question:
        """What is asked with these arguments."""
        return self._question(self._arguments(args, kwargs))

    def _question(self, given: Mapping[str, Any]) -> Question:
        settings, name = self._settings, f"{self._function.__module__}.{self._function.__qualname__}"
        scope = self.cache.scope if settings.scope is None else str(given[settings.scope])
        model = "" if settings.model is None else str(given[settings.model])
        asked = {
            name: value
            for name, value in given.items()
            if name not in settings.ignore and name not in (settings.scope, settings.model)
        }
        if self._bound_name is not None and self._bound_name in asked:
            own = getattr(asked.pop(self._bound_name), "cache_key", None)
            own = own() if callable(own) else own
            asked |= {} if own is None else {"self": own}
        if callable(settings.key):
            asked = {"key": settings.key(**given)}
        elif settings.key is not None:
            asked = {"key": settings.key.format(**given)}
        if settings.prompt is not None:
            prompt = str(asked.pop(settings.prompt, given[settings.prompt]))
            return Question(prompt, model=model, scope=scope, params={"function": name, "arguments": _plain(asked)})
        return Question(canonical(_plain(asked)), model=model, scope=scope, params={"function": name})

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, with those that were left out: `f(1)` and `f(a=1)` are one."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given: dict[str, Any] = dict(bound.arguments)
        for parameter in self._signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name)
        return given


class _Bound:
    """A method of one object."""

    def __init__(self, cached: Cached[Any, Any], instance: Any) -> None:
        self._cached, self._instance = cached, instance
        functools.update_wrapper(self, cached._function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._cached(self._instance, *args, **kwargs)

    def detail(self, *args: Any, **kwargs: Any) -> Any:
        """As `Cached.detail`."""
        return self._cached.detail(self._instance, *args, **kwargs)

    def invalidate(self, *args: Any, **kwargs: Any) -> Any:
        """As `Cached.invalidate`."""
        return self._cached.invalidate(self._instance, *args, **kwargs)

    def question(self, *args: Any, **kwargs: Any) -> Question:
        """As `Cached.question`."""
        return self._cached.question(self._instance, *args, **kwargs)


def _plain(value: Any) -> Any:
    """Arguments as JSON: by what they are, never by where they lie in memory."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {"map": sorted(([_plain(key), _plain(inner)] for key, inner in value.items()), key=canonical)}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((_plain(inner) for inner in value), key=canonical)}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": bytes(value).hex()}
    named = type(value).__qualname__
    if hasattr(value, "cache_key"):
        own = value.cache_key
        return {named: _plain(own() if callable(own) else own)}
    if hasattr(value, "model_dump"):
        return {named: _plain(value.model_dump(mode="json"))}
    if hasattr(value, "__dataclass_fields__"):
        return {named: {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}}
    if hasattr(value, "isoformat"):
        return {named: value.isoformat()}
    if any("__str__" in kind.__dict__ or "__repr__" in kind.__dict__ for kind in type(value).__mro__[:-1]):
        return {named: str(value)}
    raise TypeError(f"a {named} as an argument says not what it is: give it a cache_key, or say key= or ignore=")
