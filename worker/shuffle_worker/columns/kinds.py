"""Kinds of types that Arrow's own predicates do not tell apart. Pure.

Extension types are `pa.BaseExtensionType`. The built-in ones (UUID, JSON, tensors ...) are no `pa.ExtensionType`, which
is the base of types written in Python.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from shuffle_worker.columns.arrow import children, parts

UUID, JSON_TEXT, BOOL8, OPAQUE = "arrow.uuid", "arrow.json", "arrow.bool8", "arrow.opaque"

_WITHOUT_ORDER = (JSON_TEXT, BOOL8, OPAQUE)
"""Extension types whose equal values may be stored in different ways (`{"a":1}` and `{"a": 1}`, 1 and 2 for true), or
of which this is unknown."""


def is_extension(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType)


def extension_name(kind: pa.DataType) -> str:
    """The name of an extension type; "" for any other type."""
    return str(parts(kind).extension_name) if is_extension(kind) else ""


def is_uuid(kind: pa.DataType) -> bool:
    return extension_name(kind) == UUID


def is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_list_view(kind: pa.DataType) -> bool:
    return pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)


def values_of(kind: pa.DataType) -> pa.DataType:
    """The type of the values inside dictionaries and runs."""
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def compares_as_stored(kind: pa.DataType) -> bool:
    """Whether values are equal and ordered as their storage is."""
    kind = values_of(kind)
    if not is_extension(kind):
        return True
    return extension_name(kind) not in _WITHOUT_ORDER and compares_as_stored(parts(kind).storage_type)


def holds(kind: pa.DataType, test: Callable[[pa.DataType], bool]) -> bool:
    """Whether the test holds for the type or one inside of it."""
    if test(kind):
        return True
    if is_extension(kind):
        return holds(parts(kind).storage_type, test)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return holds(kind.value_type, test)
    return pa.types.is_nested(kind) and any(holds(field.type, test) for field in children(kind))


def is_carried(kind: pa.DataType) -> bool:
    """Whether rows of this type can be read, moved and written. Arrow cannot gather unions and its older intervals, and
    has no Python array for them."""
    if is_extension(kind):
        return is_carried(parts(kind).storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return is_carried(kind.value_type)
    if kind.id in _NESTED:
        return all(is_carried(field.type) for field in children(kind))
    return kind.id in _SINGLE


_TYPES = vars(pa.lib)
_NESTED = frozenset(
    _TYPES[f"Type_{name}"]
    for name in "LIST LARGE_LIST FIXED_SIZE_LIST LIST_VIEW LARGE_LIST_VIEW STRUCT MAP".split()  # noqa: SIM905
)
_SINGLE = frozenset(
    _TYPES[f"Type_{name}"]
    for name in (  # noqa: SIM905
        "NA BOOL INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 HALF_FLOAT FLOAT DOUBLE STRING LARGE_STRING "
        "STRING_VIEW BINARY LARGE_BINARY BINARY_VIEW FIXED_SIZE_BINARY DATE32 DATE64 TIMESTAMP TIME32 TIME64 DURATION "
        "INTERVAL_MONTH_DAY_NANO DECIMAL32 DECIMAL64 DECIMAL128 DECIMAL256"
    ).split()
)
