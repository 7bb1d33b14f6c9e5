#!/usr/bin/env python3
"""One cache in several parts, so that all nodes of a cluster hold and serve some of it.

    pip install redis
    examples/split_cache.py redis://127.0.0.1:7000

An answer is only ever served to its own context: scope, model, system prompt and parameters. So the context decides which
part an answer is in, whoever asks for it looks there, and no hit is lost, similar ones included.
"""

import hashlib
import json
import sys

from redis.cluster import RedisCluster


def canonical(value):
    """0 and 0.0 are one number for the module, so they must lead to one part."""
    if isinstance(value, dict):
        return {key: canonical(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class SplitCache:
    def __init__(self, cluster, name, parts=16):
        """How many parts there are must never change: answers would be looked for where they are not."""
        self.cluster = cluster
        self.parts = [f"{name}:{{{number}}}" for number in range(parts)]

    def key(self, scope="", model="", system="", params=None):
        """The part of a context. The braces of a key are all that decides its slot."""
        context = json.dumps([scope, model, system, canonical(params or {})], sort_keys=True)
        digest = hashlib.sha256(context.encode()).digest()
        return self.parts[int.from_bytes(digest[:8], "big") % len(self.parts)]

    def _ask(self, command, words, options, context):
        identity = []
        for name, value in context.items():
            identity += [name.upper(), json.dumps(value) if name == "params" else value]
        return self.cluster.execute_command(command, self.key(**context), *words, *identity, *options)

    def get(self, prompt, *options, **context):
        return self._ask("LLMCACHE.GET", [prompt], options, context)

    def set(self, prompt, response, *options, **context):
        return self._ask("LLMCACHE.SET", [prompt, response], options, context)

    def fetch(self, prompt, lease_ms, block_ms, **context):
        return self._ask("LLMCACHE.FETCH", [prompt, "LEASE", lease_ms, "BLOCK", block_ms], [], context)

    def create(self, *policy):
        """Every part has the policy. Limits are each part's own: a MAXENTRIES of 1000 is 16000 in all."""
        for key in self.parts:
            self.cluster.execute_command("LLMCACHE.CREATE", key, *policy)

    def invalidate(self, *selectors):
        return sum(self.cluster.execute_command("LLMCACHE.INVALIDATE", key, *selectors) for key in self.parts)

    def stats(self):
        """What all parts have done and saved. Rates and times are no sums, so they are left out."""
        names = "entries lookups hits misses coalesced stores evictions tokens_saved memory_bytes".split()
        told = [self.cluster.execute_command("LLMCACHE.STATS", key) for key in self.parts]
        sums = {name: sum(part[name] for part in told) for name in names}
        saved = sum(round(float(part["cost_saved_usd"]) * 1_000_000) for part in told)
        return sums | {"cost_saved_usd": f"{saved // 1_000_000}.{saved % 1_000_000:06}"}


def answer(cache, prompt, call_model, **context):
    """One call of the model for all who ask at once."""
    while True:
        told = cache.fetch(prompt, 60000, 30000, **context)
        if told["state"] == "hit" or told["state"] == "stale" and "token" not in told:
            return told["response"]
        if "token" in told:
            response = call_model(prompt)
            # Null where the lease has ended meanwhile, as it does when the part moves to another node.
            cache.set(prompt, response, "TOKEN", told["token"], "COST", "0.002", **context)
            return response
        if told["state"] == "failed":
            raise RuntimeError(told["error"])


def main():
    url = sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:7000"
    cache = SplitCache(RedisCluster.from_url(url, protocol=3, decode_responses=True), "split")
    for key in cache.parts:
        cache.cluster.delete(key)  # so that this can be run again
    cache.create("MODE", "similar")
    tenants = [f"tenant-{number}" for number in range(40)]
    for tenant in tenants:
        told = answer(cache, "How do I reset my password?", lambda _: f"As {tenant} does.", scope=tenant, model="m")
        assert told == f"As {tenant} does."
    for tenant in tenants:
        told = cache.get("hi, how can I reset my password please", scope=tenant, model="m")
        assert told == f"As {tenant} does."
    stats = cache.stats()
    used = sum(cache.cluster.execute_command("LLMCACHE.STATS", key)["entries"] > 0 for key in cache.parts)
    print(f"{stats['entries']} answers in {used} of {len(cache.parts)} parts")
    print(f"{stats['hits']} hits, {stats['misses']} misses, {stats['cost_saved_usd']} dollars saved")
    print(f"{cache.invalidate('ALL')} answers invalidated")


if __name__ == "__main__":
    main()
