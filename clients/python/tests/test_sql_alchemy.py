"""Queries of SQLAlchemy from the cache, and what a commit does to them."""

from __future__ import annotations

import asyncio
import enum
import random
import threading
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import arguments
from sqlalchemy import func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, relationship, scoped_session, sessionmaker
from sqls import CUSTOMERS, META, ORDERS, Counter, sqlite_engine

from llmcache import AsyncCache, Cache, Unavailable, ops
from llmcache.backends import LocalBackend
from llmcache.flows import Sleep, run
from llmcache.sql import Installed, cached_query, install
from llmcache.sql.queries import Queries, Settings
from llmcache.sql.statements import name_of


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


@pytest.fixture
def installed(engine: sa.Engine, cache: Cache) -> Installed:
    return install(engine, cache)


@pytest.fixture
def counter(engine: sa.Engine, installed: Installed) -> Counter:
    return Counter(engine)


class Base(DeclarativeBase):
    metadata = META


class Customer(Base):
    __table__ = CUSTOMERS
    orders: Mapped[list[Order]] = relationship("Order", passive_deletes=True)


class Order(Base):
    __table__ = ORDERS


TOTALS = select(ORDERS.c.id, ORDERS.c.total).where(ORDERS.c.customer_id == 1).order_by(ORDERS.c.id)


def test_rows_come_of_the_cache_and_are_like_any(engine: sa.Engine, counter: Counter) -> None:
    with engine.connect() as connection:
        plain = connection.execute(TOTALS).all()
        counter.seen.clear()
        for expected in (1, 1, 1):
            result = cached_query(connection, TOTALS)
            assert list(result.keys()) == ["id", "total"]
            rows = result.all()
            assert rows == plain and isinstance(rows[0], sa.Row)
            assert counter.reads == expected
        row = cached_query(connection, TOTALS).first()
        assert row is not None
        assert (row.id, row[1], row._mapping["total"], row._mapping[ORDERS.c.total]) == (1, 1, 1, 1)
        assert row._asdict() == {"id": 1, "total": 1}
        assert cached_query(connection, TOTALS).scalars().all() == [1, 4, 7]
        assert cached_query(connection, TOTALS).scalars(1).all() == [1, 4, 7]
        assert cached_query(connection, TOTALS).mappings().all() == [{"id": n, "total": n} for n in (1, 4, 7)]
        assert cached_query(connection, TOTALS).unique().fetchmany(2) == [(1, 1), (4, 4)]
        with pytest.raises(sa.exc.MultipleResultsFound):
            cached_query(connection, TOTALS).one()
        assert counter.reads == 1


@pytest.mark.parametrize("source", ["engine", "connection", "session", "scoped"])
def test_every_source_has_the_same_rows(engine: sa.Engine, counter: Counter, source: str) -> None:
    cached_query(engine, TOTALS)
    with engine.connect() as connection, Session(engine) as session:
        sources = {
            "engine": engine,
            "connection": connection,
            "session": session,
            "scoped": scoped_session(lambda: session),
        }
        assert cached_query(sources[source], TOTALS).scalars().all() == [1, 4, 7]
    assert counter.reads == 1


def test_parameters_are_part_of_what_is_asked(engine: sa.Engine, counter: Counter) -> None:
    statement = select(ORDERS.c.id).where(ORDERS.c.customer_id == sa.bindparam("c"))
    by_list = select(ORDERS.c.id).where(ORDERS.c.id.in_(sa.bindparam("ids", expanding=True)))
    for _ in range(2):
        for customer in (0, 1, 2):
            expected = list(range(customer, 9, 3))
            assert cached_query(engine, statement, {"c": customer}).scalars().all() == expected
            assert (
                cached_query(engine, "SELECT id FROM orders WHERE customer_id = :c", {"c": customer}).scalars().all()
                == expected
            )
            assert cached_query(engine, by_list, {"ids": [customer, 8]}).scalars().all() == sorted({customer, 8})
    assert counter.reads == 9
    cached_query(engine, "SELECT  id FROM orders -- the same\n WHERE customer_id = :c", {"c": 1})
    assert counter.reads == 9
    # 1 and '1' are not one to a database.
    assert cached_query(engine, "SELECT :c = 1 FROM orders LIMIT 1", {"c": 1}).scalar() == 1
    assert cached_query(engine, "SELECT :c = 1 FROM orders LIMIT 1", {"c": "1"}).scalar() == 0


def test_a_write_is_seen_from_its_commit_on(engine: sa.Engine, counter: Counter) -> None:
    assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7]
    with engine.connect() as writer, engine.connect() as reader:
        writer.execute(ORDERS.delete().where(ORDERS.c.id == 4))
        assert cached_query(reader, TOTALS).scalars().all() == [1, 4, 7]
        assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7]
        assert counter.reads == 1
        # Who has written sees what he has written, and nobody else does.
        assert cached_query(writer, TOTALS).scalars().all() == [1, 7]
        assert counter.reads == 2
        assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7]
        assert counter.reads == 2
        writer.commit()
        assert cached_query(engine, TOTALS).scalars().all() == [1, 7]
        assert cached_query(writer, TOTALS).scalars().all() == [1, 7]
        assert counter.reads == 3


def test_a_rollback_changes_nothing(engine: sa.Engine, counter: Counter, installed: Installed) -> None:
    cached_query(engine, TOTALS)
    with engine.connect() as writer:
        writer.execute(ORDERS.delete())
        assert cached_query(writer, TOTALS).all() == []
        writer.rollback()
        assert cached_query(writer, TOTALS).scalars().all() == [1, 4, 7]
    with engine.connect() as writer:
        writer.execute(ORDERS.delete())
    with pytest.raises(LookupError), engine.begin() as writer:
        writer.execute(ORDERS.delete())
        raise LookupError
    assert counter.reads == 2
    assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7]
    assert counter.reads == 2


WRITES = {
    "insert": ORDERS.insert().values(id=100, customer_id=1, total=5),
    "update": ORDERS.update().values(total=0),
    "delete": ORDERS.delete(),
    "text": text("UPDATE orders SET total = 0"),
    "upsert": text("INSERT OR REPLACE INTO main.Orders VALUES (1, 1, 3)"),
    "script": text('WITH x AS (SELECT 5 AS n) UPDATE "orders" SET total = (SELECT n FROM x)'),
    "cascade": CUSTOMERS.delete().where(CUSTOMERS.c.id == 1),
    "drop": text("ALTER TABLE orders ADD COLUMN more INTEGER"),
    "unreadable": text("ANALYZE"),
}


@pytest.mark.parametrize("write", [name for name in WRITES if name != "unreadable"])
def test_every_way_of_writing_is_seen(engine: sa.Engine, counter: Counter, write: str) -> None:
    others = select(func.count()).select_from(CUSTOMERS)
    count = text("SELECT * FROM orders WHERE customer_id = 1 ORDER BY id")
    before = cached_query(engine, count).all()
    cached_query(engine, others)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    with engine.begin() as connection:
        connection.execute(WRITES[write])
    reads = counter.reads
    rows = cached_query(engine, count)
    assert counter.reads == reads + 1
    assert write == "cascade" or rows.all() != before or len(list(rows.keys())) == 4
    cached_query(engine, others)
    assert counter.reads == reads + (2 if write == "cascade" else 1)


def test_executemany_and_the_orm_are_seen(engine: sa.Engine, counter: Counter) -> None:
    total = select(func.sum(ORDERS.c.total))

    def check() -> None:
        with engine.connect() as connection:
            assert cached_query(engine, total).scalar() == connection.execute(total).scalar()
            assert cached_query(engine, total).scalar() == connection.execute(total).scalar()

    check()
    with engine.begin() as connection:
        connection.execute(ORDERS.insert(), [{"id": n, "customer_id": 1, "total": n} for n in range(200, 220)])
    check()
    with Session(engine) as session:
        session.add(Order(id=300, customer_id=1, total=7))
        # A flush happens before, as for any query of a session; others see it after the commit.
        assert cached_query(session, total).scalar() == session.scalar(total)
        check_other = cached_query(engine, total).scalar()
        assert session.scalar(total) == check_other + 7
        session.commit()
        check()
        session.get(Order, 300).total = 8  # type: ignore[union-attr]
        session.commit()
        check()
        session.execute(sa.update(Order).where(Order.id == 300).values(total=9))
        session.commit()
        check()
        session.bulk_insert_mappings(Order.__mapper__, [{"id": 301, "customer_id": 1, "total": 1}])
        session.commit()
        check()
        session.delete(session.get(Order, 301))
        session.commit()
        check()
    assert counter.reads > 10


def test_savepoints(engine: sa.Engine, counter: Counter) -> None:
    # The driver's own handling of transactions is not right with savepoints; this is how SQLAlchemy mends it.
    @sa.event.listens_for(engine, "connect")
    def no_begin(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    engine.dispose()
    names = select(CUSTOMERS.c.name).order_by(CUSTOMERS.c.id)
    cached_query(engine, TOTALS)
    cached_query(engine, names)
    with engine.connect() as connection:
        with pytest.raises(LookupError), connection.begin_nested():
            connection.execute(ORDERS.delete())
            assert cached_query(connection, TOTALS).all() == []
            raise LookupError
        with connection.begin_nested():
            connection.execute(CUSTOMERS.update().values(name="x"))
            inner = connection.begin_nested()
            connection.execute(ORDERS.delete())
            inner.rollback()
        connection.commit()
    reads = counter.reads
    assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7]
    assert counter.reads == reads
    assert cached_query(engine, names).scalars().all() == ["x"] * 3
    assert counter.reads == reads + 1
    with Session(engine) as session:
        with session.begin_nested():
            session.add(Order(id=50, customer_id=1, total=50))
        session.commit()
    assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7, 50]


def test_savepoints_as_the_driver_has_them(engine: sa.Engine, counter: Counter) -> None:
    """Without BEGIN, releasing a savepoint is a commit that a later rollback does not take back."""
    cached_query(engine, TOTALS)
    with engine.connect() as connection:
        with connection.begin_nested():
            connection.execute(ORDERS.delete())
        connection.rollback()
    with engine.connect() as connection:
        assert cached_query(engine, TOTALS).all() == connection.execute(TOTALS).all()


def test_autocommit_is_seen_at_once(engine: sa.Engine, counter: Counter) -> None:
    cached_query(engine, TOTALS)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(ORDERS.delete().where(ORDERS.c.id == 1))
        assert cached_query(engine, TOTALS).scalars().all() == [4, 7]
        assert cached_query(connection, TOTALS).scalars().all() == [4, 7]
        assert counter.reads == 2
        connection.execute(text("UPDATE orders SET total = 1"))
        assert cached_query(connection, TOTALS).scalars(1).all() == [1, 1]


@pytest.mark.parametrize(
    "statement",
    [
        TOTALS.with_for_update(),
        select(sa.func.random(), ORDERS.c.id),
        select(ORDERS.c.id).where(sa.func.now() > "2000"),
        select(ORDERS.c.id, sa.literal_column("CURRENT_TIMESTAMP")),
        text("SELECT datetime('now'), id FROM orders"),
        text("SELECT name FROM sqlite_master"),
        text("SELECT 1"),
        select(sa.literal(1)),
        text("PRAGMA table_info(orders)"),
        select(Order),
        select(Order.id, Order),
        select(aliased(Order)),
    ],
    ids=str,
)
def test_what_is_not_to_be_kept_goes_to_the_database(engine: sa.Engine, counter: Counter, statement: Any) -> None:
    with Session(engine) as session:
        for number in (1, 2):
            cached_query(session, statement).all()
            assert len(counter.seen) == number
    for number in (3, 4):
        cached_query(engine, statement).all()
        assert len(counter.seen) == number


def test_entities_are_those_of_the_session_and_columns_are_kept(engine: sa.Engine, counter: Counter) -> None:
    with Session(engine) as session:
        order = cached_query(session, select(Order).where(Order.id == 1)).scalars().one()
        assert order is session.get(Order, 1)
    reads = counter.reads
    joined = select(Customer.name, Order.total.label("sum")).join(Customer.orders).where(Order.id == 4)
    for _ in range(2):
        with Session(engine) as session:
            row = cached_query(session, joined).one()
            assert (row.name, row.sum, row._mapping[Customer.name]) == ("c1", 4, "c1")
    assert counter.reads == reads + 1
    with engine.begin() as connection:
        connection.execute(CUSTOMERS.update().values(name="y"))
    assert cached_query(engine, joined).scalar() == "y"


def test_sessions_that_add_to_statements_need_a_scope(engine: sa.Engine, counter: Counter) -> None:
    makers = {}
    for tenant in (1, 2):
        makers[tenant] = sessionmaker(engine)

        @sa.event.listens_for(makers[tenant], "do_orm_execute")
        def only_own(state: Any, tenant: int = tenant) -> None:
            state.statement = state.statement.where(ORDERS.c.customer_id == tenant)

    ids = select(Order.id).order_by(Order.id)
    for _ in range(2):
        for tenant in (1, 2):
            with makers[tenant]() as session:
                assert cached_query(session, ids).scalars().all()[0] == tenant
                assert cached_query(session, ids, scope=f"tenant {tenant}").scalars().all()[0] == tenant
    assert counter.reads == 6


def test_settings_of_a_connection_need_a_scope(engine: sa.Engine, installed: Installed, counter: Counter) -> None:
    with engine.connect() as connection:
        installed.ledger(connection).before("SET search_path = a", ())
        for expected in (1, 2):
            cached_query(connection, TOTALS)
            assert counter.reads == expected


def test_views_and_triggers_are_declared(engine: sa.Engine, cache: Cache) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW big AS SELECT * FROM orders WHERE total > 4")
        connection.exec_driver_sql("CREATE TABLE log (n INTEGER)")
        connection.exec_driver_sql(
            "CREATE TRIGGER t AFTER UPDATE ON orders BEGIN INSERT INTO log VALUES (new.total); END"
        )
    install(engine, cache, views={"big": ["orders"]}, cascades={"orders": ["log"]})
    big, log = text("SELECT count(*) FROM big"), text("SELECT count(*) FROM log")
    assert (cached_query(engine, big).scalar(), cached_query(engine, log).scalar()) == (4, 0)
    with engine.begin() as connection:
        connection.execute(ORDERS.update().where(ORDERS.c.id == 8).values(total=0))
    assert (cached_query(engine, big).scalar(), cached_query(engine, log).scalar()) == (3, 1)


def test_schemas_and_their_translation(engine: sa.Engine, counter: Counter, tmp_path: Path) -> None:
    other = tmp_path / "other.db"

    @sa.event.listens_for(engine, "connect")
    def attach(connection: Any, record: Any) -> None:
        connection.execute(f"ATTACH '{other}' AS tenant")

    engine.dispose()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE tenant.orders (id INTEGER, customer_id INTEGER, total INTEGER)")
    counter.seen.clear()
    named = sa.table("orders", sa.column("id"), sa.column("total"), schema="tenant")
    translated = engine.execution_options(schema_translate_map={None: "tenant"})
    assert cached_query(engine, select(named.c.id)).all() == []
    assert cached_query(translated, select(ORDERS.c.id)).all() == []
    assert len(cached_query(engine, select(ORDERS.c.id)).all()) == 9
    with translated.begin() as connection:
        connection.execute(ORDERS.insert().values(id=1, customer_id=1, total=1))
    assert cached_query(engine, select(named.c.id)).scalars().all() == [1]
    assert cached_query(translated, select(ORDERS.c.id)).scalars().all() == [1]
    reads = counter.reads
    assert len(cached_query(engine, select(ORDERS.c.id)).all()) == 9
    assert counter.reads == reads + 1
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM main.orders"))
    reads = counter.reads
    assert cached_query(engine, select(named.c.id)).scalars().all() == [1]
    assert counter.reads == reads


def test_temporary_tables_are_each_connections_own(engine: sa.Engine, counter: Counter) -> None:
    with engine.connect() as one, engine.connect() as two:
        for number, connection in enumerate((one, two)):
            connection.exec_driver_sql("CREATE TEMP TABLE mine (n INTEGER)")
            connection.exec_driver_sql(f"INSERT INTO mine VALUES ({number})")
            connection.commit()
        for number, connection in enumerate((one, two)):
            assert cached_query(connection, text("SELECT n FROM mine")).scalar() == number
        one.invalidate()
        two.invalidate()


def test_a_name_without_a_schema_is_that_of_any(engine: sa.Engine, counter: Counter, tmp_path: Path) -> None:
    @sa.event.listens_for(engine, "connect")
    def attach(connection: Any, record: Any) -> None:
        connection.execute(f"ATTACH '{tmp_path / 'other.db'}' AS tenant")

    engine.dispose()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE tenant.alone (n INTEGER)")
    for read, write in (("alone", "tenant.alone"), ("tenant.alone", "alone"), ("alone", "alone")):
        count = text(f"SELECT count(*) FROM {read}")
        before = cached_query(engine, count).scalar()
        with engine.begin() as connection:
            connection.execute(text(f"INSERT INTO {write} VALUES (1)"))
        assert cached_query(engine, count).scalar() == before + 1


def test_text_within_a_statement_is_read_as_well(engine: sa.Engine, counter: Counter) -> None:
    statement = select(sa.literal_column("(SELECT count(*) FROM orders)")).select_from(CUSTOMERS).limit(1)
    where = select(CUSTOMERS.c.id).where(text("id IN (SELECT customer_id FROM orders)"))
    assert (cached_query(engine, statement).scalar(), len(cached_query(engine, where).all())) == (9, 3)
    with engine.begin() as connection:
        connection.execute(ORDERS.delete())
    assert (cached_query(engine, statement).scalar(), len(cached_query(engine, where).all())) == (0, 0)


def test_columns_of_other_types_are_other_questions(engine: sa.Engine, counter: Counter) -> None:
    for kind, expected in (
        (sa.Integer, 8),
        (sa.Numeric(10, 2), Decimal("8.00")),
        (sa.Numeric(10, 3), Decimal("8.000")),
    ):
        total = sa.table("orders", sa.column("total", kind))
        for _ in range(2):
            value = cached_query(engine, select(total.c.total).where(total.c.total > 7)).scalar()
            assert repr(value) == repr(expected)


class Kind(enum.Enum):
    BIG = 1


def test_types_come_back_as_the_database_gave_them(engine: sa.Engine, counter: Counter) -> None:
    table = sa.Table(
        "kinds", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("d", sa.Date),
        sa.Column("m", sa.DateTime), sa.Column("n", sa.Numeric(10, 2)), sa.Column("b", sa.LargeBinary),
        sa.Column("j", sa.JSON), sa.Column("u", sa.Uuid), sa.Column("k", sa.Enum(Kind)), sa.Column("f", sa.Float),
        sa.Column("t", sa.Boolean), sa.Column("i", sa.Interval),
    )  # fmt: skip
    table.create(engine)
    import uuid
    from datetime import timedelta

    values = {
        "id": 1, "d": date(2024, 2, 29), "m": datetime(2024, 1, 2, 3, 4, 5, 6), "n": Decimal("1.10"), "b": b"\x00\xff",
        "j": {"a": [1, None, {"b": 1.5}]}, "u": uuid.uuid4(), "k": Kind.BIG, "f": float("inf"), "t": True,
        "i": timedelta(days=3, microseconds=5),
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(table.insert().values(**values))
        connection.execute(table.insert().values(id=2))
        plain = connection.execute(select(table).order_by(table.c.id)).all()
    reads = counter.reads
    for _ in range(2):
        rows = cached_query(engine, select(table).order_by(table.c.id)).all()
        assert rows == plain
        assert [[type(cell) for cell in row] for row in rows] == [[type(cell) for cell in row] for row in plain]
        assert dict(rows[0]._mapping) == values
        # What a caller does to a value is not seen by the next one.
        rows[0].j["a"].clear()
    assert counter.reads == reads + 1


def test_answers_end_and_large_ones_are_not_kept(engine: sa.Engine, cache: Cache) -> None:
    import time

    install(engine, cache, ttl=0.2, max_rows=5)
    counter = Counter(engine)
    cached_query(engine, TOTALS)
    cached_query(engine, TOTALS)
    assert counter.reads == 1
    time.sleep(0.3)
    cached_query(engine, TOTALS)
    assert counter.reads == 2
    for _ in range(2):
        cached_query(engine, select(ORDERS.c.id))
    assert counter.reads == 4
    with pytest.raises(ValueError):
        cached_query(engine, TOTALS, ttl=0)
    with pytest.raises(TypeError):
        cached_query(engine, TOTALS, tables="orders")


def test_what_is_removed_by_tag_is_gone_with_its_stamp(
    engine: sa.Engine,
    cache: Cache,
    installed: Installed,
    counter: Counter,
) -> None:
    """As another program does that changes the database: one command, by the table's tag."""
    cached_query(engine, TOTALS, tags=["mine"])
    (entry,) = [cache.entry(id) for id, _ in cache.scan(tag="mine")]
    assert entry is not None and entry.type == "sql"
    assert cache.invalidate(tags=[installed.tag("orders")]) == 2
    cached_query(engine, TOTALS)
    assert counter.reads == 2
    assert cache.invalidate(tags=[installed.tag()]) == 2
    cached_query(engine, TOTALS)
    assert counter.reads == 3


def test_tables_that_only_the_caller_knows(engine: sa.Engine, cache: Cache, counter: Counter) -> None:
    with engine.begin() as connection:
        connection.connection.driver_connection.create_function("total", 0, lambda: 1)  # type: ignore[union-attr]
        for _ in range(2):
            cached_query(connection, text("SELECT total()"), tables=["orders"])
        assert counter.reads == 1
    with engine.begin() as connection:
        connection.execute(ORDERS.delete())
    with engine.connect() as connection:
        connection.connection.driver_connection.create_function("total", 0, lambda: 2)  # type: ignore[union-attr]
        assert cached_query(connection, text("SELECT total()"), tables=["orders"]).scalar() == 2


def test_what_an_old_snapshot_told_is_not_found_by_who_comes_later(engine: sa.Engine, installed: Installed) -> None:
    """The race: the query is made, others commit, and only then its rows are stored."""
    total = select(func.sum(ORDERS.c.total))
    made, committed = threading.Event(), threading.Event()
    slow: list[Any] = []

    @sa.event.listens_for(engine, "after_cursor_execute")
    def wait(connection: Any, cursor: Any, sql: str, *rest: Any) -> None:
        if sql.startswith("SELECT sum") and threading.current_thread() is reader:
            # What it answers is computed by now.
            made.set()
            committed.wait(10)

    def read() -> None:
        with engine.connect() as connection:
            slow.append(cached_query(connection, total).scalar())

    reader = threading.Thread(target=read)
    reader.start()
    assert made.wait(10)
    with engine.begin() as connection:
        connection.execute(ORDERS.update().values(total=100))
    committed.set()
    reader.join(10)
    assert slow == [36]
    assert cached_query(engine, total).scalar() == 900


def test_a_transaction_that_keeps_its_snapshot_does_not_store_it(engine: sa.Engine, installed: Installed) -> None:
    total = select(func.sum(ORDERS.c.total))
    with engine.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        assert reader.execute(select(CUSTOMERS.c.id)).first() is not None
        with engine.begin() as connection:
            connection.execute(ORDERS.update().values(total=100))
        assert cached_query(reader, total).scalar() == 36
        assert cached_query(engine, total).scalar() == 900
        assert cached_query(reader, total).scalar() == 36


def test_a_transaction_from_before_the_installation_is_not_trusted(engine: sa.Engine, cache: Cache) -> None:
    with engine.connect() as connection:
        connection.execute(ORDERS.delete())
        assert cached_query(connection, TOTALS, cache=cache).all() == []
        connection.rollback()
    assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7]


class Refusing(LocalBackend):
    """A backend that can be told not to work."""

    is_gone = False

    def flow(self, op: Any) -> Any:
        if self.is_gone:
            raise Unavailable("gone")
        return super().flow(op)


def test_a_removal_that_the_cache_misses_is_made_up_for(engine: sa.Engine) -> None:
    backend = Refusing()
    install(engine, Cache(backend=backend))
    counter = Counter(engine)
    cached_query(engine, TOTALS)
    backend.is_gone = True
    with engine.begin() as connection:
        connection.execute(ORDERS.delete())
    assert cached_query(engine, TOTALS).all() == []
    assert counter.reads == 2
    backend.is_gone = False
    assert cached_query(engine, TOTALS).all() == []
    assert cached_query(engine, TOTALS).all() == []
    assert counter.reads == 3


def test_a_removal_counts_only_for_changes_from_before_it() -> None:
    """One removal is under way while another change is committed, and that one's own removal fails."""
    removals: list[Any] = []

    class Slow(LocalBackend):
        def flow(self, op: Any) -> Any:
            if isinstance(op, ops.Invalidate):
                removals.append(op)
                yield Sleep(0)
            return (yield from super().flow(op))

    queries = Queries(Cache(backend=Slow()), "shop", "sqlite", Settings())
    first, second = queries.settle(), queries.settle()
    for one in (first, second):
        queries.owe({name_of("orders")})
        next(one)
    with pytest.raises(StopIteration):
        first.send(None)
    with pytest.raises(StopIteration):
        second.throw(Unavailable("gone"))
    run(queries.settle())
    run(queries.settle())
    assert len(removals) == 3


def test_without_its_server_nothing_is_kept(engine: sa.Engine, own_server: Any) -> None:
    cache = Cache(own_server.url, "faq", near=60.0)
    install(engine, cache)
    counter = Counter(engine)
    cached_query(engine, TOTALS)
    cached_query(engine, TOTALS)
    assert counter.reads == 1
    own_server.kill()
    for expected in (2, 3, 4, 5, 6, 7):
        assert cached_query(engine, TOTALS).scalars().all() == [1, 4, 7]
        assert counter.reads == expected
    with engine.begin() as connection:
        connection.execute(ORDERS.delete())
    assert cached_query(engine, TOTALS).all() == []


def test_two_processes_share_a_cache(tmp_path: Path, cache: Cache) -> None:
    """Two engines stand for them: nothing but the cache and the database is common to both."""
    one, two = sqlite_engine(tmp_path / "shop.db"), sa.create_engine(f"sqlite:///{tmp_path}/./shop.db")
    assert install(one, cache) is not install(two, cache)
    counter = Counter(two)
    cached_query(one, TOTALS)
    assert cached_query(two, TOTALS).scalars().all() == [1, 4, 7]
    assert counter.reads == 0
    with one.begin() as connection:
        connection.execute(ORDERS.delete())
    assert cached_query(two, TOTALS).all() == []


def test_databases_do_not_mix(tmp_path: Path, cache: Cache) -> None:
    engines = [sqlite_engine(tmp_path / name) for name in ("a.db", "b.db")]
    engines += [sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool) for _ in range(2)]
    for engine in engines:
        META.create_all(engine)
        install(engine, cache)
    for number, engine in enumerate(engines):
        with engine.begin() as connection:
            connection.execute(ORDERS.delete())
            connection.execute(ORDERS.insert().values(id=number))
    for number, engine in enumerate(engines):
        assert cached_query(engine, select(ORDERS.c.id)).scalars().all() == [number]


def test_installation(engine: sa.Engine, cache: Cache, installed: Installed) -> None:
    assert install(engine, cache) is installed
    with pytest.raises(ValueError, match="another"):
        install(engine, Cache("memory:"))
    installed.uninstall()
    with pytest.raises(ValueError, match="install"):
        cached_query(engine, TOTALS)
    assert install(engine, cache) is not installed
    with pytest.raises(TypeError):
        cached_query(object(), TOTALS)


def test_one_query_for_all_who_ask_at_once(engine: sa.Engine, counter: Counter) -> None:
    import time

    @sa.event.listens_for(engine, "after_cursor_execute")
    def slowly(connection: Any, cursor: Any, sql: str, *rest: Any) -> None:
        if sql.startswith("SELECT"):
            time.sleep(0.3)

    told: list[Any] = []
    threads = [
        threading.Thread(target=lambda: told.append(cached_query(engine, TOTALS).scalars().all())) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert told == [[1, 4, 7]] * 20
    assert counter.reads == 1


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_the_cache_tells_what_the_database_tells(
    engine: sa.Engine, installed: Installed, seed: int
) -> None:
    rng = random.Random(seed)
    other = sa.create_engine(engine.url)
    reads: list[Any] = [
        select(func.sum(ORDERS.c.total)),
        select(ORDERS.c.id, ORDERS.c.total).where(ORDERS.c.customer_id == 1).order_by(ORDERS.c.id),
        select(CUSTOMERS.c.name, func.count(ORDERS.c.id)).outerjoin(ORDERS).group_by(CUSTOMERS.c.id),
        text("SELECT name FROM customers ORDER BY id"),
        text("WITH big AS (SELECT * FROM orders WHERE total > 50) SELECT count(*) FROM big"),
        select(Customer.id).where(Customer.orders.any(Order.total > 20)).order_by(Customer.id),
    ]  # fmt: skip

    def write(connection: sa.Connection) -> None:
        number = rng.randrange(100)
        connection.execute(
            rng.choice(
                [
                    ORDERS.update().where(ORDERS.c.id % 5 == number % 5).values(total=number),
                    ORDERS.delete().where(ORDERS.c.id == number),
                    text(f"INSERT OR REPLACE INTO orders VALUES ({number}, {number % 3}, {number})"),
                    CUSTOMERS.update().where(CUSTOMERS.c.id == number % 3).values(name=f"n{number}"),
                ]
            )
        )

    def check(source: Any, plain: sa.Connection) -> None:
        for statement in rng.sample(reads, 3):
            assert cached_query(source, statement).all() == plain.execute(statement).all(), str(statement)

    for _ in range(60):
        with engine.connect() as connection:
            for _ in range(rng.randrange(1, 4)):
                if rng.random() < 0.3:
                    nested = connection.begin_nested()
                    write(connection)
                    rng.choice([nested.commit, nested.rollback])()
                elif rng.random() < 0.6:
                    write(connection)
                check(connection, connection)
            rng.choice([connection.commit, connection.rollback, lambda: None])()
        with other.connect() as plain:
            check(engine, plain)
            check(engine, plain)
    other.dispose()


def test_awaiting_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("greenlet")
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    sqlite_engine(tmp_path / "shop.db").dispose()

    async def work(cache: AsyncCache) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        install(engine, cache)
        counter = Counter(engine.sync_engine)
        for _ in range(2):
            async with engine.connect() as connection, AsyncSession(engine) as session:
                for source in (engine, connection, session):
                    assert (await cached_query(source, TOTALS)).scalars().all() == [1, 4, 7]
        assert counter.reads == 1
        async with engine.connect() as connection:
            await connection.execute(ORDERS.delete().where(ORDERS.c.id == 1))
            assert (await cached_query(connection, TOTALS)).scalars().all() == [4, 7]
            assert (await cached_query(engine, TOTALS)).scalars().all() == [1, 4, 7]
            await connection.rollback()
            await connection.execute(ORDERS.delete().where(ORDERS.c.id == 4))
            await connection.commit()
        assert (await cached_query(engine, TOTALS)).scalars().all() == [1, 7]
        async with AsyncSession(engine) as session:
            session.add(Order(id=77, customer_id=1, total=77))
            assert (await cached_query(session, TOTALS)).scalars().all() == [1, 7, 77]
            await session.commit()
            order = (await cached_query(session, select(Order).where(Order.id == 77))).scalars().one()
            assert order.total == 77
        reads = counter.reads
        rows = await asyncio.gather(*(cached_query(engine, TOTALS) for _ in range(10)))
        assert [row.scalars().all() for row in rows] == [[1, 7, 77]] * 10
        assert counter.reads == reads + 1
        assert (await cached_query(engine, select(Order.id))).scalars().all()[-1] == 77
        assert len((await cached_query(engine, select(ORDERS).with_for_update())).all()) == 9
        await engine.dispose()

    asyncio.run(work(AsyncCache("memory:")))


def test_awaiting_is_the_same_on_a_server(tmp_path: Path, server: Any) -> None:
    pytest.importorskip("greenlet")
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine

    sqlite_engine(tmp_path / "shop.db").dispose()

    async def work() -> None:
        async with AsyncCache(server.url, "faq", fallback=None) as cache:
            engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
            install(engine, cache)
            counter = Counter(engine.sync_engine)
            for expected in ([1, 4, 7], []):
                for _ in range(2):
                    assert (await cached_query(engine, TOTALS)).scalars().all() == expected
                async with engine.begin() as connection:
                    await connection.execute(ORDERS.delete())
            assert counter.reads == 2
            await engine.dispose()

    asyncio.run(work())
