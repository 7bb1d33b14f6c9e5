"""Values come back as they were, of the same types; or they are not kept."""

from __future__ import annotations

import enum
import ipaddress
import math
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmcache.codecs import NotStorable
from llmcache.sql.values import Rows, RowsCodec, digest, enum_name


class Color(enum.Enum):
    RED = "r"


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**80, 0.0, -0.0, 1.0, 0.1, 1e300, math.inf, -math.inf, "", "a'b\"c\n", "\ud800",
    "ü€", b"", b"\x00\xff", bytearray(b"ab"), Decimal("1.10"), Decimal("NaN"), Decimal("-0E-10"), date(2024, 2, 29),
    datetime(2024, 1, 2, 3, 4, 5, 6), datetime(2024, 1, 2, tzinfo=timezone.utc),
    datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1), time(1, 2, 3, 4),
    time(1, 2, tzinfo=timezone.utc), timedelta(days=-1, microseconds=1), uuid.UUID(int=5), [1, [2.0, None]], (1, "a"),
    {"a": {"b": [1, {"float": "x"}]}, "c": None}, {"decimal": "1"}, {1: 2, None: 3}, [], {}, (),
    ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("10.0.0.1/8"),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back(value: Any) -> None:
    codec = RowsCodec()
    back = codec.loads(codec.encode(Rows(("x",), [(value,)]))).rows[0][0]
    assert type(back) is type(value) and repr(back) == repr(value)
    if isinstance(value, datetime):
        assert (back.tzinfo, back.fold) == (value.tzinfo, value.fold)


def test_nan_comes_back() -> None:
    codec = RowsCodec()
    assert math.isnan(codec.loads(codec.encode(Rows(("x",), [(math.nan,)]))).rows[0][0])


def test_an_enumeration_comes_back_where_the_statement_knows_it() -> None:
    codec = RowsCodec({enum_name(Color): Color})
    data = codec.encode(Rows(("x",), [(Color.RED,)]))
    assert codec.loads(data).rows == [(Color.RED,)]
    with pytest.raises(ValueError):
        RowsCodec().loads(data)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, memoryview(b"a"), type("S", (str,), {})("x"), range(3)],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_is_not_kept(value: Any) -> None:
    with pytest.raises(NotStorable):
        RowsCodec().encode(Rows(("x",), [(value,)]))
    with pytest.raises(NotStorable):
        digest([value])


@pytest.mark.parametrize("data", [b"", b"{}", b'{"keys":[],"rows":[[{"what":1}]]}', b"[1]", b'{"keys":1,"rows":2}',
                                  b'{"keys":[],"rows":[[{"decimal":"x"}]]}', b'{"keys":[],"rows":[[{}]]}'])  # fmt: skip
def test_what_is_no_rows_is_an_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ValueError):
        RowsCodec().loads(data)


def test_parameters_that_differ_in_type_alone_are_different() -> None:
    values = [1, 1.0, True, "1", Decimal(1), b"1", None, "", [1], (1,), date(2024, 1, 1), datetime(2024, 1, 1)]
    assert len({digest(value) for value in values}) == len(values)
