"""What is known of an expression from its columns' statistics: never too little for a row that there is, and as much as
leaves files and row groups out."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_worker.expressions.filter import compile_filter
from shuffle_worker.expressions.typed.statistics import ColumnRange, comparable

START = datetime.datetime(2026, 3, 1)  # noqa: DTZ001 - without a zone is meant
KINDS = {
    "ts": pa.timestamp("us"),
    "seconds": pa.timestamp("s"),
    "utc": pa.timestamp("ns", "UTC"),
    "berlin": pa.timestamp("us", "Europe/Berlin"),
    "day": pa.date32(),
    "i": pa.int64(),
    "small": pa.int8(),
    "f": pa.float64(),
}
SCHEMA = pa.schema(list(KINDS.items()))
VALUES = {
    "ts": ["date_trunc('day', ts)", "date_trunc('month', ts)", "ts + INTERVAL '1 month'", "CAST(ts AS DATE)"],
    "seconds": ["date_trunc('week', seconds)", "seconds - INTERVAL '3 hours'"],
    "utc": ["date_trunc('day', utc)", "CAST(utc AS DATE)", "utc + INTERVAL '1 day'"],
    "berlin": ["date_trunc('day', berlin)", "CAST(berlin AS DATE)", "berlin + INTERVAL '1 day'"],
    "day": ["date_trunc('year', day)", "day + 7", "day - INTERVAL '1 month'", "last_day(day)"],
}
NUMBERS = {
    "ts": ["year(ts)", "month(ts)", "epoch(ts)", "epoch_ms(ts)"],
    "berlin": ["year(berlin)", "hour(berlin)"],
    "i": ["i + 3", "i - 3", "3 - i", "i * 2", "i % 3", "-i", "abs(i)", "CAST(i AS DOUBLE)", "round(i, -1)"],
    "small": ["small + 1", "CAST(small AS BIGINT)"],
    "f": ["floor(f)", "ceil(f)", "round(f)", "round(f, 1)", "trunc(f)", "f + 1"],
}
CONDITIONS = [
    (name, f"{value} {operator} {bound}")
    for bounds, table in ((["'2026-03-15'", "'2026-04-01'"], VALUES), (["0", "2026", "-3.5", "1772323200"], NUMBERS))
    for name, values in table.items()
    for value in values
    for operator in ("=", "<", ">=", "!=")
    for bound in bounds
] + [(name, f"{value} IS NULL") for name, values in {**VALUES, **NUMBERS}.items() for value in values]


def moments(start: int, hours: list[int | None]) -> list[datetime.datetime | None]:
    return [None if one is None else START + datetime.timedelta(hours=start + one) for one in hours]


def made(name: str, start: int, offsets: list[int | None]) -> pa.Array[Any]:
    kind = KINDS[name]
    if pa.types.is_temporal(kind):
        naive = pa.array(moments(start, offsets), pa.timestamp("us"))
        return (
            naive.cast(pa.timestamp("us", kind.tz)).cast(kind, safe=False)
            if pa.types.is_timestamp(kind)
            else naive.cast(kind, safe=False)
        )
    numbers = [None if one is None else one % 100 - 50 for one in offsets]
    return pa.array([None if one is None else one / 4 for one in numbers] if name == "f" else numbers, kind)


def range_of(column: pa.Array[Any]) -> ColumnRange:
    present = column.drop_null()
    if not len(present):
        return ColumnRange(None, None, column.null_count, len(column))
    order = present.take(pa.compute.array_sort_indices(present))
    return ColumnRange(comparable(order[0]), comparable(order[-1]), column.null_count, len(column))


@given(
    st.sampled_from(CONDITIONS),
    st.integers(0, 24 * 60),
    st.lists(st.none() | st.integers(0, 72), min_size=1, max_size=6),
)
def test_no_row_that_passes_is_left_out(condition: tuple[str, str], start: int, offsets: list[int | None]) -> None:
    name, text = condition
    column = made(name, start, offsets)
    where = compile_filter(text, SCHEMA)
    batch = pa.record_batch(
        [column if one == name else pa.nulls(len(column), kind) for one, kind in KINDS.items()], schema=SCHEMA
    )
    if where.mask(batch, "a.parquet").true_count:
        assert where.may_match({name: range_of(column)}, {}, SCHEMA)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("date_trunc('day', ts) = '2026-03-01'", True),
        ("date_trunc('day', ts) = '2026-03-02'", False),
        ("date_trunc('month', ts) >= '2026-04-01'", False),
        ("CAST(ts AS DATE) IN ('2026-02-28', '2026-03-02')", False),
        ("CAST(ts AS DATE) BETWEEN '2026-03-01' AND '2026-03-02'", True),
        ("ts + INTERVAL '1 month' < '2026-04-01'", False),
        ("year(ts) = 2025", False),
        ("year(ts) <= 2026", True),
        ("ts >= date_trunc('day', TIMESTAMP '2026-03-02 05:00:00')", False),
        ("i + 1 > 11", False),
        ("i + 1 > 10", True),
        ("floor(f) = 2", False),
        ("hour(ts) = 3", True),  # says nothing
        ("i % 3 = 5", True),  # says nothing
    ],
)
def test_what_a_row_group_of_one_day_may_hold(text: str, passes: bool) -> None:
    ranges = {
        "ts": ColumnRange(
            *(int(datetime.datetime(2026, 3, 1, hour, tzinfo=datetime.UTC).timestamp()) * 10**9 for hour in (2, 23)),
            0,
            100,
        ),
        "i": ColumnRange(0, 10, 0, 100),
        "f": ColumnRange(0.5, 1.5, 0, 100),
    }
    assert compile_filter(text, SCHEMA).may_match(ranges, {}, SCHEMA) is passes


def test_a_day_later_is_not_always_later_where_clocks_are_put_forward() -> None:
    """02:30 is not shown on that day and is 03:30; 03:15 stays itself."""
    local = pa.array(["2026-03-28 02:30:00", "2026-03-28 03:15:00"]).cast(pa.timestamp("us"))
    column = pa.compute.assume_timezone(local, "Europe/Berlin")
    batch = pa.record_batch({"berlin": column})
    where = compile_filter("berlin + INTERVAL '1 day' > '2026-03-29 03:20:00'", batch.schema)
    assert where.mask(batch, "a.parquet").to_pylist() == [True, False]
    assert where.may_match({"berlin": range_of(column)}, {}, batch.schema)
