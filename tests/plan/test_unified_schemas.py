"""Which types have a common one, which have none, and how a refusal reads."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.schema import convert, unify
from shuffle_worker.columns.unify import Conflict, common_type

DICT8 = pa.dictionary(pa.int8(), pa.string())
DICT32 = pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    ("left", "right", "common"),
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.int16(), pa.int32(), pa.int32()),
        (pa.uint8(), pa.uint32(), pa.uint32()),
        (pa.uint8(), pa.int8(), pa.int16()),
        (pa.uint32(), pa.int8(), pa.int64()),
        (pa.uint32(), pa.int64(), pa.int64()),
        (pa.float16(), pa.float64(), pa.float64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.null(), pa.int8(), pa.int8()),
        (pa.null(), pa.list_(pa.int8()), pa.list_(pa.int8())),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.string(), pa.string_view(), pa.string()),
        (pa.large_string(), pa.string_view(), pa.large_string()),
        (pa.binary(), pa.large_binary(), pa.large_binary()),
        (pa.binary(4), pa.binary(8), pa.binary()),
        (pa.binary(4), pa.large_binary(), pa.large_binary()),
        (DICT8, pa.string(), pa.string()),
        (DICT8, DICT32, DICT32),
        (DICT8, pa.dictionary(pa.int32(), pa.large_string()), pa.dictionary(pa.int32(), pa.large_string())),
        (pa.dictionary(pa.int8(), pa.string(), ordered=True), DICT8, pa.string()),
        (pa.decimal128(5, 2), pa.decimal128(10, 4), pa.decimal128(10, 4)),
        (pa.decimal128(10, 0), pa.decimal128(5, 4), pa.decimal128(14, 4)),
        (pa.decimal128(38, 0), pa.decimal128(5, 4), pa.decimal256(42, 4)),
        (pa.decimal32(9, 0), pa.decimal32(9, 4), pa.decimal64(13, 4)),
        (pa.date32(), pa.date64(), pa.date64()),
        (pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us")),
        (pa.timestamp("ns", "UTC"), pa.timestamp("ms", "UTC"), pa.timestamp("ns", "UTC")),
        (pa.run_end_encoded(pa.int32(), pa.string()), pa.string(), pa.string()),
        (pa.dictionary(pa.int8(), pa.string_view()), DICT8, DICT8),
        (pa.duration("s"), pa.duration("ns"), pa.duration("ns")),
        (pa.time32("s"), pa.time64("us"), pa.time64("us")),
        (pa.time32("s"), pa.time32("ms"), pa.time32("ms")),
        (pa.list_(pa.int8()), pa.list_(pa.int64()), pa.list_(pa.int64())),
        (pa.list_(pa.int8()), pa.large_list(pa.int8()), pa.large_list(pa.int8())),
        (pa.list_(pa.int8(), 2), pa.list_(pa.int16(), 2), pa.list_(pa.int16(), 2)),
        (pa.list_(pa.int8(), 2), pa.list_(pa.int8()), pa.list_(pa.int8())),
        (pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int64()), pa.map_(pa.string(), pa.int64())),
        (
            pa.struct([("a", pa.int8()), ("b", pa.string())]),
            pa.struct([("b", pa.string()), ("c", pa.null()), ("a", pa.int32())]),
            pa.struct([("a", pa.int32()), ("b", pa.string()), ("c", pa.null())]),
        ),
        (
            pa.list_(pa.struct([("t", pa.timestamp("s"))])),
            pa.list_(pa.struct([("t", pa.timestamp("ms"))])),
            pa.list_(pa.struct([("t", pa.timestamp("ms"))])),
        ),
    ],
)
def test_types_with_a_common_one(left: pa.DataType, right: pa.DataType, common: pa.DataType) -> None:
    assert common_type(left, right) == common
    if not pa.types.is_struct(left):  # a struct's fields stand in the order of the first one
        assert common_type(right, left) == common


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.int64(), pa.uint64()),
        (pa.int8(), pa.uint64()),
        (pa.int64(), pa.float64()),
        (pa.int8(), pa.float64()),
        (pa.int64(), pa.string()),
        (pa.int64(), pa.decimal128(38, 0)),
        (pa.int64(), pa.bool_()),
        (pa.string(), pa.binary()),
        (DICT8, pa.int64()),
        (pa.timestamp("us"), pa.timestamp("us", "UTC")),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin")),
        (pa.timestamp("us"), pa.date32()),
        (pa.timestamp("us"), pa.int64()),
        (pa.time32("s"), pa.timestamp("s")),
        (pa.list_(pa.int64()), pa.list_(pa.string())),
        (pa.list_(pa.int64()), pa.int64()),
        (pa.list_(pa.int64(), 2), pa.list_(pa.string(), 3)),
        (pa.struct([("a", pa.int64())]), pa.struct([("a", pa.string())])),
        (pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int64())),
        (pa.map_(pa.string(), pa.int64()), pa.map_(pa.int64(), pa.int64())),
        (pa.decimal256(76, 0), pa.decimal256(76, 10)),
    ],
)
def test_types_without_a_common_one(left: pa.DataType, right: pa.DataType) -> None:
    for one, other in ((left, right), (right, left)):
        with pytest.raises(Conflict):
            common_type(one, other)


NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


@given(st.sampled_from(list(itertools.combinations(NUMBERS, 2))), st.data())
def test_integers_lose_nothing(pair: tuple[Any, Any], data: st.DataObject) -> None:
    try:
        common = common_type(*pair)
    except Conflict:
        assert pa.uint64() in pair
        return
    for kind in pair:
        low = -(2 ** (kind.bit_width - 1)) if pa.types.is_signed_integer(kind) else 0
        value = data.draw(st.integers(low, low + 2**kind.bit_width - 1))
        assert convert(pa.array([value], kind), common).to_pylist() == [value]


def test_a_schema_of_all_files() -> None:
    first = pa.schema([pa.field("a", pa.int8(), nullable=False), pa.field("b", pa.string())], metadata={"k": "first"})
    second = pa.schema([pa.field("c", pa.float32(), nullable=False), pa.field("a", pa.int16())], metadata={"k": "two"})
    found = unify([(first, "f1"), (second, "f2"), (first, "f3")])
    assert found.names == ["a", "b", "c"]
    assert found.field("a") == pa.field("a", pa.int16(), nullable=True)
    assert found.field("b").nullable
    assert found.field("c") == pa.field("c", pa.float32(), nullable=True)  # the first file lacks it
    assert found.metadata == {b"k": b"first"}


def test_what_every_file_has_stays_as_it_is() -> None:
    field = pa.field("a", pa.int8(), nullable=False, metadata={"unit": "m"})
    found = unify([(pa.schema([field]), f"f{n}") for n in range(3)])
    assert found.equals(pa.schema([field]), check_metadata=True)


def test_a_refusal_names_the_column_both_files_and_both_types() -> None:
    text, number = pa.schema([("x", pa.string())]), pa.schema([("x", pa.int64())])
    with pytest.raises(DataError) as refused:
        unify([(number, "first.parquet"), (number, "second.parquet"), (text, "third.parquet")])
    assert "column 'x' is int64 in first.parquet but string in third.parquet" in refused.value.message
    assert "`columns`" in refused.value.message


def test_a_refusal_says_why() -> None:
    for left, right, why in (
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), "one has a time zone, the other has none"),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "Asia/Tokyo"), "the time zones differ"),
        (pa.int8(), pa.uint64(), "no integer type holds the values of both"),
        (pa.struct([("a", pa.int64())]), pa.struct([("a", pa.string())]), "'a' inside: int64 and string"),
    ):
        with pytest.raises(DataError, match="no common type without loss") as refused:
            unify([(pa.schema([("x", left)]), "f1"), (pa.schema([("x", right)]), "f2")])
        assert why in refused.value.message


def test_the_file_that_widened_a_column_is_named() -> None:
    schemas = [pa.schema([("x", kind)]) for kind in (pa.null(), pa.int64(), pa.string())]
    with pytest.raises(DataError, match="is int64 in f2 but string in f3"):
        unify((schema, f"f{at + 1}") for at, schema in enumerate(schemas))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("UTC", "+00:00"),
        ("UTC", "Etc/UTC"),
        ("Z", "GMT"),
        ("-00:00", "Etc/Universal"),
        ("+02:00", "Etc/GMT-2"),
        ("+0200", "+02:00"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("US/Eastern", "America/New_York"),
    ],
)
def test_names_of_one_zone(left: str, right: str) -> None:
    for one, other in ((left, right), (right, left)):
        kinds = pa.timestamp("us", one), pa.timestamp("ms", other)
        assert common_type(*kinds) == pa.timestamp("us", one)
        lists = pa.list_(kinds[0]), pa.list_(kinds[1])
        assert common_type(*lists) == pa.list_(pa.timestamp("us", one))


@pytest.mark.parametrize(
    ("left", "right"),
    [("UTC", "Europe/London"), ("+02:00", "+03:00"), ("Etc/GMT+2", "+02:00"), ("Europe/Berlin", "Asia/Tokyo")],
)
def test_zones_that_differ(left: str, right: str) -> None:
    with pytest.raises(Conflict, match="the time zones differ"):
        common_type(pa.timestamp("us", left), pa.timestamp("us", right))
