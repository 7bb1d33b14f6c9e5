"""A service that answers questions, and tells what its cache does for it.

    uvicorn service:app --port 8000

    curl -i localhost:8000/ask -H 'content-type: application/json' -d '{"question": "What is Redis?"}'
    curl localhost:8000/metrics
    curl localhost:8000/health

Stop Redis and ask on: answers come from this process then, and from Redis again when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from fastapi import FastAPI, Response
from llmcache import AsyncCache, Made, Unavailable
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from pydantic import BaseModel, Field

from model import llm

#: Nobody waits longer for figures, in seconds.
PATIENCE = 1.0

cache = AsyncCache(name="recipe:service")

registry = CollectorRegistry()
answers = Counter("ask_answers", "Answers given, by where they came from", ["source"], registry=registry)
dollars = Counter("ask_spent_usd", "US dollars that the model has cost", registry=registry)
degraded = Gauge("llmcache_client_degraded", "1 while answers are kept in this process", registry=registry)
degraded.set_function(lambda: cache.is_degraded)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The cache connects when it is first asked. On the way out its connections are given back."""
    async with cache:
        yield


app = FastAPI(title="Questions", lifespan=lifespan)


class Asked(BaseModel):
    """What somebody wants to know."""

    question: str = Field(min_length=1, max_length=4000)


class Answered(BaseModel):
    """What they are told."""

    answer: str


class Health(BaseModel):
    """Whether Redis answers. The service does in any case."""

    status: Literal["ok", "degraded"]


@app.post("/ask")
async def ask(asked: Asked, response: Response) -> Answered:
    """Answers from the cache, or asks the model: once for all who ask the same at the same time."""

    async def call() -> Made:
        return (await llm.acomplete(asked.question)).made

    text, was_cached, cost = await cache.get_or_call(asked.question, call, model=llm.name)
    source = "cache" if was_cached else "model"
    answers.labels(source).inc()
    if not was_cached:
        dollars.inc(float(cost))
    response.headers["X-Cache"] = "hit" if was_cached else "miss"
    response.headers["X-Cost-Saved-USD" if was_cached else "X-Cost-USD"] = f"{cost:.6f}"
    return Answered(answer=text)


@app.get("/metrics")
async def metrics() -> Response:
    """Figures for Prometheus: those of this process, and those of the cache while it can be reached.

    Each process of the service tells the same figures of the cache. With many of them, scrape these from one place: see
    dashboards/exporter.py.
    """
    try:
        of_cache: str = await asyncio.wait_for(cache.command("STATS", "FORMAT", "prometheus"), PATIENCE)
    except (Unavailable, asyncio.TimeoutError):
        of_cache = ""
    return Response(generate_latest(registry) + of_cache.encode(), media_type=CONTENT_TYPE_LATEST)


@app.get("/health")
async def health() -> Health:
    """Always 200: an orchestrator that restarted the service because Redis is away would take the last cache from it.

    It looks at the cache itself, so that it tells the truth when nobody asks anything, too.
    """
    try:
        await asyncio.wait_for(cache.info(), PATIENCE)
    except (Unavailable, asyncio.TimeoutError):
        return Health(status="degraded")
    return Health(status="ok")
