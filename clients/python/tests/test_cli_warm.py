"""Filling caches: files, what makes answers, interruptions, workers."""

from __future__ import annotations

import json
import os
import select
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
from llmcache.cli.notes import Notes


def lines(path: Path, items: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items), encoding="utf-8")
    return path


def program(folder: Path, body: str) -> str:
    """A program that makes answers; it notes each of its calls in `calls`."""
    path = folder / "answer"
    head = f"#!{sys.executable} -IS\nimport os, sys, time\nprompt = sys.stdin.read()\n"
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
    # As some editors write it.
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
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
    broken = tmp_path / "broken.csv"
    broken.write_text("prompt,response,cost\na,A,abc\n")
    wrong = invoke(server, "warm", broken)
    assert wrong.exit_code == 1 and f"{broken}:2: a cost is a number" in wrong.stderr
    broken.write_bytes(b"prompt,response\na,A\nb,\xff\n")
    assert f"{broken}:3: " in invoke(server, "warm", broken).stderr and cache.get("a") is None
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
        ('{"prompt": "p", "ttl": NaN}', "ttl must be a number"),
        ('{"prompt": "p", "tokens": 5}', "tokens must be two numbers"),
        ('{"prompt": "p", "cost": "abc"}', "a number of US dollars, got 'abc'"),
        ('{"prompt": "\\ud800", "response": "r"}', "surrogates not allowed"),
        ('{"prompt": "p", "response": "\\ud800"}', "surrogates not allowed"),
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
    told = {"response": {"a": 1}, "cost": 0.25, "tokens": [5, 6], "tags": ["t"], "ttl": 77}
    body = f"print({json.dumps(told)!r})"
    file = lines(tmp_path / "items.jsonl", [{"prompt": "a"}])
    result = invoke(server, "warm", file, "--command", program(tmp_path, body), "--structured", "--json")
    assert json.loads(result.stdout)["cost_told_usd"] == "0.25"
    answer = cache.get("a")
    assert answer is not None and (answer.json(), answer.tags, answer.tokens_out) == ({"a": 1}, ("t",), 6)
    assert answer.ttl is not None and 70 < answer.ttl <= 77 and str(answer.cost_usd) == "0.250000"


def function(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> str:
    """A function that makes answers, for a command that runs in this process."""
    (folder / "mine.py").write_text(body)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return "mine:answer"


def test_a_function_makes_answers(
    server: RedisServer, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    function(tmp_path, monkeypatch, (tmp_path / "mine.py").read_text())
    for name, why in (("mine:nosuch", "nosuch"), ("nosuch:f", "nosuch"), ("mine", "module:function")):
        result = invoke(server, "warm", file, "--python", name)
        assert result.exit_code == 1 and why in result.stderr and result.stderr.count("\n") == 1
    file = lines(tmp_path / "items.jsonl", [{"prompt": "b"}])
    result = invoke(server, "warm", file, "--python", "mine:broken", "--retries", 0)
    assert result.exit_code == 1 and "no luck" in result.stderr
    fetched = cache.fetch("b", block=0)
    assert fetched.state == "lease", "whoever failed gave its lease back"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("{'response': 'x', 'tokens': 5}", "tokens must be two numbers"),
        ("{'response': 'x', 'tags': 'one'}", "tags must be an array"),
        ("{'response': 'x', 'cost': 'abc'}", "number of US dollars, got 'abc'"),
        ("{'response': 'x', 'ttl': 'soon'}", "ttl must be a number"),
        ("{'response': 'x', 'meta': {1}}", "TypeError"),
        ("'\\ud800'", "surrogates"),
        ("sys.exit('enough')", "SystemExit: enough"),
    ],
)
def test_a_bad_answer_is_one_failure(
    server: RedisServer, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, why: str
) -> None:
    answer = f"import sys\ndef answer(prompt):\n    return {told} if prompt == 'bad' else 'good'\n"
    named = function(tmp_path, monkeypatch, answer)
    file = lines(tmp_path / "items.jsonl", [{"prompt": "a"}, {"prompt": "bad"}, {"prompt": "b"}])
    result = invoke(server, "warm", file, "--python", named, "--retries", 0, "-j", 1, "--json")
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["made"], summary["failed"]) == (1, 2, 1)
    assert summary["errors"][0].startswith("line 2: ") and why in summary["errors"][0]
    assert cache.fetch("bad", block=0).state == "lease", "whoever failed gave its lease back"
    server.client().delete("faq")
    plan(cache, {"prompt": "bad"}, {"prompt": "c"})
    result = invoke(server, "warm", "--profile", "all", "--once", "--python", named, "--retries", 0, "--json")
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["made"], summary["failed"]) == (1, 1, 1) and why in summary["errors"][0]


def test_what_others_are_at_is_waited_for(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    command = program(tmp_path, "print('answer to', prompt)")
    file = lines(tmp_path / "items.jsonl", [{"prompt": "dead"}, {"prompt": "alive"}, {"prompt": "free"}])
    assert cache.fetch("dead", lease=0.5, block=0).token and cache.fetch("alive", lease=60, block=0).token
    arguments = ("warm", file, "--command", command, "--lease", 1, "--json")
    result = invoke(server, *arguments)
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["made"], summary["elsewhere"]) == (1, 2, 1)
    assert "waiting for 2 " in result.stderr and "1 are still made elsewhere: run it again" in result.stderr
    cache.set("alive", "answer")
    again = invoke(server, *arguments)
    summary = json.loads(again.stdout)
    assert (again.exit_code, summary["done_before"], summary["already_there"]) == (0, 2, 1)


@pytest.mark.parametrize("how", ["--command", "--python"])
def test_who_is_asked_twice_ends_at_once(server: RedisServer, cache: Cache, tmp_path: Path, how: str) -> None:
    busy = tmp_path / "busy"
    os.mkfifo(busy)
    hold = f"import subprocess\nsubprocess.run(['sleep', '30'], stdin=open({str(busy)!r}, 'w'))\n"
    (tmp_path / "mine.py").write_text(f"import time\ndef answer(prompt):\n    open({str(busy)!r}, 'w')\n")
    if how == "--python":
        (tmp_path / "mine.py").write_text(
            f"import time\ndef answer(prompt):\n    file = open({str(busy)!r}, 'w')\n    time.sleep(30)\n"
        )
    made_by = program(tmp_path, hold) if how == "--command" else "mine:answer"
    file = lines(tmp_path / "items.jsonl", [{"prompt": "a"}])
    process = start(server, "warm", file, how, made_by, folder=tmp_path)
    with busy.open("rb") as alive:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert select.select([alive], [], [], 5)[0] and alive.read() == b"", "what it has started ends with it"
    assert cache.fetch("a", block=0).state == "lease", "its lease was given back"


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
    # What was being made by one who was killed is waited for, and made anew when its lease is over.
    result = invoke(server, *arguments)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    lost = 2 if how == signal.SIGKILL else 0
    assert len(set(calls(tmp_path))) == 40 and 40 <= len(calls(tmp_path)) <= 40 + lost
    assert summary["done_before"] + summary["made"] + summary["already_there"] == 70 and summary["done_before"] >= 36
    assert cache.stats().stores == 70 and not (tmp_path / "items.jsonl.state").exists()


def test_notes_that_were_cut_off_are_read(tmp_path: Path) -> None:
    path = tmp_path / "state"
    notes = Notes(path, "warm", "here")
    notes.add(["a" * 24, "b" * 24])
    notes.close(forget=False)
    path.write_bytes(path.read_bytes()[:-15])
    notes = Notes(path, "warm", "here")
    assert "a" * 24 in notes.done and "b" * 24 not in notes.done
    notes.add(["c" * 24])
    notes.close(forget=False)
    assert {"a" * 24, "c" * 24} <= Notes(path, "warm", "here").done


def test_each_work_has_notes_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for place in ("here", "there"):
        notes = Notes(path, "warm", place)
        assert not notes.done
        notes.add([place])
        notes.close(forget=False)
    Notes(path, "warm", "here").close(forget=True)
    assert (Notes(path, "warm", "here").done, Notes(path, "warm", "there").done) == (set(), {"there"})
    Notes(path, "warm", "there").close(forget=True)
    assert not path.exists()


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
    wrong = invoke(server, "warm", "--profile", "visitor", "--command", command, "--once")
    assert wrong.exit_code == 1 and "there is no plan 'visitor' (plans: visitors)" in wrong.stderr
    bare = invoke(server, "warm", "--profile", "visitors")
    assert bare.exit_code == 2 and invoke(server, "warm").exit_code == 2


def test_what_a_plan_does_not_say_an_answer_may(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    items = [{"prompt": "a"}, {"prompt": "b", "ex": 500, "tags": ["META", "TYPE"], "cost": "0.5"}]
    cache.command("warm", "PLAN", "visitors", "EVERY", 1000, "JSON", json.dumps(items))
    told = {"response": "r", "ttl": 77, "tags": ["t"], "type": "faq", "meta": {"n": 1}, "cost": "0.25"}
    command = program(tmp_path, f"print({json.dumps(told)!r})")
    result = invoke(server, "warm", "--profile", "all", "--once", "--command", command, "--structured")
    assert result.exit_code == 0, result.output
    a, b = cache.get("a"), cache.get("b")
    assert a is not None and b is not None and a.ttl is not None and b.ttl is not None
    assert (a.tags, a.type, str(a.cost_usd), 70 < a.ttl <= 77) == (("t",), "faq", "0.250000", True)
    entry = cache.entry(a.id)
    assert entry is not None and json.loads(entry.meta) == {"n": 1}
    assert (b.tags, b.type, str(b.cost_usd), 490 < b.ttl <= 500) == (("META", "TYPE"), "faq", "0.500000", True)


def test_a_worker_keeps_long_work_its_own_and_finishes_it(server: RedisServer, cache: Cache, tmp_path: Path) -> None:
    plan(cache, {"prompt": "slow"}, {"prompt": "slower"}, {"prompt": "slowest"})
    wait = f"while not os.path.exists({str(tmp_path / 'enough')!r}): time.sleep(0.02)\n"
    command = program(tmp_path, wait + "print('answer to', prompt)")
    arguments = ("warm", "--profile", "all", "--command", command, "--lease", 1, "-j", 2, "--interval", 0.1)
    process = start(server, *arguments)
    until(lambda: len(calls(tmp_path)) == 2, "work has begun")
    time.sleep(1.3)
    assert len(cache.due("visitors")) == 1, "the lease is prolonged while an answer is made"
    process.terminate()
    (tmp_path / "enough").touch()
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
        time.sleep(0.3)
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
