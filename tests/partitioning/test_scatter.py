"""Rows by cell: every wanted row once, in its cell, in the order it had."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_worker.partitioning.scatter import scatter


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_rows_are_grouped_and_keep_their_order(data: st.DataObject) -> None:
    cells = data.draw(st.integers(1, 9))
    ids = data.draw(st.lists(st.integers(0, cells - 1), max_size=40))
    wanted = data.draw(st.one_of(st.none(), st.lists(st.booleans(), min_size=cells, max_size=cells)))
    text = [None if i % 5 == 0 else "x" * (i % 7) for i in range(len(ids))]
    batch = pa.record_batch(
        {"row": pa.array(range(len(ids)), pa.int64()), "text": pa.array(text, pa.string()), "list": [[i] for i in ids]},
        schema=pa.schema([("row", pa.int64()), ("text", pa.string()), ("list", pa.list_(pa.int64()))]),
    )
    found = scatter(batch, np.array(ids, np.int32), cells, None if wanted is None else np.array(wanted, np.bool_))
    expected = [
        row for cell in range(cells) for row in range(len(ids)) if ids[row] == cell and (not wanted or wanted[cell])
    ]
    assert found.batch.column("row").to_pylist() == expected
    assert found.batch.column("text").to_pylist() == [text[row] for row in expected]
    assert found.batch.column("list").to_pylist() == [[ids[row]] for row in expected]
    for cell in range(cells):
        rows = expected[found.starts[cell] : found.starts[cell + 1]]
        assert all(ids[row] == cell for row in rows)
    assert found.starts[0] == 0 and found.starts[-1] == len(expected)


@pytest.mark.parametrize("cells", [127, 128, 129, 255, 256, 32_767, 32_768, 65_535, 65_536, 65_537, 200_000])
def test_cell_numbers_of_any_width(cells: int) -> None:
    ids = np.random.default_rng(cells).integers(0, cells, 5000).astype(np.int32)
    ids[0] = cells - 1
    batch = pa.record_batch({"row": pa.array(range(len(ids)))})
    found = scatter(batch, ids, cells)
    assert found.batch.column("row").to_pylist() == np.argsort(ids, kind="stable").tolist()
    assert found.starts[-1] == len(ids) and found.starts[cells - 1] == len(ids) - np.count_nonzero(ids == cells - 1)
