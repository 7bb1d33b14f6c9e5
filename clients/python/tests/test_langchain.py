"""The cache for LangChain, with models of langchain_core that count their calls."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from conftest import RedisServer, arguments, free_port

from llmcache import AsyncCache, Cache

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel, FakeListChatModel, FakeListLLM, GenericFakeChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation
from langchain_core.prompts import PromptTemplate
from pydantic import BaseModel, Field

from llmcache.adapters.langchain import LangChainCache

Ask = Callable[[Any, Any], Any]


class Model(BaseChatModel):
    """A chat model that says how often it was asked."""

    calls: list[Any] = Field(default_factory=list)
    name_of_model: str = "m-1"
    message: AIMessage | None = None

    @property
    def _llm_type(self) -> str:
        return "counting"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.name_of_model}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.calls.append(messages)
        said = self.message or AIMessage(f"answer {len(self.calls)}")
        return ChatResult(generations=[ChatGeneration(message=said)])


@pytest.fixture(params=["server", "memory"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    with Cache(name="chain", **arguments(request.param, request)) as cache:  # type: ignore[arg-type]
        yield cache


@pytest.fixture(params=["invoke", "ainvoke"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks a model, either way."""
    if request.param == "invoke":
        return lambda model, prompt: model.invoke(prompt)
    return lambda model, prompt: asyncio.run(model.ainvoke(prompt))


@pytest.fixture
def server_cache(server: RedisServer) -> Iterator[Cache]:
    with Cache(server.url, "chain", fallback=None) as cache:
        yield cache


def test_a_model_is_asked_once(cache: Cache, ask: Ask) -> None:
    model = Model(cache=LangChainCache(cache))
    first, second = ask(model, "What is Redis?"), ask(model, "What is Redis?")
    assert len(model.calls) == 1
    assert (first.content, second.content, second.id) == ("answer 1", "answer 1", first.id)
    assert ask(model, "What is Valkey?").content == "answer 2"
    assert [prompt for _, prompt in sorted(cache.scan(), key=lambda row: row[1])] == [
        "What is Redis?",
        "What is Valkey?",
    ]


def test_the_cache_of_all_models_serves_llms_and_chat_models(cache: Cache, ask: Ask) -> None:
    set_llm_cache(LangChainCache(cache))
    try:
        llm = FakeListLLM(responses=["one", "two"])
        assert [ask(llm, "p"), ask(llm, "p"), ask(llm, "q")] == ["one", "one", "two"]
        chat = FakeListChatModel(responses=["three", "four"])
        assert [ask(chat, "p").content, ask(chat, "p").content] == ["three", "three"]
        once = GenericFakeChatModel(messages=iter([AIMessage("five")]))
        assert [ask(once, "p").content, ask(once, "p").content] == ["five", "five"]
        chain = PromptTemplate.from_template("p{n}") | FakeListLLM(responses=["six", "seven"])
        assert [ask(chain, {"n": 1}), ask(chain, {"n": 1}), ask(chain, {"n": 2})] == ["six", "six", "seven"]
    finally:
        set_llm_cache(None)


def test_a_batch_asks_for_what_is_missing(cache: Cache) -> None:
    llm = FakeListLLM(responses=["one", "two", "three"], cache=LangChainCache(cache))
    assert llm.invoke("a") == "one"
    assert llm.batch(["a", "b", "a"]) == ["one", "two", "one"]
    assert asyncio.run(llm.abatch(["b", "c"])) == ["two", "three"]
    model = Model(cache=LangChainCache(cache))
    assert [said.content for said in model.batch(["x", "x"], config={"max_concurrency": 1})] == ["answer 1"] * 2


def test_a_stream_is_never_cached_as_with_any_cache_of_langchain(cache: Cache) -> None:
    model = FakeListChatModel(responses=["ab", "cd", "ef"], cache=LangChainCache(cache))
    assert [chunk.content for chunk in model.stream("p")][:2] == ["a", "b"]
    assert model.invoke("p").content == "cd"
    assert "".join(str(chunk.content) for chunk in model.stream("p")) == "ef"
    assert model.invoke("p").content == "cd"


def test_nothing_crosses_models_or_conversations(cache: Cache, ask: Ask) -> None:
    chain = LangChainCache(cache)
    one, two = Model(cache=chain), Model(cache=chain, name_of_model="m-2", calls=[0])
    assert (ask(one, "p").content, ask(two, "p").content) == ("answer 1", "answer 2")
    assert {entry.model for id, _ in cache.scan() if (entry := cache.entry(id))} == {"m-1", "m-2"}
    talks: list[Any] = [
        [SystemMessage("Be brief."), HumanMessage("p")],
        [SystemMessage("Be long."), HumanMessage("p")],
        [HumanMessage("a"), AIMessage("b"), HumanMessage("p")],
        [HumanMessage("p", name="Ann")],
        [AIMessage("p")],
        [HumanMessage([{"type": "text", "text": "p"}, {"type": "image_url", "image_url": {"url": "data:,"}}])],
        [HumanMessage([{"type": "text", "text": "p"}, {"type": "image_url", "image_url": {"url": "data:,x"}}])],
    ]
    said = [ask(one, talk).content for talk in talks]
    assert said == [f"answer {number}" for number in range(2, 9)]
    assert [ask(one, talk).content for talk in talks] == said
    assert one.bind(stop=["x"]).invoke("p").content == "answer 9"


def test_messages_come_back_whole(cache: Cache, ask: Ask) -> None:
    message = AIMessage(
        content=[{"type": "text", "text": "Let me look."}],
        tool_calls=[{"name": "weather", "args": {"city": "Rome", "lc": 1}, "id": "c1", "type": "tool_call"}],
        invalid_tool_calls=[{"name": "x", "args": "{", "id": "c2", "error": "no", "type": "invalid_tool_call"}],
        additional_kwargs={"refusal": None, "plain": {"lc": 1, "type": "constructor", "id": ["os", "system"]}},
        response_metadata={"model_name": "m-1", "finish_reason": "tool_calls"},
        usage_metadata={"input_tokens": 12, "output_tokens": 7, "total_tokens": 19},
        id="run-1",
    )
    model = Model(cache=LangChainCache(cache), message=message)
    assert ask(model, "p") == message
    again = ask(model, "p")
    # What LangChain itself adds to a hit.
    assert again.usage_metadata.pop("total_cost") == 0
    assert again == message and len(model.calls) == 1
    tool = [HumanMessage("p"), message, ToolMessage("sunny", tool_call_id="c1")]
    assert ask(model, tool) and ask(model, tool) and len(model.calls) == 2
    (entry,) = {cache.entry(id) for id, prompt in cache.scan() if prompt == "p"}
    assert entry is not None and (entry.tokens_in, entry.tokens_out) == (12, 7)


def test_costs_and_options_reach_the_entry(cache: Cache) -> None:
    chain = LangChainCache(
        cache, ttl=50, tags=["docs"], scope="tenant", price=lambda generations: Decimal("0.25") * len(generations)
    )
    model = Model(cache=chain)
    model.invoke("p")
    ((id, _),) = cache.scan()
    entry = cache.entry(id)
    assert entry is not None and entry.ttl is not None and 48 <= entry.ttl <= 50
    assert (entry.tags, entry.scope, entry.type, entry.cost_usd) == (("docs",), "tenant", "langchain", Decimal("0.25"))
    assert Model(cache=LangChainCache(cache), calls=[1]).invoke("p").content == "answer 2"
    nothing = Model(cache=LangChainCache(cache, strategy="nocache"))
    assert [nothing.invoke("q").content, nothing.invoke("q").content] == ["answer 1", "answer 2"]


def test_only_one_thing_says_for_how_long() -> None:
    with pytest.raises(ValueError, match="only one"):
        LangChainCache(Cache("memory:"), strategy="standard", ttl=3)


def test_what_fails_here_fails_no_model(cache: Cache, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: Any) -> Any:
        raise LookupError("no")

    dear = Model(cache=LangChainCache(cache, price=fails))
    assert [ask(dear, "p").content, ask(dear, "p").content] == ["answer 1", "answer 1"]
    assert "no price" in caplog.text
    # A text that cannot be sent, and one who is not known.
    assert ask(dear, "hi \ud83d").content == "answer 2"
    nobody = Model(cache=LangChainCache(cache, scope=fails))
    assert [ask(nobody, "p").content, ask(nobody, "p").content] == ["answer 1", "answer 2"]


def test_who_asks_may_be_told_at_each_call(cache: Cache) -> None:
    who = ["ann"]
    model = Model(cache=LangChainCache(cache, scope=lambda: who[0]))
    assert model.invoke("p").content == "answer 1"
    who[0] = "bob"
    assert model.invoke("p").content == "answer 2"
    who[0] = "ann"
    assert model.invoke("p").content == "answer 1"


def test_clear_removes_what_is_langchains(cache: Cache, ask: Ask) -> None:
    chain = LangChainCache(cache, tags=["a"])
    model = Model(cache=chain)
    cache.set("mine", "stays")
    ask(model, "p")
    chain.clear(tags=["b"])
    assert ask(model, "p").content == "answer 1"
    chain.clear(tags=["a"])
    assert ask(model, "p").content == "answer 2"
    asyncio.run(chain.aclear())
    assert ask(model, "p").content == "answer 3"
    assert cache.get("mine") is not None
    chain.clear()
    assert [prompt for _, prompt in cache.scan()] == ["mine"]


def test_similar_questions_are_found_within_one_conversation(server_cache: Cache) -> None:
    model = Model(cache=LangChainCache(server_cache, mode="similar"))
    before = [SystemMessage("You help with accounts."), HumanMessage("Hello"), AIMessage("Hi!")]
    assert model.invoke([*before, HumanMessage("How do I reset my password?")]).content == "answer 1"
    assert model.invoke([*before, HumanMessage("How can I reset my password")]).content == "answer 1"
    assert model.invoke([*before[:1], HumanMessage("How can I reset my password")]).content == "answer 2"
    assert model.invoke([*before, HumanMessage("How do I delete my account?")]).content == "answer 3"
    exact = Model(cache=LangChainCache(server_cache, mode="exact"), calls=[0, 0, 0])
    assert exact.invoke([*before, HumanMessage("Please, how do I reset my password?")]).content == "answer 4"


def test_what_is_no_question_is_never_similar(server_cache: Cache) -> None:
    server_cache.command("create", "MODE", "similar")
    model = Model(cache=LangChainCache(server_cache))
    asked = [HumanMessage("w"), AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}])]
    answers = [model.invoke([*asked, ToolMessage(f"It is sunny in Rome{dot}", tool_call_id="1")]) for dot in (".", "!")]
    assert [answer.content for answer in answers] == ["answer 1", "answer 2"]


def test_a_parsed_model_comes_back_as_langchain_stores_it(cache: Cache) -> None:
    class City(BaseModel):
        name: str

    message = AIMessage("{}", additional_kwargs={"parsed": City(name="Rome")})
    model = Model(cache=LangChainCache(cache), message=message)
    model.invoke("p")
    assert model.invoke("p").additional_kwargs["parsed"] == {"name": "Rome"}


def test_what_would_not_come_back_is_not_stored(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    class Own(AIMessage):
        pass

    for message in (AIMessage("x", additional_kwargs={"f": object()}), Own("x")):
        model = Model(cache=LangChainCache(cache), message=message, calls=[])
        model.invoke("p"), model.invoke("p")
        assert len(model.calls) == 2
    assert list(cache.scan()) == []
    assert "not cached" in caplog.text


@pytest.mark.parametrize(
    "stored",
    [
        '[{"lc":1,"type":"constructor","id":["langchain","prompts","prompt","PromptTemplate"],"kwargs":{"template":"x"}}]',
        '[{"lc":1,"type":"constructor","id":["langchain","schema","output","Generation"],"kwargs":{"text":"x",'
        '"generation_info":{"a":{"lc":1,"type":"constructor","id":["langchain","prompts","prompt","PromptTemplate"],'
        '"kwargs":{"template":"x","input_variables":[]}}}}}]',
        '[{"lc":1,"type":"constructor","id":["langchain_core","load","serializable","Serializable"],"kwargs":{}}]',
        '[{"lc":1,"type":"constructor","id":["subprocess","Popen"],"kwargs":{"args":["true"]}}]',
        '[{"lc":1,"type":"secret","id":["PATH"]}]',
        '{"a":1}',
        "[1]",
        "no json",
        '[{"lc":1,"type":"constructor","id":["langchain","schema","output","Generation"],"kwargs":{"text":[]}}]',
    ],
)
def test_nothing_but_generations_is_ever_made(cache: Cache, stored: str, caplog: pytest.LogCaptureFixture) -> None:
    chain = LangChainCache(cache)
    cache.set(chain.question("p", "llm"), stored)
    with caplog.at_level(logging.WARNING, "llmcache"):
        assert chain.lookup("p", "llm") is None
    assert "cannot be read" in caplog.text
    chain.update("p", "llm", [Generation(text="new")])
    assert chain.lookup("p", "llm") == [Generation(text="new")]


def test_secrets_of_the_environment_stay_there(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCACHE_TEST_SECRET", "told")
    generation = json.loads(dumps(Generation(text="x")))
    generation["kwargs"]["generation_info"] = {"a": {"lc": 1, "type": "secret", "id": ["LLMCACHE_TEST_SECRET"]}}
    chain = LangChainCache(cache)
    cache.set(chain.question("p", "llm"), json.dumps([generation]))
    assert chain.lookup("p", "llm") == [Generation(text="x", generation_info={"a": None})]


def test_a_temperature_above_one_is_seen(cache: Cache) -> None:
    chain = LangChainCache(cache)
    for llm, is_kept in (("[('model', 'm'), ('temperature', 1.5)]", False), ('{"temperature": 0.5}', True)):
        chain.update("p", llm, [Generation(text="x")])
        assert (chain.lookup("p", llm) is not None) == is_kept


def test_an_awaiting_cache_serves_both(server: RedisServer, ask: Ask) -> None:
    model = Model(cache=LangChainCache(AsyncCache(server.url, "chain", fallback=None)))
    assert [ask(model, "p").content, ask(model, "p").content, model.invoke("p").content] == ["answer 1"] * 3


def test_without_redis_the_model_is_called(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    gone = Cache(f"redis://127.0.0.1:{free_port()}", "chain", fallback=None)
    model = Model(cache=LangChainCache(gone))
    assert [ask(model, "p").content, ask(model, "p").content] == ["answer 1", "answer 2"]
    assert "no lookup" in caplog.text and "not cached" in caplog.text


def test_callbacks_are_called_as_without_a_cache(cache: Cache) -> None:
    class Heard(BaseCallbackHandler):
        ended = 0

        def on_llm_end(self, *_: Any, **__: Any) -> None:
            self.ended += 1

    heard, model = Heard(), Model(cache=LangChainCache(cache))
    for _ in range(3):
        model.invoke("p", config={"callbacks": [heard]})
    assert heard.ended == 3 and len(model.calls) == 1
