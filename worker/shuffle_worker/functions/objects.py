"""A column of Python objects as Arrow, in a type that is wanted, without losing any of it.

Arrow takes a wanted type for leave to cut: of 1.5 it makes the integer 1, of a time of day its date. So the type is
first found out from the objects themselves, and the result cast like any other, strictly. Only where that says nothing
(nothing but None, a map, structs with keys left out) are the objects converted as wanted, and compared with what came
of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

_REFUSED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError, TypeError)


class NotThese(Exception):
    """The objects are of no one type, or not of the wanted one."""


def array_of(series: Any, wanted: pa.DataType | None) -> Any:
    """The values of a pandas Series of objects; missing ones are null. Raises NotThese."""
    found: Any = None
    try:
        found = pa.array(series, from_pandas=True)
    except _REFUSED as error:
        if wanted is None or not (pa.types.is_nested(wanted) or pa.types.is_decimal(wanted)):
            raise NotThese(_said(error)) from error
    if found is not None and pa.types.is_timestamp(found.type) and any(getattr(one, "nanosecond", 0) for one in series):
        found = pa.array(series, pa.timestamp("ns", found.type.tz), from_pandas=True)  # Arrow looks no further than us
    if found is not None and (wanted is None or not (pa.types.is_nested(found.type) and _by_shape(wanted))):
        return found
    try:
        made: Any = pa.array(series, type=wanted, from_pandas=True)
    except _REFUSED as error:
        raise NotThese(_said(error)) from error
    for value, kept in zip(series, made.to_pylist(), strict=True):
        if not _same(value, kept):
            raise NotThese(f"{str(value)[:60]} would become {str(kept)[:60]}")
    return made


def _by_shape(kind: pa.DataType) -> bool:
    """Whether a type has parts that objects do not tell: the keys of a map, those of a struct that are left out."""
    if pa.types.is_map(kind) or pa.types.is_struct(kind):
        return True
    return pa.types.is_nested(kind) and any(_by_shape(kind.field(at).type) for at in range(kind.num_fields))


def _same(value: Any, kept: Any) -> bool:
    """Whether a value came through. Nothing may stand for None, NaN and a key that is left out."""
    if kept is None:
        return value is None or value != value
    if isinstance(value, Mapping):
        pairs = kept if isinstance(kept, Mapping) else dict(kept)
        return set(value) <= set(pairs) and all(_same(value.get(key), one) for key, one in pairs.items())
    if isinstance(kept, list):
        return len(value) == len(kept) and all(map(_same, value, kept))
    if isinstance(kept, Mapping | tuple):
        return len(value) == len(kept) and all(map(_same, value, kept if isinstance(kept, tuple) else kept.values()))
    if isinstance(kept, float) and math.isnan(kept):
        return bool(value != value)
    return bool(value == kept)


def _said(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
