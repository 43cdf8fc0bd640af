"""What lag and lead give where there is no such row: x and its default are taken in one type, as DuckDB's CASE takes
two values; what has no common type is refused while the job is planned, and nothing of it fails later."""

from __future__ import annotations

import decimal
from pathlib import Path

import pyarrow as pa
import pytest
from tests.groupby.in_process import asked, carried_out, job_of, planned, table_of, write_table
from tests.windows.cases import alike

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import SortKey, Window

D = decimal.Decimal
MOMENTS = [None, 1_767_261_600_500_000, -86_400_000_000]  # microseconds
TABLE = pa.table(
    {
        "k": ["a"] * 3,
        "row": [0, 1, 2],
        "i8": pa.array([1, None, -3], pa.int8()),
        "i64": [1 << 40, None, -3],
        "u64": pa.array([2**64 - 1, None, 3], pa.uint64()),
        "f32": pa.array([0.5, None, 2], pa.float32()),
        "f64": [0.1, None, 1e300],
        "money": pa.array([D("1.25"), None, D("2.50")], pa.decimal128(9, 2)),
        "wide": pa.array([D("1.2500000001"), None, D("2.5")], pa.decimal128(38, 10)),
        "flag": [True, None, False],
        "text": ["a", None, "c"],
        "cat": pa.array(["a", None, "c"]).cast(pa.dictionary(pa.int8(), pa.string())),
        "day": pa.array([0, None, 3], pa.date32()),
        "ts": pa.array(MOMENTS, pa.timestamp("us")),
        "ns": pa.array(MOMENTS, pa.timestamp("us")).cast(pa.timestamp("ns")),
        "zoned": pa.array(MOMENTS, pa.timestamp("us", "UTC")),
        "clock": pa.array([0, None, 3], pa.time64("us")),
        "tags": pa.array([[1], None, []], pa.list_(pa.int64())),
    }
)
NUMBERS = ["i8", "i64", "f32", "f64", "money", "0", "-1", "300", "0.5", "1.005", "CAST(1 AS TINYINT)", "length('abc')"]

TAKEN: dict[str, list[str]] = {
    **{name: [*NUMBERS, "NULL", "CAST(NULL AS BIGINT)", "i64 + 1"] for name in ("i8", "i64", "money", "wide", "f64")},
    "u64": ["u64", "i8", "0", "-1", "18446744073709551615", "NULL"],
    "f32": ["f32", "f64", "i8", "0.5", "NULL"],
    "flag": ["flag", "true", "NULL", "i8 > 0"],
    "text": ["text", "cat", "'none'", "''", "upper(text)", "NULL"],
    "cat": ["text", "cat", "'none'", "NULL"],
    "day": ["day", "ts", "'2026-01-31'", "DATE '2026-01-31'", "TIMESTAMP '2026-01-31 10:00:00.5'", "NULL"],
    "ts": ["ts", "day", "'2026-01-31'", "'2026-01-31 10:00:00.25'", "DATE '2026-01-31'", "NULL"],
    "zoned": ["zoned", "'2026-01-31 10:00:00Z'", "NULL"],
    "clock": ["clock", "'09:30:00'", "NULL"],
    "tags": ["tags", "NULL"],
}


@pytest.mark.parametrize("name", TAKEN)
def test_the_values_of_duckdb(tmp_path: Path, name: str) -> None:
    """A default is itself, whatever the column's type, and a column keeps its values beside it."""
    defaults = TAKEN[name]
    calls = {f"{way}{at:02}": f"{way}({name}, 1, {one})" for at, one in enumerate(defaults) for way in ("lag", "lead")}
    plan = planned(job_of(write_table(tmp_path / "in", TABLE), Window(["k"], [SortKey("row")], calls)))
    found = table_of(carried_out(plan))
    order = {"lag": "row", "lead": "row DESC"}
    terms = [
        f"CASE WHEN row_number() OVER (ORDER BY {order[way]}) = 1 THEN {one} ELSE "
        f"{way}({name}) OVER (ORDER BY row) END AS {way}{at:02}"
        for at, one in enumerate(defaults)
        for way in ("lag", "lead")
    ]
    expected = asked(f"SELECT {', '.join(terms)} FROM input ORDER BY row", input=TABLE)
    for call, text in calls.items():
        pairs = list(zip(found[call].to_pylist(), expected[call].to_pylist(), strict=True))
        assert all(alike(*pair) for pair in pairs), (text, pairs)


TYPES = {
    "lag(i8, 1, 0)": pa.int8(), "lag(i8, 1, 300)": pa.int64(), "lag(i8, 1, i64)": pa.int64(),
    "lag(i64, 1, 0.5)": pa.float64(), "lag(i64, 1, f32)": pa.float64(), "lag(f32, 1, 0.5)": pa.float32(),
    "lag(u64, 1, -1)": pa.decimal128(20, 0), "lag(money, 1, 0.5)": pa.decimal128(9, 2),
    "lag(money, 1, 1.005)": pa.decimal128(10, 3), "lag(money, 1, f64)": pa.float64(),
    "lag(day, 1, ts)": pa.timestamp("us"), "lag(ts, 1, ns)": pa.timestamp("ns"),
    "lag(cat, 1, 'x')": pa.dictionary(pa.int32(), pa.string()), "lag(cat)": pa.dictionary(pa.int8(), pa.string()),
    "lag(i64, 1, NULL)": pa.int64(), "nth_value(money, 2)": pa.decimal128(9, 2),
}  # fmt: skip


def test_the_types(tmp_path: Path) -> None:
    """A column keeps its own where that holds the default."""
    calls = {f"c{at:02}": text for at, text in enumerate(TYPES)}
    plan = planned(job_of(write_table(tmp_path / "in", TABLE), Window(["k"], [SortKey("row")], calls)))
    schema = plan.arrow_schema()
    assert {text: schema.field(name).type for name, text in calls.items()} == TYPES
    carried_out(plan)


REFUSED = {
    "i64": ["'x'", "'1'", "true", "flag", "text", "day", "ts", "tags", "INTERVAL '1 day'"],
    "money": ["'x'", "flag", "day"],
    "flag": ["0", "'true'", "i64"],
    "text": ["0", "true", "day", "DATE '2026-01-31'", "f64"],
    "cat": ["0", "i64"],
    "day": ["0", "'soon'", "'09:30:00'", "text", "clock"],
    "ts": ["0", "zoned", "'soon'", "'2026-01-31 10:00:00Z'", "INTERVAL '1 day'"],
    "zoned": ["ts", "TIMESTAMP '2026-01-31 10:00:00'"],
    "clock": ["'noon'", "0", "ts"],
    "tags": ["0", "'x'", "i64"],
}


@pytest.mark.parametrize(("name", "default"), [(name, one) for name, every in REFUSED.items() for one in every])
def test_what_has_no_common_type_is_refused_in_the_plan(tmp_path: Path, name: str, default: str) -> None:
    text = f"lag({name}, 1, {default})"
    with pytest.raises(InvalidSpec) as caught:
        planned(job_of(write_table(tmp_path / "in", TABLE), Window(["k"], [SortKey("row")], {"c": text})))
    assert "operation.window.compute.c: the default " in caught.value.message
    assert "; give both one type, as in CAST(... AS ...)" in caught.value.message
    assert f"\n  {text}\n  ^" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "lag(i64, CAST(NULL AS BIGINT))", "lag(i64, NULL)", "lag(i64, 1.5)", "lag(i64, '1')", "lag(i64, true)",
        "lag(i64, 9223372036854775808)", "ntile(CAST(NULL AS INT))", "ntile(1.5)", "nth_value(i64, NULL)",
        "nth_value(i64, CAST(NULL AS INT))", "sum(i64) OVER ROWS CAST(NULL AS INT) PRECEDING",
        "sum(i64) OVER RANGE CAST(NULL AS INT) PRECEDING", "session(row, CAST(NULL AS INT))", "session(row, NULL)",
    ],
)  # fmt: skip
def test_numbers_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"operation\.window\.compute\.c"):
        planned(job_of(write_table(tmp_path / "in", TABLE), Window(["k"], [SortKey("row")], {"c": text})))
