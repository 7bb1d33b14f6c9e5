"""Whatever becomes of the cache, of an answer or of who asks: a call is made and handed over, nobody waits in vain."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from conftest import RedisServer, until

from llmcache import AsyncCache, Cache, Item, Made, ops
from llmcache.backends import LocalBackend, Server
from llmcache.codecs import Codec
from llmcache.flows import Sleep
from llmcache.question import Question


def fails(*_: Any) -> Any:
    raise AttributeError("not mine")


def test_what_cannot_be_asked_of_a_cache_is_asked_of_the_model(cache: Cache) -> None:
    assert cache.get_or_call("half a \ud83d pair", lambda: "x") == ("x", False, 0)
    assert cache.get_or_call("p", lambda: "x", params={"set": {1}}) == ("x", False, 0)
    assert cache.get_or_call("q", lambda: "half a \ud83d pair") == ("half a \ud83d pair", False, 0)


@pytest.mark.parametrize(
    "rest",
    [
        {"keep": fails},
        {"price": fails},
        {"price": lambda _: "much"},
        {"codec": Codec(fails, bytes.decode)},
        {"codec": Codec(str.encode, fails)},
    ],
    ids=["keep", "price", "no price", "dumps", "loads"],
)
def test_an_answer_that_cannot_be_kept_is_handed_over(cache: Cache, rest: dict[str, Any]) -> None:
    assert cache.get_or_call("p", lambda: "x", **rest) == ("x", False, 0)
    started = time.monotonic()
    assert cache.get_or_call("p", lambda: "y").response == "y", "it was not kept, and nobody waits for it"
    assert time.monotonic() - started < 5


def test_a_call_may_tell_what_only_it_knows(cache: Cache) -> None:
    def call() -> Made:
        return Made("x", cost="0.25", tokens=(3, 4), tags=("a",))

    assert cache.get_or_call("p", call, ttl=100, tags=["b"]) == ("x", False, Decimal("0.25"))
    answer = cache.get("p")
    assert answer is not None and (answer.text, answer.tags) == ("x", ("a",))
    assert (answer.tokens_in, answer.tokens_out, answer.cost_usd) == (3, 4, Decimal("0.25"))
    assert cache.get_or_call("p", call) == ("x", True, Decimal("0.25"))
    with pytest.raises(TypeError):
        Made("x", price=3)


def test_what_cannot_be_read_is_made_anew(cache: Cache) -> None:
    cache.set("p", "x")
    assert cache.get_or_call("p", lambda: "y", codec=Codec(str.encode, fails)).response == "y"


def test_any_exception_of_a_call_is_that_of_the_caller(cache: Cache) -> None:
    class Own(BaseException):
        pass

    for kind in (StopIteration, StopAsyncIteration, GeneratorExit, KeyError, Own):
        error = kind("why")

        def call(error: BaseException = error) -> Any:
            raise error

        with pytest.raises(kind) as told:
            cache.get_or_call("p", call)
        assert told.value is error
    assert cache.get_or_call("p", lambda: "x").response == "x"


Cancel = Callable[[Any, float], Any]


async def once(work: Any, seconds: float) -> None:
    """As asyncio cancels: one time."""
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(work, seconds)


async def for_good(work: Any, seconds: float) -> None:
    """As anyio does: whatever is awaited is cancelled until the scope is left."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(seconds)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize("cancel", [once, for_good])
def test_who_is_cancelled_in_a_call_gives_the_right_to_make_it_on(acache: AsyncCache, cancel: Cancel) -> None:
    async def ask() -> float:
        await cancel(acache.get_or_call("p", lambda: asyncio.sleep(10)), 0.05)
        started = time.monotonic()
        assert (await acache.get_or_call("p", lambda: "x")).response == "x"
        await acache.aclose()
        return time.monotonic() - started

    assert asyncio.run(ask()) < 5


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_who_is_cancelled_while_the_lease_is_on_its_way_leaves_none(server: RedisServer, is_stubborn: bool) -> None:
    async def ask() -> None:
        cache = AsyncCache(server.url, "faq")
        await cache.set("there", "x")
        for number in range(40):
            task = asyncio.ensure_future(cache.fetch(f"p{number}", lease=60, block=60))
            await asyncio.sleep(number / 40 * 0.003)
            if not task.done():
                task.cancel()
            while not task.done():
                await asyncio.sleep(0)
                if is_stubborn:
                    task.cancel()
            if not task.cancelled():
                # It was there before, and somebody has it.
                await cache.release(f"p{number}", task.result().token or "")
        await asyncio.sleep(0.1)
        states = [(await cache.fetch(f"p{number}", lease=60, block=0)).state for number in range(40)]
        await cache.aclose()
        assert states == ["lease"] * 40, states

    asyncio.run(ask())


def test_one_cache_serves_many_event_loops_and_keeps_none(server: RedisServer) -> None:
    cache = AsyncCache(server.url, "faq")
    before = server.client().info("clients")["connected_clients"]
    for number in range(20):
        assert asyncio.run(cache.get(f"p{number}")) is None
    backend = cache.backend.primary  # type: ignore[attr-defined]
    assert len(backend._aclients) <= 2
    gc.collect()
    until(lambda: server.client().info("clients")["connected_clients"] <= before + 3, "connections are closed")
    asyncio.run(cache.aclose())


def test_there_are_few_clients_however_long_one_waits(server: RedisServer) -> None:
    backend = Server(server.url, "faq")

    async def ask() -> None:
        for number in range(60):
            backend.aclient(number + number / 7)
        assert len(next(iter(backend._aclients.values()))) <= 8
        await backend.aclose()

    asyncio.run(ask())


def test_warm_stores_what_json_cannot_say(server: RedisServer) -> None:
    with Cache(server.url, "faq", fallback=None) as cache:
        cache.command("CREATE", "SIMILARITY", "vector", "DIM", 2)
        near = Question("near", vector=(1.0, 0.0))
        cache.set("over", "x")
        warmed = cache.warm(
            [
                Item(near, b"by vector"),
                Item(Question("plain", vector=(0.0, 1.0)), b"\xff\x00"),
                Item(Question(b"\xfe"), b"x"),
                Item(Question("over"), b"y", ops.Keep(ttl=0)),
                Item(Question("text"), b"x"),
            ]
        )
        assert (warmed.stored, warmed.skipped, warmed.errors) == (4, 1, ())
        found = cache.get(Question("like it", vector=(0.999, 0.001)), mode="similar")
        assert found is not None and found.response == b"by vector"
        assert cache.get(b"\xfe").response == b"x"  # type: ignore[union-attr]
        assert cache.get("plain").response == b"\xff\x00"  # type: ignore[union-attr]
        assert cache.get("over") is None


def test_only_what_is_meant_is_removed(cache: Cache) -> None:
    for scope in ("", "tenant-7", "tenant-8"):
        cache.set("p", "x", scope=scope, tags=["SCOPE"], type="x", model="m")
    assert cache.invalidate(tags=["SCOPE"], scope="tenant-7") == 1
    assert cache.invalidate(tags=["SCOPE"], scope="") == 1
    assert cache.invalidate(tags=["SCOPE"]) == 1
    cache.set("TYPE", "x", type="a")
    cache.set("SCOPE", "x", model="m", scope="s", type="a")
    assert cache.invalidate("TYPE", type="b") == 0
    assert cache.invalidate("SCOPE", model="m", scope="s", type="b") == 0
    assert cache.invalidate("SCOPE", model="m", scope="s", type="a") == 1
    assert cache.invalidate("TYPE", type="a") == 1


def test_the_near_level_sees_what_is_stored_in_another_spelling(server: RedisServer) -> None:
    def body(content: Any) -> dict[str, Any]:
        return {"model": "m", "messages": [{"role": "user", "content": content}]}

    with Cache(server.url, "faq", near=60) as cache:
        cache.set(body("p"), "old")
        assert cache.get(body("p")).text == "old"  # type: ignore[union-attr]
        cache.set(body([{"type": "text", "text": "p"}]), "new")
        assert cache.get(body("p")).text == "new"  # type: ignore[union-attr]


def test_a_cache_may_be_closed_while_it_is_asked(server: RedisServer) -> None:
    async def ask() -> None:
        cache = AsyncCache(server.url, "faq")
        asked = [asyncio.create_task(cache.fetch(f"p{number}", block=5)) for number in range(5)]
        again = [asyncio.create_task(cache.fetch(f"p{number}", block=5)) for number in range(5)]
        await asyncio.gather(*asked)
        await asyncio.sleep(0.05)
        await cache.aclose()
        # Nobody is told of anything but that the server is away.
        for task in again:
            assert (await asyncio.wait_for(task, 20)).state in ("lease", "hit", "timeout", "wait")
        await cache.aclose()

    asyncio.run(ask())


@pytest.mark.parametrize("cancel", [once, for_good])
def test_who_is_cancelled_while_an_answer_is_stored_leaves_no_lease(cancel: Cancel) -> None:
    class Slow(LocalBackend):
        def flow(self, op: ops.Op[Any]) -> Any:
            if isinstance(op, ops.Set):
                yield Sleep(5)
            return (yield from super().flow(op))

    async def ask() -> float:
        cache = AsyncCache(backend=Slow(), lease=30)
        await cancel(cache.get_or_call("p", lambda: "x"), 0.05)
        started = time.monotonic()
        assert (await cache.fetch("p", block=10)).state == "lease"
        return time.monotonic() - started

    assert asyncio.run(ask()) < 5
