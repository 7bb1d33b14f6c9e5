"""A server that is not there, is slow, goes and comes back: no call fails, and caching goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import RedisServer, free_port, until

from llmcache import AsyncCache, Cache, Result, Unavailable
from llmcache.backends import Breaker, Fallback, LocalBackend


def test_no_call_fails_when_the_server_is_killed_in_the_middle(own_server: RedisServer) -> None:
    with Cache(own_server.url, "faq", breaker=Breaker(pause=0.05, longest_pause=0.2)) as cache:
        done, calls, wrong = [], [], []
        lock = threading.Lock()

        def work(first: int) -> None:
            for number in range(first, first + 50):
                prompt = f"question {number % 100}"

                def model(prompt: str = prompt) -> str:
                    with lock:
                        calls.append(prompt)
                    time.sleep(0.002)
                    return f"answer to {prompt}"

                result = cache.get_or_call(prompt, model, ttl=100)
                with lock:
                    done.append(result.was_cached)
                    if result.response != f"answer to {prompt}":
                        wrong.append(result)

        threads = [threading.Thread(target=work, args=(50 * number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        until(lambda: len(done) > 200, "the load is under way")
        own_server.kill()
        until(lambda: len(done) > 600, "it goes on without the server")
        assert cache.is_degraded
        own_server.start()
        started = time.monotonic()
        for thread in threads:
            thread.join(60)
        assert time.monotonic() - started < 20, "a call waited for what never came"
        assert len(done) == 1000 and not wrong
        assert sum(done) > 500, f"{sum(done)} of 1000 were cached"

        def is_back() -> bool:
            cache.set("after", "all")
            return own_server.client().execute_command("LLMCACHE.GET", "faq", "after") == b"all"

        until(is_back, "answers are stored in the server again")
        assert not cache.is_degraded
        print(f"{len(calls)} calls for 1000 questions, of which 100 were different")


def test_so_it_is_on_an_event_loop(own_server: RedisServer) -> None:
    async def work() -> None:
        cache = AsyncCache(own_server.url, "faq", breaker=Breaker(pause=0.05, longest_pause=0.2))
        done: list[bool] = []

        async def one(number: int) -> None:
            async def model() -> str:
                await asyncio.sleep(0.002)
                return f"answer {number % 100}"

            result = await cache.get_or_call(f"question {number % 100}", model)
            assert result.response == f"answer {number % 100}"
            done.append(result.was_cached)

        async def run(first: int) -> None:
            for number in range(first, first + 50):
                await one(number)

        load = asyncio.gather(*(run(50 * number) for number in range(20)))
        while len(done) < 300:
            await asyncio.sleep(0.001)
        own_server.kill()
        await load
        assert len(done) == 1000
        await asyncio.to_thread(own_server.start)
        for _ in range(200):
            if await cache.set("after", "all") and not cache.is_degraded:
                break
            await asyncio.sleep(0.05)
        assert own_server.client().execute_command("LLMCACHE.GET", "faq", "after") == b"all"
        await cache.aclose()

    asyncio.run(work())


def test_what_is_removed_meanwhile_is_removed_when_the_server_is_back(own_server: RedisServer, tmp_path: Path) -> None:
    own_server.kill()
    own_server.arguments = ("--appendonly", "yes", "--appendfsync", "always")
    own_server.start()
    with Cache(own_server.url, "faq", breaker=Breaker(pause=0.05, longest_pause=0.1)) as cache:
        cache.set("p", "old", tags=["t"])
        cache.set("q", "kept")
        own_server.kill()
        assert cache.get("p") is None
        cache.invalidate(tags=["t"])
        cache.set("meanwhile", "here")
        assert cache.get("meanwhile").text == "here"  # type: ignore[union-attr]
        own_server.start()
        until(lambda: cache.get("q") is not None, "the server is used again")
        assert cache.get("p") is None, "it was taken back while the server was away"
        assert cache.get("meanwhile") is None, "others may have changed what it was made of"
        assert not cache.is_degraded


def test_who_waits_for_a_call_is_answered_when_the_server_comes_back_meanwhile(own_server: RedisServer) -> None:
    own_server.kill()
    with Cache(own_server.url, "faq", breaker=Breaker(failures=1, pause=0.05, longest_pause=0.1)) as cache:
        under_way, may_end = threading.Event(), threading.Event()
        told: list[Result] = []

        def model() -> str:
            under_way.set()
            assert may_end.wait(10)
            return "x"

        first = threading.Thread(target=lambda: told.append(cache.get_or_call("p", model)))
        first.start()
        assert under_way.wait(10)
        second = threading.Thread(target=lambda: told.append(cache.get_or_call("p", model)))
        second.start()
        local = cache.backend.local  # type: ignore[attr-defined]
        until(lambda: any(lease.waiting for lease in local._leases.values()), "the other one waits")
        own_server.start()
        until(lambda: cache.get("q") is None and not cache.is_degraded, "the server is used again")
        may_end.set()
        second.join(5)
        assert not second.is_alive(), "nobody told who waited"
        first.join(5)
        assert [(result.response, result.was_cached) for result in told].count(("x", True)) == 1 and len(told) == 2


def test_a_server_that_hangs_is_left_alone_until_it_answers(own_server: RedisServer) -> None:
    breaker = Breaker(failures=2, pause=0.1, longest_pause=0.3)
    with Cache(own_server.url, "faq", timeout=0.2, breaker=breaker) as cache:
        cache.set("p", "x")
        assert own_server.process is not None
        os.kill(own_server.process.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            for _ in range(100):
                cache.get_or_call("p", lambda: "y")
            took = time.monotonic() - started
        finally:
            os.kill(own_server.process.pid, signal.SIGCONT)
        assert cache.is_degraded
        assert took < 5, f"100 calls took {took} s"
        until(lambda: cache.get("p") is not None and not cache.is_degraded, "it is used again")
        assert cache.get("p").text == "x"  # type: ignore[union-attr]


def test_without_a_fallback_one_is_told() -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    with Cache(url, fallback=None) as cache:
        with pytest.raises(Unavailable):
            cache.get("p")
        # A call is made all the same.
        assert cache.get_or_call("p", lambda: "x") == ("x", False, Decimal(0))


def test_a_server_without_the_module_is_one_that_cannot_help(
    own_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    binary = os.environ.get("LLMCACHE_REDIS_SERVER", "redis-server")
    plain = subprocess.Popen([binary, "--port", str(port), "--save", "", "--dir", str(tmp_path)], stdout=-3)
    try:
        with Cache(f"redis://127.0.0.1:{port}") as cache, caplog.at_level(logging.WARNING, "llmcache"):
            until(lambda: cache.get_or_call("p", lambda: "x").was_cached, "it is cached here")
            for _ in range(5):
                cache.get("p")
        assert "no LLMCACHE module" in caplog.text or "does not serve" in caplog.text
    finally:
        plain.kill()
        plain.wait()


def test_answers_of_a_file_outlive_the_process(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    for _ in range(2):
        with Cache(url, fallback=f"file:{tmp_path / 'answers.db'}") as cache:
            first = cache.get_or_call("p", lambda: "x").was_cached
    assert first


def test_a_file_that_is_broken_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with Cache(f"file:{path}") as cache:
        cache.set("p", "x")
        assert cache.get("p") is not None
    assert (tmp_path / "answers.db.broken").exists()


def test_a_breaker_tries_ever_more_rarely() -> None:
    now = [0.0]
    breaker = Breaker(failures=2, pause=1, longest_pause=4, now=lambda: now[0])
    first, early, late = breaker.attempt(), breaker.attempt(), breaker.attempt()
    assert first and early and late
    assert not breaker.failed(first) and breaker.failed(early)
    assert breaker.is_open and breaker.attempt() is None
    assert not breaker.failed(late), "it was asked before, and says nothing new"
    for pause in (1, 2, 4, 4):
        now[0] += pause - 0.1
        assert breaker.attempt() is None
        now[0] += 0.2
        probe = breaker.attempt()
        assert probe, "one tries"
        assert breaker.attempt() is None, "the others do not"
        assert not breaker.failed(probe)
    now[0] += 5
    probe = breaker.attempt()
    assert probe
    breaker.gave_up(probe)
    assert breaker.is_open, "nothing is known"
    probe = breaker.attempt()
    assert probe and not breaker.succeeded(late) and breaker.is_open
    assert breaker.succeeded(probe) and not breaker.is_open
    assert not breaker.succeeded(probe)


def test_more_removals_than_can_be_remembered_remove_everything(own_server: RedisServer) -> None:
    own_server.kill()
    own_server.arguments = ("--appendonly", "yes", "--appendfsync", "always")
    own_server.start()
    breaker = Breaker(pause=0.05, longest_pause=0.1)
    with Cache(own_server.url, "faq", breaker=breaker) as cache:
        cache.set("p", "x", tags=["t7"])
        own_server.kill()
        for number in range(1100):
            cache.invalidate(tags=[f"t{number}"])
        own_server.start()
        until(lambda: cache.set("after", "all") and not cache.is_degraded, "it is back")
        assert cache.get("p") is None


def test_a_fallback_of_ones_own() -> None:
    local = LocalBackend()
    with Cache(f"redis://127.0.0.1:{free_port()}", fallback=local) as cache:
        cache.set("p", "x")
        assert isinstance(cache.backend, Fallback) and local.shelf.totals()[0] == 1
