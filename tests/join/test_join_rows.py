"""The rows of a join are DuckDB's, for every kind of join, many types of keys, nulls, NaN, empty sides."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.join.joining import in_duckdb, join, joined, rows_of

HOW = {
    "Inner": "INNER",
    "Left": "LEFT",
    "Right": "RIGHT",
    "Full": "FULL",
    "LeftSemi": "SEMI",
    "LeftAnti": "ANTI",
}

SMALL = st.integers(-3, 3)
KEYS: list[tuple[Any, Any, Any]] = [  # left type, right type, values that both can hold
    (pa.int64(), pa.int64(), st.integers(-(2**63), 2**63 - 1) | SMALL),
    (pa.int8(), pa.int64(), SMALL),
    (pa.uint8(), pa.int16(), st.integers(0, 3)),
    (pa.uint64(), pa.uint32(), st.integers(0, 4)),
    (pa.float64(), pa.float64(), st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -1e300])),
    (pa.float32(), pa.float64(), st.sampled_from([0.0, -0.0, 1.5, float("nan"), -2.0])),
    (pa.string(), pa.string(), st.sampled_from(["", "a", "a\0", "b" * 70, "b" * 71, "ü"])),
    (pa.string(), pa.large_string(), st.sampled_from(["", "a", "ab"])),
    (pa.dictionary(pa.int32(), pa.string()), pa.string(), st.sampled_from(["x", "y", "z"])),
    (pa.binary(), pa.binary(), st.sampled_from([b"", b"\0", b"ab"])),
    (pa.bool_(), pa.bool_(), st.booleans()),
    (pa.date32(), pa.date32(), st.dates()),
    (pa.timestamp("us"), pa.timestamp("us"), st.sampled_from([0, 1, -1, 10**15])),
    (pa.timestamp("s"), pa.timestamp("ms"), st.sampled_from([0, -1, 10**9])),
    (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Paris"), st.sampled_from([0, 1, 10**15])),
    (pa.decimal128(10, 2), pa.decimal128(12, 4), SMALL),
    (pa.time64("us"), pa.time64("us"), st.sampled_from([0, 1, 10**9])),
]


def made(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return pa.array(values, pa.int64()).cast(pa.timestamp("s") if kind == pa.timestamp("ms") else kind).cast(kind)
    return pa.array(values, kind)


def plainly(table: pa.Table) -> pa.Table:
    """Without dictionaries, which DuckDB gives back in its own way."""
    kinds = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in table.schema.types]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def sides(data: st.DataObject, kind: tuple[Any, Any, Any]) -> tuple[pa.Table, pa.Table]:
    values = st.lists(st.none() | kind[2], max_size=12)
    left, right = data.draw(values), data.draw(values)
    return (
        pa.table({"k": made(left, kind[0]), "a": pa.array(range(len(left)), pa.int32())}),
        pa.table({"k": made(right, kind[1]), "b": pa.array([f"r{n}" for n in range(len(right))])}),
    )


def wanted(how: str, nulls_equal: bool) -> str:
    on = "l.k IS NOT DISTINCT FROM r.k" if nulls_equal else "l.k = r.k"
    if how in ("LeftSemi", "LeftAnti"):
        return f"SELECT l.* FROM l {HOW[how]} JOIN r ON {on}"
    return f"SELECT l.k AS k, l.a AS a, r.k AS k2, r.b AS b FROM l {HOW[how]} JOIN r ON {on}"


@pytest.mark.parametrize("how", list(HOW))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_rows_are_those_of_duckdb(how: str, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KEYS))
    left, right = sides(data, kind)
    nulls_equal = data.draw(st.booleans())
    right_named = right.rename_columns(["k2", "b"])
    with tempfile.TemporaryDirectory() as folder:
        operation = join(how, ["k"], ["k2"], nulls_equal=nulls_equal)
        found = joined(Path(folder), left, right_named, operation, partitions=data.draw(st.sampled_from([1, 2, 5])))
    expected = in_duckdb(left, right, wanted(how, nulls_equal))
    plain = plainly(found.table)
    assert plain.column_names == expected.column_names
    assert rows_of(plain) == rows_of(expected.cast(plain.schema))
