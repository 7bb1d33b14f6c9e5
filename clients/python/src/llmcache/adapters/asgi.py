"""A shared HTTP cache in front of an ASGI application: `app = CacheMiddleware(app, cache)`."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote, urljoin, urlsplit

from .. import ops
from ..cache import AsyncCache, Cache
from ..calls import give_back, store
from ..flows import Call, Flow, arun
from ..options import tags as tags_of
from ..question import Question
from ..types import Fetched
from ._http import (
    Control,
    Headers,
    Life,
    Stored,
    is_known,
    joined,
    raw,
    stated_age,
    stated_life,
    takes_gzip,
    whole,
)
from .making import surely

log = logging.getLogger("llmcache")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Verdict = Literal["HIT", "MISS", "STALE"]

STATUSES = frozenset([200, 203, 204, 300, 301, 308, 404, 410])

#: These are read while they are written.
_LIVE = ("text/event-stream", "multipart/x-mixed-replace", "application/grpc")

_COMPRESSIBLE = ("text/", "application/json", "application/javascript", "application/xml", "application/wasm")
_COMPRESSIBLE_ENDS = ("+json", "+xml", "/x-javascript", "/x-ndjson", "/manifest+json", "font/ttf")

#: What a request says that is for us to answer and not for the application.
_OURS = frozenset(["if-none-match", "if-modified-since"])

#: Ways past `http.response.body`, which would leave nothing to keep.
_PAST_US = frozenset(["http.response.pathsend", "http.response.zerocopysend", "http.response.trailers"])

#: What says who asks. What is made for one who says so is never served to one who does not.
_WHO = ("authorization", "cookie", "x-api-key")

_SECRET = frozenset([*_WHO, "proxy-authorization"])

#: Methods that change nothing.
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


@dataclass
class _Request:
    scope: Scope
    headers: Headers
    control: Control
    prompt: str
    identity: dict[str, Any]
    #: The tag of all that is kept of this path.
    place: str


@dataclass
class _Found:
    """What there is for a request: a response, the right to make one, or neither."""

    question: Question
    names: tuple[str, ...]
    state: str
    stored: Stored | None = None
    token: str | None = None


class CacheMiddleware:
    """Keeps responses to GET as RFC 9111 and RFC 5861 have it, makes one call for all who ask at once, and compresses.

    A response is kept where it says for how long, or for `ttl`. One that is private, sets cookies or answers a request
    with Authorization or X-API-Key is not, unless it says itself that it may be, or is told apart by that header. A
    request that changes something removes what is kept of its path.
    """

    def __init__(
        self,
        app: App,
        cache: Cache | AsyncCache,
        *,
        ttl: float | None = None,
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = 0.0,
        headers: Iterable[str] = (),
        ignore: Iterable[str] = (),
        tags: Sequence[str] | Callable[[Scope], Iterable[str]] = (),
        when: Callable[[Scope], bool] | None = None,
        statuses: Iterable[int] = STATUSES,
        store_cookies: bool = False,
        obey_requests: bool = True,
        max_bytes: int = 1 << 20,
        compress: bool = True,
        min_compressed: int = 1024,
        level: int = 6,
        pass_for: float = 10.0,
        type: str = "http",
    ) -> None:
        """A cache around an application.

        Args:
            app: The application.
            cache: Where responses are kept.
            ttl: For how many seconds those that do not say; without it they are not kept.
            stale_while_revalidate, stale_if_error: For how many seconds an old one serves while a new one is made, and
                when the application fails; where the response does not say.
            headers: Those of the request that responses depend on, beside what Vary names, such as x-forwarded-host
                where links are made of it. With "authorization", "cookie" or "x-api-key" here, each of their values has
                its own responses, so these are kept.
            ignore: Parameters of the query that change nothing.
            tags: Those of each response, or what tells them of the scope, in which `path_params` stand by then.
            when: Which requests are for the cache at all.
            statuses: Those that may be kept.
            store_cookies: Whether responses that set cookies are kept, cookies included.
            obey_requests: Whether clients may ask for new responses (no-cache, max-age, no-store).
            max_bytes: Bodies beyond it are handed on as they come. Smaller ones are held until they are whole.
            compress, min_compressed, level: Whether texts of at least so many bytes are sent as gzip.
            pass_for: For how many seconds it is remembered that a response is not kept, so that nobody waits for it.
            type: The type of the entries.
        """
        self.app, self.cache, self.ttl = app, cache, ttl
        self.stale_while_revalidate, self.stale_if_error = stale_while_revalidate, stale_if_error
        self.headers, self.ignore = tuple(sorted({name.lower() for name in headers})), frozenset(ignore)
        self.tags, self.when, self.statuses = tags, when, frozenset(statuses)
        self.store_cookies, self.obey_requests, self.max_bytes = store_cookies, obey_requests, max_bytes
        self.compress, self.min_compressed, self.level = compress, min_compressed, level
        self.pass_for, self.type = pass_for, type
        self._refreshing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            return await self.app(scope, receive, self._forgetting(scope, send))
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return await self.app(scope, receive, send)
        request = self._request(scope)
        if self._is_not_ours(request):
            return await self.app(scope, receive, send)
        only_cached = "only-if-cached" in request.control and self.obey_requests
        if scope["method"] == "HEAD" or only_cached:
            found = await self._find(request, self._get)
            verdict = self._verdict(request, found)
            if found.stored is not None and verdict is not None:
                await self._respond(request, found.stored, verdict, send)
            elif only_cached:
                await _answer(send, 504, {"content-type": "text/plain", "x-cache": "MISS"}, b"not cached\n")
            else:
                await self.app(scope, receive, send)
            return
        await self._serve(request, receive, send)

    # What is asked

    def _request(self, scope: Scope) -> _Request:
        headers = Headers(scope["headers"])
        host, path = _address(scope, headers)
        parts = scope.get("query_string", b"").decode("latin-1").split("&")
        kept = [part for part in parts if part and part.partition("=")[0] not in self.ignore]
        query = "&".join(sorted(kept, key=lambda part: part.partition("=")[0]))
        apart = [name for name in _WHO if name in headers and name not in self.headers]
        identity = {
            "scheme": scope.get("scheme", "http"),
            "host": host,
            "headers": {name: _value(headers, name) for name in self.headers},
            "has": apart,
        }
        control = Control(headers if self.obey_requests else Headers([]))
        return _Request(scope, headers, control, path + (f"?{query}" if query else ""), identity, _place(host, path))

    def _is_not_ours(self, request: _Request) -> bool:
        headers = request.headers
        has_body = "transfer-encoding" in headers or headers.get("content-length") not in ("", "0")
        return has_body or "range" in headers or "no-store" in request.control or not self._is_wanted(request.scope)

    def _is_wanted(self, scope: Scope) -> bool:
        try:
            return self.when is None or self.when(scope)
        except Exception:
            log.warning("llmcache: a request goes past the cache", exc_info=True)
            return False

    def _question(self, request: _Request, names: Iterable[str]) -> Question:
        vary = {name: _value(request.headers, name) for name in sorted(names)}
        return Question(request.prompt, params={"http": request.identity, "vary": vary}, scope=self.cache.scope)

    # What there is

    async def _get(self, question: Question) -> Fetched:
        try:
            terms = ops.Terms(mode="exact", stale_ok=True)
            answer = await arun(self.cache.backend.flow(ops.Get(question, terms)))
        except Exception as error:
            log.warning("llmcache: no lookup (%s)", error)
            return Fetched("timeout")
        if answer is None:
            return Fetched("timeout")
        return Fetched("stale" if answer.stale else "hit", answer)

    async def _fetch(self, question: Question, max_age: int | None = None) -> Fetched:
        times = self.cache.times
        terms = ops.Terms(mode="exact", max_age=max_age)
        fetch = ops.Fetch(question, round(times.lease * 1000), round(times.block * 1000), terms)
        try:
            return await arun(self.cache.backend.flow(fetch))
        except Exception as error:
            log.warning("llmcache: no lookup (%s)", error)
            return Fetched("timeout")

    async def _find(self, request: _Request, look: Callable[[Question], Awaitable[Fetched]]) -> _Found:
        names: tuple[str, ...] = ()
        while True:
            question = self._question(request, names)
            fetched = await look(question)
            stored = _read(fetched)
            more = tuple(sorted({*names, *(stored.vary or ())})) if stored is not None else names
            if stored is None or stored.vary is None or more == names:
                return _Found(question, names, fetched.state, stored, fetched.token)
            names = more
            await arun(give_back(self.cache.backend, question, fetched.token))

    async def _find_newer(self, request: _Request, found: _Found, old: Stored) -> _Found:
        """What there is where a response is too old for this request: all who need a newer one wait for one of them."""
        control, limits = request.control, [old.age_now(), old.life.fresh]
        limits += [control.seconds("max-age") or 0] if control.says("max-age") else []
        limits += [old.life.fresh - (control.seconds("min-fresh") or 0)] if control.says("min-fresh") else []
        limits += [0] if control.says("no-cache") else []
        again = await self._fetch(found.question, max(0, int(min(limits))))
        stored = _read(again)
        if stored is not None and not stored.passes and stored.made <= old.made:
            stored = None
        return _Found(found.question, found.names, again.state, stored, again.token)

    def _verdict(self, request: _Request, found: _Found) -> Verdict | None:
        """As what a stored response may be served; None where it may not."""
        stored = found.stored
        if stored is None or not stored.status:
            return None
        age, limit, left = stored.age_now(), request.control.seconds("max-age"), request.control.seconds("min-fresh")
        if "no-cache" in request.control or (limit is not None and age > limit):
            return None
        if left is not None and stored.life.fresh - age < left:
            return None
        overdue = age - stored.life.fresh
        if found.state != "stale" and overdue < 0:
            return "HIT"
        return "STALE" if stored.life.while_revalidate > max(0.0, overdue) else None

    # Serving

    async def _serve(self, request: _Request, receive: Receive, send: Send) -> None:
        found = await self._find(request, self._fetch)
        verdict, spare = self._verdict(request, found), found.stored
        if spare is not None and spare.status and verdict is None and found.token is None:
            found = await self._find_newer(request, found, spare)
            verdict = "HIT" if found.stored is not None and found.stored.status else None
        if found.stored is not None and found.stored.passes:
            await arun(give_back(self.cache.backend, found.question, found.token))
            return await self.app(request.scope, receive, _marking(send))
        if found.stored is not None and verdict is not None:
            if found.token is not None:
                task = asyncio.create_task(self._refresh(request, found))
                self._refreshing.add(task)
                task.add_done_callback(self._refreshing.discard)
            return await self._respond(request, found.stored, verdict, send)
        if spare is not None and not _serves_errors(spare):
            spare = None
        if found.state == "failed":
            if spare is not None:
                return await self._respond(request, spare, "STALE", send)
            return await self.app(request.scope, receive, _marking(send))
        await _Exchange(self, request, found, spare, receive, send).run()

    async def _refresh(self, request: _Request, found: _Found) -> None:
        async def nobody(message: Message) -> None:
            pass

        async def never() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        try:
            await _Exchange(self, request, found, None, never, nobody).run()
        except Exception:
            log.warning("llmcache: a response could not be made anew", exc_info=True)

    def life(self, request: _Request, start: Message) -> Life | None:
        """For how long a response is kept; None where it is not."""
        headers = Headers(start.get("headers", ()))
        control, status = Control(headers), start["status"]
        if (
            status not in self.statuses
            or control.says("no-store", "private", "no-cache")
            or "*" in headers.words("vary")
            or headers.get("content-encoding").lower() not in ("", "identity")
            or "content-range" in headers
            or ("set-cookie" in headers and not self.store_cookies)
            or headers.get("content-type").lower().startswith(_LIVE)
            or start.get("trailers")
        ):
            return None
        is_shared = control.says("public", "s-maxage", "must-revalidate")
        if not is_shared and not {"authorization", "x-api-key"}.isdisjoint(request.identity["has"]):
            return None
        fresh = stated_life(headers, control)
        if fresh is None:
            if self.ttl is None or status >= 400 or ("cookie" in request.identity["has"] and not is_shared):
                return None
            fresh = self.ttl
        extra = {"stale-while-revalidate": self.stale_while_revalidate, "stale-if-error": self.stale_if_error}
        for name, default in extra.items():
            stated = control.seconds(name)
            extra[name] = (0.0 if "s-maxage" in control else default) if stated is None else stated
        if control.says("must-revalidate", "proxy-revalidate"):
            extra = dict.fromkeys(extra, 0.0)
        life = Life(max(0.0, fresh), extra["stale-while-revalidate"], extra["stale-if-error"])
        return life if max(life.fresh, life.while_revalidate, life.if_error) > 0 else None

    async def _respond(self, request: _Request, stored: Stored, verdict: Verdict, send: Send) -> None:
        """Sends a stored response."""
        headers = [*stored.headers, ("x-cache", verdict)]
        if verdict != "MISS":
            headers.append(("age", str(int(stored.age_now()))))
        if stored.status != 204:
            headers.append(("content-length", str(len(stored.body))))
        status, headers, body = await self.dressed(request, stored.status, headers, stored.body)
        await _answer(send, status, headers, b"" if request.scope["method"] == "HEAD" else body)

    async def dressed(
        self, request: _Request, status: int, headers: list[tuple[str, str]], body: bytes | None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """A response as this client wants it: whole, compressed, or that it has it; without a body if that is not known
        yet."""
        told = Headers(raw(headers))
        etag, kind = told.get("etag"), told.get("content-type").partition(";")[0].strip().lower()
        is_text = kind.startswith(_COMPRESSIBLE) or kind.endswith(_COMPRESSIBLE_ENDS)
        is_plain = told.get("content-encoding").lower() in ("", "identity") and "no-transform" not in Control(told)
        is_gzip = False
        if self.compress and is_text and is_plain and body is not None and len(body) >= self.min_compressed:
            headers = joined(headers, "vary", "Accept-Encoding")
            is_gzip = takes_gzip(request.headers)
        if is_gzip and etag:
            # The same content in another form, so it is no longer the same bytes.
            etag = etag if etag.startswith("W/") else f"W/{etag}"
            headers = [(name, etag if name == "etag" else value) for name, value in headers]
        if status == 200 and is_known(request.headers, etag, told.get("last-modified")):
            headers = [
                (name, value)
                for name, value in headers
                if name in ("content-location", "content-security-policy") or not name.startswith("content-")
            ]
            return 304, headers, b""
        if is_gzip:
            assert body is not None
            body = await self._gzip(body)
            headers = [(name, value) for name, value in headers if name not in ("content-length", "content-encoding")]
            headers += [("content-encoding", "gzip"), ("content-length", str(len(body)))]
        return status, headers, body or b""

    async def _gzip(self, body: bytes) -> bytes:
        if len(body) < 1 << 16:
            return gzip.compress(body, self.level, mtime=0)
        return await asyncio.to_thread(gzip.compress, body, self.level, mtime=0)

    # What changes

    def _forgetting(self, scope: Scope, send: Send) -> Send:
        """Removes what a request has changed before it is said that it has: what is kept of this path, and of those
        that the response names."""

        async def sends(message: Message) -> None:
            if message["type"] == "http.response.start" and 200 <= message["status"] < 400:
                await self._forget(scope, Headers(message.get("headers", ())))
            await send(message)

        return sends

    async def _forget(self, scope: Scope, headers: Headers) -> None:
        host, path = _address(scope, Headers(scope["headers"]))
        here = f"{scope.get('scheme', 'http')}://{host}{path}"
        places = {_place(host, path)}
        try:
            for name in ("location", "content-location"):
                named = urlsplit(urljoin(here, headers.get(name)))
                if f"{named.scheme}://{named.netloc.lower()}{named.path}".startswith(here.removesuffix(path) + "/"):
                    places.add(_place(host, named.path))
            for place in places:
                selection = ops.Selection(tags=(place,), scope=self.cache.scope or None)
                await surely(self.cache.backend.flow(ops.Invalidate(selection)))
        except Exception:
            log.warning("llmcache: what was changed may still be cached", exc_info=True)


class _Exchange:
    """One call of the application, whose response is kept if it may be."""

    def __init__(
        self,
        cache: CacheMiddleware,
        request: _Request,
        found: _Found,
        spare: Stored | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self._cache, self._request, self._found, self._spare = cache, request, found, spare
        self._receive, self._send = receive, send
        self._token = found.token
        self._state: Literal["start", "hold", "pass", "over"] = "start"
        self._start: Message = {}
        self._life: Life | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._told_request = False
        #: Set when the client is listened to again: a response for all is not given up because one has gone.
        self._is_own = asyncio.Event()
        self._began = time.monotonic()

    async def run(self) -> None:
        """Calls the application."""
        try:
            await arun(self._call())
            # An application may give up by itself, at any point.
            await self._let_go("the response broke off")
            if self._state in ("start", "hold"):
                await self._hand_on()
        except Exception as error:
            await self._let_go(type(error).__name__)
            if self._spare is None or self._state not in ("start", "hold"):
                raise
            log.warning("llmcache: an old response serves, since the application failed", exc_info=True)
            await self._cache._respond(self._request, self._spare, "STALE", self._send)
        except BaseException:
            await self._let_go(None)
            raise

    def _call(self) -> Flow[None]:
        call = Call(self._cache.app, (self._scope(), self._next, self._take))
        if self._token is not None:
            call.meanwhile, call.every = self._renew, self._cache.cache.times.lease / 3
        yield call

    def _scope(self) -> Scope:
        """The request as the application has it: for all, not for this client."""
        theirs = _OURS | {"accept-encoding"} if self._cache.compress else _OURS
        scope = self._request.scope
        headers = [(name, value) for name, value in scope["headers"] if name.decode("latin-1").lower() not in theirs]
        extensions = {name: each for name, each in (scope.get("extensions") or {}).items() if name not in _PAST_US}
        self._request.scope = {**scope, "headers": headers, "extensions": extensions}
        return self._request.scope

    async def _next(self) -> Message:
        if not self._told_request:
            self._told_request = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._is_own.wait()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message

    async def _take(self, message: Message) -> None:
        kind = message["type"]
        if self._state == "over":
            return
        if self._state == "pass" or kind not in ("http.response.start", "http.response.body"):
            return await self._send(message)
        if kind == "http.response.start":
            return await self._take_start(message)
        self._body.append(message.get("body", b""))
        self._size += len(self._body[-1])
        is_last = not message.get("more_body", False)
        if self._life is not None and self._size > self._cache.max_bytes:
            self._life = None
            await self._settle_unkept()
        if self._life is None:
            await self._hand_on(is_last)
        elif is_last:
            await self._keep(self._life)

    async def _take_start(self, start: Message) -> None:
        self._start, self._life = start, self._cache.life(self._request, start)
        if start["status"] >= 500 and self._spare is not None:
            self._state = "over"
            await self._let_go(str(start["status"]))
            await self._cache._respond(self._request, self._spare, "STALE", self._send)
            return self._is_own.set()
        self._state = "hold"
        headers = Headers(start.get("headers", ()))
        if (whole(headers.get("content-length")) or 0) > self._cache.max_bytes:
            self._life = None
        if self._life is None:
            await self._settle_unkept()
            if headers.get("content-type").lower().startswith(_LIVE):
                await self._hand_on()

    async def _hand_on(self, is_last: bool = False) -> None:
        """Sends what was held back, as the client wants it where it is all, and what follows as it comes."""
        self._state = "pass"
        self._is_own.set()
        if not self._start:
            return
        body, self._body = b"".join(self._body), []
        headers = Headers(self._start.get("headers", ())).all
        status, headers, dressed = await self._cache.dressed(
            self._request, self._start["status"], headers, body if is_last else None
        )
        if is_last or status == 304:
            body, is_last = dressed, True
        if status == 304:
            self._state = "over"
        await _marking(self._send)({**self._start, "status": status, "headers": raw(headers)})
        if body or is_last:
            await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})

    async def _keep(self, life: Life) -> None:
        try:
            tags = self._cache.tags(self._request.scope) if callable(self._cache.tags) else self._cache.tags
            tags = tags_of([*tags, self._request.place])
        except Exception:
            # Nobody could remove it.
            log.warning("llmcache: a response has no tags, so it is not cached", exc_info=True)
            await self._settle_unkept()
            return await self._hand_on(True)
        self._state = "over"
        body, headers = b"".join(self._body), Headers(self._start.get("headers", ()))
        kept = headers.kept()
        if "etag" not in headers and self._start["status"] in (200, 203):
            kept.append(("etag", f'"{hashlib.sha256(body).hexdigest()[:32]}"'))
        stored = Stored(self._start["status"], kept, time.time(), stated_age(headers), life, body=body)
        vary = {name for name in headers.words("vary") if name != "accept-encoding" or not self._cache.compress}
        names = {*self._found.names, *(vary - set(self._cache.headers))}
        cache = self._cache
        keep = ops.Keep(
            ttl=max(0.001, life.fresh - stored.age),
            stale=math.ceil(max(life.while_revalidate, life.if_error)),
            type=cache.type,
            tags=tags,
            latency=(time.monotonic() - self._began) * 1000,
            tokens=(0, 0),
            cost=0,
        )
        backend = cache.cache.backend
        target = cache._question(self._request, names)
        if names != set(self._found.names):
            await arun(store(backend, target, stored.encode(), keep, None))
            await self._point_to(names, keep)
        else:
            await arun(store(backend, target, stored.encode(), keep, self._token))
            if names:
                await arun(store(backend, cache._question(self._request, ()), _pointer(names), _plainly(keep), None))
        self._token = None
        await cache._respond(self._request, stored, "MISS", self._send)
        # Not before: who hears that the client has gone may end what is still to be kept for others.
        self._is_own.set()

    async def _point_to(self, names: set[str], keep: ops.Keep) -> None:
        """Tells those who look where this was looked for on which headers it depends."""
        backend, asked, keep = self._cache.cache.backend, self._found.question, _plainly(keep)
        await arun(store(backend, asked, _pointer(names), keep, self._token))
        root = self._cache._question(self._request, ())
        if root != asked:
            await arun(store(backend, root, _pointer(names), keep, None))

    async def _settle_unkept(self) -> None:
        """Tells those who wait that this is not for them."""
        if self._start["status"] >= 500:
            return await self._let_go(str(self._start["status"]))
        if self._token is not None:
            token, self._token = self._token, None
            keep = ops.Keep(ttl=self._cache.pass_for, type=self._cache.type, tokens=(0, 0), cost=0)
            passes = Stored(passes=True).encode()
            await arun(store(self._cache.cache.backend, self._found.question, passes, keep, token))

    async def _let_go(self, error: str | None) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                await surely(self._cache.cache.backend.flow(ops.Release(self._found.question, token, error)))
            except Exception:
                # It runs out by itself.
                pass

    def _renew(self) -> Flow[bool]:
        if self._token is None:
            return False
        lease = round(self._cache.cache.times.lease * 1000)
        return (yield from self._cache.cache.backend.flow(ops.Renew(self._found.question, self._token, lease)))


def _read(fetched: Fetched) -> Stored | None:
    if fetched.answer is None:
        return None
    try:
        return Stored.decode(fetched.answer.response)
    except (ValueError, TypeError):
        log.warning("llmcache: a cached response cannot be read and is made anew")
        return None


def _serves_errors(stored: Stored) -> bool:
    return bool(stored.status) and stored.age_now() - stored.life.fresh < stored.life.if_error


def _pointer(names: set[str]) -> bytes:
    return Stored(vary=sorted(names)).encode()


def _plainly(keep: ops.Keep) -> ops.Keep:
    return keep.on(ttl=(keep.ttl or 0) + (keep.stale or 0), stale=None, tags=())


def _address(scope: Scope, headers: Headers) -> tuple[str, str]:
    """The host and the path that are asked for."""
    path = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()
    return headers.get("host").lower(), path.decode("latin-1")


def _place(host: str, path: str) -> str:
    """The tag of what is kept of a path, whatever the query."""
    return "path:" + hashlib.sha256(f"{host} {unquote(path)}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _value(headers: Headers, name: str) -> str | None:
    """What a header says, as part of a key."""
    if name not in headers:
        return None
    value = headers.get(name)
    return hashlib.sha256(value.encode()).hexdigest() if name in _SECRET else value


def _marking(send: Send) -> Send:
    """Says of a response that it is the application's."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"x-cache", b"MISS")]}
        await send(message)

    return marked


async def _answer(send: Send, status: int, headers: list[tuple[str, str]] | Mapping[str, str], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": raw(headers)})
    await send({"type": "http.response.body", "body": body})
