"""What answers while the server does not, and the way back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from .. import ops
from ..flows import Flow, Local, Sleep
from ..question import Question
from ..types import Fetched, LlmcacheError, Refused, Unavailable, Unsupported, Unwilling
from .base import Backend
from .forks import OfOneProcess
from .local import LocalBackend

T = TypeVar("T")

log = logging.getLogger("llmcache")

#: How many changes are remembered for the server. With more removals everything is removed; of answers that were stored
#: in the place of others, the oldest are forgotten.
_REMEMBERED = 1000

#: How often, and for how many seconds each time, one waits while another one tells the server what it has missed.
_TURNS, _TURN = 100, 0.01


@dataclass
class Attempt:
    """One caller at the server."""

    #: Whether it is the one who finds out if the server is back.
    is_probe: bool


class Breaker(OfOneProcess):
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
        self._failed = 0
        self._pause = pause
        self._closed_until = 0.0
        self._of_this_process()

    def begin_anew(self) -> None:
        # Of a flow that is forgotten the end may come while its lock is held by the same thread.
        self._lock = threading.RLock()
        self._probe: tuple[Attempt, float] | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls go past the server now."""
        with self._lock:
            return self._failed >= self._limit

    def attempt(self) -> Attempt | None:
        """The right to try the server, where this caller has it. It is told what came of that."""
        with self._lock:
            if self._failed < self._limit:
                return Attempt(False)
            now = self._now()
            # One that tries and is never heard of again does not keep others from trying.
            busy = self._probe is not None and now - self._probe[1] < self._longest
            if busy or now < self._closed_until:
                return None
            attempt = Attempt(True)
            self._probe = attempt, now
            return attempt

    def succeeded(self, attempt: Attempt) -> bool:
        """Notes that the server answered; whether it had not before."""
        with self._lock:
            was_open = self._failed >= self._limit
            if was_open and not attempt.is_probe:
                # It was asked before the others failed.
                return False
            self._failed, self._pause, self._probe = 0, self._first, None
            return was_open

    def failed(self, attempt: Attempt) -> bool:
        """Notes that it did not; whether it is given up by that."""
        with self._lock:
            self._end(attempt)
            was_open = self._failed >= self._limit
            if was_open and not attempt.is_probe:
                return False
            self._failed += 1
            if self._failed < self._limit:
                return False
            self._closed_until = self._now() + self._pause
            self._pause = min(self._longest, self._pause * 2)
            return not was_open

    def gave_up(self, attempt: Attempt) -> None:
        """Notes that nobody waited for what it would have said."""
        with self._lock:
            self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        if self._probe is not None and self._probe[0] is attempt:
            self._probe = None


class Fallback(Backend, OfOneProcess):
    """Asks one backend, and another one while the first cannot answer.

    What was removed or stored anew meanwhile is removed from the first as soon as this process finds it back, before
    anything is read there. What was stored meanwhile is forgotten then: others may have changed what it was made of. A
    lease is a matter of the backend that gave it, until it ends.
    """

    def __init__(self, primary: Backend, local: LocalBackend | None = None, breaker: Breaker | None = None) -> None:
        self.primary, self.local = primary, local or LocalBackend()
        self.local.stands_in = True
        self.breaker = breaker or Breaker()
        self._missed: list[ops.Op[Any]] = []
        #: Questions whose answers at the server have been succeeded here, by digest.
        self._succeeded: dict[str, Question] = {}
        #: Whether something lies in the other one that is to be forgotten; a file may have it from another process.
        self._is_used = self.local.shelf.slow
        self._is_away = False
        self._of_this_process()

    def begin_anew(self) -> None:
        self._lock, self._telling = threading.RLock(), threading.Lock()

    @property
    def is_degraded(self) -> bool:
        """Whether the server was not there when it was last asked."""
        return self._is_away or self.breaker.is_open

    @property
    def shared(self) -> Backend:
        """The same where only what all processes have in common will do: fails while the first cannot answer."""
        return _Shared(self)

    def flow(self, op: ops.Op[T], *, only_shared: bool = False) -> Flow[T]:
        only_shared = only_shared or isinstance(op, (ops.Raw, ops.TakeDue))
        token = op.token if isinstance(op, (ops.Set, ops.Renew, ops.Release)) else None
        if token is not None and self.local.gave(token) and not only_shared:
            # Those who wait for it wait here, also when the server is back.
            return (yield from self._here(op))
        attempt = self.breaker.attempt()
        if attempt is not None:
            try:
                if (yield from self._catch_up(attempt)):
                    return (yield from self._there(op, attempt))
                # Somebody else is telling the server what it has missed.
                self.breaker.gave_up(attempt)
            except Unavailable as why:
                if why.is_passing:
                    self.breaker.gave_up(attempt)
                else:
                    self._is_away = True
                    if self.breaker.failed(attempt):
                        log.warning("llmcache: the server does not serve (%s): answers are kept here meanwhile", why)
                if only_shared:
                    raise
                if token is not None and isinstance(op, ops.Set) and isinstance(why, Unwilling):
                    # It can be told at once, and will be again.
                    with suppress(LlmcacheError):
                        yield from self.primary.flow(ops.Release(op.question, token))
            except (Refused, Unsupported):
                yield from self._is_back(attempt)
                raise
            except BaseException:
                # The caller has given up; nothing is known of the server.
                self.breaker.gave_up(attempt)
                raise
        if only_shared:
            raise Unavailable("the server does not serve")
        return (yield from self._here(op))

    def _there(self, op: ops.Op[T], attempt: Attempt) -> Flow[T]:
        """Does it at the server."""
        if attempt.is_probe and isinstance(op, ops.Fetch) and op.block_ms:
            # The others are not to do without the server for as long as this one may wait for somebody's answer.
            at_once = yield from self.primary.flow(replace(op, block_ms=0))
            if at_once.state != "wait":
                return cast(T, (yield from self._back_with(at_once, op, attempt)))
            yield from self._is_back(attempt)
        result = yield from self.primary.flow(op)
        return (yield from self._back_with(result, op, attempt))

    def _back_with(self, result: T, op: ops.Op[Any], attempt: Attempt) -> Flow[T]:
        try:
            yield from self._is_back(attempt)
        except BaseException:
            if isinstance(result, Fetched) and result.token is not None and isinstance(op, ops.Fetch):
                yield from self.primary.flow(ops.Release(op.question, result.token))
            raise
        return result

    def _here(self, op: ops.Op[T]) -> Flow[T]:
        """Does it in the place of the server."""
        here = op
        if isinstance(op, ops.Set) and op.token is not None and not self.local.gave(op.token):
            # The lease is the server's.
            here = cast(Any, replace(op, token=None))
        try:
            result = yield from self.local.flow(here)
        except (Refused, Unsupported):
            raise
        except BaseException:
            self._remember(op)
            raise
        self._remember(op)
        return result

    def _is_back(self, attempt: Attempt) -> Flow[None]:
        if self.breaker.succeeded(attempt):
            log.warning("llmcache: the server is back")
        if self.breaker.is_open:
            return
        self._is_away = False
        if self._is_used:
            self._is_used = False
            try:
                if self.local.shelf.slow:
                    yield Local(self.local.clear)
                else:
                    self.local.clear()
            except LlmcacheError as why:
                self._is_used = True
                log.warning("llmcache: what was kept here is not forgotten yet (%s)", why)
            except BaseException:
                self._is_used = True
                raise

    def _remember(self, op: ops.Op[Any]) -> None:
        """Notes what the server is to be told of an operation that it does not see."""
        self._is_used = self._is_used or op.writes
        with self._lock:
            match op:
                case ops.Invalidate(dry_run=False) | ops.Feedback():
                    self._missed.append(op)
                    if sum(not isinstance(one, ops.Release) for one in self._missed) > _REMEMBERED:
                        self._missed = [ops.Invalidate(ops.Selection(everything=True))]
                case ops.Set(token=None, condition=None | "xx"):
                    # With a token it was made because none was found, which is no news for the server.
                    self._succeed(op.question)
                case ops.Set(token=str(token)) | ops.Release(token=token) if not self.local.gave(token):
                    # Who waits for it there waits no longer than until the server is back.
                    self._missed.append(ops.Release(op.question, token))
                case ops.Warm(only_new=False):
                    for item in op.items:
                        self._succeed(item.question)

    def _succeed(self, question: Question) -> None:
        self._succeeded[question.digest] = question
        if len(self._succeeded) > _REMEMBERED:
            del self._succeeded[next(iter(self._succeeded))]

    def _catch_up(self, attempt: Attempt) -> Flow[bool]:
        """Tells the first backend what it has missed, or waits until somebody else has. Whether it knows all."""
        for _ in range(_TURNS):
            if not (self._missed or self._succeeded):
                return True
            if self._telling.acquire(blocking=False):
                break
            yield Sleep(_TURN)
        else:
            return False
        try:
            while (missed := self._next_missed()) is not None:
                try:
                    yield from self.primary.flow(missed)
                except Unavailable:
                    raise
                except Exception as why:
                    log.warning("llmcache: the server does not take what it has missed (%s)", why)
                self._told(missed)
                # From here on the others wait for this one, rather than do more that the server would miss.
                if self.breaker.succeeded(attempt):
                    log.warning("llmcache: the server is back")
            return True
        finally:
            self._telling.release()

    def _next_missed(self) -> ops.Op[Any] | None:
        with self._lock:
            if self._missed:
                return self._missed[0]
            if self._succeeded:
                return ops.Invalidate(ops.Selection(question=next(iter(self._succeeded.values()))))
            return None

    def _told(self, op: ops.Op[Any]) -> None:
        with self._lock:
            # There may be fewer meanwhile, or everything instead.
            if self._missed and self._missed[0] is op:
                del self._missed[0]
            elif isinstance(op, ops.Invalidate) and op.selection.question is not None:
                self._succeeded.pop(op.selection.question.digest, None)

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
