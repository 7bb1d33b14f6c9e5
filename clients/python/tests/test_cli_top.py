"""top and bench."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import threading
from typing import Any

import pytest
from cli import invoke, start
from conftest import RedisServer, until

from llmcache import Cache


@pytest.fixture
def cache(server: RedisServer) -> Any:
    with Cache(server.url, "faq", fallback=None) as cache:
        cache.set("What is Redis?", "A store.", model="m", cost="0.25", latency=2000, tokens=(10, 20))
        cache.set("a\nb\x1b[31m", "r")
        for _ in range(3):
            cache.get("What is Redis?", model="m")
        cache.get("missing")
        yield cache


def test_one_frame_tells_all(server: RedisServer, cache: Cache) -> None:
    cache.command("alert", "SET", "cold", "hit_rate", "BELOW", 0.9)
    until(lambda: bool(cache.stats().alerts), "the alert fires")
    shown = invoke(server, "top", "--once")
    assert shown.exit_code == 0 and "\x1b" not in shown.stdout
    for part in ("75.0 %", "$0.75", "6 s", "get exact", "ALERT cold", "What is Redis?", "hottest prompts"):
        assert part in shown.stdout, part
    assert "What is Redis?" not in invoke(server, "top", "--once", "--prompts", 0).stdout


def test_frames_for_scripts(server: RedisServer, cache: Cache) -> None:
    told = json.loads(invoke(server, "top", "--once", "--json").stdout)
    (one,) = told["caches"]
    assert (one["name"], one["stats"]["hits"], one["last_minute"]["hits"]) == ("faq", 3, 3)
    assert one["hottest"][0]["prompt"] == "What is Redis?" and one["hottest"][0]["hits"] == 3


def test_several_caches(server: RedisServer, cache: Cache) -> None:
    with Cache(server.url, "other", fallback=None) as other:
        other.set("p", "r")
    server.client().set("text", "x")
    every = invoke(server, "top", "--once", "--all").stdout
    assert "lookups/min" in every and "faq" in every and "other" in every and "text" not in every
    some = json.loads(invoke(server, "top", "other", "--once", "--json").stdout)
    assert [one["name"] for one in some["caches"]] == ["other"]


def test_the_sample_has_a_bound(server: RedisServer, cache: Cache) -> None:
    cache.warm([(f"prompt {number}", "r") for number in range(300)])
    for number in range(300):
        cache.get(f"prompt {number}")
    shown = invoke(server, "top", "--once", "--sample", 50).stdout
    assert "(of 50 entries)" in shown
    assert "hottest" not in invoke(server, "top", "--once", "--sample", 0).stdout


def test_a_pipe_gets_frame_after_frame(server: RedisServer, cache: Cache) -> None:
    process = start(server, "top", "-i", 0.1, "--json")
    assert process.stdout is not None and process.stderr is not None
    first, second = json.loads(process.stdout.readline()), json.loads(process.stdout.readline())
    assert second["at"] > first["at"]
    process.send_signal(signal.SIGINT)
    assert process.wait(10) in (0, 130) and process.stderr.read() == b""


class Terminal:
    """A terminal with a command in it."""

    def __init__(self, server: RedisServer, *arguments: Any) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        environment = os.environ | {"TERM": "xterm-256color"}
        self.process = start(server, *arguments, stdin=slave, stdout=slave, stderr=slave, env=environment)
        self.shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := os.read(self.master, 65536):
                self.shown += data
        except OSError:
            return

    def end(self) -> None:
        os.close(self.slave)
        os.close(self.master)


def test_scripts_are_told_that_a_server_is_away(own_server: RedisServer) -> None:
    with Cache(own_server.url, "faq", fallback=None) as cache:
        cache.set("p", "r")
    process = start(own_server, "top", "-i", 0.1, "--json")
    assert process.stdout is not None
    frames = (json.loads(line) for line in process.stdout)
    assert "caches" in next(frames)
    own_server.kill()
    assert next(frame for frame in frames if "error" in frame).keys() == {"at", "error"}
    own_server.start()
    assert "caches" in next(frame for frame in frames if "error" not in frame)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.parametrize("how", ["q", "escape", "ctrl-c", "term", "hup"])
def test_a_terminal_lives_and_is_left_as_it_was(server: RedisServer, cache: Cache, how: str) -> None:
    terminal = Terminal(server, "top", "-i", 0.2)
    until(lambda: b"75.0 %" in terminal.shown, "a frame is drawn")
    for _ in range(6):
        cache.get("What is Redis?", model="m")
    until(lambda: b"90.0 %" in terminal.shown, "the next frame is another")
    assert b"\x1b[?1049h" in terminal.shown and b"\x1b[31m" not in terminal.shown.split(b"hottest")[-1]
    until(lambda: b"lookups/s" in terminal.shown, "there is a history")
    if how in ("q", "escape"):
        shown = len(terminal.shown)
        os.write(terminal.master, b"\x1b[A")
        until(lambda: b"hit rate" in terminal.shown[shown:], "an arrow does not end it")
        os.write(terminal.master, b"q" if how == "q" else b"\x1b")
    else:
        ends = {"ctrl-c": signal.SIGINT, "term": signal.SIGTERM, "hup": signal.SIGHUP}
        terminal.process.send_signal(ends[how])
    assert terminal.process.wait(10) == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    until(lambda: b"\x1b[?1049l" in terminal.shown, "the screen is given back")
    assert b"Traceback" not in terminal.shown
    terminal.end()


def test_a_terminal_waits_for_a_server_that_is_away(own_server: RedisServer) -> None:
    with Cache(own_server.url, "faq", fallback=None) as cache:
        cache.set("p", "r")
    terminal = Terminal(own_server, "top", "-i", 0.1)
    until(lambda: b"hit rate" in terminal.shown, "a frame is drawn")
    own_server.kill()
    until(lambda: b"cannot be reached" in terminal.shown, "it says so")
    own_server.start()
    shown = len(terminal.shown)
    until(lambda: b"hit rate" in terminal.shown[shown:], "it goes on")
    os.write(terminal.master, b"q")
    assert terminal.process.wait(10) == 0
    terminal.end()


def test_bench_measures_and_leaves_nothing(server: RedisServer, cache: Cache) -> None:
    before = server.client().dbsize()
    told = json.loads(invoke(server, "bench", "-r", 200, "-t", 2, "--entries", 50, "--size", 300, "--json").stdout)
    assert set(told["results_us"]) == {"SET", "GET", "FETCH"}
    for times in told["results_us"].values():
        assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["max"] and times["requests"] == 200
        assert times["per_second"] > 10
    assert told["server"].startswith(("Redis 7", "Redis 8", "Valkey")) and "CPUs" in told["client"]
    assert server.client().dbsize() == before
    shown = invoke(server, "bench", "-r", 20).stdout
    assert "server   Redis" in shown and re.search(r"^GET\t[\d,]+\t", shown, re.M)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_bench_cleans_up_when_it_is_stopped(server: RedisServer, how: int) -> None:
    process = start(server, "bench", "-r", 10_000_000)
    until(lambda: server.client().dbsize() == 1, "it has begun")
    process.send_signal(how)
    assert process.wait(10) == 130
    assert server.client().dbsize() == 0
