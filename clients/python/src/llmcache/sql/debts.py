"""Removals that a cache is owed, until it has taken them."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Iterable

from .. import ops
from ..backends import Backend
from ..flows import Flow, run
from ..types import LlmcacheError

log = logging.getLogger("llmcache")

#: Of these a command may name no more.
MAX_TAGS = 64
#: Seconds between two tries, at first and at most.
_FIRST, _LONGEST = 0.05, 5.0


class Debts:
    """Those of one cache: each is a tag, whose entries are out of date."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owed: dict[str, int] = {}
        self._serial = 0
        self._worker: threading.Thread | None = None

    def owe(self, tags: Iterable[str]) -> None:
        """Notes tags whose entries are out of date from now on."""
        with self._lock:
            # Each change is known by its number: a removal that began before it does not count for it.
            self._serial += 1
            self._owed.update(dict.fromkeys(tags, self._serial))

    def settle(self, backend: Backend) -> Flow[bool]:
        """Whether the cache has taken all of them. What it does not take now is tried again and again."""
        with self._lock:
            owed = dict(self._owed)
        if not owed:
            return True
        tags = sorted(owed)
        try:
            for start in range(0, len(tags), MAX_TAGS):
                yield from backend.flow(ops.Invalidate(ops.Selection(tags=tuple(tags[start : start + MAX_TAGS]))))
        except LlmcacheError as error:
            if self.later(backend):
                log.warning("llmcache: changed tables are not removed yet; queries go to the database (%s)", error)
            return False
        except BaseException:
            # Whoever waited for it does so no more.
            self.later(backend)
            raise
        with self._lock:
            for tag, serial in owed.items():
                if self._owed.get(tag) == serial:
                    del self._owed[tag]
        return True

    def later(self, backend: Backend) -> bool:
        """Sees to it that what is owed is tried again in the background; whether nobody did so yet."""
        with self._lock:
            if not self._owed or (self._worker is not None and self._worker.is_alive()):
                return False
            worker = threading.Thread(target=self._work, args=(backend,), name="llmcache-removals", daemon=True)
            try:
                worker.start()
            except RuntimeError:
                # The process ends.
                return False
            self._worker = worker
        return True

    def _work(self, backend: Backend) -> None:
        pause = _FIRST
        while True:
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST)
            try:
                run(self.settle(backend))
            except Exception as error:
                log.debug("llmcache: a removal fails (%s)", error)
            with self._lock:
                if not self._owed:
                    self._worker = None
                    return


_lock = threading.Lock()
_all: weakref.WeakKeyDictionary[Backend, Debts] = weakref.WeakKeyDictionary()


def debts_of(backend: Backend) -> Debts:
    """What is owed to a cache, by all that this process does with it."""
    with _lock:
        return _all.setdefault(backend, Debts())
