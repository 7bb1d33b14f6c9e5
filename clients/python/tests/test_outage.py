"""What is changed while the server is away holds when it is back, whatever else happens on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import RedisServer, free_port, until

from llmcache import AsyncCache, Cache, Refused, ops
from llmcache.backends import Backend, Breaker, Fallback, FileShelf, LocalBackend
from llmcache.flows import Flow, Sleep, arun, run
from llmcache.question import Question
from llmcache.types import Unavailable


class Switched(LocalBackend):
    """A server that can be switched off, and that may take its time."""

    def __init__(self) -> None:
        super().__init__()
        self.is_on, self.takes = True, 0.0

    def flow(self, op: ops.Op[Any]) -> Flow[Any]:
        if not self.is_on:
            raise Unavailable("switched off")
        if self.takes:
            yield Sleep(self.takes)
        return (yield from super().flow(op))


@pytest.fixture
def far() -> Switched:
    return Switched()


@pytest.fixture
def cache(far: Switched) -> Iterator[Cache]:
    with Cache(backend=Fallback(far, breaker=Breaker(failures=1, pause=0))) as cache:
        cache.set("p", "old", tags=["t"])
        cache.set("q", "old", tags=["u"])
        yield cache


def text(cache: Cache, prompt: str) -> str | None:
    answer = cache.get(prompt)
    return None if answer is None else answer.text


def test_a_removal_that_is_refused_keeps_no_other_from_being_told(cache: Cache, far: Switched) -> None:
    far.is_on = False
    cache.invalidate("p")
    with pytest.raises(Refused):
        cache.invalidate()
    cache.invalidate("q")
    far.is_on = True
    assert (text(cache, "p"), text(cache, "q")) == (None, None)


def test_a_removal_that_the_server_refuses_keeps_no_other_from_being_told(cache: Cache, far: Switched) -> None:
    far.is_on = False
    cache.invalidate(tags=["t"])
    # The server may not know what is asked of it here.
    cache.backend._missed.insert(0, ops.Invalidate(ops.Selection()))  # type: ignore[attr-defined]
    far.is_on = True
    assert (text(cache, "p"), text(cache, "q")) == (None, "old")


def test_who_gives_up_while_the_server_is_told_loses_nothing(cache: Cache, far: Switched) -> None:
    far.is_on = False
    cache.invalidate("p")
    cache.invalidate("q")
    far.is_on, far.takes = True, 0.05

    async def hasty() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(arun(cache.backend.flow(ops.Get(Question("x")))), 0.07)

    asyncio.run(hasty())
    far.takes = 0
    assert (text(cache, "p"), text(cache, "q")) == (None, None)


def test_nobody_reads_before_the_server_was_told(cache: Cache, far: Switched) -> None:
    far.is_on = False
    cache.invalidate("p")
    far.is_on, far.takes = True, 0.1
    first = threading.Thread(target=cache.get, args=("x",))
    first.start()
    while first.is_alive():
        assert text(cache, "p") is None
    assert text(cache, "p") is None


def test_what_is_stored_meanwhile_is_not_succeeded_by_what_was_there_before(cache: Cache, far: Switched) -> None:
    far.is_on = False
    assert cache.set("p", "new")
    assert not cache.set("q", "over", ttl=0)
    assert text(cache, "p") == "new"
    far.is_on = True
    assert (text(cache, "p"), text(cache, "q")) == (None, None)


def test_what_is_made_meanwhile_takes_nothing_from_the_server(cache: Cache, far: Switched) -> None:
    far.is_on = False
    for number in range(1100):
        cache.get_or_call(f"question {number}", lambda: "x")
    assert cache.get_or_call("p", lambda: "made here").response == "made here"
    far.is_on = True
    assert (text(cache, "p"), text(cache, "q")) == ("old", "old")


def test_more_answers_than_can_be_remembered_leave_the_others_alone(cache: Cache, far: Switched) -> None:
    far.is_on = False
    cache.invalidate("p")
    for number in range(1100):
        cache.set(f"question {number}", "x")
    far.is_on = True
    assert (text(cache, "p"), text(cache, "q")) == (None, "old")


def test_a_file_does_not_bring_back_what_was_removed_at_the_server(far: Switched, tmp_path: Any) -> None:
    def open_again() -> Cache:
        return Cache(backend=Fallback(far, LocalBackend(FileShelf(tmp_path / "answers.db")), Breaker(1, 0)))

    far.is_on = False
    with open_again() as cache:
        cache.set("p", "old")
    far.is_on = True
    with open_again() as cache:
        cache.invalidate("p")
        far.is_on = False
        assert cache.get("p") is None


def test_who_gives_up_says_nothing_of_the_server() -> None:
    class Hanging(Backend):
        def flow(self, op: ops.Op[Any]) -> Flow[Any]:
            yield Sleep(10)

    breaker = Breaker(failures=1, pause=0)
    backend = Fallback(Hanging(), breaker=breaker)

    async def hasty() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(arun(backend.flow(ops.Get(Question("x")))), 0.05)

    attempt = breaker.attempt()
    assert attempt
    breaker.failed(attempt)
    asyncio.run(hasty())
    assert breaker.is_open
    assert breaker.attempt(), "the next one may try"


def test_many_who_fail_at_once_are_one_failure() -> None:
    now = [0.0]
    breaker = Breaker(failures=3, pause=0.5, longest_pause=15, now=lambda: now[0])
    for attempt in [breaker.attempt() for _ in range(20)]:
        assert attempt
        breaker.failed(attempt)
    now[0] = 0.51
    assert breaker.attempt()


def test_connections_that_were_lost_while_they_lay_idle_lose_no_answer(own_server: RedisServer) -> None:
    async def ask() -> None:
        cache = AsyncCache(own_server.url, "faq", breaker=Breaker(pause=0.05))

        async def one(prompt: str) -> None:
            async def model() -> str:
                await asyncio.sleep(0.01)
                return "x"

            await cache.get_or_call(prompt, model)

        await asyncio.gather(*(one(f"before {number}") for number in range(20)))
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        for _ in range(200):
            if (await cache.get("nothing")) is None and not cache.is_degraded:
                break
            await asyncio.sleep(0.02)
        await asyncio.gather(*(one(f"after {number}") for number in range(20)))
        client = own_server.client()
        await cache.aclose()
        there = client.execute_command("LLMCACHE.STATS", "faq")[b"entries"]
        assert there == 20, f"{there} of 20 are in the server"

    asyncio.run(ask())


def test_a_caller_whose_patience_is_short_does_not_wait_for_a_server_that_hangs(own_server: RedisServer) -> None:
    with Cache(own_server.url, "faq", timeout=0.2, breaker=Breaker(failures=2, pause=5)) as cache:
        cache.set("p", "x")
        assert own_server.process is not None
        os.kill(own_server.process.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            threads = [threading.Thread(target=cache.get_or_call, args=(f"p{n}", lambda: "y")) for n in range(30)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            assert time.monotonic() - started < 5
        finally:
            os.kill(own_server.process.pid, signal.SIGCONT)


@pytest.mark.parametrize("trouble", ["full", "hangs"])
def test_nobody_waits_for_an_answer_that_the_server_did_not_take(own_server: RedisServer, trouble: str) -> None:
    redis = own_server.client()
    with (
        Cache(own_server.url, "faq", lease=60, timeout=0.3, breaker=Breaker(pause=0.05, longest_pause=0.1)) as cache,
        Cache(own_server.url, "faq", lease=60) as other,
    ):
        cache.set("there", "x")
        under_way, may_end = threading.Event(), threading.Event()

        def model() -> str:
            under_way.set()
            assert may_end.wait(10)
            return "x"

        first = threading.Thread(target=cache.get_or_call, args=("p", model))
        first.start()
        assert under_way.wait(10)
        assert own_server.process is not None
        if trouble == "full":
            redis.config_set("maxmemory", 1)
        else:
            os.kill(own_server.process.pid, signal.SIGSTOP)
        may_end.set()
        first.join(10)
        answer = cache.get("p")
        assert trouble == "full" or (answer is not None and answer.text == "x"), "it is kept here"
        if trouble == "full":
            redis.config_set("maxmemory", 0)
        else:
            os.kill(own_server.process.pid, signal.SIGCONT)
        until(lambda: cache.set("again", "x") and not cache.is_degraded, "the server is back")
        started = time.monotonic()
        # A server that hung has the SET still before it.
        assert other.get_or_call("p", lambda: "y").response in ("y", "x" if trouble == "hangs" else "y")
        assert time.monotonic() - started < 5, "somebody waited for a lease that nobody held"


def test_who_writes_on_and_on_while_the_server_is_told_is_not_forgotten(cache: Cache, far: Switched) -> None:
    far.is_on = False
    cache.set("first", "x")
    far.is_on, far.takes = True, 0.0005
    slowest = [0.0]

    def write(name: str) -> None:
        for number in range(1000):
            started = time.monotonic()
            cache.set(f"{name} {number}", "x")
            slowest[0] = max(slowest[0], time.monotonic() - started)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    there = run(far.flow(ops.GetStats())).entries
    assert there > 2000, f"{there} of 3000 are in the server"
    assert slowest[0] < 1


def test_what_cannot_be_told_is_left_out(cache: Cache, far: Switched) -> None:
    far.is_on = False

    class Odd(ops.Invalidate):
        def words(self, key: str) -> list[Any]:
            raise TypeError("not to be said")

    flow = far.flow

    def told(op: ops.Op[Any]) -> Flow[Any]:
        if far.is_on:
            op.words("key")
        return (yield from flow(op))

    far.flow = told  # type: ignore[method-assign]
    run(cache.backend.flow(Odd(ops.Selection(tags=("t",)))))
    cache.invalidate("q")
    far.is_on = True
    assert (text(cache, "p"), text(cache, "q")) == ("old", None)


def test_who_waits_for_anothers_answer_keeps_nobody_from_the_server(own_server: RedisServer) -> None:
    with (
        Cache(own_server.url, "faq", breaker=Breaker(failures=1, pause=0)) as cache,
        Cache(own_server.url, "faq") as other,
    ):
        cache.set("there", "x")
        breaker = cache.backend.breaker  # type: ignore[attr-defined]
        assert other.fetch("p", block=0).state == "lease"
        breaker.failed(breaker.attempt())
        waiting = threading.Thread(target=lambda: cache.fetch("p", block=3))
        waiting.start()
        until(lambda: not breaker.is_open, "the server is found back", 2)
        assert waiting.is_alive()
        assert cache.get("there") is not None
        waiting.join(10)


@pytest.mark.parametrize("op", [ops.Set(Question("p"), b"x", token="1f"), ops.Release(Question("p"), "1f")])
def test_a_lease_that_could_not_be_given_back_is_given_back_later(far: Switched, op: ops.Op[Any]) -> None:
    told: list[ops.Op[Any]] = []

    class Told(Backend):
        def flow(self, op: ops.Op[Any]) -> Flow[Any]:
            told.append(op)
            return (yield from far.flow(op))

    far.is_on = False
    backend = Fallback(Told(), breaker=Breaker(failures=1, pause=0))
    run(backend.flow(op))
    assert not any(isinstance(one, ops.Release) for one in told[1:])
    far.is_on = True
    run(backend.flow(ops.Get(Question("q"))))
    assert ops.Release(Question("p"), "1f") in told[1:]


def test_degraded_is_who_was_answered_here() -> None:
    with Cache(f"redis://127.0.0.1:{free_port()}") as cache:
        assert not cache.is_degraded
        cache.get("p")
        assert cache.is_degraded


def test_too_few_connections_are_no_failure_of_the_server(server: RedisServer) -> None:
    with Cache(server.url, "faq", options={"max_connections": 2}) as cache:
        barrier = threading.Barrier(12)

        def ask(number: int) -> None:
            barrier.wait(10)
            for turn in range(20):
                cache.get(f"p{number} {turn}")

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not cache.is_degraded


def test_the_url_decides_nothing_about_how_replies_are_read(server: RedisServer) -> None:
    with Cache(f"{server.url}/0?decode_responses=True&socket_timeout=3", "faq", fallback=None) as cache:
        assert cache.get_or_call("p", lambda: "x") == ("x", False, 0)
        assert cache.get_or_call("p", lambda: "y") == ("x", True, 0)
        assert cache.get("p").text == "x"  # type: ignore[union-attr]


def test_a_server_that_never_was_is_asked_ever_more_rarely() -> None:
    with Cache(f"redis://127.0.0.1:{free_port()}", breaker=Breaker(failures=1, pause=60)) as cache:
        cache.get("p")
        asked: list[ops.Op[Any]] = []
        primary = cache.backend.primary  # type: ignore[attr-defined]
        primary.flow = asked.append
        for _ in range(50):
            run(cache.backend.flow(ops.Get(Question("p"))))
        assert not asked


def test_the_server_is_found_back_by_one_of_many(own_server: RedisServer) -> None:
    with Cache(own_server.url, "faq", breaker=Breaker(failures=1, pause=0.02, longest_pause=0.05)) as cache:
        own_server.kill()
        assert cache.get("p") is None
        own_server.start()
        until(lambda: cache.set("p", "x") and not cache.is_degraded, "it is back")
        assert own_server.client().execute_command("LLMCACHE.GET", "faq", "p") == b"x"
