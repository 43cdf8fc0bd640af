"""Rows cut into loads of whole groups: every group whole, once and in order, however the rows arrived in batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from shuffle_worker.steps.grouping import Large, Load, Loads


def rows_of(sizes: Sequence[int]) -> pa.RecordBatch:
    keys = [group for group, size in enumerate(sizes) for _ in range(size)]
    return pa.RecordBatch.from_arrays(
        [pa.array(keys, pa.int32()), pa.array(range(len(keys)), pa.int64())], ["k", "row"]
    )


def batches_of(rows: pa.RecordBatch, cuts: Sequence[int]) -> Iterator[pa.RecordBatch]:
    edges = sorted({0, rows.num_rows, *(cut % (rows.num_rows + 1) for cut in cuts)})
    for begin, end in itertools.pairwise(edges):
        yield rows.slice(begin, end - begin)


def groups_of(loads: Loads, most: int) -> list[tuple[list[int], list[int]]]:
    """The rows of each group, and those of each batch that it came in."""
    found = []
    for load in loads:
        if isinstance(load, Large):
            sizes, numbers = [], []
            first = load.first.column("row").to_pylist()
            for batch in load.batches:
                sizes.append(batch.num_rows)
                numbers += batch.column("row").to_pylist()
            assert first == numbers[:1]
            assert len(numbers) > most
            found.append((numbers, sizes))
            continue
        assert isinstance(load, Load)
        assert load.rows.num_rows <= most
        assert int(load.ends[-1]) == load.rows.num_rows
        begin = 0
        for end in load.ends.tolist():
            found.append((load.rows.slice(begin, end - begin).column("row").to_pylist(), [end - begin]))
            begin = end
    return found


@settings(max_examples=300, deadline=None)
@given(
    sizes=st.lists(st.one_of(st.integers(1, 4), st.integers(1, 30)), max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    most=st.integers(1, 12),
    keyed=st.booleans(),
)
def test_groups_are_whole_and_their_batches_depend_on_nothing_else(
    sizes: list[int], cuts: list[int], most: int, keyed: bool
) -> None:
    rows = rows_of(sizes)
    found = groups_of(Loads(batches_of(rows, cuts), ["k"] if keyed else [], most), most)
    if not keyed:
        sizes = [sum(sizes)] if sizes else []
    expected = []
    begin = 0
    for size in sizes:
        of = [most] * (size // most) + ([size % most] if size % most else [])
        expected.append((list(range(begin, begin + size)), of if size > most else [size]))
        begin += size
    assert found == expected


def test_many_small_groups_are_few_loads() -> None:
    rows = rows_of([2] * 5000)
    assert len(list(Loads(iter([rows]), ["k"], 1000))) <= 12
