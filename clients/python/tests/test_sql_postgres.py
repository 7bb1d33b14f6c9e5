"""Queries of PostgreSQL from the cache, by all its drivers."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import arguments
from sqls import CUSTOMERS, META, ORDERS, Counter, Postgres

from llmcache import AsyncCache, Cache
from llmcache.sql import CachedConnection, advise, cached_query, install

psycopg = pytest.importorskip("psycopg")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for all tests, in a folder that the user it runs as can reach."""
    with tempfile.TemporaryDirectory(prefix="llmcache-postgres-") as folder:
        server = Postgres(Path(folder))
        yield server
        server.stop()


@pytest.fixture(params=["server", "memory"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """A cache on a server, and one in this process."""
    with Cache(name="faq", **arguments(request.param, request)) as cache:  # type: ignore[arg-type]
        yield cache


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"postgresql+psycopg:{postgres.url}")
    META.drop_all(engine)
    META.create_all(engine)
    with engine.begin() as connection:
        connection.execute(CUSTOMERS.insert(), [{"id": n, "name": f"c{n}"} for n in range(3)])
        connection.execute(ORDERS.insert(), [{"id": n, "customer_id": n % 3, "total": n} for n in range(9)])
    yield engine
    engine.dispose()


TOTALS = sa.select(ORDERS.c.id).where(ORDERS.c.customer_id == 1).order_by(ORDERS.c.id)


def ids(source: Any, statement: Any = TOTALS) -> list[Any]:
    return list(cached_query(source, statement).scalars().all())


def test_transactions(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    counter = Counter(engine)
    assert ids(engine) == [1, 4, 7]
    with engine.connect() as writer, engine.connect() as reader:
        writer.execute(ORDERS.delete().where(ORDERS.c.id == 1))
        assert ids(writer) == [4, 7] and ids(reader) == [1, 4, 7]
        nested = writer.begin_nested()
        writer.execute(CUSTOMERS.delete().where(CUSTOMERS.c.id == 1))
        assert ids(writer) == []
        nested.rollback()
        assert ids(writer) == [4, 7] and ids(reader) == [1, 4, 7]
        writer.commit()
        assert ids(reader) == [4, 7] == ids(writer)
        reads = counter.reads
        writer.execute(CUSTOMERS.delete().where(CUSTOMERS.c.id == 1))
        writer.rollback()
        assert ids(reader) == [4, 7] and counter.reads == reads
        writer.execute(CUSTOMERS.delete().where(CUSTOMERS.c.id == 1))
        writer.commit()
        # The foreign key deletes orders as well.
        assert ids(reader) == []


def test_prepared_transactions(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    counter = Counter(engine)
    assert ids(engine) == [1, 4, 7]
    for ends, expected, reads in (("rollback", [1, 4, 7], 1), ("commit", [], 2)):
        with engine.connect() as connection:
            transaction = connection.begin_twophase()
            connection.execute(ORDERS.delete())
            transaction.prepare()
            assert ids(engine) == [1, 4, 7] and counter.reads == 1
            getattr(transaction, ends)()
        assert ids(engine) == expected and counter.reads == reads


def test_autocommit(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    assert ids(engine) == [1, 4, 7]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("DELETE FROM public.orders WHERE id = 1"))
        assert ids(engine) == [4, 7] == ids(connection)
        connection.execute(sa.text("TRUNCATE customers CASCADE"))
        assert ids(engine) == []


def test_a_repeatable_read_is_repeatable(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as reader:
        assert reader.execute(sa.select(CUSTOMERS.c.id)).first() is not None
        with engine.begin() as writer:
            writer.execute(ORDERS.delete())
        assert ids(reader) == [1, 4, 7]
        assert ids(engine) == []
        assert ids(reader) == [1, 4, 7]
    with engine.connect() as reader:
        reader.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        assert reader.execute(sa.select(CUSTOMERS.c.id)).first() is not None
        with engine.begin() as writer:
            writer.execute(ORDERS.insert().values(id=1, customer_id=1, total=1))
        assert ids(reader) == []
        assert ids(engine) == [1]


def test_types_come_back(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    counter = Counter(engine)
    statement = sa.text(
        "SELECT id, '1.10'::numeric n, '2024-01-02 03:04:05.000006+02'::timestamptz m, '12:00+03'::timetz z, "
        "'3 days 1 us'::interval i, decode('00ff', 'hex') b, '{\"a\": [1, null]}'::jsonb j, "
        "ARRAY[1.5, 'NaN']::float[] f, "
        f"'{uuid.uuid4()}'::uuid u, '10.0.0.1'::inet p, true t, NULL x FROM orders WHERE id = :id"
    )
    with engine.connect() as connection:
        plain = connection.execute(statement, {"id": 1}).one()
    for _ in range(2):
        row = cached_query(engine, statement, {"id": 1}).one()
        assert repr(row) == repr(plain) and row.m.tzinfo == plain.m.tzinfo
    assert counter.reads == 2


def test_plain_psycopg(engine: sa.Engine, postgres: Postgres, cache: Cache) -> None:
    install(engine, cache)
    counter = Counter(engine)
    text = "SELECT id FROM orders WHERE customer_id = %s ORDER BY id"

    def asked(connection: Any) -> list[Any]:
        return list(cached_query(connection, text, (1,)).scalars().all())

    with (
        CachedConnection(psycopg.connect(postgres.dsn), cache) as connection,
        CachedConnection(psycopg.connect(postgres.dsn, autocommit=True), cache) as other,
    ):
        assert asked(connection) == asked(other) == ids(engine) == [1, 4, 7]
        with connection.cursor() as cursor:
            assert cursor.execute("DELETE FROM orders WHERE id = %s RETURNING id", (1,)).fetchone() == (1,)
        assert asked(connection) == [4, 7] and asked(other) == [1, 4, 7] == ids(engine)
        connection.commit()
        assert asked(connection) == asked(other) == ids(engine) == [4, 7]
        with connection.transaction():
            connection.execute("DELETE FROM orders WHERE id = 4")
            with pytest.raises(LookupError), connection.transaction():
                connection.execute("DELETE FROM customers")
                raise LookupError
            assert asked(other) == [4, 7]
        connection.commit()
        assert asked(connection) == asked(other) == ids(engine) == [7]
        with connection.cursor() as cursor, cursor.copy("COPY orders (id, customer_id, total) FROM STDIN") as copy:
            copy.write_row((50, 1, 1))
        connection.commit()
        assert asked(other) == ids(engine) == [7, 50]
        other.execute("DELETE FROM orders")
        assert asked(connection) == asked(other) == ids(engine) == []
        reads = counter.reads
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("INSERT INTO nowhere VALUES (1)")
        connection.rollback()
        assert ids(engine) == [] and counter.reads == reads


def test_asyncpg(engine: sa.Engine, postgres: Postgres, server: Any) -> None:
    pytest.importorskip("asyncpg")
    pytest.importorskip("greenlet")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def work() -> None:
        async with AsyncCache(server.url, "faq", fallback=None) as cache:
            engine = create_async_engine(f"postgresql+asyncpg:{postgres.url}")
            install(engine, cache)
            counter = Counter(engine.sync_engine)

            async def asked(source: Any) -> list[Any]:
                return list((await cached_query(source, TOTALS)).scalars().all())

            assert await asked(engine) == await asked(engine) == [1, 4, 7]
            async with engine.connect() as writer:
                await writer.execute(ORDERS.delete().where(ORDERS.c.id == 1))
                assert await asked(writer) == [4, 7] and await asked(engine) == [1, 4, 7]
                await writer.rollback()
                assert await asked(writer) == [1, 4, 7]
                assert counter.reads == 2
                await writer.execute(ORDERS.delete().where(ORDERS.c.id == 1))
                await writer.commit()
                assert await asked(engine) == [4, 7]
            sync = sa.create_engine(f"postgresql+psycopg:{postgres.url}")
            install(sync, Cache(server.url, "faq"))
            await asyncio.to_thread(_delete, sync)
            assert await asked(engine) == []
            await engine.dispose()
            sync.dispose()

    asyncio.run(work())


def _delete(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(ORDERS.delete())


def test_readers_and_writers_at_once(engine: sa.Engine, cache: Cache) -> None:
    """Who reads after a commit never finds what was before it: the sum only grows."""
    install(engine, cache)
    total = sa.select(sa.func.sum(ORDERS.c.total))
    floor, failures, over = [36], [], threading.Event()

    def read() -> None:
        while not over.is_set():
            least = floor[0]
            found = cached_query(engine, total).scalar()
            if found < least:
                failures.append((least, found))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        with engine.begin() as connection:
            connection.execute(ORDERS.insert().values(id=1000 + number, customer_id=1, total=1))
        floor[0] += 1
    over.set()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert cached_query(engine, total).scalar() == 96


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        ("SELECT * FROM sales WHERE customer_id = 7", ("customer_id",)),
        ("SELECT * FROM sales s WHERE s.customer_id = 7 AND s.day > 990", ("customer_id", "day")),
        ("SELECT * FROM sales ORDER BY day DESC LIMIT 5", ("day",)),
        (sa.text("SELECT * FROM sales WHERE customer_id = :c"), ("customer_id",)),
    ],
    ids=str,
)
def test_advice_changes_the_plan(engine: sa.Engine, statement: Any, columns: tuple[str, ...]) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS sales")
        connection.exec_driver_sql("CREATE TABLE sales (id serial PRIMARY KEY, customer_id int, day int, note text)")
        connection.exec_driver_sql(
            "INSERT INTO sales (customer_id, day, note) "
            "SELECT mod(n, 1000), mod(n * 7, 1000), 'x' FROM generate_series(1, 20000) n"
        )
        connection.exec_driver_sql("ANALYZE sales")
    parameters = {"c": 7} if not isinstance(statement, str) else None
    told = advise(engine, statement, parameters)
    assert [one.columns for one in told] == [columns]
    assert "20000 rows" in told[0].reason
    with engine.begin() as connection:
        connection.exec_driver_sql(told[0].sql)
        connection.exec_driver_sql("ANALYZE sales")
        plan = connection.execute(sa.text(f"EXPLAIN {statement}"), parameters or {})
        plan = "\n".join(plan.scalars())
    assert "Seq Scan" not in plan and "Sort" not in plan and "sales_" in plan
    assert advise(engine, statement, parameters) == []


def test_no_advice_where_none_helps(engine: sa.Engine, postgres: Postgres) -> None:
    assert advise(engine, "SELECT * FROM orders WHERE total = 1") == []
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS sales")
        connection.exec_driver_sql("CREATE TABLE sales AS SELECT n AS id, 1 AS same FROM generate_series(1, 20000) n")
        connection.exec_driver_sql("ANALYZE sales")
    assert advise(engine, "SELECT * FROM sales WHERE same = 1") == []
    assert advise(engine, "SELECT * FROM sales") == []
    with psycopg.connect(postgres.dsn) as plain:
        assert [one.columns for one in advise(plain, "SELECT * FROM sales WHERE id = %s", (5,))] == [("id",)]
