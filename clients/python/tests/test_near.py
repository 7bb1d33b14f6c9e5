"""Two levels: nobody reads anything older than was promised."""

from __future__ import annotations

import bisect
import random
import threading
import time

from conftest import RedisServer

from llmcache import Cache
from llmcache.backends import Near

BOUND = 0.3


def test_no_read_is_older_than_the_bound(server: RedisServer) -> None:
    with Cache(server.url, "faq") as writer, Cache(server.url, "faq", near=BOUND) as reader:
        acknowledged: list[float] = []
        over = threading.Event()

        def write() -> None:
            while not over.is_set():
                writer.set("p", str(len(acknowledged)), ttl=100)
                acknowledged.append(time.monotonic())
                time.sleep(0.003)

        thread = threading.Thread(target=write)
        writer.set("p", "-1", ttl=100)
        thread.start()
        oldest, reads, end = 0.0, 0, time.monotonic() + 3
        try:
            while time.monotonic() < end:
                started = time.monotonic()
                answer = reader.get("p")
                assert answer is not None
                # What was acknowledged so long ago must be seen.
                least = bisect.bisect_right(acknowledged, started - BOUND) - 1
                assert int(answer.text) >= least, f"{answer.text} was read, {least} was there {BOUND} s before"
                newest = int(answer.text)
                if newest + 1 < len(acknowledged):
                    oldest = max(oldest, started - acknowledged[newest + 1])
                reads += 1
        finally:
            over.set()
            thread.join()
        assert oldest > BOUND / 2, "the near level was used"
        asked = server.client().execute_command("LLMCACHE.STATS", "faq")[b"lookups"]
        assert asked < reads / 10, f"{asked} of {reads} reads came to the server"
        print(f"{reads} reads, {asked} of them asked the server; the oldest was {oldest:.3f} s behind")


def test_what_this_process_changes_it_sees_at_once(server: RedisServer) -> None:
    dice = random.Random(7)
    with Cache(server.url, "faq", near=60) as cache:
        truth: dict[str, str | None] = {}
        for step in range(2000):
            prompt = f"p{dice.randrange(20)}"
            match dice.randrange(10):
                case 0:
                    cache.set(prompt, str(step), tags=[f"t{dice.randrange(3)}"], ttl=100)
                    truth[prompt] = str(step)
                case 1:
                    cache.invalidate(prompt)
                    truth[prompt] = None
                case 2:
                    truth[prompt] = cache.get_or_call(prompt, lambda step=step: str(step)).response  # type: ignore[misc]
                case _:
                    answer = cache.get(prompt)
                    assert (answer and answer.text) == truth.get(prompt)
        cache.invalidate(everything=True)
        assert all(cache.get(prompt) is None for prompt in truth)


def test_an_answer_ends_with_its_life(server: RedisServer) -> None:
    with Cache(server.url, "faq", near=60) as cache:
        cache.set("p", "x", ttl=1.2)
        started = time.monotonic()
        assert cache.get("p") is not None
        while cache.get("p") is not None:
            assert time.monotonic() - started < 1.3
            time.sleep(0.01)


def test_there_is_a_limit(server: RedisServer) -> None:
    near = Near(None, 60, max_entries=10, max_bytes=1000)  # type: ignore[arg-type]
    with Cache(server.url, "faq", near=near) as cache:
        for number in range(50):
            cache.set(f"p{number}", "x" * 90, ttl=100)
            cache.get(f"p{number}")
        assert len(near._answers) == 10 and near._size <= 1000
        cache.set("large", "x" * 2000, ttl=100)
        cache.get("large")
        assert near._size <= 1000


def test_terms_of_their_own_are_asked_for_at_the_server(server: RedisServer) -> None:
    with Cache(server.url, "faq", near=60) as cache:
        cache.set("p", "x", ttl=100)
        for _ in range(3):
            assert cache.get("p", max_age=50) is not None
        assert cache.stats().hits == 3
