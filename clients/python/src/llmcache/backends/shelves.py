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
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..types import Unavailable
from .forks import OfOneProcess

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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
    def together(self) -> AbstractContextManager[Any]:
        """What is done within happens at once for everybody else."""

    @abstractmethod
    def get(self, id: str) -> Record | None:
        """The record of this id."""

    @abstractmethod
    def use(self, id: str) -> None:
        """Notes that it was a hit just now."""

    @abstractmethod
    def put(self, record: Record) -> int | None:
        """Keeps a record; how many others went for it. None where it is too large."""

    @abstractmethod
    def age(self, ids: Iterable[str], now: int) -> None:
        """Makes records stale that are still fresh."""

    @abstractmethod
    def remove(self, ids: Iterable[str]) -> None:
        """Lets records go."""

    @abstractmethod
    def bury(self, id: str, now: int) -> None:
        """Lets a record go if its time is over."""

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


class MemoryShelf(Shelf, OfOneProcess):
    """In this process."""

    def __init__(self, max_entries: int = 10_000, max_bytes: int = 64 << 20) -> None:
        self._max = (max_entries, max_bytes)
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._bytes = 0
        self._of_this_process()

    def begin_anew(self) -> None:
        self._lock = threading.RLock()

    def together(self) -> AbstractContextManager[Any]:
        return self._lock

    def get(self, id: str) -> Record | None:
        with self._lock:
            return self._records.get(id)

    def use(self, id: str) -> None:
        with self._lock:
            record = self._records.get(id)
            if record is not None:
                self._records[id] = replace(record, hits=record.hits + 1)
                self._records.move_to_end(id)

    def put(self, record: Record) -> int | None:
        most, bytes = self._max
        with self._lock:
            self._drop(record.id)
            if record.size > bytes or most < 1:
                return None
            gone = 0
            while self._records and (len(self._records) >= most or self._bytes + record.size > bytes):
                self._drop(next(iter(self._records)))
                gone += 1
            self._records[record.id] = record
            self._bytes += record.size
            return gone

    def age(self, ids: Iterable[str], now: int) -> None:
        with self._lock:
            for record in filter(None, map(self._records.get, ids)):
                until = now if record.fresh_until is None else min(now, record.fresh_until)
                self._records[record.id] = replace(record, fresh_until=until)

    def remove(self, ids: Iterable[str]) -> None:
        with self._lock:
            for id in ids:
                self._drop(id)

    def bury(self, id: str, now: int) -> None:
        with self._lock:
            record = self._records.get(id)
            if record is not None and record.dead_at is not None and record.dead_at <= now:
                self._drop(id)

    def _drop(self, id: str) -> None:
        record = self._records.pop(id, None)
        if record is not None:
            self._bytes -= record.size

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
FORMAT = 2

_SCHEMA = (
    """CREATE TABLE entries (name TEXT NOT NULL, id TEXT NOT NULL, used INTEGER NOT NULL, hits INTEGER NOT NULL,
         size INTEGER NOT NULL, fresh_until INTEGER, dead_at INTEGER, head TEXT NOT NULL, body BLOB NOT NULL,
         PRIMARY KEY (name, id)) WITHOUT ROWID""",
    "CREATE INDEX by_use ON entries (name, used, size)",
    "CREATE TABLE totals (name TEXT PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TRIGGER came AFTER INSERT ON entries BEGIN
         INSERT OR IGNORE INTO totals VALUES (new.name, 0, 0);
         UPDATE totals SET entries = entries + 1, bytes = bytes + new.size WHERE name = new.name;
       END""",
    """CREATE TRIGGER went AFTER DELETE ON entries BEGIN
         UPDATE totals SET entries = entries - 1, bytes = bytes - old.size WHERE name = old.name;
       END""",
    f"PRAGMA user_version = {FORMAT}",
)


class FileShelf(Shelf, OfOneProcess):
    """In an SQLite file: plain columns and JSON, which can run nothing when read. Several processes may share it, and
    several caches, each with a name."""

    slow = True

    def __init__(
        self, path: str | os.PathLike[str], name: str = "", max_entries: int = 100_000, max_bytes: int = 1 << 30
    ) -> None:
        self._path, self._name = Path(path), name
        self._max = (max_entries, max_bytes)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._db: sqlite3.Connection | None = self._open()
        self._is_closed = False
        self._of_this_process()

    def begin_anew(self) -> None:
        self._lock, self._depth = threading.RLock(), 0

    def before_fork(self) -> None:
        # SQLite must have no file open then, nor be at anything; whoever goes on opens it again.
        self._lock.acquire()
        if self._db is not None and self._depth == 0:
            self._db.close()
            self._db = None

    def after_fork(self) -> None:
        self._lock.release()

    def _open(self) -> sqlite3.Connection:
        with _alone(self._path):
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                # Its subclasses tell of locks, disks and permissions, not of what the file is.
                if type(error) is not sqlite3.DatabaseError:
                    raise
                aside = f"{self._path}.broken"
                log.warning("llmcache: %s cannot be read (%s) and is put aside as %s", self._path, error, aside)
                for part in ("", "-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.replace(f"{self._path}{part}", f"{aside}{part}")
                return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            with suppress(PermissionError):
                os.chmod(self._path, 0o600)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("BEGIN IMMEDIATE")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables == 0:
                for statement in _SCHEMA:
                    db.execute(statement)
            elif version != FORMAT:
                raise sqlite3.DatabaseError(f"its format is {version}, not {FORMAT}")
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._is_closed:
                raise Unavailable(f"{self._path} is closed")
            try:
                if self._db is None:
                    self._db = self._open()
                yield self._db
            except sqlite3.Error as error:
                raise Unavailable(f"{self._path}: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            if self._depth == 0:
                db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield db
                if self._depth == 1:
                    db.execute("COMMIT")
            except BaseException:
                if self._depth == 1 and db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._writing():
            yield

    def get(self, id: str) -> Record | None:
        with self._reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM entries WHERE name = ? AND id = ?", (self._name, id)).fetchone()
        return None if row is None else self._read(row)

    def use(self, id: str) -> None:
        with self._writing() as db:
            db.execute(
                "UPDATE entries SET hits = hits + 1, used = (SELECT max(used) + 1 FROM entries WHERE name = ?1) "
                "WHERE name = ?1 AND id = ?2",
                (self._name, id),
            )

    def put(self, record: Record) -> int | None:
        most, bytes = self._max
        with self._writing() as db:
            db.execute("DELETE FROM entries WHERE name = ? AND id = ?", (self._name, record.id))
            if record.size > bytes or most < 1:
                return None
            gone = 0
            count, total = self.totals()
            while count and (count >= most or total + record.size > bytes):
                oldest = "SELECT id, size FROM entries WHERE name = ? ORDER BY used LIMIT 1"
                id, size = db.execute(oldest, (self._name,)).fetchone()
                db.execute("DELETE FROM entries WHERE name = ? AND id = ?", (self._name, id))
                count, total, gone = count - 1, total - size, gone + 1
            times = (record.size, record.fresh_until, record.dead_at)
            db.execute(
                "INSERT INTO entries SELECT ?1, ?2, coalesce(max(used), 0) + 1, ?3, ?4, ?5, ?6, ?7, ?8 "
                "FROM entries WHERE name = ?1",
                (self._name, record.id, record.hits, *times, _head(record), record.response),
            )
            return gone

    def age(self, ids: Iterable[str], now: int) -> None:
        with self._writing() as db:
            db.executemany(
                "UPDATE entries SET fresh_until = min(coalesce(fresh_until, ?1), ?1) WHERE name = ?2 AND id = ?3",
                [(now, self._name, id) for id in ids],
            )

    def remove(self, ids: Iterable[str]) -> None:
        with self._writing() as db:
            db.executemany("DELETE FROM entries WHERE name = ? AND id = ?", [(self._name, id) for id in ids])

    def bury(self, id: str, now: int) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM entries WHERE name = ? AND id = ? AND dead_at <= ?", (self._name, id, now))

    def all(self) -> Iterator[Record]:
        with self._reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM entries WHERE name = ? ORDER BY used", (self._name,)).fetchall()
        return filter(None, map(self._read, rows))

    def totals(self) -> tuple[int, int]:
        with self._reading() as db:
            row = db.execute("SELECT entries, bytes FROM totals WHERE name = ?", (self._name,)).fetchone()
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def clear(self) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM entries WHERE name = ?", (self._name,))

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._db is not None:
                self._db.close()
                self._db = None

    def _read(self, row: tuple[Any, ...]) -> Record | None:
        id, hits, fresh_until, dead_at, head, body = row
        try:
            told: dict[str, Any] = json.loads(head)
            known = {"id": id, "hits": hits, "fresh_until": fresh_until, "dead_at": dead_at, "response": bytes(body)}
            return Record(**(told | known | {"tags": tuple(told["tags"])}))
        except (KeyError, TypeError, ValueError):
            log.warning("llmcache: an answer in %s cannot be read and is left out", self._path)
            return None


_COLUMNS = "id, hits, fresh_until, dead_at, head, body"


def _head(record: Record) -> str:
    told = asdict(replace(record, response=b""))
    for name in ("id", "hits", "fresh_until", "dead_at", "response"):
        del told[name]
    return json.dumps(told)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process opens this file meanwhile, where the system can see to that."""
    if fcntl is None:
        yield
        return
    with open(f"{path}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # A process that was forked meanwhile has the same lock.
            fcntl.flock(lock, fcntl.LOCK_UN)
