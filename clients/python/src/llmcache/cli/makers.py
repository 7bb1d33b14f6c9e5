"""What makes answers: a program, or a function of Python."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import Cache
from ..question import Question
from .app import CliError, Stop
from .items import KEPT, kept


class MakeFailed(Exception):
    """No answer was made."""


@dataclass(frozen=True)
class Made:
    """An answer that was made."""

    response: bytes
    #: What was told of it, by the names of `ops.Keep`.
    keep: Mapping[str, Any] = field(default_factory=dict)


Maker = Callable[[Question], Made]


def maker(command: str | None, function: str | None, timeout: float, structured: bool) -> Maker | None:
    """What makes answers, if anything."""
    if command and function:
        raise CliError("either --command or --python")
    if command:
        return _command(command, timeout, structured)
    return _function(function) if function else None


def _command(command: str, timeout: float, structured: bool) -> Maker:
    words = shlex.split(command)
    if not words:
        raise CliError("--command names no program")
    if shutil.which(words[0]) is None:
        raise CliError(f"{words[0]}: there is no such program")

    def make(question: Question) -> Made:
        asked = question.prompt_word
        told = {"MODEL": question.model_name(), "SYSTEM": question.system, "SCOPE": question.scope}
        told["PARAMS"] = json.dumps(question.params) if question.params else ""
        environment = {f"LLMCACHE_{name}": value.replace("\0", "") for name, value in told.items()}
        code, out, err = _run(words, asked.encode() if isinstance(asked, str) else asked, timeout, environment)
        if code:
            said = err.decode("utf-8", "replace").strip().splitlines()
            raise MakeFailed(said[-1] if said else f"exit status {code}")
        response = out.removesuffix(b"\n")
        if not response:
            raise MakeFailed("the program printed nothing")
        return _structured(response) if structured else Made(response)

    return make


#: The programs that run now.
_running: set[subprocess.Popen[bytes]] = set()


def _run(words: list[str], data: bytes, timeout: float, environment: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        # A session of its own: Ctrl-C is ours, what is under way is finished.
        process = subprocess.Popen(words, env=os.environ | environment, start_new_session=True, **pipes)
    except OSError as error:
        raise CliError(f"{words[0]}: {error.strerror}") from error
    with process:
        _running.add(process)
        try:
            out, err = process.communicate(data, timeout)
        except subprocess.TimeoutExpired as error:
            raise MakeFailed(f"no answer within {timeout:g} s") from error
        finally:
            if process.returncode is None:
                _kill(process)
            _running.discard(process)
    return process.returncode, out, err


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a program with all that it has started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        # It is over by itself.
        pass


def kill_all() -> None:
    """Ends all programs that run."""
    for process in list(_running):
        _kill(process)


def _function(name: str) -> Maker:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise CliError(f"--python wants module:function, got {name!r}")
    sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise CliError(f"--python {name}: {error}") from error
    knows = "question" in inspect.signature(function).parameters

    def make(question: Question) -> Made:
        try:
            told = function(question.prompt, question=question) if knows else function(question.prompt)
            if inspect.isawaitable(told):
                told = asyncio.run(_finish(told))
        except Exception as error:
            raise MakeFailed(named(error)) from error
        return _made(told)

    return make


async def _finish(told: Any) -> Any:
    return await told


def _structured(data: bytes) -> Made:
    try:
        told = json.loads(data)
    except ValueError as error:
        raise MakeFailed(f"the program printed no JSON: {error}") from error
    if not isinstance(told, dict) or "response" not in told:
        raise MakeFailed("the program printed no object with a response")
    return _made(told)


def named(error: BaseException) -> str:
    """An exception of somebody else's."""
    return f"{type(error).__name__}: {error}"


def _made(told: Any) -> Made:
    """What a function answers: a text, bytes, a response as JSON; or a mapping of a response and what is known."""
    try:
        if isinstance(told, Mapping) and "response" in told and set(told) <= KEPT | {"response"}:
            known = {name: value for name, value in told.items() if name != "response" and value is not None}
            return Made(_bytes(told["response"]), kept(known))
        return Made(_bytes(told))
    except (TypeError, ValueError) as error:
        raise MakeFailed(str(error)) from error


def _bytes(response: Any) -> bytes:
    if isinstance(response, bytes):
        data = response
    elif isinstance(response, str):
        data = response.encode()
    elif hasattr(response, "model_dump_json"):
        data = response.model_dump_json().encode()
    elif isinstance(response, (Mapping, list)):
        data = json.dumps(response, ensure_ascii=False).encode()
    else:
        raise MakeFailed(f"an answer is a text, bytes or JSON, got a {type(response).__name__}")
    if not data:
        raise MakeFailed("the answer is empty")
    return data


class Rate:
    """Not more than so many in a second, over all threads."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, stop: Stop) -> None:
        """Waits for its turn."""
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        stop.wait(turn - now)


def patiently(make: Maker, question: Question, retries: int, rate: Rate, stop: Stop) -> Made:
    """An answer, after some tries if need be."""
    for attempt in range(retries + 1):
        rate.wait(stop)
        if stop.wanted:
            raise MakeFailed("stopped")
        started = time.monotonic()
        try:
            made = make(question)
            return Made(made.response, {"latency": (time.monotonic() - started) * 1000} | dict(made.keep))
        except MakeFailed:
            if attempt == retries or stop.wait(min(30.0, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)):
                raise
    raise AssertionError


class Renewing:
    """Keeps a lease while an answer is made."""

    def __init__(self, cache: Cache, question: Question, token: str, lease: float) -> None:
        self._cache, self._question, self._token, self._lease = cache, question, token, lease
        self._every = lease / 3
        self._over = threading.Event()

    def __enter__(self) -> Renewing:
        threading.Thread(target=self._work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _work(self) -> None:
        while not self._over.wait(self._every):
            try:
                self._cache.renew(self._question, self._token, self._lease)
            except Exception:
                # Storing tells whether it is lost.
                return
