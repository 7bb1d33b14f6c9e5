"""The last lines of a recipe: what the cache did, by its own STATS."""

from __future__ import annotations

from llmcache import Cache, Stats


def summary(cache: Cache, before: Stats, calls: int) -> str:
    """What has been looked up and saved since `before`."""
    now = cache.stats()
    lookups, hits = now.lookups - before.lookups, now.hits - before.hits
    dollars = now.cost_saved_usd - before.cost_saved_usd
    seconds = (now.latency_saved_ms - before.latency_saved_ms) / 1000
    lines = [
        f"hit rate {hits / max(1, lookups):.1%}: {hits} of {lookups} lookups; calls of the model: {calls}",
        f"saved ${dollars:.6f} and {seconds:.1f} s of waiting",
    ]
    if cache.is_degraded:
        lines.append("Redis is away: all this was kept in this process, for this process")
    return "\n".join(lines)
