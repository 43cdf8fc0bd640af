"""Fill values from one format to the other: which elements are missing, and which xarray masks.

A Zarr array has a fill value, the value of elements in chunks that are not stored. Xarray has a `_FillValue`: it reads
elements of that value as missing (NaN). It finds the `_FillValue` in different places:

    format 2   the document's `fill_value`; if that is null, the attribute `_FillValue` as it stands in the JSON
    format 3   the attribute `_FillValue` alone, floats as base64 of a little-endian double; `fill_value` masks nothing

So carrying a `fill_value` over would mask zeros that are data, or reveal masked elements. The conversion keeps the mask
instead, and all elements. If the two fill values differ, it writes the chunks that the input does not store
(`fills_differ`).

Xarray does not read arrays whose dimensions have no names, so these keep their fill value and attributes.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any

import numpy as np

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.arrays.source import ArraySource

MASK = "_FillValue"
_MASKABLE = "biufc"
"""NumPy's kinds of types whose `_FillValue` xarray reads in format 3."""


def mask_in_v3(source: ArraySource, attributes: dict[str, Any]) -> dict[str, Any]:
    """A format 2 array's attributes in format 3. Raises InvalidSpec if format 3 cannot express the mask."""
    fill = source.metadata.fill_value
    if source.labels is None or (fill is None and MASK not in attributes):
        return attributes
    masked = attributes[MASK] if fill is None else fill.item() if isinstance(fill, np.generic) else fill
    dtype = source.metadata.dtype.to_native_dtype()
    try:
        if dtype.kind not in _MASKABLE:
            raise ValueError(f"format 3 has no _FillValue for the type {dtype}")
        told = _encoded(masked, dtype)
        if not _same(_decoded(told, dtype), masked):
            raise ValueError(f"it is no value of the type {dtype}")
    except (ValueError, TypeError, OverflowError) as error:
        origin = f"the attribute {MASK}" if fill is None else "the fill_value"
        raise InvalidSpec(
            f"operation.rechunk.zarrFormat: {source.where} masks {masked!r} ({origin}, as xarray reads format 2), and "
            f"this cannot be kept in format 3: {error}; keep format 2, or write `fill_value: null` and no {MASK} if "
            "nothing is to be masked"
        ) from error
    return {**attributes, MASK: told}


def mask_in_v2(source: ArraySource, document: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    """A format 3 array's attributes in format 2; sets the document's `fill_value`."""
    if source.labels is None:
        return attributes
    if MASK not in attributes:
        document["fill_value"] = None  # a number there would be masked
        return attributes
    dtype = source.metadata.dtype.to_native_dtype()
    try:
        masked = _decoded(attributes[MASK], dtype)
    except (ValueError, TypeError, OverflowError, struct.error):
        return attributes  # xarray does not open such an array, so only its author knows what they mean
    others = {key: value for key, value in attributes.items() if key != MASK}
    with np.errstate(all="ignore"):
        try:
            value = dtype.type(masked)
        except OverflowError:
            value = None
    if value is None or not _same(value.item(), masked):
        document["fill_value"] = None
        return {**others, MASK: masked}
    document["fill_value"] = source.metadata.dtype.to_json_scalar(value, zarr_format=2)
    return others


def mask_as(told: Any, old: np.dtype[Any], new: np.dtype[Any], zarr_format: int) -> Any:
    """A `_FillValue` of elements of another type; None if that does not hold it."""
    try:
        value = _decoded(told, old) if zarr_format == 3 else told
        if zarr_format != 3:
            return value if _same(np.array(value).astype(new).item(), value) else None
        again = _encoded(value, new)
        return again if _same(_decoded(again, new), value) else None
    except (ValueError, TypeError, OverflowError, struct.error):
        return None


def _encoded(value: Any, dtype: np.dtype[Any]) -> Any:
    """A `_FillValue` in format 3's form. Raises ValueError, TypeError, OverflowError."""
    if isinstance(value, list | tuple | dict | str | bytes):
        raise TypeError(f"{value!r} is no number")
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind in "iu":
        return int(value)
    if dtype.kind == "f":
        return _double(float(value))
    value = complex(value)
    return [_double(value.real), _double(value.imag)]


def _decoded(told: Any, dtype: np.dtype[Any]) -> Any:
    """The `_FillValue` that xarray finds in format 3. Raises ValueError, TypeError, OverflowError, struct.error."""
    if dtype.kind == "f":
        return _from_double(told)
    if dtype.kind == "c":
        real, imaginary = told
        return complex(_from_double(real), _from_double(imaginary))
    if dtype.kind not in "biu" or not isinstance(told, bool | int | float):
        raise TypeError(f"{told!r} is no {MASK} of the type {dtype}")
    return bool(told) if dtype.kind == "b" else int(told)


def _double(value: float) -> str:
    return base64.standard_b64encode(struct.pack("<d", value)).decode()


def _from_double(text: Any) -> float:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no base64 of a double")
    try:
        (value,) = struct.unpack("<d", base64.standard_b64decode(text))
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    return float(value)


def _same(one: Any, other: Any) -> bool:
    """Equal, or both not a number, part by part."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other  # a double does not hold every integer
    one, other = complex(one), complex(other)
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in ((one.real, other.real), (one.imag, other.imag)))
