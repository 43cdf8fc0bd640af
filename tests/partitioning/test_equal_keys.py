"""Where groups begin, and the order by hash that brings equal keys together."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.partitioning.key_columns import COLUMNS

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import take
from shuffle_worker.columns.schema import to_transport
from shuffle_worker.partitioning.equal_keys import begins, without_nulls
from shuffle_worker.partitioning.hash import hash_rows
from shuffle_worker.partitioning.order import hash_order, sort_indices


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(COLUMNS, key=str)), other=st.booleans())
def test_equal_keys_stand_together_once(data: st.DataObject, kind: pa.DataType, other: bool) -> None:
    values = data.draw(st.lists(st.one_of(st.none(), COLUMNS[kind]), max_size=30))
    values += data.draw(st.permutations(values))
    second = data.draw(st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values)))
    rows = pa.record_batch({"a": to_transport(pa.array(values, kind)), "b": pa.array(second, pa.int8())})
    keys = ["a", "b"] if other else ["a"]
    ordered = take(rows, hash_order(keys)(rows))
    hashes = hash_rows([ordered.column(name) for name in keys]) if rows.num_rows else []
    assert list(hashes) == sorted(hashes)
    by_hash = int(begins(ordered, keys).sum())
    by_key = int(begins(take(rows, sort_indices(rows, [SortKey(name) for name in keys])), keys).sum())
    assert by_hash == by_key == len(set(map(tuple, _codes(rows, keys))))


def _codes(rows: pa.RecordBatch, keys: list[str]) -> list[list[int]]:
    """What tells keys apart, by the place of each row's key among the sorted ones."""
    out = []
    for name in keys:
        column = rows.select([name])
        order = sort_indices(column, [SortKey(name)]).tolist()
        begin = begins(take(column, sort_indices(column, [SortKey(name)])), [name]).tolist()
        codes = [0] * rows.num_rows
        code = -1
        for place, row in enumerate(order):
            code += begin[place]
            codes[row] = code
        out.append(codes)
    return [list(each) for each in zip(*out, strict=True)]


def test_nulls_are_equal_and_so_are_nans_and_zeros() -> None:
    nan = float("nan")
    rows = pa.record_batch({"a": pa.array([None, None, nan, -nan, 0.0, -0.0, 1.0, None], pa.float64())})
    assert begins(rows, ["a"]).tolist() == [True, False, True, False, True, False, True, True]


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows(count: int) -> None:
    rows = pa.record_batch({"a": pa.array([1] * count, pa.int64())})
    assert begins(rows, ["a"]).tolist() == [True] * count
    assert len(hash_order(["a"])(rows)) == count


def test_rows_without_a_key_are_left_out() -> None:
    rows = pa.record_batch({"a": [1, None, 3], "b": ["x", "y", None], "n": [1, 2, 3]})
    assert without_nulls(rows, ["a", "b"]).column("n").to_pylist() == [1]
    assert without_nulls(rows, ["a"]).column("n").to_pylist() == [1, 3]
    assert without_nulls(rows, ["n"]) is rows
