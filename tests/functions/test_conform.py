"""A result held to the declared columns: what keeps every value is taken, everything else is refused by name."""

from __future__ import annotations

import math
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from shuffle_worker.functions.conform import Differs, conformed, held_to


def taken(values: list[object], found: pa.DataType, kind: pa.DataType) -> list[object]:
    table = pa.table({"a": pa.array(values, found)})
    made = conformed(table, pa.schema({"a": kind}))
    assert made.schema.equals(pa.schema({"a": kind}))
    out: list[object] = made.column("a").to_pylist()
    return out


@pytest.mark.parametrize(
    ("values", "found", "kind"),
    [
        ([1, None, -3], pa.int64(), pa.int8()),
        ([1, None, 3], pa.int8(), pa.uint64()),
        ([1, 2**53], pa.int64(), pa.float64()),
        ([1.0, None, -4.0], pa.float64(), pa.int32()),
        ([1.5, None, 0.25], pa.float64(), pa.float32()),
        ([1, 2], pa.int32(), pa.decimal128(12, 2)),
        ([Decimal("1.50")], pa.decimal128(10, 2), pa.decimal128(5, 1)),
        (["a", None], pa.large_string(), pa.string()),
        (["a", None], pa.string(), pa.dictionary(pa.int32(), pa.string())),
        ([b"a"], pa.binary(), pa.large_binary()),
        ([None, None], pa.null(), pa.list_(pa.int8())),
        ([[1, 2], None], pa.list_(pa.int64()), pa.large_list(pa.int16())),
        ([{"x": 1}], pa.struct({"x": pa.int64()}), pa.struct({"x": pa.int8()})),
        ([5_000_000], pa.timestamp("us"), pa.timestamp("s")),
        ([5], pa.timestamp("s", "UTC"), pa.timestamp("ms", "Europe/Berlin")),
        ([5], pa.duration("s"), pa.duration("ns")),
        ([5], pa.date32(), pa.date64()),
        ([[1.5, None], None, []], pa.list_(pa.float64()), pa.list_(pa.float32())),
        ([[1.5, 2.5], None], pa.list_(pa.float64()), pa.list_(pa.float32(), 2)),
        ([{"x": 1.5}, None], pa.struct({"x": pa.float64()}), pa.struct({"x": pa.float16()})),
        ([[("a", 1.5)], None], pa.map_(pa.string(), pa.float64()), pa.map_(pa.string(), pa.float32())),
        ([1.5, None], pa.float64(), pa.dictionary(pa.int32(), pa.float32())),
        ([2048, None], pa.int32(), pa.float16()),
        ([None], pa.null(), pa.list_(pa.float32())),
    ],
)
def test_casts_that_keep_every_value(values: list[object], found: pa.DataType, kind: pa.DataType) -> None:
    assert taken(values, found, kind) == pa.array(values, found).to_pylist()


def test_not_a_number_may_be_narrowed() -> None:
    made = taken([math.nan, 1.5, None], pa.float64(), pa.float32())
    assert math.isnan(made[0])  # type: ignore[arg-type]
    assert made[1:] == [1.5, None]
    (inside,) = taken([[math.nan, 1.5, None]], pa.list_(pa.float64()), pa.list_(pa.float32()))
    assert math.isnan(inside[0])  # type: ignore[index]
    assert inside[1:] == [1.5, None]  # type: ignore[index]


@pytest.mark.parametrize(
    ("values", "found", "kind"),
    [
        ([300], pa.int64(), pa.int8()),
        ([-1], pa.int64(), pa.uint8()),
        ([2**53 + 1], pa.int64(), pa.float64()),
        ([1.5], pa.float64(), pa.int64()),
        ([0.1], pa.float64(), pa.float32()),
        ([1e300], pa.float64(), pa.float32()),
        ([65505.0], pa.float64(), pa.float16()),
        ([2049], pa.int32(), pa.float16()),
        ([[1.5, 0.1]], pa.list_(pa.float64()), pa.list_(pa.float32())),
        ([None, [0.1, 1.5]], pa.list_(pa.float64()), pa.list_(pa.float32(), 2)),
        ([[[0.1]]], pa.list_(pa.list_(pa.float64())), pa.large_list(pa.list_(pa.float32()))),
        ([[2049]], pa.list_(pa.int64()), pa.list_(pa.float16())),
        ([{"x": 0.1}], pa.struct({"x": pa.float64()}), pa.struct({"x": pa.float32()})),
        ([[{"x": 0.1}]], pa.list_(pa.struct({"x": pa.float64()})), pa.list_(pa.struct({"x": pa.float32()}))),
        ([[("a", 0.1)]], pa.map_(pa.string(), pa.float64()), pa.map_(pa.string(), pa.float32())),
        ([[(0.1, "a")]], pa.map_(pa.float64(), pa.string()), pa.map_(pa.float32(), pa.string())),
        ([0.1], pa.dictionary(pa.int32(), pa.float64()), pa.float32()),
        ([0.1], pa.float64(), pa.dictionary(pa.int32(), pa.float32())),
        (["1"], pa.string(), pa.int64()),
        ([1], pa.int64(), pa.string()),
        ([True], pa.bool_(), pa.int8()),
        ([Decimal("1.55")], pa.decimal128(10, 2), pa.decimal128(5, 1)),
        ([1.5], pa.float64(), pa.decimal128(5, 1)),
        ([5_000_001], pa.timestamp("us"), pa.timestamp("s")),
        ([5], pa.timestamp("s"), pa.timestamp("s", "UTC")),
        ([b"\xff"], pa.binary(), pa.string()),
        ([{"x": 1}], pa.struct({"x": pa.int64()}), pa.struct({"y": pa.int64()})),
        ([5], pa.date32(), pa.timestamp("s")),
    ],
)
def test_casts_that_lose_or_guess_are_refused(values: list[object], found: pa.DataType, kind: pa.DataType) -> None:
    with pytest.raises(Differs) as caught:
        taken(values, found, kind)
    assert str(caught.value).startswith(f"'a' is {found}, expected {kind}")


def test_columns_may_come_in_another_order() -> None:
    made = conformed(pa.table({"b": [1], "a": ["x"]}), pa.schema({"a": pa.string(), "b": pa.int64()}))
    assert made.to_pylist() == [{"a": "x", "b": 1}]


def test_every_difference_is_told() -> None:
    found = pa.Table.from_arrays([pa.array([1]), pa.array(["x"]), pa.array([1]), pa.array([1])], ["n", "t", "x", "x"])
    wanted = pa.schema({"n": pa.string(), "t": pa.string(), "x": pa.int64(), "gone": pa.int8()})
    with pytest.raises(Differs) as caught:
        conformed(found, wanted)
    assert str(caught.value) == "'gone' is missing; 'x' is there more than once; 'n' is int64, expected string"


def test_many_differences_are_counted() -> None:
    with pytest.raises(Differs, match=r"and 15 more$"):
        conformed(pa.table({f"c{at}": [1] for at in range(20)}), pa.schema({}))


def test_a_result_without_rows_needs_the_columns_too() -> None:
    with pytest.raises(Differs, match="'a' is missing"):
        conformed(pa.table({}), pa.schema({"a": pa.int8()}))
    empty = pa.table({"a": pa.array([], pa.null())})
    assert conformed(empty, pa.schema({"a": pa.int8()})).num_rows == 0


def test_a_value_that_would_be_rounded_is_shown() -> None:
    with pytest.raises(Differs, match=r": 0\.1 would become 0\.10000000149011612$"):
        taken([[1.5], [None, 0.1]], pa.list_(pa.float64()), pa.list_(pa.float32()))


def test_fields_are_compared_by_name() -> None:
    found = pa.struct({"x": pa.float64(), "y": pa.float64()})
    kind = pa.struct({"y": pa.float32(), "x": pa.float64()})
    assert taken([{"x": 0.1, "y": 1.5}], found, kind) == [{"y": 1.5, "x": 0.1}]


def test_dictionaries_of_arrow_in_a_data_frame() -> None:
    words = pa.array(["a", "b", None, "a"]).dictionary_encode()
    frame = pa.table({"x": words}).to_pandas(types_mapper=pd.ArrowDtype)
    found = held_to(frame, pa.schema({"x": pa.string()}), "returned")
    assert found.column("x").to_pylist() == ["a", "b", None, "a"]
