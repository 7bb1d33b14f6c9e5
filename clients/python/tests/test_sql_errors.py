"""A cache of queries breaks no statement, and what it cannot do now it does later."""

from __future__ import annotations

import asyncio
import enum
import logging
import sqlite3
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import until
from sqlalchemy import select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqls import ORDERS, Counter, sqlite_engine

from llmcache import AsyncCache, Cache, Unavailable, ops
from llmcache.backends import Fallback, LocalBackend
from llmcache.flows import Sleep
from llmcache.sql import CachedConnection, alchemy, cached_query, dbapi, install
from llmcache.sql.debts import debts_of
from llmcache.sql.statements import EVERYTHING, name_of, reading, writing
from llmcache.sql.values import digest

TOTALS = select(ORDERS.c.id).where(ORDERS.c.customer_id == 1).order_by(ORDERS.c.id)
PLAIN = "SELECT id FROM orders WHERE customer_id = 1 ORDER BY id"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sqlite_engine(tmp_path / "shop.db")
    yield engine
    engine.dispose()


@pytest.fixture
def cache() -> Cache:
    return Cache("memory:")


def ids(source: Any, **options: Any) -> list[Any]:
    statement = TOTALS if isinstance(source, (sa.Engine, sa.Connection, Session)) else PLAIN
    return list(cached_query(source, statement, **options).scalars().all())


def kept(cache: Cache, kind: str = "sql") -> list[str]:
    entries = [cache.entry(id) for id, _ in cache.scan(tag="sql")]
    return [entry.prompt for entry in entries if entry is not None and entry.type == kind]


def test_errors_of_the_database_stay_what_they_are(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    assert ids(engine) == [1, 4, 7]
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(ORDERS.insert().values(id=1))
    with pytest.raises(sa.exc.OperationalError, match="no such table"), engine.begin() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    with pytest.raises(sa.exc.OperationalError, match="no such table"):
        cached_query(engine, "SELECT * FROM nowhere")
    with pytest.raises(sa.exc.StatementError):
        cached_query(engine, text("SELECT id FROM orders WHERE id = :id"))
    assert ids(engine) == [1, 4, 7]


def test_errors_stay_what_they_are_where_they_are_awaited(tmp_path: Path) -> None:
    pytest.importorskip("greenlet")
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine

    sqlite_engine(tmp_path / "shop.db").dispose()

    async def work() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        install(engine, AsyncCache("memory:"))
        with pytest.raises(sa.exc.IntegrityError):
            async with engine.begin() as connection:
                await connection.execute(ORDERS.insert().values(id=1))
        assert (await cached_query(engine, TOTALS)).scalars().all() == [1, 4, 7]
        await engine.dispose()

    asyncio.run(work())


def test_a_listener_that_fails_counts_as_a_change_of_everything(
    engine: sa.Engine, cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*args: Any) -> Any:
        raise LookupError("never seen before")

    install(engine, cache)
    connection = CachedConnection(sqlite3.connect(engine.url.database or ""), cache)
    assert ids(engine) == ids(connection) == [1, 4, 7]
    monkeypatch.setattr(alchemy, "changed", fails)
    for gone in (1, 4):
        with engine.begin() as writer:
            writer.execute(ORDERS.delete().where(ORDERS.c.id == gone))
        assert 1 not in ids(engine) and ids(engine) == ids(connection)
    monkeypatch.setattr(dbapi, "writing", fails)
    connection.execute("DELETE FROM orders WHERE id = 7")
    connection.commit()
    assert ids(engine) == ids(connection) == []
    assert len([one for one in caplog.records if "watched" in one.message]) == 1


def test_a_statement_that_nobody_understands_is_asked_of_the_database(
    engine: sa.Engine, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> Any:
        raise LookupError("never seen before")

    install(engine, cache)
    monkeypatch.setattr(alchemy, "compiled", fails)
    monkeypatch.setattr(dbapi, "reading", fails)
    assert ids(engine) == [1, 4, 7]
    assert ids(CachedConnection(sqlite3.connect(engine.url.database or ""), cache)) == [1, 4, 7]


def test_comments_before_savepoints(engine: sa.Engine, cache: Cache) -> None:
    """As those write them who note in each statement where it comes from."""

    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def comment(connection: Any, cursor: Any, sql: str, parameters: Any, *rest: Any) -> Any:
        return f"/* route='/x' */ {sql}", parameters

    @sa.event.listens_for(engine, "connect")
    def no_begin(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    engine.dispose()
    install(engine, cache)
    counter = Counter(engine)
    assert ids(engine) == [1, 4, 7]
    with engine.begin() as connection:
        with pytest.raises(LookupError), connection.begin_nested():
            connection.execute(ORDERS.delete())
            raise LookupError
        connection.exec_driver_sql("-- why\nSAVEPOINT one")
        connection.exec_driver_sql("-- why\nRELEASE one")
    counter.seen.clear()
    assert ids(engine) == [1, 4, 7] and counter.seen == []


def test_whoever_is_cancelled_at_the_commit_is_cancelled_and_the_rows_are_gone(tmp_path: Path) -> None:
    pytest.importorskip("greenlet")
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine

    sqlite_engine(tmp_path / "shop.db").dispose()
    shared, under_way = LocalBackend(), threading.Event()

    class Slow(LocalBackend):
        def flow(self, op: Any) -> Any:
            if isinstance(op, ops.Invalidate):
                under_way.set()
                yield Sleep(0.2)
            return (yield from shared.flow(op))

    async def work() -> None:
        url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
        writer, reader = create_async_engine(url), create_async_engine(url)
        install(writer, AsyncCache(backend=Slow()))
        install(reader, AsyncCache(backend=shared))

        async def write() -> None:
            async with writer.begin() as connection:
                await connection.execute(ORDERS.delete())

        assert (await cached_query(reader, TOTALS)).scalars().all() == [1, 4, 7]
        task = asyncio.create_task(write())
        while not under_way.is_set():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.3)
        # As another process asks, which knows of nothing that this one is owed.
        assert (await cached_query(reader, TOTALS)).scalars().all() == []
        await writer.dispose()
        await reader.dispose()

    asyncio.run(work())


class Refusing(LocalBackend):
    """A backend that can be told not to work."""

    is_gone = False

    def flow(self, op: Any) -> Any:
        if self.is_gone:
            raise Unavailable("gone")
        return super().flow(op)


@pytest.mark.parametrize("kind", ["engine", "wrapped", "fallback"])
def test_a_removal_that_fails_is_tried_again_though_nobody_asks(engine: sa.Engine, kind: str) -> None:
    backend = Refusing()
    # What stands in for a server takes no removals for it.
    cache = Cache(backend=Fallback(backend) if kind == "fallback" else backend)
    installed = install(engine, cache)
    ids(engine)
    backend.is_gone = True
    if kind != "wrapped":
        with engine.begin() as connection:
            connection.execute(ORDERS.delete())
    else:
        with CachedConnection(sqlite3.connect(engine.url.database or ""), cache) as plain:
            plain.execute("DELETE FROM orders")
    backend.is_gone = False
    there = Cache(backend=backend)
    until(lambda: there.invalidate(tags=[installed.tag("orders")], dry_run=True) == 0, "what is owed is removed")
    until(lambda: debts_of(cache.backend)._worker is None, "the thread ends")


def test_connections_that_are_not_wrapped_know_what_is_owed(engine: sa.Engine) -> None:
    backend = Refusing()
    cache = Cache(backend=backend)
    plain = sqlite3.connect(engine.url.database or "", isolation_level=None)
    assert ids(plain, cache=cache) == [1, 4, 7]
    backend.is_gone = True
    cached_query(plain, "DELETE FROM orders", cache=cache)
    backend.is_gone = False
    assert ids(plain, cache=cache) == []


def test_what_becomes_of_a_statement_whose_connection_is_lost_nobody_knows(engine: sa.Engine, cache: Cache) -> None:
    installed = install(engine, cache)
    counter = Counter(engine)
    ids(engine)
    with engine.connect() as connection:
        installed.ledger(connection).before("DELETE FROM orders", {name_of("orders")})
        context: Any = types.SimpleNamespace(connection=connection, is_disconnect=True, execution_context=None)
        installed._failed(context)
    ids(engine)
    assert counter.reads == 2


def test_scripts_commit_what_is_there_before_it_is_removed(engine: sa.Engine, cache: Cache) -> None:
    path, between = engine.url.database or "", []
    reader = CachedConnection(sqlite3.connect(path), cache)

    class Slow(sqlite3.Connection):
        def executescript(self, script: str) -> Any:
            between.append(ids(reader))
            return super().executescript(script)

    writer = CachedConnection(sqlite3.connect(path, factory=Slow), cache)
    writer.execute("DELETE FROM orders WHERE id = 1")
    writer.executescript("UPDATE customers SET name = 'x'")
    assert between == [[1, 4, 7]] and ids(reader) == [4, 7]
    writer.executescript("BEGIN; DELETE FROM orders; COMMIT;")
    assert ids(reader) == []


def test_attributes_are_those_of_the_connection(engine: sa.Engine, cache: Cache) -> None:
    plain = sqlite3.connect(engine.url.database or "")
    connection = CachedConnection(plain, cache)
    connection.row_factory = sqlite3.Row
    assert plain.row_factory is sqlite3.Row
    assert connection.execute("SELECT id FROM orders").fetchone()["id"] == 0
    connection.isolation_level = None
    assert plain.isolation_level is None
    assert ids(connection) == [1, 4, 7]
    connection.execute("DELETE FROM orders")
    other = sqlite3.connect(engine.url.database or "")
    assert other.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    cursor = connection.cursor()
    cursor.arraysize = 7
    assert cursor._cursor.arraysize == 7


def test_awaited_connections_are_refused(tmp_path: Path, cache: Cache) -> None:
    aiosqlite = pytest.importorskip("aiosqlite")

    async def work() -> None:
        async with aiosqlite.connect(tmp_path / "x.db") as connection:
            for use in (
                lambda: cached_query(connection, PLAIN, cache=cache),
                lambda: CachedConnection(connection, cache),
            ):
                with pytest.raises(TypeError, match="await"):
                    use()

    asyncio.run(work())


def test_what_is_no_answer_is_not_kept(engine: sa.Engine, cache: Cache) -> None:
    connection = CachedConnection(sqlite3.connect(engine.url.database or ""), cache)
    assert connection.query("VACUUM", tables=["orders"]).keys() == []
    assert kept(cache) == []


def test_foreign_keys_are_known_without_metadata(engine: sa.Engine, cache: Cache) -> None:
    @sa.event.listens_for(engine, "connect")
    def enforce(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    engine.dispose()
    install(engine, cache)
    connection = CachedConnection(sqlite3.connect(engine.url.database or ""), cache)
    connection.execute("PRAGMA foreign_keys = ON")
    assert ids(engine) == [1, 4, 7]
    with engine.begin() as writer:
        writer.execute(text("DELETE FROM customers WHERE id = 1"))
    assert ids(engine) == []
    count = "SELECT count(*) FROM orders"
    assert cached_query(engine, count).scalar() == 6
    connection.execute("DELETE FROM customers WHERE id = 2")
    connection.commit()
    assert cached_query(engine, count).scalar() == 3
    counter = Counter(engine)
    connection.execute("INSERT INTO customers VALUES (9, 'x')")
    connection.commit()
    assert cached_query(engine, count).scalar() == 3 and counter.reads == 0


def test_foreign_keys_that_are_made_meanwhile(engine: sa.Engine, cache: Cache) -> None:
    @sa.event.listens_for(engine, "connect")
    def enforce(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    engine.dispose()
    install(engine, cache)
    assert ids(engine) == [1, 4, 7]
    with engine.begin() as writer:
        writer.exec_driver_sql(
            "CREATE TABLE notes (id INTEGER, order_id INTEGER REFERENCES orders (id) ON DELETE CASCADE)"
        )
        writer.exec_driver_sql("INSERT INTO notes VALUES (1, 1)")
    count = "SELECT count(*) FROM notes"
    assert cached_query(engine, count).scalar() == 1
    with engine.begin() as writer:
        writer.execute(text("DELETE FROM orders WHERE id = 1"))
    assert cached_query(engine, count).scalar() == 0


def test_functions_that_write_are_told(engine: sa.Engine, cache: Cache) -> None:
    installed = install(engine, cache)
    assert ids(engine) == [1, 4, 7]
    with Session(engine) as session:
        session.connection().connection.driver_connection.execute("DELETE FROM orders")  # type: ignore[union-attr]
        installed.changed(session, "orders")
        assert ids(session) == [] and ids(engine) == [1, 4, 7]
        session.commit()
    assert ids(engine) == []


def test_sessions_that_choose_by_what_is_asked(tmp_path: Path, cache: Cache) -> None:
    class Base(DeclarativeBase):
        pass

    class Left(Base):
        __tablename__ = "left_ones"
        id: Mapped[int] = mapped_column(primary_key=True)

    engines = [sa.create_engine(f"sqlite:///{tmp_path}/{name}.db") for name in ("main", "left")]
    for engine in engines:
        Base.metadata.create_all(engine)
        install(engine, cache)

    class Routing(Session):
        def get_bind(self, mapper: Any = None, *, clause: Any = None, **rest: Any) -> Any:
            return engines[mapper is not None and mapper.class_ is Left]

    with Routing() as session:
        assert cached_query(session, select(Left.id)).all() == []
        session.add(Left(id=1))
        session.commit()
        assert cached_query(session, select(Left.id)).scalars().all() == [1]
    with engines[1].begin() as connection:
        connection.execute(text("DELETE FROM left_ones"))
    with Routing() as session:
        assert cached_query(session, select(Left.id)).all() == []


class Size(enum.IntEnum):
    SMALL = 1
    BIG = 2


class AsEnum(sa.types.TypeDecorator[Size]):
    impl = sa.Integer
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Any) -> Size:
        return Size(value)


def test_enumerations_that_the_type_does_not_tell_are_not_kept(engine: sa.Engine, cache: Cache) -> None:
    install(engine, cache)
    sizes = sa.table("orders", sa.column("id", AsEnum))
    for _ in range(2):
        (found,) = cached_query(engine, select(sizes.c.id).where(text("id = 1"))).scalars()
        assert found is Size.SMALL
    assert kept(cache) == []


def test_combinations_of_flags_are_told_apart() -> None:
    class Color(enum.Flag):
        RED = 1
        GREEN = 2
        BLUE = 4

    given = [Color.RED, Color.RED | Color.GREEN, Color.RED | Color.BLUE, Color.GREEN | Color.BLUE]
    assert len({digest(one) for one in given}) == len(given)


def test_whatever_the_parser_says_is_no_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlglot

    caplog.set_level(logging.DEBUG)
    writing("CREATE TABLE a PARTITION OF b FOR FROM (1) TO (2)", "postgresql")
    assert writing("CREATE ROLE zed LOGIN PASSWORD 'hunter2'", "postgresql") == {EVERYTHING}
    assert writing("ALTER ROLE zed PASSWORD 'hunter2'", "postgresql") == {EVERYTHING}
    assert "hunter2" not in caplog.text
    logging.getLogger("sqlglot").warning("of somebody else")
    assert "of somebody else" in caplog.text

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise UnboundLocalError("x")

    monkeypatch.setattr(sqlglot, "parse", fails)
    assert writing("UPDATE somewhere SET a = 1", "postgresql") == {EVERYTHING}
    assert reading("SELECT nothing FROM nowhere", "postgresql") is None


def test_long_texts_are_neither_parsed_nor_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlglot

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("it is parsed")

    monkeypatch.setattr(sqlglot, "parse", fails)
    values = ",".join(f"({n}, 'some; text {n}')" for n in range(5000))
    for _ in range(2):
        assert writing(f"INSERT INTO s.a (x, y) VALUES {values}", "sqlite") == {name_of("a", "s")}
    assert writing(f"UPDATE a SET x = 1 WHERE (x, y) IN ({values})", "sqlite") == {EVERYTHING}


def test_tables_of_one_name_and_names_of_two_tables(engine: sa.Engine, cache: Cache) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE TABLE "a b" (n INTEGER)')
        connection.exec_driver_sql("CREATE TABLE a (n INTEGER)")
        connection.exec_driver_sql("CREATE TABLE b (n INTEGER)")
    install(engine, cache)
    cached_query(engine, 'SELECT n FROM "a b"')
    cached_query(engine, "SELECT a.n FROM a, b")
    assert len({prompt for prompt in kept(cache, "sql-stamp")}) == 2
