"""What slow queries are told, and what index would help them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import arguments
from sqls import CUSTOMERS, ORDERS, sqlite_engine

from llmcache import AsyncCache, Cache
from llmcache.sql import CachedConnection, advise, cached_query, install, slow_queries


@pytest.fixture(params=["server", "memory"])
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """A cache on a server, and one in this process."""
    with Cache(name="faq", **arguments(request.param, request)) as cache:  # type: ignore[arg-type]
        yield cache


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sqlite_engine(tmp_path / "shop.db")
    yield engine
    engine.dispose()


def test_slow_queries(engine: sa.Engine, cache: Cache) -> None:
    @sa.event.listens_for(engine, "connect")
    def can_wait(connection: Any, record: Any) -> None:
        connection.create_function("wait", 1, lambda seconds: time.sleep(seconds))

    engine.dispose()
    installed = install(engine, cache)
    slow, often = sa.text("SELECT wait(:s), id FROM orders LIMIT 1"), sa.select(ORDERS.c.id).where(ORDERS.c.id == 1)
    big = sa.text("SELECT o.id, c.name, wait(0.002) FROM orders o, customers c")
    for seconds in (0.3, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3):
        cached_query(engine, slow, {"s": seconds})
    for _ in range(30):
        cached_query(engine, often)
    for _ in range(3):
        cached_query(engine, big)
    cache.set("another thing", "x")
    told = slow_queries(cache)
    assert told.slowest[0].statement == "SELECT wait(?), id FROM orders LIMIT 1"
    slowest = told.slowest[0]
    assert (slowest.entries, slowest.hits, slowest.calls) == (2, 5, 7)
    assert 200 <= slowest.mean_ms < 300 <= slowest.max_ms < 600
    assert told.most_frequent[0].hits == 29 and told.most_frequent[0].tables == ("orders",)
    assert told.most_valuable[0] == slowest and slowest.saved_ms == pytest.approx(5 * slowest.max_ms, rel=0.01)
    assert told.most_valuable[0].worth > told.most_valuable[1].worth > 0
    (cross,) = (one for one in told.slowest if "customers" in one.tables)
    assert (cross.tables, cross.rows, cross.hits) == (("customers", "orders"), 27, 2)
    assert told.seen == 4 and not told.is_partial
    assert [one.database for one in told.slowest] == [installed.database] * 3
    assert slow_queries(cache, database="other").slowest == []
    few = slow_queries(cache, top=1, limit=2)
    assert few.seen == 2 and few.is_partial and len(few.slowest) == 1


def test_slow_queries_are_awaited_where_the_cache_is(engine: sa.Engine, server: Any) -> None:
    install(engine, Cache(server.url, "faq"))
    cached_query(engine, sa.select(ORDERS))

    async def work() -> None:
        async with AsyncCache(server.url, "faq") as cache:
            assert len((await slow_queries(cache)).slowest) == 1

    asyncio.run(work())


ADVISED: list[tuple[Any, list[tuple[str, tuple[str, ...]]]]] = [
    ("SELECT * FROM orders WHERE customer_id = 5", [("orders", ("customer_id",))]),
    ("SELECT * FROM orders o WHERE o.customer_id = 5 AND o.total > 3", [("orders", ("customer_id", "total"))]),
    ("SELECT * FROM orders WHERE customer_id = 5 ORDER BY total", [("orders", ("customer_id", "total"))]),
    ("SELECT * FROM orders ORDER BY total DESC", [("orders", ("total",))]),
    ("SELECT customer_id, count(*) FROM orders GROUP BY customer_id", [("orders", ("customer_id",))]),
    ("SELECT * FROM orders WHERE total BETWEEN 1 AND 2", [("orders", ("total",))]),
    ("SELECT * FROM orders WHERE total IN (1, 2)", [("orders", ("total",))]),
    ("SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total = 3)",
     [("orders", ("total",))]),
    ("UPDATE orders SET total = 1 WHERE customer_id = 4", [("orders", ("customer_id",))]),
    (sa.select(ORDERS.c.id).where(ORDERS.c.total.in_([1, 2]), ORDERS.c.customer_id == 3),
     [("orders", ("total", "customer_id"))]),
    (sa.select(CUSTOMERS.c.id).where(CUSTOMERS.c.name == "x"), [("customers", ("name",))]),
    (sa.text("SELECT * FROM orders WHERE customer_id = :c"), [("orders", ("customer_id",))]),
    ("SELECT * FROM orders WHERE id = 3", []),
    ("SELECT * FROM orders", []),
    ("SELECT * FROM orders WHERE customer_id = 1 OR total = 2", []),
    ("SELECT * FROM orders WHERE abs(total) = 2", []),
    ("SELECT * FROM orders WHERE NOT customer_id = 1", []),
    ("SELECT random()", []),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "advised"), ADVISED, ids=lambda value: str(value)[:60])
def test_advice_changes_the_plan(engine: sa.Engine, statement: Any, advised: Any) -> None:
    parameters = {"c": 1} if "= :c" in str(statement) else None
    told = advise(engine, statement, parameters)
    assert [(one.table, one.columns) for one in told] == advised
    assert all(one.is_tried and one.reason for one in told)
    compiled = statement if isinstance(statement, str) else None
    with engine.begin() as connection:
        before = _plan(connection, compiled) if compiled else []
        for one in told:
            connection.exec_driver_sql(one.sql)
        after = _plan(connection, compiled) if compiled else []
        assert not told or not compiled or (before != after and any(told[0].sql.split()[2] in line for line in after))
    assert advise(engine, statement, parameters) == []


def _plan(connection: sa.Connection, sql: str) -> list[str]:
    return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]


def test_advice_on_joins(engine: sa.Engine) -> None:
    """A join finds one side by the other: SQLite says that it builds an index each time."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE a (x INTEGER, y INTEGER)")
        connection.exec_driver_sql("CREATE TABLE b (x INTEGER, z INTEGER)")
    told = advise(engine, "SELECT a.y, b.z FROM a JOIN b ON a.x = b.x")
    assert told and told[0].columns == ("x",)
    with engine.begin() as connection:
        connection.exec_driver_sql(told[0].sql)
        plan = _plan(connection, "SELECT a.y, b.z FROM a JOIN b ON a.x = b.x")
    assert not any("AUTOMATIC" in line for line in plan)


def test_advice_for_plain_connections_changes_nothing(engine: sa.Engine, tmp_path: Path) -> None:
    plain = sqlite3.connect(tmp_path / "shop.db")
    plain.row_factory = sqlite3.Row
    (one,) = advise(plain, "SELECT * FROM orders WHERE customer_id = ?", (1,))
    assert one.sql == "CREATE INDEX orders_customer_id_idx ON orders (customer_id)"
    assert "SCAN orders" in one.reason
    assert advise(CachedConnection(plain, Cache("memory:")), "SELECT * FROM orders WHERE customer_id = ?", (1,)) == [
        one
    ]
    assert plain.execute("SELECT count(*) FROM sqlite_master WHERE type = 'index'").fetchone()[0] == 0
    with pytest.raises(ValueError, match="advice"):
        advise(object(), "SELECT 1")


def test_figures_need_limits(cache: Cache) -> None:
    for limits in ({"limit": 0}, {"limit": -1}, {"top": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            slow_queries(cache, **limits)


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1; DELETE FROM orders", "SELECT '\\'; DELETE FROM orders; --'", "CREATE TABLE x (a)", "ANALYZE",
     "BEGIN", "DELETE FROM orders; SELECT 1", ""],
)  # fmt: skip
def test_advice_is_for_one_statement_that_has_a_plan(engine: sa.Engine, statement: str) -> None:
    with pytest.raises(ValueError, match="advice is for"):
        advise(engine, statement)


def test_advice_leaves_no_transaction_open(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert advise(connection, "SELECT * FROM orders WHERE total = 1")
        assert not connection.in_transaction()
        connection.execute(ORDERS.insert().values(id=70, total=1))
        assert advise(connection, "SELECT * FROM orders WHERE total = 1")
        assert connection.in_transaction()


def test_words_with_a_meaning_are_quoted(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE TABLE "group" ("order" INTEGER, plain INTEGER)')
    (told,) = advise(engine, 'SELECT * FROM "group" WHERE "order" = 3')
    assert told.sql == 'CREATE INDEX group_order_idx ON "group" ("order")'
    with engine.begin() as connection:
        connection.exec_driver_sql(told.sql)
