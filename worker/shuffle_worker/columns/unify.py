"""One schema out of many files' schemas, or an error that names the column, both files and both types.

Types are widened if nothing can be lost: a missing column (null), the null type, integer widths, float widths,
decimals, text and binary layouts, dictionaries and runs, units of dates and timestamps, names of one time zone; and the
same inside lists, structs and maps. Everything that would change what a value means is refused: text and number,
integer and float, zoned and zoneless times, ...

Called by `inputs/reading.py`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_protocol.names import check_once
from shuffle_worker.columns.arrow import (
    Field,
    dictionary,
    duration,
    finest,
    fixed_size_list,
    map_of,
    parts,
    schema_of,
    time_of_day,
    timestamp,
)
from shuffle_worker.columns.kinds import values_of
from shuffle_worker.columns.zones import same_zone

_SIGNED = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_UNSIGNED = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}


class Conflict(Exception):
    """Two types have no common one."""


Common = Callable[[Field, Field], Field]
"""Returns a field that holds the values of both. Raises Conflict."""


def unify(schemas: Iterable[tuple[pa.Schema, str]], common: Common | None = None, cure: str = "") -> pa.Schema:
    """The schema that holds the rows of all files. schemas: (schema, file name) in input order.

    Columns are in the order in which they first appear; the metadata is the first file's. common: returns the common
    field of two (`common_field`). cure: what else to do if there is none, for the message. Raises DataError."""
    noted = common is not None  # the common field may depend on metadata beside the types
    common = common or common_field
    cure = f"{cure}, " if cure else ""
    fields: dict[str, Field] = {}
    origin: dict[str, str] = {}
    metadata: dict[bytes, bytes] | None = None
    last: pa.Schema | None = None
    count = 0
    for schema, file in schemas:
        count += 1
        if count == 1:
            metadata = schema.metadata
        if last is not None and schema.equals(last, check_metadata=noted):
            continue  # usual: thousands of files with one schema
        check_once(schema.names, file)
        for field in schema:
            known = fields.get(field.name)
            if known is None:
                # earlier files lack this column, so it is null there
                fields[field.name] = field if count == 1 else field.with_nullable(True)
                origin[field.name] = file
            else:
                fields[field.name] = _unify_column(known, field, origin, file, common, cure)
        for name in fields.keys() - set(schema.names):
            fields[name] = fields[name].with_nullable(True)
        last = schema
    return schema_of(list(fields.values()), metadata)


def _unify_column(known: Field, field: Field, origin: dict[str, str], file: str, common: Common, cure: str) -> Field:
    try:
        found = common(known, field)
    except Conflict as conflict:
        detail = f" ({conflict})" if str(conflict) else ""
        raise DataError(
            f"column {field.name!r} is {known.type} in {origin[field.name]} but {field.type} in {file}{detail}; "
            f"the two have no common type without loss: convert one of the files, {cure}"
            "or leave the column out with `columns`"
        ) from None
    if found.type != known.type:
        origin[field.name] = file if found.type == field.type else f"{origin[field.name]} (with {file})"
    return found


def common_field(left: Field, right: Field) -> Field:
    """The first field's name and metadata, with the common type. Raises Conflict."""
    return left.with_type(common_type(left.type, right.type)).with_nullable(left.nullable or right.nullable)


def common_type(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """The narrowest type that holds every value of both with the same meaning. Raises Conflict."""
    if left == right:
        return left
    if pa.types.is_null(left):
        return right
    if pa.types.is_null(right):
        return left
    if pa.types.is_dictionary(left) and pa.types.is_dictionary(right):
        if left.ordered != right.ordered:
            return common_type(left.value_type, right.value_type)
        index = left.index_type if left.index_type.bit_width >= right.index_type.bit_width else right.index_type
        return dictionary(index, common_type(left.value_type, right.value_type), left.ordered)
    if values_of(left) != left or values_of(right) != right:
        return common_type(values_of(left), values_of(right))
    for rule in (_integers, _floats, _decimals, _text, _bytes, _times, _lists, _structs, _maps):
        found = rule(left, right)
        if found is not None:
            return found
    raise Conflict


def _integers(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if not (pa.types.is_integer(left) and pa.types.is_integer(right)):
        return None
    signed = pa.types.is_signed_integer(left), pa.types.is_signed_integer(right)
    if signed[0] == signed[1]:
        widths = _SIGNED if signed[0] else _UNSIGNED
        return widths[max(left.bit_width, right.bit_width)]
    whole, natural = (left, right) if signed[0] else (right, left)
    width = max(whole.bit_width, natural.bit_width * 2)
    if width > 64:
        raise Conflict("no integer type holds the values of both")
    return _SIGNED[width]


def _floats(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if pa.types.is_floating(left) and pa.types.is_floating(right):
        return left if left.bit_width > right.bit_width else right
    return None


def _decimals(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if not (pa.types.is_decimal(left) and pa.types.is_decimal(right)):
        return None
    scale = max(left.scale, right.scale)
    precision = max(left.precision - left.scale, right.precision - right.scale) + scale
    width = max(left.bit_width, right.bit_width)
    for bits, digits, make in (
        (32, 9, pa.decimal32),
        (64, 18, pa.decimal64),
        (128, 38, pa.decimal128),
        (256, 76, pa.decimal256),
    ):
        if bits >= width and precision <= digits:
            found: pa.DataType = make(precision, scale)
            return found
    raise Conflict(f"{precision} digits would be needed, 76 are the most")


def _text(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    return _layouts(left, right, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def _bytes(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if pa.types.is_fixed_size_binary(left) or pa.types.is_fixed_size_binary(right):
        kinds = (pa.types.is_fixed_size_binary, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
        if not all(any(is_kind(one) for is_kind in kinds) for one in (left, right)):
            return None
        other = right if pa.types.is_fixed_size_binary(left) else left
        return pa.large_binary() if pa.types.is_large_binary(other) else pa.binary()
    return _layouts(left, right, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def _layouts(left: pa.DataType, right: pa.DataType, plain: object, large: object, view: object) -> pa.DataType | None:
    """The common layout of one meaning: large if one of the two is large, otherwise plain."""
    kinds = [kind for kind in (plain, large, view) if callable(kind)]
    if not all(any(is_kind(one) for is_kind in kinds) for one in (left, right)):
        return None
    is_large = kinds[1]
    if is_large(left) or is_large(right):
        return left if is_large(left) else right
    is_plain = kinds[0]
    return left if is_plain(left) else right


def _times(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_timestamp(left) and types.is_timestamp(right):
        if (left.tz is None) != (right.tz is None):
            raise Conflict("one has a time zone, the other has none")
        if left.tz is not None and not same_zone(left.tz, right.tz):
            raise Conflict("the time zones differ")
        return timestamp(_finest(left.unit, right.unit), left.tz)
    if types.is_date(left) and types.is_date(right):
        return pa.date64()
    if types.is_duration(left) and types.is_duration(right):
        return duration(_finest(left.unit, right.unit))
    if types.is_time(left) and types.is_time(right):
        return time_of_day(_finest(left.unit, right.unit))
    return None


def _finest(*units: str) -> str:
    return finest(units)


def _lists(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_fixed_size_list(left) and types.is_fixed_size_list(right) and left.list_size == right.list_size:
        return fixed_size_list(_child(left.value_field, right.value_field), left.list_size)
    if not (_is_list(left) and _is_list(right)):
        return None
    child = _child(parts(left).value_field, parts(right).value_field)
    wide = any(types.is_large_list(one) or types.is_large_list_view(one) for one in (left, right))
    return pa.large_list(child) if wide else pa.list_(child)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view, types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _structs(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if not (pa.types.is_struct(left) and pa.types.is_struct(right)):
        return None
    fields: dict[str, Field] = {}
    for field in left:
        at = right.get_field_index(field.name)
        fields[field.name] = field.with_nullable(True) if at < 0 else _child(field, right.field(at))
    for field in right:
        fields.setdefault(field.name, field.with_nullable(True))
    return pa.struct(list(fields.values()))


def _maps(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if not (pa.types.is_map(left) and pa.types.is_map(right)):
        return None
    key = _child(left.key_field, right.key_field).with_nullable(False)
    item = _child(left.item_field, right.item_field)
    return map_of(key, item, left.keys_sorted and right.keys_sorted)


def _child(left: Field, right: Field) -> Field:
    try:
        kind = common_type(left.type, right.type)
    except Conflict as conflict:
        detail = str(conflict) or f"{left.name!r} inside: {left.type} and {right.type}"
        raise Conflict(detail) from None
    return left.with_type(kind).with_nullable(left.nullable or right.nullable)
