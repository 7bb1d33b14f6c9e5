"""Where answers lie that are kept without a server: in memory, or in a file."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

log = logging.getLogger("llmcache")


@dataclass(frozen=True)
class Record:
    """An answer and all that is known of it. Times are milliseconds of Unix time."""

    id: str
    prompt: str
    response: bytes
    etag: str
    model: str = ""
    system: str = ""
    params: str = ""
    scope: str = ""
    strategy: str = ""
    type: str = ""
    tags: tuple[str, ...] = ()
    meta: str = ""
    created: int = 0
    #: None for ever.
    fresh_until: int | None = None
    dead_at: int | None = None
    hits: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0
    latency_ms: int = 0

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        parts = (self.prompt, self.system, self.params, self.meta, *self.tags)
        return len(self.response) + sum(len(part) for part in parts) + 400


class Shelf(ABC):
    """Keeps records, the most recently used ones where there is no room for all."""

    #: Whether it may take so long that an event loop should not wait for it.
    slow = False

    @abstractmethod
    def get(self, id: str) -> Record | None:
        """The record of this id."""

    @abstractmethod
    def use(self, record: Record) -> None:
        """Notes that it was used just now, with its new counters."""

    @abstractmethod
    def put(self, record: Record) -> int:
        """Keeps a record; how many others went for it."""

    @abstractmethod
    def remove(self, ids: Iterable[str]) -> int:
        """Lets records go; how many."""

    @abstractmethod
    def all(self) -> Iterator[Record]:
        """Every record, as it is now."""

    @abstractmethod
    def totals(self) -> tuple[int, int]:
        """How many there are, and how many bytes they take."""

    @abstractmethod
    def clear(self) -> None:
        """Lets all of them go."""

    def close(self) -> None:
        """Gives back what it holds."""


class MemoryShelf(Shelf):
    """In this process."""

    def __init__(self, max_entries: int = 10_000, max_bytes: int = 64 << 20) -> None:
        self._max = (max_entries, max_bytes)
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, id: str) -> Record | None:
        with self._lock:
            return self._records.get(id)

    def use(self, record: Record) -> None:
        with self._lock:
            if record.id in self._records:
                self._records[record.id] = record
                self._records.move_to_end(record.id)

    def put(self, record: Record) -> int:
        with self._lock:
            self._drop(record.id)
            most, bytes = self._max
            if record.size > bytes or most < 1:
                return 0
            gone = 0
            while self._records and (len(self._records) >= most or self._bytes + record.size > bytes):
                self._drop(next(iter(self._records)))
                gone += 1
            self._records[record.id] = record
            self._bytes += record.size
            return gone

    def remove(self, ids: Iterable[str]) -> int:
        with self._lock:
            return sum(self._drop(id) for id in list(ids))

    def _drop(self, id: str) -> bool:
        record = self._records.pop(id, None)
        if record is not None:
            self._bytes -= record.size
        return record is not None

    def all(self) -> Iterator[Record]:
        with self._lock:
            return iter(list(self._records.values()))

    def totals(self) -> tuple[int, int]:
        with self._lock:
            return len(self._records), self._bytes

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
            self._bytes = 0


#: The format of a file. Those of another are put aside.
FORMAT = 1

_SCHEMA = f"""
CREATE TABLE entries (id TEXT PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL, dead_at INTEGER,
                      head TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX by_use ON entries (used, size);
PRAGMA user_version = {FORMAT};
"""


class FileShelf(Shelf):
    """In an SQLite file: plain columns and JSON, which can run nothing when read. Several processes may share it."""

    slow = True

    def __init__(self, path: str | os.PathLike[str], max_entries: int = 100_000, max_bytes: int = 1 << 30) -> None:
        self._path = Path(path)
        self._max = (max_entries, max_bytes)
        self._lock = threading.Lock()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            aside = self._path.with_suffix(self._path.suffix + ".broken")
            log.warning("llmcache: %s cannot be read (%s) and is put aside as %s", self._path, error, aside.name)
            os.replace(self._path, aside)
            for rest in ("-wal", "-shm"):
                Path(f"{self._path}{rest}").unlink(missing_ok=True)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            os.chmod(self._path, 0o600)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables == 0:
                db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            elif version != FORMAT:
                raise sqlite3.DatabaseError(f"its format is {version}, not {FORMAT}")
            else:
                db.execute("SELECT id, used, size, dead_at, head, body FROM entries LIMIT 1").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def get(self, id: str) -> Record | None:
        with (
            self._lock,
            closing(self._db.execute("SELECT head, body FROM entries WHERE id = ?", (id,))) as rows,
        ):
            row = rows.fetchone()
        return None if row is None else _read(*row)

    def use(self, record: Record) -> None:
        with self._lock:
            change = "UPDATE entries SET head = ?, used = (SELECT coalesce(max(used), 0) + 1 FROM entries) WHERE id = ?"
            self._db.execute(change, (_head(record), record.id))

    def put(self, record: Record) -> int:
        most, bytes = self._max
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("DELETE FROM entries WHERE id = ?", (record.id,))
                gone = 0
                if record.size <= bytes and most >= 1:
                    count, total = self._totals()
                    while count and (count >= most or total + record.size > bytes):
                        id, size = self._db.execute("SELECT id, size FROM entries ORDER BY used LIMIT 1").fetchone()
                        self._db.execute("DELETE FROM entries WHERE id = ?", (id,))
                        count, total, gone = count - 1, total - size, gone + 1
                    self._db.execute(
                        "INSERT INTO entries SELECT ?, coalesce(max(used), 0) + 1, ?, ?, ?, ? FROM entries",
                        (record.id, record.size, record.dead_at, _head(record), record.response),
                    )
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            return gone

    def remove(self, ids: Iterable[str]) -> int:
        with self._lock:
            return sum(self._db.execute("DELETE FROM entries WHERE id = ?", (id,)).rowcount for id in list(ids))

    def all(self) -> Iterator[Record]:
        with self._lock:
            rows = self._db.execute("SELECT head, body FROM entries ORDER BY used").fetchall()
        return (_read(*row) for row in rows)

    def totals(self) -> tuple[int, int]:
        with self._lock:
            return self._totals()

    def _totals(self) -> tuple[int, int]:
        count, total = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM entries").fetchone()
        return int(count), int(total)

    def clear(self) -> None:
        with self._lock:
            self._db.execute("DELETE FROM entries")

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _head(record: Record) -> str:
    return json.dumps(asdict(replace(record, response=b"")) | {"response": None})


def _read(head: str, body: bytes) -> Record:
    told: dict[str, Any] = json.loads(head)
    return Record(**(told | {"response": bytes(body), "tags": tuple(told["tags"])}))
