"""Typed calls of pyarrow for types that are known at run time; its stubs only describe types that stand in the code.

Used wherever columns may have any type of the input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:  # only the stubs have type parameters
    Array = pa.Array[Any]
    Scalar = pa.Scalar[Any]
    Field = pa.Field[Any]
else:
    Array, Scalar, Field = pa.Array, pa.Scalar, pa.Field
Values = Array | Scalar
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NANOS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Units a second, of each unit of time."""

_pa: Any = pa
_pc: Any = pc


def call(function: str, *arguments: object, **options: object) -> Any:
    """A compute function by its name, on arrays or scalars of any type."""
    return getattr(_pc, function)(*arguments, **options)


def parts(of: object) -> Any:
    """The same type, array or class without static type, for attributes that only some have: value_type, values,
    offsets, from_arrays, ..."""
    return of


def finest(units: Iterable[str]) -> str:
    """The finest of some units of time."""
    return min(units, key=NANOS.__getitem__)


def timestamp(unit: str, zone: str | None = None) -> pa.DataType:
    kind: pa.DataType = _pa.timestamp(unit, zone)
    return kind


def duration(unit: str) -> pa.DataType:
    kind: pa.DataType = _pa.duration(unit)
    return kind


def time_of_day(unit: str) -> pa.DataType:
    kind: pa.DataType = _pa.time64(unit) if unit in ("us", "ns") else _pa.time32(unit)
    return kind


def dictionary(index: pa.DataType, values: pa.DataType, ordered: bool) -> pa.DataType:
    kind: pa.DataType = _pa.dictionary(index, values, ordered)
    return kind


def map_of(key: Field, item: Field, keys_sorted: bool) -> pa.DataType:
    kind: pa.DataType = _pa.map_(key, item, keys_sorted=keys_sorted)
    return kind


def fixed_size_list(item: Field, size: int) -> pa.DataType:
    kind: pa.DataType = _pa.list_(item, size)
    return kind


def children(kind: pa.DataType) -> list[Field]:
    """The fields of a nested type."""
    return [parts(kind).field(at) for at in range(kind.num_fields)]


def schema_of(fields: list[Field], metadata: dict[bytes, bytes] | None) -> pa.Schema:
    schema: pa.Schema = _pa.schema(fields, metadata=metadata)
    return schema


def nulls(count: int, kind: pa.DataType) -> Array:
    array: Array = _pa.nulls(count, kind)
    return array


def repeated(value: Scalar, count: int) -> Array:
    array: Array = _pa.repeat(value, count)
    return array


def scalar(value: str | bool | int | float | Decimal | None, kind: pa.DataType | None = None) -> Scalar:
    """A value of a type, made from its text (`pa.scalar` would import pandas). kind: None means text.

    Raises pa.ArrowInvalid if the type cannot hold the value."""
    if value is None:
        nothing: Scalar = parts(nulls(1, kind or pa.null()))[0]
        return nothing
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    data = text.encode()
    ends = pa.py_buffer(struct.pack("<2i", 0, len(data)))
    one: Array = parts(pa.StringArray).from_buffers(1, ends, pa.py_buffer(data))
    found: Scalar = parts(one if kind is None else one.cast(kind))[0]
    return found


def int64_array(values: I64) -> Array:
    """Numbers as an Arrow array in the same memory (`pa.array` would import pandas)."""
    buffer: pa.Buffer = _pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.int64(), len(values), [None, buffer])


def bools(array: pa.BooleanArray | pa.ChunkedArray[Any]) -> Bools:
    """A boolean column without nulls as a NumPy array, from its bitmap."""
    whole: Array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    packed = np.frombuffer(_buffer(whole), np.uint8)
    return np.unpackbits(packed, bitorder="little")[whole.offset : whole.offset + len(whole)].view(np.bool_)


def true_rows(mask: pa.BooleanArray) -> I64:
    """The numbers of the rows where a mask is true (and not null)."""
    indices: Array = call("indices_nonzero", mask)
    found = np.frombuffer(_buffer(indices), np.uint64)[indices.offset : indices.offset + len(indices)]
    return found.astype(np.int64)


def _buffer(array: Array) -> Any:
    return array.buffers()[1] or b""
