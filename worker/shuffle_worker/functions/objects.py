"""A column of Python objects as Arrow, in a type that is wanted, without losing any of it.

Arrow takes a type for leave to cut. Of 1.5 it makes the integer 1 where an integer is wanted, and where nothing is
wanted the first object decides: behind a date every time of day is dropped, behind a local time every time zone, and
nanoseconds always. So the type is first found out from the objects themselves, the objects are compared with what came
of them, and the result is cast like any other, strictly. Where the objects do not say their type (nothing but None, a
map, structs with keys left out, decimals of several widths), they are converted as wanted, and compared too.

What cannot be cut is not compared: text, whole numbers and floats, and lists and structs of these.
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
"""What pandas has for a missing value, by name: pandas is not imported here."""

MOST_VALUE = 60
_AT_ONCE = 1024
"""Values that are compared at a time: as objects they take many times what they take in Arrow."""


class NotThese(Exception):
    """The objects are of no one type, or not of the wanted one; the message names the first that is not."""


def array_of(objects: Any, wanted: pa.DataType | None) -> Any:
    """The values of a pandas Series or Index of objects; missing ones are null. The type is the wanted one, or one that
    the caller casts to it. Raises NotThese."""
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
    """The objects in the type that they have, or None and what is wrong with that."""
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
    if lost and (finest := _finest(found.type)) != found.type:  # Arrow looks no further than microseconds
        try:
            finer: Any = pa.array(objects, type=finest, from_pandas=True)
        except _REFUSED:
            return None, lost
        return (None, lost) if _lost(objects, finer) else (finer, "")
    return (None, lost) if lost else (found, "")


def _may_cut(kind: pa.DataType) -> bool:
    """Whether objects may have more to them than Arrow keeps in a type that it found for them."""
    if pa.types.is_nested(kind):
        return any(_may_cut(field.type) for field in children(kind))
    return pa.types.is_temporal(kind) or pa.types.is_binary(kind)


def _finest(kind: pa.DataType) -> pa.DataType:
    """A type that was found, with nanoseconds."""
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
    """Whether a type has parts that objects do not tell: the keys of a map, those of a struct that are left out."""
    if pa.types.is_map(kind) or pa.types.is_struct(kind):
        return True
    return pa.types.is_nested(kind) and any(_by_shape(field.type) for field in children(kind))


def _lost(objects: Any, made: Any) -> str:
    """What became of the first object that did not come through; empty where all did."""
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
    """The first object that Arrow does not take for the wanted type by itself; empty where there is none."""
    for value in objects:
        try:
            pa.array([value], type=wanted, from_pandas=True)
        except _REFUSED:
            return _no(value, wanted)
    return ""


def _odd_one(objects: Any) -> str:
    """The first object that is not of the type of the first; empty where there is none."""
    first = _first(objects)
    try:
        kind = pa.array([first], from_pandas=True).type
    except _REFUSED:
        return f"{_shown(first)} ({type(first).__name__}) is of no type that Arrow has"
    return _culprit(objects, kind)


def first_not(objects: Any, wanted: pa.DataType) -> str:
    """Says that the first object, as all others, is not of the wanted type."""
    return _no(_first(objects), wanted)


def _first(objects: Any) -> Any:
    return next((one for one in objects if not _came_through(one, None)), None)


def _no(value: Any, kind: pa.DataType) -> str:
    return f"{_shown(value)} ({type(value).__name__}) is no {kind}"


def _came_through(value: Any, kept: Any) -> bool:
    """Whether a value came through. Nothing may stand for None, NaN, NaT, pd.NA and a key that is left out."""
    try:
        return _same(value, kept)
    except Exception:  # a stranger's object, which may raise what it likes when it is compared
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
        value = value.item() if hasattr(value, "item") else value  # NumPy's own compare as floats, which are rounded
        if isinstance(value, bool) != isinstance(kept, bool):
            return False
        if isinstance(kept, float) and math.isnan(kept):
            return bool(value != value)
    return bool(value == kept)


def _missing(value: Any) -> bool:
    """pd.NA is not even equal to itself or not, so it goes by its name."""
    return value is None or type(value).__name__ in _MISSING or bool(value != value)


def _shown(value: Any) -> str:
    try:
        text = " ".join((repr(value) if isinstance(value, str) else str(value)).split())
    except Exception:  # a stranger's object
        text = f"an object of {type(value).__name__}"
    return text if len(text) <= MOST_VALUE else text[:MOST_VALUE] + "..."


def _said(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
