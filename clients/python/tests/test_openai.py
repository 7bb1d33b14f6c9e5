"""`wrap` under the SDK of OpenAI."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from conftest import free_port, until
from fake_llm import FakeLlm
from sdk import KINDS, Bench, benches, nameless

import llmcache
from llmcache import AsyncCache, Cache, NotCached, was_cached, wrap

openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SHAPES = ("chat", "responses")


def make(is_async: bool) -> Any:
    def client(fake: FakeLlm) -> Any:
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        return kind(api_key="k", base_url=f"{fake.url}/v1", max_retries=0)

    return client


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from benches(make, request)


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(client: Any, shape: str = "chat", text: str = "Hi", **options: Any) -> Any:
    if shape == "responses":
        return client.responses.create(**{"model": "gpt", "input": text} | options)
    return client.chat.completions.create(**{"model": "gpt", "messages": [{"role": "user", "content": text}]} | options)


def said(items: list[Any]) -> str:
    """The text of a stream."""
    texts = []
    for item in items:
        if hasattr(item, "choices"):
            texts += [choice.delta.content or "" for choice in item.choices]
        elif item.type == "response.output_text.delta":
            texts.append(item.delta)
    return "".join(texts)


def text_of(answer: Any) -> str:
    return str(answer.choices[0].message.content if hasattr(answer, "choices") else answer.output_text)


def test_a_second_answer_is_the_first_one(bench: Bench, shape: str) -> None:
    first = bench.do(ask(bench.client, shape))
    second = bench.do(ask(bench.client, shape))
    assert type(second) is type(first) is (openai.types.responses.Response if shape == "responses" else
                                           openai.types.chat.ChatCompletion)  # fmt: skip
    assert second.model_dump() == first.model_dump()
    assert second == first and second is not first
    assert second.x_unknown == first.x_unknown
    assert (was_cached(first), was_cached(second)) == (False, True)
    assert text_of(second) == "Answer 1: größer, schöner."
    assert second.usage.total_tokens == 16
    assert len(bench.fake.calls) == 1
    assert bench.do(ask(bench.client, shape, "Ho")).id != first.id


def test_a_conversation_is_the_same_with_and_without(bench: Bench, shape: str) -> None:
    def talk(client: Any) -> list[Any]:
        told: list[Any] = []
        for number in range(3):
            told.append(nameless(bench.do(ask(client, shape, f"Turn {number}", temperature=0.5))))
            told += map(nameless, bench.read(ask(client, shape, f"Stream {number}", stream=True)))
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
    first = bench.do(ask(client, temperature=0.2))

    class Turn(pydantic.BaseModel):
        role: str
        content: str

    same: list[dict[str, Any]] = [
        {"temperature": 0.2, "user": "me", "metadata": {"a": "b"}},
        {"temperature": 0.2, "extra_headers": {"User-Agent": "x", "traceparent": "00-1", "X-Stainless-Lang": "y"}},
        {"temperature": 0.2, "extra_headers": {"Idempotency-Key": "k", "X-Request-Id": "1"}, "timeout": 7},
        {"temperature": openai.NOT_GIVEN, "extra_body": {"temperature": 0.2}},
        {"temperature": 0.2, "messages": (turn for turn in HI)},
        {"temperature": 0.2, "messages": [Turn(role="user", content="Hi")]},
        {"temperature": 0.2, "top_p": openai.NOT_GIVEN},
    ]
    for options in same:
        assert bench.do(ask(client, **options)).id == first.id, options
    others: list[dict[str, Any]] = [
        {"temperature": 0.3},
        {},
        {"temperature": 0.2, "extra_body": {"more": 1}},
        {"temperature": 0.2, "model": "other"},
        {"temperature": 0.2, "extra_query": {"api-version": "2"}},
        {"temperature": 0.2, "extra_query": {"api-version": "3"}},
        {"temperature": 0.2, "extra_headers": {"Authorization": "Bearer b"}},
        {"temperature": 0.2, "extra_headers": {"Authorization": "Bearer c"}},
        {"temperature": 0.2, "extra_headers": {"OpenAI-Beta": "b"}},
        {"temperature": 0.2, "extra_headers": {"x-other": "1"}},
    ]
    ids = [bench.do(ask(client, **options)).id for options in others]
    assert len({first.id, *ids}) == 11
    assert [bench.do(ask(client, **options)).id for options in others] == ids
    assert "more" in bench.fake.calls[3]


def test_who_is_asked_is_part_of_the_question(bench: Bench) -> None:
    kind, base = type(bench.plain), f"{bench.fake.url}/v1"

    def answer(**options: Any) -> str:
        client = kind(**{"api_key": "k", "base_url": base, "max_retries": 0} | options)
        return str(bench.do(ask(wrap(client, bench.cache))).id)

    others: list[dict[str, Any]] = [
        {"base_url": f"{base}/"},
        {"base_url": base.replace("//", "//ann:secret@")},
        {"organization": "org"},
        {"project": "p"},
        {"default_headers": {"x-tenant": "secret"}},
        {"default_query": {"api-version": "2"}},
    ]
    ids = [answer(**options) for options in others]
    assert len(set(ids)) == 6 and ids[0] == answer(api_key="other") == answer(default_headers={"User-Agent": "x"})
    assert [answer(**options) for options in others] == ids
    plain = wrap(kind(api_key="k", base_url=base, default_headers={"x-tenant": "secret"}), bench.cache)
    assert bench.do(ask(plain, extra_headers={"x-tenant": openai.Omit()})).id == ids[0]

    async def params() -> list[str]:
        return [(await bench.cache.entry(id)).params async for id, _ in bench.cache.scan()]

    kept = bench.do(params()) if bench.is_async else [bench.cache.entry(id).params for id, _ in bench.cache.scan()]
    assert len(kept) == 6 and not any("secret" in told for told in kept)


def test_a_client_of_an_api_key_alone_shares_with_all_others() -> None:
    httpx = pytest.importorskip("httpx")
    said: list[Any] = []

    def answer(request: Any) -> Any:
        said.append(request)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
        return httpx.Response(200, json={"id": "1", "object": "chat.completion", "model": "gpt", "choices": [choice]})

    cache = Cache("memory:")
    http = httpx.Client(transport=httpx.MockTransport(answer))
    client = wrap(openai.OpenAI(api_key="k", base_url="https://api.openai.com/v1", http_client=http), cache)
    ask(client)
    assert cache.get({"model": "gpt", "messages": HI}) is not None
    local = wrap(openai.OpenAI(api_key="k", base_url="http://localhost:8000/v1", http_client=http), cache)
    ask(local)
    assert len(said) == 2
    asked = {"model": "gpt", "messages": HI, "llmcache": {"base_url": "http://localhost:8000/v1"}}
    assert cache.get(asked) is not None


def test_nobody_waits_longer_for_an_answer_than_for_an_own_one(bench: Bench) -> None:
    bench.fake.delay = 0.6
    hasty = bench.client.with_options(timeout=0.05)
    outcomes: list[float] = []

    def late() -> None:
        until(lambda: bool(bench.fake.calls), "the first one calls")
        started = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            ask(hasty)
        outcomes.append(time.monotonic() - started)

    async def alate() -> None:
        first = asyncio.ensure_future(ask(bench.client))
        while not bench.fake.calls:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            await ask(hasty)
        outcomes.append(time.monotonic() - started)
        await first

    if bench.is_async:
        bench.do(alate())
    else:
        other = threading.Thread(target=late)
        other.start()
        ask(bench.client)
        other.join(10)
    assert len(outcomes) == 1 and outcomes[0] < 0.5
    assert was_cached(bench.do(ask(hasty)))


@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_stream_is_replayed(bench: Bench, shape: str, wants_usage: bool) -> None:
    more = {"stream_options": {"include_usage": True}} if wants_usage and shape == "chat" else {}
    first = bench.do(ask(bench.client, shape, stream=True, **more))
    told = bench.read(first)
    again = bench.do(ask(bench.client, shape, stream=True, **more))
    assert type(again) is type(first)
    replayed = bench.read(again)
    assert len(bench.fake.calls) == 1
    assert said(replayed) == said(told) == "Answer 1: größer, schöner."
    assert {type(item) for item in replayed} <= {type(item) for item in told}
    assert (was_cached(first), was_cached(again)) == (False, True)
    if shape == "chat":
        assert {chunk.id for chunk in replayed} == {told[0].id}
        assert [chunk.usage for chunk in replayed if chunk.usage] == [chunk.usage for chunk in told if chunk.usage]
        assert bool([chunk for chunk in replayed if chunk.usage]) == wants_usage
        assert replayed[-1].choices == [] if wants_usage else replayed[-1].choices[0].finish_reason == "stop"
        assert replayed[0].choices[0].delta.role == "assistant"
        assert replayed[0].x_unknown == {"kept": True}
    else:
        assert replayed[0].type == "response.created" and replayed[-1].response == told[-1].response
        assert [item.sequence_number for item in replayed] == list(range(len(replayed)))
    with_manager = bench.do(ask(bench.client, shape, stream=True, **more))
    assert with_manager.response.status_code == 200
    if bench.is_async:

        async def use() -> int:
            async with with_manager as stream:
                return len([item async for item in stream])

        assert bench.do(use()) == len(replayed)
    else:
        with with_manager as stream:
            assert len(list(stream)) == len(replayed)
    bench.close(with_manager)


def test_a_stream_answers_who_wants_none(bench: Bench, shape: str) -> None:
    bench.fake.text = "The same for all."
    options = {"stream_options": {"include_usage": True}} if shape == "chat" else {}
    bench.read(ask(bench.client, shape, stream=True, **options))
    answer = bench.do(ask(bench.client, shape))
    assert was_cached(answer) and len(bench.fake.calls) == 1
    expected = nameless(bench.do(ask(bench.plain, shape)))
    if shape == "chat":
        expected["choices"][0]["message"]["annotations"] = None
    assert nameless(answer) == expected


def test_an_answer_is_streamed_to_who_wants_that(bench: Bench, shape: str) -> None:
    first = bench.do(ask(bench.client, shape))
    told = bench.read(ask(bench.client, shape, stream=True))
    assert said(told) == text_of(first)
    if shape == "chat":
        assert all(chunk.usage is None for chunk in told)
        told = bench.read(ask(bench.client, stream=True, stream_options={"include_usage": True}))
        assert [chunk.usage for chunk in told if chunk.usage] == [first.usage]
    assert len(bench.fake.calls) == 1


def test_usage_that_is_not_known_is_asked_for(bench: Bench) -> None:
    usage = {"stream_options": {"include_usage": True}}
    for text, options in (("Hi", {}), ("Ho", {"stream": True, **usage})):
        bench.fake.calls.clear()
        for _ in range(2):
            bench.read(ask(bench.client, text=text, stream=True))
        assert len(bench.fake.calls) == 1
        told = bench.do(ask(bench.client, text=text, **options))
        told = bench.read(told)[-1] if options else told
        assert told.usage.total_tokens == 16 and len(bench.fake.calls) == 2
        answer = bench.do(ask(bench.client, text=text))
        assert was_cached(answer) and answer.usage.total_tokens == 16


def test_usage_that_nobody_tells_is_not_asked_for(bench: Bench) -> None:
    bench.fake.tells_usage = False
    first, second = bench.do(ask(bench.client)), bench.do(ask(bench.client))
    assert was_cached(second) and first.usage is second.usage is None


def test_what_was_told_twice_is_not_guessed() -> None:
    from llmcache.adapters.openai import Chat

    def collected(name: str, *values: Any) -> Any:
        chunks = Chat().collector({})
        for value in values:
            delta = {"role": "assistant", name: value}
            chunks.add({"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]})
        return chunks.answer()["choices"][0]["message"][name]

    assert collected("content", "ha", "ha") == "haha" and collected("reasoning", "ha", "ha") == "haha"
    assert collected("unknown", "ha") == "ha" and collected("unknown", "", "", None) == ""
    assert collected("unknown", {"a": 1}, {"a": 1}) == {"a": 1} and collected("unknown", [1], [2]) == [1, 2]
    for value in ("ha", [1]):
        with pytest.raises(ValueError, match="more than one unknown"):
            collected("unknown", value, value)


def test_several_choices_and_their_probabilities_come_back(bench: Bench) -> None:
    options: dict[str, Any] = {"n": 3, "logprobs": True}
    bench.fake.text = "The same for all."
    plain = nameless(bench.do(ask(bench.plain, **options)))
    usage = {"stream_options": {"include_usage": True}}
    bench.read(ask(bench.client, "chat", "Hi", stream=True, **options, **usage))
    again = nameless(bench.do(ask(bench.client, **options)))
    for choice in plain["choices"]:
        choice["message"]["annotations"] = None
    assert again == plain
    replayed = bench.read(ask(bench.client, stream=True, **options))
    assert {choice.index for chunk in replayed for choice in chunk.choices} == {0, 1, 2}
    assert len(bench.fake.calls) == 2


@pytest.mark.parametrize("leave", ["close", "forget", "never read", "forget unread", "in a block"])
def test_a_stream_that_is_left_is_not_kept(bench: Bench, shape: str, leave: str) -> None:
    bench.fake.pause = 0.01
    stream = bench.do(ask(bench.client, shape, stream=True))
    if leave not in ("never read", "forget unread"):
        assert len(bench.read(stream, most=3)) == 3
    if leave == "in a block":
        if bench.is_async:
            bench.do(stream.__aexit__(None, None, None))
        else:
            stream.__exit__(None, None, None)
    elif leave.startswith("forget"):
        del stream
        for _ in range(3):
            # What one collection sets free may take another one.
            gc.collect()
            bench.settle(0.01)
    else:
        bench.close(stream)
    bench.settle()
    assert bench.entries == 0
    # The lease is free again.
    started = time.monotonic()
    bench.fake.pause = 0
    assert not was_cached(bench.do(ask(bench.client, shape)))
    assert time.monotonic() - started < 5
    assert len(bench.fake.calls) == 2
    assert was_cached(bench.do(ask(bench.client, shape)))


def test_a_stream_that_is_left_at_its_end_is_kept(bench: Bench) -> None:
    stream = bench.do(ask(bench.client, stream=True))
    items = []
    while not (items and items[-1].choices[0].finish_reason):
        items += bench.read(stream, most=1) if not bench.is_async else [bench.do(stream.__anext__())]
    bench.close(stream)
    assert was_cached(bench.do(ask(bench.client, stream=True)))
    bench.fake.sends_done = False
    bench.read(ask(bench.client, text="Ho", stream=True))
    assert was_cached(bench.do(ask(bench.client, text="Ho", stream=True)))


@pytest.mark.parametrize("how", ["cut_after", "error_after"])
def test_a_stream_that_breaks_off_is_not_kept(bench: Bench, shape: str, how: str) -> None:
    setattr(bench.fake, how, 3)
    with pytest.raises(Exception) as plain:
        bench.read(ask(bench.plain, shape, stream=True))
    with pytest.raises(Exception) as wrapped:
        bench.read(ask(bench.client, shape, stream=True))
    assert type(wrapped.value) is type(plain.value)
    assert str(wrapped.value) == str(plain.value)
    setattr(bench.fake, how, None)
    assert bench.entries == 0
    started = time.monotonic()
    assert not was_cached(bench.do(ask(bench.client, shape)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_errors_are_raised_as_they_are_and_never_kept(bench: Bench, shape: str, status: int, stream: bool) -> None:
    bench.fake.errors = [status, status]
    with pytest.raises(openai.APIStatusError) as plain:
        bench.do(ask(bench.plain, shape, stream=stream))
    with pytest.raises(openai.APIStatusError) as wrapped:
        bench.do(ask(bench.client, shape, stream=stream))
    assert type(wrapped.value) is type(plain.value)
    assert (wrapped.value.status_code, wrapped.value.body) == (plain.value.status_code, plain.value.body)
    assert bench.entries == 0
    started = time.monotonic()
    answer = bench.do(ask(bench.client, shape))
    assert not was_cached(answer) and time.monotonic() - started < 5


def test_retries_are_the_clients_own(bench: Bench) -> None:
    bench.fake.errors = [429, 500]
    assert text_of(bench.do(ask(bench.client.with_options(max_retries=2)))).startswith("Answer 1")
    assert len(bench.fake.calls) == 3
    assert was_cached(bench.do(ask(bench.client)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", ["length", "tool", "filter"])
def test_what_is_no_whole_answer_is_not_kept(bench: Bench, shape: str, end: str, stream: bool) -> None:
    bench.fake.end = end
    tools = [TOOL if shape == "chat" else {"type": "function", "name": "f", "parameters": {}, "strict": False}]
    for _ in range(2):
        answer = bench.do(ask(bench.client, shape, stream=stream, tools=tools))
        if stream:
            bench.read(answer)
    assert len(bench.fake.calls) == 2 and bench.entries == 0
    bench.fake.end = "end"
    for _ in range(2):
        answer = bench.do(ask(bench.client, shape, stream=stream, tools=tools))
        if stream:
            bench.read(answer)
    assert len(bench.fake.calls) == 3 and bench.entries == 1


@pytest.mark.parametrize("stream", [False, True])
def test_one_call_for_a_hundred_who_ask_at_once(bench: Bench, shape: str, stream: bool) -> None:
    bench.fake.delay, bench.fake.pause = 0.2, 0.02
    told = bench.together(lambda: ask(bench.client, shape, stream=stream), 100)
    assert len(told) == 100 and len(bench.fake.calls) == 1
    assert sum(was_cached(answer) for answer, _ in told) == 99
    texts = {said(items) for _, items in told} if stream else {text_of(answer) for answer, _ in told}
    assert texts == {"Answer 1: größer, schöner."}


def test_who_waits_for_a_call_that_fails_makes_it(bench: Bench) -> None:
    bench.fake.delay, bench.fake.errors = 0.2, [500]
    outcomes: list[Any] = []
    if bench.is_async:

        async def all_of_them() -> Any:
            return await asyncio.gather(*(ask(bench.client) for _ in range(5)), return_exceptions=True)

        outcomes = bench.do(all_of_them())
    else:

        def one() -> None:
            try:
                outcomes.append(ask(bench.client))
            except openai.APIStatusError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=one) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(error) for error in failed] == [openai.InternalServerError]
    assert len(outcomes) == 5 and len(bench.fake.calls) == 2


def test_a_stream_comes_as_it_is_made(bench: Bench) -> None:
    bench.fake.pause = 0.05
    plain, wrapped = [], []
    for client, times in ((bench.plain, plain), (bench.client, wrapped)):
        started = time.monotonic()
        stream = bench.do(ask(client, stream=True))
        if bench.is_async:

            async def read(stream: Any, times: list[float], started: float) -> None:
                async for _ in stream:
                    times.append(time.monotonic() - started)

            bench.do(read(stream, times, started))
        else:
            for _ in stream:
                times.append(time.monotonic() - started)
    assert len(plain) == len(wrapped)
    assert wrapped[0] < 0.25
    assert wrapped[-1] > 0.05 * (len(wrapped) - 2)


def test_a_long_stream_keeps_its_lease(bench: Bench) -> None:
    bench.cache.times = type(bench.cache.times)(lease=0.3, block=10)
    bench.fake.delay, bench.fake.pause = 0.6, 0.08
    told = bench.together(lambda: ask(bench.client, stream=True), 5)
    assert len(told) == 5 and len(bench.fake.calls) == 1


def test_a_caller_who_waits_inside_a_loop_keeps_the_lease() -> None:
    fake, cache = FakeLlm(), Cache("memory:")
    cache.times = type(cache.times)(lease=0.2, block=10)
    client = wrap(make(False)(fake), cache)
    fake.delay = 1.0

    async def waits() -> Any:
        return ask(client)

    other = threading.Thread(target=lambda: asyncio.run(waits()))
    other.start()
    until(lambda: bool(fake.calls), "it calls")
    assert was_cached(ask(client))
    other.join(10)
    assert len(fake.calls) == 1
    fake.close()


def test_a_reader_who_sleeps_does_not_keep_others_waiting(bench: Bench) -> None:
    bench.cache.times = type(bench.cache.times)(lease=0.2, block=10)
    stream = bench.do(ask(bench.client, stream=True))
    bench.read(stream, most=1) if not bench.is_async else bench.do(stream.__anext__())
    bench.settle(1.0)
    started = time.monotonic()
    assert not was_cached(bench.do(ask(bench.client)))
    assert time.monotonic() - started < 3
    bench.close(stream)


def test_a_task_that_is_cancelled_gives_its_lease_back(bench: Bench) -> None:
    if not bench.is_async:
        return
    bench.fake.pause = 0.1

    async def work() -> None:
        async def read() -> None:
            async for _ in await ask(bench.client, stream=True):
                pass

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.35)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        bench.fake.pause = 0
        started = time.monotonic()
        assert not was_cached(await ask(bench.client))
        assert time.monotonic() - started < 5

    bench.do(work())


def test_responses_that_the_server_keeps_are_not_cached(bench: Bench) -> None:
    options: list[dict[str, Any]] = [
        {"store": True},
        {"previous_response_id": "resp_0"},
        {"conversation": "conv_1"},
        {"background": True},
        {"prompt": {"id": "pmpt_1"}},
    ]
    for option in options:
        bench.do(ask(bench.client, "responses", **option))
        assert not was_cached(bench.do(ask(bench.client, "responses", **option))), option
    assert len(bench.fake.calls) == 10 and bench.entries == 0
    for _ in range(2):
        assert not was_cached(bench.do(ask(bench.client, store=True)))
    # What the server has not kept is nothing that one could go on from, as others may want to.
    for options in ({"store": False}, {}):
        first = bench.do(ask(bench.client, "responses", **options))
        assert not was_cached(first)
        assert bench.do(ask(bench.client, "responses", **options)).id == first.id


def test_a_hot_request_is_answered_anew(bench: Bench) -> None:
    for _ in range(2):
        bench.do(ask(bench.client, temperature=1.5))
    assert len(bench.fake.calls) == 2 and bench.entries == 0


def entry(bench: Bench) -> Any:
    async def first() -> Any:
        return [id async for id, _ in bench.cache.scan()]

    ids = bench.do(first()) if bench.is_async else [id for id, _ in bench.cache.scan()]
    assert len(ids) == 1
    return bench.do(bench.cache.entry(ids[0]))


@pytest.mark.parametrize("stream", [False, True])
def test_options_say_how_answers_are_kept(bench: Bench, stream: bool) -> None:
    seen: list[Any] = []

    def price(usage: Any) -> Decimal:
        seen.append(type(usage))
        return Decimal("0.001") * usage.total_tokens

    client = bench.wrap(ttl=50, tags=["a"], type="faq", scope="s", price=price)
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    answer = bench.do(ask(client, **options))
    if stream:
        bench.read(answer)
    kept = entry(bench)
    assert (kept.tags, kept.type, kept.scope, kept.strategy) == (("a",), "faq", "s", "explicit")
    assert 48 <= kept.ttl <= 50
    assert kept.cost_usd == Decimal("0.016")
    assert seen == [openai.types.CompletionUsage]
    assert was_cached(bench.do(ask(client))) and not was_cached(bench.do(ask(bench.wrap(scope="t"))))


def test_a_price_that_fails_fails_nothing(bench: Bench) -> None:
    client = bench.wrap(price=lambda usage: 1 / 0)
    bench.do(ask(client))
    assert was_cached(bench.do(ask(client)))


def test_when_decides_by_the_request(bench: Bench) -> None:
    client = bench.wrap(when=lambda request: request["messages"][-1]["content"] != "Hi")
    for text in ("Hi", "Hi", "Ho", "Ho"):
        bench.do(ask(client, text=text))
    assert len(bench.fake.calls) == 3


def test_a_call_says_what_it_wants_of_the_cache(bench: Bench) -> None:
    client = bench.client

    def say(word: str, **more: Any) -> Any:
        return bench.do(ask(client, extra_headers={"X-LLMCache": word, "X-Request-Id": "1"}, **more))

    with pytest.raises(NotCached):
        say("only-if-cached")
    assert len(bench.fake.calls) == 0
    assert not was_cached(say("no-store")) and bench.entries == 0
    first = bench.do(ask(client))
    assert say("only-if-cached").id == first.id
    assert not was_cached(say("no-store"))
    assert bench.do(ask(client)).id == first.id
    renewed = say("no-cache")
    assert renewed.id != first.id
    assert bench.do(ask(client)).id == renewed.id
    assert say("max-age=100").id == renewed.id
    assert all("x-llmcache" not in told for told in bench.fake.headers)
    assert bench.fake.headers[0]["x-request-id"] == "1"
    with pytest.raises(ValueError, match="no-stoer"):
        say("no-stoer")


def test_a_block_says_what_it_wants_of_the_cache(bench: Bench) -> None:
    client = bench.client
    first = bench.do(ask(client))
    with llmcache.bypass():
        assert not was_cached(bench.do(ask(client)))
        with llmcache.using(only_if_cached=True):
            assert not was_cached(bench.do(ask(client)))
    assert bench.do(ask(client)).id == first.id
    with llmcache.using(scope="other", ttl=20):
        assert not was_cached(bench.do(ask(client)))
        with llmcache.using(only_if_cached=True):
            assert was_cached(bench.do(ask(client)))
    with llmcache.using(only_if_cached=True), pytest.raises(NotCached):
        bench.do(ask(client, text="Ho"))
    calls = len(bench.fake.calls)
    with llmcache.using(only_if_cached=True), pytest.raises(NotCached):
        bench.do(ask(client, "responses", store=True))
    assert len(bench.fake.calls) == calls
    with pytest.raises(TypeError), llmcache.using(modle="m"):  # type: ignore[call-arg]
        pass
    assert bench.do(ask(client)).id == first.id


def test_an_old_answer_serves_while_one_refreshes_it(bench: Bench) -> None:
    client = bench.wrap(ttl=0.2, stale=100)
    first = bench.do(ask(client))
    bench.settle(0.3)
    bench.fake.delay = 0.5
    told = bench.together(lambda: ask(client), 5)
    ids = sorted(answer.id for answer, _ in told)
    assert ids.count(first.id) == 4 and len(bench.fake.calls) == 2


def test_all_else_is_the_clients_own(bench: Bench) -> None:
    plain, client = bench.plain, bench.client
    assert isinstance(client, type(plain)) and type(client).__name__ == type(plain).__name__
    assert client.api_key == "k" and client.base_url == plain.base_url
    for _ in range(2):
        assert bench.do(client.moderations.create(input="x")).model == "m"
    assert bench.fake.paths == ["/v1/moderations"] * 2
    first = bench.do(ask(client.with_options(timeout=5)))
    assert bench.do(ask(client)).id == first.id
    assert bench.do(client.copy().chat.completions.create(model="gpt", messages=HI)).id == first.id
    # The one that was given is not changed, and may be wrapped again.
    assert not was_cached(bench.do(ask(plain)))
    assert bench.do(ask(wrap(client, bench.cache))).id == first.id
    assert bench.do(ask(wrap(plain, bench.cache))).id == first.id
    assert len(bench.fake.calls) == 4


def test_a_raw_response_is_cached_too(bench: Bench, shape: str) -> None:
    def raw() -> Any:
        if shape == "responses":
            return bench.do(bench.client.responses.with_raw_response.create(model="gpt", input="Hi"))
        return bench.do(bench.client.chat.completions.with_raw_response.create(model="gpt", messages=HI))

    first, second = raw(), raw()
    assert type(second) is type(first)
    assert second.status_code == 200 and second.headers["content-type"] == "application/json"
    assert bench.do(second.parse()) == bench.do(first.parse())
    assert (was_cached(first), was_cached(second)) == (False, True)
    assert len(bench.fake.calls) == 1
    assert second.elapsed.total_seconds() == 0
    assert was_cached(bench.do(ask(bench.client, shape)))


def test_a_raw_stream_is_cached_too(bench: Bench) -> None:
    texts = []
    for _ in range(2):
        create = bench.client.chat.completions.with_raw_response.create
        raw = bench.do(create(model="gpt", messages=HI, stream=True))
        texts.append(said(bench.read(bench.do(raw.parse()))))
    assert texts == ["Answer 1: größer, schöner."] * 2
    assert len(bench.fake.calls) == 1


def test_a_response_that_is_read_as_bytes_goes_past_the_cache(bench: Bench) -> None:
    for _ in range(2):
        manager = bench.client.chat.completions.with_streaming_response.create(model="gpt", messages=HI)
        if bench.is_async:

            async def read(manager: Any) -> bytes:
                async with manager as response:
                    return bytes(await response.read())

            assert b"Answer" in bench.do(read(manager))
        else:
            with manager as response:
                assert b"Answer" in response.read()
    assert len(bench.fake.calls) == 2 and bench.entries == 0


class City(pydantic.BaseModel):
    name: str


def test_answers_that_are_parsed_are_cached(bench: Bench, shape: str) -> None:
    bench.fake.text = '{"name": "Paris"}'

    def parse() -> Any:
        if shape == "responses":
            return bench.do(bench.client.responses.parse(model="gpt", input="Hi", text_format=City)).output_parsed
        completions = bench.client.chat.completions
        return bench.do(completions.parse(model="gpt", messages=HI, response_format=City)).choices[0].message.parsed

    assert parse() == parse() == City(name="Paris")
    assert len(bench.fake.calls) == 1
    # One that cannot be parsed is nobody's answer.
    bench.do(bench.cache.invalidate(everything=True))
    bench.fake.text = "no JSON"
    for _ in range(2):
        with pytest.raises(ValueError):
            parse()
    assert len(bench.fake.calls) == 3 and bench.entries == 0


def test_the_helpers_of_streams_are_cached(bench: Bench, shape: str) -> None:
    def events() -> Any:
        if shape == "responses":
            manager = bench.client.responses.stream(model="gpt", input="Hi")
        else:
            manager = bench.client.chat.completions.stream(model="gpt", messages=HI)
        if not bench.is_async:
            with manager as stream:
                kinds = [event.type for event in stream]
                final = stream.get_final_response() if shape == "responses" else stream.get_final_completion()
                return kinds, final, was_cached(stream)

        async def read() -> Any:
            async with manager as stream:
                kinds = [event.type async for event in stream]
                final = stream.get_final_response() if shape == "responses" else stream.get_final_completion()
                return kinds, await final, was_cached(stream)

        return bench.do(read())

    first, second = events(), events()
    assert text_of(first[1]) == text_of(second[1]) == "Answer 1: größer, schöner."
    assert nameless(first[1]) == nameless(second[1])
    assert set(second[0]) <= set(first[0])
    assert (first[2], second[2]) == (False, True)
    assert len(bench.fake.calls) == 1


def test_a_cache_that_is_not_there_fails_nothing(shape: str) -> None:
    fake = FakeLlm()
    cache = Cache(f"redis://127.0.0.1:{free_port()}", fallback=None)
    client = wrap(make(False)(fake), cache)
    for stream in (False, True):
        answer = ask(client, shape, stream=stream)
        assert text_of(answer) if not stream else said(list(answer))
    assert len(fake.calls) == 2
    fake.close()


def test_a_cache_that_breaks_fails_nothing(bench: Bench, shape: str) -> None:
    class Broken(type(bench.cache.backend)):  # type: ignore[misc]
        def flow(self, op: Any) -> Any:
            raise ZeroDivisionError("broken")
            yield

    bench.cache.backend.__class__ = Broken
    try:
        assert text_of(bench.do(ask(bench.client, shape)))
        assert said(bench.read(ask(bench.client, shape, stream=True)))
    finally:
        bench.cache.backend.__class__ = Broken.__mro__[1]


@pytest.mark.parametrize(
    ("given", "said"), [({"strategy": "aggressive"}, {"ttl": 60}), ({"ttl": 60}, {"strategy": "aggressive"})]
)
def test_a_block_says_for_how_long_over_the_client(bench: Bench, given: dict[str, Any], said: dict[str, Any]) -> None:
    client = bench.wrap(**given)
    with llmcache.using(tags=["a"], **given), llmcache.using(**said):
        bench.do(ask(client))
        assert was_cached(bench.do(ask(client)))
    kept = entry(bench)
    assert (kept.tags, kept.strategy) == (("a",), said.get("strategy", "explicit"))


def test_only_one_thing_says_for_how_long() -> None:
    plain = openai.OpenAI(api_key="k")
    for wrong in ({"strategy": "aggressive", "ttl": 60}, {"ttl": 0, "persist": True}, {"ttl": 1, "expires_at": 1}):
        with pytest.raises(ValueError, match="only one"):
            wrap(plain, Cache("memory:"), **wrong)
        with pytest.raises(ValueError, match="only one"), llmcache.using(**wrong):
            pass
    wrap(plain, Cache("memory:"), strategy="aggressive", ttl=None, persist=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["{", "null", '{"choices": []}', '{"object": "other"}'])
def test_a_kept_answer_that_is_none_is_made_anew(bench: Bench, text: str) -> None:
    body = {"model": "gpt", "messages": HI, "llmcache": {"base_url": f"{bench.fake.url}/v1"}}
    if bench.cache.backend.__class__.__name__ == "Server" and text == '{"choices": []}':
        return
    assert bench.do(bench.cache.set(body, text, ttl=100))
    answer = bench.do(ask(bench.client))
    assert not was_cached(answer) and text_of(answer).startswith("Answer 1")
    assert was_cached(bench.do(ask(bench.client)))


def test_a_stream_that_cannot_be_seen_fails_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from llmcache.adapters import client

    def fails(*_: Any) -> None:
        raise AttributeError("_iterator")

    monkeypatch.setattr(client, "record", fails)
    for _ in range(2):
        assert said(bench.read(ask(bench.client, stream=True))).startswith("Answer")
    assert len(bench.fake.calls) == 2


def test_a_client_of_either_kind_may_have_a_cache_of_the_other(bench: Bench) -> None:
    other = Cache("memory:") if bench.is_async else AsyncCache("memory:")
    client = wrap(bench.plain, other)
    bench.do(ask(client))
    assert was_cached(bench.do(ask(client)))


def test_only_clients_are_wrapped() -> None:
    for wrong in (object(), openai, "client"):
        with pytest.raises(TypeError, match="client"):
            wrap(wrong, Cache("memory:"))
    with pytest.raises(TypeError, match="model"):
        wrap(openai.OpenAI(api_key="k"), Cache("memory:"), model="m")
    with pytest.raises(TypeError, match="modle"):
        wrap(openai.OpenAI(api_key="k"), Cache("memory:"), modle="m")  # type: ignore[call-arg]


def test_a_stream_is_forgotten_without_a_lock_or_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a collection may come while its very thread has the lock, or begins a thread."""
    from llmcache.adapters.making import Making

    fake, cache, here, done = FakeLlm(), Cache("memory:"), threading.get_ident(), list[str]()
    drop = Making.drop

    class Lock:
        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __enter__(self) -> None:
            done.append("lock") if threading.get_ident() == here else None
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()

    def drops(making: Making) -> None:
        making._lock = Lock()  # type: ignore[assignment]
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", lambda _: done.append("thread"))
            drop(making)
        done.append("dropped")

    monkeypatch.setattr(Making, "drop", drops)
    stream = ask(wrap(make(False)(fake), cache), stream=True)
    del stream
    gc.collect()
    assert done == ["dropped"]
    started = time.monotonic()
    assert not was_cached(ask(wrap(make(False)(fake), cache)))
    assert time.monotonic() - started < 5
    fake.close()


def test_threads_of_streams_end(bench: Bench) -> None:
    bench.read(ask(bench.client, stream=True))
    stream = bench.do(ask(bench.client, text="Ho", stream=True))
    bench.close(stream)
    bench.settle()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "llmcache-renew"], "no threads", 3)
