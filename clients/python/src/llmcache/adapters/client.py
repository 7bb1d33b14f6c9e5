"""Clients of SDKs that look for an answer before they ask for one.

All requests of such a client pass one method. It is overridden here, so that everything above it, which makes a request
of arguments, and below it, which makes an object of a response, is the SDK's own, for cached answers too.
"""

from __future__ import annotations

import copy
import datetime
import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from .. import ops
from ..cache import AsyncCache, Cache
from ..calls import Times, fetch
from ..flows import Call, Flow, arun, run
from ..options import over, split
from ..question import Question
from ..types import Answer, Fetched
from .answers import refusal
from .api import Api, Json
from .control import HEADER, NotCached, mark, told
from .making import Making, Recording, record
from .origin import FIELD, is_given, origin

log = logging.getLogger("llmcache")

_RAW = "X-Stainless-Raw-Response"
_OTHER_TYPE = "____stainless_override_cast_to"


@dataclass(frozen=True)
class Settings:
    """How a client uses a cache."""

    cache: Cache | AsyncCache
    apis: Mapping[str, Api]
    price: Callable[[Any], Decimal | float | str] | None = None
    when: Callable[[Json], bool] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Asked:
    """A request whose answer may be cached."""

    api: Api
    body: Json
    question: Question
    terms: ops.Terms
    keep: ops.Keep
    words: frozenset[str]


def wrapped(base: type, settings: Settings) -> type:
    """A class like this one that looks for answers first. Its objects have the same layout, so that one of the base may
    become one of it."""

    def request(self: Any, cast_to: Any, options: Any, *args: Any, **more: Any) -> Any:
        send = functools.partial(base.request, self)  # type: ignore[attr-defined]
        return run(_Request(self, send, cast_to, args, more, is_async).flow(options))

    async def arequest(self: Any, cast_to: Any, options: Any, *args: Any, **more: Any) -> Any:
        send = functools.partial(base.request, self)  # type: ignore[attr-defined]
        return await arun(_Request(self, send, cast_to, args, more, is_async).flow(options))

    is_async = inspect.iscoroutinefunction(base.request)  # type: ignore[attr-defined]
    names = {"__module__": base.__module__, "__doc__": base.__doc__, "__qualname__": base.__qualname__}
    return type(base.__name__, (base,), names | {"_llmcache": settings, "request": arequest if is_async else request})


def unwrapped(kind: type) -> type:
    """The class that a client has had before."""
    return next(base for base in kind.__mro__ if "_llmcache" not in vars(base))


class _Request:
    """One request of a client."""

    def __init__(
        self,
        client: Any,
        send: Callable[..., Any],
        cast_to: Any,
        args: tuple[Any, ...],
        more: dict[str, Any],
        is_async: bool,
    ) -> None:
        self._client, self._send, self._cast_to, self._args, self._more = client, send, cast_to, args, more
        self._settings: Settings = client._llmcache
        self._is_async = is_async
        self._is_stream = bool(more.get("stream"))

    def flow(self, options: Any) -> Flow[Any]:
        headers = _headers(options)
        said = [headers.pop(name) for name in list(headers) if name.lower() == HEADER]
        if said:
            options = _with(options, headers=headers)
        if self._is_chat(options):
            options = _with(options, json_data=_read(options.json_data))
        given, words = told(said[0] if said else None)
        asked = None if "no-store" in words else self._asked(options, given, words)
        if asked is None and self._is_chat(options) and words == {"only-if-cached"}:
            raise NotCached("an answer to this request is never cached")
        if asked is None:
            return (yield Call(self._send, (self._cast_to, options, *self._args), self._more))
        fetched = yield from self._look(asked, options)
        if fetched.answer is not None and fetched.token is None:
            try:
                found = yield from self._found(asked, options, fetched.answer)
            except Exception as why:
                log.warning("llmcache: a cached answer cannot be read and is made anew (%s)", why)
                found = None
            if found is not None:
                return found
        if "only-if-cached" in asked.words:
            raise NotCached("there is no cached answer to this request")
        return (yield from self._make(asked, options, fetched.token))

    def _is_chat(self, options: Any) -> bool:
        """Whether it goes to an API that is known here. Those with qualifiers are of other APIs at the same path."""
        return (
            options.url in self._settings.apis
            and options.method.lower() == "post"
            and isinstance(options.json_data, Mapping)
            and not (options.files or getattr(options, "qualifiers", None))
        )

    def _asked(self, options: Any, given: Mapping[str, Any], words: frozenset[str]) -> _Asked | None:
        """What is asked; None where it is nothing for a cache."""
        if not self._is_chat(options):
            return None
        api, headers = self._settings.apis[options.url], _headers(options)
        if headers.get(_RAW) == "stream" or _OTHER_TYPE in headers:
            return None
        try:
            body = _body(options)
            if not api.takes(body) or not (self._settings.when is None or self._settings.when(body)):
                return None
            context, terms, keep = split(over(self._settings.options, given))
            beside = api.apart(body) | origin(self._client, api.home, options)
            asked = body | {FIELD: beside} if beside else body
            return _Asked(api, body, self._settings.cache.question(asked, context), terms, keep, words)
        except Exception:
            log.warning("llmcache: a call goes past the cache", exc_info=True)
            return None

    def _look(self, asked: _Asked, options: Any) -> Flow[Fetched]:
        cache = self._settings.cache
        if "no-cache" in asked.words:
            return Fetched("timeout")
        try:
            if "only-if-cached" in asked.words:
                answer = yield from cache.backend.flow(ops.Get(asked.question, asked.terms))
                return Fetched("timeout" if answer is None else "hit", answer)
            return (yield from fetch(cache.backend, asked.question, asked.terms, self._times(options)))
        except Exception:
            log.warning("llmcache: no lookup", exc_info=True)
            return Fetched("timeout")

    def _times(self, options: Any) -> Times:
        """Those of the cache; but nobody waits longer for another's answer than for an own one."""
        times = self._settings.cache.times
        timeout = options.timeout if is_given(options.timeout) else self._client.timeout
        seconds = getattr(timeout, "read", timeout)
        return times if seconds is None else replace(times, block=min(times.block, seconds))

    def _found(self, asked: _Asked, options: Any, answer: Answer) -> Flow[Any]:
        """What the SDK makes of a kept answer; None where it has not all that is asked for."""
        kept = json.loads(answer.response)
        if refusal(kept) is not None or not asked.api.serves(kept, asked.body, self._is_stream):
            return None
        kind, data = "application/json", answer.response
        if self._is_stream:
            kind, data = "text/event-stream", asked.api.wire(kept, asked.body)
        response = _response(self._client, options, kind, data)
        made_of = {"cast_to": self._cast_to, "options": options, "response": response}
        stream = {"stream": self._is_stream, "stream_cls": self._more.get("stream_cls")}
        found = yield Call(self._client._process_response, (), made_of | stream)
        mark(found)
        return found

    def _make(self, asked: _Asked, options: Any, token: str | None) -> Flow[Any]:
        cache = self._settings.cache
        headers = _headers(options)
        is_raw = bool(headers.get(_RAW))
        making = Making(cache.backend, asked.question, token, cache.times, self._is_async)
        making.start()
        try:
            sent = options if is_raw else _with(options, headers=headers | {_RAW: "true"})
            raw = yield Call(self._send, (self._cast_to, sent, *self._args), self._more)
            made = yield Call(raw.parse)
        except BaseException:
            yield from making.end(None)
            raise
        if self._is_stream:
            try:
                collector = asked.api.collector(asked.body)
                record(made, Recording(making, collector, lambda answer: self._kept(asked, answer)))
            except Exception:
                log.warning("llmcache: a stream is not cached", exc_info=True)
                yield from making.end(None)
        else:
            yield from making.end(*self._kept_as_sent(asked, raw.http_response.content))
        return raw if is_raw else made

    def _kept_as_sent(self, asked: _Asked, data: bytes) -> tuple[bytes | None, ops.Keep]:
        try:
            answer = json.loads(data)
            if isinstance(answer, dict) and answer.get("usage", {}) is None:
                # Kept, it would say that a stream did not tell it, though there is nothing to tell.
                del answer["usage"]
                data = json.dumps(answer).encode()
            kept = self._kept(asked, answer)
        except ValueError:
            kept = None
        return (None, ops.Keep()) if kept is None else (data, kept[1])

    def _kept(self, asked: _Asked, answer: Any) -> tuple[bytes, ops.Keep] | None:
        """What is stored of an answer, and how; None where it must not be."""
        why = refusal(answer)
        if why is not None:
            log.debug("llmcache: not cached, as the answer %s", why)
            return None
        keep = asked.keep
        if self._settings.price is not None and answer.get("usage"):
            try:
                keep = keep.on(cost=self._settings.price(self._cast_to.construct(**answer).usage))
            except Exception:
                log.warning("llmcache: an answer has no price", exc_info=True)
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode(), keep


def _headers(options: Any) -> dict[str, Any]:
    return dict(options.headers) if isinstance(options.headers, Mapping) else {}


def _with(options: Any, **changes: Any) -> Any:
    options = copy.copy(options)
    for name, value in changes.items():
        setattr(options, name, value)
    return options


def _body(options: Any) -> Json:
    """The body of a request as it is sent."""
    body: Json = _plain({**options.json_data, **(options.extra_json or {})})
    return body


def _plain(value: Any) -> Any:
    """What the SDK makes of an argument. A TypeError where that is not known, as for files."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items() if is_given(inner)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)) and not hasattr(value, "read"):
        return [_plain(inner) for inner in value]
    raise TypeError(f"a {type(value).__name__} in a request")


def _read(value: Any) -> Any:
    """The same, but for what can be read only once: that is read."""
    if isinstance(value, Mapping):
        return {name: _read(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)) or (isinstance(value, Iterator) and not hasattr(value, "read")):
        return [_read(inner) for inner in value]
    return value


def _response(client: Any, options: Any, kind: str, data: bytes) -> Any:
    """A response of the HTTP library that the client uses."""
    roots = (base.__module__.partition(".")[0] for base in type(client._client).__mro__)
    http = sys.modules[next(root for root in roots if root.startswith("httpx"))]
    raw = _headers(options).get(_RAW)
    asked = {} if raw is None else {_RAW: raw}
    request = http.Request("POST", str(client.base_url).rstrip("/") + options.url, headers=asked)
    headers = {"content-type": kind, HEADER: "hit"}
    response = http.Response(200, headers=headers, content=data, request=request)
    response.elapsed = datetime.timedelta(0)
    return response
