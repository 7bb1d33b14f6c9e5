"""What one connection has written and not yet committed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .statements import (
    EVERYTHING,
    Name,
    is_doubtful,
    keeps_snapshot,
    makes_personal,
    makes_temporary,
    parts,
    verb,
    without_comments,
)

_SAVEPOINT = re.compile(
    r"(?:savepoint|release|rollback|abort)(?:\s+(?:work|transaction|tran))?(?P<to>\s+to)?(?:\s+savepoint)?"
    r"(?:\s+[\"`\[]?(?P<name>\w+))?",
    re.IGNORECASE,
)
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
        #: Whether all its transactions are, by a setting of the connection.
        self.always_keeps_snapshot = False
        #: Whether a setting of the connection may have changed what it sees.
        self.is_personal = False
        #: Whether it may have tables of its own.
        self.has_temporary = False
        #: Whether the transaction may have changed what tables there are, and how they hang together.
        self.defines = False
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

    def before(self, sql: str, writes: Iterable[Name], dialect: str = "") -> None:
        """Notes a statement that is about to be made."""
        snapshot = keeps_snapshot(sql)
        self.keeps_snapshot = self.keeps_snapshot or snapshot is not None
        self.always_keeps_snapshot = self.always_keeps_snapshot or snapshot is True
        self.is_personal = self.is_personal or makes_personal(sql, dialect)
        self.has_temporary = self.has_temporary or makes_temporary(sql)
        told = parts(sql)
        verbs = [verb(part) for part in told] or [verb(sql)]
        if len(verbs) == 1 and verbs[0] in _CONTROL and not is_doubtful(sql, dialect):
            self._control(verbs[0], sql)
            return
        # Where several are sent at once, nothing of it is taken back here.
        self._ends = self._ends or not {"commit", "end"}.isdisjoint(verbs)
        self._is_prepared = self._is_prepared or ("prepare" in verbs and "transaction" in sql.lower())
        self.statements += 1
        self._frames[-1][1].update(writes)
        if not _DEFINING.isdisjoint(verbs):
            self.defines = True
            self._defined.update(writes)

    def doubt(self) -> None:
        """Anything may be written."""
        self._frames[0][1].add(EVERYTHING)

    def prepared(self) -> None:
        """The transaction waits to be committed by its name."""
        self._is_prepared = True

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
        self._ends = self._is_prepared = self.defines = False
        self.keeps_snapshot = self.always_keeps_snapshot
        self.statements = 0

    def _control(self, first: str, sql: str) -> None:
        if first in ("begin", "start"):
            return
        if first in ("commit", "end"):
            self._ends = True
            if "prepared" in sql.lower():
                self._frames[0][1].add(EVERYTHING)
            return
        found = _SAVEPOINT.match(without_comments(sql))
        if found is None:
            self.doubt()
        elif first == "savepoint":
            self.savepoint(found["name"] or "")
        elif first == "release":
            self.release(found["name"] or "")
        elif found["to"]:
            self.rollback_to(found["name"] or "")
        else:
            self.rolled_back()
