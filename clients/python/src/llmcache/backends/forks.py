"""What a process must not take over from the one it was forked from: locks that another thread held, files, waiters."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable

log = logging.getLogger("llmcache")


class OfOneProcess(ABC):
    """Something with a state of one process."""

    @abstractmethod
    def begin_anew(self) -> None:
        """Makes what is of this process alone, when it is made and in a process that is forked."""

    def before_fork(self) -> None:
        """Lets go of what neither process may go on with."""

    def after_fork(self) -> None:
        """Goes on in the process that has forked."""

    def _of_this_process(self) -> None:
        """Begins, and is told of forks from then on."""
        self.begin_anew()
        with _lock:
            _all.add(self)


_all: weakref.WeakSet[OfOneProcess] = weakref.WeakSet()
_forking: list[OfOneProcess] = []
#: One thread forks at a time.
_lock = threading.Lock()


def _before() -> None:
    _lock.acquire()
    _forking[:] = _all
    for one in _forking:
        _try(one.before_fork)


def _in_parent() -> None:
    for one in _forking:
        _try(one.after_fork)
    _forking.clear()
    _lock.release()


def _in_child() -> None:
    for one in _forking:
        _try(one.begin_anew)
    _forking.clear()
    _lock.release()


def _try(step: Callable[[], None]) -> None:
    try:
        step()
    except Exception:
        # The others are to be told all the same.
        log.warning("llmcache: something does not fork as it should", exc_info=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
