"""Filling caches: files, what makes answers, interruptions, workers."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli import invoke, start
from conftest import RedisServer, until

from llmcache import Cache


def lines(path: Path, items: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    return path


def program(folder: Path, body: str) -> str:
    """A program that makes answers; it notes each of its calls in `calls`."""
    path = folder / "answer"
    head = f"#!{sys.executable}\nimport json, os, sys, time\nfrom pathlib import Path\nprompt = sys.stdin.read()\n"
    note = f"with open({str(folder / 'calls')!r}, 'a') as calls: calls.write(prompt + '\\n')\n"
    path.write_text(head + note + body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def cache(server: RedisServer) -> Any:
    with Cache(server.url, "faq", fallback=None) as cache:
        yield cache


def test_a_file_of_json_is_stored_with_all_that_it_says(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    told = {"choices": [{"message": {"role": "assistant", "content": "Ho"}, "finish_reason": "stop"}]}
    items = [
        {"prompt": "a", "response": "A", "model": "m", "tags": ["x", "y"], "cost": 0.5, "tokens": [3, 4], "ex": 100},
        {"request": request, "response": told, "scope": "s"},
        {"prompt": "ü", "response": "Ü\n", "params": {"n": 1}, "meta": {"by": "me"}, "persist": True},
        {"prompt": "none"},
    ]
    file = lines(tmp_path / "items.jsonl", items)
    result = invoke(server, "warm", file, "--ttl", 50, "-t", "default", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["total"], summary["stored"], summary["no_response"], summary["failed"]) == (4, 3, 1, 0)
    assert (summary["cost_told_usd"], summary["cost_counted_usd"], summary["tokens_told"]) == ("0.5", "0.500000", 7)
    a, b, c = cache.get("a", model="m"), cache.get(request, scope="s"), cache.get("ü", params={"n": 1})
    assert a is not None and b is not None and c is not None
    assert (a.tags, a.tokens_in, a.ttl is not None and 95 < a.ttl <= 100) == (("x", "y"), 3, True)
    assert b.json() == told and b.tags == ("default",) and b.ttl is not None and b.ttl <= 50
    assert (c.text, c.ttl) == ("Ü\n", None)
    assert not (tmp_path / "items.jsonl.state").exists()


def test_a_file_of_csv_is_stored(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text('prompt,response,tags,params,cost\n"a, ""b""\nc",A,"x, y","{""n"": 1}",0.25\nd,D,,,\n')
    assert invoke(server, "warm", file).exit_code == 0
    answer = cache.get('a, "b"\nc', params={"n": 1})
    assert answer is not None and (answer.text, answer.tags, str(answer.cost_usd)) == ("A", ("x", "y"), "0.250000")
    assert cache.get("d") is not None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "no JSON"),
        ("[]", "object"),
        ('{"response": "r"}', "a prompt or a request"),
        ('{"prompt": "p", "request": {}}', "a prompt or a request"),
        ('{"prompt": "p", "colour": 1}', "unknown key 'colour'"),
        ('{"prompt": "p", "tags": "x"}', "tags"),
        ('{"prompt": "p", "ex": "soon"}', "could not convert"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_stored(
    server: RedisServer, cache: Cache, tmp_path: Path, line: str, why: str
) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text('{"prompt": "good", "response": "r"}\n' + line + "\n")
    result = invoke(server, "warm", file)
    assert result.exit_code == 1 and f"{file}:2:" in result.stderr and why in result.stderr
    assert cache.get("good") is None


def test_what_the_server_rejects_is_told_and_tried_again(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    items = [{"prompt": f"p{n}", "response": "r", "strategy": "mine"} for n in range(3)]
    file = lines(tmp_path / "items.jsonl", [*items, {"prompt": "good", "response": "r"}])
    result = invoke(server, "warm", file)
    assert result.exit_code == 1 and result.stderr.count("got 'mine'") == 3 and "line 2" in result.stderr
    assert cache.get("good") is not None
    cache.command("strategy", "SET", "mine", "TTL", 60)
    again = invoke(server, "warm", file, "--json")
    summary = json.loads(again.stdout)
    assert (again.exit_code, summary["stored"], summary["done_before"]) == (0, 3, 1)


def test_a_program_makes_what_is_missing_once(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    command = program(tmp_path, "print('answer to', prompt, os.environ['LLMCACHE_MODEL'])")
    cache.set("there", "old", model="m")
    items = [{"prompt": name, "model": "m"} for name in ("a", "b", "a", "there")]
    file = lines(tmp_path / "items.jsonl", items)
    result = invoke(server, "warm", file, "--command", command, "--json")
    summary = json.loads(result.stdout)
    assert (summary["total"], summary["made"], summary["stored"], summary["already_there"]) == (3, 2, 2, 1)
    assert sorted(calls(tmp_path)) == ["a", "b"]
    answer = cache.get("a", model="m")
    assert answer is not None and answer.text == "answer to a m"
    before = cache.stats()
    assert json.loads(invoke(server, "warm", file, "--command", command, "--json").stdout)["already_there"] == 3
    assert cache.stats().lookups == before.lookups, "warming is no use of the cache"
    assert invoke(server, "warm", file, "--command", command, "--refresh").exit_code == 0
    assert len(calls(tmp_path)) == 5
    assert cache.get("there", model="m").text == "answer to there m"  # type: ignore[union-attr]


def test_what_a_program_tells_of_its_answer_is_kept(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    body = "print(json.dumps({'response': {'a': 1}, 'cost': 0.25, 'tokens': [5, 6], 'tags': ['t'], 'ttl': 77}))"
    file = lines(tmp_path / "items.jsonl", [{"prompt": "a"}])
    result = invoke(server, "warm", file, "--command", program(tmp_path, body), "--structured", "--json")
    assert json.loads(result.stdout)["cost_told_usd"] == "0.25"
    answer = cache.get("a")
    assert answer is not None and (answer.json(), answer.tags, answer.tokens_out) == ({"a": 1}, ("t",), 6)
    assert answer.ttl is not None and 70 < answer.ttl <= 77 and str(answer.cost_usd) == "0.250000"


def test_a_function_makes_answers(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "async def answer(prompt, question):\n"
        "    return {'response': f'{prompt}, {question.model}', 'cost': '0.125'}\n"
        "def broken(prompt):\n    raise RuntimeError('no luck')\n"
    )
    file = lines(tmp_path / "items.jsonl", [{"prompt": "a", "model": "m"}])
    process = start(server, "warm", file, "--python", "mine:answer", folder=tmp_path)
    assert process.wait() == 0
    answer = cache.get("a", model="m")
    assert answer is not None and (answer.text, str(answer.cost_usd)) == ("a, m", "0.125000")
    for name, why in (("mine:nosuch", b"nosuch"), ("nosuch:f", b"nosuch"), ("mine", b"module:function")):
        process = start(server, "warm", file, "--python", name, folder=tmp_path)
        _, error = process.communicate()
        assert process.returncode == 1 and why in error and error.count(b"\n") == 1
    file = lines(tmp_path / "items.jsonl", [{"prompt": "b"}])
    process = start(server, "warm", file, "--python", "mine:broken", "--retries", 0, folder=tmp_path)
    _, error = process.communicate()
    assert process.returncode == 1 and b"no luck" in error
    fetched = cache.fetch("b", block=0)
    assert fetched.state == "lease", "whoever failed gave its lease back"


def test_failures_are_tried_again(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    body = f"if len(open({str(tmp_path / 'calls')!r}).readlines()) < 3: sys.exit('not yet')\nprint('now')"
    file = lines(tmp_path / "items.jsonl", [{"prompt": "a"}])
    command = program(tmp_path, body)
    failed = invoke(server, "warm", file, "--command", command, "--retries", 1)
    assert failed.exit_code == 1 and "line 1: not yet" in failed.stderr and len(calls(tmp_path)) == 2
    assert invoke(server, "warm", file, "--command", command, "--retries", 1).exit_code == 0
    assert len(calls(tmp_path)) == 3 and cache.get("a").text == "now"  # type: ignore[union-attr]
    slow = program(tmp_path, "time.sleep(9)")
    file = lines(tmp_path / "items.jsonl", [{"prompt": "slow"}])
    late = invoke(server, "warm", file, "--command", slow, "--retries", 0, "--timeout", 0.2)
    assert late.exit_code == 1 and "no answer within 0.2 s" in late.stderr


def test_concurrency_and_rate_have_limits(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import threading, time\nlock = threading.Lock()\nnow = most = 0\n"
        "def answer(prompt):\n"
        "    global now, most\n"
        "    with lock:\n        now += 1; most = max(most, now)\n"
        "    time.sleep(0.05)\n"
        "    with lock:\n        now -= 1\n"
        "    return f'{most}'\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        file = lines(tmp_path / "items.jsonl", [{"prompt": f"p{n}"} for n in range(20)])
        assert invoke(server, "warm", file, "--python", "busy:answer", "-j", 3).exit_code == 0
        import busy  # type: ignore[import-not-found]

        assert busy.most == 3
        file = lines(tmp_path / "items.jsonl", [{"prompt": f"q{n}"} for n in range(11)])
        started = time.monotonic()
        assert invoke(server, "warm", file, "--python", "busy:answer", "-j", 8, "--rate", 20).exit_code == 0
        assert 0.5 <= time.monotonic() - started < 5
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_is_interrupted_goes_on_without_repeating(
    server: RedisServer, cache: Cache, tmp_path: Path, how: int
) -> None:
    command = program(tmp_path, "time.sleep(0.05)\nprint('answer to', prompt)")
    ready = [{"prompt": f"ready{n}", "response": "r"} for n in range(30)]
    file = lines(tmp_path / "items.jsonl", [*ready, *({"prompt": f"p{n}"} for n in range(40))])
    arguments = ("warm", file, "--command", command, "-j", 2, "--lease", 1, "--json")
    process = start(server, *arguments)
    until(lambda: len(calls(tmp_path)) >= 10, "some answers were made")
    process.send_signal(how)
    out, error = process.communicate(timeout=20)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[signal.Signals(how)]
    if how != signal.SIGKILL:
        assert json.loads(out)["interrupted"] is True and b"goes on" in error
    first = calls(tmp_path)
    assert 10 <= len(first) < 40
    # What was being made by one who was killed is made anew, when its lease is over.
    time.sleep(1.2)
    result = invoke(server, *arguments)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    lost = 2 if how == signal.SIGKILL else 0
    assert len(set(calls(tmp_path))) == 40 and 40 <= len(calls(tmp_path)) <= 40 + lost
    assert summary["done_before"] + summary["made"] + summary["already_there"] == 70 and summary["done_before"] >= 36
    assert cache.stats().stores == 70 and not (tmp_path / "items.jsonl.state").exists()


def test_a_state_that_was_cut_off_is_read(server: RedisServer, tmp_path: Path) -> None:
    from llmcache.cli.items import State

    path = tmp_path / "state"
    path.write_text("a" * 24 + "\n" + "b" * 10)
    state = State(path)
    assert state.done == {"a" * 24}
    state.add(["c" * 24])
    state.close(forget=False)
    assert State(path).done == {"a" * 24, "c" * 24}


def plan(cache: Cache, *items: dict[str, Any], every: int = 1000) -> None:
    cache.command("warm", "PLAN", "visitors", "EVERY", every, "EX", 500, "JSON", json.dumps(items))


def test_a_worker_answers_what_is_due_as_it_is_told(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    plan(
        cache,
        {"prompt": "a", "model": "m", "params": {"n": 1}, "system": "y", "tags": ["x"], "cost": "0.5"},
        {"request": request, "scope": "s"},
        *({"prompt": f"p{n}"} for n in range(8)),
    )
    command = program(tmp_path, "print('answer to', prompt)")
    result = invoke(server, "warm", "--profile", "visitors", "--command", command, "--once", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["made"], summary["stored"], len(calls(tmp_path))) == (10, 10, 10)
    a = cache.get("a", model="m", params={"n": 1}, system="y")
    assert a is not None and (a.text, a.tags, str(a.cost_usd)) == ("answer to a", ("x",), "0.500000")
    assert a.ttl is not None and 490 < a.ttl <= 500 and a.strategy == "explicit"
    answered = cache.get(request, scope="s")
    assert answered is not None and json.loads(answered.text.removeprefix("answer to "))["model"] == "gpt-4o"
    assert cache.command("warm", "STATUS")[0]["due"] == 0
    invoke(server, "warm", "--profile", "visitors", "--command", command, "--once")
    assert len(calls(tmp_path)) == 10
    bare = invoke(server, "warm", "--profile", "visitors")
    assert bare.exit_code == 2 and invoke(server, "warm").exit_code == 2


def test_a_worker_keeps_long_work_its_own_and_finishes_it(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    plan(cache, {"prompt": "slow"}, {"prompt": "slower"}, {"prompt": "slowest"})
    command = program(tmp_path, "time.sleep(2)\nprint('answer to', prompt)")
    arguments = ("warm", "--profile", "all", "--command", command, "--lease", 1, "-j", 2, "--interval", 0.1)
    process = start(server, *arguments)
    until(lambda: len(calls(tmp_path)) == 2, "work has begun")
    time.sleep(1.3)
    assert len(cache.due("visitors")) == 1, "the lease is prolonged while an answer is made"
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and b"stored" in out
    assert len(calls(tmp_path)) == 2
    assert [cache.get(prompt) is not None for prompt in calls(tmp_path)] == [True, True]


def test_a_worker_outlives_a_server(own_server: RedisServer, tmp_path: Path) -> None:
    with Cache(own_server.url, "faq", fallback=None) as cache:
        plan(cache, {"prompt": "a"})
        command = program(tmp_path, "print('answer')")
        process = start(own_server, "warm", "--profile", "all", "--command", command, "--interval", 0.1)
        until(lambda: cache.get("a") is not None, "a is answered")
        own_server.kill()
        time.sleep(0.5)
        own_server.start()
        plan(cache, {"prompt": "b"})
        until(lambda: cache.get("b") is not None, "b is answered")
        process.terminate()
        assert process.wait(10) == 0


def test_a_terminal_shows_how_far_it_is(server: RedisServer, tmp_path: Path) -> None:
    import pty

    file = lines(tmp_path / "items.jsonl", [{"prompt": f"p{n}", "response": "r"} for n in range(500)])
    master, slave = pty.openpty()
    process = start(server, "warm", file, stderr=slave)
    out, _ = process.communicate()
    os.close(slave)
    assert b"500/500" in os.read(master, 100_000) and b"500" in out
    os.close(master)
