"""A month of figures as a server would tell them, for reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llmcache import Entry, Stats
from llmcache.cli.report.figures import Bucket, Figures, total

AT = 1_790_000_000
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'& \u202eevil"


def bucket(start: int, end: int, size: float) -> Bucket:
    """What was counted while so much was going on."""
    exact, similar, stale, misses = (int(size * share) for share in (40, 22, 3, 30))
    hits = exact + similar + stale
    return Bucket(
        start,
        end,
        {
            "cost_saved_usd": Decimal(hits) * Decimal("0.0123"),
            "cost_spent_usd": Decimal(misses) * Decimal("0.0123"),
            "hits_exact": exact,
            "hits_similar": similar,
            "hits_stale": stale,
            "hits": hits,
            "misses": misses,
            "lookups": hits + misses,
            "stores": misses,
            "tokens_saved": hits * 900,
        },
    )


def times(p50: float) -> dict[str, float]:
    return {"p50": p50, "p95": p50 * 2.6, "p99": p50 * 9, "max": p50 * 40}


def stats(lookups: int, share: float = 0.68, **more: Any) -> Stats:
    """Figures of so many lookups."""
    hits = int(lookups * share)
    misses = lookups - hits
    absent, expired, threshold = int(misses * 0.55), int(misses * 0.2), int(misses * 0.18)
    saved = Decimal(hits) * Decimal("0.0123")
    figures: dict[str, Any] = {
        "entries": misses,
        "lookups": lookups,
        "hits": hits,
        "misses": misses,
        "hit_rate": hits / lookups if lookups else 0.0,
        "hits_exact": int(hits * 0.6),
        "hits_similar": int(hits * 0.35),
        "hits_stale": hits - int(hits * 0.6) - int(hits * 0.35),
        "miss_absent": absent,
        "miss_expired": expired,
        "miss_threshold": threshold,
        "miss_guard": misses - absent - expired - threshold,
        "stores": misses,
        "evictions": 120,
        "expirations": 5400,
        "cost_saved_usd": saved,
        "cost_spent_usd": Decimal(misses) * Decimal("0.0123"),
        "tokens_saved": hits * 900,
        "latency_saved_ms": hits * 1800,
        "saving_per_day_usd": saved / 30,
        "saving_per_month_usd": saved,
        "saving_per_year_usd": saved * 365 / 30,
        "memory_cost_per_month_usd": Decimal("0.41"),
        "roi": float(saved / Decimal("0.41")),
        "estimated_share": 0.031,
        "bytes_raw": misses * 2100,
        "bytes_stored": misses * 640,
        "compression_saved": 0.695,
        "memory_bytes": misses * 810,
        "memory_per_1k_entries": 810_000,
        "get_exact_us": times(4.1),
        "get_similar_us": times(61),
        "set_us": times(9.2),
        "fetch_us": times(5.8),
        "alerts": [],
    }
    return Stats(figures | more)


def sample(hostile: str = "", prompts: bool = False) -> Figures:
    """A busy cache; `hostile` stands wherever somebody else chooses the words."""
    hour = AT - AT % 3600
    hours = [
        bucket(hour - 3600 * (23 - n), hour - 3600 * (22 - n), 9 + 7 * math.sin((n - 7) / 24 * 6.283))
        for n in range(24)
    ]
    day = AT - AT % 86400
    days = [
        bucket(day - 86400 * (29 - n), day - 86400 * (28 - n), (120 + 6 * n) * (0.45 if n % 7 in (5, 6) else 1))
        for n in range(30)
    ]
    lookups = total(days, "lookups")
    alert: Mapping[str, Any] = {
        "name": "cold" + hostile,
        "figure": "hit_rate",
        "direction": "below",
        "bound": "0.7",
        "window": 3600,
        "state": "firing",
        "since": AT * 1000,
        "value": "0.643",
    }
    large = {"name": "large", "figure": "memory_bytes", "direction": "above", "bound": "400000000", "window": None}
    names = {"gpt-4o": 0.5, "claude-sonnet-4-5-20250929": 0.27, "gpt-4o-mini" + hostile: 0.18, "o4-mini": 0.05}
    strategies = {"aggressive": 0.52, "standard": 0.3, "conservative": 0.1, "realtime": 0.05, "": 0.03}
    questions = ["How do I reset my password?", "Which plans are there?", "W" * 140, hostile or "What is Redis?"]
    hottest = [
        Entry(b"", prompt=text, hits=900 // (n + 1), model="gpt-4o", cost_saved_usd=Decimal(11) / (n + 1))
        for n, text in enumerate(questions)
    ]
    return Figures(
        at=AT,
        server="Redis 7.0.15, Linux" + hostile,
        stats=stats(lookups, alerts=[alert]),
        info={
            "alerts": [alert, large | {"state": "ok", "since": None, "value": "31104000"}],
            "maxmemory": 500_000_000,
            "memory": {"entries": 21e6, "index": 6.1e6, "hot": 2.2e6, "dictionaries": 330e3, "statistics": 410e3},
            "warnings": ["maxmemory-policy allkeys-lru could evict a whole cache" + hostile],
        },
        hours=hours,
        days=days,
        models={name: stats(int(lookups * share)) for name, share in names.items()},
        strategies={name: stats(int(lookups * share)) for name, share in strategies.items()},
        hottest=hottest if prompts else (),
        looked_at=2000,
    )
