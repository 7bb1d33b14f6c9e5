"""One way of doing a thing, for callers that wait and callers that await.

What this package does is written once, as generators that yield what is to be done by the caller's own means: send a
command, call a function, wait. `run` does these blocking, `arun` on an event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from .question import Word

T = TypeVar("T")
Flow = Generator["Step", Any, T]


class Wire(Protocol):
    """Sends commands, either way."""

    def send(self, step: Send) -> Any: ...

    async def asend(self, step: Send) -> Any: ...


@dataclass
class Send:
    """Send a command and wait for its reply."""

    wire: Wire
    words: list[Word]
    #: How long its reply may take beyond what any takes, in seconds.
    patience: float = 0.0
    #: What is to be done with a reply that comes when nobody waits for it any more.
    undo: Callable[[Any], Flow[Any]] | None = None


@dataclass
class Call:
    """Call a function of the user's; one that answers an awaitable is awaited."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    #: What is to be done again and again meanwhile, and every how many seconds.
    meanwhile: Callable[[], Flow[Any]] | None = None
    every: float = 0.0


@dataclass
class Local:
    """Call a function of our own that may take a little: not on the event loop."""

    function: Callable[[], Any]


@dataclass
class Wait:
    """Wait for somebody in this process, but no longer than that. None after that time."""

    future: concurrent.futures.Future[Any]
    seconds: float


@dataclass
class Sleep:
    """Do nothing for some seconds."""

    seconds: float


Step = Send | Call | Local | Wait | Sleep


def run(flow: Flow[T]) -> T:
    """Does all of it, blocking."""
    return _drive(flow, _do)


def _drive(flow: Flow[T], do: Callable[[Any], Any]) -> T:
    try:
        step = next(flow)
        while True:
            try:
                done = do(step)
            except BaseException as error:  # the flow decides what becomes of it
                step = flow.throw(error)
            else:
                step = flow.send(done)
    except StopIteration as end:
        result: T = end.value
        return result
    except _Stopped as stopped:
        raise stopped.error from None


class _Stopped(Exception):
    """A call has raised what cannot pass through a generator."""

    def __init__(self, error: StopIteration | GeneratorExit) -> None:
        super().__init__(error)
        self.error = error


def _do(step: Step) -> Any:
    match step:
        case Send():
            return step.wire.send(step)
        case Call():
            with _Meanwhile(step):
                try:
                    return step.function(*step.args, **step.kwargs)
                except (StopIteration, GeneratorExit) as error:
                    raise _Stopped(error) from None
        case Local():
            return step.function()
        case Wait():
            try:
                return step.future.result(step.seconds)
            except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
                return None
        case Sleep():
            time.sleep(step.seconds)
            return None


class _Meanwhile:
    """Goes on with something on a thread while a call takes its time."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._over = threading.Event()

    def __enter__(self) -> None:
        if self._call.meanwhile is not None:
            threading.Thread(target=self._work, name="llmcache-renew", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _work(self) -> None:
        meanwhile = self._call.meanwhile
        assert meanwhile is not None
        while not self._over.wait(self._call.every):
            try:
                run(meanwhile())
            except Exception:
                # What it is for finds out by itself.
                return


async def arun(flow: Flow[T]) -> T:
    """Does all of it on the running event loop."""
    try:
        return await _adrive(flow, next(flow))
    except StopIteration as end:
        result: T = end.value
        return result


async def _adrive(flow: Flow[T], step: Step) -> T:
    try:
        while True:
            try:
                done = await _ado(step)
            except asyncio.CancelledError as error:
                # What a flow does in the end it does though its caller waits for nothing more.
                return await asyncio.shield(background(_adrive(flow, flow.throw(error))))
            except GeneratorExit:
                # The event loop is gone; nothing can be awaited any more.
                with suppress(RuntimeError):
                    flow.close()
                raise
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(done)
    except StopIteration as end:
        result: T = end.value
        return result
    except _Stopped as stopped:
        raise stopped.error from None


#: The event loop itself holds them by a thread only.
_tasks: set[asyncio.Task[Any]] = set()


def background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Does it though whoever began it may be cancelled."""
    task = asyncio.ensure_future(work)
    _tasks.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        # Looked at, so that none is reported that nobody waits for.
        task.exception()


async def _ado(step: Step) -> Any:
    match step:
        case Send():
            return await step.wire.asend(step)
        case Call():
            task = None
            if step.meanwhile is not None:
                task = asyncio.ensure_future(_again(step.meanwhile, step.every))
            try:
                done = step.function(*step.args, **step.kwargs)
                return await done if inspect.isawaitable(done) else done
            except StopIteration as error:
                raise _Stopped(error) from None
            finally:
                if task is not None:
                    task.cancel()
        case Local():
            return await asyncio.to_thread(step.function)
        case Wait():
            try:
                return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(step.future)), step.seconds)
            except (asyncio.TimeoutError, concurrent.futures.CancelledError):
                return None
        case Sleep():
            await asyncio.sleep(step.seconds)
            return None


async def _again(meanwhile: Callable[[], Flow[Any]], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await arun(meanwhile())
        except Exception:
            return
