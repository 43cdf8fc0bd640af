"""Fill values from one format to the other: what is missing, and what xarray masks.

A Zarr array has a fill value: what elements of chunks that are not stored are. Xarray has a `_FillValue`: elements that
are read as missing (NaN) when it decodes. Where it finds that differs between the formats:

    format 2   the document's `fill_value`; where that is null, the attribute `_FillValue` as it stands in the JSON
    format 3   the attribute `_FillValue` alone, floats as base64 of a little-endian double; `fill_value` masks nothing

So a `fill_value` that was carried over would mask zeros that were data, or reveal what was masked. What is masked is
carried over instead, and elements stay what they are: where the two fill values differ, chunks that the input does not
store are written (`fills_differ`).

Arrays whose dimensions have no names are none of xarray's: their fill value and attributes stay.
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
"""Kinds of types whose `_FillValue` xarray reads in format 3."""


def mask_in_v3(source: ArraySource, attributes: dict[str, Any]) -> dict[str, Any]:
    """A format 2 array's attributes in format 3. Raises InvalidSpec where format 3 cannot say what is masked."""
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
        return attributes  # xarray does not open such an array; what it says is nobody's but the author's
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


def _encoded(value: Any, dtype: np.dtype[Any]) -> Any:
    """A `_FillValue` as format 3 has it. Raises ValueError, TypeError, OverflowError."""
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
