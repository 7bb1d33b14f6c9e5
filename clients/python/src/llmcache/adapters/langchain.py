"""A cache for LangChain: `set_llm_cache(LangChainCache(cache))`, or `cache=LangChainCache(cache)` of one model."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal

from langchain_core.caches import BaseCache
from langchain_core.load import Serializable, dumps, loads
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from .. import ops
from ..cache import AsyncCache, Cache
from ..flows import Flow, arun, run
from ..options import kept
from ..options import tags as tags_of
from ..question import Question

log = logging.getLogger("llmcache")

Generations = Sequence[Generation]
Dollars = Decimal | float | str

#: All that is ever made of what was stored: plain data, whose constructors do nothing else.
_ALLOWED: tuple[type[Serializable], ...] = (
    Generation,
    GenerationChunk,
    ChatGeneration,
    ChatGenerationChunk,
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

_MODEL = re.compile(r"""['"](?:model_name|model|model_id)['"]\s*[:,]\s*['"]([^'"]+)['"]""")
_TEMPERATURE = re.compile(r"""['"]temperature['"]\s*[:,]\s*(\d+(?:\.\d+)?)""")

with warnings.catch_warnings():
    # LangChain says once that `loads` is new, which users of this cannot do anything about.
    warnings.simplefilter("ignore")
    loads("null", allowed_objects=[])


class LangChainCache(BaseCache):
    """Keeps what models of LangChain generate.

    What is asked is the text of the last message if that is a human's, in the context of the messages before it and of
    all that LangChain says of the model; so similar questions are found, and nothing crosses models or conversations.
    """

    def __init__(
        self,
        cache: Cache | AsyncCache,
        *,
        mode: Literal["exact", "similar"] | None = None,
        threshold: float | None = None,
        strategy: str | None = None,
        ttl: float | None = None,
        type: str = "langchain",
        tags: Sequence[str] = (),
        scope: str | Callable[[], str] | None = None,
        price: Dollars | Callable[[Generations], Dollars] | None = None,
    ) -> None:
        """A cache, for callers that wait and for those that await.

        Args:
            cache: Where. A `Cache` serves those that await as well, and an `AsyncCache` those that wait.
            mode: Whether similar questions will do; otherwise the cache's own mode decides.
            threshold: How similar they have to be.
            strategy, ttl, tags: How answers are kept, as in `Cache.set`.
            type: The type of the entries, by which `clear` knows them.
            scope: For whom answers are, or what tells that at each call, such as the `get` of a context variable.
            price: What an answer costs in US dollars, or tells that of its generations.
        """
        self.cache, self.type, self.scope, self.price = cache, type, scope, price
        self._terms = ops.Terms(mode=mode, threshold=threshold)
        self._keep = kept(strategy=strategy, ttl=ttl, type=type, tags=tags)

    def lookup(self, prompt: str, llm_string: str) -> Generations | None:
        return run(self._lookup(prompt, llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> Generations | None:
        return await arun(self._lookup(prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Generations) -> None:
        run(self._update(prompt, llm_string, return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: Generations) -> None:
        await arun(self._update(prompt, llm_string, return_val))

    def clear(self, **kwargs: Any) -> None:
        """Removes what was stored through this; with the selectors of `Cache.invalidate` only what meets them too."""
        run(self._clear(kwargs))

    async def aclear(self, **kwargs: Any) -> None:
        """As `clear`."""
        await arun(self._clear(kwargs))

    def question(self, prompt: str, llm_string: str) -> Question:
        """What is asked, of what LangChain says is."""
        return self._asked(prompt, llm_string)[0]

    def _lookup(self, prompt: str, llm_string: str) -> Flow[Generations | None]:
        try:
            question, terms = self._asked(prompt, llm_string)
            answer = yield from self.cache.backend.flow(ops.Get(question, terms))
        except Exception as error:  # A model that works without a cache works with one.
            log.warning("llmcache: no lookup (%s)", error)
            return None
        if answer is None:
            return None
        try:
            return _load(answer.text)
        except Exception as error:  # Whatever a class says of arguments it does not know.
            log.warning("llmcache: a cached answer cannot be read and is made anew (%s)", error)
            return None

    def _update(self, prompt: str, llm_string: str, generations: Generations) -> Flow[None]:
        if not generations:
            return
        try:
            data = _dump(generations).encode()
            keep = self._keep.on(tokens=_tokens(generations), cost=self._cost(generations))
            yield from self.cache.backend.flow(ops.Set(self.question(prompt, llm_string), data, keep))
        except Exception as error:
            log.warning("llmcache: an answer is not cached (%s)", error)

    def _cost(self, generations: Generations) -> Dollars | None:
        try:
            return self.price(generations) if callable(self.price) else self.price
        except Exception:
            log.warning("llmcache: an answer has no price", exc_info=True)
            return None

    def _clear(self, selectors: dict[str, Any]) -> Flow[int]:
        soft = selectors.pop("soft", False)
        selectors["tags"] = tags_of(selectors.get("tags", ()))
        given = {"type": self.type, "scope": self._scope() or None} | selectors
        return (yield from self.cache.backend.flow(ops.Invalidate(ops.Selection(**given), soft)))

    def _scope(self) -> str:
        scope = self.scope() if callable(self.scope) else self.scope
        return self.cache.scope if scope is None else scope

    def _asked(self, prompt: str, llm_string: str) -> tuple[Question, ops.Terms]:
        params: dict[str, Any] = {"llm": llm_string}
        if temperature := _TEMPERATURE.search(llm_string):
            params["temperature"] = float(temperature[1])
        asked, messages, terms = prompt, _messages(prompt), self._terms
        if messages is not None:
            text = _take_text(messages[-1])
            if text is None:
                # Nothing of it is a question that could be put in other words.
                terms = ops.Terms(mode="exact")
            else:
                asked, params["messages"] = text, messages
        model = _MODEL.search(llm_string)
        return Question(asked, model=model[1] if model else "", params=params, scope=self._scope()), terms


def _messages(prompt: str) -> list[dict[str, Any]] | None:
    """The messages of a chat as plain data; None of a prompt that is none."""
    if not prompt.startswith('[{"lc"'):
        return None
    try:
        messages = json.loads(prompt)
    except ValueError:
        return None
    is_chat = all(isinstance(message, dict) and isinstance(message.get("kwargs"), dict) for message in messages)
    return messages if is_chat else None


def _take_text(message: dict[str, Any]) -> str | None:
    """The text of a human's message, which it is without then; None of any other one."""
    kwargs = message["kwargs"]
    content = kwargs.get("content")
    if message.get("id", [""])[-1] not in ("HumanMessage", "HumanMessageChunk"):
        return None
    if isinstance(content, str) and content:
        kwargs["content"] = None
        return content
    match content:
        case [{"type": "text", "text": str(text)} as part] if text:
            part["text"] = None
            return text
    return None


def _dump(generations: Generations) -> str:
    """Generations as JSON. A ValueError where they would come back as something else."""
    data = "[" + ",".join(dumps(generation, ensure_ascii=False) for generation in generations) + "]"
    same = [dumps(generation, ensure_ascii=False) for generation in _load(data)]
    if data != "[" + ",".join(same) + "]":
        raise ValueError("it would come back as something else")
    return data


def _load(data: str) -> list[Generation]:
    generations = loads(data, allowed_objects=_ALLOWED, secrets_from_env=False)
    if not isinstance(generations, list) or not all(isinstance(each, Generation) for each in generations):
        raise ValueError("not a list of generations")
    return generations


def _tokens(generations: Generations) -> tuple[int, int] | None:
    """The tokens read and written, where the model told them."""
    told = [
        generation.message.usage_metadata
        for generation in generations
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage)
    ]
    usage = [each for each in told if each]
    if not usage:
        return None
    return max(each.get("input_tokens", 0) for each in usage), sum(each.get("output_tokens", 0) for each in usage)
