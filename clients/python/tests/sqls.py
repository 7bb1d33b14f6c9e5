"""What tests of SQL share: tables, and a PostgreSQL of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, String, Table, create_engine, event

META = MetaData()
CUSTOMERS = Table("customers", META, Column("id", Integer, primary_key=True), Column("name", String(50)))
ORDERS = Table(
    "orders",
    META,
    Column("id", Integer, primary_key=True),
    Column("customer_id", Integer, ForeignKey("customers.id", ondelete="CASCADE")),
    Column("total", Integer),
)


class Counter:
    """Counts the statements that reach a database."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[str] = []
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, connection: Any, cursor: Any, sql: str, *rest: Any) -> None:
        self.seen.append(sql)

    @property
    def reads(self) -> int:
        """How many of them read."""
        return sum(sql.lstrip().upper().startswith(("SELECT", "WITH", "VALUES", "(")) for sql in self.seen)


def sqlite_engine(path: Path) -> Engine:
    """A database in a file, in which readers and writers do not wait for each other."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    META.create_all(engine)
    with engine.begin() as connection:
        connection.execute(CUSTOMERS.insert(), [{"id": n, "name": f"c{n}"} for n in range(3)])
        connection.execute(ORDERS.insert(), [{"id": n, "customer_id": n % 3, "total": n} for n in range(9)])
    return engine


class Postgres:
    """A PostgreSQL in a folder of its own. It refuses to run as root, so it runs as another."""

    def __init__(self, folder: Path) -> None:
        self.binaries = _binaries()
        if self.binaries is None:
            missing = pytest.fail if os.environ.get("LLMCACHE_REQUIRE_ALL") else pytest.skip
            missing("no initdb: apt-get install postgresql")
        self.user = _user()
        self.folder, self.port = folder, free_port()
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        made = self._do(
            "initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"
        )
        if made.returncode:
            pytest.skip(f"initdb fails: {made.stderr.decode()[-300:]}")
        options = f"-p {self.port} -h 127.0.0.1 -k {folder} -F -c max_prepared_transactions=5"
        started = self._do(
            "pg_ctl", "-D", str(folder / "data"), "-o", options, "-l", str(folder / "log"), "-w", "-t", "60", "start"
        )
        assert started.returncode == 0, (folder / "log").read_text()

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} dbname=postgres user=postgres"

    @property
    def url(self) -> str:
        return f"//postgres@127.0.0.1:{self.port}/postgres"

    def _do(self, binary: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        assert self.binaries is not None
        streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.run([str(self.binaries / binary), *words], user=self.user, cwd=self.folder, **streams)

    def stop(self) -> None:
        self._do("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return places[-1].parent if places else None


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return next(one for one in ("postgres", "nobody") if one in known)
