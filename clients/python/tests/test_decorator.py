"""`@cached`: functions, methods and coroutines whose answers are kept."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import importlib
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import time
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from conftest import arguments

from llmcache import BYTES, JSON, TEXT, AsyncCache, Cache, Codec, Question, cached
from llmcache.codecs import NotStorable
from llmcache.decorator import Cached
from llmcache.plain import plain, text

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@pytest.fixture(params=["server", "memory"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """A cache on a server, and one in this process."""
    with Cache(name="faq", **arguments(request.param, request)) as cache:  # type: ignore[arg-type]
        HERE[:] = [cache]
        yield cache


SHARED = Cache("memory:")


def no_calls_yet() -> bool:
    """Whether nothing was called."""
    return not CALLS


@cached(SHARED)
def at_top(a: int) -> int:
    """Doubles."""
    return a * 2


def test_a_function_is_called_once_for_each_of_its_arguments(cache: Cache) -> None:
    @cached(cache)
    def add(a: int, b: int = 2, *rest: int, c: int = 3, **more: int) -> list[int]:
        """Adds."""
        CALLS.append((a, b, rest, c, more))
        return [a + b + c + sum(rest) + sum(more.values())]

    for _ in range(2):
        assert add(1) == add(1, 2) == add(a=1) == add(b=2, a=1, c=3) == [6]
    assert len(CALLS) == 1
    for _ in range(2):
        assert add(1, 2, 4) == [10] and add(1, d=4) == [10] and add(1, c=7) == [10] and add(1, e=4) == [10]
    assert len(CALLS) == 5
    assert (add.__name__, add.__doc__, add.__wrapped__(5)) == ("add", "Adds.", [10])  # type: ignore[attr-defined]
    assert list(inspect.signature(add).parameters) == ["a", "b", "rest", "c", "more"]
    with pytest.raises(TypeError):
        add()  # type: ignore[call-arg]


def test_names_of_keywords_are_not_taken_for_arguments(cache: Cache) -> None:
    @cached(cache)
    def both(a: int, /, **more: int) -> list[Any]:
        return [a, more]

    assert [both(1, a=2), both(3, a=2), both(1, more=2)] == [[1, {"a": 2}], [3, {"a": 2}], [1, {"more": 2}]]


def test_two_functions_do_not_share_answers(cache: Cache) -> None:
    one = cached(cache, name="one")(lambda a: ["one", a])

    @cached(cache)
    def two(a: int) -> Any:
        return ["two", a]

    assert one(1) == ["one", 1] and two(1) == ["two", 1]


def test_nobody_sees_what_another_does_to_an_answer(cache: Cache) -> None:
    @cached(cache)
    def make() -> dict[str, list[int]]:
        return {"a": [1]}

    for _ in range(3):
        answer = make()
        assert answer == {"a": [1]}
        answer["a"].append(2)


def test_none_and_falsehood_are_answers(cache: Cache) -> None:
    @cached(cache)
    def find(a: Any) -> Any:
        CALLS.append(a)
        return a

    for _ in range(2):
        assert find(None) is None and find(False) is False and find(0) == 0 and find("") == ""
    assert len(CALLS) == 4


HERE: list[Cache] = []


def here() -> Cache:
    """The cache of this test, for what is decorated before there is one."""
    return HERE[0]


class Base:
    rate = 1

    def __init__(self, key: str = "") -> None:
        self.cache_key = key

    @cached(here)
    def price(self, a: int) -> int:
        CALLS.append(a)
        return a * self.rate

    @classmethod
    @cached(here)
    def of_class(cls, a: int) -> str:
        CALLS.append(a)
        return f"{cls.__name__} {a}"

    @cached(here)
    @classmethod
    def of_class_too(cls, a: int) -> str:
        CALLS.append(a)
        return f"{cls.__name__} {a}"

    @staticmethod
    @cached(here)
    def of_none(a: int) -> int:
        CALLS.append(a)
        return -a

    @cached(here)
    @staticmethod
    def of_none_too(a: int) -> int:
        CALLS.append(a)
        return -a


class Other(Base):
    rate = 2


def test_methods(cache: Cache) -> None:
    base = Base()
    assert base.price(3) == Base().price(3) == base.price(a=3) == Base.price(base, 3) == 3
    assert len(CALLS) == 1
    # Another class may answer otherwise, and so may an object that says so.
    assert Other().price(3) == 6 and Base("k").price(3) == 3 and Base("k").price(3) == 3
    assert len(CALLS) == 3
    for _ in range(2):
        assert (Base.of_class(1), Other.of_class(1), Other().of_class(1)) == ("Base 1", "Other 1", "Other 1")
        assert (Base.of_class_too(1), Other().of_class_too(1)) == ("Base 1", "Other 1")
        assert Base.of_none(1) == Base().of_none(1) == Base.of_none_too(1) == Base().of_none_too(1) == -1
    assert len(CALLS) == 9
    assert base.price.invalidate(3) == 1
    assert base.price(3) == 3 and len(CALLS) == 10
    assert base.price.detail(3).was_cached and base.price.question(3) == base.price.question(a=3)
    assert list(inspect.signature(base.price).parameters) == ["a"]


def test_key_is_a_format_or_a_function(cache: Cache) -> None:
    @cached(cache, key="{user}:{page}")
    def by_format(user: str, page: int, trace: object = None, **more: Any) -> str:
        CALLS.append(page)
        return f"{user} {page}"

    assert by_format("a", 1) == by_format("a", 1, object()) == by_format("a", 1, x=object()) == "a 1"
    assert by_format("a", 2) == "a 2"
    assert len(CALLS) == 2

    @cached(cache, key=lambda user, **_: user["id"])
    def by_function(user: dict[str, Any], page: int = 0) -> Any:
        CALLS.append(page)
        return user["id"]

    assert by_function({"id": 1, "at": object()}) == by_function({"id": 1}, page=5) == 1
    assert by_function({"id": 2}) == 2
    assert len(CALLS) == 4


def test_ignored_arguments_change_nothing(cache: Cache) -> None:
    @cached(cache, ignore=["log", "trace"])
    def work(a: int, log: Any, *, trace: Any = None) -> int:
        CALLS.append(a)
        return a

    assert work(1, object()) == work(1, print, trace=object()) == 1
    assert len(CALLS) == 1
    with pytest.raises(TypeError, match="nothing"):
        cached(cache, ignore=["nothing"])(lambda a: a)
    with pytest.raises(TypeError, match="promt"):
        cached(cache, prompt="promt")(lambda prompt: prompt)


def test_prompt_model_and_scope_are_what_the_cache_sees(cache: Cache) -> None:
    @cached(cache, prompt="text", model="model", scope="user", codec=TEXT, ttl=50, type="faq")
    def ask(text: Any, model: str | None, user: int | None = None, depth: int = 1) -> str:
        CALLS.append(text)
        return f"{text} {model} {user} {depth}"

    question = ask.question("What?", "m", 7)
    assert (question.prompt, question.model, question.scope) == ("What?", "m", "7")
    for _ in range(2):
        assert ask("What?", "m", 7) == "What? m 7 1"
        assert ask("What?", "m", 8) == "What? m 8 1"
        assert ask("What?", "n", 8) == "What? n 8 1"
        assert ask("What?", "n", 8, depth=2) == "What? n 8 2"
        assert ask("What?", None) == "What? None None 1"
        assert ask("1", "m") == "1 m None 1" and ask(1, "m") == "1 m None 1"
    assert len(CALLS) == 7
    answer = cache.get(question)
    assert answer is not None and (answer.type, answer.model, answer.text) == ("faq", "m", "What? m 7 1")
    assert answer.ttl is not None and 45 < answer.ttl <= 50
    assert cache.invalidate(scope="8") == 3
    with pytest.raises(ValueError, match="exclude"):
        cached(cache, ttl=5, strategy="standard")
    cache.scope = "tenant"
    assert ask.question("What?", "m").scope == "tenant"


def test_tags_are_formats_or_a_function(cache: Cache) -> None:
    @cached(cache, tags=["user:{user}", "all", "{kind}"])
    def first(user: int, **more: str) -> int:
        return user

    @cached(cache, tags=lambda user, pages: [f"page:{page}" for page in pages])
    def second(user: int, pages: list[int]) -> int:
        return user

    first(1, kind="k"), first(2, kind="l"), second(1, [3, 4])
    assert cache.invalidate(tags=["user:1"], dry_run=True) == cache.invalidate(tags=["k"], dry_run=True) == 1
    assert cache.invalidate(tags=["all"], dry_run=True) == 2
    assert cache.invalidate(tags=["page:4"]) == 1
    with pytest.raises(TypeError):
        cached(cache, tags="abc")


def test_when_decides_what_is_kept(cache: Cache) -> None:
    @cached(cache, when=lambda answer: answer is not None)
    def find(a: int) -> int | None:
        CALLS.append(a)
        return None if len(CALLS) < 3 else a

    assert [find(1), find(1), find(1), find(1)] == [None, None, 1, 1]
    assert len(CALLS) == 3


def test_cost_and_detail(cache: Cache) -> None:
    @cached(cache, cost=lambda answer: answer["usd"])
    def ask(a: int) -> dict[str, str]:
        return {"usd": "0.25"}

    assert ask.detail(1) == ({"usd": "0.25"}, False, Decimal("0.25"))
    assert ask.detail(1) == ({"usd": "0.25"}, True, Decimal("0.25"))
    assert cache.stats().cost_saved_usd == Decimal("0.25")

    @cached(cache, cost="0.5")
    def fixed(a: int) -> int:
        return a

    assert fixed.detail(1).cost == Decimal("0.5")


def test_answers_end(cache: Cache) -> None:
    @cached(cache, ttl=0.15)
    def now() -> float:
        return time.time()

    first = now()
    assert now() == first
    time.sleep(0.2)
    assert now() != first


def test_what_would_not_come_back_is_not_kept(cache: Cache) -> None:
    @cached(cache)
    def strange(a: int) -> Any:
        CALLS.append(a)
        return {1, 2} if a else {1: 2}

    assert strange(1) == strange(1) == {1, 2}
    assert strange(0) == strange(0) == {1: 2}
    assert len(CALLS) == 4


def test_what_is_raised_is_raised_and_not_kept(cache: Cache) -> None:
    @cached(cache)
    def fails(a: int) -> int:
        CALLS.append(a)
        if len(CALLS) < 3:
            raise LookupError(a)
        return a

    for _ in range(2):
        with pytest.raises(LookupError):
            fails(1)
    assert fails(1) == fails(1) == 1


def test_coroutines(cache: Cache) -> None:
    @cached(cache)
    async def slow(a: int) -> int:
        CALLS.append(a)
        await asyncio.sleep(0.05)
        return a

    class Service:
        @cached(lambda: cache, name="Service.ask", ignore=["self"])
        async def ask(self, a: int) -> int:
            CALLS.append(a)
            return a

    async def work() -> None:
        assert await asyncio.gather(*(slow(1) for _ in range(20))) == [1] * 20
        assert len(CALLS) == 1
        assert (await slow.detail(1)).was_cached
        assert await slow.invalidate(1) == 1
        assert await slow(a=1) == 1 and len(CALLS) == 2
        service = Service()
        assert await service.ask(5) == await service.ask(a=5) == 5 and len(CALLS) == 3
        assert await service.ask.invalidate(5) == 1

    asyncio.run(work())


def test_coroutines_with_a_cache_that_is_awaited(server: Any) -> None:
    async def work() -> None:
        async with AsyncCache(server.url, "faq", fallback=None) as cache:

            @cache.cached(ttl=50)
            async def ask(a: int) -> int:
                CALLS.append(a)
                return a

            assert await ask(1) == await ask(1) == 1 and len(CALLS) == 1

    asyncio.run(work())


def test_frameworks_see_a_coroutine_function_where_it_is_one(cache: Cache) -> None:
    @cached(cache)
    async def awaited(a: int) -> int:
        return a

    @cached(cache)
    def waited(a: int) -> int:
        return a

    class Service:
        @cached(cache, name="Service.ask")
        async def ask(self, a: int) -> int:
            return a

        @cached(cache, name="Service.tell")
        def tell(self, a: int) -> int:
            return a

    for function, expected in ((awaited, True), (Service().ask, True), (waited, False), (Service().tell, False)):
        assert inspect.iscoroutinefunction(function) is expected
        assert inspect.iscoroutinefunction(function.__call__) is expected
        assert asyncio.iscoroutinefunction(function) is expected
        assert callable(function) and not inspect.isgeneratorfunction(function)
    coroutine = awaited(1)
    assert inspect.iscoroutine(coroutine)
    coroutine.close()


def test_generators_are_refused(cache: Cache) -> None:
    def yields() -> Iterator[int]:
        yield 1

    async def ayields() -> Any:
        yield 1

    for function in (yields, ayields):
        with pytest.raises(TypeError, match="bit by bit"):
            cached(cache)(function)


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(str, enum.Enum):
    RED = "1"


class Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Own:
    def __init__(self, key: Any) -> None:
        self.key = key

    def cache_key(self) -> Any:
        return self.key


class Array:
    """As an array of numpy, whose text leaves out its middle."""

    dtype = type("dtype", (), {"kind": "i", "__str__": lambda self: "int8"})()

    def __init__(self, data: bytes) -> None:
        self.data, self.shape = data, (len(data),)

    def tobytes(self) -> bytes:
        return self.data

    def __str__(self) -> str:
        return "[0 1 ... 9]"


DIFFERENT: list[Any] = [
    None, True, 0, 1, 1.5, "1", "", b"1", float("inf"), float("nan"), [1], [[1]], {"1": 1}, {1: 1}, {1}, {"a": None},
    {}, [], Decimal("1"), Decimal("1.0"), date(2024, 1, 1), datetime(2024, 1, 1), datetime(2024, 1, 1,
    tzinfo=timezone.utc), timedelta(1), uuid.UUID(int=1), Path("/a"), Color.RED, Color.BLUE, Shade.RED, Point(1),
    Point(1, [2]), Point(Point(1)), Own("a"), Own("b"), Array(b"12"), Array(b"13"), re.compile("a"), re.compile("a",
    re.I), range(3), 1j, int, str, len, no_calls_yet,
]  # fmt: skip


def test_arguments_that_differ_have_different_keys(cache: Cache) -> None:
    @cached(cache)
    def ask(a: Any) -> int:
        return 1

    prompts = [ask.question(one).prompt for one in DIFFERENT]
    assert len(set(prompts)) == len(DIFFERENT)
    assert not any("0x" in str(prompt) for prompt in prompts)
    assert ask.question({"a": 1, "b": 2}) == ask.question({"b": 2, "a": 1})
    assert ask.question({3, 1, 2}) == ask.question({2, 3, 1})
    assert ask.question(Point(1, {"x": {1, 2}})) == ask.question(Point(1, {"x": {2, 1}}))


def test_arguments_that_say_not_what_they_are_are_errors(cache: Cache) -> None:
    class Lossy:
        def __str__(self) -> str:
            return "a customer"

    @cached(cache)
    def ask(a: Any) -> int:
        return 1

    for one in (object(), Lossy(), lambda: 1, (n for n in ()), [].append, sys, [object()], {1: Lossy()}):
        with pytest.raises(TypeError, match="cache_key"):
            ask(one)


def test_a_function_can_be_pickled_as_any() -> None:
    assert pickle.loads(pickle.dumps(at_top)) is at_top
    assert at_top(2) == 4 and isinstance(at_top, Cached)


def test_type_checkers_see_the_function(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "typed.py").write_text(
        "from llmcache import Cache, cached\n"
        "cache = Cache('memory:')\n"
        "@cached(cache, ttl=5)\n"
        "def f(a: int, *, b: str = '') -> list[str]: return [b]\n"
        "@cache.cached(ttl=5)\n"
        "async def g(a: int) -> float: return 1.0\n"
        "class C:\n"
        "    @cache.cached()\n"
        "    def m(self, a: int) -> bytes: return b''\n"
        "async def main() -> None:\n"
        "    reveal_type(f(1, b='x'))\n"
        "    reveal_type(await g(1))\n"
        "    reveal_type(C().m(1))\n"
        "    reveal_type(f.question(1))\n"
        "f('x')\n"
        "C().m('x')\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        str(tmp_path / "cache"),
        "typed.py",
    ]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    for number, revealed in ((11, "list[str]"), (12, "float"), (13, "bytes"), (14, "llmcache.question.Question")):
        found = re.search(rf'typed.py:{number}: note: Revealed type is "(?:builtins\.)?(.*?)"', told)
        assert found is not None and found[1].replace("builtins.", "") == revealed, told
    assert len(re.findall(r"typed.py:1[56]: error: Argument 1 .* incompatible type", told)) == 2, told
    assert told.count("error:") == 2, told


def test_a_question_is_the_same_in_every_process(cache: Cache) -> None:
    @cached(cache)
    def ask(a: Any) -> int:
        return 1

    assert isinstance(ask.question({"b", "a"}), Question)
    assert ask.question({"b", "a"}).prompt == '{"a":{"$set":["a","b"]}}'


class Word(str):
    """As the Markup of templates: it equals a text, but is another thing."""


def test_arrays_and_zones_of_libraries_are_told_apart() -> None:
    numpy, tz, pytz = pytest.importorskip("numpy"), pytest.importorskip("dateutil.tz"), pytest.importorskip("pytz")
    january = datetime(2024, 1, 1)
    long = numpy.arange(5000)
    other = long.copy()
    other[2500] = 0
    zones = [tz.gettz("Europe/Berlin"), tz.gettz("Africa/Lagos"), tz.tzutc(), tz.tzoffset(None, 3600), pytz.utc]
    different = [
        long, other, long.reshape(50, 100), long.astype("int32"), numpy.float64(1), numpy.float32(1), 1.0,
        *(january.replace(tzinfo=zone) for zone in zones),
        *(pytz.timezone(zone).localize(january) for zone in ("Europe/Berlin", "Africa/Lagos")),
    ]  # fmt: skip
    assert len({text(one) for one in different}) == len(different)
    for one in (numpy.array([object()]), numpy.array([(1, 2)], dtype=[("a", int), ("b", object)]), numpy.ma.array([1])):
        with pytest.raises(TypeError):
            plain(one)


class Unfriendly:
    """Its text, its equality, all of it fails."""

    def __eq__(self, other: object) -> bool:
        raise AttributeError(self)

    def __repr__(self) -> str:
        raise RuntimeError("not loaded")


def _unhappy(value: Any) -> Any:
    raise LookupError(value)


def test_what_comes_back_has_the_type_that_it_had() -> None:
    for value in (Shade.RED, Word("a"), [Shade.RED], {"a": Word("a")}, {Shade.RED: 1}, {"a": [Number.ONE]}, (1,)):
        with pytest.raises(NotStorable, match="something else"):
            JSON.encode(value)
    for value in (Shade.RED, Word("a")):
        with pytest.raises(NotStorable):
            TEXT.encode(value)
    assert JSON.decode(JSON.encode({"a": [1, 1.5, None, True, "b"], "c": {}})) == {
        "a": [1, 1.5, None, True, "b"],
        "c": {},
    }
    assert TEXT.decode(TEXT.encode("a")) == "a" and BYTES.decode(BYTES.encode(b"a")) == b"a"


def test_a_codec_that_fails_says_so_in_one_way() -> None:
    loop: list[Any] = []
    for _ in range(100_000):
        loop = [loop]
    for codec, value in (
        (JSON, loop),
        (Codec(_unhappy, bytes), 1),
        (Codec(lambda value: b"", _unhappy), 1),
        (Codec(str, str), "no bytes"),  # type: ignore[arg-type]
        (Codec(lambda value: b"", lambda data: Unfriendly()), Unfriendly()),
        (Codec(_unhappy, bytes), Unfriendly()),
    ):
        with pytest.raises(NotStorable):
            codec.encode(value)
    for codec, data in ((JSON, b"{"), (JSON, b"\xff"), (JSON, b"[" * 100_000), (Codec(_unhappy, _unhappy), b"")):
        with pytest.raises(ValueError):
            codec.decode(data)


def _closing(model: str, **options: Any) -> Any:
    @cached(SHARED, **options)
    def ask(q: str) -> str:
        return f"{model}:{q}"

    return ask


def _not_closing() -> Any:
    @cached(SHARED)
    def ask(q: str) -> str:
        CALLS.append(q)
        return q

    return ask


class Agent:
    """It has a state, and says not which."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    @cached(SHARED)
    def ask(self, q: str) -> str:
        return f"{self.name} says {q}"

    @cached(SHARED, ignore=["self"])
    def shout(self, q: str) -> str:
        CALLS.append(q)
        return q.upper()

    @cached(SHARED, key="{q}")
    def whisper(self, q: str) -> str:
        return type(self).__name__ + q.lower()


class Loud(Agent):
    """Another class with the same methods."""


def test_a_function_whose_name_may_be_that_of_another_is_refused() -> None:
    for refused in (
        lambda a: a,
        functools.partial(_closing, "a"),
        Agent("A").ask,
        Agent("A").__str__,
    ):
        with pytest.raises(TypeError, match="say name="):
            cached(SHARED)(refused)
    with pytest.raises(TypeError, match="inside of a function"):
        _closing("gpt")
    with pytest.raises(TypeError, match="say name="):

        class Local:
            @cached(SHARED)
            def ask(self) -> int:
                return 1

    # With a name that tells them apart they are two, and what closes over nothing is one however often it is made.
    assert [_closing(model, name=f"ask {model}")("x") for model in ("gpt", "haiku")] == ["gpt:x", "haiku:x"]
    assert [_not_closing()("x"), _not_closing()("x")] == ["x", "x"] and CALLS == ["x"]
    with pytest.raises(TypeError, match="has no argument 'usr'"):
        cached(SHARED, tags=["{usr}"])(no_calls_yet)
    with pytest.raises(TypeError, match="has no argument 'page'"):
        cached(SHARED, key="{page.number}")(no_calls_yet)


def test_a_module_may_be_loaded_anew_but_not_have_two_functions_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "llmcache_twice.py"
    start = (
        "import functools\nfrom llmcache import Cache, cached\nc = Cache('memory:')\n"
        "def also(f):\n    return functools.wraps(f)(lambda *args: f(*args))\n"
    )
    file.write_text(start + "@cached(c)\n@also\ndef f(a): return a + 1\n@cached(c)\ndef g(a): return -a\n")
    module = importlib.import_module("llmcache_twice")
    module = importlib.reload(module)
    assert (module.f(1), module.g(1)) == (2, -1)
    # One cache before another: the function is the same.
    assert cached(Cache("memory:"))(module.f)(1) == 2
    file.write_text(start + "\n\n@cached(c)\n@also\ndef f(a): return a + 20\n")
    os.utime(file, ns=(1, 1))
    assert importlib.reload(module).f(1) == 21
    for number, twice in enumerate(
        (
            "@cached(c)\ndef _(a: int): return 1\n@cached(c)\ndef _(a: str): return 2\n",
            "a = cached(c)(also(f)); b = cached(c)(also(f))",
        )
    ):
        (tmp_path / f"llmcache_twice{number}.py").write_text(start + "def f(a): return a\n" + twice)
        with pytest.raises(TypeError, match="has the name of another"):
            importlib.import_module(f"llmcache_twice{number}")


def test_a_script_is_known_by_its_file(tmp_path: Path) -> None:
    url = f"file:{tmp_path / 'cache.db'}"
    for name, answer in (("one", 1), ("two", 2), ("one", 1)):
        (tmp_path / f"{name}.py").write_text(
            f"from llmcache import Cache, cached\nwith Cache({url!r}) as c:\n"
            f"    @cached(c)\n    def f(): return {answer}\n    print(f())\n"
        )
        assert subprocess.check_output([sys.executable, tmp_path / f"{name}.py"], text=True) == f"{answer}\n"
    code = "from llmcache import Cache, cached\n@cached(Cache('memory:'))\ndef f(): return 1"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "say name=" in told.stderr
    subprocess.run([sys.executable, "-c", code.replace("'))", "'), name='f')")], check=True)


def test_an_argument_is_no_object_of_a_method_by_its_name() -> None:
    @cached(SHARED)
    def ex(cls: Any) -> Any:
        return cls

    @cached(SHARED)
    def ey(self: Any, b: int = 0) -> Any:
        return self

    assert [ex(1), ex(2), ey("a"), ey("b")] == [1, 2, "a", "b"]
    assert ex.invalidate(1) == 1


@dataclasses.dataclass
class Model:
    name: str

    @cached(SHARED)
    def ask(self, q: str) -> str:
        return f"{self.name} says {q}"


def test_objects_with_another_state_do_not_share_answers() -> None:
    with pytest.raises(TypeError, match=r"self of .*Agent.ask: .*cache_key.*ignore=\['self'\]"):
        Agent("A").ask("q")
    assert (Model("A").ask("q"), Model("B").ask("q")) == ("A says q", "B says q")
    assert Model("A").ask.detail("q").was_cached
    for _ in range(2):
        assert Agent("A").shout("q") == Agent("B").shout("q") == Loud("A").shout("q") == "Q"
        # The class counts, as it may have other methods.
        assert (Agent("A").whisper("Q"), Loud().whisper("Q")) == ("Agentq", "Loudq")
    assert len(CALLS) == 2


class Filled(str):
    lang = ""


class Pair(NamedTuple):
    a: int
    b: int


@dataclasses.dataclass
class Initialised:
    a: int
    scale: dataclasses.InitVar[int]

    def __post_init__(self, scale: int) -> None:
        self.b = self.a * scale

    @functools.cached_property
    def total(self) -> object:
        return object()


class Perm(enum.Flag):
    R = 1
    W = 2
    X = 4


def _filled(lang: str) -> Filled:
    filled = Filled("a")
    filled.lang = lang
    return filled


def test_values_that_are_nearly_the_same_are_told_apart() -> None:
    january = datetime(2024, 1, 1)
    different: list[Any] = [
        *(january.replace(tzinfo=ZoneInfo(zone)) for zone in ("Europe/Berlin", "Africa/Lagos")),
        january.replace(tzinfo=timezone(timedelta(hours=1))), january.replace(fold=1), january,
        [1, 2], (1, 2), Pair(1, 2), {1, 2}, frozenset([1, 2]), {"a": 1}, {"$a": 1}, {"$set": [1, 2]},
        OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), {"a": 1, "b": 2}, Counter(a=1), defaultdict(int, a=1),
        defaultdict(list, a=1), MappingProxyType({"a": 1}), b"a", bytearray(b"a"), memoryview(b"a"),
        1, 1.0, True, Number.ONE, 10**30, 10.0**30, -0.0, 0.0, "a", Filled("a"), _filled("de"), _filled("en"),
        Perm.R | Perm.W, Perm.R | Perm.X, re.compile("a" * 300 + "b"), re.compile("a" * 300 + "c"), list[int],
        list[str], list, int | None, Initialised(1, 2), Initialised(1, 3), "\ud800", "\\ud800",
    ]  # fmt: skip
    texts = [text(one) for one in different]
    assert len(set(texts)) == len(different)
    filled = Initialised(1, 2)
    filled.total  # noqa: B018
    assert text(filled) == text(Initialised(1, 2))
    assert text({"b": {2, 1}, "a": 1}) == text({"a": 1, "b": {1, 2}}) and json.loads(text({"a": [1]})) == {"a": [1]}
    loop: list[Any] = []
    loop.append(loop)

    @dataclasses.dataclass
    class Local:
        a: int = 1

    plain(memoryview), plain(_closing)
    for one in (Local, Local(), {1: object()}, lambda: 1, str.upper, deque(), functools.partial(int)):
        with pytest.raises(TypeError, match="cache_key"):
            plain(one)
    with pytest.raises(TypeError, match="too deep"):
        plain(loop)


def test_models_are_told_by_all_their_fields() -> None:
    pydantic = pytest.importorskip("pydantic")
    import typed_models as models

    different = [
        models.Body(a=1), models.Body(a=1, secret="x"), models.Body(a=1, secret="y"), models.Body(a=1, other=2),
        models.Body(a=1, b=None), models.Page[int](items=[]), models.Page[str](items=[]),
        models.Body(a=1, url="http://a/"), models.Body(a=1, url="http://b/"), models.Body(a=1).told("x"),
    ]  # fmt: skip
    assert len({text(one) for one in different}) == len(different)
    assert text(models.Body(a=1)) == text(models.Body(a=1))
    # What a client sends is no identity, whatever it calls it.
    assert text(models.Body(a=1, cache_key="x")) != text(models.Body(a=2, cache_key="x"))
    with pytest.raises(TypeError, match="SecretStr"):
        plain(models.Account(key="a"))
    with pytest.raises(TypeError, match="not found by its name"):
        plain(pydantic.create_model("Body", __module__="typed_models", a=(int, 1)))


def test_a_scope_or_a_model_that_is_no_text_is_none_of_the_same_text() -> None:
    @cached(SHARED, scope="user", model="model")
    def ask(user: Any = None, model: Any = None) -> list[str]:
        return [repr(user), repr(model)]

    @cached(SHARED, scope="user", model="model", key="{user}{model}")
    def ask_by_key(user: Any = None, model: Any = None) -> list[str]:
        return [repr(user), repr(model)]

    for one in (None, "", 1, 1.0, "1", "None", Shade.RED):
        for function in (ask, ask_by_key):
            assert function(user=one) == [repr(one), "None"] and function(model=one) == ["None", repr(one)]


def test_tags_are_of_the_arguments_as_they_were(cache: Cache) -> None:
    @cached(cache, tags=lambda pages: [f"page:{page}" for page in pages])
    def take(pages: list[int]) -> int:
        return pages.pop()

    assert take([1, 2]) == 2
    assert cache.invalidate(tags=["page:2"]) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"tags": ["{a.missing}"]},
        {"tags": lambda a: [1]},
        {"tags": lambda a: "abc"},
        {"tags": lambda a: None},
        {"cost": lambda answer: answer["usd"]},
        {"cost": "much"},
        {"when": lambda answer: answer.missing},
    ],
)
def test_an_answer_is_not_lost_by_what_fails_beside_it(
    cache: Cache, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def work(a: int) -> int:
        CALLS.append(a)
        return a

    async def awork(a: int) -> int:
        CALLS.append(a)
        return a

    function, afunction = cached(cache, **options)(work), cached(cache, **options)(awork)
    assert [function(1), function(1)] == [1, 1] and len(CALLS) == 2
    assert asyncio.run(afunction(1)) == 1
    assert len(caplog.records) == 3 and "is not cached" in caplog.text and "Traceback" in caplog.text


def test_half_of_a_pair_in_a_prompt_is_a_prompt(cache: Cache) -> None:
    @cached(cache, prompt="q")
    def ask(q: str) -> int:
        CALLS.append(q)
        return len(q)

    assert [ask("\ud83d"), ask("\ud83d"), ask('"\\ud83d"')] == [1, 1, 8] and len(CALLS) == 2


class Counted:
    cache_key = "counted"

    @classmethod
    @cached(SHARED)
    def inside(cls, a: int) -> str:
        return f"{cls.__name__} {a}"

    @cached(SHARED)
    @classmethod
    def outside(cls, a: int) -> str:
        return f"{cls.__name__} {a}"

    @cached(SHARED)
    def add(self, a: int) -> int:
        return a + 1

    @cached(SHARED)
    async def aadd(self, a: int) -> int:
        return a + 1


def test_bound_methods_can_be_pickled() -> None:
    for method in (Counted().add, Counted().aadd, Counted.outside):
        again = pickle.loads(pickle.dumps(method))
        assert again.question(1) == method.question(1) and type(again) is type(method)


def test_a_class_method_knows_its_class() -> None:
    assert Counted.outside(1) == "Counted 1" and Counted.outside.invalidate(1) == 1
    assert Counted.inside(1) == "Counted 1"
    if sys.version_info >= (3, 13):
        for what in (Counted.inside.invalidate, Counted.inside.detail, Counted.inside.question):
            with pytest.raises(TypeError, match="above @classmethod"):
                what(1)
    else:
        assert Counted.inside.invalidate(1) == 1
