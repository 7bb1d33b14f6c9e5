"""`wrap` under the SDK of Anthropic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from fake_llm import FakeLlm
from sdk import KINDS, Bench, benches, nameless

import llmcache
from llmcache import NotCached, was_cached

anthropic = pytest.importorskip("anthropic")

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
THINKING = {"type": "enabled", "budget_tokens": 1024}


def make(is_async: bool) -> Any:
    def client(fake: FakeLlm) -> Any:
        kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return kind(api_key="k", base_url=fake.url, max_retries=0)

    return client


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from benches(make, request)


def ask(client: Any, text: str = "Hi", **options: Any) -> Any:
    given = {"model": "claude", "max_tokens": 2000, "messages": [{"role": "user", "content": text}]}
    return client.messages.create(**given | options)


def said(items: list[Any]) -> str:
    """The text of a stream."""
    deltas = [item.delta for item in items if item.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def text_of(answer: Any) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")


def final(bench: Bench, client: Any, **options: Any) -> tuple[Any, list[str], bool]:
    """What the helper of streams makes of an answer."""
    given = {"model": "claude", "max_tokens": 2000, "messages": HI}
    manager = client.messages.stream(**given | options)
    if not bench.is_async:
        with manager as stream:
            kinds = [event.type for event in stream]
            return stream.get_final_message(), kinds, was_cached(stream)

    async def read() -> Any:
        async with manager as stream:
            kinds = [event.type async for event in stream]
            return await stream.get_final_message(), kinds, was_cached(stream)

    told: tuple[Any, list[str], bool] = bench.do(read())
    return told


def test_a_second_answer_is_the_first_one(bench: Bench) -> None:
    first, second = bench.do(ask(bench.client)), bench.do(ask(bench.client))
    assert type(second) is type(first) is anthropic.types.Message
    assert second.model_dump() == first.model_dump() and second is not first
    assert second.x_unknown == [1]
    assert (was_cached(first), was_cached(second)) == (False, True)
    assert text_of(second) == "Answer 1: größer, schöner."
    assert second.usage.cache_read_input_tokens == 3
    assert len(bench.fake.calls) == 1
    assert bench.do(ask(bench.client, "Ho")).id != first.id


def test_a_conversation_is_the_same_with_and_without(bench: Bench) -> None:
    def talk(client: Any) -> list[Any]:
        told: list[Any] = []
        for number in range(3):
            told.append(nameless(bench.do(ask(client, f"Turn {number}", system="Be brief.", thinking=THINKING))))
            told += map(nameless, bench.read(ask(client, f"Stream {number}", stream=True, thinking=THINKING)))
        return told

    bench.fake.text = "The same for all."
    assert talk(bench.plain) == talk(bench.client)
    sent = list(bench.fake.calls)
    assert sent[:6] == sent[6:]
    unlike = {"x-stainless-raw-response", "host"}
    kept = [{name: value for name, value in told.items() if name not in unlike} for told in bench.fake.headers]
    assert kept[:6] == kept[6:]


def test_what_makes_a_request_another_one(bench: Bench) -> None:
    client = bench.client
    first = bench.do(ask(client, stop_sequences=["x"]))
    same: list[dict[str, Any]] = [
        {"stop_sequences": ["x"], "metadata": {"user_id": "me"}, "service_tier": "auto"},
        {"stop_sequences": anthropic.NOT_GIVEN, "extra_body": {"stop_sequences": ["x"]}},
        {"stop_sequences": ["x"], "messages": (turn for turn in HI), "timeout": 7},
        {"stop_sequences": ["x"], "system": anthropic.NOT_GIVEN},
        {"stop_sequences": ["x"], "extra_headers": {"User-Agent": "x", "X-Stainless-Lang": "y"}},
    ]
    for options in same:
        assert bench.do(ask(client, **options)).id == first.id, options
    others: list[dict[str, Any]] = [
        {"stop_sequences": ["y"]},
        {},
        {"stop_sequences": ["x"], "system": "Be brief."},
        {"stop_sequences": ["x"], "max_tokens": 10},
        {"stop_sequences": ["x"], "extra_headers": {"anthropic-beta": "interleaved-thinking-2025-05-14"}},
        {"stop_sequences": ["x"], "extra_headers": {"X-Api-Key": "other"}},
        {"stop_sequences": ["x"], "extra_query": {"beta": "true"}},
    ]
    ids = [bench.do(ask(client, **options)).id for options in others]
    assert len({first.id, *ids}) == 8
    assert [bench.do(ask(client, **options)).id for options in others] == ids


def test_a_client_of_an_api_key_alone_shares_with_all_others(bench: Bench) -> None:
    kind = type(bench.plain)
    plain = bench.wrap().with_options(base_url="https://api.anthropic.com")

    def question(client: Any) -> Any:
        from llmcache.adapters.anthropic import Messages
        from llmcache.adapters.origin import origin

        options = type("Options", (), {"headers": {}, "params": {}})
        return origin(client, Messages.home, options)

    assert question(plain) == question(kind(api_key="k", base_url="https://api.anthropic.com/")) == {}
    assert question(bench.client) == {"base_url": bench.fake.url}
    beta = kind(api_key="k", base_url="https://api.anthropic.com", default_headers={"anthropic-beta": "b"})
    assert list(question(beta)["headers"]) == ["anthropic-beta"]


def test_what_can_be_read_once_is_sent_and_is_the_key(bench: Bench) -> None:
    first = bench.do(ask(bench.client, messages=(dict(turn) for turn in HI)))
    assert bench.fake.calls[0]["messages"] == HI
    assert bench.do(ask(bench.client)).id == first.id
    bench.do(ask(bench.client, messages=(dict(turn) for turn in HI), container="c"))
    assert bench.fake.calls[1]["messages"] == HI
    assert bench.entries == 1


@pytest.mark.parametrize("options", [{}, {"thinking": THINKING}, {"tools": [SEARCH]}], ids=["text", "thought", "tool"])
def test_a_stream_is_replayed(bench: Bench, options: dict[str, Any]) -> None:
    first = bench.do(ask(bench.client, stream=True, **options))
    told = bench.read(first)
    again = bench.do(ask(bench.client, stream=True, **options))
    replayed = bench.read(again)
    assert type(again) is type(first) and len(bench.fake.calls) == 1
    assert said(replayed) == said(told) == "Answer 1: größer, schöner."
    assert (was_cached(first), was_cached(again)) == (False, True)

    def once(items: list[Any]) -> list[str]:
        kinds = [getattr(getattr(item, "delta", item), "type", None) or item.type for item in items]
        return [kind for at, kind in enumerate(kinds) if at == 0 or kind != kinds[at - 1]]

    assert once(replayed) == once(told)
    assert replayed[0].message.id == told[0].message.id
    assert replayed[-2].usage.output_tokens == told[-2].usage.output_tokens == 5
    assert replayed[-2].delta == told[-2].delta
    bench.close(again)


@pytest.mark.parametrize("options", [{}, {"thinking": THINKING}, {"tools": [SEARCH]}], ids=["text", "thought", "tool"])
def test_one_form_answers_for_the_other(bench: Bench, options: dict[str, Any]) -> None:
    bench.fake.text = "The same for all."
    plain = nameless(bench.do(ask(bench.plain, **options)))
    bench.read(ask(bench.client, stream=True, **options))
    assert nameless(bench.do(ask(bench.client, **options))) == plain
    other = bench.do(ask(bench.client, "Ho", **options))
    streamed = bench.read(ask(bench.client, "Ho", stream=True, **options))
    assert said(streamed) == text_of(other) == "The same for all."
    assert len(bench.fake.calls) == 3


@pytest.mark.parametrize("options", [{}, {"thinking": THINKING}, {"tools": [SEARCH]}], ids=["text", "thought", "tool"])
def test_the_helper_of_streams_is_cached(bench: Bench, options: dict[str, Any]) -> None:
    first, second = final(bench, bench.client, **options), final(bench, bench.client, **options)
    assert second[0].model_dump() == first[0].model_dump()
    assert set(second[1]) == set(first[1])
    assert (first[2], second[2]) == (False, True)
    assert len(bench.fake.calls) == 1
    assert (
        nameless(bench.do(ask(bench.client, **options)))["content"]
        == nameless(bench.do(ask(bench.client, **options)))["content"]
    )
    assert len(bench.fake.calls) == 1


@pytest.mark.parametrize("most", [0, 3])
def test_a_stream_that_is_left_is_not_kept(bench: Bench, most: int) -> None:
    bench.fake.pause = 0.01
    stream = bench.do(ask(bench.client, stream=True))
    if most:
        bench.read(stream, most=most)
    bench.close(stream)
    bench.settle()
    assert bench.entries == 0
    bench.fake.pause = 0
    started = time.monotonic()
    assert not was_cached(bench.do(ask(bench.client)))
    assert time.monotonic() - started < 5
    assert was_cached(bench.do(ask(bench.client))) and len(bench.fake.calls) == 2


def test_a_stream_that_is_left_at_its_end_is_kept(bench: Bench) -> None:
    most = len(bench.read(ask(bench.plain, stream=True)))
    stream = bench.do(ask(bench.client, stream=True))
    assert bench.read(stream, most=most)[-1].type == "message_stop"
    assert was_cached(bench.do(ask(bench.client)))
    bench.close(stream)


@pytest.mark.parametrize("how", ["cut_after", "error_after"])
def test_a_stream_that_breaks_off_is_not_kept(bench: Bench, how: str) -> None:
    setattr(bench.fake, how, 4)
    with pytest.raises(Exception) as plain:
        bench.read(ask(bench.plain, stream=True))
    with pytest.raises(Exception) as wrapped:
        bench.read(ask(bench.client, stream=True))
    assert type(wrapped.value) is type(plain.value) and str(wrapped.value) == str(plain.value)
    setattr(bench.fake, how, None)
    assert bench.entries == 0
    started = time.monotonic()
    assert not was_cached(bench.do(ask(bench.client)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_errors_are_raised_as_they_are_and_never_kept(bench: Bench, status: int, stream: bool) -> None:
    bench.fake.errors = [status, status]
    with pytest.raises(anthropic.APIStatusError) as plain:
        bench.do(ask(bench.plain, stream=stream))
    with pytest.raises(anthropic.APIStatusError) as wrapped:
        bench.do(ask(bench.client, stream=stream))
    assert type(wrapped.value) is type(plain.value)
    assert (wrapped.value.status_code, wrapped.value.body) == (plain.value.status_code, plain.value.body)
    assert bench.entries == 0
    started = time.monotonic()
    assert not was_cached(bench.do(ask(bench.client)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", ["length", "tool", "filter"])
def test_what_is_no_whole_answer_is_not_kept(bench: Bench, end: str, stream: bool) -> None:
    def twice() -> None:
        for _ in range(2):
            answer = bench.do(ask(bench.client, stream=stream, tools=[TOOL]))
            if stream:
                bench.read(answer)

    bench.fake.end = end
    twice()
    assert len(bench.fake.calls) == 2 and bench.entries == 0
    bench.fake.end = "end"
    twice()
    assert len(bench.fake.calls) == 3 and bench.entries == 1


@pytest.mark.parametrize("stream", [False, True])
def test_one_call_for_a_hundred_who_ask_at_once(bench: Bench, stream: bool) -> None:
    bench.fake.delay, bench.fake.pause = 0.2, 0.02
    told = bench.together(lambda: ask(bench.client, stream=stream), 100)
    assert len(told) == 100 and len(bench.fake.calls) == 1
    assert sum(was_cached(answer) for answer, _ in told) == 99
    texts = {said(items) for _, items in told} if stream else {text_of(answer) for answer, _ in told}
    assert texts == {"Answer 1: größer, schöner."}


def test_options_and_words_hold(bench: Bench) -> None:
    client = bench.wrap(
        ttl=50,
        tags=["a"],
        price=lambda usage: Decimal("0.001") * usage.output_tokens,
        when=lambda request: "system" not in request,
    )
    with llmcache.using(only_if_cached=True), pytest.raises(NotCached):
        bench.do(ask(client))
    first = bench.do(ask(client))
    assert bench.do(ask(client, extra_headers={"x-llmcache": "only-if-cached"})).id == first.id
    assert bench.do(ask(client, extra_headers={"x-llmcache": "no-store"})).id != first.id
    with llmcache.bypass():
        assert bench.do(ask(client)).id != first.id
    renewed = bench.do(ask(client, extra_headers={"x-llmcache": "no-cache"}))
    assert bench.do(ask(client)).id == renewed.id != first.id
    assert not any("x-llmcache" in told for told in bench.fake.headers)
    assert bench.do(bench.cache.stats()).cost_saved_usd == Decimal("0.005") * 2
    assert bench.do(bench.cache.invalidate(tags=["a"])) == 1
    for _ in range(2):
        assert not was_cached(bench.do(ask(client, system="Be brief.")))
    assert bench.entries == 0


def test_all_else_is_the_clients_own(bench: Bench) -> None:
    plain, client = bench.plain, bench.client
    assert isinstance(client, type(plain)) and client.api_key == "k"
    for _ in range(2):
        assert bench.do(client.messages.count_tokens(model="claude", messages=HI)).input_tokens == 7
        assert bench.do(client.beta.messages.create(model="claude", max_tokens=9, messages=HI)).id
    assert len(bench.fake.calls) == 4 and bench.entries == 0
    first = bench.do(ask(client.with_options(timeout=5)))
    raw = bench.do(client.messages.with_raw_response.create(model="claude", max_tokens=2000, messages=HI))
    assert bench.do(raw.parse()).id == first.id and was_cached(raw)
    assert not was_cached(bench.do(ask(plain)))
    assert len(bench.fake.calls) == 6


def test_answers_that_are_parsed_are_cached(bench: Bench) -> None:
    pydantic = pytest.importorskip("pydantic")
    if not hasattr(bench.client.messages, "parse"):
        pytest.fail("this version of the SDK parses nothing")
    City = pydantic.create_model("City", name=(str, ...))
    bench.fake.text = '{"name": "Paris"}'
    given = {"model": "claude", "max_tokens": 2000, "messages": HI, "output_format": City}
    first, second = (bench.do(bench.client.messages.parse(**given)) for _ in range(2))
    assert first.parsed_output == second.parsed_output == City(name="Paris")
    assert len(bench.fake.calls) == 1
