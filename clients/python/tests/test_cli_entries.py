"""get, set, explain, invalidate, scan; errors, options, pipes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli import invoke, start
from conftest import RedisServer, free_port
from typer.testing import CliRunner

from llmcache import Cache
from llmcache.cli.commands import app


def test_what_was_set_is_got(server: RedisServer) -> None:
    asked = ("What is Redis?", "-m", "m", "--scope", "s", "--system", "y", "--params", '{"a": 1}')
    kept = invoke(server, "set", asked[0], "A store.", *asked[1:], "--cost", "0.01", "-t", "a", "-t", "b", "--ttl", 100)
    assert (kept.exit_code, kept.output) == (0, "")
    got = invoke(server, "get", *asked)
    assert (got.exit_code, got.stdout) == (0, "A store.\n")
    with Cache(server.url, "faq", fallback=None) as cache:
        answer = cache.get("What is Redis?", model="m", scope="s", system="y", params={"a": 1}, touch=False)
    assert answer is not None and answer.tags == ("a", "b") and answer.strategy == "explicit"
    told = json.loads(invoke(server, "get", *asked, "--json", "--no-touch").stdout)
    assert (told["response"], told["model"], told["tags"], told["hits"]) == ("A store.", "m", ["a", "b"], 1)
    assert told["cost_saved_usd"] == "0.010000"
    assert "explicit" in invoke(server, "get", *asked, "--meta").stdout


def test_a_miss_and_what_is_not_kept_are_exit_code_1(server: RedisServer) -> None:
    missed = invoke(server, "get", "nothing")
    assert (missed.exit_code, missed.stdout, missed.stderr) == (1, "", "llmcache: no answer\n")
    assert json.loads(invoke(server, "get", "nothing", "--json").stdout) is None
    assert invoke(server, "set", "p", "r").exit_code == 0
    again = invoke(server, "set", "p", "other", "--new")
    assert again.exit_code == 1 and "nothing was stored" in again.stderr
    assert invoke(server, "get", "p").stdout == "r\n"


def test_bytes_come_through_pipes_as_they_are(server: RedisServer, tmp_path: Path) -> None:
    data = bytes(range(256)) * 3
    (tmp_path / "response").write_bytes(data)
    assert invoke(server, "set", "p", "--file", tmp_path / "response").exit_code == 0
    process = start(server, "get", "p")
    out, _ = process.communicate()
    assert out == data + b"\n"
    process = start(server, "set", "q", "-")
    process.communicate(data)
    assert invoke(server, "get", "q").stdout_bytes == data + b"\n"
    assert json.loads(invoke(server, "get", "q", "--json").stdout)["response"] == {
        "base64": __import__("base64").b64encode(data).decode()
    }


def test_a_request_comes_from_standard_input(server: RedisServer) -> None:
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]})
    assert invoke(server, "set", "-", "Ho", "--request", stdin=body).exit_code == 0
    assert invoke(server, "get", "-", "--request", stdin=body).stdout == "Ho\n"
    both = invoke(server, "get", body, "--request", "-m", "other")
    assert both.exit_code == 2 and "in itself" in both.stderr
    assert invoke(server, "get", "{", "--request").exit_code == 2


def test_explain_says_why(server: RedisServer) -> None:
    invoke(server, "set", "How do I reset my password?", "So.")
    told = invoke(server, "explain", "How do I reset my passwrod?", "--similar").stdout
    assert "hit (similar)" in told and "How do I reset my password?" in told
    struck = invoke(server, "explain", "How do I not reset my password?", "--similar").stdout
    assert 'negation: "not" is asked only' in struck and "quotes" not in struck
    as_json = json.loads(invoke(server, "explain", "Who won?", "--json").stdout)
    assert (as_json["verdict"], as_json["reason"], len(as_json["digest"])) == ("miss", "absent", 64)
    assert invoke(server, "explain", "p", "--similar", "--exact").exit_code == 2


def test_invalidate_takes_back_what_is_meant(server: RedisServer) -> None:
    for number in range(4):
        invoke(server, "set", f"p{number}", "r", "-t", "odd" if number % 2 else "even")
    assert invoke(server, "invalidate").exit_code == 2
    assert invoke(server, "invalidate", "-t", "odd", "--dry-run").stdout == "2 entries would be taken back\n"
    assert json.loads(invoke(server, "invalidate", "-t", "odd", "--json").stdout) == {"entries": 2, "dry_run": False}
    for name in ("--prompt", "--tag", "--model", "--scope", "--type", "--strategy", "--match"):
        empty = invoke(server, "invalidate", "-t", "even", name, "")
        assert empty.exit_code == 2 and f"{name} is empty" in empty.stderr
    for command in ("scan", "export"):
        assert invoke(server, command, "--scope", "").exit_code == 2
    assert invoke(server, "invalidate", "--prompt", "p0", "--soft").stdout == "1 entry made stale\n"
    assert invoke(server, "invalidate", "--all").stdout == "2 entries taken back\n"


def test_scan_lists_entries(server: RedisServer) -> None:
    for number in range(5):
        invoke(server, "set", f"prompt\t{number}", "r", "-m", "m")
    lines = invoke(server, "scan").stdout.splitlines()
    assert lines[0] == "id\tprompt" and len(lines) == 6
    assert {len(line.split("\t")) for line in lines} == {2}
    assert [len(invoke(server, "scan", "-l").stdout.splitlines()[1].split("\t"))] == [9]
    some = invoke(server, "scan", "--limit", 2, "--json")
    assert len(some.stdout.splitlines()) == 2 and "--limit 0" in some.stderr
    assert {json.loads(line)["prompt"] for line in some.stdout.splitlines()} <= {f"prompt\t{n}" for n in range(5)}
    assert len(invoke(server, "scan", "--match", "*3").stdout.splitlines()) == 2


def test_errors_are_one_line(server: RedisServer) -> None:
    class Nobody:
        url = f"redis://:secret@127.0.0.1:{free_port()}"

    for words, code in (
        (("get", "p"), 1),
        (("top", "--once"), 1),
        (("bench",), 1),
        (("export",), 1),
        (("report", "-"), 1),
        (("nosuch",), 2),
        (("get",), 2),
        (("get", "p", "--threshold", "7"), 2),
    ):
        result = invoke(Nobody(), *words)
        assert result.exit_code == code, words
        assert result.stderr.startswith("llmcache: ") and result.stderr.count("\n") == 1, result.stderr
        assert "secret" not in result.output and "LLMCACHE_DEBUG" not in result.output
    refused = invoke(server, "set", "p", "r", "--strategy", "sometimes")
    assert refused.exit_code == 1 and "STRATEGY" in refused.stderr
    server.client().set("text", "x")
    assert "WRONGTYPE" in invoke(server, "scan", name="text").stderr
    process = start(Nobody(), "get", "p")
    out, error = process.communicate()
    assert (process.returncode, out) == (1, b"") and error.startswith(b"llmcache: ") and error.count(b"\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        "redis://:se/cret@h",
        "redis://:se#cret@h",
        "redis://:se?cret@h",
        "redis://:1234/secret@h",
        "redis://[:secret@h",
        "redis://:secret\u2100@h",
        "secret://h",
        "redis://h:secret",
    ],
)
def test_a_url_that_cannot_be_read_is_not_told(url: str) -> None:
    result = CliRunner().invoke(app, ["--url", url, "get", "p"])
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "the URL cannot be read" in result.stderr and "%2F" in result.stderr
    assert not any(part in result.output for part in ("secret", "cret@", "'se'", "1234"))


def test_options_may_stand_in_the_environment(server: RedisServer) -> None:
    invoke(server, "set", "p", "r", name="other")
    environment = {"LLMCACHE_URL": server.url, "LLMCACHE_NAME": "other"}
    assert CliRunner().invoke(app, ["get", "p"], env=environment).stdout == "r\n"
    assert CliRunner().invoke(app, ["--version"]).stdout == "llmcache 0.1.0\n"
    bare = CliRunner().invoke(app, [])
    assert bare.exit_code == 2 and "invalidate" in bare.stdout


def test_a_reader_who_has_enough_ends_it_quietly(server: RedisServer) -> None:
    with Cache(server.url, "faq", fallback=None) as cache:
        cache.warm([(f"prompt {number} " + "x" * 200, "r") for number in range(3000)])
    process = start(server, "scan", "--limit", 0)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"id\tprompt\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_a_terminal_gets_nothing_to_obey(server: RedisServer) -> None:
    prompt = "p\x1b]0;owned\x07 ü \x7f\x9b2J\u202e\U000e0001"
    invoke(server, "set", prompt, "r\x1b[2J")
    commands = (("scan",), ("scan", "--json"), ("export",))
    terminals = [pty.openpty() for _ in commands]
    processes = [start(server, *words, stdout=slave) for words, (_, slave) in zip(commands, terminals, strict=True)]
    shown = []
    for process, (master, slave) in zip(processes, terminals, strict=True):
        process.wait()
        os.close(slave)
        shown.append(os.read(master, 100_000).decode().replace("\r\n", "\n"))
        os.close(master)
    assert "\\x1b]0;owned" in shown[0] and "\\U000e0001" in shown[0]
    shown[0] = re.sub(r"\x1b\[[01]m", "", shown[0])
    for text in shown:
        assert "ü" in text and all(char.isprintable() or char == "\n" for char in text)
    assert json.loads(shown[1])["prompt"] == prompt == json.loads(shown[2].splitlines()[1])["prompt"]


def test_an_output_of_another_encoding_gets_all_of_it(server: RedisServer) -> None:
    invoke(server, "set", "ü €", "ä", "--model", "m")
    ascii = os.environ | {"PYTHONIOENCODING": "ascii"}
    commands = (("scan",), ("scan", "--json"), ("export",), ("report", "-", "--prompts", 5))
    processes = [start(server, *words, env=ascii) for words in commands]
    told = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert b"\\xfc \\u20ac" in told[0] and json.loads(told[1].decode("ascii"))["prompt"] == "ü €"
    assert json.loads(told[2].decode().splitlines()[1])["response"] == "ä" and "charset" in told[3].decode()
    process = start(server, "import", "-", "--overwrite", env=ascii)
    out, error = process.communicate(told[2])
    assert process.returncode == 0 and b"1 stored" in out, error


def test_without_the_extra_one_line_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from llmcache.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "pip install 'llmcache-redis[cli]'" in done.stderr


@pytest.mark.parametrize("place", ["memory:", "file:"])
def test_what_needs_a_server_says_so(place: str, tmp_path: Path) -> None:
    url = place if place == "memory:" else f"file:{tmp_path / 'cache.db'}"
    result = CliRunner().invoke(app, ["--url", url, "top", "--once"])
    assert result.exit_code == 1 and "needs a server" in result.stderr
    if place == "file:":
        nothing = CliRunner().invoke(app, ["--url", f"file:{tmp_path / 'no/folder/cache.db'}", "get", "p"])
        assert nothing.exit_code == 1 and "no answer" in nothing.stderr
        assert not list(tmp_path.iterdir()), "who only looks leaves nothing behind"
        assert CliRunner().invoke(app, ["--url", url, "set", "p", "r"]).exit_code == 0
        assert CliRunner().invoke(app, ["--url", url, "get", "p"]).stdout == "r\n"
