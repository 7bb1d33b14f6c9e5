"""`Cache` and `AsyncCache`: the verbs, for callers that wait and for those that await."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from . import ops
from .backends import Backend, Breaker, Fallback, FileShelf, LocalBackend, MemoryShelf, Near, Server
from .calls import Keeping, Times, get_or_call
from .codecs import JSON, TEXT, Codec
from .flows import Call, Flow, arun, run
from .options import split, tags
from .question import Prompt, Question, Word, ask
from .types import Answer, Due, Entry, Explanation, Fetched, Refused, Result, Warmed

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .decorator import Cached
    from .options import CallOptions, Context, LookupOptions, StoreOptions

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
Dollars = Decimal | float | str
Response = str | bytes
Cost = Dollars | Callable[[Any], Dollars]


class _Verbs:
    """What both have in common: their settings, and what each verb means."""

    def __init__(
        self,
        url: str | None = None,
        name: str = "llm",
        *,
        fallback: str | LocalBackend | None = "memory",
        near: float | Near | None = None,
        breaker: Breaker | None = None,
        scope: str = "",
        lease: float = 15.0,
        block: float = 60.0,
        backend: Backend | None = None,
        **options: Any,
    ) -> None:
        """A cache.

        Args:
            url: `redis://…`, `rediss://…`, `unix://…`, `redis+cluster://…`, `memory:` or `file:PATH`. Without one what
                LLMCACHE_URL says, or a Redis on this machine.
            name: The key of the cache.
            fallback: What answers while the server does not: "memory", "file:PATH", or None for exceptions.
            near: For how many seconds answers are kept in this process as well.
            scope: For whom answers are, unless a call says otherwise.
            lease: For how many seconds one call keeps others from making it; it is prolonged while the call goes on.
            block: For how many seconds these others wait.
            options: Those of `Server`: `cluster`, `parts`, `timeout`, `connect_timeout`, `options` for redis-py.
        """
        self.name, self.scope, self.times = name, scope, Times(lease, block)
        url = url or os.environ.get("LLMCACHE_URL") or "redis://localhost:6379"
        self.backend = backend or _backend(url, name, fallback, near, breaker, options)

    @property
    def is_degraded(self) -> bool:
        """Whether the server was not there when it was last asked, and answers are kept here meanwhile."""
        backend = self.backend.backend if isinstance(self.backend, Near) else self.backend
        return isinstance(backend, Fallback) and backend.is_degraded

    def question(self, prompt: Question | Prompt, context: Mapping[str, Any] | None = None) -> Question:
        """What is asked; of this cache's scope, unless it has one itself."""
        asked = ask(prompt, **(context or {}))
        return asked if asked.scope or not self.scope else asked.on(scope=self.scope)

    def _get(self, prompt: Question | Prompt, options: Mapping[str, Any]) -> ops.Get:
        context, terms, _ = split(options)
        return ops.Get(self.question(prompt, context), terms)

    def _set(
        self,
        prompt: Question | Prompt,
        response: Response,
        condition: Literal["nx", "xx"] | None,
        token: str | None,
        options: Mapping[str, Any],
    ) -> ops.Set:
        context, _, keep = split(options)
        return ops.Set(self.question(prompt, context), _bytes(response), keep, condition, token)

    def _fetch(
        self, prompt: Question | Prompt, lease: float | None, block: float | None, options: Mapping[str, Any]
    ) -> ops.Fetch:
        context, terms, _ = split(options)
        lease, block = lease or self.times.lease, self.times.block if block is None else block
        return ops.Fetch(self.question(prompt, context), round(lease * 1000), round(block * 1000), terms)

    def _get_or_call(
        self,
        request: Question | Prompt,
        call: Callable[[], Any],
        codec: Codec | None,
        keep: Callable[[Any], ops.Keep | None] | None,
        cost: Cost | None,
        options: Mapping[str, Any],
    ) -> Flow[Result]:
        context, terms, kept = split(options)
        question = self.question(request, context)
        codec = codec or (JSON if question.is_request else TEXT)
        keeping: Keeping = keep or kept
        if cost is not None:
            keeping = _costing(keeping, cost)
        return get_or_call(self.backend, question, Call(call), codec, terms=terms, keep=keeping, times=self.times)

    def _invalidate(
        self,
        prompt: Question | Prompt | None,
        everything: bool,
        selectors: Mapping[str, Any],
        soft: bool,
        dry_run: bool,
    ) -> ops.Invalidate:
        meant = prompt is not None or everything or self.scope
        if not meant and all(value in (None, ()) for value in selectors.values()):
            raise Refused("say which entries are meant: a prompt, tags=, model= …, or everything=True")
        question = None
        if prompt is not None:
            named = {name: selectors[name] for name in ("model", "scope") if selectors.get(name)}
            question = self.question(prompt, named)
            selectors = {name: value for name, value in selectors.items() if name not in named}
        scope = selectors.get("scope")
        if scope is None and question is None:
            scope = self.scope or None
        selection = ops.Selection(everything, question=question, **(dict(selectors) | {"scope": scope}))
        return ops.Invalidate(selection, soft, dry_run)

    def _warm(self, items: Iterable[Any], only_new: bool, options: Mapping[str, Any]) -> ops.Warm:
        context, _, keep = split(options)
        made = []
        for item in items:
            if not isinstance(item, ops.Item):
                prompt, response = item
                item = ops.Item(self.question(prompt, context), _bytes(response), keep)
            made.append(item)
        return ops.Warm(tuple(made), only_new)

    def _feedback(self, entry: str | Answer, good: bool, prompt: Any, options: Mapping[str, Any]) -> ops.Feedback:
        question = None if prompt is None else self.question(prompt, options)
        return ops.Feedback(entry if isinstance(entry, str) else entry.id, good, question)


class Cache(_Verbs):
    """A cache, for callers that wait. It may be shared by threads."""

    def _do(self, op: ops.Op[T]) -> T:
        return run(self.backend.flow(op))

    def get(self, prompt: Question | Prompt, **options: Unpack[LookupOptions]) -> Answer | None:
        """The answer to a prompt, or to the body of a request; None where there is none."""
        return self._do(self._get(prompt, options))

    def set(
        self,
        prompt: Question | Prompt,
        response: Response,
        *,
        condition: Literal["nx", "xx"] | None = None,
        token: str | None = None,
        **options: Unpack[StoreOptions],
    ) -> bool:
        """Keeps an answer. False where it is not kept: a condition that fails, a strategy that keeps nothing."""
        return self._do(self._set(prompt, response, condition, token, options))

    def fetch(
        self,
        prompt: Question | Prompt,
        *,
        lease: float | None = None,
        block: float | None = None,
        **options: Unpack[LookupOptions],
    ) -> Fetched:
        """The answer, or the right to compute it, which others wait for meanwhile."""
        return self._do(self._fetch(prompt, lease, block, options))

    def renew(self, prompt: Question | Prompt, token: str, seconds: float, **context: Unpack[Context]) -> bool:
        """Keeps the right to compute an answer for longer. False where it is another's by now."""
        return self._do(ops.Renew(self.question(prompt, context), token, round(seconds * 1000)))

    def release(
        self, prompt: Question | Prompt, token: str, error: str | None = None, **context: Unpack[Context]
    ) -> bool:
        """Gives the right to compute an answer back."""
        return self._do(ops.Release(self.question(prompt, context), token, error))

    def get_or_call(
        self,
        request: Question | Prompt,
        call: Callable[[], Any],
        *,
        codec: Codec | None = None,
        keep: Callable[[Any], ops.Keep | None] | None = None,
        price: Cost | None = None,
        **options: Unpack[CallOptions],
    ) -> Result:
        """The cached response, or that of `call`, which is made once for all who ask at the same time.

        A request's response is JSON, a prompt's is a str, unless `codec` says otherwise. `keep` decides by the response
        how it is kept, and with None that it is not. `price` is what a call costs in US dollars, or tells that of a
        response; a call that knows more of its response answers `Made(response, tokens=…, tags=…)`. What the call
        raises is raised here, and the next one who waits makes the call.
        """
        return run(self._get_or_call(request, call, codec, keep, price, options))

    def invalidate(
        self,
        prompt: Question | Prompt | None = None,
        *,
        everything: bool = False,
        tags: Iterable[str] = (),
        model: str | None = None,
        scope: str | None = None,
        type: str | None = None,
        strategy: str | None = None,
        match: str | None = None,
        older_than: float | None = None,
        soft: bool = False,
        dry_run: bool = False,
    ) -> int:
        """Removes the entries that meet all that is said, or makes them stale; how many."""
        selectors = _selectors(tags, model, scope, type, strategy, match, older_than)
        return self._do(self._invalidate(prompt, everything, selectors, soft, dry_run))

    def warm(self, items: Iterable[Any], *, only_new: bool = False, **options: Unpack[StoreOptions]) -> Warmed:
        """Stores many pairs of a prompt and a response, or `ops.Item`s."""
        return self._do(self._warm(items, only_new, options))

    def due(
        self, profile: str | None = None, *, count: int = 10, within: int = 0, lease: float | None = None
    ) -> list[Due]:
        """Planned prompts that are missing or about to expire, each for one worker at a time."""
        return self._do(ops.TakeDue(profile, count, within, round((lease or self.times.lease) * 1000)))

    def stats(self, *, by: str | None = None, window: int | None = None) -> Any:
        """What the cache has done and saved; with `by` a dict of such figures."""
        return self._do(ops.GetStats(by, window))

    def explain(self, prompt: Question | Prompt, **options: Unpack[LookupOptions]) -> Explanation:
        """What a lookup would answer, and why. Changes nothing."""
        context, terms, _ = split(options)
        return self._do(ops.Explain(self.question(prompt, context), terms))

    def feedback(
        self,
        entry: str | Answer,
        good: bool,
        prompt: Question | Prompt | None = None,
        **context: Unpack[Context],
    ) -> bool:
        """Says that an entry was a good or a bad answer; with a prompt, to that prompt."""
        return self._do(self._feedback(entry, good, prompt, context))

    def entry(self, id: str, *, with_response: bool = True) -> Entry | None:
        """Everything about one entry."""
        return self._do(ops.GetEntry(id, with_response))

    def scan(
        self,
        *,
        match: str | None = None,
        tag: str | None = None,
        model: str | None = None,
        scope: str | None = None,
        count: int = 100,
    ) -> Iterator[tuple[str, str]]:
        """Ids and prompts of all entries."""
        cursor = "0"
        while True:
            cursor, page = self._do(
                ops.Scan(cursor, count, match, tag, model, (self.scope or None) if scope is None else scope)
            )
            yield from page
            if cursor == "0":
                return

    def info(self) -> dict[str, Any] | None:
        """The policy and the state of the cache."""
        return _info(self._do(ops.Raw("LLMCACHE.INFO", writes=False)))

    def command(self, name: str, *words: Word) -> Any:
        """Any other command, such as CREATE, ALTER, STRATEGY, RULE or ALERT, about this cache."""
        return self._do(ops.Raw(f"LLMCACHE.{name.upper()}", words))

    def cached(self, *function: Any, **options: Any) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """A decorator; see `llmcache.cached`."""
        if function:
            raise TypeError("write @cache.cached(), with parentheses")
        from .decorator import cached

        return cached(self, **options)

    def close(self) -> None:
        """Gives connections back."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncCache(_Verbs):
    """A cache, for callers that await. It may be used from several event loops."""

    async def _do(self, op: ops.Op[T]) -> T:
        return await arun(self.backend.flow(op))

    async def get(self, prompt: Question | Prompt, **options: Unpack[LookupOptions]) -> Answer | None:
        """As `Cache.get`."""
        return await self._do(self._get(prompt, options))

    async def set(
        self,
        prompt: Question | Prompt,
        response: Response,
        *,
        condition: Literal["nx", "xx"] | None = None,
        token: str | None = None,
        **options: Unpack[StoreOptions],
    ) -> bool:
        """As `Cache.set`."""
        return await self._do(self._set(prompt, response, condition, token, options))

    async def fetch(
        self,
        prompt: Question | Prompt,
        *,
        lease: float | None = None,
        block: float | None = None,
        **options: Unpack[LookupOptions],
    ) -> Fetched:
        """As `Cache.fetch`."""
        return await self._do(self._fetch(prompt, lease, block, options))

    async def renew(self, prompt: Question | Prompt, token: str, seconds: float, **context: Unpack[Context]) -> bool:
        """As `Cache.renew`."""
        return await self._do(ops.Renew(self.question(prompt, context), token, round(seconds * 1000)))

    async def release(
        self, prompt: Question | Prompt, token: str, error: str | None = None, **context: Unpack[Context]
    ) -> bool:
        """As `Cache.release`."""
        return await self._do(ops.Release(self.question(prompt, context), token, error))

    async def get_or_call(
        self,
        request: Question | Prompt,
        call: Callable[[], Awaitable[Any] | Any],
        *,
        codec: Codec | None = None,
        keep: Callable[[Any], ops.Keep | None] | None = None,
        price: Cost | None = None,
        **options: Unpack[CallOptions],
    ) -> Result:
        """As `Cache.get_or_call`; what `call` answers may be awaitable."""
        return await arun(self._get_or_call(request, call, codec, keep, price, options))

    async def invalidate(
        self,
        prompt: Question | Prompt | None = None,
        *,
        everything: bool = False,
        tags: Iterable[str] = (),
        model: str | None = None,
        scope: str | None = None,
        type: str | None = None,
        strategy: str | None = None,
        match: str | None = None,
        older_than: float | None = None,
        soft: bool = False,
        dry_run: bool = False,
    ) -> int:
        """As `Cache.invalidate`."""
        selectors = _selectors(tags, model, scope, type, strategy, match, older_than)
        return await self._do(self._invalidate(prompt, everything, selectors, soft, dry_run))

    async def warm(self, items: Iterable[Any], *, only_new: bool = False, **options: Unpack[StoreOptions]) -> Warmed:
        """As `Cache.warm`."""
        return await self._do(self._warm(items, only_new, options))

    async def due(
        self, profile: str | None = None, *, count: int = 10, within: int = 0, lease: float | None = None
    ) -> list[Due]:
        """As `Cache.due`."""
        return await self._do(ops.TakeDue(profile, count, within, round((lease or self.times.lease) * 1000)))

    async def stats(self, *, by: str | None = None, window: int | None = None) -> Any:
        """As `Cache.stats`."""
        return await self._do(ops.GetStats(by, window))

    async def explain(self, prompt: Question | Prompt, **options: Unpack[LookupOptions]) -> Explanation:
        """As `Cache.explain`."""
        context, terms, _ = split(options)
        return await self._do(ops.Explain(self.question(prompt, context), terms))

    async def feedback(
        self,
        entry: str | Answer,
        good: bool,
        prompt: Question | Prompt | None = None,
        **context: Unpack[Context],
    ) -> bool:
        """As `Cache.feedback`."""
        return await self._do(self._feedback(entry, good, prompt, context))

    async def entry(self, id: str, *, with_response: bool = True) -> Entry | None:
        """As `Cache.entry`."""
        return await self._do(ops.GetEntry(id, with_response))

    async def scan(
        self,
        *,
        match: str | None = None,
        tag: str | None = None,
        model: str | None = None,
        scope: str | None = None,
        count: int = 100,
    ) -> AsyncIterator[tuple[str, str]]:
        """As `Cache.scan`."""
        cursor = "0"
        while True:
            cursor, page = await self._do(
                ops.Scan(cursor, count, match, tag, model, (self.scope or None) if scope is None else scope)
            )
            for found in page:
                yield found
            if cursor == "0":
                return

    async def info(self) -> dict[str, Any] | None:
        """As `Cache.info`."""
        return _info(await self._do(ops.Raw("LLMCACHE.INFO", writes=False)))

    async def command(self, name: str, *words: Word) -> Any:
        """As `Cache.command`."""
        return await self._do(ops.Raw(f"LLMCACHE.{name.upper()}", words))

    def cached(self, *function: Any, **options: Any) -> Callable[[Callable[P, R]], Cached[P, R]]:
        """A decorator; see `llmcache.cached`."""
        if function:
            raise TypeError("write @cache.cached(), with parentheses")
        from .decorator import cached

        return cached(self, **options)

    async def aclose(self) -> None:
        """Gives connections back."""
        await self.backend.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _backend(
    url: str,
    name: str,
    fallback: str | LocalBackend | None,
    near: float | Near | None,
    breaker: Breaker | None,
    options: dict[str, Any],
) -> Backend:
    """The backend that a cache's arguments name."""
    backend: Backend
    if url.startswith(("memory:", "file:")):
        backend = _local(url, name)
    else:
        backend = Server(url, name, **options)
        if fallback is not None:
            local = fallback if isinstance(fallback, LocalBackend) else _local(fallback, name)
            backend = Fallback(backend, local, breaker)
    if isinstance(near, Near):
        near.backend = backend
        return near
    return Near(backend, near) if near else backend


def _local(place: str, name: str) -> LocalBackend:
    kind, _, path = place.partition(":")
    if kind == "memory":
        return LocalBackend(MemoryShelf())
    if kind == "file" and path:
        return LocalBackend(FileShelf(path.removeprefix("//"), name))
    raise ValueError(f"what answers without a server is 'memory' or 'file:PATH', got {place!r}")


def _bytes(response: Response) -> bytes:
    return response.encode() if isinstance(response, str) else bytes(response)


def _costing(keep: Keeping, cost: Cost) -> Keeping:
    def decide(response: Any) -> ops.Keep | None:
        kept = keep(response) if callable(keep) else keep
        return kept and kept.on(cost=cost(response) if callable(cost) else cost)

    return decide


def _selectors(
    given: Iterable[str],
    model: str | None,
    scope: str | None,
    type: str | None,
    strategy: str | None,
    match: str | None,
    older_than: float | None,
) -> dict[str, Any]:
    return {
        "tags": tags(given),  # type: ignore[arg-type]
        "model": model,
        "scope": scope,
        "type": type,
        "strategy": strategy,
        "match": match,
        "older_than": older_than,
    }


def _info(reply: Any) -> dict[str, Any] | None:
    return None if reply is None else ops.plain(ops.fields(reply))
