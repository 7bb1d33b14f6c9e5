"""A small copy in this process, in front of another backend."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from .. import ops
from ..flows import Flow
from ..types import Answer, Fetched
from .base import Backend
from .forks import OfOneProcess

T = TypeVar("T")


class Near(Backend, OfOneProcess):
    """Keeps answers that were read for a few seconds.

    An answer is served at most `seconds` after the moment it was asked for at the backend, and never beyond its own
    life: nobody reads anything older than that, whatever others change. What this process changes it sees at once.
    Lookups that are answered here are not counted by the server.
    """

    def __init__(
        self,
        backend: Backend,
        seconds: float = 1.0,
        max_entries: int = 1000,
        max_bytes: int = 16 << 20,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backend = backend
        self.seconds = seconds
        self._most, self._bytes, self._now = max_entries, max_bytes, now
        self._of_this_process()
        self._answers: OrderedDict[Any, tuple[float, Answer]] = OrderedDict()
        self._size = 0
        #: How often this process has changed anything; what was read before a change is not kept after it.
        self._changes = 0

    def begin_anew(self) -> None:
        # Of a flow that is forgotten the end may come while its lock is held by the same thread.
        self._lock = threading.RLock()

    def flow(self, op: ops.Op[T]) -> Flow[T]:
        if not isinstance(op, (ops.Get, ops.Fetch)):
            return cast(T, (yield from self._pass(op)))
        place = self._place(op)
        if place is None:
            return cast(T, (yield from self.backend.flow(cast(Any, op))))
        asked = self._now()
        found = self._find(place, asked)
        if found is not None:
            return cast(T, found if isinstance(op, ops.Get) else Fetched("hit", found))
        changes = self._changes
        result: Any = yield from self.backend.flow(cast(Any, op))
        answer = result.answer if isinstance(result, Fetched) and result.state == "hit" else result
        if isinstance(answer, Answer) and not answer.stale:
            self._keep(place, asked, answer, changes)
        return cast(T, result)

    def _pass(self, op: ops.Op[Any]) -> Flow[Any]:
        try:
            return (yield from self.backend.flow(op))
        finally:
            if op.writes:
                self._forget(op)

    def _place(self, op: ops.Get | ops.Fetch) -> Any:
        """Where its answer is kept; none where the question has more to it than that."""
        terms = op.terms
        if terms.max_age is not None or not terms.touch or op.question.vector is not None:
            return None
        return op.question.digest, terms.mode, terms.threshold, op.question.is_request

    def _find(self, place: Any, now: float) -> Answer | None:
        with self._lock:
            kept = self._answers.get(place)
            if kept is None:
                return None
            asked, answer = kept
            passed = now - asked
            # The server tells whole seconds that are left; there may be a little more.
            if passed >= self.seconds or (answer.ttl is not None and passed >= answer.ttl):
                self._drop(place)
                return None
            self._answers.move_to_end(place)
        left = None if answer.ttl is None else int(answer.ttl - passed)
        return replace(answer, age=answer.age + int(passed), ttl=left)

    def _keep(self, place: Any, asked: float, answer: Answer, changes: int) -> None:
        size = len(answer.response)
        with self._lock:
            if changes != self._changes or size > self._bytes:
                return
            self._drop(place)
            while self._answers and (len(self._answers) >= self._most or self._size + size > self._bytes):
                self._drop(next(iter(self._answers)))
            self._answers[place] = asked, answer
            self._size += size

    def _forget(self, op: ops.Op[Any]) -> None:
        with self._lock:
            self._changes += 1
            if isinstance(op, ops.Set):
                # It may be the best for other questions as well, and a request can be written in several ways.
                touched = [
                    place
                    for place, (_, answer) in self._answers.items()
                    if place[0] == op.question.digest
                    or "similar" in (place[1], answer.match)
                    or (place[3] and op.question.is_request)
                ]
                for place in touched:
                    self._drop(place)
            else:
                self._answers.clear()
                self._size = 0

    def _drop(self, place: Any) -> None:
        kept = self._answers.pop(place, None)
        if kept is not None:
            self._size -= len(kept[1].response)

    def close(self) -> None:
        self.backend.close()

    async def aclose(self) -> None:
        await self.backend.aclose()
