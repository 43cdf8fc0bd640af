"""Columns of JSON: what Arrow's parser is asked for, and what is made of it.

Arrow takes every time for UTC, whatever offset stands behind it, and every date for a time. So dates and times are read
as text, and become values by the rules that CSV has (`forms`), at any depth. Pure.
"""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, Field, call, children, parts
from shuffle_worker.columns.schema import convert
from shuffle_worker.readers.digits import beyond
from shuffle_worker.readers.forms import MOMENTS, Inferred, infer_named, typed
from shuffle_worker.readers.text_types import field_of

NAMED: list[pa.DataType] = [pa.date32(), *MOMENTS]
"""The types that text is tried as, when types are found: what JSON writes without quotes says itself what it is."""


def parsed_as(field: Field) -> Field:
    """The type that Arrow's parser is asked for: the one that is wanted, or one that is brought to it afterwards."""
    return field.with_type(_parsed_as(field.type)).with_nullable(True)


def _parsed_as(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_decimal32(kind) or types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if types.is_dictionary(kind):
        return _parsed_as(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([parsed_as(field) for field in children(kind)])
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(parsed_as(parts(kind).value_field).with_name("item"))
    return kind


def bare_numbers(field: Field) -> Field:
    """The same with doubles for decimals, which Arrow takes from quotes too."""
    return field.with_type(_bare_numbers(field.type))


def _bare_numbers(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_struct(kind):
        return pa.struct([bare_numbers(field) for field in children(kind)])
    return pa.list_(bare_numbers(parts(kind).value_field)) if pa.types.is_list(kind) else kind


def found_field(name: str, column: Array) -> Field:
    """The type of a column that was parsed as `parsed_as` says, with what is noted beside it."""
    kind, types = column.type, pa.types
    if types.is_string(kind):
        return pa.field(name, infer_named(column, NAMED))
    if types.is_int64(kind):
        return field_of(name, Inferred(kind, long=beyond(column)))
    if types.is_list(kind):
        return pa.field(name, pa.list_(found_field("item", parts(column).flatten())))
    if types.is_struct(kind):
        inner = [found_field(field.name, parts(column).field(at)) for at, field in enumerate(children(kind))]
        return pa.field(name, pa.struct(inner))
    return pa.field(name, kind)


def brought(batch: pa.RecordBatch, types: pa.Schema | None, declared: frozenset[str]) -> pa.RecordBatch:
    """Columns that were parsed as something else to their types; others, and those with fields that the types do not
    have, as they are. declared: columns whose types the job says. Raises pa.ArrowInvalid and Unfit."""
    for at, field in enumerate(batch.schema):
        kind = field.type if types is None or field.name not in types.names else types.field(field.name).type
        if kind == field.type or _parsed_as(kind) != field.type:
            continue
        column = _brought(batch.column(at), kind, field.name in declared)
        batch = batch.set_column(at, pa.field(field.name, kind), column)
    return batch


def _brought(column: Array, kind: pa.DataType, declared: bool) -> Array:
    types, of = pa.types, parts(column)
    if column.type == kind:
        return column
    if types.is_dictionary(kind):
        return convert(_brought(column, kind.value_type, declared), kind)
    if types.is_string(column.type):
        return typed(column, kind, declared=declared)
    absent = column.is_null()
    if types.is_struct(kind):
        inner = [
            _brought(of.field(of.type.get_field_index(field.name)), field.type, declared) for field in children(kind)
        ]
        whole: Array = parts(pa.StructArray).from_arrays(inner, fields=children(kind), mask=absent)
        return whole
    if types.is_list(column.type):
        item = parts(kind).value_field
        values = _brought(_items(column), item.type, declared)
        plain = parts(pa.ListArray).from_arrays(_offsets(column), values, type=pa.list_(item), mask=absent)
        return convert(plain, kind)
    return convert(column, kind)


def _offsets(column: Array) -> Array:
    """Of the lists of a column in its flattened items."""
    of = parts(column)
    begin: Array = call("subtract", of.offsets, of.offsets[0])
    return begin


def _items(column: Array) -> Array:
    """The items between the first offset and the last one; null lists have none where Arrow has parsed them."""
    offsets = parts(column).offsets
    begin = offsets[0].as_py()
    items: Array = parts(column).values.slice(begin, offsets[len(column)].as_py() - begin)
    return items
