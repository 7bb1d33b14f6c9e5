"""One call of the model for all who ask at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from . import ops
from .backends.base import Backend
from .codecs import Codec, NotStorable
from .flows import Call, Flow
from .question import Question
from .types import Fetched, Result

log = logging.getLogger("llmcache")

#: How an answer is kept, or what decides that when it is there.
Keeping = ops.Keep | Callable[[Any], ops.Keep | None]


@dataclass(frozen=True)
class Times:
    """How long a call may be silent before somebody else may make it, and how long others wait for it. In seconds."""

    lease: float = 15.0
    block: float = 60.0


def get_or_call(
    backend: Backend,
    question: Question,
    call: Call,
    codec: Codec,
    *,
    terms: ops.Terms = ops.Terms(),
    keep: Keeping = ops.Keep(),
    times: Times = Times(),
) -> Flow[Result]:
    """The cached answer, or that of the call, which is stored. Where the cache cannot help, the call is made."""
    fetched = yield from fetch(backend, question, terms, times)
    if fetched.answer is not None and fetched.token is None:
        try:
            return Result(codec.loads(fetched.answer.response), True, fetched.answer.cost_usd)
        except Exception as error:
            log.warning("llmcache: a cached answer cannot be read and is made anew (%s)", error)
    return (yield from _make(backend, question, call, codec, keep, times, fetched.token))


def fetch(backend: Backend, question: Question, terms: ops.Terms, times: Times) -> Flow[Fetched]:
    """The answer, or the right to make it, or neither: then the call is made without the cache."""
    lease, block = round(times.lease * 1000), round(times.block * 1000)
    until = time.monotonic() + times.block
    try:
        while True:
            fetched: Fetched = yield from backend.flow(ops.Fetch(question, lease, block, terms))
            left = until - time.monotonic()
            # "failed": whoever was at it has given up, or the cache was deleted.
            if fetched.state != "failed" or left <= 0:
                return fetched
            block = round(left * 1000)
    except Exception as error:
        log.warning("llmcache: no lookup (%s)", error)
        return Fetched("timeout")


def _make(
    backend: Backend,
    question: Question,
    call: Call,
    codec: Codec,
    keep: Keeping,
    times: Times,
    token: str | None,
) -> Flow[Result]:
    if token is not None:
        call.meanwhile = lambda: backend.flow(ops.Renew(question, token, round(times.lease * 1000)))
        call.every = times.lease / 3
    started = time.monotonic()
    try:
        response = yield call
    except BaseException:
        yield from give_back(backend, question, token)
        raise
    latency = (time.monotonic() - started) * 1000
    response, told = (response.response, response.keep) if isinstance(response, ops.Made) else (response, {})
    # It is here, and whoever asked gets it, whatever becomes of it.
    kept, data = None, b""
    try:
        kept = keep(response) if callable(keep) else keep
        kept = kept and kept.on(**told)
        data = codec.encode(response) if kept is not None else b""
    except Exception as error:
        log.warning("llmcache: an answer is not cached (%s)", error, exc_info=not isinstance(error, NotStorable))
        kept = None
    if kept is None:
        yield from give_back(backend, question, token)
        return Result(response, False, Decimal(0))
    kept = kept if kept.latency is not None else kept.on(latency=latency)
    yield from store(backend, question, data, kept, token)
    return Result(response, False, _dollars(kept.cost))


def _dollars(cost: Decimal | float | str | None) -> Decimal:
    try:
        return Decimal(0) if cost is None else Decimal(str(cost))
    except ArithmeticError:
        return Decimal(0)


def store(backend: Backend, question: Question, data: bytes, keep: ops.Keep, token: str | None) -> Flow[bool]:
    """Keeps an answer that was made. Nobody has to do without it because it cannot be kept."""
    try:
        kept: bool = yield from backend.flow(ops.Set(question, data, keep, token=token))
        return kept
    except Exception as error:
        log.warning("llmcache: an answer is not cached (%s)", error)
        yield from give_back(backend, question, token)
        return False
    except BaseException:
        yield from give_back(backend, question, token)
        raise


def give_back(backend: Backend, question: Question, token: str | None) -> Flow[None]:
    """Lets the next one try."""
    if token is not None:
        try:
            yield from backend.flow(ops.Release(question, token))
        except Exception:
            # It runs out by itself.
            pass
