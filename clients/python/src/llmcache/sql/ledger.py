"""What one connection has written and not yet committed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .statements import EVERYTHING, Name, bare, verb

_SAVEPOINT = re.compile(
    r"\s*(?P<verb>savepoint|release|rollback|abort)(?:\s+(?:work|transaction))?(?P<to>\s+to)?(?:\s+savepoint)?"
    r"(?:\s+[\"`\[]?(?P<name>\w+))?",
    re.IGNORECASE,
)
_FOR_NOW = re.compile(r"\s*set\s+(?:local\s+)?(?:transaction|constraints)\b", re.IGNORECASE)
_CONTROL = frozenset("begin start commit end rollback savepoint release abort".split())
_DEFINING = frozenset("create alter drop truncate rename comment grant revoke".split())


class Ledger:
    """Keeps the writes of a transaction by its savepoints. Its methods answer what is committed by what was done."""

    def __init__(self) -> None:
        self._frames: list[tuple[str, set[Name]]] = [("", set())]
        #: How many statements the transaction has made.
        self.statements = 0
        #: Whether the transaction was told to see what was committed when it began, and no more.
        self.keeps_snapshot = False
        #: Whether a setting of the connection may have changed what it sees.
        self.is_personal = False
        #: Definitions; some databases commit them, whatever comes after.
        self._defined: set[Name] = set()
        self._ends: bool = False
        self._is_prepared = False

    @property
    def writes(self) -> set[Name]:
        """What is written and not committed."""
        return set().union(*(writes for _, writes in self._frames))

    def touches(self, tables: Iterable[Name]) -> bool:
        """Whether any of these may have been written. One with a schema and one without may be the same."""
        writes = self.writes
        if EVERYTHING in writes:
            return True
        return any(one.meets(other) for one in tables for other in writes)

    def before(self, sql: str, writes: Iterable[Name]) -> None:
        """Notes a statement that is about to be made."""
        first = verb(sql)
        if first in ("set", "begin", "start") and "isolation" in sql.lower():
            self.keeps_snapshot = True
        if first in _CONTROL:
            self._control(first, sql)
            return
        self._is_prepared = self._is_prepared or (first == "prepare" and "transaction" in sql.lower())
        self.statements += 1
        if first == "set" or (first == "select" and "set_config" in bare(sql).lower()):
            self.is_personal = self.is_personal or not _FOR_NOW.match(sql)
        self._frames[-1][1].update(writes)
        if first in _DEFINING:
            self._defined.update(writes)

    def after(self, is_open: bool | None) -> set[Name]:
        """Notes that a statement was made, and whether a transaction is open now, as far as the driver knows."""
        if self._ends or (is_open is False and not self._is_prepared):
            return self.committed()
        defined, self._defined = self._defined, set()
        return defined

    def committed(self) -> set[Name]:
        """All is committed now, or may be."""
        writes = self.writes
        self._clear()
        return writes

    def rolled_back(self) -> None:
        """Nothing of it came to be."""
        self._clear()

    def savepoint(self, name: str) -> None:
        """What comes now can be taken back by itself."""
        self._frames.append((name.lower(), set()))

    def release(self, name: str) -> None:
        """What came since belongs to what is around it."""
        found = self._find(name)
        if found is not None:
            writes = set().union(*(writes for _, writes in self._frames[found:]))
            del self._frames[found:]
            self._frames[-1][1].update(writes)

    def rollback_to(self, name: str) -> None:
        """What came since did not come to be."""
        found = self._find(name)
        if found is not None:
            del self._frames[found + 1 :]
            self._frames[found][1].clear()

    def _find(self, name: str) -> int | None:
        for position in range(len(self._frames) - 1, 0, -1):
            if self._frames[position][0] == name.lower():
                return position
        return None

    def _clear(self) -> None:
        self._frames = [("", set())]
        self._defined = set()
        self._ends = self._is_prepared = self.keeps_snapshot = False
        self.statements = 0

    def _control(self, first: str, sql: str) -> None:
        found: Any = _SAVEPOINT.match(sql)
        if first in ("commit", "end"):
            self._ends = True
            if "prepared" in sql.lower():
                self._frames[0][1].add(EVERYTHING)
        elif first in ("begin", "start"):
            return
        elif first == "savepoint":
            self.savepoint(found["name"] or "")
        elif first == "release":
            self.release(found["name"] or "")
        elif found["to"]:
            self.rollback_to(found["name"] or "")
        else:
            self.rolled_back()
