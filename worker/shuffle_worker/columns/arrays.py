"""Arrow columns as NumPy arrays and back, without copying where possible.

`pa.array(ndarray)` and `Array.to_numpy()` import pandas on first use (a second of processor time and 60 MB a process),
so this module works on Arrow's buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.coded import as_text
from shuffle_worker.columns.convert import convert, transport_type
from shuffle_worker.columns.kinds import is_extension

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Array: TypeAlias = "pa.Array[Any]"


class Bytes:
    """Rows of bytes: row i is `data[starts[i] : starts[i] + lengths[i]]`, whatever the column's type was."""

    __slots__ = ("data", "highest", "lengths", "starts")

    def __init__(self, data: npt.NDArray[np.uint8], starts: I64, lengths: I64) -> None:
        self.data = data
        self.starts = starts
        self.lengths = lengths
        self.highest = int(starts[-1]) if len(starts) else 0  # starts rise


def view(buffer: pa.Buffer | None, dtype: npt.DTypeLike, count: int, skip: int = 0) -> npt.NDArray[Any]:
    """`count` numbers of a buffer, from the `skip`th on; zeros if there is no buffer."""
    if buffer is None or not count:
        return np.zeros(count, dtype)
    return np.frombuffer(buffer, dtype, count, skip * np.dtype(dtype).itemsize)  # type: ignore[call-overload,no-any-return]


def buffer_of(numbers: npt.NDArray[Any]) -> pa.Buffer:
    """The numbers as an Arrow buffer, not copied."""
    return pa.py_buffer(memoryview(numbers))  # type: ignore[arg-type]


def values(array: Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The fixed-width values of a column, as a view. The value of a null is arbitrary."""
    return view(array.buffers()[1], dtype, len(array), array.offset)


def bits(buffer: pa.Buffer | None, offset: int, count: int) -> Bools:
    """A bitmap as one byte a row."""
    if buffer is None or not count:
        return np.ones(count, np.bool_)
    first = offset >> 3
    packed = view(buffer, np.uint8, ((offset + count + 7) >> 3) - first, first)
    shift = offset & 7
    return np.unpackbits(packed, bitorder="little")[shift : shift + count].view(np.bool_)


def bitmap(rows: Bools) -> pa.Buffer:
    """One byte a row as a bitmap."""
    return buffer_of(np.packbits(rows, bitorder="little"))


def valid(array: Array) -> Bools | None:
    """Which rows are not null; None if none is null."""
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.bool_)
    if not array.null_count:
        return None
    return bits(array.buffers()[0], array.offset, len(array))


def plain(array: Array) -> Array:
    """The same values in the plain layout: the storage of extension types, the values of dictionaries, ordinary columns
    for views and run-end encoded ones."""
    kind = array.type
    if is_extension(kind):
        return plain(array.storage)  # type: ignore[attr-defined]
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return convert(array, transport_type(kind))
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(kind):
        return array.cast(pa.large_binary())
    return array


def rows_of_bytes(array: Array) -> Bytes:
    """A string, binary or fixed-size binary column (in plain layout) as rows of bytes; nulls are empty."""
    count = len(array)
    kind = array.type
    buffers = array.buffers()
    if pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        starts = np.arange(array.offset, array.offset + count, dtype=np.int64) * width
        lengths = np.full(count, width, np.int64)
        data = buffers[1]
    else:
        wide = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
        ends = view(buffers[1], np.int64 if wide else np.int32, count + 1, array.offset) if count else np.zeros(1)
        starts = ends[:-1].astype(np.int64, copy=False)
        lengths = np.diff(ends).astype(np.int64, copy=False)
        data = buffers[2]
    present = valid(array)
    if present is not None:
        lengths = np.where(present, lengths, 0)
    return Bytes(view(data, np.uint8, 0 if data is None else data.size), starts, lengths)


_MASKS = np.array([0] + [(1 << (8 * k)) - 1 for k in range(1, 9)], np.uint64)


def word(rows: Bytes, at: int, chosen: I64 | None = None) -> U64:
    """Bytes `at` .. `at + 7` of every row (or of the chosen ones), little endian, zero behind the row's end.

    One unaligned eight-byte read a row, through a view with a stride of one byte. It may not pass the buffer's end, so
    the few rows there are read further back and shifted."""
    starts = rows.starts if chosen is None else rows.starts[chosen]
    lengths = rows.lengths if chosen is None else rows.lengths[chosen]
    data = rows.data
    if data.size < 8:
        data = np.concatenate([data, np.zeros(8, np.uint8)])
    last = data.size - 8
    words: U64 = np.ndarray((last + 1,), np.dtype("<u8"), data, 0, (1,))
    where = starts + at if at else starts
    if rows.highest + at <= last:
        found = words[where]
    else:
        found = words[np.minimum(where, last)]
        late = np.flatnonzero(where > last)
        found[late] >>= (np.minimum(where[late] - last, 7) * 8).astype(np.uint64)
    remaining = lengths - at if at else lengths
    found &= _MASKS.take(remaining, mode="clip")
    return found


def indices(rows: npt.NDArray[Any]) -> Array:
    """Row numbers as an Arrow array for `take`; not copied if they are 32 or 64 bits wide."""
    if rows.dtype == np.uint64 or rows.dtype == np.int64:
        return pa.Array.from_buffers(pa.int64(), len(rows), [None, buffer_of(rows)])
    narrow = np.ascontiguousarray(rows, np.int32)
    return pa.Array.from_buffers(pa.int32(), len(narrow), [None, buffer_of(narrow)])


def indices_where(there: Bools, rows: I64) -> Array:
    """The same, null for those that are not there: `take` gives null for them."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [bitmap(there), buffer_of(np.where(there, rows, 0))])


def concat(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows of all batches in one; copied, unless there is only one. Of columns that are coded (`coded.py`) in some,
    or whose codes cannot count the values of all, the text."""
    try:
        return _joined(batches)
    except pa.ArrowInvalid:
        if not any(pa.types.is_dictionary(kind) for batch in batches for kind in batch.schema.types):
            raise
        return _joined([as_text(batch) for batch in batches])


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    joined: pa.RecordBatch = pa.concat_batches(batches)  # type: ignore[attr-defined]
    return joined


def take(batch: pa.RecordBatch, rows: npt.NDArray[Any]) -> pa.RecordBatch:
    """The rows of a batch in this order. The numbers must be in range: checking would take a seventh of the time."""
    taken: pa.RecordBatch = pc.take(batch, indices(rows), boundscheck=False)
    return taken
