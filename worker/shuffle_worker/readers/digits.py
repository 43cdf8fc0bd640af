"""Whether a double holds a number just as its text says it: no digit lost, nothing too large or too small.

The rule of CSV and JSON for columns whose type was found, not declared: the double, written again, is that number.
Up to 15 digits always pass, longer ones where they are those of a double (`0.30000000000000004`).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import bitmap
from shuffle_worker.columns.arrow import I64, Array, Bools, bools, call, int64_array

SURE = 15
"""Digits that every double keeps."""

EXACT = 1 << 53
"""Every whole number up to here is a double."""


def kept(text: Array, values: Array) -> Bools:
    """text: numbers without nulls, `values` what Arrow made of them as doubles. True where the number is the same."""
    back = values.cast(pa.string())
    same = bools(call("equal", text, back)).copy()
    rest = np.flatnonzero(~same)
    if len(rest):
        mask = _mask(~same)
        same[rest] = _same_numbers(text.filter(mask), back.filter(mask))
    return same


def equal_text(text: Array, values: Array, rows: I64) -> Bools:
    """Of these rows: whether the number is written as Arrow writes its double; where it is, `kept` is true too."""
    if len(rows) < len(text):
        picked = int64_array(rows)
        text, values = text.take(picked), values.take(picked)
    return bools(call("equal", text, values.cast(pa.string())))


def _same_numbers(text: Array, back: Array) -> Bools:
    """The same for texts that are not written as Arrow writes their doubles."""
    found = bools(call("equal", _short(text), back)).copy()
    known: dict[str, bool] = {}
    for at in np.flatnonzero(~found):
        one = str(text[int(at)].as_py())
        if one not in known:
            known[one] = same_number(one)
        found[at] = known[one]
    return found


def _short(text: Array) -> Array:
    """Without zeros at the end of a fraction."""
    plain = call("match_substring_regex", text, pattern=r"^-?[0-9]*\.[0-9]*$")
    short = call("utf8_rtrim", call("utf8_rtrim", text, characters="0"), characters=".")
    found: Array = call("if_else", plain, short, text)
    return found


def same_number(text: str) -> bool:
    """Whether the double nearest to a number is written as that number."""
    try:
        return Decimal(text) == Decimal(repr(float(text)))
    except (InvalidOperation, ValueError, OverflowError):
        return False


def _mask(rows: Bools) -> Array:
    mask: Array = pa.Array.from_buffers(pa.bool_(), len(rows), [None, bitmap(rows)])
    return mask


def beyond(values: Array) -> bool:
    """Whether any of these whole numbers is not a double."""
    if not len(values) or values.null_count == len(values):
        return False
    ends = call("min_max", values)
    least, most = ends["min"].as_py(), ends["max"].as_py()
    return bool(least < -EXACT or most > EXACT)
