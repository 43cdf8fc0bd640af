"""How wide the rows of a batch are, one by one, and batches cut by bytes.

Where a buffer is sized in rows, by the mean of a row, a few rows that are a thousand times wider fill it far beyond its
budget; so it is cut by bytes as well. `nbytes` of the same rows depends on the batch that they are in (it may have a
bitmap or not, and codes for text), and what shows in the output may not, so rows are measured by their values alone.
`most_bytes` is never less than that, and tells whether there is anything to measure; `bytes_of` costs less still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, Array, plain, rows_of_bytes, valid, values, view
from shuffle_worker.columns.arrow import parts


def row_widths(batch: pa.RecordBatch) -> I64:
    """Bytes of the values of each row."""
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += _of_coded(column) if pa.types.is_dictionary(column.type) else _widths(plain(column))
    return sizes


def widest(batch: pa.RecordBatch) -> int:
    """Bytes of values that no row exceeds: those of each column's widest."""
    size = 0
    for column in batch.columns:
        coded = pa.types.is_dictionary(column.type)
        size += int(np.max(_widths(plain(parts(column).dictionary if coded else column)), initial=0))
    return size


def row_ends(batch: pa.RecordBatch) -> I64:
    """Bytes of the values of each row and all before it."""
    return np.cumsum(row_widths(batch))


def most_bytes(batch: pa.RecordBatch) -> int:
    """Bytes that `row_bytes` does not exceed: those in memory, with the longest text for every code."""
    size = batch.nbytes
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            each = _widths(plain(parts(column).dictionary))
            size += batch.num_rows * int(np.max(each, initial=0))
    return size


def bytes_of(batches: Sequence[pa.RecordBatch], enough: int) -> int:
    """What the batches take in memory, codes as codes; never too low. Arrow needs 11 microseconds a batch for that, and
    half of one for the buffers that it lies in, of which a slice has a part. Shards are many and small, so the buffers
    do where they are no more than `enough`."""
    size = sum(batch.get_total_buffer_size() for batch in batches)
    return size if size <= enough else sum(batch.nbytes for batch in batches)


def row_bytes(batch: pa.RecordBatch) -> int:
    """Bytes of the values of all rows, as `row_ends` counts them."""
    return int(row_ends(batch)[-1]) if batch.num_rows else 0


def fitting(ends: I64, most: int, begin: int = 0) -> int:
    """The row after the last that so many bytes hold, beginning with row `begin`. ends: as of `row_ends`."""
    before = int(ends[begin - 1]) if begin else 0
    return int(np.searchsorted(ends, before + most, "right"))


def pieces_within(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of so many bytes at most, or of one row. They share its memory."""
    if most_bytes(batch) <= most:
        yield batch
        return
    ends = row_ends(batch)
    at = 0
    while at < batch.num_rows:
        end = max(fitting(ends, most, at), at + 1)
        yield batch.slice(at, end - at)
        at = end


def _widths(array: Array) -> I64 | int:
    """Bytes of each item of a column in plain layout, one number where all have as many. What lies behind a null of a
    text or a nested column is nothing."""
    kind, t = array.type, pa.types
    if t.is_string(kind) or t.is_binary(kind) or t.is_large_string(kind) or t.is_large_binary(kind):
        return rows_of_bytes(array).lengths
    if not t.is_nested(kind):
        return 0 if t.is_null(kind) else kind.bit_width // 8
    sizes: I64 | int = 0
    if t.is_struct(kind):
        for at in range(kind.num_fields):
            sizes = sizes + _widths(plain(parts(array).field(at)))
    elif t.is_fixed_size_list(kind):
        sizes = _of_fixed_lists(array)
    elif t.is_list(kind) or t.is_large_list(kind) or t.is_map(kind):
        sizes = _of_lists(array)
    present = valid(array)
    return sizes if present is None else np.where(present, sizes, 0)


def _of_coded(array: Array) -> I64:
    """The same of a dictionary array: bytes of the values that its codes stand for."""
    of = parts(array)
    each = np.append(np.zeros(len(of.dictionary), np.int64) + _widths(plain(of.dictionary)), 0)
    codes = values(of.indices.cast(pa.int64()), np.int64)
    present = valid(of.indices)
    found: I64 = each[codes if present is None else np.where(present, codes, len(each) - 1)]
    return found


def _of_fixed_lists(array: Array) -> I64 | int:
    each: int = parts(array.type).list_size
    sizes = _widths(plain(parts(array).values.slice(array.offset * each, len(array) * each)))
    return sizes * each if isinstance(sizes, int) else sizes.reshape(len(array), each).sum(axis=1, dtype=np.int64)


def _of_lists(array: Array) -> I64:
    if not len(array):
        return np.zeros(0, np.int64)
    wide = pa.types.is_large_list(array.type)
    offsets = view(array.buffers()[1], "i8" if wide else "i4", len(array) + 1, array.offset).astype(np.int64)
    first, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    of = parts(array)
    sizes = np.zeros(count + 1, np.int64)
    for child in [of.keys, of.items] if pa.types.is_map(array.type) else [of.values]:
        sizes[1:] += _widths(plain(child.slice(first, count)))
    return np.diff(np.cumsum(sizes)[offsets - first])
