"""The recipes, run as their README says, with a Redis, without one, and with one that goes away."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, RedisServer, free_port, until
from fake_llm import FakeLlm

from llmcache import Cache

httpx: Any = pytest.importorskip("httpx")
parser: Any = pytest.importorskip("prometheus_client.parser")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

RECIPES = ROOT / "examples" / "recipes"


@pytest.fixture
def nowhere() -> str:
    """Where no Redis is."""
    return f"redis://127.0.0.1:{free_port()}"


def command(beginning: str) -> list[str]:
    """The command of the README that begins so."""
    blocks = re.findall(r"```sh\n(.*?)```", (RECIPES / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [line for block in blocks for line in block.splitlines() if line.startswith(beginning)]
    return shlex.split(found)


def environment(url: str, **more: str) -> dict[str, str]:
    """As in the virtual environment of a user; no key of theirs is used here."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "LLMCACHE_"))}
    return mine | {"PATH": path, "LLMCACHE_URL": url, "LLM_LATENCY": "0.05", "PYTHONDONTWRITEBYTECODE": "1"} | more


def tell(words: list[str], url: str, stdin: str = "", **more: str) -> str:
    """What a recipe prints. It must end well, and have nothing to complain of but that there is no server."""
    done = subprocess.run(
        words, cwd=RECIPES, env=environment(url, **more), input=stdin, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    expected = ("llmcache: the server does not serve", "ask about the documents")
    complaints = [line for line in done.stderr.splitlines() if not line.startswith(expected)]
    assert not complaints
    return done.stdout


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> Iterator[None]:
    """The recipes as modules of this process."""
    monkeypatch.syspath_prepend(str(RECIPES))
    monkeypatch.setenv("LLMCACHE_URL", server.url)
    monkeypatch.setenv("LLM_LATENCY", "0.05")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(RECIPES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def hit_rate(told: str) -> tuple[int, int, int]:
    """Hits, lookups and calls of the model, as a recipe sums them up."""
    found = re.search(r"hit rate .*: (\d+) of (\d+) lookups; calls of the model: (\d+)", told)
    assert found, told
    hits, lookups, calls = map(int, found.groups())
    return hits, lookups, calls


# Personality


PERSONALITY = [
    r"60 turns: 3 made by the model, 57 from the cache",
    r"1 state was taken back",
    r"60 turns: 1 made by the model, 59 from the cache",
    r"ada is now: .*My exam is on Friday, and I am nervous\.",
    r"the late state is of revision 3, and nobody gets it any more",
    r"ada is now of revision 4: I passed! I am going to celebrate\.",
    r"60 turns: 0 made by the model, 60 from the cache",
]


def test_a_changed_profile_takes_back_the_state_of_this_user_alone(server: RedisServer) -> None:
    server.client().execute_command("LLMCACHE.CREATE", "recipe:personality")
    for run in (1, 2):
        told = tell(command("python personality.py"), server.url)
        for line in PERSONALITY:
            assert re.search(f"^{line}$", told, re.MULTILINE), (run, line, told)
        # 180 turns and three looks at ada; three users, two changes that were waited for, one that was not.
        assert hit_rate(told) == (177, 183, 6)
        assert re.search(r"saved \$0\.0[1-9]\d* and \d+\.\d s", told)
    with Cache(server.url, "recipe:personality", fallback=None) as cache:
        by_scope = cache.stats(by="scope")
        assert {user: by_scope[user].misses for user in ("ada", "bo", "cy")} == {"ada": 2 * 4, "bo": 2, "cy": 2}
        for user in ("bo", "cy"):
            ((id, _),) = cache.scan(tag=f"user:{user}")
            entry = cache.entry(id)
            assert entry is not None and entry.scope == user and entry.json()["revision"] == 1
            assert entry.ttl is not None and 240 < entry.ttl <= 300
            assert 0 < entry.produced_usd < 1


def test_states_are_kept_without_a_redis(nowhere: str) -> None:
    told = tell(command("python personality.py"), nowhere)
    for line in PERSONALITY:
        assert re.search(f"^{line}$", told, re.MULTILINE), (line, told)
    assert hit_rate(told) == (177, 183, 6)
    assert "Redis is away" in told


def test_with_a_key_a_recipe_asks_openai(server: RedisServer) -> None:
    server.client().execute_command("LLMCACHE.CREATE", "recipe:rag")
    fake = FakeLlm()
    key = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{fake.url}/v1", "OPENAI_MODEL": "gpt-5"}
    try:
        words = [*command("python rag_bot.py"), "documents"]
        told = tell(words, server.url, "What does a puncture cost?\n" * 3 + "\n", LLM_PRICE="1000 100000", **key)
    finally:
        fake.close()
    (call,) = fake.calls
    assert call["model"] == "gpt-5" and "for 12 euros" in call["input"] and "documents only" in call["instructions"]
    assert re.findall(r"^\[(\w+)\] Answer 1: größer", told, re.MULTILINE) == ["model", "cache", "cache"]
    # 11 tokens in and 5 out.
    assert hit_rate(told) == (2, 3, 1) and f"saved ${2 * (11 * 1000 + 5 * 100000) / 1e6:.6f}" in told


# Analyses of properties


def test_readers_find_analyses_that_were_made_before(server: RedisServer) -> None:
    told = tell(command("python -m property_analysis"), server.url)
    assert re.findall(r"made (\d+) analyses", told) == ["12", "24", "3"]
    assert re.findall(r"(\d+) looks: (\d+) from the cache", told) == [("36", "36")] * 2
    assert "the very first reader has a hit: price: 374000 rent: 1610" in told
    assert "3 analyses taken back, 33 stay" in told
    assert "investors read: price: 349000 rent: 1610" in told
    assert hit_rate(told) == (74, 74, 39) and "readers waited for 0 calls" in told
    with Cache(server.url, "recipe:property", fallback=None) as cache:
        made = {id: cache.entry(id) for id, _ in cache.scan()}
        assert len(made) == 36
        changed = {id for id, _ in cache.scan(tag="listing:L07")}
        assert len(changed) == 3
        latest = max(entry.created for id, entry in made.items() if entry is not None and id not in changed)
        assert all(entry is not None and (entry.created > latest) == (id in changed) for id, entry in made.items())
        plans = {plan["profile"]: plan for plan in cache.command("WARM", "STATUS")}
        assert {name: (plan["items"], plan["due"]) for name, plan in plans.items()} == {
            "family": (12, 0), "first-time-buyer": (12, 0), "investor": (12, 0),
        }  # fmt: skip


def test_no_reader_gets_an_analysis_of_an_old_price(recipes: None, server: RedisServer) -> None:
    from property_analysis import analysis  # type: ignore[import-not-found]

    with Cache(server.url, "property", fallback=None) as cache:
        listings = analysis.read_listings()
        analysis.plan(cache, listings.values())
        asked = analysis.question("investor", listings["L07"])
        (due,) = cache.due("investor", count=1)
        late = next(listing for listing in listings.values() if listing.address in due.prompt)
        # A worker is at it when the price changes, and stores its answer afterwards.
        analysis.change_price(cache, listings, late.id, 1)
        assert cache.set(analysis.question("investor", late), "of the old price", token=due.token)
        result = analysis.look(cache, "investor", listings[late.id])
        assert not result.was_cached and "price: 1 " in result.response
        # A reader who comes before a worker waits; the next one does not, and no worker makes it again.
        assert not analysis.look(cache, "family", listings["L07"]).was_cached
        assert analysis.look(cache, "family", listings["L07"]).was_cached
        still_due = {(due.prompt, due.identity["system"]) for due in cache.due("family", count=100)}
        assert (analysis.question("family", listings["L07"]).prompt, asked.system) not in still_due


def test_without_a_redis_a_plan_is_refused_in_one_line(nowhere: str) -> None:
    words = command("python -m property_analysis")
    done = subprocess.run(words, cwd=RECIPES, env=environment(nowhere), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("plans are kept by the server: ") and "Traceback" not in done.stderr


# Documents


def sources(told: str) -> list[str]:
    return re.findall(r"^  (cache|model)  ", told, re.MULTILINE)


def test_answers_go_with_their_documents(server: RedisServer) -> None:
    server.client().execute_command("LLMCACHE.CREATE", "recipe:rag")
    words = command("python rag_bot.py")
    # What has been asked before does not disturb the story.
    tell([*words, "documents"], server.url, "How many days do I have to return a bike?\n")
    told = tell(words, server.url)
    same, alike, changed, new = ["model"] * 3 + ["cache"] * 2, ["model"] * 2, ["model", "cache"], ["cache", "model"]
    assert sources(told) == same + alike + changed + new, told
    assert "returns.md has changed: 1 answer taken back" in told
    before, _, after = told.partition("returns.md: 60 days instead of 30")
    assert "You have 30 days" in before and "30 days" not in after and after.count("You have 60 days") == 2
    assert "racing frame lasts one year" in after
    assert hit_rate(told) == (4, 11, 7)
    with Cache(server.url, "recipe:rag", fallback=None) as cache:
        assert cache.invalidate(tags=["doc:returns"]) == 1, "by hand, without a digest"
    assert "30 days" in (RECIPES / "documents" / "returns.md").read_text(), "the story is of a copy"


def test_without_a_redis_the_same_words_are_hits(nowhere: str) -> None:
    told = tell(command("python rag_bot.py"), nowhere)
    # Other words are other questions then.
    assert sources(told) == ["model"] * 7 + ["model", "cache", "cache", "model"]
    assert "returns.md has changed: 2 answers taken back" in told and "30 days" not in told.partition("60 days")[2]


def test_documents_may_change_while_the_bot_is_asked(server: RedisServer, tmp_path: Path) -> None:
    server.client().execute_command("LLMCACHE.CREATE", "recipe:rag")
    folder = Path(shutil.copytree(RECIPES / "documents", tmp_path / "documents"))
    words = [*command("python rag_bot.py"), str(folder)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    bot = subprocess.Popen(words, cwd=RECIPES, env=environment(server.url), text=True, **pipes)
    assert bot.stdin is not None and bot.stdout is not None

    def ask(question: str) -> str:
        assert bot.stdin is not None and bot.stdout is not None
        bot.stdin.write(question + "\n")
        bot.stdin.flush()
        return bot.stdout.readline()

    try:
        puncture, leasing = "What does a puncture cost?", "How many months does leasing run?"
        assert ask(puncture).startswith("[model]") and "12 euros" in ask(puncture)
        assert ask(leasing).startswith("[model] # Leasing through")
        file = folder / "workshop.md"
        file.write_text(file.read_text().replace("12 euros", "15 euros"))
        assert ask(puncture) == "(workshop.md has changed: answers taken back: 1)\n"
        now = bot.stdout.readline()
        assert now.startswith("[model]") and "15 euros" in now and "12 euros" not in now
        assert ask(leasing).startswith("[cache] # Leasing through")
        file.unlink()
        assert ask(leasing) == "(workshop.md has changed: answers taken back: 1)\n"
        assert bot.stdout.readline().startswith("[cache]")
        assert ask("xyzzy") == "[model] The documents do not tell.\n"
        told, errors = bot.communicate("\n", timeout=20)
        assert bot.returncode == 0 and hit_rate(told) == (3, 6, 3), errors
    finally:
        bot.kill()
        bot.wait()


def test_an_answer_of_an_old_document_comes_too_late(
    recipes: None, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rag_bot  # type: ignore[import-not-found]

    folder = Path(shutil.copytree(RECIPES / "documents", tmp_path / "documents"))
    file, question = folder / "returns.md", "How many days do I have to return a bike?"
    with Cache(server.url, "rag", fallback=None) as cache:
        bot, other = rag_bot.Bot(cache, folder), rag_bot.Bot(cache, folder)
        complete = rag_bot.llm.complete

        def slow(prompt: str, system: str) -> Any:
            file.write_text(file.read_text().replace("30 days", "60 days"))
            assert other.refresh() == {"returns": 0}
            return complete(prompt, system)

        monkeypatch.setattr(rag_bot.llm, "complete", slow)
        assert "30 days" in bot.ask(question).response, "who asked before the change has the answer of before"
        monkeypatch.setattr(rag_bot.llm, "complete", complete)
        assert other.ask(question).response.startswith("You have 60 days")
        assert bot.refresh() == {"returns": 1}, "the late answer, and not that of the other bot"
        assert bot.ask(question).was_cached and "60 days" in bot.ask(question).response


# The service


@contextmanager
def service(url: str, folder: Path) -> Iterator[Any]:
    """A client of a service that runs."""
    port = free_port()
    words = [word.replace("8000", str(port)) for word in command("uvicorn")]
    log = folder / "service.log"
    with log.open("wb") as out:
        process = subprocess.Popen(words, cwd=RECIPES, env=environment(url), stdout=out, stderr=out)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:

            def is_up() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return bool(client.get("/health").status_code == 200)
                except httpx.TransportError:
                    return False

            until(is_up, "the service is up")
            yield client
        process.terminate()
        process.wait(20)
        told = log.read_text()
        assert "Application shutdown complete" in told
        for word in ("Traceback", "Unclosed", "ERROR", "never retrieved"):
            assert word not in told, told
    finally:
        process.kill()
        process.wait()


def figures(client: Any) -> dict[tuple[str, str], float]:
    """What /metrics says: values by name, and by source where there is one."""
    told = client.get("/metrics")
    assert told.status_code == 200 and told.headers["content-type"].startswith("text/plain")
    families = parser.text_string_to_metric_families(told.text)
    samples = [sample for family in families for sample in family.samples]
    found = {
        (sample.name, sample.labels.get("source", sample.labels.get("quantile", ""))): sample for sample in samples
    }
    assert len(found) == len(samples), "no sample is told twice"
    return {name: sample.value for name, sample in found.items()}


def test_a_service_answers_with_a_redis_and_without(own_server: RedisServer, tmp_path: Path) -> None:
    own_server.kill()
    with service(own_server.url, tmp_path) as client:

        def ask(question: str) -> tuple[str, str]:
            told = client.post("/ask", json={"question": question})
            assert told.status_code == 200, told.text
            return told.json()["answer"], told.headers["x-cache"]

        # It starts without.
        assert [ask("Anybody?")[1] for _ in range(3)] == ["miss", "hit", "hit"]
        health = client.get("/health")
        assert (health.status_code, health.json()) == (200, {"status": "degraded"})
        now = figures(client)
        assert now["llmcache_client_degraded", ""] == 1 and ("llmcache_hits_total", "") not in now
        assert (now["ask_answers_total", "model"], now["ask_answers_total", "cache"]) == (1, 2)

        own_server.start()
        own_server.client().execute_command("LLMCACHE.CREATE", "recipe:service")
        until(lambda: bool(client.get("/health").json() == {"status": "ok"}), "Redis is noticed")
        first = client.post("/ask", json={"question": "What is Redis?"})
        again = client.post("/ask", json={"question": "What is Redis?"})
        assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "hit")
        assert first.json() == again.json() == {"answer": "You ask: What is Redis?"}
        assert first.headers["x-cost-usd"] == again.headers["x-cost-saved-usd"] > "0.000001"
        assert client.post("/ask", json={"question": ""}).status_code == 422
        with ThreadPoolExecutor(20) as pool:
            told = list(pool.map(ask, ["What is Valkey?"] * 20))
        assert sorted(state for _, state in told) == ["hit"] * 19 + ["miss"]
        now = figures(client)
        assert (now["ask_answers_total", "model"], now["ask_answers_total", "cache"]) == (3, 22)
        assert (now["llmcache_hits_total", ""], now["llmcache_misses_total", ""]) == (20, 2)
        assert now["llmcache_client_degraded", ""] == 0 and now["llmcache_cost_saved_usd_total", ""] > 0

        # It goes away, and nobody notices.
        own_server.kill()
        assert [ask("Does it go on?")[1] for _ in range(5)] == ["miss", *["hit"] * 4]
        assert client.get("/health").json() == {"status": "degraded"}
        assert figures(client)["llmcache_client_degraded", ""] == 1

        own_server.start()
        until(lambda: bool(client.get("/health").json() == {"status": "ok"}), "Redis is noticed")
        assert ask("And back?")[1] == "miss"
        assert ask("And back?")[1] == "hit", "answers are kept by Redis again"
        now = figures(client)
        assert now["llmcache_client_degraded", ""] == 0 and now["llmcache_stores_total", ""] == 1


def test_a_service_gives_its_connections_back(recipes: None, server: RedisServer) -> None:
    from fastapi.testclient import TestClient
    from service import app  # type: ignore[import-not-found]

    with server.client() as redis:
        before = {client["id"] for client in redis.client_list()}

        def connections() -> int:
            return len({client["id"] for client in redis.client_list()} - before)

        with TestClient(app) as client:
            assert client.post("/ask", json={"question": "Who is there?"}).headers["x-cache"] == "miss"
            assert connections() > 0
        until(lambda: connections() == 0, "connections are closed")
