"""The size of values in bytes, whatever their layout in memory.

`nbytes` of the same rows depends on the batch that they were cut from, which may have a bitmap of nulls or not. The map
side's decisions may not depend on that, so they go by these sizes.
"""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrays import Array, view
from shuffle_worker.columns.arrow import call, parts
from shuffle_worker.columns.kinds import is_extension


def content_bytes(array: Array) -> int:
    """Bytes of the values of a column of plain type, with offsets, and with a bitmap if there is a null."""
    kind = array.type
    count = len(array)
    size = (count + 7) // 8 if array.null_count and not pa.types.is_null(kind) else 0
    if is_extension(kind):
        return content_bytes(parts(array).storage)
    t = pa.types
    if t.is_null(kind) or not count:
        return size
    if t.is_string(kind) or t.is_binary(kind) or t.is_large_string(kind) or t.is_large_binary(kind):
        wide = t.is_large_string(kind) or t.is_large_binary(kind)
        ends = view(array.buffers()[1], "i8" if wide else "i4", count + 1, array.offset)
        return size + (8 if wide else 4) * count + int(ends[-1] - ends[0])
    if t.is_struct(kind):
        return size + sum(content_bytes(child) for child in parts(array).flatten())
    if t.is_list(kind) or t.is_large_list(kind) or t.is_map(kind) or t.is_fixed_size_list(kind):
        return size + 8 * count + content_bytes(call("list_flatten", _as_list(array)))
    width: int = kind.bit_width
    return size + (count * width + 7) // 8


def rows_bytes(rows: pa.RecordBatch) -> int:
    return sum(content_bytes(column) for column in rows.columns)


def _as_list(array: Array) -> Array:
    """A map as a list of its entries."""
    if not pa.types.is_map(array.type):
        return array
    kind = parts(array.type)
    entry = pa.struct([kind.key_field, kind.item_field])
    return array.cast(pa.list_(pa.field("entries", entry, nullable=False)))
