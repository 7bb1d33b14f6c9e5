"""The cache for LiteLLM, against an endpoint of this process that answers like OpenAI's."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import RedisServer, arguments, free_port, until

from llmcache import AsyncCache, Cache

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
litellm: Any = pytest.importorskip("litellm")
# Some versions of LiteLLM import it at each hit, though only their proxy asks for it.
sys.modules.setdefault("soundfile", type(sys)("soundfile"))

from pydantic import BaseModel  # noqa: E402

from llmcache.adapters.litellm import LiteLLMCache  # noqa: E402

HELLO = [{"role": "user", "content": "What is Redis?"}]


class Endpoint:
    """Answers as OpenAI does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.message: dict[str, Any] = {}
        self.finish = "stop"
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.asked.append(body)
                streams = body.get("stream")
                data = endpoint.stream(body) if streams else json.dumps(endpoint.answer(self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream" if streams else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        if path.endswith("/embeddings"):
            given = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [{"object": "embedding", "index": n, "embedding": [float(len(t)), 0.5]} for n, t in enumerate(given)]
            return {"object": "list", "data": data, "model": body["model"], "usage": usage}
        if not path.endswith("/chat/completions"):
            text = {"text": f"answer {len(self.asked)}", "index": 0, "finish_reason": "stop", "logprobs": None}
            return head | {"id": "cmpl-1", "object": "text_completion", "choices": [text], "usage": usage}
        message = {"role": "assistant", "content": f"answer {len(self.asked)}"} | self.message
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return head | {"object": "chat.completion", "choices": [choice], "usage": usage}

    def stream(self, body: dict[str, Any]) -> bytes:
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"], "object": "chat.completion.chunk"}
        parts: list[dict[str, Any]] = [{"role": "assistant", "content": "answer "}, {"content": f"{len(self.asked)}"}]
        lines = []
        for part in [*parts, None]:
            choice = {"index": 0, "delta": part or {}, "finish_reason": None if part else self.finish}
            lines.append(f"data: {json.dumps(head | {'choices': [choice]})}\n\n")
        return "".join([*lines, "data: [DONE]\n\n"]).encode()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


@pytest.fixture(params=["server", "memory"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    with Cache(name="lite", **arguments(request.param, request)) as cache:  # type: ignore[arg-type]
        yield cache


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    yield
    litellm.cache = None
    for name in ("input_callback", "success_callback", "_async_success_callback"):
        setattr(litellm, name, [each for each in getattr(litellm, name) if each != "cache"])


Ask = Callable[..., Any]


async def _settled(work: Any) -> Any:
    """What LiteLLM answers, once it has stored it as well."""
    answer = await work
    if hasattr(answer, "__aiter__"):
        answer = "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=0.3) if others else None
    return answer


def _asks(ways: tuple[Callable[..., Any], Callable[..., Any]], is_async: bool, endpoint: Endpoint) -> Ask:
    def ask(**given: Any) -> Any:
        arguments = {"model": "openai/gpt-4o", "messages": HELLO, "api_base": endpoint.base, "api_key": "k"} | given
        arguments = {name: value for name, value in arguments.items() if value is not None}
        if is_async:
            return asyncio.run(_settled(ways[1](**arguments)))
        answer = ways[0](**arguments)
        return "".join(c.choices[0].delta.content or "" for c in answer) if given.get("stream") else answer

    return ask


@pytest.fixture(params=["completion", "acompletion"])
def ask(request: pytest.FixtureRequest, endpoint: Endpoint) -> Ask:
    """Asks for a completion, either way."""
    return _asks((litellm.completion, litellm.acompletion), request.param == "acompletion", endpoint)


def said(answer: Any) -> str:
    return str(answer.choices[0].message.content)


def test_an_endpoint_is_asked_once(cache: Cache, ask: Ask, endpoint: Endpoint) -> None:
    litellm.cache = LiteLLMCache(cache)
    first, second = ask(temperature=0.2), ask(temperature=0.2, user="ann", metadata={"a": "b"})
    assert (said(first), said(second)) == ("answer 1", "answer 1")
    assert second._hidden_params["cache_hit"] is True and not first._hidden_params.get("cache_hit")
    assert second.usage.total_tokens == 1100 and second.id == first.id
    assert len(endpoint.asked) == 1
    assert said(ask(temperature=0.3)) == "answer 2"
    assert said(ask(temperature=0.2, messages=[{"role": "user", "content": "Else?"}])) == "answer 3"
    assert said(ask(temperature=0.2, model="openai/gpt-4o-mini")) == "answer 4"
    assert said(ask(temperature=0.2, extra_body={"seed_of_a_provider": 1})) == "answer 5"


def test_the_question_is_the_body_of_the_request(cache: Cache, ask: Ask) -> None:
    litellm.cache = LiteLLMCache(cache)
    ask(temperature=0.2)
    body = {"messages": HELLO, "temperature": 0.2, "model": "openai/gpt-4o"}
    answer = cache.get(body)
    assert answer is not None and answer.json()["choices"][0]["message"]["content"] == "answer 1"
    assert (answer.tokens_in, answer.tokens_out, answer.type) == (1000, 100, "litellm")
    assert answer.cost_usd == Decimal(str(sum(litellm.cost_per_token("gpt-4o", 1000, 100)))) > 0


def test_streams_are_kept_and_replayed(cache: Cache, ask: Ask, endpoint: Endpoint) -> None:
    litellm.cache = LiteLLMCache(cache)
    assert [ask(stream=True), ask(stream=True), said(ask())] == ["answer 1"] * 3
    assert len(endpoint.asked) == 1
    assert said(ask(temperature=0.1)) == "answer 2"
    assert ask(stream=True, temperature=0.1) == "answer 2"


def test_the_controls_of_a_call(cache: Cache, ask: Ask) -> None:
    litellm.cache = LiteLLMCache(cache)
    assert said(ask(cache={"no-store": True})) == "answer 1"
    assert said(ask()) == "answer 2"
    assert said(ask(cache={"no-cache": True})) == "answer 3"
    assert said(ask()) == "answer 3"
    assert said(ask(cache={"namespace": "other"})) == "answer 4"
    assert [said(ask(cache={"namespace": "other"})), said(ask())] == ["answer 4", "answer 3"]
    assert {entry.scope for id, _ in cache.scan() if (entry := cache.entry(id))} == {"", "other"}
    assert said(ask(cache={"ttl": 0.05}, temperature=0.5)) == "answer 5"
    until(lambda: cache.get({"model": "openai/gpt-4o", "messages": HELLO, "temperature": 0.5}) is None, "it is over")
    assert said(ask(temperature=0.5)) == "answer 6"
    assert said(ask(cache={"s-maxage": 100}, temperature=0.5)) == "answer 6"
    until(lambda: cache.get({"model": "openai/gpt-4o", "messages": HELLO}).age >= 1, "it has an age")  # type: ignore[union-attr]
    assert said(ask(cache={"s-maxage": 0})) == "answer 7"


def test_a_cache_that_is_off_unless_asked(cache: Cache, ask: Ask) -> None:
    litellm.cache = LiteLLMCache(cache, mode="default_off")
    assert [said(ask()), said(ask())] == ["answer 1", "answer 2"]
    on = {"cache": {"use-cache": True}}
    assert [said(ask(**on)), said(ask(**on))] == ["answer 3", "answer 3"]


def test_long_conversations_are_found_unless_there_is_a_limit(cache: Cache, ask: Ask) -> None:
    talk = [{"role": role, "content": "x"} for role in ["user", "assistant"] * 4] + HELLO
    litellm.cache = LiteLLMCache(cache)
    assert [said(ask(messages=talk)), said(ask(messages=talk))] == ["answer 1", "answer 1"]
    litellm.cache = LiteLLMCache(cache, max_messages=4)
    assert said(ask(messages=talk)) == "answer 2"


def test_options_reach_the_entry(cache: Cache, ask: Ask) -> None:
    cache.scope = "tenant"
    litellm.cache = LiteLLMCache(cache, ttl=50, tags=["docs"], namespace="app", price=lambda response: "0.5")
    ask()
    ((id, _),) = cache.scan(scope="tenant:app")
    entry = cache.entry(id)
    assert entry is not None and entry.ttl is not None and 48 <= entry.ttl <= 50
    assert (entry.tags, entry.cost_usd) == (("docs",), Decimal("0.5"))


def test_what_is_no_whole_answer_is_not_kept(cache: Cache, ask: Ask, endpoint: Endpoint) -> None:
    litellm.cache = LiteLLMCache(cache)
    endpoint.finish = "length"
    assert [said(ask()), said(ask())] == ["answer 1", "answer 2"]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    endpoint.finish, endpoint.message = "tool_calls", {"content": None, "tool_calls": [call]}
    for _ in range(2):
        assert ask(temperature=0.1).choices[0].message.tool_calls[0].function.name == "f"
    assert len(endpoint.asked) == 4 and list(cache.scan()) == []


def test_a_model_of_pydantic_is_part_of_the_question(cache: Cache, ask: Ask) -> None:
    class City(BaseModel):
        name: str

    class Land(BaseModel):
        name: str
        size: int

    litellm.cache = LiteLLMCache(cache)
    answers = [said(ask(response_format=form)) for form in (City, Land, City, Land)]
    assert answers == ["answer 1", "answer 2", "answer 1", "answer 2"]
    message = litellm.Message(role="user", content="What is Redis?")
    assert [said(ask()), said(ask(messages=[message]))] == ["answer 3", "answer 3"]


def test_arguments_of_a_provider_are_part_of_the_question(cache: Cache, ask: Ask) -> None:
    class City(BaseModel):
        name: str

    class Land(BaseModel):
        size: int

    litellm.cache = LiteLLMCache(cache)
    # LiteLLM sends no class to this endpoint, but others may be given one.
    one, two = (litellm.cache.question(model="m", messages=HELLO, response_schema=form) for form in (City, Land))
    assert one.digest != two.digest
    heads: list[dict[str, str]] = [{"x-beta": "a"}, {"x-beta": "secret"}, {}, {"traceparent": "1"}]
    told = [said(ask(extra_headers=head)) for head in heads * 2]
    assert told == ["answer 1", "answer 2", "answer 3", "answer 3"] * 2
    assert not any("secret" in entry.params for id, _ in cache.scan() if (entry := cache.entry(id)))


def test_what_cannot_be_compared_is_not_cached(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    answer = litellm.completion("gpt-4o", HELLO, mock_response="one")
    litellm.cache = LiteLLMCache(cache)
    with pytest.raises(TypeError, match="a set in a request"):
        litellm.cache.question(model="m", messages=HELLO, stop_words={"a"})
    asked = {"model": "m", "messages": HELLO, "stop_words": {"a"}}
    litellm.cache.add_cache(answer, **asked)
    assert litellm.cache.get_cache(**asked) is None
    assert [entry for entry in cache.scan()] == []
    assert "no lookup" in caplog.text and "not cached" in caplog.text


def test_a_call_says_for_how_long_over_a_strategy(cache: Cache, ask: Ask) -> None:
    with pytest.raises(ValueError, match="only one"):
        LiteLLMCache(cache, strategy="standard", ttl=3)
    litellm.cache = LiteLLMCache(cache, strategy="aggressive")
    assert [said(ask(cache={"ttl": 600})), said(ask(cache={"ttl": 600}))] == ["answer 1", "answer 1"]
    litellm.cache.cache.set_cache("k", {"response": "{}"}, ttl=600)
    told = [entry for id, _ in cache.scan() if (entry := cache.entry(id))]
    assert len(told) == 2 and all(entry.ttl is not None and 590 < entry.ttl <= 600 for entry in told)


def test_what_fails_here_fails_no_call(cache: Cache, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    def price(response: Any) -> Any:
        raise LookupError("no")

    litellm.cache = LiteLLMCache(cache, price=price)
    assert [said(ask()), said(ask())] == ["answer 1", "answer 1"]
    assert "no price" in caplog.text

    def breaks(op: Any) -> Any:
        raise ZeroDivisionError("broken")
        yield

    cache.backend.flow = breaks  # type: ignore[method-assign]
    assert said(ask()) == "answer 2"
    litellm.cache.cache.set_cache("k", {"response": "{}"})
    assert litellm.cache.cache.get_cache("k") is None


def test_embeddings_are_kept_one_by_one(cache: Cache, endpoint: Endpoint) -> None:
    litellm.cache = LiteLLMCache(cache)
    arguments = {"model": "openai/text-embedding-3-small", "api_base": endpoint.base, "api_key": "k"}

    def embed(*given: str) -> list[list[float]]:
        result = asyncio.run(_settled(litellm.aembedding(input=list(given), **arguments)))
        return [each["embedding"] for each in result.data]

    assert embed("a", "bb") == [[1.0, 0.5], [2.0, 0.5]]
    assert embed("bb", "ccc", "a") == [[2.0, 0.5], [3.0, 0.5], [1.0, 0.5]]
    assert [body["input"] for body in endpoint.asked] == [["a", "bb"], ["ccc"]]
    litellm.embedding(input=["d"], **arguments)
    assert litellm.embedding(input=["d"], **arguments).data[0]["embedding"] == [1.0, 0.5]
    assert len(endpoint.asked) == 3


def test_text_completions_are_kept(cache: Cache, endpoint: Endpoint) -> None:
    litellm.cache = LiteLLMCache(cache)
    arguments = {"model": "text-completion-openai/gpt-3.5-turbo-instruct", "api_base": endpoint.base, "api_key": "k"}
    told = [litellm.text_completion(prompt="Once", **arguments).choices[0].text for _ in range(2)]
    assert told == ["answer 1", "answer 1"] and len(endpoint.asked) == 1
    litellm.text_completion(prompt="Once", **arguments, cache={"namespace": "n"})
    assert len(endpoint.asked) == 2
    assert said(litellm.completion(messages=[{"role": "user", "content": "Once"}], **arguments)).startswith("answer")


def test_what_litellm_does_with_keys(cache: Cache) -> None:
    by_key = LiteLLMCache(cache).cache
    assert asyncio.run(by_key.ping()) is True
    by_key.set_cache("k", {"timestamp": 1, "response": "{}"}, ttl=50)
    asyncio.run(by_key.async_set_cache("l", {"timestamp": 1, "response": b"no JSON"}))
    assert by_key.get_cache("k") == {"timestamp": 1, "response": "{}"} and by_key.get_cache("l") is None
    asyncio.run(by_key.delete_cache_keys(["k"]))
    assert asyncio.run(by_key.async_get_cache("k")) is None


def test_similar_questions_are_found(server: RedisServer, endpoint: Endpoint, ask: Ask) -> None:
    litellm.cache = LiteLLMCache(Cache(server.url, "lite", fallback=None), similar=True)
    one, two, other = "How do I reset my password?", "How can I reset my password", "How do I delete my account?"
    answers = [said(ask(messages=[{"role": "user", "content": text}])) for text in (one, two, other)]
    assert answers == ["answer 1", "answer 1", "answer 2"]


def test_an_awaiting_cache_serves_both(server: RedisServer, ask: Ask) -> None:
    litellm.cache = LiteLLMCache(AsyncCache(server.url, "lite", fallback=None))
    assert [said(ask()), said(ask())] == ["answer 1", "answer 1"]


def test_without_redis_the_endpoint_is_asked(ask: Ask, endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    litellm.cache = LiteLLMCache(Cache(f"redis://127.0.0.1:{free_port()}", "lite", fallback=None))
    assert [said(ask()), said(ask()), ask(stream=True)] == ["answer 1", "answer 2", "answer 3"]
    assert "no lookup" in caplog.text and "not cached" in caplog.text


def test_a_wrong_entry_is_made_anew(cache: Cache, ask: Ask) -> None:
    litellm.cache = LiteLLMCache(cache)
    cache.set(litellm.cache.question(model="openai/gpt-4o", messages=HELLO), "no json")
    assert [said(ask()), said(ask())] == ["answer 1", "answer 1"]


def test_mocks_are_kept_as_well(cache: Cache) -> None:
    litellm.cache = LiteLLMCache(cache)
    told = [litellm.completion("gpt-4o", HELLO, mock_response=text) for text in ("one", "two")]
    assert [said(answer) for answer in told] == ["one", "one"]
