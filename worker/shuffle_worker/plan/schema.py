"""The schemas of a job: what the output declares, and what travels.

`unify` (from `unify.py`) works out one schema for all input files. It is what the output files declare. While rows
travel they have the *transport schema*: the same columns with the plain form of each type (no dictionaries, no views,
no run-ends), for gathers, shards and local steps want one layout for each meaning. `restore` goes back, in the writer.
"""

from __future__ import annotations

from typing import TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.plan.unify import unify

__all__ = ["convert", "restore", "to_transport", "transport_schema", "transport_type", "unify"]

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


def transport_type(kind: pa.DataType) -> pa.DataType:
    """The plain form of a type, nested ones included."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return transport_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list_view(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list_view(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain_field(kind.key_field), _plain_field(kind.item_field), keys_sorted=kind.keys_sorted)
    return kind


def transport_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of rows on their way: the same names, order, nullability and metadata, plain types."""
    return pa.schema([_plain_field(field) for field in schema], metadata=schema.metadata)


def to_transport(array: pa.Array) -> pa.Array:
    return convert(array, transport_type(array.type))


def restore(rows: Rows, schema: pa.Schema) -> Rows:
    """Rows of the transport schema with the declared types again (values dictionary-encoded where declared)."""
    if rows.schema.equals(schema, check_metadata=True):
        return rows
    columns: list[pa.Array | pa.ChunkedArray] = []
    for field, column in zip(schema, rows.columns, strict=True):
        if column.type == field.type:
            columns.append(column)
        elif isinstance(column, pa.ChunkedArray):
            columns.append(pa.chunked_array([convert(chunk, field.type) for chunk in column.chunks], type=field.type))
        else:
            columns.append(convert(column, field.type))
    if isinstance(rows, pa.Table):
        return cast("Rows", pa.Table.from_arrays(columns, schema=schema))
    return cast("Rows", pa.RecordBatch.from_arrays(cast("list[pa.Array]", columns), schema=schema))


def convert(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """A safe cast that also knows what Arrow's does not: dictionaries of any value type, at any depth.

    Raises pa.ArrowInvalid where a value does not fit."""
    if array.type == kind:
        return array
    if pa.types.is_dictionary(array.type):
        return convert(array.dictionary_decode(), kind)
    if pa.types.is_run_end_encoded(array.type):
        return convert(pc.run_end_decode(array), kind)
    if pa.types.is_dictionary(kind):
        return _encode(convert(array, kind.value_type), kind)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), kind)
    if not _holds_dictionary(array.type) and not _holds_dictionary(kind):
        return array.cast(kind)
    if pa.types.is_struct(kind) and pa.types.is_struct(array.type):
        children = [convert(array.field(array.type.get_field_index(field.name)), field.type) for field in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    if pa.types.is_fixed_size_list(kind) and pa.types.is_fixed_size_list(array.type):
        size = kind.list_size
        values = array.values.slice(array.offset * size, len(array) * size)
        return pa.FixedSizeListArray.from_arrays(convert(values, kind.value_type), type=kind, mask=array.is_null())
    if pa.types.is_map(kind) and pa.types.is_map(array.type):
        keys, items = convert(array.keys, kind.key_type), convert(array.items, kind.item_type)
        return pa.MapArray.from_arrays(_offsets(array), keys, items, type=kind, mask=array.is_null())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
            wide = pa.types.is_large_list_view(array.type)
            make = pa.large_list if wide else pa.list_
            array = array.cast(make(array.type.value_field))
        values = convert(array.values, kind.value_type)
        shape = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
        offsets = _offsets(array).cast(pa.int64() if shape is pa.LargeListArray else pa.int32())
        return shape.from_arrays(offsets, values, type=kind, mask=array.is_null())
    return array.cast(kind)


def _offsets(array: pa.Array) -> pa.Array:
    """The offsets of a list or map array as an array that begins at its own first element."""
    return pc.add(array.offsets, pa.scalar(0, array.offsets.type))


def _encode(values: pa.Array, kind: pa.DataType) -> pa.Array:
    encoded = values.dictionary_encode()
    if encoded.type == kind:
        return encoded
    indices = encoded.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary, ordered=kind.ordered)


def _holds_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    if pa.types.is_nested(kind):
        return any(_holds_dictionary(kind.field(at).type) for at in range(kind.num_fields))
    return False


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(transport_type(field.type))
