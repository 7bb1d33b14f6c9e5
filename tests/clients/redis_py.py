#!/usr/bin/env python3
"""The commands as a Python application sees them: through redis-py, under RESP2 and under RESP3.

    redis_py.py --port 6379 [--host 127.0.0.1]

Runs against a server with the module, which it empties. Prints one line per failure and "N passed, 0 failed" at the end;
the exit status is 1 where something failed. tests/clients/run.sh starts such a server.
"""

import argparse
import json
import struct
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import redis
from redis.exceptions import ResponseError

ANSWER = b"An answer with bytes: \x00\xff\r\n."
tests = []


def test(function):
    tests.append(function)
    return function


class Cache:
    """One connection, and what a test says to it."""

    def __init__(self, host, port, protocol):
        self.redis = redis.Redis(host=host, port=port, protocol=protocol)
        self.resp3 = protocol == 3
        self.host, self.port = host, port

    def __call__(self, verb, *args):
        return self.redis.execute_command("LLMCACHE." + verb, *args)

    def map(self, reply):
        """A map, which RESP2 tells as a flat array. Under RESP3 it must be one."""
        if self.resp3:
            assert isinstance(reply, dict), f"RESP3 tells a map as {type(reply).__name__}"
        else:
            assert isinstance(reply, list) and len(reply) % 2 == 0, f"RESP2 tells a map as {reply!r}"
            reply = dict(zip(reply[::2], reply[1::2]))
        return {name.decode(): value for name, value in reply.items()}

    def id(self, prompt, *identity):
        return self.map(self("GET", "faq", prompt, *identity, "NOTOUCH", "WITHMETA"))["id"]

    def refuses(self, verb, *args, names=(), code=""):
        """An error, which names these and begins with this code. (redis-py cuts off the code ERR.)"""
        try:
            reply = self(verb, *args)
        except ResponseError as error:
            text = str(error)
            assert text.startswith(code), f"{text!r} does not begin with {code!r}"
            for name in names:
                assert name.lower() in text.lower(), f"{text!r} does not name {name!r}"
            return text
        raise AssertionError(f"{verb} {args!r:.200} is not refused: {reply!r}")


def same(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def between(low, value, high):
    assert low <= value <= high, f"{value!r} is not from {low!r} to {high!r}"


@test
def set_and_get(c):
    same(c("GET", "faq", "What is Redis?"), None)
    same(c("SET", "faq", "What is Redis?", ANSWER), b"OK")
    same(c("GET", "faq", "What is Redis?"), ANSWER)
    same(c.redis.type("faq"), b"llm-cache")
    same(c("GET", "faq", "what is redis?"), None)
    prompt = b"\xff\x00 not UTF-8"
    same(c("SET", "faq", prompt, b"", "EX", 100), b"OK")
    same(c("GET", "faq", prompt), b"")


@test
def identity_is_a_hard_filter(c):
    def full(scope="a", model="m", system="be kind", params='{"seed": 1, "top_p": 0.5}'):
        return ["MODEL", model, "SYSTEM", system, "PARAMS", params, "SCOPE", scope]

    c("SET", "faq", "p", "r", *full())
    same(c("GET", "faq", "p", *full()), b"r")
    same(c("GET", "faq", "p", *full(params='{ "top_p":5e-1,"seed":1.0 }')), b"r")
    same(c("GET", "faq", "p"), None)
    for other in ({"scope": "b"}, {"model": "n"}, {"system": "be rude"}, {"params": '{"seed": 2, "top_p": 0.5}'}):
        same(c("GET", "faq", "p", *full(**other)), None)
    c("SET", "faq", "p", "none")
    same(c("GET", "faq", "p", "MODEL", "", "SYSTEM", "", "SCOPE", ""), b"none")


@test
def with_meta(c):
    c("SET", "faq", "p", "r", "MODEL", "m", "EX", 100, "TYPE", "t", "TAGS", 2, "x", "y", "TOKENS", 10, 20,
      "COST", "0.0015", "LATENCY", 800, "META", '{"a":1}')
    meta = c.map(c("GET", "faq", "p", "MODEL", "m", "WITHMETA"))
    same(set(meta), set("response id etag match similarity prompt model strategy type tags age ttl stale hits tokens_in "
                        "tokens_out cost_saved_usd latency_saved_ms".split()))
    same((meta["response"], meta["match"], meta["prompt"], meta["model"]), (b"r", b"exact", b"p", b"m"))
    same((meta["strategy"], meta["type"], sorted(meta["tags"])), (b"explicit", b"t", [b"x", b"y"]))
    same((meta["hits"], meta["tokens_in"], meta["tokens_out"]), (1, 10, 20))
    same(meta["cost_saved_usd"], b"0.001500")
    same(float(meta["similarity"]), 1.0)
    same(bool(meta["stale"]), False)
    if c.resp3:
        same((type(meta["similarity"]), type(meta["stale"])), (float, bool))
    between(99, meta["ttl"], 100)
    same(len(meta["id"]), 32)
    same(c.map(c("GET", "faq", "p", "MODEL", "m", "WITHMETA"))["hits"], 2)
    same(c.map(c("GET", "faq", "p", "MODEL", "m", "WITHMETA", "NOTOUCH"))["hits"], 2)
    same(c("GET", "faq", "p", "MODEL", "m", "IFNONEMATCH", meta["etag"]), b"NOTMODIFIED")
    same(c("GET", "faq", "p", "MODEL", "m", "IFNONEMATCH", meta["etag"], "WITHMETA"), b"NOTMODIFIED")
    same(c("GET", "faq", "p", "MODEL", "m", "IFNONEMATCH", "another"), b"r")
    same(c("GET", "faq", "none", "WITHMETA"), None)


@test
def one_miss_one_call(c):
    told = c.map(c("FETCH", "faq", "q", "LEASE", 60000))
    same(told["state"], b"lease")
    same(c.map(c("FETCH", "faq", "q", "LEASE", 60000)), {"state": b"wait"})
    same(c.map(c("FETCH", "faq", "q", "LEASE", 60000, "BLOCK", 10)), {"state": b"timeout"})
    others = [Cache(c.host, c.port, 3 if c.resp3 else 2) for _ in range(5)]
    with ThreadPoolExecutor(len(others)) as pool:
        waiting = [pool.submit(other, "FETCH", "faq", "q", "LEASE", 60000, "BLOCK", 20000) for other in others]
        deadline = time.monotonic() + 20
        while c.redis.info("clients")["blocked_clients"] < len(others):
            assert time.monotonic() < deadline, "they do not wait"
            time.sleep(0.005)
        same(c("SET", "faq", "q", "late", "TOKEN", "0" * 32), None)
        same(c("SET", "faq", "q", ANSWER, "TOKEN", told["token"]), b"OK")
        for other, answer in zip(others, waiting):
            answer = other.map(answer.result())
            same((answer["state"], answer["response"], answer["match"]), (b"hit", ANSWER, b"exact"))
    same(c("RENEW", "faq", told["token"], 1000), 0)
    told = c.map(c("FETCH", "faq", "other", "LEASE", 60000))
    same(c("RENEW", "faq", told["token"], 1000), 1)
    same(c("RELEASE", "faq", told["token"], "ERROR", "given up"), 1)
    same(c("RELEASE", "faq", told["token"]), 0)
    c.refuses("FETCH", "faq", "q", "EXACT", "NOTOUCH", names=["LEASE"])


@test
def conditions(c):
    same(c("SET", "faq", "p", "r", "XX"), None)
    same(c("SET", "faq", "p", "r", "NX"), b"OK")
    same(c("SET", "faq", "p", "r2", "NX"), None)
    first = c.id("p")
    same(c("SET", "faq", "p", "r3", "XX"), b"OK")
    same(c("GET", "faq", "p"), b"r3")
    same(c.id("p"), first)


@test
def expiry(c):
    c("SET", "faq", "p", "r", "EX", 100)
    entry = c.id("p")
    between(99, c("TTL", "faq", entry), 100)
    same(c("EXPIRE", "faq", entry, 1000), 1)
    between(999, c("TTL", "faq", entry), 1000)
    c("SET", "faq", "p", "r", "KEEPTTL")
    between(998, c("TTL", "faq", entry), 1000)
    c("SET", "faq", "p", "r", "PERSIST")
    same(c("TTL", "faq", entry), -1)
    same(c("TTL", "faq", "0" * 32), -2)
    same(c("TTL", "none", entry), -2)
    same(c("EXPIRE", "faq", "0" * 32, 10), 0)
    same(c("SET", "faq", "p", "r", "EXAT", 1), None)
    same(c("GET", "faq", "p"), None)
    c("SET", "faq", "short", "r", "PX", 60)
    same(c("GET", "faq", "short"), b"r")
    deadline = time.monotonic() + 5
    while c("GET", "faq", "short") is not None:
        assert time.monotonic() < deadline, "PX 60 has not expired after 5 s"


@test
def stale_answers(c):
    c("SET", "faq", "p", "r", "EX", 1000, "STALE", 1000)
    same(c("INVALIDATE", "faq", "PROMPT", "p", "SOFT"), 1)
    same(c("GET", "faq", "p"), None)
    same(c("GET", "faq", "p", "STALEOK"), b"r")
    same(bool(c.map(c("GET", "faq", "p", "STALEOK", "WITHMETA"))["stale"]), True)


@test
def deleting_and_invalidating(c):
    for i in range(10):
        c("SET", "faq", f"prompt {i}", "r", "MODEL", "odd" if i % 2 else "even", "TAGS", 1, f"t{i % 3}", "TYPE", "x", "EX", 100)
    same(c("DEL", "faq", c.id("prompt 0", "MODEL", "even"), "0" * 32), 1)
    same(c("INVALIDATE", "faq", "MODEL", "odd", "TAG", 1, "t0", "DRYRUN"), 2)
    same(c("INVALIDATE", "faq", "MODEL", "odd", "TAG", 1, "t0"), 2)
    same(c("INVALIDATE", "faq", "MATCH", "prompt [24]"), 2)
    same(c("INVALIDATE", "faq", "TYPE", "y"), 0)
    same(c("INVALIDATE", "faq", "OLDERTHAN", 60), 0)
    same(c("INVALIDATE", "faq", "STRATEGY", "explicit", "DRYRUN"), 5)
    same(c("INVALIDATE", "faq", "ALL"), 5)
    same(c.redis.exists("faq"), 1)
    same(c("INVALIDATE", "none", "ALL"), 0)


@test
def scanning(c):
    wanted = {}
    for i in range(300):
        c("SET", "faq", f"prompt {i}", "r", "EX", 100, "SCOPE", f"s{i % 2}")
    found, cursor = {}, None
    while cursor != 0:
        cursor, page = c("SCAN", "faq", cursor or 0, "COUNT", 50)
        cursor = int(cursor)
        found.update({entry: prompt for entry, prompt in page})
    same(sorted(found.values()), sorted(f"prompt {i}".encode() for i in range(300)))
    assert all(len(entry) == 32 for entry in found)
    wanted, cursor = set(), None
    while cursor != 0:
        cursor, page = c("SCAN", "faq", cursor or 0, "MATCH", "prompt 1*", "SCOPE", "s1")
        cursor = int(cursor)
        wanted |= {prompt for _, prompt in page}
    same(wanted, {f"prompt {i}".encode() for i in range(1, 300, 2) if str(i).startswith("1")})
    cursor, page = c("SCAN", "none", 0)
    same((int(cursor), page), (0, []))


@test
def entries(c):
    c("SET", "faq", "p", "r", "SYSTEM", "s", "SCOPE", "u", "PARAMS", '{"b":1,"a":2}', "META", '{"k":"v"}', "EX", 100)
    entry = c.map(c("ENTRY", "faq", c.id("p", "SYSTEM", "s", "SCOPE", "u", "PARAMS", '{"b":1,"a":2}')))
    same(set(entry), set("id etag prompt model strategy type tags age ttl stale hits tokens_in tokens_out cost_saved_usd "
                         "latency_saved_ms system params scope rule meta created cost_usd estimated size stored".split()))
    same((entry["system"], entry["scope"], entry["size"]), (b"s", b"u", 1))
    same(json.loads(entry["params"]), {"a": 2, "b": 1})
    same(json.loads(entry["meta"]), {"k": "v"})
    same(c.map(c("ENTRY", "faq", entry["id"], "WITHRESPONSE"))["response"], b"r")
    same(c("ENTRY", "faq", "0" * 32), None)
    same(c("ENTRY", "none", entry["id"]), None)


@test
def requests(c):
    def body(**more):
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]
        return json.dumps({"model": "gpt-4o", "messages": messages, "temperature": 0, **more})

    def answer(**more):
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop", **more}
        usage = {"prompt_tokens": 11, "completion_tokens": 3}
        return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})

    same(c("SET", "faq", body(), answer(), "REQUEST", "EX", 100), b"OK")
    same(c("GET", "faq", body(stream=True, user="someone"), "REQUEST"), answer().encode())
    same(c("GET", "faq", json.dumps(json.loads(body()), indent=3, sort_keys=True), "REQUEST"), answer().encode())
    same(c("GET", "faq", body(temperature=0.7), "REQUEST"), None)
    same(c("GET", "faq", body(seed=1), "REQUEST"), None)
    meta = c.map(c("GET", "faq", body(), "REQUEST", "WITHMETA"))
    same((meta["prompt"], meta["model"], meta["tokens_in"], meta["tokens_out"]), (b"Hello?", b"gpt-4o", 11, 3))
    c.refuses("SET", "faq", body(), answer(finish_reason="length"), "REQUEST")
    c.refuses("SET", "faq", body(), '{"error": {"message": "overloaded"}}', "REQUEST")
    c.refuses("GET", "faq", body(), "REQUEST", "MODEL", "m", names=["MODEL"])
    c.refuses("GET", "faq", '{"model": "m"', "REQUEST")
    anthropic = {"model": "claude", "max_tokens": 100, "system": "Be kind."}
    text = dict(anthropic, messages=[{"role": "user", "content": "Hello?"}])
    part = dict(anthropic, messages=[{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}])
    same(c("SET", "faq", json.dumps(text), "plain text", "REQUEST", "EX", 100), b"OK")
    same(c("GET", "faq", json.dumps(part), "REQUEST"), b"plain text")


@test
def strategies(c):
    fixed = {
        "Explain how photosynthesis works": ("aggressive", 86400),
        "What is a REST API?": ("aggressive", 86400),
        "How do I reset my password?": ("aggressive", 86400),
        "Analyze this listing and recommend a price strategy": ("standard", 21600),
        "What are current mortgage rates?": ("conservative", 5400),
        "AAPL stock price today": ("conservative", 5400),
        "What is the weather right now?": ("realtime", 900),
        "What should I say next to this caller?": ("realtime", 900),
    }
    for prompt, (strategy, ttl) in fixed.items():
        same(c("SET", "faq", prompt, "r"), b"OK")
        meta = c.map(c("GET", "faq", prompt, "WITHMETA"))
        same((prompt, meta["strategy"]), (prompt, strategy.encode()))
        between(ttl - 1, meta["ttl"], ttl)
    for prompt in ("Generate a random password", "Give me a new UUID"):
        same(c("SET", "faq", prompt, "r"), None)
        same(c("SET", "faq", prompt, "r", "EX", 10), b"OK")
    same(c("SET", "faq", "What is a REST API?", "r", "PARAMS", '{"temperature": 1.2}'), None)
    same(c("SET", "faq", "p", "r", "STRATEGY", "nocache"), None)
    same(c("STRATEGY", "faq", "SET", "weekly", "TTL", 604800, "STALE", 60, "JITTER", 10), b"OK")
    same(c("SET", "faq", "p", "r", "STRATEGY", "weekly"), b"OK")
    between(604800 * 0.9 - 1, c("TTL", "faq", c.id("p")), 604800 * 1.1)
    assert b"weekly" in repr(c("STRATEGY", "faq", "LIST")).encode()
    same(c("RULE", "faq", "SET", "coach", "TYPE", "coach*", "STRATEGY", "realtime"), b"OK")
    same(c("SET", "faq", "What is a REST API?", "r", "TYPE", "coaching"), b"OK")
    same(c.map(c("GET", "faq", "What is a REST API?", "WITHMETA"))["strategy"], b"realtime")
    assert "coach" in repr(c("RULE", "faq", "LIST"))
    same(c("RULE", "faq", "DEL", "coach"), 1)
    same(c("RULE", "faq", "DEL", "coach"), 0)
    c.refuses("SET", "faq", "p", "r", "STRATEGY", "no-such", names=["no-such"])


@test
def policy(c):
    same(c("CREATE", "faq", "STRATEGY", "conservative", "MAXENTRIES", 3, "EVICT", "lru", "COMPRESS", "none",
           "PRICE", "m", "1", "10"), b"OK")
    c.refuses("CREATE", "faq")
    info = c.map(c("INFO", "faq"))
    same((info["strategy"], info["maxentries"], info["evict"], info["mode"]), (b"conservative", 3, b"lru", b"exact"))
    for i in range(5):
        c("SET", "faq", f"p{i}", "r", "EX", 100)
    same([c("GET", "faq", f"p{i}") for i in range(5)], [None, None, b"r", b"r", b"r"])
    same(c("ALTER", "faq", "MAXENTRIES", 1), b"OK")
    same(c.map(c("STATS", "faq"))["entries"], 1)
    c.refuses("ALTER", "none", "MAXENTRIES", 1)
    same(c("INFO", "none"), None)
    c("SET", "faq", "priced", "r", "MODEL", "m", "TOKENS", 1000000, 100000, "EX", 100)
    same(c.map(c("GET", "faq", "priced", "MODEL", "m", "WITHMETA"))["cost_saved_usd"], b"2.000000")


@test
def statistics(c):
    c("SET", "faq", "p", "r", "COST", "0.5", "EX", 100)
    c("GET", "faq", "p"), c("GET", "faq", "p"), c("GET", "faq", "none")
    stats = c.map(c("STATS", "faq"))
    same([stats[name] for name in ("entries", "lookups", "hits", "hits_exact", "misses", "stores")], [1, 3, 2, 2, 1, 1])
    same(stats["cost_saved_usd"], b"1.000000")
    same(round(float(stats["hit_rate"]), 3), 0.667)
    same(c.map(c("STATS", "none"))["lookups"], 0)
    assert c.map(c("STATS"))["entries"] >= 1


@test
def explaining(c):
    c("SET", "faq", "What is a REST API?", "r")
    hit = c.map(c("EXPLAIN", "faq", "What is a REST API?"))
    same((hit["verdict"], hit["reason"], hit["mode"], hit["strategy"]), (b"hit", b"exact", b"exact", b"aggressive"))
    miss = c.map(c("EXPLAIN", "faq", "none"))
    same((miss["verdict"], miss["reason"]), (b"miss", b"absent"))
    same(c.map(c("STATS", "faq"))["lookups"], 0)
    same(c.map(c("EXPLAIN", "none", "p"))["verdict"], b"miss")


@test
def similar_questions(c):
    asked, alike = "How do I reset my password?", "please, how do i reset my PASSWORD"
    same(c("CREATE", "faq", "MODE", "similar"), b"OK")
    same(c("SET", "faq", asked, "r", "EX", 100, "SCOPE", "a"), b"OK")
    same(c("GET", "faq", alike, "SCOPE", "a"), b"r")
    same(c("GET", "faq", alike, "SCOPE", "a", "EXACT"), None)
    same(c("GET", "faq", alike, "SCOPE", "b"), None)
    same(c("GET", "faq", "Why is the sky blue?", "SCOPE", "a"), None)
    for query, similarity in ((alike, 1.0), ("How do I reset my passwrod?", None)):
        meta = c.map(c("GET", "faq", query, "SCOPE", "a", "WITHMETA"))
        same((meta["match"], meta["prompt"], meta["response"]), (b"similar", asked.encode(), b"r"))
        between(0.5, float(meta["similarity"]), 1.0)
        same(float(meta["similarity"]) == 1.0, similarity == 1.0)
        if c.resp3:
            same(type(meta["similarity"]), float)
    same(c("GET", "faq", "How do I reset my passwrod?", "SCOPE", "a", "THRESHOLD", 1), None)
    stats = c.map(c("STATS", "faq"))
    same([stats[name] for name in ("hits_similar", "miss_absent", "miss_threshold")], [3, 2, 2])
    info = c.map(c("INFO", "faq"))
    same((info["mode"], info["similarity"], info["dim"], info["guards"]), (b"similar", b"builtin", None, b"on"))
    between(0.5, float(info["threshold"]), 1.0)
    index = c.map(info["index"])
    same((index["state"], index["entries"], index["search"], index["feedback"]), (b"ready", 1, b"exact", 0))
    c.refuses("GET", "faq", alike, "EXACT", "THRESHOLD", 0.9, names=["EXACT", "THRESHOLD"])


@test
def similar_requests(c):
    def body(text):
        return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})

    c("CREATE", "faq", "MODE", "similar")
    same(c("SET", "faq", body("How do I reset my password?"), "r", "REQUEST", "EX", 100), b"OK")
    same(c("GET", "faq", body("how do i reset my password"), "REQUEST"), b"r")
    same(c("GET", "faq", "how do i reset my password", "MODEL", "m"), None)


@test
def vectors(c):
    def fp32(*numbers):
        return struct.pack(f"<{len(numbers)}f", *numbers)

    c("CREATE", "faq", "MODE", "similar", "SIMILARITY", "vector", "THRESHOLD", 0.6)
    same(c("SET", "faq", "What is Redis?", "r", "FP32", fp32(5, 0), "EX", 100), b"OK")
    for vector in (["FP32", fp32(3, 4)], ["VALUES", 2, 3, 4]):
        meta = c.map(c("GET", "faq", "Tell me about Redis", *vector, "WITHMETA"))
        same((meta["match"], float(meta["similarity"]), meta["prompt"]), (b"similar", 0.6, b"What is Redis?"))
        same(c("GET", "faq", "Tell me about Redis", *vector, "THRESHOLD", 0.61), None)
    same(c("GET", "faq", "Tell me about Redis", "FP32", fp32(-5, 0)), None)
    same(c("GET", "faq", "Tell me about Redis"), None)
    same(c.map(c("INFO", "faq"))["dim"], 2)
    c.refuses("GET", "faq", "Tell me about Redis", "SIMILAR", names=["FP32", "VALUES"])
    for bad in (fp32(1, 2, 3), fp32(0, 0), fp32(float("nan"), 1), fp32(float("inf"), 1), b"abc"):
        c.refuses("SET", "faq", "p", "r", "FP32", bad)
    c.refuses("SET", "faq", "p", "r", "VALUES", 3, 1, 2, names=["VALUES"])
    same(c.map(c("STATS", "faq"))["entries"], 1)


@test
def explaining_what_is_similar(c):
    c("CREATE", "faq", "MODE", "similar", "THRESHOLD", 0.5)
    c("SET", "faq", "How do I convert 5 kilograms to pounds?", "r", "EX", 100)
    explained = c.map(c("EXPLAIN", "faq", "How do I convert 7 kilograms to pounds?"))
    same((explained["verdict"], explained["match"], explained["reason"]), (b"miss", None, b"guard:numbers"))
    same((explained["mode"], float(explained["threshold"])), (b"similar", 0.5))
    (candidate,) = [c.map(candidate) for candidate in explained["candidates"]]
    same(set(candidate), {"id", "prompt", "similarity", "verdict", "guards"})
    same((candidate["verdict"], candidate["prompt"]), (b"guard:numbers", b"How do I convert 5 kilograms to pounds?"))
    between(0.5, float(candidate["similarity"]), 1.0)
    guards = c.map(candidate["guards"])
    assert {"numbers", "negation", "names", "quotes", "antonyms", "kinds", "order", "replaced"} <= set(guards), guards
    assert guards["numbers"] != b"pass" and guards["negation"] == b"pass", guards
    assert all(float(us) >= 0 for us in c.map(explained["steps"]).values())
    same(c.map(c("STATS", "faq"))["lookups"], 0)


@test
def feedback(c):
    c("CREATE", "faq", "MODE", "similar")
    c("SET", "faq", "How do I reset my password?", "r", "EX", 100)
    entry = c.id("How do I reset my password?")
    same(c("FEEDBACK", "faq", entry, "bad", "FOR", "how do i reset my password"), b"OK")
    same(c("GET", "faq", "how do i reset my password"), None)
    same(c.map(c("EXPLAIN", "faq", "how do i reset my password"))["reason"], b"feedback")
    same(c("GET", "faq", "HOW DO I RESET MY PASSWORD"), b"r")
    same(c("FEEDBACK", "faq", entry, "good", "FOR", "how do i reset my password"), b"OK")
    same(c("GET", "faq", "how do i reset my password"), b"r")
    same(c("FEEDBACK", "faq", "0" * 32, "bad"), None)
    same(c("FEEDBACK", "faq", entry, "bad"), b"OK")
    same(c("GET", "faq", "How do I reset my password?"), None)
    stats = c.map(c("STATS", "faq"))
    same((stats["feedback_good"], stats["feedback_bad"]), (1, 2))
    c.refuses("FEEDBACK", "faq", entry, "perhaps", names=["good", "bad", "perhaps"])


@test
def errors_name_the_argument(c):
    c("SET", "faq", "p", "r", "EX", 100)
    c.refuses("SET", "faq", "p", "r2", "EX", 0, names=["EX", "0"])
    c.refuses("SET", "faq", "p", "r2", "EX", "soon", names=["EX", "soon"])
    c.refuses("SET", "faq", "p", "r2", "PXAT", 253402300800000, names=["PXAT"])
    c.refuses("SET", "faq", "p", "r2", "EX", 1, "PX", 1)
    c.refuses("SET", "faq", "p", "r2", "NX", "XX")
    c.refuses("SET", "faq", "p", "r2", "MODEL", "a", "MODEL", "b", names=["MODEL"])
    c.refuses("SET", "faq", "p", "r2", "BOGUS", names=["BOGUS"])
    c.refuses("SET", "faq", "", "r2", names=["prompt"])
    c.refuses("SET", "faq", "p", "r2", "PARAMS", "{", names=["PARAMS"])
    c.refuses("SET", "faq", "p", "r2", "PARAMS", "[" * 1000000, names=["PARAMS"])
    c.refuses("SET", "faq", "p", "r2", "COST", "-1", names=["COST"])
    c.refuses("GET", "faq", "p", "THRESHOLD", 7, names=["THRESHOLD", "7"])
    c.refuses("GET", "faq", "x" * (1024 * 1024 + 1), names=["prompt"])
    c.refuses("INVALIDATE", "faq")
    c.redis.set("text", "x")
    c.refuses("GET", "text", "p", code="WRONGTYPE ")
    c.refuses("SET", "text", "p", "r", code="WRONGTYPE ")
    same(c("GET", "faq", "p"), b"r")


@test
def a_cache_is_one_key(c):
    c("SET", "faq", "p", "r", "EX", 100)
    same(c.redis.copy("faq", "copy"), True)
    c.redis.rename("faq", "renamed")
    same((c("GET", "faq", "p"), c("GET", "renamed", "p"), c("GET", "copy", "p")), (None, b"r", b"r"))
    dump = c.redis.dump("copy")
    c.redis.delete("copy")
    c.redis.restore("copy", 0, dump)
    same(c("GET", "copy", "p"), b"r")
    assert c.redis.memory_usage("copy") > 0
    same(list(c.redis.scan_iter(_type="llm-cache", match="renamed")), [b"renamed"])


@test
def transactions_pipelines_and_scripts(c):
    with c.redis.pipeline(transaction=True) as pipe:
        pipe.execute_command("LLMCACHE.SET", "faq", "p", "r", "EX", 100)
        pipe.execute_command("LLMCACHE.GET", "faq", "p")
        same(pipe.execute(), [b"OK", b"r"])
    with c.redis.pipeline(transaction=False) as pipe:
        for i in range(100):
            pipe.execute_command("LLMCACHE.SET", "faq", f"p{i}", f"r{i}", "EX", 100)
        for i in range(100):
            pipe.execute_command("LLMCACHE.GET", "faq", f"p{i}")
        same(pipe.execute()[100:], [f"r{i}".encode() for i in range(100)])
    script = "redis.call('LLMCACHE.SET', KEYS[1], ARGV[1], 'lua', 'EX', 100) return redis.call('LLMCACHE.GET', KEYS[1], ARGV[1])"
    same(c.redis.eval(script, 1, "faq", "from lua"), b"lua")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    failures = passed = 0
    for protocol in (2, 3):
        for run in tests:
            cache = Cache(args.host, args.port, protocol)
            cache.redis.flushall()
            try:
                run(cache)
                passed += 1
            except Exception as error:  # a failure of any kind is told, and the next test runs
                failures += 1
                where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == run.__name__]
                line = f", line {where[-1].lineno}" if where else ""
                print(f"FAILED RESP{protocol} {run.__name__}{line}: {type(error).__name__}: {error}")
            finally:
                cache.redis.close()
    print(f"redis-py {redis.__version__}: {passed} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
