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


ITEMS = sa.Table("items", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("v", sa.String))
NAMES = sa.select(ITEMS.c.v)


@pytest.fixture
def schemas(engine: sa.Engine) -> None:
    """Two schemas with a table of one name."""
    with engine.begin() as connection:
        for name in ("t1", "t2"):
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {name} CASCADE")
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
            connection.exec_driver_sql(f"CREATE TABLE {name}.items (id int, v text)")
            connection.exec_driver_sql(f"INSERT INTO {name}.items VALUES (1, '{name}')")


@pytest.mark.parametrize("way", ["options", "connect", "checkout", "statement", "engine", "wrapped", "plain", "text"])
def test_schemas_do_not_mix(schemas: None, engine: sa.Engine, postgres: Postgres, server: Any, way: str) -> None:
    cache = Cache(server.url, "faq", fallback=None)
    install(engine, cache)
    made: list[Any] = []
    for _ in range(2):
        for name in ("t1", "t2"):
            options = {"options": f"-csearch_path={name}"} if way == "options" else {}
            other = sa.create_engine(engine.url, connect_args=options)
            made.append(other)
            if way in ("connect", "checkout"):

                @sa.event.listens_for(other, way)
                def choose(connection: Any, record: Any, *rest: Any, name: str = name) -> None:
                    connection.execute(f"SET search_path = {name}")
                    connection.commit()

            source: Any = other
            statement: Any = NAMES
            if way in ("options", "connect", "checkout"):
                install(other, cache)
            elif way == "statement":
                source, statement = engine, NAMES.execution_options(schema_translate_map={None: name})
            elif way == "engine":
                source = engine.execution_options(schema_translate_map={None: name})
            else:
                source = psycopg.connect(postgres.dsn, autocommit=True)
                made.append(source)
                statement = "SELECT v FROM items"
                if way in ("wrapped", "plain"):
                    source.execute(f"SET search_path = {name}")
                if way in ("wrapped", "text"):
                    source = CachedConnection(source, cache)
                if way == "text":
                    source.execute(f"BEGIN; SET search_path = {name}; COMMIT")
            assert cached_query(source, statement, cache=cache).scalars().all() == [name]
    for one in made:
        (one.dispose if isinstance(one, sa.Engine) else one.close)()


def test_a_write_by_a_statement_with_its_own_schema(schemas: None, engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    named = sa.table("items", sa.column("v"), schema="t1")
    assert cached_query(engine, sa.select(named.c.v)).scalars().all() == ["t1"]
    with engine.begin() as connection:
        connection.execute(ITEMS.update().values(v="x").execution_options(schema_translate_map={None: "t1"}))
    assert cached_query(engine, sa.select(named.c.v)).scalars().all() == ["x"]


def test_a_database_that_the_url_does_not_name_is_not_cached(engine: sa.Engine, cache: Cache) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.exec_driver_sql("SELECT 1 FROM pg_database WHERE datname = 'other'").first():
            connection.exec_driver_sql("CREATE DATABASE other")
    count = "SELECT count(*) FROM orders"
    other = sa.create_engine(engine.url.set(database="other"))
    META.create_all(other)
    moved = sa.create_engine(engine.url, connect_args={"dbname": "other"})
    for one in (engine, other, moved):
        install(one, cache)
    counter = Counter(moved)
    assert cached_query(moved, count).scalar() == 0
    assert cached_query(engine, count).scalar() == 9
    assert cached_query(moved, count).scalar() == cached_query(other, count).scalar() == 0
    assert counter.reads == 2
    told = sa.create_engine(engine.url, connect_args={"dbname": "other"})
    installed = install(told, cache, database="other")
    counter = Counter(told)
    for _ in range(2):
        assert cached_query(told, count).scalar() == 0
    assert counter.reads == 1 and installed.tag("orders") == "sql:other:orders"
    for one in (other, moved, told):
        one.dispose()


@pytest.mark.parametrize(
    "make",
    [
        "CREATE TABLE pg_temp.orders AS SELECT 99 AS id, 1 AS customer_id",
        "SELECT 99 AS id, 1 AS customer_id INTO TEMP orders",
        "CREATE OR REPLACE TEMP VIEW orders AS SELECT 99 AS id, 1 AS customer_id",
        "/* app */ CREATE TEMP TABLE orders AS SELECT 99 AS id, 1 AS customer_id",
    ],
)
def test_temporary_tables_are_for_nobody_else(engine: sa.Engine, postgres: Postgres, server: Any, make: str) -> None:
    cache = Cache(server.url, "faq", fallback=None)
    install(engine, cache)
    text = sa.text("SELECT id FROM orders WHERE customer_id = 1 ORDER BY id")
    with engine.connect() as connection:
        connection.exec_driver_sql(make)
        connection.commit()
        assert ids(connection, text) == [99] and ids(engine, text) == [1, 4, 7]
        assert ids(connection, text) == [99]
        connection.invalidate()
    with psycopg.connect(postgres.dsn, autocommit=True) as plain:
        plain.execute(make)
        for source in (plain, CachedConnection(plain, cache)):
            assert cached_query(source, str(text), cache=cache).scalars().all() == [99]
    assert ids(engine, text) == [1, 4, 7]


def test_loaders_of_one_connection(engine: sa.Engine, postgres: Postgres, cache: Cache) -> None:
    from psycopg.types.numeric import FloatLoader

    text = "SELECT 1.10::numeric FROM orders WHERE id = 2"
    with psycopg.connect(postgres.dsn) as plain, psycopg.connect(postgres.dsn) as other:
        plain.adapters.register_loader("numeric", FloatLoader)
        for _ in range(2):
            assert isinstance(CachedConnection(plain, cache).query(text).scalar(), float)
            assert not isinstance(CachedConnection(other, cache).query(text).scalar(), float)
            assert isinstance(CachedConnection(plain, cache, variant="float").query(text).scalar(), float)
        plain.rollback()


def test_errors_stay_what_they_are(engine: sa.Engine, postgres: Postgres, cache: Cache, server: Any) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    install(engine, cache)
    assert ids(engine) == [1, 4, 7]
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(ORDERS.insert().values(id=1))
    with engine.connect() as connection:
        with pytest.raises(sa.exc.ProgrammingError):
            connection.execute(sa.text("SELECT nothing FROM orders"))
        connection.rollback()
        assert ids(connection) == [1, 4, 7]

    async def work() -> None:
        engine = create_async_engine(f"postgresql+asyncpg:{postgres.url}")
        install(engine, AsyncCache(server.url, "faq"))
        with pytest.raises(sa.exc.IntegrityError):
            async with engine.begin() as connection:
                await connection.execute(ORDERS.insert().values(id=1))
        await engine.dispose()

    asyncio.run(work())


def test_awaited_connections_are_refused(engine: sa.Engine, postgres: Postgres, cache: Cache) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(postgres.dsn) as connection:
            with pytest.raises(TypeError, match="await"):
                cached_query(connection, "SELECT id FROM orders", cache=cache)

    asyncio.run(work())


def test_writes_within_other_statements(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    customers = CUSTOMERS.delete().where(CUSTOMERS.c.id == 1).returning(CUSTOMERS.c.id).cte("gone")
    writes: list[tuple[Any, list[int]]] = [
        (sa.text("(WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING id) SELECT * FROM d)"), [4, 7]),
        (sa.select(customers.c.id), []),
        (sa.text("INSERT INTO customers VALUES (1, 'back'); INSERT INTO orders VALUES (1, 1, 1)"), [1]),
        (sa.text("DELETE FROM customers WHERE id = 1"), []),
        (
            r"WITH x AS (SELECT E'\'' q), y AS (INSERT INTO orders VALUES (4, 0, 1) RETURNING 'z'), "
            r"z AS (UPDATE orders SET customer_id = 1 WHERE id = 0 RETURNING 'z') SELECT 'k' FROM x",
            [0],
        ),
    ]
    assert ids(engine) == [1, 4, 7]
    for write, expected in writes:
        with engine.begin() as connection:
            if isinstance(write, str):
                connection.exec_driver_sql("ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_customer_id_fkey")
                connection.exec_driver_sql(write)
            else:
                connection.execute(write)
        assert ids(engine) == expected


def test_partitions_are_known(engine: sa.Engine, cache: Cache) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS days")
        connection.exec_driver_sql("CREATE TABLE days (n int) PARTITION BY RANGE (n)")
        connection.exec_driver_sql("CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10)")
    install(engine, cache)
    counts = [sa.text(f"SELECT count(*) FROM {name}") for name in ("days", "days_1")]
    for number, name in enumerate(("days", "days_1"), 1):
        for count in counts:
            cached_query(engine, count)
        with engine.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO {name} VALUES (1)"))
        assert [cached_query(engine, count).scalar() for count in counts] == [number, number]


def test_what_plain_psycopg_does_in_its_own_ways(engine: sa.Engine, postgres: Postgres, cache: Cache) -> None:
    from psycopg import sql

    install(engine, cache)
    with CachedConnection(psycopg.connect(postgres.dsn), cache) as connection:
        composed = sql.SQL("SELECT id FROM {} WHERE customer_id = 1 ORDER BY id").format(sql.Identifier("orders"))
        assert connection.query(composed).scalars().all() == ids(engine) == [1, 4, 7]
        connection.rollback()
        connection.tpc_begin("one")
        connection.execute("DELETE FROM orders WHERE id = 1")
        connection.tpc_prepare()
        assert ids(engine) == [1, 4, 7]
        connection.tpc_commit()
        assert ids(engine) == [4, 7]
        connection.tpc_begin("two")
        connection.execute("DELETE FROM orders")
        connection.tpc_prepare()
        connection.tpc_rollback()
        assert ids(engine) == [4, 7]
        connection.autocommit = True
        assert connection.connection.autocommit
        with connection.cursor() as cursor:
            assert list(cursor.stream("DELETE FROM orders WHERE id = 4 RETURNING id")) == [(4,)]
        assert ids(engine) == [7]
    assert ids(engine) == [7]


def test_sessions_that_keep_snapshots(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    total = sa.text("SELECT sum(total) FROM orders")
    with engine.connect() as connection:
        connection.execute(sa.text("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        connection.commit()
        connection.execute(sa.text("SELECT 1 FROM customers"))
        with engine.begin() as writer:
            writer.execute(ORDERS.delete())
        assert cached_query(connection, total, scope="s").scalar() == 36
        assert cached_query(engine, total, scope="s").scalar() is None
        connection.invalidate()


def test_given_moments_pass(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    moment = sa.text("SELECT CAST(:d AS timestamptz) FROM orders WHERE id = 2")
    assert cached_query(engine, moment, {"d": "now"}).scalar() != cached_query(engine, moment, {"d": "now"}).scalar()


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


def test_advice_does_nothing(engine: sa.Engine, postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn) as plain:
        with pytest.raises(ValueError, match="advice is for"):
            advise(plain, "SELECT 1; DELETE FROM orders")
        advise(plain, "SELECT * FROM orders WHERE total = 1")
        assert plain.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
