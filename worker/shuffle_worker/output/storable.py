"""What a format makes of a schema: the types that its files hold, or a refusal that names the column and the cure.

Asked when a job is planned, so that no job fails for a type after all its rows have been moved. Where a format lacks a
type but has one that holds the same values, that one is written (`uint8` as `int16` in ORC, a UUID as its text in CSV);
where it has none, the job is refused. tests/formats/test_every_type.py goes through all of Arrow's types. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.formats import WRITABLE
from shuffle_worker.columns.arrow import Field, children, dictionary, map_of, parts, schema_of, timestamp
from shuffle_worker.columns.convert import transport_type, with_children
from shuffle_worker.columns.kinds import is_carried, is_extension, is_list_view, is_text, is_uuid

KEEP_SCHEMA = ("Parquet", "Feather")
"""Formats that know of nullability, of notes on columns, and of extension types."""

MOST_DIGITS = 76


def storable(schema: pa.Schema, name: str) -> pa.Schema:
    """The schema as files of the format hold it. Raises InvalidSpec."""
    fields = [_stored(field, name) for field in schema]
    return schema_of(fields, schema.metadata if name in KEEP_SCHEMA else None)


def _stored(field: Field, name: str) -> Field:
    kind = form(field.type, name)
    if kind is None:
        others = [other for other in WRITABLE if form(field.type, other) is not None]
        more = f", or write {' or '.join(others)}" if others else ""
        raise InvalidSpec(
            f"output.format: {name} cannot hold the column {field.name!r}, which is {field.type}; leave it out with "
            f"`columns`{more}"
        )
    return field.with_type(kind) if name in KEEP_SCHEMA else pa.field(field.name, kind)


def form(kind: pa.DataType, name: str, *, inside: bool = False) -> pa.DataType | None:
    """The type that files of a format have for values of this one; None where they have none. inside: of another."""
    types, of = pa.types, parts(kind)
    if types.is_dictionary(kind):
        kept = _dictionary(kind, name, inside=inside)
        return form(of.value_type, name, inside=inside) if kept is None else kept
    if types.is_run_end_encoded(kind):
        return form(of.value_type, name, inside=inside)
    if is_extension(kind):
        return _extension(kind, name, inside=inside)
    if not types.is_nested(kind):
        found = _RULES[name](kind) if is_carried(kind) else None
        # Arrow writes views to Parquet, but not slices of them, which is what lists are made of
        return transport_type(kind) if found == kind and inside and name == "Parquet" else found
    return None if name == "CSV" or types.is_union(kind) else _nested(kind, name)


def _dictionary(kind: pa.DataType, name: str, *, inside: bool) -> pa.DataType | None:
    """A dictionary that stays one in the file: of values that Arrow looks up and the format has a dictionary for. One
    of Feather stays in memory while the file is written, so only a small one is kept."""
    types, of = pa.types, parts(kind)
    values = transport_type(of.value_type)
    kept = types.is_string(values) or types.is_large_string(values) or types.is_binary(values)
    kept = kept or types.is_integer(values)
    if name == "Feather":
        numbers = types.is_float32(values) or types.is_float64(values) or types.is_decimal(values)
        times = types.is_temporal(values) and not types.is_interval(values)
        narrow = types.is_decimal(values) and values.bit_width < 128
        kept = (kept or numbers or times) and not narrow and not inside and of.index_type.bit_width <= 16
    if name not in KEEP_SCHEMA or not kept or is_extension(of.value_type):
        return None
    return dictionary(of.index_type, values, of.ordered)


def _extension(kind: pa.DataType, name: str, *, inside: bool) -> pa.DataType | None:
    storage = parts(kind).storage_type
    if is_uuid(kind) and name in ("CSV", "JSON"):
        return pa.string()
    found = form(storage, name, inside=inside)
    return kind if name in KEEP_SCHEMA and found == storage else found


def _nested(kind: pa.DataType, name: str) -> pa.DataType | None:
    types, of = pa.types, parts(kind)
    if types.is_map(kind):
        return _map(kind, name)
    if name == "Parquet" and types.is_struct(kind) and not of.num_fields:
        return None
    fields: list[Field] = []
    for child in children(kind):
        found = form(child.type, name, inside=True)
        if found is None:
            return None
        fields.append(child.with_type(found) if name in KEEP_SCHEMA else pa.field(child.name, found))
    if name not in KEEP_SCHEMA:
        return pa.struct(fields) if types.is_struct(kind) else pa.list_(fields[0])
    same = all(new.type == old.type for new, old in zip(fields, children(kind), strict=True))
    return kind if same and not is_list_view(kind) else with_children(kind, fields)


def _map(kind: pa.DataType, name: str) -> pa.DataType | None:
    of = parts(kind)
    key, item = form(of.key_type, name, inside=True), form(of.item_type, name, inside=True)
    if key is None or item is None or (name == "JSON" and not is_text(key)):
        return None
    same: bool = key == of.key_type and item == of.item_type
    return kind if same else map_of(of.key_field.with_type(key), of.item_field.with_type(item), of.keys_sorted)


def _whole(kind: pa.DataType) -> pa.DataType | None:
    """A decimal without a negative scale, which Arrow alone knows; any other type as it is."""
    if not pa.types.is_decimal(kind) or parts(kind).scale >= 0:
        return kind
    digits = parts(kind).precision - parts(kind).scale
    if digits > MOST_DIGITS:
        return None
    return pa.decimal128(digits, 0) if digits <= 38 else pa.decimal256(digits, 0)


def _parquet(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_interval(kind):
        return None
    if pa.types.is_timestamp(kind) and kind.unit == "s":  # which Parquet lacks; cast by us, because our cast is checked
        return timestamp("ms", kind.tz)
    return _whole(kind)


def _plain_text(kind: pa.DataType) -> pa.DataType | None:
    """What its text shows, given its type."""
    types = pa.types
    if types.is_string_view(kind):
        return pa.string()
    if types.is_decimal(kind):
        return _whole(kind)
    numbers = types.is_integer(kind) or types.is_floating(kind)
    times = types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind)
    return kind if numbers or times or types.is_boolean(kind) or types.is_null(kind) or is_text(kind) else None


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
    if types.is_binary_view(kind) or types.is_large_binary(kind):
        return pa.binary()
    if types.is_date64(kind):
        return pa.date32()
    if types.is_decimal(kind):
        whole = _whole(kind)
        fits = whole is not None and parts(whole).precision <= 38
        return pa.decimal128(parts(whole).precision, parts(whole).scale) if fits else None
    if types.is_fixed_size_binary(kind):
        return pa.binary()
    lacking = types.is_time(kind) or types.is_duration(kind) or types.is_null(kind) or types.is_interval(kind)
    return None if lacking or kind == pa.uint64() else kind


_RULES: dict[str, Callable[[pa.DataType], pa.DataType | None]] = {
    "Parquet": _parquet,
    "CSV": _plain_text,
    "JSON": _plain_text,
    "ORC": _orc,
    "Feather": lambda kind: kind,
}
