"""The schemas of a job: what the output declares, and what travels.

`unify` (from `unify.py`) works out one schema for all input files. It is what the output files declare. While rows
travel they have the *transport schema*: the same columns with the plain form of each type (no dictionaries, no views,
no run-ends), for gathers, shards and local steps want one layout for each meaning. `restore` goes back, in the writer.
"""

from __future__ import annotations

from typing import Any, TypeVar

import pyarrow as pa

from shuffle_worker.plan.arrow import (
    Array,
    Field,
    call,
    children,
    fixed_size_list,
    map_of,
    nulls,
    parts,
    scalar,
    schema_of,
)
from shuffle_worker.plan.unify import unify

__all__ = ["convert", "restore", "to_transport", "transport_schema", "transport_type", "unify"]

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


def transport_type(kind: pa.DataType) -> pa.DataType:
    """The plain form of a type, nested ones included; a type that is plain already is returned as it is (a rebuilt map
    would lose the names of its parts)."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return transport_type(kind.value_type)
    view = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    if pa.types.is_nested(kind) and not view and all(transport_type(one.type) == one.type for one in children(kind)):
        return kind
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
        return fixed_size_list(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(field) for field in kind])
    if pa.types.is_map(kind):
        return map_of(_plain_field(kind.key_field), _plain_field(kind.item_field), kind.keys_sorted)
    return kind


def transport_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of rows on their way: the same names, order, nullability and metadata, plain types."""
    return schema_of([_plain_field(field) for field in schema], schema.metadata)


def to_transport(array: Array) -> Array:
    return convert(array, transport_type(array.type))


def restore(rows: Rows, schema: pa.Schema) -> Rows:
    """Rows of the transport schema with the declared types again (values dictionary-encoded where declared)."""
    if rows.schema.equals(schema, check_metadata=True):
        return rows
    columns: list[Any] = []
    for field, column in zip(schema, rows.columns, strict=True):
        if column.type == field.type:
            columns.append(column)
        elif isinstance(column, pa.ChunkedArray):
            columns.append(pa.chunked_array([convert(chunk, field.type) for chunk in column.chunks], type=field.type))
        else:
            columns.append(convert(column, field.type))
    return type(rows).from_arrays(columns, schema=schema)


def convert(array: Array, kind: pa.DataType) -> Array:
    """A safe cast that also knows what Arrow's does not: dictionaries of any value type, at any depth.

    Raises pa.ArrowInvalid where a value does not fit."""
    if array.type == kind:
        return array
    if pa.types.is_dictionary(array.type):
        return convert(parts(array).dictionary_decode(), kind)
    if pa.types.is_run_end_encoded(array.type):
        return convert(call("run_end_decode", array), kind)
    if pa.types.is_dictionary(kind):
        return _encode(convert(array, parts(kind).value_type), kind)
    if pa.types.is_null(array.type):
        return nulls(len(array), kind)
    if pa.types.is_nested(kind) and (_holds_dictionary(array.type) or _holds_dictionary(kind)):
        rebuilt: Array = _rebuilt(array, kind)
        return rebuilt
    return array.cast(kind)


def _rebuilt(array: Array, kind: pa.DataType) -> Any:
    """A nested array with its children converted one by one."""
    of, to = parts(array), parts(kind)
    absent = array.is_null()
    if pa.types.is_struct(kind):
        children_of = [convert(of.field(of.type.get_field_index(field.name)), field.type) for field in children(kind)]
        return parts(pa.StructArray).from_arrays(children_of, fields=children(kind), mask=absent)
    if pa.types.is_fixed_size_list(kind):
        values = of.values.slice(array.offset * to.list_size, len(array) * to.list_size)
        return parts(pa.FixedSizeListArray).from_arrays(convert(values, to.value_type), type=kind, mask=absent)
    if pa.types.is_map(kind):
        keys, items = convert(of.keys, to.key_type), convert(of.items, to.item_type)
        return parts(pa.MapArray).from_arrays(_offsets(array), keys, items, type=kind, mask=absent)
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        make = pa.large_list if pa.types.is_large_list_view(array.type) else pa.list_
        of = of.cast(make(of.type.value_field))
    wide = pa.types.is_large_list(kind)
    offsets = _offsets(of).cast(pa.int64() if wide else pa.int32())
    shape = parts(pa.LargeListArray if wide else pa.ListArray)
    return shape.from_arrays(offsets, convert(of.values, to.value_type), type=kind, mask=absent)


def _offsets(array: Array) -> Array:
    """The offsets of a list or map array as an array that begins at its own first element."""
    offsets = parts(array).offsets
    copied: Array = call("add", offsets, scalar(0, offsets.type))
    return copied


def _encode(values: Array, kind: pa.DataType) -> Array:
    encoded = values.dictionary_encode()
    if encoded.type == kind:
        return encoded
    to = parts(kind)
    found: Array = parts(pa.DictionaryArray).from_arrays(
        encoded.indices.cast(to.index_type), encoded.dictionary, ordered=to.ordered
    )
    return found


def _holds_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    if pa.types.is_nested(kind):
        return any(_holds_dictionary(kind.field(at).type) for at in range(kind.num_fields))
    return False


def _plain_field(field: Field) -> Field:
    return field.with_type(transport_type(field.type))
