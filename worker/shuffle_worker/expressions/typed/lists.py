"""Lists by the places of their items. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import indices_where, view
from shuffle_worker.columns.arrow import I64, Array, parts
from shuffle_worker.expressions.typed.clock import present


def bounds(column: Array) -> tuple[I64, I64]:
    """Where in the values of a list column each list begins, and how long it is; null lists are empty."""
    count = len(column)
    if pa.types.is_fixed_size_list(column.type):
        size = parts(column.type).list_size
        starts = (np.arange(count, dtype=np.int64) + column.offset) * size
        lengths = np.full(count, size, np.int64)
    else:
        width = np.int64 if pa.types.is_large_list(column.type) else np.int32
        ends = view(column.buffers()[1], width, count + 1, column.offset).astype(np.int64)
        starts, lengths = ends[:-1], np.diff(ends)
    return starts, np.where(present(column), lengths, 0)


def element_of(column: Array, at: Array) -> Array:
    """From 1 on, or from the end with -1; null where there is none."""
    starts, lengths = bounds(column)
    asked = np.where(present(at), view(at.cast(pa.int64()).buffers()[1], np.int64, len(at), at.offset), 0)
    place = np.where(asked > 0, asked - 1, lengths + asked)
    there = (asked != 0) & (place >= 0) & (place < lengths)
    return parts(column).values.take(indices_where(there, starts + place))  # type: ignore[no-any-return]
