"""Queries of plain connections from the cache."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import arguments
from sqls import sqlite_engine

from llmcache import Cache
from llmcache.sql import CachedConnection, cached_query, install


@pytest.fixture(params=["server", "memory"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """A cache on a server, and one in this process."""
    with Cache(name="faq", **arguments(request.param, request)) as cache:  # type: ignore[arg-type]
        yield cache


@pytest.fixture
def path(tmp_path: Path) -> Path:
    sqlite_engine(tmp_path / "shop.db").dispose()
    return tmp_path / "shop.db"


class Counting(sqlite3.Connection):
    """Counts what is read."""

    reads = 0

    def cursor(self, *args: Any, **kwargs: Any) -> sqlite3.Cursor:
        owner = self

        class Cursor(sqlite3.Cursor):
            def execute(self, sql: str, *rest: Any) -> Any:
                owner.reads += sql.lstrip().upper().startswith(("SELECT", "WITH"))
                return super().execute(sql, *rest)

        return super().cursor(Cursor)


def connect(path: Path, **options: Any) -> Counting:
    return sqlite3.connect(path, factory=Counting, **options)  # type: ignore[return-value]


TOTALS = "SELECT id, total FROM orders WHERE customer_id = ? ORDER BY id"


def ids(source: Any, *parameters: Any, **options: Any) -> list[Any]:
    return list(cached_query(source, TOTALS, parameters or (1,), **options).scalars().all())


def test_rows_come_of_the_cache(path: Path, cache: Cache) -> None:
    plain = connect(path)
    plain.row_factory = sqlite3.Row
    with CachedConnection(plain, cache) as connection:
        for _ in range(3):
            result = connection.query(TOTALS, (1,))
            assert list(result.keys()) == ["id", "total"]
            rows = result.all()
            assert rows == [(1, 1), (4, 4), (7, 7)] and rows[0].total == 1
            assert ids(connection.cursor()) == [1, 4, 7]
        assert plain.reads == 1
        assert ids(connection, 2) == [2, 5, 8]
        named = "SELECT id FROM orders WHERE id = :id"
        for _ in range(2):
            assert connection.query(named, {"id": 3}).scalar() == 3
            assert connection.query(named, {"id": 4}).scalar() == 4
        assert plain.reads == 4
        for number in (5, 6):
            connection.query("SELECT random(), id FROM orders")
            assert plain.reads == number
    connection.close()


def test_a_write_is_seen_from_its_commit_on(path: Path, cache: Cache) -> None:
    writer, plain = CachedConnection(sqlite3.connect(path), cache), connect(path)
    reader = CachedConnection(plain, cache)
    assert ids(reader) == [1, 4, 7]
    writer.execute("DELETE FROM orders WHERE id = 1")
    assert ids(writer) == [4, 7] and ids(reader) == [1, 4, 7]
    writer.rollback()
    assert ids(writer) == [1, 4, 7]
    assert plain.reads == 1
    writer.cursor().executemany("UPDATE orders SET total = ? WHERE id = ?", [(9, 1), (9, 4)])
    writer.commit()
    assert ids(reader) == [1, 4, 7] and plain.reads == 2
    with writer:
        writer.execute("INSERT INTO orders VALUES (100, 1, 1)")
    assert ids(reader) == [1, 4, 7, 100]
    with pytest.raises(LookupError), writer:
        writer.execute("DELETE FROM orders")
        raise LookupError
    assert ids(reader) == [1, 4, 7, 100] and plain.reads == 3
    writer.executescript("BEGIN; DELETE FROM orders WHERE id = 1; COMMIT;")
    assert ids(reader) == [4, 7, 100]
    writer.execute("SAVEPOINT one")
    writer.execute("DELETE FROM orders")
    writer.execute("ROLLBACK TO one")
    writer.execute("RELEASE one")
    assert ids(reader) == [4, 7, 100] and plain.reads == 4
    writer.execute("SAVEPOINT one")
    writer.execute("DELETE FROM orders WHERE id = 4")
    writer.execute("RELEASE one")
    assert ids(reader) == [7, 100]


def test_autocommit(path: Path, cache: Cache) -> None:
    writer = CachedConnection(sqlite3.connect(path, isolation_level=None), cache)
    reader = CachedConnection(sqlite3.connect(path), cache)
    assert ids(reader) == [1, 4, 7]
    writer.execute("DELETE FROM orders WHERE id = 1")
    assert ids(reader) == [4, 7] == ids(writer)
    writer.execute("BEGIN")
    writer.execute("DELETE FROM orders WHERE id = 4")
    assert ids(reader) == [4, 7]
    writer.execute("COMMIT")
    assert ids(reader) == [7]


def test_changes_by_other_means_are_told(path: Path, cache: Cache) -> None:
    connection = CachedConnection(sqlite3.connect(path), cache)
    assert ids(connection) == [1, 4, 7]
    connection.connection.execute("DELETE FROM orders")
    connection.changed("orders")
    assert ids(connection) == []
    connection.commit()
    assert ids(connection) == []
    connection.connection.execute("INSERT INTO orders VALUES (1, 1, 1)")
    connection.connection.commit()
    connection.changed()
    assert ids(connection) == [1]


def test_a_connection_that_is_not_wrapped_is_trusted_outside_of_transactions(path: Path, cache: Cache) -> None:
    plain = connect(path)
    assert ids(plain, cache=cache) == ids(plain.cursor(), cache=cache) == [1, 4, 7]
    assert plain.reads == 1
    plain.execute("DELETE FROM orders WHERE id = 1")
    assert ids(plain, cache=cache) == [4, 7]
    plain.rollback()
    assert ids(plain, cache=cache) == [1, 4, 7]
    assert plain.reads == 2
    with pytest.raises(ValueError, match="cache"):
        ids(plain)
    private = sqlite3.connect(":memory:")
    private.execute("CREATE TABLE orders (id, customer_id, total)")
    private.commit()
    assert ids(private, cache=cache) == []


def test_a_snapshot_from_before_is_not_stored(path: Path, cache: Cache) -> None:
    reader = CachedConnection(sqlite3.connect(path, isolation_level=None), cache)
    writer = CachedConnection(sqlite3.connect(path), cache)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM customers").fetchone() == (3,)
    with writer:
        writer.execute("DELETE FROM orders WHERE id = 1")
    assert ids(reader) == [1, 4, 7]
    assert ids(writer) == [4, 7]
    reader.execute("COMMIT")
    assert ids(reader) == [4, 7]
    # The first query of a transaction takes the snapshot; it is kept, and what comes after is not.
    reader.execute("BEGIN")
    assert ids(reader, 2) == [2, 5, 8]
    with writer:
        writer.execute("DELETE FROM orders WHERE id = 2")
    assert ids(reader, 2) == [2, 5, 8]
    assert ids(writer, 2) == [5, 8]


def test_engines_and_connections_share_a_database(path: Path, cache: Cache) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(f"sqlite:///{path}")
    install(engine, cache)
    connection = CachedConnection(sqlite3.connect(path), cache)
    assert ids(connection) == [1, 4, 7]
    with engine.begin() as writer:
        writer.execute(sa.text("DELETE FROM orders WHERE id = 1"))
    assert ids(connection) == [4, 7]
    text = sa.text("SELECT count(*) FROM orders")
    assert cached_query(engine, text).scalar() == 8
    with connection:
        connection.execute("DELETE FROM orders")
    assert cached_query(engine, text).scalar() == 0


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_the_cache_tells_what_the_database_tells(path: Path, cache: Cache, seed: int) -> None:
    rng = random.Random(seed)
    writers = [CachedConnection(sqlite3.connect(path, isolation_level=level), cache) for level in ("", None)]
    plain = sqlite3.connect(path)
    reads = [
        ("SELECT sum(total) FROM orders", ()),
        (TOTALS, (1,)),
        ("SELECT c.name, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id", ()),
        ("WITH big AS (SELECT * FROM orders WHERE total > ?) SELECT count(*) FROM big", (20,)),
    ]

    def write(connection: CachedConnection) -> None:
        n = rng.randrange(100)
        sql = rng.choice(
            [
                f"UPDATE orders SET total = {n} WHERE id % 5 = {n % 5}",
                f"DELETE FROM orders WHERE id = {n}",
                f"INSERT OR REPLACE INTO orders VALUES ({n}, {n % 3}, {n})",
                f"UPDATE customers SET name = 'n{n}' WHERE id = {n % 3}",
            ]
        )
        connection.execute(sql)

    for _ in range(80):
        connection = rng.choice(writers)
        explicit = connection is writers[1] and rng.random() < 0.5
        if explicit:
            connection.execute("BEGIN")
        for _ in range(rng.randrange(1, 4)):
            write(connection)
            if rng.random() < 0.3:
                connection.execute("SAVEPOINT s")
                write(connection)
                connection.execute(rng.choice(["RELEASE s", "ROLLBACK TO s"]))
            for sql, parameters in reads:
                assert connection.query(sql, parameters).all() == connection.execute(sql, parameters).fetchall()
        rng.choice([connection.commit, connection.rollback])()
        for sql, parameters in reads:
            for reader in writers:
                assert reader.query(sql, parameters).all() == plain.execute(sql, parameters).fetchall(), sql
