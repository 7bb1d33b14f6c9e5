"""export and import."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cli import invoke, start
from conftest import RedisServer, until

from llmcache import Cache
from llmcache.cli.app import Session
from llmcache.cli.notes import Notes
from llmcache.cli.portable import RawEntry, RawScan

#: What cannot be told again: how old an entry is, how often it was used, and by which rule its strategy was chosen.
UNTOLD = {"age", "hits", "created", "cost_saved_usd", "latency_saved_ms", "rule", "ttl", "stored"}

USER = {"role": "user", "content": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "u"}}
TOOL = {"role": "tool", "content": "4"}
CACHED = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}
REQUESTS: list[dict[str, Any]] = [
    {"messages": [USER]},
    {"model": "gpt-4o", "messages": [USER], "temperature": 0.5, "seed": 12345678901234567890},
    {"model": "gpt-4o", "messages": [{"role": "system", "content": "Be"}, USER]},
    {"model": "m", "messages": [{"role": "system", "content": "a"}, {"role": "developer", "content": "b\n"}, USER]},
    {"model": "m", "messages": [USER, {"role": "assistant", "content": "Ho"}, {"role": "user", "content": "And?"}]},
    {"model": "m", "messages": [{"role": "user", "name": "n", "content": [{"type": "text", "text": "a"}, IMAGE]}]},
    {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in ("a\n", "é", "c")]}]},
    {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in ("a", "b")]}]},
    {"model": "m", "messages": [USER, {"role": "assistant", "content": None, "tool_calls": []}, TOOL]},
    {"model": "m", "messages": [{"role": "assistant", "content": "only"}]},
    {"model": "m", "input": "Hi"},
    {"model": "m", "instructions": "Be", "input": [USER, {"type": "function_call_output", "output": "1"}]},
    {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "x"}]}]},
    {"model": "claude", "max_tokens": 9, "messages": [USER]},
    {"model": "claude", "max_tokens": 9, "system": "Be", "messages": [USER]},
    {"model": "c", "system": [CACHED], "messages": [USER]},
    {"model": "c", "system": "", "messages": [USER]},
    {"model": "c", "top_k": 1, "messages": [RESULT]},
]  # fmt: skip


@pytest.fixture
def cache(server: RedisServer) -> Any:
    with Cache(server.url, "faq", fallback=None) as cache:
        yield cache


def entries(server: RedisServer, name: str) -> dict[str, dict[str, Any]]:
    """All that is known of all entries."""
    with Cache(server.url, name, fallback=None) as cache:
        found: dict[str, dict[str, Any]] = {}
        cursor = None
        while cursor != "0":
            cursor, page = cache._do(RawScan(cursor or "0", 1000))
            for id, _ in page:
                found[id] = cache._do(RawEntry(id))  # type: ignore[assignment]
        return found


def alike(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> None:
    """The same entries, with the same lives to a second."""
    assert one.keys() == other.keys()
    for id, entry in one.items():
        same = other[id]
        told = {name: value for name, value in entry.items() if name not in UNTOLD}
        assert told == {name: value for name, value in same.items() if name not in UNTOLD}, entry["prompt"]
        assert (entry["ttl"] == -1) == (same["ttl"] == -1) and abs(entry["ttl"] - same["ttl"]) <= 2


def fill(cache: Cache) -> int:
    """Entries of all kinds; how many."""
    cache.set("plain", "r")
    context: dict[str, Any] = {"model": "m", "system": "s", "params": {"n": 1.5, "t": [1, {"a": None}]}, "scope": "x"}
    known: dict[str, Any] = {"type": "faq", "tags": ["a", "ü"], "tokens": (3, 4), "cost": "0.000001", "latency": 1500}
    cache.set("full", "r\n", meta={"by": "me"}, ttl=5000, stale=60, **context, **known)
    cache.set(b"\xff\x00 prompt", bytes(range(256)), model="m")
    cache.set("for ever", "r" * 5000, persist=True)
    cache.set("by strategy", "r", strategy="realtime")
    cache.set("by rule", "r", strategy="auto")
    cache.command("set", "raw", b"\xfe", "SCOPE", b"\xfd", "TAGS", 1, b"\xfc", "MODEL", b"\xfb")
    cache.command("strategy", "SET", "mine", "TTL", 400)
    cache.set("by mine", "r", strategy="mine")
    for number, request in enumerate(REQUESTS):
        cache.set(request, f"answer {number}", scope="s" if number % 2 else "")
    assert cache.get("full", model="m", system="s", params={"n": 1.5, "t": [1, {"a": None}]}, scope="x")
    return 8 + len(REQUESTS)


def test_what_was_exported_is_imported_as_it_was(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    number, file = fill(cache), tmp_path / "all.jsonl"
    told = invoke(server, "export", file)
    assert told.exit_code == 0 and f"{number} entries" in told.stderr, told.stderr
    assert len(file.read_text().splitlines()) == number + 1
    other = Cache(server.url, "copy", fallback=None)
    other.command("strategy", "SET", "mine", "TTL", 900)
    result = invoke(server, "import", file, "--json", name="copy")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["stored"] == number
    alike(entries(server, "faq"), entries(server, "copy"))
    full = other.get("full", model="m", system="s", params={"n": 1.5, "t": [1, {"a": None}]}, scope="x")
    assert full is not None and full.latency_saved_ms == 1500
    for position, request in enumerate(REQUESTS):
        answer = other.get(request, scope="s" if position % 2 else "")
        assert answer is not None and answer.text == f"answer {position}", request
    again = json.loads(invoke(server, "import", file, "--json", name="copy").stdout)
    assert (again["stored"], again["there_already"]) == (0, number)
    alike(entries(server, "faq"), entries(server, "copy"))
    other.close()


def test_a_pipe_leads_from_one_to_the_other(server: RedisServer, cache: Cache) -> None:
    number = fill(cache)
    out = invoke(server, "export").stdout
    result = invoke(server, "import", "-", stdin=out, name="copy")
    assert result.exit_code == 0 and result.stdout.startswith(f"{number} stored")
    alike({id: entry | {"strategy": b""} for id, entry in entries(server, "faq").items()},
          {id: entry | {"strategy": b""} for id, entry in entries(server, "copy").items()})  # fmt: skip
    mine = [entry for entry in entries(server, "copy").values() if entry["prompt"] == b"by mine"]
    assert mine[0]["strategy"] == b"explicit", "a strategy that the other cache lacks"


def test_what_is_there_stays_unless_it_is_to_go(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    cache.set("p", "old", strategy="realtime")
    file = tmp_path / "f"
    invoke(server, "export", file)
    cache.set("p", "new", ttl=70)
    assert "1 there already" in invoke(server, "import", file).stdout
    assert cache.get("p").text == "new"  # type: ignore[union-attr]
    assert "1 stored" in invoke(server, "import", file, "--overwrite").stdout
    assert cache.get("p").text == "old"  # type: ignore[union-attr]


def test_lives_go_on_while_nobody_looks(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    cache.set("short", "r", ttl=1.4)
    cache.set("long", "r", ttl=100)
    cache.set("stale", "r", ttl=0.01, stale=600)
    time.sleep(0.1)
    file = tmp_path / "f"
    assert "1 stale" in invoke(server, "export", file).stderr
    time.sleep(2)
    told = json.loads(invoke(server, "import", file, "--json", name="copy").stdout)
    assert (told["stored"], told["expired"]) == (1, 1)
    (left,) = entries(server, "copy").values()
    assert 95 <= left["ttl"] <= 98


def test_some_can_be_exported(server: RedisServer, cache: Cache) -> None:
    for number in range(6):
        cache.set(f"p{number}", "r", model="m" if number < 2 else "n", tags=["t"] if number == 5 else [], scope="s")
    assert len(invoke(server, "export", "-m", "m").stdout.splitlines()) == 3
    assert len(invoke(server, "export", "-t", "t", "--scope", "s").stdout.splitlines()) == 2
    assert invoke(server, "export", name="nosuch").exit_code == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_import_that_broke_off_goes_on(server: RedisServer, cache: Cache, tmp_path: Path, how: int) -> None:
    cache.warm([(f"prompt {number}", "r" * 100) for number in range(4000)])
    file = tmp_path / "f"
    invoke(server, "export", file)
    cache.invalidate(everything=True)
    process = start(server, "import", file)
    until(lambda: cache.stats().entries > 500, "it has begun")
    process.send_signal(how)
    _, error = process.communicate()
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 130}[signal.Signals(how)], error
    done = cache.stats().entries
    assert done < 4000
    told = json.loads(invoke(server, "import", file, "--json").stdout)
    assert told["done_before"] >= 400 and told["there_already"] <= 100
    assert told["done_before"] + told["stored"] + told["there_already"] == 4000
    assert cache.stats().entries == 4000 and not (tmp_path / "f.state").exists()


def test_where_a_broken_import_goes_on_is_of_one_server(
    server: RedisServer, own_server: RedisServer, cache: Cache, tmp_path: Path
) -> None:
    cache.warm([(f"prompt {number}", "r") for number in range(20)])
    file = tmp_path / "f"
    invoke(server, "export", file)
    cache.invalidate(everything=True)
    place = Session(server.url, "faq", False).place()
    notes = Notes(tmp_path / "f.state", "import", place, "faq", file.stat().st_size, file.stat().st_mtime_ns)
    notes.add(["11"])
    notes.close(forget=False)
    # Whoever writes the next note is killed.
    notes.path.write_bytes(notes.path.read_bytes() + notes.path.read_bytes().split(b" ")[0] + b" ")
    assert json.loads(invoke(own_server, "import", file, "--json").stdout)["stored"] == 20
    told = json.loads(invoke(server, "import", file, "--json").stdout)
    assert (told["done_before"], told["stored"]) == (10, 10) and not (tmp_path / "f.state").exists()


def test_a_place_is_the_same_with_another_password() -> None:
    places = {
        Session(url, "faq", False).place()
        for url in ("redis://h", "redis://:secret@h:6379/0", "redis://u:other@h", "redis+cluster://:secret@h")
    }
    assert places == {"h:6379/0"}
    assert Session("unix://:secret@/run/redis.sock?db=2", "faq", False).place() == "/run/redis.sock/2"
    assert Session("redis://", "faq", False).place() == Session(None, "faq", False).place()
    assert Session(None, "faq", False).place() == "localhost:6379/0"


def test_an_export_that_breaks_off_leaves_no_half_file(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    cache.warm([(f"prompt {number}", "r" * 100) for number in range(6000)])
    file = tmp_path / "f"
    file.write_text("what was there")
    process = start(server, "export", file)
    until(lambda: (tmp_path / "f.part").exists(), "it has begun")
    process.terminate()
    assert process.wait() == 130
    assert file.read_text() == "what was there" and not (tmp_path / "f.part").exists()


def test_an_export_leaves_a_file_what_it_was(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    cache.set("p", "r")
    new, old, link, pipe = (tmp_path / name for name in ("new", "old", "link", "pipe"))
    old.touch(0o640)
    old.chmod(0o640)
    link.symlink_to(old)
    assert [invoke(server, "export", file).exit_code for file in (new, link)] == [0, 0]
    assert [stat.S_IMODE(file.stat().st_mode) for file in (new, old)] == [0o600, 0o640]
    assert link.is_symlink() and len(old.read_text().splitlines()) == 2
    os.mkfifo(pipe)
    process = start(server, "export", pipe)
    assert len(pipe.read_text().splitlines()) == 2
    assert process.wait(10) == 0 and pipe.is_fifo()
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"\xef\xbb\xbf" + new.read_bytes()))
    writer.start()
    assert "1 there already" in invoke(server, "import", pipe).stdout and not list(tmp_path.glob("*.state"))
    writer.join()


def test_an_export_says_what_it_cannot_tell(server: RedisServer, cache: Cache) -> None:
    cache.set("p", "r", latency=5, stale=60)
    assert "without stale windows, feedback" in invoke(server, "export").stderr


def test_what_is_no_export_is_refused(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    file = tmp_path / "f"
    for text in ('{"prompt": "p", "response": "r"}\n', "nothing\n", '{"format": "llmcache-entries-9"}\n'):
        file.write_text(text)
        result = invoke(server, "import", file)
        assert result.exit_code == 1 and "no export" in result.stderr
    assert list(tmp_path.iterdir()) == [file], "there is nothing to note"
    cache.set("p", "r")
    good = invoke(server, "export").stdout
    broken = ['{"prompt": "q"}', "{", '{"prompt": "q", "response": {"base64": "?"}, "expires_at": null}', "[]"]
    result = invoke(server, "import", "-", stdin=good + "\n".join(broken) + "\n", name="copy")
    assert result.exit_code == 1 and "1 stored" in result.stdout and "4 rejected" in result.stdout
    assert [f"line {number}:" in result.stderr for number in (3, 4, 5, 6)] == [True] * 4
    file.write_bytes(good.encode() + b'{"prompt": "\xff"}\n')
    assert "line 3: " in invoke(server, "import", file).stderr
    assert invoke(server, "import", tmp_path / "nosuch").exit_code == 1


def test_who_loses_vectors_is_told(server: RedisServer, cache: Cache) -> None:
    cache.command("create", "SIMILARITY", "vector", "DIM", 2)
    cache.set("p", "r", vector=[1.0, 0.0])
    assert "vectors" in invoke(server, "export").stderr
    assert "vectors" not in invoke(server, "export", name="nosuch").stderr
