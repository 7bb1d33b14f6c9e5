"""An answer while it is made: others wait for it, and it is kept if it ends well."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from .. import ops
from ..backends.base import Backend
from ..calls import Times, give_back, store
from ..flows import Flow, arun, background, run
from ..question import Question
from .api import Collector

log = logging.getLogger("llmcache")

T = TypeVar("T")


class Making:
    """Holds the lease while a call goes on and its answer is read."""

    def __init__(
        self, backend: Backend, question: Question, token: str | None, times: Times, is_async: bool = False
    ) -> None:
        self._backend, self._question, self._token, self._times = backend, question, token, times
        self._is_async = is_async
        self._started = self._used = time.monotonic()
        self._lock = threading.Lock()
        self._is_over = False
        #: What its thread is to do. Of all that threads have this alone may be used inside a garbage collection.
        self._orders: queue.SimpleQueue[Literal["end", "drop"]] = queue.SimpleQueue()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        #: Whether the API is what we wait for, not the caller.
        self.is_waiting = True

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._is_over

    @property
    def latency(self) -> float:
        """Milliseconds so far."""
        return (time.monotonic() - self._started) * 1000

    def start(self) -> None:
        """Keeps the lease from now on."""
        if self._token is None:
            return
        if self._is_async:
            loop = asyncio.get_running_loop()
            self._task = loop, loop.create_task(self._akeep())
        else:
            # Also where a loop runs: a caller who waits in it keeps it from all else.
            threading.Thread(target=self._keep, name="llmcache-renew", daemon=True).start()

    def use(self) -> None:
        """Notes that the caller goes on reading."""
        self._used = time.monotonic()

    def end(self, data: bytes | None, keep: ops.Keep = ops.Keep()) -> Flow[None]:
        """Stores the answer, or gives the lease back where there is none. What comes after the first end is nothing."""
        if not self._stop():
            return
        try:
            if data is None:
                yield from give_back(self._backend, self._question, self._token)
            else:
                keep = keep if keep.latency is not None else keep.on(latency=self.latency)
                yield from store(self._backend, self._question, data, keep, self._token)
        except Exception:
            log.warning("llmcache: an answer is not cached", exc_info=True)

    def drop(self) -> None:
        """Gives the lease back from wherever the answer was forgotten, which may be inside a garbage collection."""
        if self._task is None:
            self._orders.put("drop")
        elif not self._task[0].is_closed():
            self._task[0].call_soon_threadsafe(lambda: background(arun(self.end(None))))

    def _stop(self) -> bool:
        """Ends the renewing. Whether it has gone on until now."""
        with self._lock:
            was_over, self._is_over = self._is_over, True
        if was_over:
            return False
        if self._task is None:
            self._orders.put("end")
        elif not self._task[0].is_closed():
            self._task[0].call_soon_threadsafe(self._task[1].cancel)
        return True

    def _renew(self) -> Flow[bool] | None:
        """None where the caller has not read on for so long that others should not have to wait."""
        if not self.is_waiting and time.monotonic() - self._used > self._times.lease:
            return None
        assert self._token is not None
        return self._backend.flow(ops.Renew(self._question, self._token, round(self._times.lease * 1000)))

    def _keep(self) -> None:
        while True:
            try:
                order = self._orders.get(timeout=self._times.lease / 3)
            except queue.Empty:
                renewal = self._renew()
                try:
                    if renewal is None or not run(renewal):
                        return
                except Exception:
                    # Storing finds out by itself.
                    return
            else:
                if order == "drop":
                    run(self.end(None))
                return

    async def _akeep(self) -> None:
        while True:
            await asyncio.sleep(self._times.lease / 3)
            renewal = self._renew()
            try:
                if renewal is None or not await arun(renewal):
                    return
            except Exception:
                return


class Recording:
    """Sees what passes to the caller of a stream."""

    def __init__(
        self, making: Making, collector: Collector, keep: Callable[[Any], tuple[bytes, ops.Keep] | None]
    ) -> None:
        self.making, self._collector, self._keep = making, collector, keep
        self._is_lost = False

    def see(self, item: Any) -> bool:
        """Takes what comes next. Whether that was the end."""
        try:
            event = item if isinstance(item, Mapping) else item.to_dict(mode="json", warnings=False)
            self._collector.add(dict(event))
        except Exception as why:
            if not self._is_lost:
                log.warning("llmcache: a stream is not cached (%s)", why)
            self._is_lost = True
        return self._is_lost or self._collector.is_over

    def end(self) -> Flow[None]:
        """Stores what came if it is a whole answer. A caller who has gone away before that has seen a part of it."""
        kept = None
        if self.making.is_over:
            return
        try:
            if not self._is_lost and self._collector.is_whole:
                kept = self._keep(self._collector.answer())
        except Exception:
            log.warning("llmcache: a stream is not cached", exc_info=True)
        yield from self.making.end(*(kept or (None,)))


def record(stream: Any, recording: Recording) -> None:
    """Sees what the stream of an SDK yields, and that it is closed or forgotten."""
    response = stream.response
    if hasattr(stream, "__anext__"):
        stream._iterator = _AsyncTee(stream._iterator, recording)
        response.aclose = _then_async(response.aclose, recording)
    else:
        stream._iterator = _Tee(stream._iterator, recording)
        response.close = _then(response.close, recording)
    weakref.finalize(stream, recording.making.drop).atexit = False
    recording.making.is_waiting = False
    recording.making.use()


class _Tee:
    def __init__(self, items: Iterator[Any], recording: Recording) -> None:
        self._items, self._recording = items, recording

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        making = self._recording.making
        making.is_waiting = True
        try:
            item = next(self._items)
        except BaseException:
            run(self._recording.end())
            raise
        making.use()
        making.is_waiting = False
        if self._recording.see(item):
            run(self._recording.end())
        return item


class _AsyncTee:
    def __init__(self, items: AsyncIterator[Any], recording: Recording) -> None:
        self._items, self._recording = items, recording

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        making = self._recording.making
        making.is_waiting = True
        try:
            item = await self._items.__anext__()
        except BaseException:
            await surely(self._recording.end())
            raise
        making.use()
        making.is_waiting = False
        if self._recording.see(item):
            await surely(self._recording.end())
        return item


def _then(close: Callable[[], None], recording: Recording) -> Callable[[], None]:
    def closed() -> None:
        try:
            close()
        finally:
            run(recording.end())

    return closed


def _then_async(close: Callable[[], Any], recording: Recording) -> Callable[[], Any]:
    async def closed() -> None:
        try:
            await close()
        finally:
            await surely(recording.end())

    return closed


async def surely(flow: Flow[T]) -> T:
    """To its end, even where the caller is cancelled meanwhile, or was before."""
    return await asyncio.shield(background(arun(flow)))
