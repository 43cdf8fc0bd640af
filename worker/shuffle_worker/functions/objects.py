"""Converts a column of Python objects to an Arrow type without losing anything.

Arrow truncates silently. It turns 1.5 into 1 if an integer is wanted. If no type is given the first object decides: a
date drops every later time of day, a local time every time zone, and nanoseconds are always lost. So the type is
inferred from the objects first, the objects are compared with the result, and the result is cast like any other column,
strictly. If the objects do not tell their type (nothing but None, a map, structs without some keys, decimals of several
widths), they are converted to the wanted type and compared too.

Text, integers, floats, and lists and structs of these cannot be truncated, so they are not compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import children, parts

_REFUSED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError, TypeError)
_MISSING = ("NAType", "NaTType")
"""Names of pandas' missing values; pandas is not imported here."""

MOST_VALUE = 60
_AT_ONCE = 1024
"""Values that are compared at a time: Python objects take many times the memory of Arrow's values."""


class NotThese(Exception):
    """The objects have no common type, or not the wanted one; the message names the first that does not fit."""


def array_of(objects: Any, wanted: pa.DataType | None) -> Any:
    """The values of a pandas Series or Index of objects, with nulls for missing ones. The type is the wanted one, or
    one that the caller can cast to it. Raises NotThese."""
    found, problem = _inferred(objects)
    if found is not None and (wanted is None or not (pa.types.is_nested(found.type) and _by_shape(wanted))):
        return found
    if wanted is None:
        raise NotThese(problem)
    try:
        made: Any = pa.array(objects, type=wanted, from_pandas=True)
    except _REFUSED as error:
        raise NotThese(_culprit(objects, wanted) or problem or _said(error)) from error
    if lost := _lost(objects, made):
        raise NotThese(lost)
    return made


def _inferred(objects: Any) -> tuple[Any, str]:
    """The objects in the type that Arrow infers, or None and the reason why that does not work."""
    try:
        found: Any = pa.array(objects, from_pandas=True)
    except _REFUSED as error:
        return None, _odd_one(objects) or _said(error)
    if pa.types.is_floating(found.type):
        truth = next((one for one in objects if isinstance(one, bool | np.bool_)), None)
        return (found, "") if truth is None else (None, _no(truth, found.type))
    if not _may_cut(found.type):
        return found, ""
    lost = _lost(objects, found)
    if lost and (finest := _finest(found.type)) != found.type:  # Arrow infers no finer unit than microseconds
        try:
            finer: Any = pa.array(objects, type=finest, from_pandas=True)
        except _REFUSED:
            return None, lost
        return (None, lost) if _lost(objects, finer) else (finer, "")
    return (None, lost) if lost else (found, "")


def _may_cut(kind: pa.DataType) -> bool:
    """Whether Arrow may truncate objects for which it infers this type."""
    if pa.types.is_nested(kind):
        return any(_may_cut(field.type) for field in children(kind))
    return pa.types.is_temporal(kind) or pa.types.is_binary(kind)


def _finest(kind: pa.DataType) -> pa.DataType:
    """The type with nanoseconds for its units of time."""
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    if types.is_duration(kind):
        return pa.duration("ns")
    if types.is_list(kind):
        return pa.list_(_finest(parts(kind).value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_finest(field.type)) for field in children(kind)])
    return kind


def _by_shape(kind: pa.DataType) -> bool:
    """Whether objects may not tell all of the type: the keys of a map, keys that structs leave out."""
    if pa.types.is_map(kind) or pa.types.is_struct(kind):
        return True
    return pa.types.is_nested(kind) and any(_by_shape(field.type) for field in children(kind))


def _lost(objects: Any, made: Any) -> str:
    """A message about the first object that was changed; "" if none was."""
    at = 0
    kept: list[Any] = []
    for place, value in enumerate(objects):
        if place == at + len(kept):
            at = place
            try:
                kept = made.slice(at, _AT_ONCE).to_pylist()
            except _REFUSED as error:
                return _said(error)
        if not _came_through(value, kept[place - at]):
            return f"{_shown(value)} would become {_shown(kept[place - at])}"
    return ""


def _culprit(objects: Any, wanted: pa.DataType) -> str:
    """A message about the first object that Arrow does not convert to the wanted type by itself; "" if there is
    none."""
    for value in objects:
        try:
            pa.array([value], type=wanted, from_pandas=True)
        except _REFUSED:
            return _no(value, wanted)
    return ""


def _odd_one(objects: Any) -> str:
    """A message about the first object that does not have the type of the first one; "" if there is none."""
    first = _first(objects)
    try:
        kind = pa.array([first], from_pandas=True).type
    except _REFUSED:
        return f"{_shown(first)} ({type(first).__name__}) is of no type that Arrow has"
    return _culprit(objects, kind)


def first_not(objects: Any, wanted: pa.DataType) -> str:
    """The message that the first object, like all others, does not have the wanted type."""
    return _no(_first(objects), wanted)


def _first(objects: Any) -> Any:
    return next((one for one in objects if not _came_through(one, None)), None)


def _no(value: Any, kind: pa.DataType) -> str:
    return f"{_shown(value)} ({type(value).__name__}) is no {kind}"


def _came_through(value: Any, kept: Any) -> bool:
    """Whether a value was kept. Null is right for None, NaN, NaT, pd.NA and a missing key."""
    try:
        return _same(value, kept)
    except Exception:  # the user's objects may raise anything when they are compared
        return False


def _same(value: Any, kept: Any) -> bool:
    if kept is None:
        return _missing(value)
    if type(value).__name__ in _MISSING:
        return False
    if isinstance(value, Mapping):
        pairs = kept if isinstance(kept, Mapping) else dict(kept)
        return set(value) <= set(pairs) and all(_same(value.get(key), one) for key, one in pairs.items())
    if isinstance(kept, list):
        return len(value) == len(kept) and all(map(_same, value, kept))
    if isinstance(kept, Mapping | tuple):
        return len(value) == len(kept) and all(map(_same, value, kept if isinstance(kept, tuple) else kept.values()))
    if isinstance(kept, int | float):
        value = value.item() if hasattr(value, "item") else value  # NumPy compares as floats, and rounds
        if isinstance(value, bool) != isinstance(kept, bool):
            return False
        if isinstance(kept, float) and math.isnan(kept):
            return bool(value != value)
    return bool(value == kept)


def _missing(value: Any) -> bool:
    """Goes by the name, because comparing pd.NA with itself gives neither true nor false."""
    return value is None or type(value).__name__ in _MISSING or bool(value != value)


def _shown(value: Any) -> str:
    try:
        text = " ".join((repr(value) if isinstance(value, str) else str(value)).split())
    except Exception:  # the user's objects may raise anything
        text = f"an object of {type(value).__name__}"
    return text if len(text) <= MOST_VALUE else text[:MOST_VALUE] + "..."


def _said(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
