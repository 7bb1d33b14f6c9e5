"""The HTTP cache in front of applications of Starlette, of FastAPI, and of nothing but ASGI."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from conftest import RedisServer, arguments, free_port

from llmcache import AsyncCache, Cache
from llmcache.adapters.asgi import CacheMiddleware

httpx: Any = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from fastapi import FastAPI, HTTPException, Response  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.background import BackgroundTask  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import FileResponse, JSONResponse, StreamingResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

Work = Callable[[Any], Awaitable[None]]


class App:
    """Answers as it is told, and counts."""

    def __init__(self, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.calls: list[dict[str, Any]] = []
        self.headers, self.body, self.status = headers or {}, body, 200
        self.error: Exception | None = None
        self.seconds = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append(scope)
        number = len(self.calls)
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body or b"answer %d" % number})


@pytest.fixture(params=["server", "memory"])
def cache(request: pytest.FixtureRequest) -> Iterator[AsyncCache]:
    yield AsyncCache(name="http", **arguments(request.param, request))  # type: ignore[arg-type]


def client(app: Any) -> Any:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def asking(app: Any, work: Work) -> None:
    async def all_of_it() -> None:
        async with client(app) as web:
            await work(web)

    asyncio.run(all_of_it())


def seen(response: Any) -> tuple[str, str | None]:
    return response.text, response.headers.get("x-cache")


def test_a_response_is_kept_as_long_as_it_says(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=1", "content-type": "text/plain", "x-own": "a"})

    async def work(web: Any) -> None:
        first, second = await web.get("/a"), await web.get("/a")
        assert (seen(first), seen(second)) == (("answer 1", "MISS"), ("answer 1", "HIT"))
        assert second.headers["x-own"] == "a" and second.headers["content-length"] == "8"
        assert second.headers["cache-control"] == "max-age=1"
        assert "age" not in first.headers and second.headers["age"] == "0"
        assert first.headers["etag"] == second.headers["etag"] == f'"{hashlib.sha256(b"answer 1").hexdigest()[:32]}"'
        await asyncio.sleep(1.1)
        assert seen(await web.get("/a")) == ("answer 2", "MISS")

    asking(CacheMiddleware(app, cache), work)


@pytest.mark.parametrize(
    ("control", "is_kept"),
    [
        ("", False),
        ("max-age=60", True),
        ("s-maxage=60, max-age=0", True),
        ("max-age=60, s-maxage=0", False),
        ("public, max-age=60", True),
        ("private, max-age=60", False),
        ("no-store, max-age=60", False),
        ("no-cache, max-age=60", False),
        ('private="x-own", max-age=60', False),
        ("max-age=nonsense", False),
        ("max-age=0", False),
        ('MAX-AGE="60"', True),
    ],
)
def test_what_a_response_says_is_obeyed(cache: AsyncCache, control: str, is_kept: bool) -> None:
    async def work(web: Any) -> None:
        await web.get("/a")
        assert seen(await web.get("/a")) == (("answer 1", "HIT") if is_kept else ("answer 2", "MISS"))

    asking(CacheMiddleware(App({"cache-control": control}), cache), work)


def test_expires_and_age_count(cache: AsyncCache) -> None:
    app = App({"expires": email.utils.formatdate(time.time() + 60, usegmt=True)})

    async def work(web: Any) -> None:
        await web.get("/a")
        assert seen(await web.get("/a"))[1] == "HIT"
        app.headers = {"expires": "0"}
        assert [seen(await web.get("/b"))[1] for _ in range(2)] == ["MISS", "MISS"]
        app.headers = {"cache-control": "max-age=100", "age": "40"}
        await web.get("/c")
        assert (await web.get("/c")).headers["age"] == "40"
        app.headers = {"cache-control": "max-age=100", "age": "100"}
        await web.get("/d")
        assert seen(await web.get("/d"))[1] == "MISS"
        for age in ("\xb2", "9" * 5000, "-1", "x"):
            app.headers = {"cache-control": "max-age=100", "age": age}
            assert (await web.get(f"/e?{age[:9]}")).status_code == 200
        app.headers = {"cache-control": "max-age=100", "content-length": "\xb2"}
        assert (await web.get("/f")).status_code == 200
        # What has come from elsewhere, and was made some time ago.
        for ago, verdicts in ((40, ["MISS", "HIT"]), (200, ["MISS", "MISS"])):
            app.headers = {"cache-control": "max-age=100", "date": email.utils.formatdate(time.time() - ago)}
            told = [await web.get(f"/g?{ago}") for _ in range(2)]
            assert [response.headers["x-cache"] for response in told] == verdicts
            assert told[1].headers.get("age") in (None, "40", "41")

    asking(CacheMiddleware(app, cache), work)


def test_a_default_life_is_for_those_who_say_nothing(cache: AsyncCache) -> None:
    app = App()

    async def work(web: Any) -> None:
        assert [seen(await web.get("/a"))[1] for _ in range(2)] == ["MISS", "HIT"]
        app.headers = {"cache-control": "no-store"}
        assert [seen(await web.get("/b"))[1] for _ in range(2)] == ["MISS", "MISS"]
        app.headers, app.status = {}, 404
        assert [seen(await web.get("/c"))[1] for _ in range(2)] == ["MISS", "MISS"]
        app.headers = {"cache-control": "max-age=60"}
        assert [(r := await web.get("/d")).status_code for _ in range(2)] == [404, 404] and seen(r)[1] == "HIT"
        app.status = 302
        assert [seen(await web.get("/e"))[1] for _ in range(2)] == ["MISS", "MISS"]

    asking(CacheMiddleware(app, cache, ttl=60), work)


def test_path_and_query_are_the_key(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})

    async def work(web: Any) -> None:
        first = seen(await web.get("/a?b=2&a=1&utm=x"))[0]
        assert seen(await web.get("/a?a=1&utm=y&b=2")) == (first, "HIT")
        others = ["/a", "/a?a=1", "/a?a=2&b=1", "/b?a=1&b=2", "/a%3Fa=1&b=2", "/a?a=1&a=2", "/a?a=2&a=1"]
        for path in others:
            assert seen(await web.get(path))[1] == "MISS", path
        assert seen(await web.get("/a", headers={"host": "other"}))[1] == "MISS"
        assert seen(await web.post("/a")) == (f"answer {len(app.calls)}", None)

    asking(CacheMiddleware(app, cache, ignore=["utm"]), work)


def test_chosen_headers_are_part_of_the_key(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})

    async def work(web: Any) -> None:
        ann, bob = {"authorization": "Bearer ann"}, {"authorization": "Bearer bob"}
        for who, text in ((ann, "answer 1"), (bob, "answer 2"), (ann, "answer 1"), (bob, "answer 2"), ({}, "answer 3")):
            assert seen(await web.get("/a", headers=who))[0] == text
        entries = [await cache.entry(id) async for id, _ in cache.scan()]
        assert len(entries) == 3 and not any("Bearer" in entry.params for entry in entries if entry)

    asking(CacheMiddleware(app, cache, headers=["Authorization"]), work)


def test_what_is_somebodys_own_is_not_kept(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})

    async def work(web: Any) -> None:
        ann = {"authorization": "Bearer ann"}
        assert [seen(await web.get("/a", headers=ann))[1] for _ in range(2)] == ["MISS", "MISS"]
        app.headers = {"cache-control": "public, max-age=60"}
        assert [seen(await web.get("/b", headers=ann))[1] for _ in range(2)] == ["MISS", "HIT"]
        assert seen(await web.get("/b"))[1] == "MISS"
        app.headers = {"cache-control": "max-age=60", "set-cookie": "a=b"}
        for _ in range(2):
            web.cookies = httpx.Cookies()
            assert seen(await web.get("/c"))[1] == "MISS"
        web.cookies, app.headers = httpx.Cookies(), {}
        for who in ({"cookie": "s=1"}, {"x-api-key": "k"}):
            assert [seen(await web.get("/d", headers=who))[1] for _ in range(2)] == ["MISS", "MISS"]
        app.headers = {"cache-control": "max-age=60"}
        assert [seen(await web.get("/e", headers={"x-api-key": "k"}))[1] for _ in range(2)] == ["MISS", "MISS"]
        app.headers = {"cache-control": "public, max-age=60"}
        assert [seen(await web.get("/f", headers={"x-api-key": "k"}))[1] for _ in range(2)] == ["MISS", "HIT"]
        assert seen(await web.get("/f"))[1] == "MISS"

    asking(CacheMiddleware(app, cache, ttl=60), work)


def test_cookies_are_kept_where_that_is_wanted(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60", "set-cookie": "a=b"})

    async def work(web: Any) -> None:
        web.cookies = httpx.Cookies()
        await web.get("/a")
        web.cookies = httpx.Cookies()
        again = await web.get("/a")
        assert (seen(again)[1], again.headers["set-cookie"]) == ("HIT", "a=b")

    asking(CacheMiddleware(app, cache, store_cookies=True), work)


def test_vary_tells_responses_apart(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60", "vary": "Accept-Language"})

    async def work(web: Any) -> None:
        async def ask(**headers: str) -> tuple[str, str | None]:
            return seen(await web.get("/a", headers={name.replace("_", "-"): each for name, each in headers.items()}))

        assert await ask(accept_language="de") == ("answer 1", "MISS")
        assert await ask(accept_language="en") == ("answer 2", "MISS")
        assert await ask(accept_language="de") == ("answer 1", "HIT")
        assert await ask(accept_language="en", x_a="1") == ("answer 2", "HIT")
        app.headers["vary"] = "X-A"
        assert await ask(accept_language="fr", x_a="1") == ("answer 3", "MISS")
        assert await ask(accept_language="fr", x_a="2") == ("answer 4", "MISS")
        assert await ask(accept_language="fr", x_a="1") == ("answer 3", "HIT")
        app.headers["vary"] = "*"
        assert [(await ask(accept_language="x"))[1] for _ in range(2)] == ["MISS", "MISS"]

    asking(CacheMiddleware(app, cache), work)


def test_hundreds_who_vary_wait_for_their_own(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60", "vary": "Accept-Language"})
    app.seconds = 0.2

    async def work(web: Any) -> None:
        languages = ["de", "en"] * 20
        asked = [web.get("/a", headers={"accept-language": language}) for language in languages]
        told = {(language, r.text) for language, r in zip(languages, await asyncio.gather(*asked), strict=True)}
        assert len(told) == 2 and len({text for _, text in told}) == 2 and len(app.calls) == 2

    asking(CacheMiddleware(app, cache), work)


def test_what_a_request_says_is_obeyed(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})

    async def ask(web: Any, control: str, path: str = "/a") -> tuple[str, str | None]:
        return seen(await web.get(path, headers={"cache-control": control}))

    async def work(web: Any) -> None:
        assert (await web.get("/a", headers={"cache-control": "only-if-cached"})).status_code == 504
        assert app.calls == []
        assert await ask(web, "no-store") == ("answer 1", None)
        assert await ask(web, "max-age=10") == ("answer 2", "MISS")
        assert await ask(web, "max-age=10") == ("answer 2", "HIT")
        assert await ask(web, "only-if-cached") == ("answer 2", "HIT")
        assert await ask(web, "no-cache") == ("answer 3", "MISS")
        assert seen(await web.get("/a", headers={"pragma": "no-cache"})) == ("answer 4", "MISS")
        assert await ask(web, "") == ("answer 4", "HIT")
        await asyncio.sleep(1.1)
        assert await ask(web, "max-age=1") == ("answer 5", "MISS")
        assert await ask(web, "max-age=0") == ("answer 6", "MISS")
        assert await ask(web, "") == ("answer 6", "HIT")
        assert await ask(web, "min-fresh=50") == ("answer 6", "HIT")
        assert [await ask(web, "min-fresh=60"), await ask(web, "")] == [("answer 7", "MISS"), ("answer 7", "HIT")]

    asking(CacheMiddleware(app, cache), work)

    async def deaf(web: Any) -> None:
        for control in ("no-cache", "no-store", "max-age=0"):
            assert await ask(web, control) == ("answer 7", "HIT")

    asking(CacheMiddleware(app, cache, obey_requests=False), deaf)


def test_a_client_that_has_it_is_told_so(cache: AsyncCache) -> None:
    app = App(
        {"cache-control": "max-age=60", "content-type": "text/plain", "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    )

    async def work(web: Any) -> None:
        etag = (await web.get("/a")).headers["etag"]
        for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            told = await web.get("/a", headers={"if-none-match": known})
            assert (told.status_code, told.content, told.headers["etag"]) == (304, b"", etag), known
            assert told.headers["cache-control"] == "max-age=60" and "content-type" not in told.headers
        assert (await web.get("/a", headers={"if-none-match": '"x"'})).status_code == 200
        since = {"if-modified-since": "Tue, 02 Jan 2024 00:00:00 GMT"}
        assert (await web.get("/a", headers=since)).status_code == 304
        assert (await web.get("/a", headers={"if-modified-since": "Sun, 31 Dec 2023 00:00:00 GMT"})).status_code == 200
        assert (await web.get("/a", headers=since | {"if-none-match": '"x"'})).status_code == 200
        # On a miss too, for which the application is asked as if nobody had anything.
        app.headers["etag"] = '"own"'
        missed = await web.get("/b", headers={"if-none-match": '"own"'})
        assert (missed.status_code, missed.headers["x-cache"]) == (304, "MISS")
        assert (await web.get("/b")).headers["etag"] == '"own"'
        assert b"if-none-match" not in dict(app.calls[-1]["headers"])

    asking(CacheMiddleware(app, cache), work)


def test_head_is_answered_from_what_get_left(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})

    async def work(web: Any) -> None:
        assert seen(await web.head("/a"))[1] is None
        await web.get("/a")
        head = await web.head("/a")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "8")
        assert head.headers["x-cache"] == "HIT" and len(app.calls) == 2

    asking(CacheMiddleware(app, cache), work)


TEXT = b"a text that repeats itself. " * 100


@pytest.mark.parametrize(
    ("accepts", "is_gzip"),
    [
        ("gzip", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("", False),
        ("br, gzip;q=0.5", True),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=1.0", True),
        ("gzip;q=0, *", False),
        ("x-gzip", True),
        ("deflate, br", False),
        ("GZIP ; Q=0.3", True),
        ("gzip;q=nonsense", False),
    ],
)
def test_texts_are_compressed_on_their_way_out(cache: AsyncCache, accepts: str, is_gzip: bool) -> None:
    app = App({"cache-control": "max-age=60", "content-type": "text/html; charset=utf-8", "vary": "Origin"}, TEXT)

    async def work(web: Any) -> None:
        plain = await web.get("/a", headers={"accept-encoding": "identity"})
        assert plain.content == TEXT and plain.headers["vary"] == "Origin, Accept-Encoding"
        async with web.stream("GET", "/a", headers={"accept-encoding": accepts}) as response:
            data = b"".join([part async for part in response.aiter_raw()])
        assert response.headers["x-cache"] == "HIT" and response.headers["vary"] == "Origin, Accept-Encoding"
        assert (response.headers.get("content-encoding") == "gzip") == is_gzip
        assert (gzip.decompress(data) if is_gzip else data) == TEXT
        assert response.headers["content-length"] == str(len(data)) and (len(data) < 200) == is_gzip
        etag = plain.headers["etag"]
        assert response.headers["etag"] == (f"W/{etag}" if is_gzip else etag)
        known = await web.get("/a", headers={"accept-encoding": accepts, "if-none-match": response.headers["etag"]})
        assert (known.status_code, known.headers["etag"]) == (304, response.headers["etag"])
        head = await web.head("/a", headers={"accept-encoding": accepts})
        assert head.headers["content-length"] == str(len(data)) and head.content == b""
        assert len(app.calls) == 1 and b"accept-encoding" not in dict(app.calls[0]["headers"])

    asking(CacheMiddleware(app, cache), work)


def test_what_is_small_or_no_text_is_not_compressed(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60", "content-type": "image/png"}, TEXT)

    async def work(web: Any) -> None:
        picture = await web.get("/a")
        assert "content-encoding" not in picture.headers and "vary" not in picture.headers
        app.headers["content-type"], app.body = "application/json", b"[1]"
        assert "content-encoding" not in (await web.get("/b")).headers
        app.body, app.headers["cache-control"] = TEXT, "max-age=60, no-transform"
        assert "content-encoding" not in (await web.get("/c")).headers
        app.headers["cache-control"] = "max-age=60"
        assert (await web.get("/d")).headers["content-encoding"] == "gzip"
        app.headers["content-encoding"] = "br"
        app.body = b"no real brotli"
        for _ in range(2):
            async with web.stream("GET", "/e") as response:
                assert b"".join([part async for part in response.aiter_raw()]) == app.body
            assert response.headers["x-cache"] == "MISS"

    asking(CacheMiddleware(app, cache), work)


def test_what_is_not_kept_is_sent_as_the_client_wants_it(cache: AsyncCache) -> None:
    app = App({"cache-control": "no-cache", "content-type": "text/plain", "etag": '"own"'}, TEXT)

    async def work(web: Any) -> None:
        for path in ("/a", "/b"):
            known = await web.get(path, headers={"if-none-match": 'W/"own"'})
            assert (known.status_code, known.content, known.headers["x-cache"]) == (304, b"", "MISS")
            assert "content-type" not in known.headers
        app.headers["content-length"] = str(len(TEXT))
        for path, accepts in (("/c", "gzip"), ("/d", "identity")):
            async with web.stream("GET", path, headers={"accept-encoding": accepts}) as response:
                data = b"".join([part async for part in response.aiter_raw()])
            assert (gzip.decompress(data) if accepts == "gzip" else data) == TEXT
            assert response.headers["content-length"] == str(len(data)) and response.headers["x-cache"] == "MISS"
            assert response.headers["vary"] == "Accept-Encoding"
            assert response.headers["etag"] == ('W/"own"' if accepts == "gzip" else '"own"')
        app.headers |= {"content-encoding": "br", "etag": '"other"'}
        async with web.stream("GET", "/e", headers={"accept-encoding": "gzip, br"}) as response:
            assert b"".join([part async for part in response.aiter_raw()]) == TEXT
        assert response.headers["content-encoding"] == "br" and "vary" not in response.headers
        app.headers, app.body, app.status = {"x-own": "1"}, b"", 204
        assert (await web.get("/f")).headers["x-own"] == "1"

    asking(CacheMiddleware(app, cache), work)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OWN"])
def test_what_changes_a_thing_removes_what_is_kept_of_it(cache: AsyncCache, method: str) -> None:
    app = App({"cache-control": "max-age=60"})
    cache.scope = "site"
    paths = ["/a", "/a?page=2", "/a/b", "/c", "/d%C3%A4"]

    async def work(web: Any) -> None:
        async def kept() -> list[str]:
            return [path for path in paths if seen(await web.get(path))[1] == "HIT"]

        async def change(status: int, **headers: str) -> None:
            before, app.headers, app.status = app.headers, headers, status
            await web.request(method, "/a")
            app.headers, app.status = before, 200

        await kept()
        for status in (400, 404, 500):
            await change(status)
        assert await kept() == paths
        for status in (200, 201, 204, 303):
            await change(status)
            assert await kept() == paths[2:]
        await change(201, location="/c", **{"content-location": "http://TEST/d%c3%a4"})
        assert await kept() == ["/a/b"]
        await change(201, location="http://other/c", **{"content-location": "https://test/a/b"})
        assert await kept() == paths[2:]
        await web.request("OPTIONS", "/a")
        await web.request(method, "/a", headers={"host": "other"})
        assert await kept() == paths

    asking(CacheMiddleware(app, cache), work)


def test_what_varies_is_removed_as_well(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60", "vary": "x-a"})

    async def work(web: Any) -> None:
        for verdicts in (["MISS", "MISS", "HIT"], ["MISS", "MISS", "HIT"]):
            told = [seen(await web.get("/a", headers={"x-a": each}))[1] for each in ("1", "2", "1")]
            assert told == verdicts
            assert (await web.put("/a")).status_code == 200

    asking(CacheMiddleware(app, cache), work)


def test_what_fails_here_fails_no_response(cache: AsyncCache, caplog: pytest.LogCaptureFixture) -> None:
    def fails(scope: Any) -> Any:
        raise LookupError("no")

    async def work(web: Any) -> None:
        told = [await web.get("/a") for _ in range(2)]
        assert [response.text for response in told] == ["answer 1", "answer 2"]

    asking(CacheMiddleware(App({"cache-control": "max-age=60"}), cache, tags=fails), work)
    assert "has no tags" in caplog.text
    asking(CacheMiddleware(App({"cache-control": "max-age=60"}), cache, when=fails), work)

    def breaks(op: Any) -> Any:
        raise ZeroDivisionError("broken")
        yield

    shop = CacheMiddleware(App({"cache-control": "max-age=60"}), cache)

    async def broken(web: Any) -> None:
        assert (await web.post("/a")).text == "answer 1"
        assert (await web.head("/a")).status_code == 200

    cache.backend.flow = breaks  # type: ignore[method-assign]
    asking(shop, broken)
    assert "may still be cached" in caplog.text


def test_one_call_for_all_who_ask_at_once(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})
    app.seconds = 0.3

    async def work(web: Any) -> None:
        told = await asyncio.gather(*(web.get("/a") for _ in range(100)))
        assert len(app.calls) == 1 and {response.text for response in told} == {"answer 1"}
        assert sorted(response.headers["x-cache"] for response in told) == ["HIT"] * 99 + ["MISS"]
        await asyncio.sleep(1.1)
        told = await asyncio.gather(*(web.get("/a", headers={"cache-control": "no-cache"}) for _ in range(50)))
        assert {response.text for response in told} == {"answer 2"}

    asking(CacheMiddleware(app, cache), work)


def test_nobody_waits_for_what_is_not_kept(cache: AsyncCache) -> None:
    app = App({"cache-control": "no-store"})
    app.seconds = 0.2

    async def work(web: Any) -> None:
        began = time.monotonic()
        told = await asyncio.gather(*(web.get("/a") for _ in range(30)))
        assert len({response.text for response in told}) == 30 and time.monotonic() - began < 2
        # What it is asked then is the client's own request.
        await web.get("/a", headers={"if-none-match": '"x"'})
        assert (b"if-none-match", b'"x"') in app.calls[-1]["headers"]
        app.headers = {"cache-control": "max-age=60"}
        await asyncio.sleep(0.6)
        assert [seen(await web.get("/a"))[1] for _ in range(2)] == ["MISS", "HIT"]

    asking(CacheMiddleware(app, cache, pass_for=0.5), work)


def test_an_old_response_serves_while_a_new_one_is_made(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=1, stale-while-revalidate=60"})

    async def work(web: Any) -> None:
        await web.get("/a")
        await asyncio.sleep(1.1)
        app.seconds = 0.3
        began = time.monotonic()
        told = await asyncio.gather(*(web.get("/a") for _ in range(20)))
        assert time.monotonic() - began < 0.25
        assert {seen(response) for response in told} == {("answer 1", "STALE")}
        assert told[0].headers["age"] == "1"
        await asyncio.sleep(0.5)
        assert seen(await web.get("/a")) == ("answer 2", "HIT") and len(app.calls) == 2

    asking(CacheMiddleware(app, cache), work)


@pytest.mark.parametrize(
    "control", ["max-age=1, must-revalidate, stale-while-revalidate=60", "s-maxage=1", "max-age=1"]
)
def test_an_old_response_serves_only_where_it_may(cache: AsyncCache, control: str) -> None:
    app = App({"cache-control": control})
    extra = 0.0 if control == "max-age=1" else 60.0

    async def work(web: Any) -> None:
        await web.get("/a")
        await asyncio.sleep(1.1)
        assert seen(await web.get("/a")) == ("answer 2", "MISS")

    asking(CacheMiddleware(app, cache, stale_while_revalidate=extra, stale_if_error=60), work)


def test_an_old_response_serves_when_the_application_fails(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=1, stale-if-error=60"})

    async def work(web: Any) -> None:
        await web.get("/a")
        await asyncio.sleep(1.1)
        app.error = LookupError("no")
        assert seen(await web.get("/a")) == ("answer 1", "STALE")
        app.error, app.status, app.seconds = None, 503, 0.2
        told = await asyncio.gather(*(web.get("/a") for _ in range(10)))
        assert {(response.status_code, *seen(response)) for response in told} == {(200, "answer 1", "STALE")}
        assert len(app.calls) == 3
        app.status = 200
        told = await asyncio.gather(*(web.get("/a") for _ in range(10)))
        assert {response.text for response in told} == {"answer 4"}
        assert sorted(response.headers["x-cache"] for response in told) == ["HIT"] * 9 + ["MISS"]

    asking(CacheMiddleware(app, cache), work)


def test_errors_are_never_kept(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})

    async def work(web: Any) -> None:
        app.error = LookupError("no")
        for _ in range(2):
            with pytest.raises(LookupError):
                await web.get("/a")
        app.error, app.status = None, 500
        assert [(await web.get("/a")).status_code for _ in range(2)] == [500, 500]
        app.status = 200
        assert [seen(await web.get("/a"))[1] for _ in range(2)] == ["MISS", "HIT"]
        app.status, app.seconds = 500, 0.2
        told = await asyncio.gather(*(web.get("/b") for _ in range(20)))
        assert {response.status_code for response in told} == {500}

    asking(CacheMiddleware(app, cache), work)


def test_a_response_that_breaks_off_is_not_kept(cache: AsyncCache) -> None:
    breaks = [True]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        if breaks.pop() if breaks else False:
            raise LookupError("no")
        await send({"type": "http.response.body", "body": b" and rest"})

    async def work(web: Any) -> None:
        with pytest.raises(LookupError):
            await web.get("/a")
        assert [seen(await web.get("/a")) for _ in range(2)] == [("part and rest", "MISS"), ("part and rest", "HIT")]

    asking(CacheMiddleware(app, cache), work)


async def talk(
    app: Any, path: str = "/a", gone: asyncio.Event | None = None, **more: Any
) -> tuple[list[Any], Awaitable[None]]:
    """What an application sends, as it comes, to a client that may go."""
    sent: list[Any] = []
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if asked:
            return asked.pop()
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "scheme": "http"}
    return sent, asyncio.ensure_future(app(scope | more, receive, send))


def test_large_and_live_bodies_are_handed_on_as_they_come(cache: AsyncCache) -> None:
    kind = {"/big": b"text/plain", "/live": b"text/event-stream", "/told": b"text/plain"}

    async def work() -> None:
        go = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"cache-control", b"max-age=60"), (b"content-type", kind[scope["path"]])]
            if scope["path"] == "/told":
                headers.append((b"content-length", b"202"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            size = 11 if scope["path"] == "/live" else 101
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
            await go.wait()
            await send({"type": "http.response.body", "body": b"y" * 101, "more_body": False})

        shop = CacheMiddleware(app, cache, max_bytes=100)
        for path in kind:
            go.clear()
            sent, running = await talk(shop, path)
            await asyncio.sleep(0.1)
            assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"], path
            assert sent[1]["body"][:11] == b"x" * 11 and sent[1]["more_body"] is True
            # Others have it as it comes as well.
            other, waiting = await talk(shop, path)
            await asyncio.sleep(0.1)
            assert len(other) == 2, path
            go.set()
            await asyncio.gather(running, waiting)  # type: ignore[arg-type]
            assert sent[2]["body"] == b"y" * 101 and not sent[2].get("more_body")
            again, running = await talk(shop, path)
            await running
            assert (b"x-cache", b"MISS") in again[0]["headers"]

    asyncio.run(work())


def test_a_body_in_parts_is_kept_whole(cache: AsyncCache) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"part %d;" % number

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(parts(), headers={"cache-control": "max-age=60"})(scope, receive, send)

    async def work(web: Any) -> None:
        told = [seen(await web.get("/a")) for _ in range(2)]
        assert told == [("part 0;part 1;part 2;part 3;part 4;", verdict) for verdict in ("MISS", "HIT")]

    asking(CacheMiddleware(app, cache), work)


def test_a_client_that_goes_takes_the_response_from_nobody(cache: AsyncCache) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.1)
            yield b"part;"

    calls = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope)
        await StreamingResponse(parts(), headers={"cache-control": "max-age=60"})(scope, receive, send)

    async def work() -> None:
        shop, gone = CacheMiddleware(app, cache), asyncio.Event()
        _, first = await talk(shop, gone=gone)
        await asyncio.sleep(0.05)
        sent, second = await talk(shop)
        gone.set()
        await asyncio.gather(first, second)  # type: ignore[arg-type]
        assert sent[1]["body"] == b"part;part;part;" and len(calls) == 1

    asyncio.run(work())


def test_a_client_whose_request_is_cancelled_leaves_the_call_to_the_next(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})
    app.seconds = 0.3

    async def work() -> None:
        shop = CacheMiddleware(app, cache)
        _, first = await talk(shop)
        await asyncio.sleep(0.1)
        sent, second = await talk(shop)
        await asyncio.sleep(0.05)
        first.cancel()  # type: ignore[attr-defined]
        began = time.monotonic()
        await second
        assert sent[1]["body"] == b"answer 2" and time.monotonic() - began < 5

    asyncio.run(work())


def test_a_request_in_a_cancelled_scope_leaves_the_call_to_the_next(cache: AsyncCache) -> None:
    anyio = pytest.importorskip("anyio")
    app = App({"cache-control": "max-age=60"})
    app.seconds = 10

    async def work(web: Any) -> None:
        with anyio.move_on_after(0.1):
            await web.get("/a")
        app.seconds = 0
        began = time.monotonic()
        assert (await web.get("/a")).text == "answer 2" and time.monotonic() - began < 5

    asking(CacheMiddleware(app, cache), work)


def test_a_client_that_goes_from_a_large_body_ends_it(cache: AsyncCache) -> None:
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        ended.append((await receive())["type"])

    async def work() -> None:
        gone = asyncio.Event()
        _, running = await talk(CacheMiddleware(app, cache), gone=gone)
        await asyncio.sleep(0.1)
        assert ended == []
        gone.set()
        await running
        assert ended == ["http.disconnect"]

    asyncio.run(work())


def test_tags_invalidate_what_they_are_on(cache: AsyncCache) -> None:
    calls: list[int] = []
    after: list[int] = []

    async def item(request: Request) -> JSONResponse:
        calls.append(1)
        told = {"item": request.path_params["number"], "call": len(calls)}
        return JSONResponse(told, headers={"cache-control": "max-age=60"}, background=BackgroundTask(after.append, 1))

    app = Starlette(routes=[Route("/items/{number}", item)])
    app.add_middleware(CacheMiddleware, cache=cache, tags=lambda scope: [f"item:{scope['path_params']['number']}"])

    async def work(web: Any) -> None:
        for path in ("/items/1", "/items/2", "/items/1"):
            await web.get(path)
        assert len(calls) == 2 and after == [1, 1]
        assert await cache.invalidate(tags=["item:1"]) == 1
        assert (await web.get("/items/1")).json() == {"item": "1", "call": 3}
        assert seen(await web.get("/items/2"))[1] == "HIT"
        assert await cache.invalidate(match="/items/*") == 2
        assert seen(await web.get("/items/2"))[1] == "MISS"
        assert (await web.get("/none")).status_code == 404

    asking(app, work)


def test_an_application_of_fastapi(cache: AsyncCache) -> None:
    calls: list[int] = []
    app = FastAPI()
    app.add_middleware(CacheMiddleware, cache=cache, ttl=60, tags=["api"])

    @app.get("/items/{number}")
    async def item(number: int, response: Response, full: bool = False) -> dict[str, Any]:
        calls.append(number)
        if number == 0:
            raise HTTPException(404, "no")
        return {"number": number, "full": full, "call": len(calls)}

    @app.get("/breaks")
    async def breaks() -> None:
        calls.append(0)
        raise LookupError("no")

    async def work(web: Any) -> None:
        told = [await web.get("/items/1") for _ in range(3)]
        assert [response.json()["call"] for response in told] == [1, 1, 1]
        assert (await web.get("/items/1?full=true")).json() == {"number": 1, "full": True, "call": 2}
        assert [(await web.get("/items/0")).status_code for _ in range(2)] == [404, 404] and len(calls) == 4
        for _ in range(2):
            with pytest.raises(LookupError):
                await web.get("/breaks")
        assert len(calls) == 6
        assert await cache.invalidate(tags=["api"]) == 2
        assert (await web.get("/items/1")).json()["call"] == 7

    asking(app, work)


def test_soft_invalidation_makes_one_call_and_no_old_answer_for_long(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})

    async def work(web: Any) -> None:
        await web.get("/a")
        assert await cache.invalidate(match="/a", soft=True) in (0, 1)
        assert seen(await web.get("/a")) == ("answer 2", "MISS")
        assert seen(await web.get("/a")) == ("answer 2", "HIT")

    asking(CacheMiddleware(app, cache), work)


def test_other_scopes_and_requests_pass_through(cache: AsyncCache) -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((scope["type"], receive, send))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
            await send({"type": "http.response.body", "body": b"x"})

    shop = CacheMiddleware(app, cache, when=lambda scope: scope["path"] != "/not")

    async def work() -> None:
        async def receive() -> Any: ...
        async def send(message: Any) -> None: ...

        for kind in ("lifespan", "websocket"):
            await shop({"type": kind}, receive, send)
            assert heard.pop() == (kind, receive, send)
        async with client(shop) as web:
            for path, headers in (("/not", {}), ("/a", {"range": "bytes=0-1"}), ("/a", {"content-length": "1"})):
                for _ in range(2):
                    answer = await web.get(path, headers=headers)
                    assert "x-cache" not in answer.headers
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                assert "x-cache" not in (await web.request(method, "/a")).headers

    asyncio.run(work())


def test_a_file_goes_by_the_body_and_not_past_it(cache: AsyncCache, tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_bytes(b"in a file")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await FileResponse(tmp_path / "a.txt", headers={"cache-control": "max-age=60"})(scope, receive, send)

    async def work() -> None:
        shop = CacheMiddleware(app, cache)
        for verdict in (b"MISS", b"HIT"):
            sent, running = await talk(shop, extensions={"http.response.pathsend": {}})
            await running
            assert sent[1]["body"] == b"in a file" and (b"x-cache", verdict) in sent[0]["headers"]

    asyncio.run(work())


def test_without_redis_the_application_answers() -> None:
    app = App({"cache-control": "max-age=60"})
    gone = AsyncCache(f"redis://127.0.0.1:{free_port()}", "http", fallback=None)

    async def work(web: Any) -> None:
        assert [seen(await web.get("/a")) for _ in range(2)] == [("answer 1", "MISS"), ("answer 2", "MISS")]
        assert (await web.head("/a")).status_code == 200

    asking(CacheMiddleware(app, gone), work)


def test_an_entry_that_is_no_response_is_made_anew(cache: AsyncCache) -> None:
    app = App({"cache-control": "max-age=60"})
    shop = CacheMiddleware(app, cache)

    async def work(web: Any) -> None:
        await web.get("/a")
        scope = {"headers": [(b"host", b"test")], "path": "/a", "raw_path": b"/a", "scheme": "http"}
        scope["headers"] = app.calls[0]["headers"]
        question = shop._question(shop._request(scope), ())
        assert await cache.set(question, "no response", condition="xx")
        assert [seen(await web.get("/a")) for _ in range(2)] == [("answer 2", "MISS"), ("answer 2", "HIT")]

    asking(shop, work)


def test_a_cache_for_those_who_wait_serves_as_well(server: RedisServer) -> None:
    app = App({"cache-control": "max-age=60"})

    async def work(web: Any) -> None:
        assert [seen(await web.get("/a"))[1] for _ in range(2)] == ["MISS", "HIT"]

    asking(CacheMiddleware(app, Cache(server.url, "http", fallback=None)), work)


def test_a_long_call_keeps_its_lease(cache: AsyncCache) -> None:
    cache.times = type(cache.times)(lease=0.3, block=10)
    app = App({"cache-control": "max-age=60"})
    app.seconds = 1.0

    async def work(web: Any) -> None:
        told = await asyncio.gather(*(web.get("/a") for _ in range(3)))
        assert {response.text for response in told} == {"answer 1"} and len(app.calls) == 1

    asking(CacheMiddleware(app, cache), work)


def test_costs_are_not_made_up(server: RedisServer, cache: AsyncCache) -> None:
    async def work(web: Any) -> None:
        await web.get("/a"), await web.get("/a")
        stats = await cache.stats()
        assert stats.hits == 1 and stats.tokens_saved == 0 and stats.cost_saved_usd == 0

    asking(CacheMiddleware(App({"cache-control": "max-age=60"}, TEXT), cache), work)
