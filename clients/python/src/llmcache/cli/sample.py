"""The hottest prompts, of a sample."""

from __future__ import annotations

import itertools
import time

from .. import Cache, Entry


def hottest(cache: Cache, number: int, sample: int, seconds: float = 5.0) -> tuple[list[Entry], int]:
    """The entries with most hits among the first so many, and how many were looked at within that time."""
    found: list[Entry] = []
    looked_at, end = 0, time.monotonic() + seconds
    for id, _ in itertools.islice(cache.scan(count=min(1000, sample)), sample):
        entry = cache.entry(id, with_response=False)
        looked_at += 1
        if entry is not None and entry.hits:
            found.append(entry)
        if time.monotonic() > end:
            break
    return sorted(found, key=lambda entry: (-entry.hits, entry.prompt))[:number], looked_at
