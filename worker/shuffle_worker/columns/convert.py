"""Casts columns to another type of the same meaning, at any depth.

Arrow's cast does not know dictionaries of every value type, run-ends, list views, extension types, or types that hold
one of these. They are rebuilt here from their children. Called by the reader (to the plan's types), the local steps and
the writer (to the types of the output). Memory: the result, and the children while they are rebuilt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import (
    I64,
    Array,
    Field,
    call,
    children,
    fixed_size_list,
    int64_array,
    map_of,
    nulls,
    parts,
    scalar,
)
from shuffle_worker.columns.kinds import holds, is_extension, is_list_view, is_text, is_uuid
from shuffle_worker.columns.uuids import uuid_texts


def transport_type(kind: pa.DataType) -> pa.DataType:
    """The plain form of a type at any depth: no dictionaries, runs, views or extensions. Returns a plain type as it is,
    because a rebuilt map would lose the names of its parts."""
    types = pa.types
    if is_extension(kind):
        return transport_type(parts(kind).storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return transport_type(kind.value_type)
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if not types.is_nested(kind) or types.is_union(kind):
        return kind
    if not is_list_view(kind) and all(transport_type(one.type) == one.type for one in children(kind)):
        return kind
    return with_children(kind, [plain_field(field) for field in children(kind)])


def plain_field(field: Field) -> Field:
    return field.with_type(transport_type(field.type))


def with_children(kind: pa.DataType, fields: list[Field]) -> pa.DataType:
    """The same nested type with other children; list views become lists."""
    types = pa.types
    if types.is_struct(kind):
        return pa.struct(fields)
    if types.is_map(kind):
        entry = parts(fields[0].type)  # the only child of a map is its entries
        return map_of(entry.field(0), entry.field(1), parts(kind).keys_sorted)
    if types.is_fixed_size_list(kind):
        return fixed_size_list(fields[0], parts(kind).list_size)
    wide = types.is_large_list(kind) or types.is_large_list_view(kind)
    return pa.large_list(fields[0]) if wide else pa.list_(fields[0])


def convert(array: Array, kind: pa.DataType) -> Array:
    """A safe cast. A UUID becomes its text if text is wanted. Raises pa.ArrowInvalid if a value does not fit."""
    types, found = pa.types, array.type
    if found == kind:
        return array
    if is_extension(found):
        storage: Array = parts(array).storage
        return convert(uuid_texts(storage) if is_uuid(found) and is_text(kind) else storage, kind)
    if is_extension(kind):
        return _extended(array, kind)
    if types.is_dictionary(found):
        return _looked_up(parts(array).dictionary, parts(array).indices, kind)
    if types.is_run_end_encoded(found):
        return _looked_up(parts(array).values, int64_array(_runs(array)), kind)
    if types.is_dictionary(kind):
        return _encode(array, kind)
    if types.is_null(found):
        return nulls(len(array), kind)
    if types.is_nested(kind) and (holds(found, _special) or holds(kind, _special)):
        rebuilt: Array = _rebuilt(array, kind)
        return rebuilt
    return array.cast(kind)


def _special(kind: pa.DataType) -> bool:
    """Whether Arrow's cast does not know the type inside of a nested one."""
    types = pa.types
    encoded = types.is_dictionary(kind) or types.is_run_end_encoded(kind) or is_extension(kind)
    return encoded or is_list_view(kind) or types.is_string_view(kind) or types.is_binary_view(kind)


def _extended(array: Array, kind: pa.DataType) -> Array:
    storage = convert(array, parts(kind).storage_type)
    found: Array = parts(pa.ExtensionArray).from_storage(kind, storage)
    return found


def _looked_up(values: Array, places: Array, kind: pa.DataType) -> Array:
    """Decode a dictionary. values: the distinct ones. Arrow gathers only plain types."""
    return convert(convert(values, transport_type(kind)).take(places), kind)


def _runs(array: Array) -> I64:
    """The run of every row of a run-end encoded column, which may be a slice."""
    kind = parts(array).run_ends.type
    ends = np.frombuffer(parts(array).run_ends.buffers()[1], f"i{kind.bit_width // 8}")
    ends = ends[parts(array).run_ends.offset :][: len(parts(array).run_ends)]
    rows = np.arange(array.offset, array.offset + len(array), dtype=np.int64)
    return np.searchsorted(ends, rows, "right").astype(np.int64)


def _encode(array: Array, kind: pa.DataType) -> Array:
    to = parts(kind)
    encoded = convert(array, transport_type(kind)).dictionary_encode()
    if encoded.type == kind:
        return encoded
    found: Array = parts(pa.DictionaryArray).from_arrays(
        encoded.indices.cast(to.index_type), convert(encoded.dictionary, to.value_type), ordered=to.ordered
    )
    return found


# -- nested types, from their children -------------------------------------------------------------------------------


def _rebuilt(array: Array, kind: pa.DataType) -> Any:
    """A nested array with its children converted one by one."""
    types, to = pa.types, parts(kind)
    absent = array.is_null()
    if types.is_struct(kind):
        return _struct(array, kind, absent)
    if types.is_map(kind):
        of = parts(array)
        keys, items = convert(of.keys, to.key_type), convert(of.items, to.item_type)
        return parts(pa.MapArray).from_arrays(_offsets(array), keys, items, type=kind, mask=absent)
    if types.is_fixed_size_list(kind):
        values = parts(array).values.slice(array.offset * to.list_size, len(array) * to.list_size)
        return parts(pa.FixedSizeListArray).from_arrays(convert(values, to.value_type), type=kind, mask=absent)
    offsets, values = _listed(array)
    if is_list_view(kind):
        return _list_view(offsets, convert(values, to.value_type), kind, absent)
    wide = types.is_large_list(kind)
    shape = parts(pa.LargeListArray if wide else pa.ListArray)
    typed = offsets.cast(pa.int64() if wide else pa.int32())
    return shape.from_arrays(typed, convert(values, to.value_type), type=kind, mask=absent)


def _struct(array: Array, kind: pa.DataType, absent: Array) -> Any:
    of = parts(array)
    fields = children(kind)
    if not fields:
        return parts(pa.StructArray).from_arrays([], fields=[], mask=absent)
    columns = []
    for field in fields:
        at = of.type.get_field_index(field.name)
        columns.append(nulls(len(array), field.type) if at < 0 else convert(of.field(at), field.type))
    return parts(pa.StructArray).from_arrays(columns, fields=fields, mask=absent)


def _list_view(offsets: Array, values: Array, kind: pa.DataType, absent: Array) -> Any:
    wide = pa.types.is_large_list_view(kind)
    ends = _numbers(offsets)
    number = pa.int64() if wide else pa.int32()
    starts, sizes = (int64_array(of).cast(number) for of in (ends[:-1], np.diff(ends)))
    return parts(pa.LargeListViewArray if wide else pa.ListViewArray).from_arrays(
        starts, sizes, values, type=kind, mask=absent
    )


def _listed(array: Array) -> tuple[Array, Array]:
    """The offsets and the values of any kind of list."""
    of = parts(array)
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        offsets = np.arange(len(array) + 1, dtype=np.int64) * size
        return int64_array(offsets), of.values.slice(array.offset * size, len(array) * size)
    if not is_list_view(array.type):
        return _offsets(array), of.values
    sizes = _numbers(of.sizes)
    present = array.is_valid()
    if array.null_count:
        sizes = np.where(_numbers(call("cast", present, pa.int8())) != 0, sizes, 0)
    ends = np.zeros(len(array) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    places = np.arange(ends[-1], dtype=np.int64) + np.repeat(_numbers(of.offsets) - ends[:-1], sizes)
    values = convert(of.values, transport_type(array.type.value_type))
    return int64_array(ends), values.take(int64_array(places))


def _numbers(array: Array) -> I64:
    """Integers without nulls."""
    width = array.type.bit_width // 8
    data: Any = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), np.int64)
    found: I64 = np.frombuffer(data, f"i{width}")[array.offset :][: len(array)].astype(np.int64)
    return found


def _offsets(array: Array) -> Array:
    """The offsets of a list or map array as an array that begins at its own first element."""
    offsets = parts(array).offsets
    copied: Array = call("add", offsets, scalar(0, offsets.type))
    return copied
