"""What is told of a statement by its text."""

from __future__ import annotations

import pytest

from llmcache.sql.ledger import Ledger
from llmcache.sql.statements import EVERYTHING, Name, makes_temporary, name_of, normal, reading, why_not, writing


def names(*told: str) -> frozenset[Name]:
    return frozenset(name_of(one.rpartition(".")[2], one.rpartition(".")[0]) for one in told)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT * FROM orders", ["orders"]),
        ("select 1 from Orders o join s.Customers c on c.id = o.c where o.x in (select y from z)",
         ["orders", "s.customers", "z"]),
        ('SELECT * FROM "Order Lines" WHERE a = :a AND b = \'from x\' -- from y', ["order lines"]),
        ("WITH a AS (SELECT * FROM orders) SELECT * FROM a JOIN b ON true", ["orders", "b"]),
        ("WITH orders AS (SELECT * FROM orders) SELECT * FROM orders", ["orders"]),
        ("WITH a AS (SELECT 1 FROM t), b AS (SELECT * FROM a) SELECT * FROM b", ["t"]),
        ("WITH RECURSIVE r AS (SELECT id FROM t UNION ALL SELECT r.id FROM r) SELECT * FROM r", ["t"]),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b", ["b"]),
        ("SELECT * FROM (WITH q AS (SELECT 1) SELECT * FROM q) x, q", ["q"]),
        ("SELECT (SELECT max(x) FROM a) FROM b UNION SELECT y FROM c EXCEPT SELECT z FROM d", ["a", "b", "c", "d"]),
        ("SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)", ["t", "u"]),
        ("SELECT * FROM t, LATERAL (SELECT * FROM q) l, generate_series(1, 2) g", ["t", "q"]),
        ("SELECT * FROM t WHERE a = %s AND b = %(b)s AND c LIKE 'x%%'", ["t"]),
        ("SELECT * FROM t WHERE a = ?1", ["t"]),
    ],
)  # fmt: skip
def test_tables_that_a_text_reads(sql: str, tables: list[str]) -> None:
    found = reading(sql, "postgresql")
    assert found is not None and found.tables == names(*tables)


@pytest.mark.parametrize(
    "sql",
    ["INSERT INTO t VALUES (1)", "WITH d AS (DELETE FROM x RETURNING *) SELECT * FROM d", "SELECT * INTO n FROM t",
     "SELECT 1; SELECT 2", "EXPLAIN SELECT 1 FROM t", "SELECT FROM WHERE (", "CALL f()", "", "COMMIT"],
)  # fmt: skip
def test_what_is_no_reading(sql: str) -> None:
    assert reading(sql, "postgresql") is None


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT * FROM t", []),
        ("SELECT 'insert into x' FROM t", []),
        ("SELECT * FROM t FOR UPDATE", []),
        ("INSERT INTO s.t SELECT * FROM u", ["s.t"]),
        ("UPDATE t SET a = 1 FROM u WHERE t.x = u.x", ["t"]),
        ("DELETE FROM ONLY t USING u", ["t"]),
        ("WITH d AS (DELETE FROM x RETURNING *) INSERT INTO y SELECT * FROM d", ["x", "y"]),
        ("WITH d AS (DELETE FROM x RETURNING *) SELECT * FROM d", ["x"]),
        ("SELECT * INTO n FROM t", ["n"]),
        ("TRUNCATE a, b", ["a", "b"]),
        ("COPY t FROM STDIN", ["t"]),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", ["t"]),
        ("REPLACE INTO t VALUES (1)", ["t"]),
        ("insert or ignore into t values (?, ?)", ["t"]),
        ("ALTER TABLE a RENAME TO b", ["a", "b"]),
        ("DROP TABLE IF EXISTS a", ["a"]),
        ("CREATE INDEX i ON t (a)", ["t"]),
        ("INSERT INTO a VALUES (1); UPDATE b SET c = 1", ["a", "b"]),
        ("SELECT 1; DELETE FROM b", ["b"]),
        ("BEGIN; DELETE FROM b; COMMIT", ["b"]),
        ("(WITH d AS (DELETE FROM x RETURNING id) SELECT * FROM d)", ["x"]),
        ("INSERT INTO s.t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", ["s.t"]),
        ("INSERT INTO t DEFAULT VALUES", ["t"]),
        ("VALUES (1)", []), ("(SELECT 1 FROM t)", []), ("SELECT '\\' FROM t", []),
        ("/* x */ -- y\n UPDATE t SET a = 1", ["t"]),
        ("BEGIN", []), ("SAVEPOINT a", []), ("SET x = 1", []), ("PRAGMA foreign_keys = ON", []),
    ],
)  # fmt: skip
def test_tables_that_a_text_writes(sql: str, tables: list[str]) -> None:
    dialect = "sqlite" if "REPLACE" in sql or " or " in sql else "postgresql"
    assert writing(sql, dialect) == names(*tables)


@pytest.mark.parametrize(
    "sql",
    ["CALL f()", "DO $$ begin delete from x; end $$", "TRUNCATE a CASCADE", "DROP SCHEMA s",
     "EXPLAIN ANALYZE DELETE FROM t",
     "EXPLAIN ANALYZE EXECUTE p", "EXECUTE p", "PREPARE p AS DELETE FROM t",
     "EXPLAIN ANALYZE CREATE TABLE n AS SELECT 1",
     r"WITH x AS (SELECT E'\'' q), y AS (UPDATE t SET a = 1 RETURNING 'z') SELECT 'k' FROM x",
     r"SELECT '\'; DELETE FROM t; --'", "/* a /* b */ SELECT 1 */ DELETE FROM t",
     "REFRESH MATERIALIZED VIEW v", "UPDATE (((", "GRANT ALL ON t TO u", "exec something"],
)  # fmt: skip
def test_what_nobody_can_tell_writes_everything(sql: str) -> None:
    assert EVERYTHING in writing(sql, "postgresql") or writing(sql, "postgresql") >= names("t")


@pytest.mark.parametrize(
    "sql",
    ["SELECT random() FROM t", "select now() from t", "SELECT CURRENT_TIMESTAMP FROM t", "SELECT nextval('s') FROM t",
     "SELECT * FROM t WHERE d > CURRENT_DATE", "SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR NO KEY UPDATE",
     "SELECT * FROM t for share", "SELECT gen_random_uuid() FROM t", "SELECT * FROM t TABLESAMPLE system (1)",
     "SELECT 'now'::date FROM t", "SELECT pg_advisory_lock(1) FROM t", "SELECT current_user FROM t",
     "SELECT * FROM t WHERE x = current_setting('a')", "SELECT pg_notify('a', 'b') FROM t",
     "SELECT pg_try_advisory_lock_shared(1) FROM t", "SELECT pg_total_relation_size('t') FROM t",
     'SELECT "clock_timestamp"() FROM t', "SELECT 'today 10:00'::timestamp FROM t",
     "SELECT $$ yesterday $$::date FROM t",
     r"SELECT E'\'', clock_timestamp()::text, 'x' FROM t", "SELECT /* a /* b */ c */ 1 FROM t"],
)  # fmt: skip
def test_what_differs_each_time_is_not_kept(sql: str) -> None:
    assert why_not(sql, "postgresql") is not None


@pytest.mark.parametrize("given", ["now", " Today ", "tomorrow 04:05", ["a", "now"], {"a": ("yesterday",)}])
def test_parameters_may_be_the_moment(given: object) -> None:
    assert why_not("SELECT CAST(:d AS timestamptz) FROM t", "postgresql", [given])
    assert why_not("SELECT date(:d) FROM t", "sqlite", [given])
    assert why_not("SELECT :d FROM t", "sqlite", [given]) is None


def test_what_only_looks_so_is_kept() -> None:
    for sql in ("SELECT 'random()' FROM t", 'SELECT "now" FROM t', "SELECT now FROM t", "SELECT a FROM t -- for update",
                "SELECT update_time, fornow FROM t"):  # fmt: skip
        assert why_not(sql, "postgresql") is None, sql
    assert why_not("SELECT date(d) FROM t", "sqlite") is None
    assert why_not("SELECT date('now') FROM t", "sqlite")
    assert why_not("SELECT date() FROM t", "sqlite")
    assert why_not("SELECT * FROM t WHERE d < datetime(?)", "sqlite", ["now"])


def test_one_form_for_texts_that_mean_the_same() -> None:
    assert normal("SELECT a,\n  b -- why\nFROM t /* x */ ;", "postgresql") == "SELECT a, b FROM t"
    assert normal("SELECT 'a  b'  FROM t", "postgresql") == "SELECT 'a  b' FROM t"
    different = ["SELECT 'a  b' FROM t", "SELECT 'a b' FROM t", "SELECT 'a\\'  b' FROM t", "SELECT 'a\\' b' FROM t",
                 "SELECT $$a  b$$ FROM t", "SELECT $$a b$$ FROM t", 'SELECT "a  b" FROM t', 'SELECT "a b" FROM t',
                 "SELECT 'a--b' FROM t", "SELECT 'a--c' FROM t", "SELECT 5/*+x*/ FROM t",
                 "SELECT 5 FROM t"]  # fmt: skip
    for dialect in ("postgresql", "sqlite"):
        assert len({normal(sql, dialect) for sql in different}) == len(different)
    assert normal("SELECT 5--3", "mysql") != normal("SELECT 5--4", "mysql")
    assert normal("SELECT [a  b] FROM t", "sqlite") != normal("SELECT [a b] FROM t", "sqlite")


@pytest.mark.parametrize(
    ("sql", "temporary"),
    [
        ("create temp table if not exists X (a int)", True),
        ("/* app */ CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1", True),
        ("create local temp recursive view v (a) as select 1", True),
        ("CREATE TABLE pg_temp.x AS SELECT 1", True),
        ('CREATE TABLE "pg_temp".x AS SELECT 1', True),
        ("CREATE TABLE temp.x (a)", True),
        ("SELECT 1 AS a INTO TEMP x", True),
        ("SELECT 1 AS a INTO TEMPORARY TABLE x", True),
        ("BEGIN; CREATE TEMP TABLE x (a int); COMMIT", True),
        ("CREATE TABLE x (a int)", False),
        ("INSERT INTO temp VALUES (1)", False),
        ("INSERT INTO x VALUES ('create temp table y')", False),
    ],
)
def test_temporary_tables(sql: str, temporary: bool) -> None:
    assert makes_temporary(sql) is temporary


def test_a_name_without_a_schema_may_be_any() -> None:
    assert name_of("T").meets(name_of("t", "s")) and name_of("t", "s").meets(name_of("t"))
    assert not name_of("t", "s").meets(name_of("t", "u"))
    assert name_of("t", "catalog.s") == name_of("t", "s")


@pytest.mark.parametrize("comment", ["", "/* route=/x */ ", "-- why\n", " ; "])
def test_control_with_comments_before_it(comment: str) -> None:
    a, b = names("a"), names("b")
    ledger = Ledger()
    ledger.before("insert", a)
    ledger.before(f"{comment}SAVEPOINT one", ())
    ledger.before("insert", b)
    ledger.before(f'{comment}ROLLBACK TO SAVEPOINT "one"', ())
    assert ledger.writes == a
    ledger.before(f"{comment}RELEASE one", ())
    ledger.before(f"{comment}COMMIT", ())
    assert ledger.after(None) == a
    ledger.before("insert", a)
    ledger.before(f"{comment}ROLLBACK", ())
    assert ledger.writes == set()


def test_several_statements_at_once_take_nothing_back() -> None:
    a, b = names("a"), names("b")
    ledger = Ledger()
    ledger.before("insert", a)
    ledger.before("BEGIN; insert; COMMIT", b)
    assert ledger.after(None) == a | b
    ledger.before("ROLLBACK; insert; COMMIT", a)
    assert ledger.after(None) == a
    ledger.before("SAVEPOINT one; insert", a)
    assert ledger.writes == a


@pytest.mark.parametrize(
    ("sql", "personal"),
    [
        ("SET search_path = a", True), ("BEGIN; SET search_path = a; COMMIT", True), ("/* x */ RESET ALL", True),
        ("SELECT set_config('a.b', 'c', false)", True), ("DISCARD ALL", True), ("ATTACH 'x' AS y", True),
        (r"SELECT E'\''; SET search_path = a; --'", True), ("PRAGMA case_sensitive_like = ON", True),
        ("PRAGMA foreign_keys = ON", False), ("UPDATE a SET x = 1; UPDATE b SET x = 1", False),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", False), ("SET CONSTRAINTS ALL DEFERRED", False),
        (r"UPDATE a SET x = '\'", False),
    ],
)  # fmt: skip
def test_settings_make_a_connection_personal(sql: str, personal: bool) -> None:
    ledger = Ledger()
    ledger.before(sql, (), "postgresql")
    assert ledger.is_personal is personal


def test_snapshots_of_a_transaction_and_of_all() -> None:
    for sql in ("BEGIN ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"):
        ledger = Ledger()
        ledger.before(sql, ())
        assert ledger.keeps_snapshot
        ledger.committed()
        assert not ledger.keeps_snapshot
    for sql in (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET default_transaction_isolation = 'repeatable read'",
        "SELECT set_config('default_transaction_isolation', 'serializable', false)",
    ):
        ledger = Ledger()
        ledger.before(sql, ())
        ledger.committed()
        assert ledger.keeps_snapshot, sql


def test_a_ledger_keeps_what_is_not_taken_back() -> None:
    a, b, c = names("a"), names("b"), names("c")
    ledger = Ledger()
    ledger.before("insert", a)
    ledger.before("SAVEPOINT one", ())
    ledger.before("insert", b)
    ledger.before("SAVEPOINT two", ())
    ledger.before("insert", c)
    assert ledger.touches(names("s.c")) and not ledger.touches(names("d"))
    ledger.before("ROLLBACK TO SAVEPOINT two", ())
    assert ledger.writes == a | b
    ledger.before("insert", c)
    ledger.before("RELEASE SAVEPOINT one", ())
    assert ledger.writes == a | b | c
    assert ledger.after(True) == set()
    ledger.before("COMMIT", ())
    assert ledger.writes == a | b | c
    assert ledger.after(None) == a | b | c
    assert ledger.writes == set() and ledger.statements == 0
    ledger.before("insert", a)
    ledger.before("SAVEPOINT x", ())
    ledger.before("insert", b)
    ledger.before("ROLLBACK TO x", ())
    ledger.before("insert", c)
    ledger.before("ROLLBACK TO x", ())
    assert ledger.committed() == a
    ledger.before("insert", a)
    ledger.before("ROLLBACK", ())
    assert ledger.committed() == set()
    ledger.before("insert", a)
    ledger.before("PREPARE TRANSACTION 'x'", ())
    assert ledger.after(False) == set()
    ledger.before("COMMIT PREPARED 'x'", ())
    assert ledger.after(False) == a | {EVERYTHING}
