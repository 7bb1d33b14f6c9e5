"""A cache that is split over a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli import invoke
from conftest import RedisServer, until


class ByUrl:
    """A cluster that is named one in its URL."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url.replace("redis://", "redis+cluster://")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("cluster"), "--cluster-enabled", "yes")
    server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    until(lambda: b"cluster_state:ok" in server.client().execute_command("CLUSTER", "INFO"), "the cluster is up")
    yield server
    server.kill()


def test_a_split_cache_is_one(cluster: RedisServer, tmp_path: Path) -> None:
    def call(*words: Any, name: str = "faq") -> Any:
        result = invoke(cluster, "--cluster", *words, name=name)
        assert result.exit_code == 0, result.output
        return result.stdout

    for number in range(12):
        call("set", f"p{number}", f"r{number}", "-m", f"m{number}", "--cost", "0.5", "--strategy", "realtime")
        assert call("get", f"p{number}", "-m", f"m{number}") == f"r{number}\n"
    assert cluster.client().dbsize() > 3, "it has several parts"
    assert len(call("scan").splitlines()) == 13
    (one,) = json.loads(call("top", "--all", "--once", "--json"))["caches"]
    assert (one["name"], one["stats"]["hits"], one["stats"]["cost_saved_usd"]) == ("faq", 12, "6.000000")
    call("export", tmp_path / "f")
    assert "12 stored" in call("import", tmp_path / "f", name="copy")
    assert [call("get", f"p{n}", "-m", f"m{n}", name="copy") for n in range(12)] == [f"r{n}\n" for n in range(12)]
    assert "$6" in call("report", "-")
    items = tmp_path / "items.jsonl"
    items.write_text(
        "".join(json.dumps({"prompt": f"q{n}", "response": "r", "model": f"m{n}"}) + "\n" for n in range(9))
    )
    assert json.loads(call("warm", items, "--json", name="warm"))["stored"] == 9
    assert set(json.loads(call("bench", "-r", 20, "--json"))["results_us"]) == {"SET", "GET", "FETCH"}
    assert call("invalidate", "--all") == "12 entries taken back\n"


def test_plans_are_of_one_part(cluster: RedisServer) -> None:
    for server, words in ((cluster, ["--cluster"]), (ByUrl(cluster), [])):
        result = invoke(server, *words, "warm", "--profile", "p", "--command", "cat")
        assert result.exit_code == 1 and "without --cluster" in result.stderr


def test_a_url_may_say_that_it_is_split(cluster: RedisServer) -> None:
    assert invoke(ByUrl(cluster), "set", "p", "r", name="by url").exit_code == 0
    told = json.loads(invoke(ByUrl(cluster), "top", "--all", "--once", "--json").stdout)
    assert "by url" in [one["name"] for one in told["caches"]] and len(told["caches"]) < 16
