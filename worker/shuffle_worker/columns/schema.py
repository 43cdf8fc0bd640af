"""The schemas of a job: the one that the output declares, and the one that travels.

`unify` (in `unify.py`) makes one schema for all input files, and the output files declare it. Rows travel in the
*transport schema*: the same columns with the plain form of each type (no dictionaries, views, run-ends or extensions),
because gathers, shards and local steps need one layout for each meaning. The writer goes back with `restore`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import Array, Field, children, parts, schema_of
from shuffle_worker.columns.convert import convert, plain_field, transport_type, with_children
from shuffle_worker.columns.kinds import is_extension
from shuffle_worker.columns.unify import unify
from shuffle_worker.storage.failures import said

__all__ = ["convert", "restore", "to_transport", "transport_schema", "transport_type", "unify"]

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


def transport_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in which rows travel: the same names, order, nullability and metadata, but plain types."""
    return schema_of([plain_field(field) for field in schema], schema.metadata)


def to_transport(array: Array) -> Array:
    return convert(array, transport_type(array.type))


def restore(rows: Rows, schema: pa.Schema) -> Rows:
    """Rows of the transport schema with their declared types (dictionary-encoded if declared so). Raises DataError if a
    value does not fit."""
    if rows.schema.equals(schema, check_metadata=True):
        return rows
    columns: list[Any] = []
    for field, column in zip(schema, rows.columns, strict=True):
        if column.type == field.type:
            columns.append(column)
        elif isinstance(column, pa.ChunkedArray):
            columns.append(pa.chunked_array([_declared(chunk, field) for chunk in column.chunks], type=field.type))
        else:
            columns.append(_declared(column, field))
    return type(rows).from_arrays(columns, schema=schema)


def _declared(column: Array, field: Field) -> Array:
    try:
        return convert(column, field.type)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"column {field.name!r} is {column.type} and is written as {field.type}, and a value does not fit: "
            f"{said(error)}"
        ) from error


def meaning_schema(schema: pa.Schema) -> pa.Schema:
    """The transport schema, but with extension types: a UUID is still one. Casts depend on them."""
    return schema_of([field.with_type(_meaning(field.type)) for field in schema], schema.metadata)


def _meaning(kind: pa.DataType) -> pa.DataType:
    if is_extension(kind):
        return kind
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _meaning(parts(kind).value_type)
    if not pa.types.is_nested(kind) or pa.types.is_union(kind):
        return transport_type(kind)
    fields: list[Field] = [field.with_type(_meaning(field.type)) for field in children(kind)]
    if all(new.type == old.type for new, old in zip(fields, children(kind), strict=True)):
        return kind if transport_type(kind) == kind else with_children(kind, fields)
    return with_children(kind, fields)
