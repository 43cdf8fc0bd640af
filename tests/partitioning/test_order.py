"""The sort order against Python's own sort with a comparison written out: every type, direction and null placement."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.partitioning.key_columns import TYPES, build, columns, meanings, plain_columns

from shuffle_protocol.jobs import SortKey
from shuffle_worker.partitioning.extremes import Extremes
from shuffle_worker.partitioning.order import can_order, sort_indices, stable_argsort

directions = st.builds(lambda d, n: (d, n), st.booleans(), st.booleans())


def compare(a: Any, b: Any, key: SortKey) -> int:
    if a is None or b is None:
        if a is b:
            return 0
        return -1 if (a is None) == key.nulls_first else 1
    a_nan, b_nan = a != a, b != b
    sign = int(a_nan) - int(b_nan) if a_nan or b_nan else int(a > b) - int(a < b)
    return -sign if key.descending else sign


def oracle(batch: pa.RecordBatch, keys: list[SortKey], positions: list[int] | None = None) -> list[int]:
    values = {key.column: meanings(batch.column(key.column)) for key in keys}

    def order(a: int, b: int) -> int:
        for key in keys:
            sign = compare(values[key.column][a], values[key.column][b], key)
            if sign:
                return sign
        return positions[a] - positions[b] if positions else 0

    return sorted(range(batch.num_rows), key=functools.cmp_to_key(order))


@pytest.mark.parametrize("kind", TYPES, ids=str)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_one_key_of_every_type(kind: pa.DataType, data: st.DataObject) -> None:
    column = data.draw(columns(kind, data.draw(st.integers(0, 40))))
    descending, nulls_first = data.draw(directions)
    keys = [SortKey("k", descending, nulls_first)]
    batch = pa.record_batch({"k": column})
    assert can_order(kind)
    expected = oracle(batch, keys)
    assert sort_indices(batch, keys).tolist() == expected
    assert sort_indices(pa.Table.from_batches([batch.slice(0, 3), batch.slice(3)]), keys).tolist() == expected


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_several_keys_and_positions(data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 40))
    kinds = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
    batch = pa.record_batch({f"k{i}": data.draw(columns(kind, rows)) for i, kind in enumerate(kinds)})
    keys = [SortKey(name, *data.draw(directions)) for name in batch.schema.names]
    assert sort_indices(batch, keys).tolist() == oracle(batch, keys)
    positions = data.draw(st.permutations(range(rows)))
    found = sort_indices(batch, keys, np.array(positions, np.int64))
    assert found.tolist() == oracle(batch, keys, list(positions))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_extremes_are_the_ends_of_the_order(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 30))
    kinds = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3))
    batch = pa.record_batch({f"k{i}": data.draw(plain_columns(kind, rows)) for i, kind in enumerate(kinds)})
    keys = [SortKey(name, *data.draw(directions)) for name in batch.schema.names]
    ordered = batch.take(pa.array(oracle(batch, keys)))
    at_once, by_pieces, in_order = Extremes(keys, False), Extremes(keys, False), Extremes(keys, True)
    at_once.add(batch)
    cut = data.draw(st.integers(0, rows))
    for whole, extremes in ((batch, by_pieces), (ordered, in_order)):
        extremes.add(whole.slice(0, cut))
        extremes.add(whole.slice(cut))
    assert at_once.found() == by_pieces.found()
    # equal keys may differ in their bytes (-0.0 and 0.0): those are compared by meaning
    assert str(in_order.found()).replace("-0.0", "0.0") == str(at_once.found()).replace("-0.0", "0.0")


def wide(rows: int, seed: int) -> dict[str, pa.Array]:
    random = np.random.default_rng(seed)
    return {
        "narrow": pa.array(random.integers(0, 50, rows).tolist(), pa.int64()),
        "wide": pa.array(random.integers(-(2**63), 2**63 - 1, rows).tolist(), pa.int64()),
        "doubled": pa.array((random.integers(0, rows // 3, rows) * (2**63 // rows)).tolist(), pa.int64()),
        "real": pa.array(random.normal(size=rows).tolist(), pa.float64()),
        "text": pa.array([f"prefix/{v:05}" for v in random.integers(0, rows, rows).tolist()]),
        "few": pa.array([("a", "b", None, "c")[v] for v in random.integers(0, 4, rows).tolist()]),
    }


@pytest.mark.parametrize(
    "names",
    [
        *(["narrow"], ["wide"], ["doubled"], ["real"], ["text"], ["few"], ["few", "text"], ["narrow", "wide"]),
        *(["few", "real"], ["narrow", "few", "doubled"], ["text", "wide"], ["doubled", "real"]),
    ],
    ids=" ".join,
)
def test_more_rows_than_an_example_has(names: list[str]) -> None:
    batch = pa.record_batch(wide(3000, 5))
    keys = [SortKey(name, descending=at % 2 == 1, nulls_first=at % 2 == 0) for at, name in enumerate(names)]
    assert sort_indices(batch, keys).tolist() == oracle(batch, keys)


@pytest.mark.parametrize("width", [1, 12, 13, 16])
@pytest.mark.parametrize("rows", [2_049, (1 << 15) - 1, 1 << 15, 100_000])
def test_narrow_words_are_counted_in_their_order(width: int, rows: int) -> None:
    """By NumPy or by Arrow: both are stable."""
    words = np.random.default_rng(width).integers(0, 1 << width, rows).astype(np.uint64)
    assert np.array_equal(stable_argsort(words, width), np.argsort(words, kind="stable"))


@pytest.mark.parametrize("few", [0, 2], ids=["spread", "the lowest bits decide"])
@pytest.mark.parametrize("width", [17, 48, 52, 53, 64])
def test_wide_words_are_sorted_beside_their_row_numbers(width: int, few: int) -> None:
    """4,097 rows have numbers of 13 bits, so of words wider than 51 bits some do not fit."""
    random = np.random.default_rng(width)
    words = random.integers(0, 1 << (width - 1), 4_097).astype(np.uint64) * np.uint64(2)
    if few:
        words[:] = np.uint64(1 << (width - 1))
    words += random.integers(0, 2, len(words)).astype(np.uint64)
    assert np.array_equal(stable_argsort(words, width), np.argsort(words, kind="stable"))


def test_row_numbers_that_do_not_pack() -> None:
    """Group, rank and row number together pass 64 bits only with more than two million rows: sort so many."""
    rows = (1 << 21) + 5
    random = np.random.default_rng(3)
    first = random.integers(0, rows, rows)
    second = random.integers(-(2**63), 2**63 - 1, rows)
    raw = {"a": first, "b": second}
    batch = pa.record_batch(
        {name: pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(v)]) for name, v in raw.items()}
    )
    found = sort_indices(batch, [SortKey("a"), SortKey("b")])
    assert np.array_equal(found, np.lexsort((second, first)))


def test_nan_and_zero() -> None:
    column = build(pa.float64(), [1.0, float("nan"), -0.0, None, 0.0, float("inf"), float("-inf")])
    batch = pa.record_batch({"k": column})
    assert sort_indices(batch, [SortKey("k")]).tolist() == [6, 2, 4, 0, 5, 1, 3]
    assert sort_indices(batch, [SortKey("k", descending=True)]).tolist() == [1, 5, 0, 2, 4, 6, 3]
    assert sort_indices(batch, [SortKey("k", nulls_first=True)]).tolist() == [3, 6, 2, 4, 0, 5, 1]


def test_what_cannot_be_ordered() -> None:
    for kind in (pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.map_(pa.string(), pa.int64())):
        assert not can_order(kind)
