"""The verbs, the same for all backends."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from decimal import Decimal

import pytest
from conftest import RedisServer

from llmcache import AsyncCache, Cache, Item, Question, Refused
from llmcache.backends import Fallback


def test_what_was_set_is_got_with_all_that_is_known_of_it(cache: Cache) -> None:
    assert cache.get("What is Redis?", model="m") is None
    assert cache.set(
        "What is Redis?", "A store.", model="m", ttl=100, tags=["a", "b"], type="faq", tokens=(3, 4), cost="0.01",
        latency=800, meta={"by": "me"},
    )  # fmt: skip
    answer = cache.get("What is Redis?", model="m")
    assert answer is not None
    assert (answer.text, answer.response, answer.model, answer.type) == ("A store.", b"A store.", "m", "faq")
    assert (answer.tags, answer.strategy, answer.match, answer.similarity) == (("a", "b"), "explicit", "exact", 1.0)
    assert answer.ttl is not None and 98 <= answer.ttl <= 100
    assert (answer.tokens_in, answer.tokens_out, answer.stale) == (3, 4, False)
    assert answer.cost_usd == Decimal("0.01")
    entry = cache.entry(answer.id)
    assert entry is not None
    assert (entry.text, entry.meta, entry.cost_usd, entry.tags) == (
        "A store.",
        '{"by": "me"}',
        Decimal("0.01"),
        ("a", "b"),
    )


def test_nothing_crosses_a_context(cache: Cache) -> None:
    contexts = [{}, {"model": "m"}, {"scope": "s"}, {"system": "y"}, {"params": {"a": 1}}, {"params": {"a": 2}}]
    for number, context in enumerate(contexts):
        cache.set("question", f"answer {number}", **context)
    for number, context in enumerate(contexts):
        answer = cache.get("question", **context)
        assert answer is not None and answer.text == f"answer {number}"
    assert cache.get("question", params={"a": 1.0}).text == "answer 4"  # type: ignore[union-attr]
    assert cache.get("question", params={"a": 3}) is None


def test_a_request_is_found_whatever_its_form(cache: Cache) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    told = {"choices": [{"message": {"role": "assistant", "content": "Ho"}, "finish_reason": "stop"}]}
    cache.set(body, json.dumps(told))
    same = {"temperature": 0.0, "stream": True, "user": "me", "messages": body["messages"], "model": "gpt-4o"}
    answer = cache.get(same)
    assert answer is not None and answer.json() == told
    assert cache.get(body | {"temperature": 1}) is None
    with pytest.raises(ValueError, match="request"):
        cache.get(body, model="other")


def test_conditions(cache: Cache) -> None:
    assert not cache.set("p", "x", condition="xx")
    assert cache.set("p", "one", condition="nx")
    assert not cache.set("p", "two", condition="nx")
    assert cache.set("p", "three", condition="xx")
    assert cache.get("p").text == "three"  # type: ignore[union-attr]
    assert not cache.set("p", "over", ttl=-1)
    assert cache.get("p") is None
    assert not cache.set("p", "x", strategy="nocache")
    if isinstance(cache.backend, Fallback):
        # The server may know it.
        assert cache.set("p", "x", strategy="nobody knows")
    else:
        with pytest.raises(Refused):
            cache.set("p", "x", strategy="nobody knows")
    with pytest.raises(ValueError, match="only one"):
        cache.set("p", "x", strategy="standard", ttl=5)


def test_an_answer_ends(cache: Cache) -> None:
    cache.set("p", "short", ttl=0.15)
    cache.set("q", "long", ttl=100)
    assert cache.get("p") is not None
    time.sleep(0.2)
    assert cache.get("p") is None
    assert cache.get("q") is not None


def test_a_stale_answer_serves_only_who_asks_for_it(cache: Cache) -> None:
    cache.set("p", "old", ttl=0.1, stale=100)
    time.sleep(0.15)
    assert cache.get("p") is None
    answer = cache.get("p", stale_ok=True)
    assert answer is not None and answer.stale
    first, second = cache.fetch("p"), cache.fetch("p")
    assert (first.state, second.state) == ("stale", "stale")
    assert first.token is not None and second.token is None
    assert cache.set("p", "new", token=first.token)
    assert cache.fetch("p").state == "hit"


def test_entries_are_invalidated_by_what_they_have(cache: Cache) -> None:
    def fill() -> None:
        for number in range(6):
            cache.set(f"p{number}", "x", tags=[f"t{number % 2}", "all"], model=f"m{number % 3}", ttl=100)

    fill()
    assert cache.invalidate(tags=["t0"], dry_run=True) == 3
    assert cache.invalidate(tags=["t0"]) == 3
    assert cache.get("p0", model="m0") is None and cache.get("p1", model="m1") is not None
    fill()
    assert cache.invalidate(tags=["t0"], model="m0") == 1
    assert cache.invalidate("p1", model="m1") == 1
    assert cache.invalidate(match="p[34]") == 2
    assert cache.invalidate(tags=["all"], soft=True) == 2
    assert cache.get("p5", model="m2") is None
    assert cache.invalidate(everything=True) == 2
    assert list(cache.scan()) == []
    with pytest.raises(Refused):
        cache.invalidate()


def test_many_are_stored_at_once(cache: Cache) -> None:
    items = [("p1", "r1"), (Question("p2", model="m"), "r2"), Item(Question("p3"), b"r3")]
    warmed = cache.warm(items, ttl=50)
    assert (warmed.stored, warmed.skipped, warmed.rejected) == (3, 0, 0)
    assert cache.get("p2", model="m").text == "r2"  # type: ignore[union-attr]
    assert sorted(prompt for _, prompt in cache.scan()) == ["p1", "p2", "p3"]
    assert cache.warm(items, only_new=True).skipped == 3


def test_figures_add_up(cache: Cache) -> None:
    cache.set("p", "x" * 100, cost="0.5", tokens=(10, 20), latency=300)
    for _ in range(3):
        cache.get("p", touch=True)
        cache.get("absent")
    stats = cache.stats()
    near = hasattr(cache.backend, "seconds")
    assert stats.entries == 1 and stats.stores == 1
    assert stats.hits == (1 if near else 3)
    assert stats["misses"] == 3
    assert stats.cost_saved_usd == stats.hits * Decimal("0.5")
    assert stats.tokens_saved == stats.hits * 30
    if not near:
        assert stats.hit_rate == 0.5


def test_explain_tells_why(cache: Cache) -> None:
    assert cache.explain("p").verdict == "miss"
    assert cache.explain("p").reason == "absent"
    cache.set("p", "x")
    told = cache.explain("p")
    assert (told.verdict, told.reason, told.match) == ("hit", "exact", "exact")


def test_a_bad_answer_goes(cache: Cache) -> None:
    cache.set("p", "x")
    answer = cache.get("p")
    assert answer is not None
    assert cache.feedback(answer, True)
    assert cache.feedback(answer.id, False)
    assert cache.get("p") is None
    assert not cache.feedback("0" * 32, False)


def test_one_computes_and_others_wait(cache: Cache) -> None:
    first = cache.fetch("p")
    assert first.state == "lease" and first.token is not None
    assert cache.fetch("p", block=0).state == "wait"
    assert cache.fetch("p", block=0.05).state == "timeout"
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(cache.fetch("p", block=10).answer.text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert cache.renew("p", first.token, 30)
    assert cache.set("p", "the answer", token=first.token)
    for thread in threads:
        thread.join(10)
    assert told == ["the answer"] * 8
    # A token is good once.
    assert not cache.set("p", "late", token=first.token)
    assert cache.get("p").text == "the answer"  # type: ignore[union-attr]


def test_a_lease_that_is_given_back_goes_to_the_next(cache: Cache) -> None:
    first = cache.fetch("p")
    told: list[str] = []

    def wait() -> None:
        told.append(cache.fetch("p", block=10).state)

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert first.token and cache.release("p", first.token)
    time.sleep(0.2)
    assert told == ["lease"]
    assert cache.set("p", "x", ttl=10)
    for thread in threads:
        thread.join(10)
    assert sorted(told) == ["hit", "lease"]


def test_a_lease_that_runs_out_goes_to_the_next(cache: Cache) -> None:
    assert cache.fetch("p", lease=0.2).state == "lease"
    started = time.monotonic()
    assert cache.fetch("p", lease=5, block=10).state == "lease"
    assert 0.1 < time.monotonic() - started < 5


def test_one_call_for_all_who_ask_at_once(cache: Cache) -> None:
    calls: list[int] = []

    def model() -> str:
        calls.append(1)
        time.sleep(0.3)
        return "the answer"

    results = []

    def ask() -> None:
        results.append(cache.get_or_call("p", model, price="0.02", model="m"))

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(calls) == 1
    assert [result.response for result in results] == ["the answer"] * 100
    assert sorted(result.was_cached for result in results) == [False] + [True] * 99
    assert {result.cost for result in results} == {Decimal("0.02")}


def test_what_a_call_raises_is_raised_and_the_next_one_calls(cache: Cache) -> None:
    def fails() -> str:
        raise LookupError("no")

    with pytest.raises(LookupError):
        cache.get_or_call("p", fails)
    assert cache.get_or_call("p", lambda: "yes") == ("yes", False, 0)
    assert cache.get_or_call("p", fails) == ("yes", True, 0)


def test_what_cannot_come_back_is_not_kept(cache: Cache) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    strange = {"a": {1, 2}}
    assert cache.get_or_call(body, lambda: strange).response is strange
    assert cache.get_or_call(body, lambda: {"b": 1}) == ({"b": 1}, False, 0)
    assert cache.get_or_call(body, lambda: {"b": 2}) == ({"b": 1}, True, 0)


def test_a_long_call_keeps_its_lease(cache: Cache) -> None:
    cache.times = type(cache.times)(lease=0.3, block=10)
    calls: list[int] = []

    def model() -> str:
        calls.append(1)
        time.sleep(1.0)
        return "x"

    other = threading.Thread(target=lambda: cache.get_or_call("p", model))
    other.start()
    time.sleep(0.1)
    assert cache.get_or_call("p", model).was_cached
    other.join(10)
    assert len(calls) == 1


def test_awaiting_is_the_same(acache: AsyncCache) -> None:
    async def work() -> None:
        calls: list[int] = []

        async def model() -> str:
            calls.append(1)
            await asyncio.sleep(0.2)
            return "the answer"

        results = await asyncio.gather(*(acache.get_or_call("p", model, ttl=50) for _ in range(100)))
        assert len(calls) == 1
        assert {result.response for result in results} == {"the answer"}
        answer = await acache.get("p")
        assert answer is not None and answer.text == "the answer"
        assert await acache.set("q", "x", tags=["t"])
        assert [prompt async for _, prompt in acache.scan(tag="t")] == ["q"]
        assert await acache.invalidate(tags=["t"]) == 1
        assert (await acache.stats()).stores == 2
        assert (await acache.explain("p")).verdict == "hit"
        assert (await acache.warm([("a", "b")])).stored == 1
        fetched = await acache.fetch("new", lease=0.1)
        assert fetched.state == "lease"
        assert (await acache.fetch("new", block=10)).state == "lease"
        await acache.aclose()

    asyncio.run(work())


def test_a_cache_of_a_scope_asks_and_stores_in_it(cache: Cache) -> None:
    cache.scope = "tenant"
    cache.set("p", "x")
    assert cache.get("p", scope="other") is None
    assert cache.get("p") is not None
    assert cache.entry(cache.get("p").id).scope == "tenant"  # type: ignore[union-attr]


def test_options_that_nobody_knows_are_errors(cache: Cache) -> None:
    with pytest.raises(TypeError):
        cache.get("p", modle="m")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        cache.set("p", "x", tags="abc")


def test_an_explanation_names_the_guards_that_strike(server: RedisServer) -> None:
    for protocol in (2, 3):
        with Cache(server.url, "faq", fallback=None, options={"protocol": protocol}) as cache:
            cache.set("How do I reset my password?", "So.")
            told = cache.explain("How do I not reset my password?", mode="similar")
            assert told.candidates[0].guards == ('negation: "not" is asked only',)
            assert cache.explain("How do I reset my passwrod?", mode="similar").candidates[0].guards == ()
