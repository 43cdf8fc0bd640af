"""What a filter means: the rows that DuckDB would keep, on random tables and random conditions."""

from __future__ import annotations

import datetime
import decimal
import operator as op
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shuffle_worker.expressions.filter import columns_of, compile_filter

D = decimal.Decimal
NOON = datetime.datetime(2026, 1, 1, 12)  # noqa: DTZ001 (a time without a zone is meant)
ROWS: list[dict[str, Any]] = [
    {
        "i": number,
        "small": None if n % 5 == 0 else n % 7 - 3,
        "u": n * 2**58 if n % 4 else None,
        "f": value,
        "d": None if n % 6 == 0 else D(n * 25) / 100,
        "s": text,
        "b": [True, False, None][n % 3],
        "day": None if n % 7 == 0 else datetime.date(2026, 1, 1) + datetime.timedelta(n),
        "moment": None if n % 8 == 0 else NOON + datetime.timedelta(hours=7 * n),
    }
    for n, (number, value, text) in enumerate(
        [
            (1, 1.5, "Berlin"),
            (None, None, None),
            (-7, -0.0, "paris"),
            (0, 0.0, ""),
            (2**40, 1e300, "a_b%c"),
            (3, -2.25, "ROM"),
            (5, 7.0, "Bern"),
            (6, 0.1, "berlin"),
            (8, 100.0, "50% off"),
            (9, -1e-9, "ärger"),
            (10, 2.0, "x"),
            (-1, 3.0, "xx"),
        ]
    )
]
SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("small", pa.int8()),
        ("u", pa.uint64()),
        ("f", pa.float64()),
        ("d", pa.decimal128(10, 2)),
        ("s", pa.string()),
        ("b", pa.bool_()),
        ("day", pa.date32()),
        ("moment", pa.timestamp("us")),
    ]
)
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)


def kept(condition: str, table: pa.Table = TABLE) -> list[int]:
    batch = table.combine_chunks().to_batches()[0]
    mask = compile_filter(condition, table.schema).mask(batch, "a.parquet")
    assert len(mask) == table.num_rows
    return [row for row, yes in enumerate(mask.to_pylist()) if yes]


ORACLE: list[duckdb.DuckDBPyConnection] = []


@pytest.fixture(scope="module", autouse=True)
def oracle() -> Iterator[None]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("source", TABLE.append_column("row_number", pa.array(range(TABLE.num_rows))))
        connection.execute("CREATE TABLE numbered AS SELECT * FROM source")
        ORACLE.append(connection)
        yield
        ORACLE.clear()


def kept_by_duckdb(condition: str) -> list[int]:
    found = ORACLE[0].execute(f"SELECT row_number FROM numbered WHERE {condition} ORDER BY 1").fetchall()
    return [row for (row,) in found]


COMPARE = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
WHOLE = st.integers(-10, 12).map(str)
NUMBER = st.one_of(WHOLE, st.sampled_from(["0.5", "-2.25", "2.0", "7.25", "0", "1000000", "-1000", "300"]))
TEXT = st.sampled_from(["'Berlin'", "'paris'", "''", "'x'", "'ärger'", "'zzz'"])
PATTERN = st.sampled_from(["'B%'", "'%in'", "'%'", "'_'", "'x_'", "''", "'%r%'", "'p_ris'"])
DAY = st.sampled_from(["DATE '2026-01-03'", "DATE '2026-01-01'", "DATE '1970-01-01'", "'2026-01-05'"])
AT = st.sampled_from(
    ["TIMESTAMP '2026-01-02 00:00:00'", "TIMESTAMP '2026-01-01 19:00:00'", "'2026-01-03 02:00:00'", "DATE '2026-01-02'"]
)
INTEGERS = st.sampled_from(["i", "small", "(i + 1)", "(small * 2)", "(i - small)", "(small % 3)", "ABS(i)", "-i"])
NUMERIC = st.one_of(INTEGERS, st.sampled_from(["f", "d", "LENGTH(s)"]))
WORD = st.sampled_from(["s", "UPPER(s)", "LOWER(s)"])


def simple() -> st.SearchStrategy[str]:
    def join(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(" ".join)

    def listed(items: list[str]) -> str:
        return f"({', '.join(items)})"

    lists = st.lists(st.one_of(WHOLE, st.just("NULL")), min_size=1, max_size=4).map(listed)
    texts = st.lists(st.one_of(TEXT, st.just("NULL")), min_size=1, max_size=3).map(listed)
    nots = st.sampled_from(["", "NOT"])
    anything = st.sampled_from(["i", "small", "u", "f", "d", "s", "b", "day", "moment"])
    return st.one_of(
        join(NUMERIC, COMPARE, NUMBER),
        join(NUMBER, COMPARE, NUMERIC),
        join(INTEGERS, COMPARE, INTEGERS),
        join(WORD, COMPARE, TEXT),
        join(st.just("day"), COMPARE, DAY),
        join(st.just("moment"), COMPARE, AT),
        join(INTEGERS, nots, st.just("IN"), lists),
        join(st.just("s"), nots, st.just("IN"), texts),
        join(NUMERIC, nots, st.just("BETWEEN"), NUMBER, st.just("AND"), NUMBER),
        join(st.just("day"), nots, st.just("BETWEEN"), DAY, st.just("AND"), DAY),
        join(anything, st.sampled_from(["IS NULL", "IS NOT NULL"])),
        join(WORD, nots, st.sampled_from(["LIKE", "ILIKE"]), PATTERN),
        st.sampled_from(["b", "NOT b", "b = TRUE", "b IS TRUE", "b IS NOT FALSE", "TRUE", "FALSE", "NULL", "1 = 1"]),
    )


def conditions() -> st.SearchStrategy[str]:
    return st.recursive(
        simple(),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda parts: f"({' '.join(parts)})"),
            inner.map(lambda one: f"NOT ({one})"),
        ),
        max_leaves=5,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(conditions())
def test_a_condition_keeps_what_duckdb_keeps(condition: str) -> None:
    assert kept(condition) == kept_by_duckdb(condition), condition


@pytest.mark.parametrize(
    "condition",
    [
        "u > 9223372036854775807",
        "u < -1",
        "u >= 0",
        "small > 1000",
        "small != 1000",
        "small <= 1000 AND small >= -1000",
        "small > -1000",
        "NOT (small = 1.5)",
        "small >= 1.5 OR small < -1.5",
        "d = 0.25",
        "d > 0.251",
        "d = 0.3333333",
        "f = 0",
        "f = -0.0",
        "f IN (0, 7)",
        "s LIKE '50!% off' OR s LIKE 'a_b%c'",
        "CAST(small AS DOUBLE) / 2 > 0.75",
        "CAST(i AS VARCHAR) = '5'",
        "CAST(s AS VARCHAR) = 'x'",
        "CAST(small AS FLOAT) / 3 = CAST(1 AS FLOAT) / 3",
        "CAST('2026-01-03' AS DATE) = day",
        "i / 2 = 1.5",
        "-i = 7",
        "i = small",
        "i < f",
        "d < i",
        "u = i",
        "day < moment",
        "i NOT IN (1, NULL)",
        "i IN (1, NULL) IS NULL",
        "s IN ('x', 'xx') AND i NOT IN (10)",
        "LENGTH(s) = 5",
        '"i" = 3 AND "s" = \'ROM\'',
        "b OR i > 5",
        "b = (i > 0)",
        "i BETWEEN small AND 10",
    ],
)
def test_conditions_worth_a_line(condition: str) -> None:
    assert kept(condition) == kept_by_duckdb(condition)


def test_division_by_zero_is_null() -> None:
    every = list(range(TABLE.num_rows))
    assert kept("i / 0 IS NULL") == kept("i % 0 IS NULL") == kept("f % 0 IS NULL") == kept("d / 0 IS NULL") == every


def test_backticks_quote_names() -> None:
    table = pa.table({"a b": [1, 2], "a.b": [3, 4], "select": [5, 6]})
    assert kept("`a b` = 2", table) == [1]
    assert kept('"a.b" = 3', table) == [0]
    assert kept('"select" = 6', table) == [1]


def test_nan_compares_as_arrow_has_it() -> None:
    table = pa.table({"f": [1.0, float("nan"), None]})
    assert kept("f > 0", table) == [0]
    assert kept("f != 1", table) == [1]
    assert kept("NOT (f > 0)", table) == [1]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_time_without_an_offset_is_in_the_zone_of_its_column(zone: str) -> None:
    moments = pa.array(["2026-01-01 11:00:00", "2026-01-01 12:00:00"]).cast(pa.timestamp("us"))
    table = pa.table({"at": pa.compute.assume_timezone(moments, zone)})
    assert kept("at >= TIMESTAMP '2026-01-01 12:00:00'", table) == [1]
    assert kept("at = '2026-01-01 11:00:00'", table) == [0]
    utc = table.column("at").cast(pa.timestamp("us", "UTC")).to_pylist()
    assert kept(f"at = '{utc[1].strftime('%Y-%m-%d %H:%M:%S')}Z'", table) == [1]
    assert kept("at >= TIMESTAMPTZ '2026-01-01 00:00:00+14:00'", table) == [0, 1]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_time_says_more_than_the_unit_holds(unit: str) -> None:
    table = pa.table({"at": pa.array([0, 1], pa.timestamp("s")).cast(pa.timestamp(unit))})
    assert kept("at > '1970-01-01 00:00:00.5'", table) == [1]
    assert kept("at < '1970-01-01 00:00:00.000000001'", table) == [0]
    assert kept("at = '1970-01-01'", table) == [0]


FAR = "9999-12-31 23:59:59"
AFAR = pa.array([datetime.datetime.fromisoformat(FAR), NOON, None, datetime.datetime.fromisoformat("0001-01-01")])


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("at < '9999-12-31'", [0, 1]),
        ("at <= '9999-12-31' AND at >= '0001-01-01'", [0, 1]),
        ("at > '9999-12-31' OR at < '0001-01-01'", []),
        ("at != '9999-12-31'", [0, 1]),
        ("at = '9999-12-31'", []),
        ("NOT (at = '9999-12-31')", [0, 1]),
        ("at < DATE '9999-12-31'", [0, 1]),
        ("DATE '0001-01-01' < at", [0, 1]),
        ("at < TIMESTAMP '9999-12-31 00:00:00'", [0, 1]),
        ("at IN ('9999-12-31', '2026-01-01 12:00:00')", [0]),
        ("at NOT IN ('9999-12-31')", [0, 1]),
        ("at BETWEEN '1000-01-01' AND '3000-01-01'", [0, 1]),
    ],
)
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_literals_beyond_what_the_unit_holds(condition: str, rows: list[int], zone: str | None) -> None:
    """Nanoseconds hold 1677 to 2262."""
    ticks = [1_767_268_800 * 10**9, 0, None]
    at = pa.array(ticks, pa.int64()).cast(pa.timestamp("ns"))
    at = at if zone is None else pa.compute.assume_timezone(at, zone)
    assert kept(condition, pa.table({"at": at})) == rows


SIGNS = {"=": op.eq, "!=": op.ne, "<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}


@pytest.mark.parametrize("sign", list(SIGNS))
@pytest.mark.parametrize("fine", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("coarse", ["s", "ms", "us", "date32", "date64"])
def test_columns_of_two_units(sign: str, fine: str, coarse: str) -> None:
    """By value: also those that the finer unit does not hold, before the epoch, and between two of the coarser one."""
    of = {"date32": pa.date32(), "date64": pa.date64()}.get(coarse) or pa.timestamp(coarse)  # type: ignore[call-overload]
    days = AFAR.cast(pa.timestamp("s")).cast(pa.date32()).cast(of)
    unit = pa.timestamp(fine)  # type: ignore[call-overload]
    whole = pa.array([0, 1, -1, None, 86_400, 1_767_225_600], pa.int64()).cast(pa.timestamp("s")).cast(unit)
    parts = pa.array([1, -1], pa.int64()).cast(unit)
    others = pa.chunked_array([whole, parts]).combine_chunks()
    pairs = [(one, other) for one in days for other in others]
    table = pa.table({"c": pa.array([a.as_py() for a, _ in pairs], of), "f": pa.concat_arrays([others] * len(days))})
    nanos = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1, "date32": 86_400 * 10**9, "date64": 10**6}
    wide = pa.int32() if coarse == "date32" else pa.int64()
    left = [None if n is None else n * nanos[coarse] for n in table["c"].cast(wide).to_pylist()]
    right = [None if n is None else n * nanos[fine] for n in table["f"].cast(pa.int64()).to_pylist()]
    both = list(zip(left, right, strict=True))
    wanted = [row for row, (a, b) in enumerate(both) if a is not None and b is not None and SIGNS[sign](a, b)]
    assert kept(f"c {sign} f", table) == wanted
    unwanted = [row for row, (a, b) in enumerate(both) if a is not None and b is not None and row not in wanted]
    assert kept(f"NOT (c {sign} f)", table) == unwanted


def test_text_layouts_and_dictionaries_compare() -> None:
    for kind in (pa.string(), pa.large_string()):
        table = pa.table({"s": pa.array(["a", "b", None], kind)})
        assert kept("s = 'a'", table) == [0]
        assert kept("s IN ('a', 'b')", table) == [0, 1]
        assert kept("UPPER(s) = 'B'", table) == [1]


def test_the_columns_that_it_reads() -> None:
    assert columns_of("b > 1 AND (a = 2 OR b < 3) AND `x y` IS NULL") == ["b", "a", "x y"]
    assert columns_of("1 = 1") == []
    assert compile_filter("i > 1 AND s = 'x'", SCHEMA).columns == ["i", "s"]
