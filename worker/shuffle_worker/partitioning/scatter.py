"""Group the rows of a batch by cell: one stable order, one gather, and where each cell's rows then stand.

The map side calls it for every batch, and the reduce side to part the partitions of a bucket. The gather is the cost
(0.5 to 1 CPU second a gigabyte), so it is done once, for all columns and all cells; what follows are slices of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrays import I64, Array, buffer_of, indices, take, values
from shuffle_worker.partitioning.order import stable_argsort

_COUNTED_BY_ARROW = 4096


class Scattered(NamedTuple):
    """The batch with its rows in cell order (input order within a cell); cell c has rows `starts[c] : starts[c +
    1]`."""

    batch: pa.RecordBatch
    starts: I64


def stable_order(cells: npt.NDArray[np.int32], count: int) -> Array:
    """Row numbers by (cell, row). Few cells: Arrow counts, into memory that is warm; up to 65,536: numpy counts."""
    if count <= _COUNTED_BY_ARROW:
        narrow = cells.astype(np.uint16)
        return pc.array_sort_indices(pa.Array.from_buffers(pa.uint16(), len(cells), [None, buffer_of(narrow)]))
    if count <= 1 << 16:
        return indices(np.argsort(cells.astype(np.uint16), kind="stable"))
    return indices(stable_argsort(cells.astype(np.uint64), (count - 1).bit_length()))


def scatter(
    batch: pa.RecordBatch,
    cells: npt.NDArray[np.int32],
    count: int,
    wanted: npt.NDArray[np.bool_] | None = None,
) -> Scattered:
    """Group rows by their cell, one of `count`. wanted: by cell; the rows of the others are left out before the
    gather."""
    kept: npt.NDArray[np.intp] | None = None
    if wanted is not None:
        kept = np.flatnonzero(wanted[cells])
        if len(kept) == len(cells):
            kept = None
        else:
            cells = cells[kept]
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(cells, minlength=count), out=starts[1:])
    if not len(cells):
        return Scattered(batch.slice(0, 0), starts)
    if int(starts[int(cells[0]) + 1] - starts[int(cells[0])]) == len(cells):  # all in one cell: nothing to reorder
        return Scattered(batch if kept is None else take(batch, kept), starts)
    order = stable_order(cells, count)
    if kept is not None:
        order = indices(kept[values(order, np.int64)])
    grouped: pa.RecordBatch = pc.take(batch, order, boundscheck=False)
    return Scattered(grouped, starts)
