"""Where answers lie without a server: several threads, processes and caches at one place."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmcache import AsyncCache, Cache
from llmcache.backends import FileShelf, LocalBackend, MemoryShelf, Shelf
from llmcache.backends.local import _glob
from llmcache.backends.shelves import Record

fork = multiprocessing.get_context("fork")


@pytest.fixture(params=["memory", "file"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    shelf = MemoryShelf() if request.param == "memory" else FileShelf(tmp_path / "answers.db")
    yield shelf
    shelf.close()


def record(id: str = "0" * 32, response: bytes = b"old", **rest: Any) -> Record:
    return Record(id, "p", response, "etag", **rest)


def test_who_reads_takes_nothing_back(shelf: Shelf) -> None:
    shelf.put(record(response=b"old", tags=("t1",), fresh_until=1, dead_at=1))
    read = shelf.get("0" * 32)
    new = record(response=b"new, and longer", tags=("t2",), fresh_until=10, dead_at=10)
    shelf.put(new)
    assert read
    shelf.use(read.id)
    shelf.bury(read.id, 5)
    assert shelf.get(read.id) == replace(new, hits=1)
    assert shelf.totals() == (1, new.size)
    shelf.age([read.id], 7)
    shelf.use(read.id)
    assert shelf.get(read.id) == replace(new, hits=2, fresh_until=7)
    shelf.bury(read.id, 10)
    assert shelf.get(read.id) is None and shelf.totals() == (0, 0)


def test_what_is_done_together_is_seen_whole(shelf: Shelf) -> None:
    def add() -> None:
        for _ in range(50):
            with shelf.together():
                there = shelf.get("0" * 32)
                shelf.put(record(hits=0 if there is None else there.hits + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert shelf.get("0" * 32).hits == 199  # type: ignore[union-attr]


def test_what_fails_within_leaves_all_as_it_was(tmp_path: Path) -> None:
    shelf = FileShelf(tmp_path / "answers.db")
    shelf.put(record())
    with pytest.raises(KeyError), shelf.together():
        shelf.put(record(response=b"half"))
        raise KeyError
    assert shelf.get("0" * 32).response == b"old"  # type: ignore[union-attr]
    shelf.put(record(response=b"whole"))
    assert shelf.get("0" * 32).response == b"whole"  # type: ignore[union-attr]
    shelf.close()


def test_one_of_many_is_first(shelf: Shelf) -> None:
    backend = LocalBackend(shelf)
    for number in range(20):
        won: list[bool] = []
        barrier = threading.Barrier(4)

        def put(number: int = number, won: list[bool] = won, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            won.append(Cache(backend=backend).set(f"p{number}", "x", condition="nx"))

        threads = [threading.Thread(target=put) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(won) == [False, False, False, True]


def test_what_has_no_room_is_not_said_to_be_kept(shelf: Shelf) -> None:
    with Cache(backend=LocalBackend(MemoryShelf(max_bytes=1000))) as cache:
        assert cache.set("p", "x") and not cache.set("p", "x" * 2000)
        assert cache.get("p") is None


def test_a_file_may_have_several_caches(tmp_path: Path) -> None:
    place = f"file:{tmp_path / 'answers.db'}"
    with Cache(place, "a") as first, Cache(place, "b") as second:
        first.set("p", "of a")
        assert second.get("p") is None
        second.set("p", "of b")
        second.invalidate(everything=True)
        assert first.get("p").text == "of a"  # type: ignore[union-attr]
        assert (first.stats().entries, second.stats().entries) == (1, 0)


def _begin(path: Path, number: int, failed: Any) -> None:
    try:
        shelf = FileShelf(path)
        shelf.put(record(f"{number:032}"))
        shelf.close()
    except BaseException as error:
        failed.put(repr(error))


def test_many_may_begin_a_file_at_once(tmp_path: Path) -> None:
    for turn in range(3):
        path = tmp_path / f"{turn}.db"
        failed = fork.Queue()
        started = [fork.Process(target=_begin, args=(path, number, failed)) for number in range(6)]
        for process in started:
            process.start()
        for process in started:
            process.join(30)
        assert failed.empty(), failed.get()
        assert not Path(f"{path}.broken").exists()
        shelf = FileShelf(path)
        assert shelf.totals()[0] == 6
        shelf.close()


def test_a_file_that_is_busy_is_not_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.db"
    shelf = FileShelf(path)
    shelf.put(record())
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **rest: connect(*args, **rest | {"timeout": 0.05}))
    holder = connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError):
        FileShelf(path)
    holder.close()
    assert not Path(f"{path}.broken").exists() and shelf.totals()[0] == 1
    shelf.close()


def test_a_file_of_another_format_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    other = sqlite3.connect(path)
    other.executescript("CREATE TABLE entries (id TEXT); PRAGMA user_version = 1")
    other.close()
    FileShelf(path).close()
    assert Path(f"{path}.broken").exists()


def test_nothing_fails_because_a_file_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.db"
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **rest: connect(*args, **rest | {"timeout": 0.05}))
    with Cache(f"file:{path}") as cache:
        cache.set("p", "kept")
        holder = connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        assert cache.get_or_call("p", lambda: "made").response in ("kept", "made")
        assert cache.get_or_call("q", lambda: "made").response == "made"

        async def ask() -> Any:
            async with AsyncCache("memory:", backend=cache.backend) as other:
                return await other.get_or_call("r", lambda: "made")

        holder.execute("ROLLBACK")
        holder.close()
        assert cache.get("p").text == "kept"  # type: ignore[union-attr]
        assert asyncio.run(ask()).response == "made"
    # It is closed by now.
    assert cache.get_or_call("p", lambda: "made") == ("made", False, 0)


def test_an_answer_that_is_damaged_is_none(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    with Cache(f"file:{path}") as cache:
        cache.set("p", "x")
        cache.set("q", "x")
        other = sqlite3.connect(path)
        other.execute("UPDATE entries SET head = '{}'")
        other.commit()
        other.close()
        assert cache.get("p") is None
        assert cache.get_or_call("p", lambda: "y").response == "y"
        assert cache.get("p").text == "y"  # type: ignore[union-attr]
        assert cache.invalidate(everything=True) == 1


def _in_a_child(cache: Cache, told: Any) -> None:
    told.send((cache.get("p").text, cache.set("q", "of the child")))  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_forked_process_goes_on(kind: str, tmp_path: Path) -> None:
    place = "memory:" if kind == "memory" else f"file:{tmp_path / 'answers.db'}"
    with Cache(place, near=10) as cache:
        cache.set("p", "x")
        over = threading.Event()

        def work() -> None:
            # So that locks are held when the process forks.
            while not over.is_set():
                cache.set("busy", "x" * 1000)
                cache.get("busy")

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                here, there = fork.Pipe()
                child = fork.Process(target=_in_a_child, args=(cache, there))
                child.start()
                try:
                    assert here.poll(20), "the child does nothing"
                    assert here.recv() == ("x", True)
                finally:
                    child.join(1)
                    child.kill()
        finally:
            over.set()
            for thread in threads:
                thread.join(10)
        assert (cache.get("q") is not None) == (kind == "file")


def _ask_in_a_child(cache: Cache, told: Any) -> None:
    told.send(cache.get_or_call("of a child", lambda: "x").response)


def test_a_process_that_is_forked_asks_the_server_itself(server: Any) -> None:
    with Cache(server.url, "faq") as cache:
        over = threading.Event()

        def work(number: int) -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                cache.get_or_call(f"p{number} {turn}", lambda: "x")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                here, there = fork.Pipe()
                child = fork.Process(target=_ask_in_a_child, args=(cache, there))
                child.start()
                try:
                    assert here.poll(20), "the child does nothing"
                    assert here.recv() == "x"
                finally:
                    child.join(1)
                    child.kill()
        finally:
            over.set()
            for thread in threads:
                thread.join(10)


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("a*", "a abc", "b"),
        (r"a\*", "a*", "ab"),
        (r"a\[b\]", "a[b]", "ab"),
        ("h?llo", "hello", "hllo"),
        ("[a-c]x", "bx", "dx -x"),
        ("[^a-c]x", "dx", "bx"),
        ("[c-a]", "b", "d"),
        (r"[\]]", "]", "["),
        ("[a", "a", "["),
        ("[!a]", "! a", "b"),
        ("x.y", "x.y", "xzy"),
    ],
)
def test_patterns_are_those_of_the_server(server: Any, pattern: str, matches: str, others: str) -> None:
    glob = _glob(pattern)
    with Cache(server.url, "globs") as far:
        for word in (*matches.split(), *others.split()):
            assert (glob.fullmatch(word) is not None) == (word in matches.split()), word
            far.set(word, "x")
        assert {prompt for _, prompt in far.scan(match=pattern)} == set(matches.split())


def test_leases_that_have_run_out_go() -> None:
    now = [0.0]
    backend = LocalBackend(now=lambda: now[0])
    with Cache(backend=backend) as cache:
        for number in range(5000):
            now[0] += 1
            cache.fetch(f"p{number}", lease=1)
        assert len(backend._leases) < 1100


def test_who_looked_before_an_answer_came_does_not_make_it_again() -> None:
    class Slow(MemoryShelf):
        """Somebody stores an answer right after it was looked for."""

        def get(self, id: str) -> Record | None:
            found = super().get(id)
            if found is None and not others:
                others.append(id)
                Cache(backend=backend).set("p", "of another")
            return found

    others: list[str] = []
    backend = LocalBackend(Slow())
    with Cache(backend=backend) as cache:
        assert cache.get_or_call("p", lambda: "made again") == ("of another", True, 0)


def test_who_has_gone_hands_the_lease_on() -> None:
    async def ask() -> float:
        cache = AsyncCache("memory:", lease=30)

        async def fails() -> str:
            await asyncio.sleep(0.1)
            raise KeyError

        async def answers() -> str:
            return "x"

        first = asyncio.create_task(cache.get_or_call("p", fails))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(cache.get_or_call("p", answers))
        await asyncio.sleep(0.02)
        third = asyncio.create_task(cache.get_or_call("p", answers))
        await asyncio.sleep(0.02)
        second.cancel()
        started = time.monotonic()
        assert (await third).response == "x"
        with pytest.raises(KeyError):
            await first
        return time.monotonic() - started

    assert asyncio.run(ask()) < 5


def test_size_is_counted_right(shelf: Shelf) -> None:
    records = [record(f"{number:032}", os.urandom(number)) for number in range(50)]
    for one in records:
        shelf.put(one)
        shelf.put(one)
    shelf.remove(one.id for one in records[:10])
    assert shelf.totals() == (40, sum(one.size for one in records[10:]))
    shelf.clear()
    assert shelf.totals() == (0, 0)
