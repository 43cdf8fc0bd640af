"""What a format makes of a schema: the types that its files hold, or a refusal that names the column and the cure.

Asked when a job is planned, so that no job fails for a type after all its rows have been moved. Where a format lacks a
type but has one that holds the same values, that one is written (`uint8` as `int16` in ORC); where it has none, the job
is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan.arrow import Field, children, fixed_size_list, map_of, parts, schema_of

Rule = Callable[[pa.DataType, bool], pa.DataType | None]
"""(type, whether it is inside of another) -> what is written for it, None where the format cannot hold it. Nested types
are taken apart before."""

_ADVICE = {
    "CSV": "leave it out with `columns`, or write Parquet, Feather or JSON",
    "JSON": "leave it out with `columns`, or write Parquet or Feather",
    "ORC": "leave it out with `columns`, or write Parquet or Feather",
    "Feather": "leave it out with `columns`, or write Parquet",
}


def storable(schema: pa.Schema, name: str) -> pa.Schema:
    """The schema as files of the format hold it. Raises InvalidSpec."""
    if name == "Parquet":
        return schema
    return schema_of([_stored(field, name) for field in schema], schema.metadata if name == "Feather" else None)


def _stored(field: Field, name: str) -> Field:
    kind = _rebuilt(field.type, name, inside=False)
    if kind is None:
        raise InvalidSpec(
            f"output.format: {name} cannot hold the column {field.name!r}, which is {field.type}; {_ADVICE[name]}"
        )
    if name == "Feather":
        return field.with_type(kind)
    return pa.field(field.name, kind)  # no other format but Parquet knows of nullability and of notes on columns


def _rebuilt(kind: pa.DataType, name: str, *, inside: bool) -> pa.DataType | None:
    types = pa.types
    of = parts(kind)
    if types.is_dictionary(kind):
        narrow = of.index_type.bit_width <= 16
        if name == "Feather" and narrow and not inside:
            return kind  # its dictionary stays in memory while a file is written, so only a small one is kept
        return _rebuilt(of.value_type, name, inside=inside)
    if types.is_run_end_encoded(kind):
        return _rebuilt(of.value_type, name, inside=inside)
    if isinstance(kind, pa.BaseExtensionType):
        return kind if name == "Feather" else _rebuilt(of.storage_type, name, inside=inside)
    if not types.is_nested(kind):
        return _RULES[name](kind)
    if name == "CSV":
        return None
    fields: list[Field] = []
    for child in children(kind):
        found = _rebuilt(child.type, name, inside=True)
        if found is None:
            return None
        fields.append(child.with_type(found) if name == "Feather" else pa.field(child.name, found))
    if types.is_struct(kind):
        return pa.struct(fields)
    if types.is_map(kind):
        key = _rebuilt(of.key_type, name, inside=True)
        item = _rebuilt(of.item_type, name, inside=True)
        if key is None or item is None or (name == "JSON" and not _text(key)):
            return None
        same: bool = key == of.key_type and item == of.item_type
        if same:
            return kind
        return map_of(of.key_field.with_type(key), of.item_field.with_type(item), of.keys_sorted)
    child = fields[0]
    if name == "Feather":
        if types.is_fixed_size_list(kind):
            return fixed_size_list(child, of.list_size)
        if child.type == parts(kind).value_type:
            return kind
        large = types.is_large_list(kind) or types.is_large_list_view(kind)
        return pa.large_list(child) if large else pa.list_(child)
    return pa.list_(child)


def _text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _plain_text(kind: pa.DataType) -> pa.DataType | None:
    """What can be told from its text, given its type."""
    types = pa.types
    if types.is_string_view(kind):
        return pa.string()
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    times = types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind)
    return kind if numbers or times or types.is_boolean(kind) or types.is_null(kind) or _text(kind) else None


_WIDER: dict[pa.DataType, pa.DataType] = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.float16(): pa.float32(),
}


def _orc(kind: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if kind in _WIDER:
        return _WIDER[kind]
    if types.is_string_view(kind) or types.is_large_string(kind):
        return pa.string()
    if types.is_binary_view(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_date64(kind):
        return pa.date32()
    if types.is_decimal32(kind) or types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    lacking = types.is_time(kind) or types.is_duration(kind) or types.is_null(kind) or types.is_decimal256(kind)
    return None if lacking or kind == pa.uint64() or types.is_interval(kind) else kind


_RULES: dict[str, Callable[[pa.DataType], pa.DataType | None]] = {
    "CSV": _plain_text,
    "JSON": _plain_text,
    "ORC": _orc,
    "Feather": lambda kind: kind,
}
