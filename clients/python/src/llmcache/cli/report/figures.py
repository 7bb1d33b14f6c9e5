"""What a report is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from ... import Cache, Entry, Stats
from .. import server
from ..sample import hottest

#: What is counted in a bucket.
COUNTED = (
    "cost_saved_usd",
    "cost_spent_usd",
    "hits_exact",
    "hits_similar",
    "hits_stale",
    "hits",
    "misses",
    "lookups",
    "stores",
    "tokens_saved",
)


@dataclass(frozen=True)
class Bucket:
    """What was counted from one time to another, both in seconds of Unix time."""

    start: int
    end: int
    counts: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.counts[name]


@dataclass(frozen=True)
class Figures:
    """All that stands in a report."""

    #: Seconds of Unix time.
    at: int
    server: str
    stats: Stats
    info: Mapping[str, Any]
    hours: Sequence[Bucket]
    days: Sequence[Bucket]
    models: Mapping[str, Stats]
    strategies: Mapping[str, Stats]
    hottest: Sequence[Entry] = field(default_factory=tuple)
    looked_at: int = 0


def collect(cache: Cache, prompts: int = 0, sample: int = 20_000) -> Figures:
    """All figures of a cache."""
    info, now = server.info(cache), server.now(cache)
    entries, looked_at = hottest(cache, prompts, sample) if prompts else ([], 0)

    def window(seconds: int) -> Stats:
        told: Stats = cache.stats(window=seconds)
        return told

    return Figures(
        at=now,
        server=server.describe(cache),
        stats=cache.stats(),
        info=info,
        hours=buckets(window, now, list(_hours(now))),
        days=buckets(window, now, list(_days(now))),
        models=cache.stats(by="model"),
        strategies=cache.stats(by="strategy"),
        hottest=entries,
        looked_at=looked_at,
    )


def _hours(now: int) -> Iterator[int]:
    """The beginnings of the last 24 hours, the latest first."""
    latest = now - now % 3600
    return (latest - 3600 * number for number in range(24))


def _days(now: int) -> Iterator[int]:
    """The beginnings of the last 30 days, here. Windows begin with whole hours: days that do not are UTC's."""
    here = datetime.fromtimestamp(now).astimezone()
    if (here.utcoffset() or timedelta()).total_seconds() % 3600:
        here = here.astimezone(timezone.utc)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    for number in range(30):
        day = midnight - timedelta(days=number)
        yield int((day.replace(tzinfo=here.tzinfo) if here.tzinfo is timezone.utc else day.astimezone()).timestamp())


def buckets(window: Callable[[int], Stats], now: int, starts: Sequence[int]) -> list[Bucket]:
    """What was counted between these times, the latest of which comes first; the result begins with the earliest.

    A window is told from its beginning to now, so a bucket is the difference of two. The server begins windows of more
    than two hours with a whole hour, and such of more than two minutes with a whole minute.
    """
    found: list[Bucket] = []
    before: Mapping[str, Any] = dict.fromkeys(COUNTED, 0)
    end = now
    for start in starts:
        told = window(max(1, now - start))
        counts = {name: max(told[name] - before[name], type(told[name])(0)) for name in COUNTED}
        found.append(Bucket(start, end, counts))
        before, end = told, start
    return found[::-1]


def total(parts: Sequence[Bucket], name: str) -> Any:
    """The sum over buckets."""
    return sum((bucket[name] for bucket in parts), Decimal(0) if name.endswith("_usd") else 0)
