"""Keys of two types: which values are equal, which types are refused; and a hash that agrees where values are equal."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import job_of, join, joined, planned, written

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.partitioning.join_keys import JoinKeys
from shuffle_worker.partitioning.pairing import pairing

BIG = 2**53
HALF = 2**63


def kinds_of(*groups: list[pa.DataType]) -> list[tuple[pa.DataType, pa.DataType]]:
    return [(left, right) for group in groups for left in group for right in group]


INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
NUMBERS = [*INTEGERS, pa.float32(), pa.float64()]
DECIMALS = [pa.decimal128(5, 2), pa.decimal128(38, 0), pa.decimal256(50, 10), pa.decimal128(9, 8)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
BYTES = [pa.binary(), pa.large_binary(), pa.binary(2), pa.binary_view()]
DATES = [pa.date32(), pa.date64()]
ZONED = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ("UTC", "Asia/Tokyo")]
NAIVE = [pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")]
DAYTIMES = [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]
SPANS = [pa.duration(unit) for unit in ("s", "ms", "us", "ns")]


def value(number: int, kind: pa.DataType) -> Any:
    """The same value for the same number, of whatever type of one group."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind):
        return Decimal(number)
    if pa.types.is_boolean(kind):
        return bool(number)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return number
    if pa.types.is_date(kind):
        return dt.date(2020, 1, 1 + number)
    if pa.types.is_timestamp(kind):
        return dt.datetime(2020, 1, 1, number, tzinfo=dt.UTC if kind.tz else None)
    if pa.types.is_time(kind):
        return dt.time(number)
    if pa.types.is_duration(kind):
        return dt.timedelta(seconds=number)
    return f"k{number}" if pairing(kind, pa.string()) else f"k{number}".encode()


@pytest.mark.parametrize(
    ("left", "right"),
    kinds_of(NUMBERS, [*DECIMALS, pa.int64(), pa.uint64()], TEXTS, BYTES, DATES, ZONED[:4], NAIVE, DAYTIMES, SPANS),
    ids=str,
)
def test_equal_values_of_two_types_meet(left: pa.DataType, right: pa.DataType) -> None:
    pair = pairing(left, right)
    assert pair is not None
    batches = []
    for kind in (left, right):
        column = pa.array([value(number, kind) for number in (0, 1, 7)], kind)
        batches.append(pa.RecordBatch.from_arrays([column], names=["k"]))
    keys = [JoinKeys(["k"], [pair], at, False) for at in (0, 1)]
    hashes = [side.hashes(batch).tolist() for side, batch in zip(keys, batches, strict=True)]
    assert hashes[0] == hashes[1]
    ready = [side.of(batch) for side, batch in zip(keys, batches, strict=True)]
    for mine, theirs in zip(ready[0].words, ready[1].words, strict=True):
        assert (mine == theirs).all()


@pytest.mark.parametrize(
    ("left", "right", "pairs"),
    [
        ((pa.int64(), [BIG, BIG + 1, -BIG - 1]), (pa.float64(), [float(BIG), float(BIG + 2), -float(BIG)]), [(0, 0)]),
        ((pa.uint64(), [HALF, HALF + 1, 2**64 - 1]), (pa.float64(), [float(HALF), float(2**64)]), [(0, 0)]),
        ((pa.uint64(), [2**64 - 1, HALF, 5]), (pa.int64(), [-1, -HALF, 5]), [(2, 2)]),
        ((pa.int64(), [0, 3, -(2**63)]), (pa.float32(), [-0.0, 3.5, -(2.0**63)]), [(0, 0), (2, 2)]),
        ((pa.int64(), [5, 2**62]), (pa.decimal128(38, 3), [Decimal("5.000"), Decimal(2**62)]), [(0, 0), (1, 1)]),
        ((pa.decimal128(4, 2), [Decimal("1.10")]), (pa.decimal128(5, 3), [Decimal("1.100")]), [(0, 0)]),
        ((pa.decimal128(4, 2), [Decimal("1.10")]), (pa.decimal128(5, 3), [Decimal("1.101")]), []),
        ((pa.timestamp("s"), [1, 2]), (pa.timestamp("ns"), [1_000_000_000, 2_000_000_001]), [(0, 0)]),
        ((pa.timestamp("s"), [2**40]), (pa.timestamp("ns"), [(2**40 * 10**9) % 2**63]), []),
        ((pa.timestamp("ms", "UTC"), [-1]), (pa.timestamp("us", "America/New_York"), [-1000]), [(0, 0)]),
        ((pa.float32(), [float("nan"), 0.1]), (pa.float64(), [float("nan"), 0.1]), [(0, 0)]),
        ((pa.float64(), [-0.0]), (pa.float64(), [0.0]), [(0, 0)]),
        ((pa.string(), ["a", "a\0"]), (pa.large_string(), ["a\0", "b"]), [(1, 0)]),
        ((pa.null(), [None, None]), (pa.int64(), [1, None]), []),
    ],
)
def test_values_are_compared_exactly(
    tmp_path: Path,
    left: tuple[pa.DataType, list[Any]],
    right: tuple[pa.DataType, list[Any]],
    pairs: list[tuple[int, int]],
) -> None:
    tables = [
        pa.table({f"k{at}": pa.array(values, kind), f"n{at}": np.arange(len(values))})
        for at, (kind, values) in enumerate((left, right))
    ]
    found = joined(tmp_path, *tables, join("Inner", ["k0"], ["k1"]), partitions=2).table
    assert sorted(zip(found["n0"].to_pylist(), found["n1"].to_pylist(), strict=True)) == pairs
    stored = [pa.timestamp("ms") if kind == pa.timestamp("s") else kind for kind in (left[0], right[0])]  # by Parquet
    assert [found.schema.field(name).type for name in ("k0", "k1")] == stored
    every = joined(tmp_path, *tables, join("Full", ["k0"], ["k1"]), partitions=2).table
    assert every.num_rows == sum(map(len, (left[1], right[1]))) - len(pairs)


@pytest.mark.parametrize(
    ("left", "right", "advice"),
    [
        (pa.int64(), pa.string(), "bring both to one type"),
        (pa.bool_(), pa.int64(), "bring both to one type"),
        (pa.date32(), pa.timestamp("us"), "a date is no instant"),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), "give both a time zone, or neither"),
        (pa.decimal128(10, 2), pa.float64(), "a float holds hardly any decimal exactly"),
        (pa.decimal256(76, 0), pa.decimal128(38, 38), "more than 76 digits"),
        (pa.string(), pa.binary(), "bring both to one type"),
        (pa.time64("us"), pa.duration("us"), "bring both to one type"),
    ],
)
def test_types_that_cannot_match_are_refused(
    tmp_path: Path, left: pa.DataType, right: pa.DataType, advice: str
) -> None:
    written(tmp_path / "left", pa.table({"k": pa.array([None], left)}))
    written(tmp_path / "right", pa.table({"k": pa.array([None], right)}))
    with pytest.raises(InvalidSpec, match=advice) as caught:
        planned(job_of(tmp_path, join()))
    assert "operation.join.on[0]" in str(caught.value)
    assert str(left) in str(caught.value)
    assert str(right) in str(caught.value)


def test_the_one_key_column_of_a_full_join_holds_both_types(tmp_path: Path) -> None:
    left, right = pa.table({"k": pa.array([1, 2], pa.int8())}), pa.table({"k": pa.array([2, 300], pa.int32())})
    found = joined(tmp_path, left, right, join("Full")).table
    assert found.schema.field("k").type == pa.int32()
    assert sorted(found["k"].to_pylist()) == [1, 2, 300]
    assert joined(tmp_path, left, right, join("Left")).table.schema.field("k").type == pa.int8()
    assert joined(tmp_path, left, right, join("Right")).table.schema.field("k").type == pa.int32()
    written(tmp_path / "right", pa.table({"k": pa.array([1], pa.uint64())}))
    with pytest.raises(InvalidSpec, match="no type holds the values of both exactly"):
        planned(job_of(tmp_path, join("Full")))
