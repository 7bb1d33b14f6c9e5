"""What answers while the server does not, and the way back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .. import ops
from ..flows import Flow
from ..types import Unavailable
from .base import Backend
from .local import LocalBackend

T = TypeVar("T")

log = logging.getLogger("llmcache")

#: How many removals are remembered for the server; with more of them, everything is removed.
_REMEMBERED = 1000


class Breaker:
    """Says whether the server is worth a try: not for a while once it has failed some times in a row. One caller tries
    then, and while that fails the others wait ever longer."""

    def __init__(
        self,
        failures: int = 3,
        pause: float = 0.5,
        longest_pause: float = 15.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._first, self._longest, self._now = failures, pause, longest_pause, now
        self._lock = threading.Lock()
        self._failed = 0
        self._pause = pause
        self._closed_until = 0.0
        self._trying: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls go past the server now."""
        with self._lock:
            return self._failed >= self._limit

    def lets_through(self) -> bool:
        """Whether this call is to try the server."""
        with self._lock:
            if self._failed < self._limit:
                return True
            now = self._now()
            # One that tries and is never heard of again does not keep others from trying.
            busy = self._trying is not None and now - self._trying < self._longest
            if busy or now < self._closed_until:
                return False
            self._trying = now
            return True

    def succeeded(self) -> bool:
        """Notes that the server answered; whether it had not before."""
        with self._lock:
            was_open = self._failed >= self._limit
            self._failed, self._pause, self._trying = 0, self._first, None
            return was_open

    def failed(self) -> bool:
        """Notes that it did not; whether it is given up by that."""
        with self._lock:
            self._failed += 1
            self._trying = None
            if self._failed < self._limit:
                return False
            self._closed_until = self._now() + self._pause
            self._pause = min(self._longest, self._pause * 2)
            return self._failed == self._limit


class Fallback(Backend):
    """Asks one backend, and another one while the first cannot answer.

    What was removed meanwhile is removed from the first as soon as it is back, before anything is read there. What was
    stored meanwhile is forgotten then: others may have changed what it was made of. A lease is a matter of the backend
    that gave it, until it ends.
    """

    def __init__(self, primary: Backend, local: LocalBackend | None = None, breaker: Breaker | None = None) -> None:
        self.primary, self.local = primary, local or LocalBackend()
        self.breaker = breaker or Breaker()
        self._lock = threading.Lock()
        self._missed: list[ops.Op[Any]] = []
        self._used = False

    @property
    def is_degraded(self) -> bool:
        """Whether the server is left alone now."""
        return self.breaker.is_open

    @property
    def shared(self) -> Backend:
        """The same where only what all processes have in common will do: fails while the first cannot answer."""
        return _Shared(self)

    def flow(self, op: ops.Op[T], *, only_shared: bool = False) -> Flow[T]:
        only_shared = only_shared or isinstance(op, (ops.Raw, ops.TakeDue))
        token = op.token if isinstance(op, (ops.Set, ops.Renew, ops.Release)) else None
        if token is not None and self.local.gave(token) and not only_shared:
            # Those who wait for it wait here, also when the server is back.
            self._used = True
            return (yield from self.local.flow(op))
        if self.breaker.lets_through():
            try:
                yield from self._catch_up()
                result = yield from self.primary.flow(op)
            except Unavailable as why:
                if self.breaker.failed():
                    log.warning("llmcache: the server cannot be reached (%s): answers are kept here meanwhile", why)
                if only_shared:
                    raise
            except BaseException:
                # It answered, or the caller has given up; either way nothing is known against the server.
                self.breaker.succeeded()
                raise
            else:
                if self.breaker.succeeded():
                    log.warning("llmcache: the server is back")
                if self._used:
                    self._used = False
                    self.local.clear()
                return result
        elif only_shared:
            raise Unavailable("the server cannot be reached")
        if isinstance(op, (ops.Invalidate, ops.Feedback)):
            self._remember(op)
        self._used = True
        return (yield from self.local.flow(op))

    def _remember(self, op: ops.Op[Any]) -> None:
        if isinstance(op, ops.Invalidate) and op.dry_run:
            return
        with self._lock:
            self._missed.append(op)
            if len(self._missed) > _REMEMBERED:
                self._missed = [ops.Invalidate(ops.Selection(everything=True))]

    def _catch_up(self) -> Flow[None]:
        """Tells the first backend what it has missed."""
        with self._lock:
            missed, self._missed = self._missed, []
        while missed:
            try:
                yield from self.primary.flow(missed[0])
            except Unavailable:
                with self._lock:
                    self._missed = missed + self._missed
                raise
            missed.pop(0)

    def close(self) -> None:
        self.primary.close()
        self.local.close()

    async def aclose(self) -> None:
        await self.primary.aclose()
        await self.local.aclose()


class _Shared(Backend):
    def __init__(self, fallback: Fallback) -> None:
        self._fallback = fallback

    def flow(self, op: ops.Op[T]) -> Flow[T]:
        return (yield from self._fallback.flow(op, only_shared=True))
