"""Arrow types from their names: `int64`, `timestamp[us, tz=UTC]`, `list<item: struct<a: int8, b: string not null>>`.

`type_syntax.py` has the notation, and needs no Arrow. Used wherever a job declares columns. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.type_syntax import NoType, TypeField, TypeName, read
from shuffle_worker.columns.arrow import Field, dictionary, duration, fixed_size_list, map_of, time_of_day, timestamp

PLAIN: dict[str, pa.DataType] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "halffloat": pa.float16(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "date32": pa.date32(),
    "date64": pa.date64(),
}
DECIMALS: dict[str, Callable[[int, int], pa.DataType]] = {
    "decimal32": pa.decimal32,
    "decimal64": pa.decimal64,
    "decimal128": pa.decimal128,
    "decimal256": pa.decimal256,
}


def schema_of_names(columns: Iterable[tuple[str, str]], where: str) -> pa.Schema:
    """A schema from (name, type). where: the field that declares them, for messages. Raises InvalidSpec."""
    fields: list[Field] = []
    for at, (name, text) in enumerate(columns):
        if any(field.name == name for field in fields):
            raise InvalidSpec(f"{where}[{at}].name: {name!r} is declared twice")
        fields.append(pa.field(name, parse_type(text, f"{where}[{at}].type")))
    return pa.schema(fields)


def parse_type(text: str, where: str) -> pa.DataType:
    """A type from its name. where: the field that declares it, for messages. Raises InvalidSpec."""
    try:
        return _made(read(text))
    except (NoType, ValueError, TypeError, pa.ArrowException) as error:
        raise InvalidSpec(f"{where}: {error}") from None


def _made(kind: TypeName) -> pa.DataType:
    if kind.name in PLAIN:
        return PLAIN[kind.name]
    if kind.name in DECIMALS:
        return DECIMALS[kind.name](*kind.sizes)
    return _NESTED[kind.name](kind) if kind.name in _NESTED else _MEASURED[kind.name](kind)


def _field(child: TypeField) -> Field:
    return pa.field(child.name, _made(child.kind), nullable=child.nullable)


_MEASURED: dict[str, Callable[[TypeName], pa.DataType]] = {
    "timestamp": lambda kind: timestamp(kind.unit, kind.zone or None),
    "duration": lambda kind: duration(kind.unit),
    "time32": lambda kind: time_of_day(kind.unit),
    "time64": lambda kind: time_of_day(kind.unit),
    "fixed_size_binary": lambda kind: pa.binary(kind.sizes[0]),
}
_NESTED: dict[str, Callable[[TypeName], pa.DataType]] = {
    "list": lambda kind: pa.list_(_field(kind.children[0])),
    "large_list": lambda kind: pa.large_list(_field(kind.children[0])),
    "fixed_size_list": lambda kind: fixed_size_list(_field(kind.children[0]), kind.sizes[0]),
    "struct": lambda kind: pa.struct([_field(child) for child in kind.children]),
    "map": lambda kind: map_of(_field(kind.children[0]), _field(kind.children[1]), kind.flag),
    "dictionary": lambda kind: dictionary(_made(kind.children[0].kind), _made(kind.children[1].kind), kind.flag),
}
