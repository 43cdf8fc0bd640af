"""Where groups of equal keys begin in rows that have equal keys side by side.

Equal is what the order says: two nulls are equal, any NaN equals any other, -0.0 equals 0.0. Called by operations that
work group by group on sorted rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrays import Array, Bools, bits, plain, take, valid

_pc: Any = pc


def begins(rows: pa.RecordBatch, names: Sequence[str]) -> Bools:
    """Which rows have another key than the row before them; the first one has."""
    first = np.ones(rows.num_rows, np.bool_)
    if rows.num_rows < 2:
        return first
    same: Bools | None = None
    for name in names:
        found = _same_as_before(plain(rows.column(name)))
        same = found if same is None else same & found
    assert same is not None, "groups need keys"
    first[1:] = ~same
    return first


def without_nulls(rows: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """The rows that have a value in each of these columns."""
    masks = [mask for mask in (valid(plain(rows.column(name))) for name in names) if mask is not None]
    if not masks:
        return rows
    return take(rows, np.flatnonzero(np.logical_and.reduce(masks)))


def _same_as_before(column: Array) -> Bools:
    if pa.types.is_null(column.type):
        return np.ones(len(column) - 1, np.bool_)
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    if pa.types.is_decimal(column.type):  # of one scale: equal bytes; Arrow does not compare those of negative scale
        column = column.view(pa.binary(column.type.byte_width))
    before, after = column.slice(0, len(column) - 1), column.slice(1)
    same = _mask(_pc.fill_null(_pc.equal(before, after), False))
    if column.null_count:
        same |= _mask(_pc.is_null(before)) & _mask(_pc.is_null(after))
    if pa.types.is_floating(column.type):
        nan = _pc.fill_null(_pc.is_nan(column), False)
        if nan.true_count:
            same |= _mask(nan.slice(1)) & _mask(nan.slice(0, len(column) - 1))
    return same


def _mask(array: Array) -> Bools:
    """A column of booleans without nulls."""
    return bits(array.buffers()[1], array.offset, len(array))
