"""A cache for LiteLLM: `litellm.cache = LiteLLMCache(cache)`.

What is asked is the body of the request, so an entry is the same as that of any other client of this cache, and similar
questions are found where the cache looks for them. What is no chat (embeddings, text completions, transcriptions) is
kept by the key that LiteLLM makes of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import litellm
from litellm.caching import base_cache, caching
from litellm.litellm_core_utils.model_param_helper import ModelParamHelper
from litellm.types.caching import DEFAULT_CACHING_SUPPORTED_CALL_TYPES
from litellm.types.utils import all_litellm_params
from pydantic import BaseModel

from .. import ops
from ..cache import AsyncCache, Cache
from ..flows import Flow, arun, run
from ..options import kept
from ..question import IRRELEVANT, Question
from .answers import refusal
from .origin import hashed, relevant

log = logging.getLogger("llmcache")

Dollars = Decimal | float | str

# They are not typed.
_Cache: Any = caching.Cache
_BaseCache: Any = base_cache.BaseCache

#: These have the messages of a chat as well, but answer in another form, and their requests cannot be told from it.
_NOT_HERE = ("anthropic_messages", "aanthropic_messages")

#: How a call is made, beside what LiteLLM itself counts to that; an answer does not depend on it.
_TRANSPORT = frozenset(["parent_otel_span", "timeout", "request_timeout", "api_version", "cache_key", "client"])


class LiteLLMCache(_Cache):  # type: ignore[misc]
    """Keeps what LiteLLM answers, in its own ways: its `cache={…}` of a call, its modes, its replays of streams."""

    def __init__(
        self,
        cache: Cache | AsyncCache,
        *,
        similar: bool | None = None,
        threshold: float | None = None,
        strategy: str | None = None,
        ttl: float | None = None,
        type: str = "litellm",
        tags: Sequence[str] = (),
        price: Dollars | Callable[[Mapping[str, Any]], Dollars | None] | None = None,
        max_messages: int | None = None,
        **options: Any,
    ) -> None:
        """A cache, for `completion` and for `acompletion`.

        Args:
            cache: Where. A `Cache` serves those that await as well, and an `AsyncCache` those that wait.
            similar: Whether similar questions will do; otherwise the cache's own mode decides.
            threshold: How similar they have to be.
            strategy, ttl, tags, type: How answers are kept, as in `Cache.set`; `cache={"ttl": …}` of a call wins.
            price: What a call costs in US dollars, or tells that of its response; without one what LiteLLM knows.
            max_messages: Requests of more messages are left alone. LiteLLM has 4 here; a conversation in its whole
                context can be found however long it is, so there is no limit.
            options: Those of LiteLLM's own `Cache`: `mode`, `namespace`, `supported_call_types`.
        """
        supported = [name for name in DEFAULT_CACHING_SUPPORTED_CALL_TYPES if name not in _NOT_HERE]
        super().__init__(**{"type": "local", "supported_call_types": supported} | options)
        self.llmcache, self.price, self.ttl, self.max_messages = cache, price, ttl, max_messages
        mode: dict[bool | None, Literal["exact", "similar"] | None] = {None: None, False: "exact", True: "similar"}
        self._terms = ops.Terms(mode=mode[similar], threshold=threshold)
        self._keep = kept(strategy=strategy, ttl=ttl, type=type, tags=tags)
        self.cache = _ByKey(cache, self._keep)

    def get_cache(self, dynamic_cache_object: Any = None, **kwargs: Any) -> Any:
        """What is kept of a call; None where there is nothing."""
        if not self._is_chat(kwargs):
            return super().get_cache(dynamic_cache_object=dynamic_cache_object, **kwargs)
        return run(self._get(kwargs)) if self.should_use_cache(**kwargs) is True else None

    async def async_get_cache(self, dynamic_cache_object: Any = None, **kwargs: Any) -> Any:
        """As `get_cache`."""
        if not self._is_chat(kwargs):
            return await super().async_get_cache(dynamic_cache_object=dynamic_cache_object, **kwargs)
        return await arun(self._get(kwargs)) if self.should_use_cache(**kwargs) is True else None

    def add_cache(self, result: Any, **kwargs: Any) -> None:
        """Keeps the result of a call."""
        if not self._is_chat(kwargs):
            super().add_cache(result, **kwargs)
        elif self.should_use_cache(**kwargs) is True:
            run(self._add(result, kwargs))

    async def async_add_cache(self, result: Any, dynamic_cache_object: Any = None, **kwargs: Any) -> None:
        """As `add_cache`."""
        if not self._is_chat(kwargs):
            await super().async_add_cache(result, dynamic_cache_object=dynamic_cache_object, **kwargs)
        elif self.should_use_cache(**kwargs) is True:
            await arun(self._add(result, kwargs))

    def question(self, **kwargs: Any) -> Question:
        """What a call with these arguments asks. A TypeError where that cannot be told of one of them."""
        params, body = ModelParamHelper.get_all_llm_api_params(), dict[str, Any]()
        for name, value in kwargs.items():
            if value is not None and name not in IRRELEVANT and (name in params or _is_of_a_provider(name)):
                body[name] = _plain(value)
        if headers := relevant(body.pop("extra_headers", {})):
            body["extra_headers"] = hashed(headers)
        # LiteLLM writes all that a message of its own might have.
        body["messages"] = [
            {key: part for key, part in message.items() if part is not None} for message in body.get("messages", ())
        ]
        body["model"] = self._get_model_param_value(kwargs)
        namespace = (kwargs.get("cache") or {}).get("namespace")
        namespace = namespace or (kwargs.get("metadata") or {}).get("redis_namespace") or self.namespace
        scope = ":".join(part for part in (self.llmcache.scope, namespace) if part)
        return Question(body, scope=scope)

    def _is_chat(self, kwargs: Mapping[str, Any]) -> bool:
        return bool(kwargs.get("messages")) and bool(kwargs.get("model"))

    def _get(self, kwargs: dict[str, Any]) -> Flow[Any]:
        control = kwargs.get("cache") or {}
        max_age = control.get("s-maxage", control.get("s-max-age"))
        try:
            terms = self._terms if max_age is None else replace(self._terms, max_age=float(max_age))
            answer = yield from self.llmcache.backend.flow(ops.Get(self.question(**kwargs), terms))
            return None if answer is None else answer.json()
        except Exception as error:  # What works without a cache works with one.
            log.warning("llmcache: no lookup (%s)", error)
            return None

    def _add(self, result: Any, kwargs: dict[str, Any]) -> Flow[None]:
        try:
            data = result.model_dump_json() if isinstance(result, BaseModel) else result
            response = json.loads(data) if isinstance(data, (str, bytes)) else data
            if not _is_complete(response):
                return
            keep = self._keep.on(tokens=_tokens(response), cost=self._cost(response, kwargs))
            keep = _for(keep, (kwargs.get("cache") or {}).get("ttl"))
            data = json.dumps(response, ensure_ascii=False).encode()
            yield from self.llmcache.backend.flow(ops.Set(self.question(**kwargs), data, keep))
        except Exception as error:
            log.warning("llmcache: an answer is not cached (%s)", error)

    def _cost(self, response: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Dollars | None:
        tokens = _tokens(response)
        try:
            if self.price is not None:
                return self.price(response) if callable(self.price) else self.price
            if tokens is None:
                return None
            provider = kwargs.get("custom_llm_provider")
            costs = litellm.cost_per_token(
                str(kwargs["model"]),
                prompt_tokens=tokens[0],
                completion_tokens=tokens[1],
                custom_llm_provider=provider,
            )
        except Exception as error:  # LiteLLM does not know the prices of all models.
            log.log(logging.DEBUG if self.price is None else logging.WARNING, "llmcache: no price (%s)", error)
            return None
        return Decimal(str(sum(costs)))


class _ByKey(_BaseCache):  # type: ignore[misc]
    """What LiteLLM keeps by keys of its own."""

    def __init__(self, cache: Cache | AsyncCache, keep: ops.Keep) -> None:
        super().__init__()
        self._cache, self._keep = cache, keep

    def get_cache(self, key: str, **_: Any) -> Any:
        return run(self._get(key))

    async def async_get_cache(self, key: str, **_: Any) -> Any:
        return await arun(self._get(key))

    def set_cache(self, key: str, value: Any, **kwargs: Any) -> None:
        run(self._set(key, value, kwargs.get("ttl")))

    async def async_set_cache(self, key: str, value: Any, **kwargs: Any) -> None:
        await arun(self._set(key, value, kwargs.get("ttl")))

    async def async_set_cache_pipeline(self, cache_list: Sequence[tuple[str, Any]], **kwargs: Any) -> None:
        for key, value in cache_list:
            await arun(self._set(key, value, kwargs.get("ttl")))

    async def delete_cache_keys(self, keys: Sequence[str]) -> None:
        for key in keys:
            await arun(self._cache.backend.flow(ops.Invalidate(ops.Selection(question=self._question(key)))))

    async def ping(self) -> bool:
        await arun(self._cache.backend.flow(ops.GetStats()))
        return True

    async def disconnect(self) -> None:
        await self._cache.backend.aclose()

    def _question(self, key: str) -> Question:
        return Question(key, params={"litellm": "key"}, scope=self._cache.scope)

    def _get(self, key: str) -> Flow[Any]:
        try:
            terms = ops.Terms(mode="exact")
            answer = yield from self._cache.backend.flow(ops.Get(self._question(key), terms))
            return None if answer is None else answer.json()
        except Exception as error:
            log.warning("llmcache: no lookup (%s)", error)
            return None

    def _set(self, key: str, value: Any, ttl: Any) -> Flow[None]:
        try:
            keep = _for(self._keep, ttl)
            response = value.get("response") if isinstance(value, dict) else value
            told = json.loads(response) if isinstance(response, str) else response
            # Without figures a server would guess them from the length of what are often numbers.
            keep = keep.on(tokens=_tokens(told) or (0, 0))
            yield from self._cache.backend.flow(ops.Set(self._question(key), json.dumps(value).encode(), keep))
        except Exception as error:
            log.warning("llmcache: an answer is not cached (%s)", error)


def _for(keep: ops.Keep, ttl: Any) -> ops.Keep:
    """As a call says, if it says for how long."""
    return keep if ttl is None else keep.on(ttl=float(ttl), strategy=None)


def _is_of_a_provider(name: str) -> bool:
    """Whether an argument that is of no API in common goes to one provider."""
    return name not in all_litellm_params and name not in _TRANSPORT and not name.startswith(("litellm_", "_"))


def _plain(value: Any) -> Any:
    """A part of a request as it goes over the wire; a TypeError where that is not known."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, type) and issubclass(value, BaseModel):
        return {"type": "json_schema", "name": value.__name__, "schema": value.model_json_schema()}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a {type(value).__name__} in a request cannot be compared with another one")


def _is_complete(response: Any) -> bool:
    """Whether it is a whole answer in text."""
    why = refusal(response)
    if why is not None:
        log.debug("llmcache: not cached, as the answer %s", why)
        return False
    return all((choice.get("message") or {}).get("content") for choice in response.get("choices", ()))


def _tokens(response: Any) -> tuple[int, int] | None:
    """The tokens read and written, where the response tells them."""
    if not isinstance(response, dict):
        return None
    usage = response.get("usage") or response
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    if not isinstance(read, int):
        return None
    return read, int(usage.get("completion_tokens") or usage.get("output_tokens") or 0)
