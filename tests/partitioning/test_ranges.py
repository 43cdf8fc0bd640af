"""The range of a row is what the sort order says, for every type, with and without positions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.partitioning.key_columns import TYPES, plain_columns
from tests.partitioning.test_order import directions

from shuffle_protocol.jobs import SortKey
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.partitioning.ranges import Ranges


def by_order(
    boundaries: pa.RecordBatch, rows: pa.RecordBatch, keys: list[SortKey], positions: np.ndarray | None
) -> list[int]:
    """How many boundaries are not above each row: sort both together, boundaries before rows that are equal."""
    names = [key.column for key in keys]
    both = pa.concat_batches([boundaries.select(names), rows.select(names)])
    if positions is None:
        order = sort_indices(both, keys)
    else:
        taken = np.array(boundaries.column("position").to_pylist(), np.int64)
        order = sort_indices(both, keys, np.concatenate([taken, positions]))
    count, below, found = boundaries.num_rows, 0, [0] * rows.num_rows
    for row in order.tolist():
        if row < count:
            below += 1
        else:
            found[row - count] = below
    return found


def sampled(
    batch: pa.RecordBatch, keys: list[SortKey], picks: list[int], positions: np.ndarray | None
) -> pa.RecordBatch:
    """Boundaries as a plan has them: rows of the input in order, with their positions or null."""
    names = list(dict.fromkeys(key.column for key in keys))
    chosen = batch.select(names).take(pa.array(picks, pa.int64()))
    taken = pa.array([None] * len(picks) if positions is None else positions[picks].tolist(), pa.int64())
    order = sort_indices(chosen, keys, None if positions is None else np.array(taken.to_pylist(), np.int64))
    return chosen.append_column("position", taken).take(pa.array(order.tolist(), pa.int64()))


def check(data: st.DataObject, batch: pa.RecordBatch, keys: list[SortKey], extra: pa.RecordBatch) -> None:
    rows = batch.num_rows
    picks = data.draw(st.lists(st.integers(0, rows - 1), max_size=12)) if rows else []
    with_positions = data.draw(st.booleans())
    positions = np.array(data.draw(st.permutations(range(0, 3 * rows, 3))), np.int64) if with_positions else None
    boundaries = sampled(batch, keys, picks, positions)
    ranges = Ranges(boundaries, keys)
    assert ranges.cells == len(picks) + 1
    for looked_up, at in ((batch, positions), (extra, None if positions is None else np.arange(extra.num_rows) + 1)):
        found = ranges.cells_of(looked_up, None if at is None else lambda at=at: at)
        assert found.dtype == np.int32
        expected = by_order(boundaries, looked_up, keys, at if picks else None)
        assert found.tolist() == expected


@pytest.mark.parametrize("kind", TYPES, ids=str)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_one_key_of_every_type(kind: pa.DataType, data: st.DataObject) -> None:
    batch = pa.record_batch({"k": data.draw(plain_columns(kind, data.draw(st.integers(0, 30))))})
    extra = pa.record_batch({"k": data.draw(plain_columns(kind, 8))})
    check(data, batch, [SortKey("k", *data.draw(directions))], extra)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_several_keys(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3))
    rows = data.draw(st.integers(0, 30))
    batch = pa.record_batch({f"k{i}": data.draw(plain_columns(kind, rows)) for i, kind in enumerate(kinds)})
    extra = pa.record_batch({f"k{i}": data.draw(plain_columns(kind, 6)) for i, kind in enumerate(kinds)})
    check(data, batch, [SortKey(name, *data.draw(directions)) for name in batch.schema.names], extra)


@pytest.mark.parametrize("cells", [2, 64, 257, 5000])
@pytest.mark.parametrize("shape", ["even", "skewed", "equal", "extreme"])
def test_many_rows_and_boundaries(cells: int, shape: str) -> None:
    random = np.random.default_rng(cells)
    count = 20_000
    values = {
        "even": random.integers(0, 10**9, count),
        "skewed": (random.pareto(0.3, count) % 1e15).astype(np.int64),
        "equal": random.integers(0, 3, count),
        "extreme": random.choice([-(2**63), -1, 0, 1, 2**63 - 1], count),
    }[shape]
    batch = pa.record_batch({"k": pa.array(values.tolist(), pa.int64())})
    positions = np.arange(count, dtype=np.int64)
    picks = random.choice(count, cells - 1, replace=False).tolist()
    boundaries = sampled(batch, [SortKey("k")], picks, positions)
    found = Ranges(boundaries, [SortKey("k")]).cells_of(batch, lambda: positions)
    assert found.tolist() == by_order(boundaries, batch, [SortKey("k")], positions)


def test_a_key_may_be_called_position() -> None:
    rows = pa.record_batch({"position": pa.array(["b", "a", "c", "b"])})
    boundaries = pa.RecordBatch.from_arrays([pa.array(["b"]), pa.array([3])], names=["position", "position"])
    found = Ranges(boundaries, [SortKey("position")]).cells_of(rows, lambda: np.arange(4))
    assert found.tolist() == [0, 0, 1, 1]
