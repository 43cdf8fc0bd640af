"""Dictionary columns whose index type is narrow: kept where all files' values together are certain to fit it.

A dictionary<int8> holds 128 values. Each input file may have its own; the rows of an output file come from all of
them, and a Parquet file whose column has more values than its declared index can count cannot be read. So a narrow
index stays only if the distinct values are counted (cheap for such columns) and fit; otherwise it becomes int32.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, call, children, dictionary, parts
from shuffle_worker.columns.convert import convert, transport_type, with_children
from shuffle_worker.inputs.reading import FoundFile
from shuffle_worker.storage.storage import Storage

MOST_STORED = 64 << 20
"""Stored bytes of a column that are read to count its values; a larger one is widened unseen."""

BATCH = 65_536


Stored = Sequence[tuple[Sequence[FoundFile], Storage]]
"""Files, with the store that they are in."""


def settled(schema: pa.Schema, inputs: Stored | None) -> pa.Schema:
    """The schema with index types that are wide enough. inputs: those whose rows have it, None where these rows are in
    no files."""
    for at, field in enumerate(schema):
        kind = field.type
        if pa.types.is_dictionary(kind) and pa.types.is_nested(transport_type(kind)):
            continue  # which no format keeps
        if pa.types.is_dictionary(kind) and kind.index_type.bit_width < 32:
            most = 2 ** (kind.index_type.bit_width - pa.types.is_signed_integer(kind.index_type))
            if inputs is None or not _fits(field.name, most, inputs):
                wide = pa.dictionary(pa.int32(), kind.value_type, kind.ordered)
                schema = schema.set(at, field.with_type(wide))
        elif not pa.types.is_dictionary(kind):
            schema = schema.set(at, field.with_type(_widened(kind)))
    return schema


def _fits(name: str, most: int, inputs: Stored) -> bool:
    """Whether the column has at most `most` distinct values in all files. Bounded: reads `MOST_STORED` bytes, holds
    `most` values and one batch."""
    read = 0
    known: Array | None = None
    for file, storage in ((file, storage) for files, storage in inputs for file in files):
        if file.schema.get_field_index(name) < 0:
            continue
        with file.open(storage) as source:
            for group in range(len(file.row_groups)):
                read += source.stored_bytes(group, [name])
                if read > MOST_STORED:
                    return False
                for batch in source.batches([group], [name], BATCH):
                    known = _also(known, _used(batch.column(0)))
                    if len(known) > most:
                        return False
    return True


def _also(known: Array | None, used: Array) -> Array:
    if known is None:
        return used
    both: Array = call("unique", pa.concat_arrays([known, used.cast(known.type)]))
    return both


def _used(column: Array) -> Array:
    """The distinct values of a column, nulls left out."""
    if pa.types.is_dictionary(column.type):
        of = parts(column)
        values = convert(of.dictionary, transport_type(of.dictionary.type))
        column = values.take(call("unique", of.indices).drop_null())
    if pa.types.is_decimal(column.type) and column.type.bit_width < 128:  # which Arrow does not compare
        column = column.cast(pa.decimal128(column.type.precision, column.type.scale))
    found: Array = call("unique", column).drop_null()
    return found


def _widened(kind: pa.DataType) -> pa.DataType:
    """Narrow indices inside nested types are widened without counting."""
    of = parts(kind)
    if pa.types.is_dictionary(kind):
        return dictionary(pa.int32(), of.value_type, of.ordered) if _holds_narrow(kind) else kind
    if not pa.types.is_nested(kind) or not _holds_narrow(kind):
        return kind
    return with_children(kind, [field.with_type(_widened(field.type)) for field in children(kind)])


def _holds_narrow(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return bool(parts(kind).index_type.bit_width < 32)
    return pa.types.is_nested(kind) and any(_holds_narrow(field.type) for field in children(kind))
