"""How fast a server answers, from here."""

from __future__ import annotations

import os
import platform
import random
import threading
import time
import uuid
from typing import Annotated, Any

import typer

from .. import Cache, __version__
from . import human
from .app import Stop, app, session, show, tell
from .entries import Json
from .server import describe, remove

_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@app.command()
def bench(
    context: typer.Context,
    requests: Annotated[int, typer.Option("--requests", "-r", help="How many of each kind.", min=1)] = 5000,
    threads: Annotated[int, typer.Option("--threads", "-t", help="How many clients at once.", min=1, max=256)] = 4,
    entries: Annotated[int, typer.Option(help="Over how many prompts.", min=1)] = 1000,
    size: Annotated[int, typer.Option(help="Bytes of a response.", min=1)] = 1000,
    as_json: Json = False,
) -> None:
    """Measure SET, GET and FETCH as a client sees them, in a cache of its own that is deleted afterwards."""
    settings = session(context)
    name = f"llmcache:bench:{uuid.uuid4().hex[:12]}"
    with settings.cache(name) as cache, Stop() as stop:
        server = describe(cache)
        load = Load(cache, entries, size, stop)
        told: dict[str, dict[str, float]] = {}
        try:
            for kind, do in (("SET", load.set), ("GET", load.get), ("FETCH", load.fetch)):
                if not stop.wanted:
                    told[kind] = load.run(do, requests, threads)
        finally:
            remove(cache)
    if as_json:
        workload = {"requests": requests, "threads": threads, "entries": entries, "size": size}
        tell({"client": _machine(), "server": server, "workload": workload, "results_us": told})
    else:
        print(f"client   {_machine()}")
        print(f"server   {server}")
        print(f"load     {requests:,} of each, {threads} threads, {entries:,} prompts, {human.size(size)} responses")
        print()
        show(
            ("", "per second", "p50", "p95", "p99", "max"),
            [
                (kind, f"{times['per_second']:,.0f}", *(human.micros(times[part]) for part in (*_QUANTILES, "max")))
                for kind, times in told.items()
            ],
        )
    if stop.wanted:
        raise typer.Exit(130)


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, llmcache {__version__}"


class Load:
    """What is done, and how long each takes."""

    def __init__(self, cache: Cache, entries: int, size: int, stop: Stop) -> None:
        self.cache, self.entries, self.stop = cache, entries, stop
        words = "the answer to a question of somebody who wants to know more about caches of language models".split()
        chance = random.Random(1)
        text = " ".join(chance.choice(words) for _ in range(size // 4 + 2))
        self.responses = [text[at : at + size].ljust(size, ".") for at in range(0, 16)]

    def set(self, number: int) -> None:
        """Stores an answer."""
        self.cache.set(self._prompt(number), self.responses[number % 16], ttl=3600, cost="0.001")

    def get(self, number: int) -> None:
        """Looks one up."""
        self.cache.get(self._prompt(number))

    def fetch(self, number: int) -> None:
        """Looks one up as callers of models do."""
        self.cache.fetch(self._prompt(number), block=0)

    def _prompt(self, number: int) -> str:
        return f"What is known about subject {number * 7919 % self.entries}?"

    def run(self, do: Any, requests: int, threads: int) -> dict[str, float]:
        """Percentiles in microseconds, and the rate."""
        times: list[list[float]] = [[] for _ in range(threads)]
        broken: list[BaseException] = []

        def work(worker: int) -> None:
            mine = times[worker]
            try:
                for number in range(worker, requests, threads):
                    if self.stop.wanted or broken:
                        return
                    started = time.perf_counter()
                    do(number)
                    mine.append((time.perf_counter() - started) * 1e6)
            except BaseException as error:
                broken.append(error)

        workers = [threading.Thread(target=work, args=(worker,)) for worker in range(threads)]
        started = time.perf_counter()
        for thread in workers:
            thread.start()
        for thread in workers:
            while thread.is_alive():
                thread.join(0.1)
        took = time.perf_counter() - started
        if broken:
            raise broken[0]
        every = sorted(one for mine in times for one in mine)
        if not every:
            return dict.fromkeys((*_QUANTILES, "max", "per_second", "requests"), 0.0)
        told = {name: every[min(len(every) - 1, int(len(every) * share))] for name, share in _QUANTILES.items()}
        return told | {"max": every[-1], "per_second": len(every) / took, "requests": float(len(every))}
