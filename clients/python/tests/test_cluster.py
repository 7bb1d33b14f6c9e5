"""A cache in several parts, over all nodes of a cluster."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from conftest import RedisServer, free_port, until

from llmcache import AsyncCache, Cache, Item, Question


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    nodes = []
    for number in range(3):
        folder = tmp_path_factory.mktemp(f"node{number}")
        nodes.append(RedisServer(folder, "--cluster-enabled", "yes", "--cluster-port", str(free_port())))
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    clients = [node.client() for node in nodes]
    for number, client in enumerate(clients):
        first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        bus = nodes[number].arguments[-1]
        for other in clients:
            other.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[number].port, bus)
    until(lambda: all(is_whole(client) for client in clients), f"{addresses} are one cluster")
    yield nodes
    for node in nodes:
        node.kill()


def is_whole(client: redis.Redis) -> bool:
    told = client.cluster("INFO")
    return told["cluster_state"] == "ok" and told["cluster_known_nodes"] == "3"


@pytest.fixture
def cache(cluster: list[RedisServer]) -> Iterator[Cache]:
    for node in cluster:
        node.client().flushall()
    with Cache(cluster[0].url, "faq", cluster=True, fallback=None) as cache:
        yield cache


def test_a_split_cache_does_what_one_does(cache: Cache, cluster: list[RedisServer]) -> None:
    for number in range(60):
        assert cache.set(f"p{number}", f"r{number}", model=f"m{number}", tags=["all", f"t{number % 2}"], cost="0.5")
    for number in range(60):
        assert cache.get(f"p{number}", model=f"m{number}").text == f"r{number}"  # type: ignore[union-attr]
    held = [node.client().dbsize() for node in cluster]
    assert min(held) > 0, f"all nodes hold some of it: {held}"
    stats = cache.stats()
    assert (stats.entries, stats.hits, stats.hit_rate) == (60, 60, 1.0)
    assert stats.cost_saved_usd == 30
    assert cache.stats(by="tag")["t1"].hits == 30
    assert sorted(prompt for _, prompt in cache.scan(count=7)) == sorted(f"p{number}" for number in range(60))
    id, prompt = next(iter(cache.scan(tag="t1")))
    assert cache.entry(id).prompt == prompt  # type: ignore[union-attr]
    assert cache.invalidate(tags=["t1"]) == 30
    assert cache.invalidate(everything=True) == 30


def test_items_go_where_they_are_looked_for(cache: Cache) -> None:
    items = [Item(Question(f"p{number}", scope=f"s{number}"), b"r") for number in range(40)]
    bad = Item(Question("x", scope="s"), b"r", keep=items[0].keep.on(strategy="nobody knows"))
    warmed = cache.warm([*items[:20], bad, *items[20:]])
    assert (warmed.stored, warmed.rejected, warmed.errors[0][0]) == (40, 1, 20)
    assert all(cache.get(item.question) for item in items)


def test_equal_contexts_are_one(cache: Cache) -> None:
    cache.set("p", "r", params={"a": 1, "b": [1.0]}, model="m")
    assert cache.get("p", params={"b": [1], "a": 1.0}, model="m") is not None
    body = {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi"}]}
    told = {"choices": [{"message": {"role": "assistant", "content": "Ho"}, "finish_reason": "stop"}]}
    assert cache.get_or_call(body, lambda: told).was_cached is False
    text = [{"type": "text", "text": "Hi"}]
    same = {"messages": [{"role": "developer", "content": "s"}, {"role": "user", "content": text}], "model": "m"}
    assert cache.get(same) is not None, "no hit is lost by splitting"


def test_one_call_for_all(cache: Cache) -> None:
    calls: list[int] = []

    def model() -> str:
        calls.append(1)
        time.sleep(0.2)
        return "r"

    threads = [threading.Thread(target=lambda: cache.get_or_call("p", model, model="m")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(calls) == 1


def test_so_it_is_on_an_event_loop(cluster: list[RedisServer]) -> None:
    async def work() -> None:
        async with AsyncCache(cluster[1].url, "afaq", cluster=True, fallback=None) as cache:
            for number in range(20):
                await cache.set(f"p{number}", "r", scope=f"s{number}")
            assert (await cache.stats()).entries == 20
            assert await cache.invalidate(everything=True) == 20

    asyncio.run(work())
