"""`@cached`: a function, method or coroutine whose answers are kept."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import FunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from . import ops
from .calls import get_or_call
from .codecs import JSON, Codec
from .flows import Call, Flow, arun, run
from .options import tags as tags_of
from .plain import named, plain, written
from .question import Question
from .types import Result

if TYPE_CHECKING:
    from .cache import AsyncCache, Cache

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Tags = Iterable[str] | Callable[..., Iterable[str]]

log = logging.getLogger("llmcache")


def cached(
    cache: Cache | AsyncCache | Callable[[], Cache | AsyncCache],
    *,
    name: str | None = None,
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

    What it answers depends on its arguments, so these are the key, `self` and `cls` among them. They are told by what
    they are: JSON, what the standard library has, dataclasses and models by their fields, other objects by a
    `cache_key` of theirs, an attribute or a method. What cannot be told from others is a TypeError, never a guess.
    The function itself is part of the key, by its module and name.

    Args:
        cache: Where. A function that answers one is asked at each call.
        name: The name of the function, for one whose own could be that of another: a lambda, a closure, a `partial`, a
            bound method, a function of a notebook. It has to tell what is closed over, as in `name=f"ask {model}"`.
        key: Instead of all arguments: a format string over them ("{user}:{page}"), or a function of them.
        ignore: Arguments that change nothing. Of `self` or `cls` the class still counts, also beside `key`.
        prompt: The argument that is the prompt, so that similar lookups and strategies see it; others become params.
        scope: The argument whose value is the scope: what one has stored is never served to another.
        model: The argument that names the model.
        strategy, ttl, stale, type: How answers are kept, as in `Cache.set`.
        tags: Those of each answer; a format string among them is filled with the arguments, a function asked with them.
        cost: What a call costs in US dollars, or a function of its answer.
        when: Whether this answer is to be kept. Where it fails, or tags or cost do, it is not, and that is logged.
        codec: Between answers and bytes. What would not come back as it was is not kept.
        terms: How answers are looked for, such as `Terms(mode="similar")` with `prompt`.
    """
    if strategy is not None and ttl is not None:
        raise ValueError("strategy and ttl exclude each other, say one of them")
    settings = _Settings(
        name, key, frozenset(ignore), prompt, scope, model, tags if callable(tags) else tags_of(tags),  # type: ignore[arg-type]
        cost, when, codec, terms, ops.Keep(strategy=strategy, ttl=ttl, stale=stale, type=type),
    )  # fmt: skip

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        method: Any = function
        if isinstance(method, (staticmethod, classmethod)):
            inner: Any = decorate(method.__func__)
            return cast(Cached[P, R], staticmethod(inner) if isinstance(method, staticmethod) else _OfClass(inner))
        kind = AsyncCached if inspect.iscoroutinefunction(function) else Cached
        return kind(function, cache, settings)

    return decorate


@dataclass(frozen=True)
class _Settings:
    name: str | None
    key: str | Callable[..., Any] | None
    ignore: frozenset[str]
    prompt: str | None
    scope: str | None
    model: str | None
    tags: Any
    cost: Any
    when: Callable[[Any], bool] | None
    codec: Codec
    terms: ops.Terms
    keep: ops.Keep


class Cached(Generic[P, R]):
    """A function whose answers are kept: called like it, with `detail`, `invalidate` and `question` beside it."""

    def __init__(self, function: Callable[P, R], cache: Any, settings: _Settings) -> None:
        functools.update_wrapper(self, function)
        self._function, self._cache, self._settings = function, cache, settings
        self._signature = inspect.signature(function)
        self._is_async = inspect.iscoroutinefunction(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{_shown(function)} yields its answer bit by bit; cache what it is made of")
        self._check_names()
        self._name = settings.name if settings.name is not None else _own_name(function)
        first = next(iter(self._signature.parameters), "")
        self._owner = first if first in ("self", "cls") else None
        _look_like(self, function)

    def _check_names(self) -> None:
        settings, parameters = self._settings, self._signature.parameters
        asked = {settings.prompt, settings.scope, settings.model, *settings.ignore} - {None}
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            formats = [] if callable(settings.tags) else [*settings.tags]
            formats += [settings.key] if isinstance(settings.key, str) else []
            fields = (field for one in formats for _, field, _, _ in string.Formatter().parse(one))
            asked |= {re.split(r"[.[]", field)[0] for field in fields if field is not None}
        for name in asked:
            if name not in parameters:
                raise TypeError(f"{_shown(self._function)} has no argument {name!r}")

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
        self._check_owner(args)
        flow = self._flow(args, kwargs)
        return arun(flow) if self._is_async else run(flow)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Forgets the answer to these arguments. Awaitable where the function is."""
        flow = self.cache.backend.flow(ops.Invalidate(ops.Selection(question=self.question(*args, **kwargs))))
        return arun(flow) if self._is_async else run(flow)

    def question(self, *args: P.args, **kwargs: P.kwargs) -> Question:
        """What is asked with these arguments."""
        self._check_owner(args)
        return self._question(self._arguments(args, kwargs))

    def _check_owner(self, args: tuple[Any, ...]) -> None:
        # As of Python 3.13 a class method does not say to what it holds which class it is asked of.
        place = getattr(self, "__qualname__", "").rpartition(".")[0]
        is_in_class = place != "" and not place.endswith("<locals>")
        if self._owner == "cls" and is_in_class and not (args and isinstance(args[0], type)):
            raise TypeError(f"{_shown(self._function)} was not told its class: put @cached above @classmethod")

    def _flow(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[Result]:
        cache, settings = self.cache, self._settings
        given = self._arguments(args, kwargs)
        keep: ops.Keep | None = None

        def call(*args: Any, **kwargs: Any) -> Any:
            # Before the function is called, as it may change its arguments.
            nonlocal keep
            keep = self._tagged(given)
            return self._function(*args, **kwargs)

        return get_or_call(
            cache.backend,
            self._question(given),
            Call(call, args, kwargs),
            settings.codec,
            terms=settings.terms,
            keep=lambda answer: self._keep(keep, answer),
            times=cache.times,
        )

    def _tagged(self, given: Mapping[str, Any]) -> ops.Keep | None:
        settings = self._settings
        try:
            told, tags = self._named(given), settings.tags
            tags = tags_of(tags(**told) if callable(tags) else [tag.format(**told) for tag in tags])
            if not all(isinstance(tag, str) for tag in tags):
                raise TypeError(f"tags are texts, got {tags!r}")
            return settings.keep.on(tags=tags)
        except Exception:
            log.warning("llmcache: an answer of %s is not cached, as its tags failed", self._name, exc_info=True)
            return None

    def _keep(self, keep: ops.Keep | None, answer: Any) -> ops.Keep | None:
        settings = self._settings
        try:
            if keep is None or (settings.when is not None and not settings.when(answer)):
                return None
            cost = settings.cost(answer) if callable(settings.cost) else settings.cost
            return keep if cost is None else keep.on(cost=Decimal(str(cost)))
        except Exception:
            log.warning("llmcache: an answer of %s is not cached, as when or cost failed", self._name, exc_info=True)
            return None

    def _question(self, given: Mapping[str, Any]) -> Question:
        settings = self._settings
        scope = None if settings.scope is None else given[settings.scope]
        model = None if settings.model is None else given[settings.model]
        # What the question tells word by word need not be told again. None, 1 and "" must: they look like others there.
        context = {settings.scope: scope, settings.model: model}
        told = {
            settings.prompt,
            *settings.ignore,
            *(name for name, value in context.items() if _is_text(value) and value),
        }
        asked = {name: value for name, value in given.items() if name not in told}
        if settings.key is not None:
            asked = {name: value for name, value in asked.items() if name in context}
        if self._owner is not None and self._owner not in asked:
            owner = given[self._owner]
            asked[self._owner] = named(owner if isinstance(owner, type) else type(owner))
        arguments: Any = {name: self._plain(name, value) for name, value in asked.items()}
        if settings.key is not None:
            make = settings.key if callable(settings.key) else settings.key.format
            arguments = [plain(make(**self._named(given))), arguments]
        params: dict[str, Any] = {"function": self._name}
        prompt = written(arguments)
        if settings.prompt is not None:
            params["arguments"], prompt = prompt, given[settings.prompt]
            if not _is_text(prompt):
                # 1 and "1" are two.
                params["prompt"], prompt = type(prompt).__qualname__, written(self._plain(settings.prompt, prompt))
        return Question(
            prompt,
            model="" if model is None else str(model),
            scope=self.cache.scope if scope is None else str(scope),
            params=params,
        )

    def _plain(self, name: str, value: Any) -> Any:
        try:
            return plain(value)
        except TypeError as error:
            raise TypeError(f"{name} of {self._name}: {error}, or say ignore=[{name!r}] or key=") from error

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, with those that were left out: `f(1)` and `f(a=1)` are one."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _named(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for formats and functions: those of `**kwargs` by their own names."""
        told: dict[str, Any] = {}
        for name, value in given.items():
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                told = {**value, **told}
            else:
                told[name] = value
        return told


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

    def __reduce__(self) -> Any:
        # As methods are: by their object and name.
        return getattr, (self._instance, self._cached._function.__name__)

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


def _is_text(value: Any) -> bool:
    """Whether it is a text, and one that can be sent: half of a surrogate pair cannot."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


#: The functions that are known by each name, with their code and the time at which the file of that was written.
_KNOWN: dict[str, tuple[Any, Any, int | None]] = {}


def _own_name(function: Any) -> str:
    """The name of a function among all whose answers are in one cache; a TypeError where it may be that of another."""
    while isinstance(function, Cached):
        function = function._function
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    owner = getattr(function, "__self__", None)
    #: Then it does the same each time it is made.
    is_closed = isinstance(function, FunctionType) and not function.__closure__ and not hasattr(function, "__wrapped__")
    is_local = qualname is not None and "<locals>" in qualname
    if module is None or qualname is None or "<lambda>" in qualname:
        raise _unnamed(function, "has no name of its own")
    if not (owner is None or inspect.ismodule(owner)):
        raise _unnamed(function, "is bound to an object that its name does not tell")
    if is_local and not (is_closed and qualname.rpartition(".")[0].endswith("<locals>")):
        raise _unnamed(function, "is made inside of a function, each time with other values")
    name = named(function)
    if name.startswith(("__main__.", "__mp_main__.")):
        raise _unnamed(function, "is of no file, and others like this may have one by its name")
    code = getattr(inspect.unwrap(function), "__code__", None)
    written = _written_at(code)
    known, its_code, its_time = _KNOWN.get(name, (function, code, written))
    if known is not function:
        is_in_same_file = code is not None and its_code is not None and code.co_filename == its_code.co_filename
        # Modules are loaded anew, and by then their files may be other ones.
        is_again = code == its_code and (is_closed or code is not its_code)
        if not is_in_same_file or not (is_again or written != its_time):
            raise _unnamed(function, "has the name of another one that is cached")
    _KNOWN[name] = (function, code, written)
    return name


def _written_at(code: Any) -> int | None:
    try:
        return os.stat(code.co_filename).st_mtime_ns
    except (AttributeError, OSError):
        return None


def _unnamed(function: Any, why: str) -> TypeError:
    return TypeError(
        f"{_shown(function)} {why}, so it might get answers that are not its own: say name=, "
        'which tells it from all others, such as name=f"ask {model}"'
    )


def _shown(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
