"""Which cell a row goes to: hash partitioning, range partitioning, round robin. One instance a split (see
`splitter.Assign`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_worker.partitioning.hash import cells_of
from shuffle_worker.partitioning.ranges import Ranges
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.splitter import Cells


class HashAssign:
    """By the hash of some columns: equal keys share a cell."""

    def __init__(self, columns: list[str], cells: int) -> None:
        self._columns = columns
        self._cells = cells

    def __call__(self, rows: Rows) -> Cells:
        return cells_of([rows.batch.column(name) for name in self._columns], self._cells)


class RoundRobinAssign:
    """Rows to cells in turn, beginning where the split's first kept row stands in the input: cell sizes differ by at
    most one a split, and depend on neither workers nor batches."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._next: int | None = None

    def __call__(self, rows: Rows) -> Cells:
        count = rows.batch.num_rows
        if self._next is None:
            self._next = rows.first if rows.positions is None else int(rows.positions[0])
        cells = (np.arange(self._next, self._next + count, dtype=np.int64) % self._cells).astype(np.int32)
        self._next += count
        return cells


class RangeAssign:
    """By boundaries, as `partitioning/ranges.py` has it."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges

    def __call__(self, rows: Rows) -> Cells:
        return self._ranges.cells_of(rows.batch, rows.all_positions)


def plan_ranges(plan: Plan, keys: Sequence[SortKey]) -> Ranges:
    """The plan's boundaries, ready to look rows up."""
    if plan.boundaries is None:
        raise ValueError("the plan has no boundaries")
    return ranges_of(plan.boundaries, keys)


def ranges_of(stream: bytes, keys: Sequence[SortKey]) -> Ranges:
    """Boundaries of these keys, ready to look rows up. They are in one batch; without a row where there is one cell."""
    table = pa.ipc.open_stream(stream).read_all().combine_chunks()
    batches = table.to_batches()
    return Ranges(batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema), keys)
