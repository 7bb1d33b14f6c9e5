"""Clients of SDKs that wait or await, against an endpoint of this machine, over caches of both kinds."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import arguments
from fake_llm import FakeLlm

from llmcache import AsyncCache, Cache, wrap

#: What names an answer, and so differs from call to call.
NAMES = frozenset(["id", "obfuscation", "created", "created_at", "_request_id", "item_id"])


class Bench:
    """A client, plain and wrapped, and the means to use either kind of client in the same words."""

    def __init__(self, fake: FakeLlm, cache: Any, make: Callable[..., Any], is_async: bool) -> None:
        self.fake, self.cache, self.is_async = fake, cache, is_async
        self.loop = asyncio.new_event_loop()
        self._make = make
        self.plain = make(fake)
        self.client = self.wrap()

    def wrap(self, **options: Any) -> Any:
        return wrap(self._make(self.fake), self.cache, **options)

    def do(self, value: Any) -> Any:
        """A value, or what is awaited for it."""
        if not inspect.isawaitable(value):
            return value

        async def wait() -> Any:
            return await value

        return self.loop.run_until_complete(wait())

    def read(self, stream: Any, most: int | None = None) -> list[Any]:
        """What a stream yields, or the first of it."""
        stream, items = self.do(stream), []
        if not hasattr(stream, "__anext__"):
            for item in stream:
                items.append(item)
                if len(items) == most:
                    break
            return items

        async def wait() -> None:
            async for item in stream:
                items.append(item)
                if len(items) == most:
                    break

        self.loop.run_until_complete(wait())
        return items

    def close(self, stream: Any) -> None:
        self.do(stream.close())

    def together(self, ask: Callable[[], Any], count: int) -> list[Any]:
        """What many get who ask at once; where it is a stream, what it yields."""
        if not self.is_async:
            told: list[Any] = []

            def one() -> None:
                answer = ask()
                told.append((answer, list(answer)) if hasattr(answer, "__next__") else (answer, []))

            threads = [threading.Thread(target=one) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            return told

        async def aone() -> Any:
            answer = await ask()
            return (answer, [item async for item in answer] if hasattr(answer, "__anext__") else [])

        async def all_of_them() -> Any:
            return await asyncio.gather(*(aone() for _ in range(count)))

        return list(self.loop.run_until_complete(all_of_them()))

    def settle(self, seconds: float = 0.05) -> None:
        """Lets what goes on in the background go on."""
        if self.is_async:
            self.loop.run_until_complete(asyncio.sleep(seconds))
        else:
            threading.Event().wait(seconds)

    @property
    def entries(self) -> int:
        return int(self.do(self.cache.stats()).entries)

    def end(self) -> None:
        self.do(self.cache.aclose() if isinstance(self.cache, AsyncCache) else self.cache.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


def benches(make: Callable[[bool], Callable[..., Any]], request: pytest.FixtureRequest) -> Iterator[Bench]:
    """For a fixture with these parameters: which backend, and whether the client awaits."""
    kind, is_async = request.param
    fake = FakeLlm()
    options = arguments(kind, request)
    if kind == "server":
        # A hundred clients on one event loop and a busy machine.
        options |= {"connect_timeout": 20.0, "timeout": 20.0}
    cache = AsyncCache(name="sdk", **options) if is_async else Cache(name="sdk", **options)  # type: ignore[arg-type]
    bench = Bench(fake, cache, make(is_async), is_async)
    yield bench
    bench.end()
    fake.close()


KINDS = [
    pytest.param((kind, is_async), id=f"{kind}-{'async' if is_async else 'sync'}")
    for kind in ("server", "memory")
    for is_async in (False, True)
]


def nameless(value: Any) -> Any:
    """An object of an SDK as plain data, without what differs from call to call."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, dict):
        return {name: nameless(inner) for name, inner in value.items() if name not in NAMES}
    if isinstance(value, list):
        return [nameless(inner) for inner in value]
    return value
