"""What databases are called, and whose rows are whose."""

from __future__ import annotations

import os
import socket
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqls import META, ORDERS, Counter, sqlite_engine

from llmcache import Cache
from llmcache.sql import CachedConnection, cached_query, install
from llmcache.sql.identity import database_name, url_name

HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql+psycopg://u@localhost/app", f"postgresql:{HERE}:5432/app"),
        ("postgresql+psycopg://u@127.0.0.1:5432/app", f"postgresql:{HERE}:5432/app"),
        ("postgresql+asyncpg://u@/app?host=/run/postgresql", f"postgresql:{HERE}:5432/app"),
        ("postgresql://app@", f"postgresql:{HERE}:5432/app"),
        ("postgresql://u@DB1.example:6000/app", "postgresql:db1.example:6000/app"),
        ("postgresql://u@/app?host=db1&port=6000", "postgresql:db1:6000/app"),
        ("postgresql://u@/app?host=db1:6000", "postgresql:db1:6000/app"),
        ("mysql://u@db1/app", "mysql:db1:3306/app"),
        ("postgresql://", None),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:////data/app.db", f"sqlite:{HERE}:/data/app.db"),
    ],
)
def test_names(url: str, name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in [one for one in os.environ if one.startswith("PG")]:
        monkeypatch.delenv(one)
    made = sa.make_url(url)
    assert url_name(made.get_backend_name(), made) == name


def test_machines_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = sa.make_url(f"sqlite:///{tmp_path}/x.db")
    names = set()
    for machine in ("one", "two"):
        monkeypatch.setattr(socket, "gethostname", lambda machine=machine: machine)
        names |= {url_name("sqlite", url), database_name("postgresql", "localhost", None, "app")}
    assert len(names) == 4


def test_an_engine_and_a_plain_connection_give_one_name(tmp_path: Path) -> None:
    engine, cache = sqlite_engine(tmp_path / "shop.db"), Cache("memory:")
    plain = CachedConnection(sqlite3.connect(tmp_path / "shop.db"), cache)
    assert install(engine, cache).database == plain.queries.database
    engine.dispose()


@pytest.mark.parametrize("detect", [sqlite3.PARSE_DECLTYPES, sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES])
def test_converters_of_one_connection_need_a_name(tmp_path: Path, detect: int) -> None:
    path, cache = tmp_path / "x.db", Cache("memory:")
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE days (day date)")
        made.execute("INSERT INTO days VALUES ('2024-01-02')")
    makes = [
        lambda: CachedConnection(sqlite3.connect(path), cache),
        lambda: sa.create_engine(f"sqlite:///{path}", connect_args={"detect_types": detect}),
        lambda: CachedConnection(sqlite3.connect(path, detect_types=detect), cache),
        lambda: CachedConnection(sqlite3.connect(path, detect_types=detect), cache, variant="dates"),
    ]
    for _ in range(2):
        kinds = [type(cached_query(make(), "SELECT day FROM days", cache=cache).scalar()) for make in makes]
        assert kinds == [str, date, date, date]
    assert len([id for id, _ in cache.scan() if (cache.entry(id) or pytest.fail()).type == "sql"]) == 2


def test_attached_databases_are_part_of_a_connection(tmp_path: Path) -> None:
    cache = Cache("memory:")
    for name in ("a", "b"):
        with sqlite3.connect(tmp_path / f"{name}.db") as made:
            made.execute("CREATE TABLE names (name)")
            made.execute(f"INSERT INTO names VALUES ('{name}')")
    for _ in range(2):
        for name in ("a", "b"):
            engine = sa.create_engine(f"sqlite:///{tmp_path}/main.db")

            @sa.event.listens_for(engine, "connect")
            def attach(connection: Any, record: Any, name: str = name) -> None:
                connection.execute(f"ATTACH '{tmp_path}/{name}.db' AS other")

            install(engine, cache)
            assert cached_query(engine, "SELECT name FROM other.names").scalar() == name
            assert cached_query(engine, "SELECT name FROM names").scalar() == name
            engine.dispose()


def test_attached_databases_without_a_file_are_a_connections_own(tmp_path: Path) -> None:
    cache = Cache("memory:")
    for name in ("a", "b"):
        plain = sqlite3.connect(tmp_path / "main.db")
        plain.execute("ATTACH ':memory:' AS other")
        plain.execute("CREATE TABLE other.names (name)")
        plain.execute("INSERT INTO other.names VALUES (?)", (name,))
        plain.commit()
        assert CachedConnection(plain, cache).query("SELECT name FROM names").scalar() == name


def test_connections_of_one_engine_that_differ(tmp_path: Path) -> None:
    """What one connection has told is not kept for those who are like another."""
    engine, cache = sqlite_engine(tmp_path / "shop.db"), Cache("memory:")
    engine.dispose()
    number = [0]

    @sa.event.listens_for(engine, "connect")
    def attach(connection: Any, record: Any) -> None:
        number[0] += 1
        connection.execute(f"ATTACH '{tmp_path}/{number[0]}.db' AS other")

    install(engine, cache)
    counter = Counter(engine)
    count = sa.select(sa.func.count()).select_from(ORDERS)
    with engine.connect() as first, engine.connect():
        first.invalidate()
    for expected in (1, 2):
        assert cached_query(engine, count).scalar() == 9 and counter.reads == expected
    engine.dispose()


def test_another_file_than_the_url_says_is_not_cached(tmp_path: Path) -> None:
    sqlite_engine(tmp_path / "a.db").dispose()
    cache = Cache("memory:")
    moved = sa.create_engine(f"sqlite:///{tmp_path}/b.db", creator=lambda: sqlite3.connect(tmp_path / "a.db"))
    own = sa.create_engine(f"sqlite:///{tmp_path}/b.db")
    META.create_all(own)
    for engine, expected in ((moved, 9), (own, 0)):
        install(engine, cache)
        assert cached_query(engine, "SELECT count(*) FROM orders").scalar() == expected
        engine.dispose()


def test_a_connection_that_does_not_tell_what_it_is_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmcache.sql import alchemy, dbapi

    def fails(*args: Any) -> Any:
        raise LookupError("never seen before")

    monkeypatch.setattr(alchemy, "identify", fails)
    monkeypatch.setattr(dbapi, "identify", fails)
    engine, cache = sqlite_engine(tmp_path / "shop.db"), Cache("memory:")
    install(engine, cache)
    counter = Counter(engine)
    plain = CachedConnection(sqlite3.connect(tmp_path / "shop.db"), cache)
    for expected in (1, 2):
        for source in (engine, plain):
            assert cached_query(source, "SELECT count(*) FROM orders").scalar() == 9
        assert counter.reads == expected
    assert cache.stats().entries == 0
    engine.dispose()


def test_settings_of_a_pooled_connection_stay_with_it(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db", pool_size=1)
    META.create_all(engine)
    with engine.begin() as connection:
        connection.execute(ORDERS.insert().values(id=1))
    with sqlite3.connect(tmp_path / "other.db") as made:
        made.execute("CREATE TABLE others (n)")
    install(engine, Cache("memory:"))
    counter = Counter(engine)
    cached_query(engine, "SELECT count(*) FROM customers")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ATTACH '{tmp_path}/other.db' AS other")
    for expected in (2, 3):
        cached_query(engine, "SELECT count(*) FROM orders")
        assert counter.reads == expected
    assert cached_query(engine, "SELECT count(*) FROM customers").scalar() == 0 and counter.reads == 3
    engine.dispose()
