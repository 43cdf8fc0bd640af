"""Keys of two tables that are to be compared by value: which types can be, and how.

A join asks for every pair of key columns. Types that hold the same kind of value in different ways (widths, units,
scales, layouts) are compared exactly, never by way of a type that rounds: 2**53 + 1 is not 2.0**53. What cannot be
equal by its meaning (a text and a number, a date and an instant) is no pair, and `advice` says what to do.

Both sides must land in one cell: `shuffle-hash/1` gives equal values of different types one hash, except where `hashed`
says that a side is to be cast before. Equality is decided on words (64 bits, one or several a value) or on bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import U64, Array, bits, plain, valid, values, view
from shuffle_worker.columns.arrow import NANOS, parts
from shuffle_worker.columns.kinds import is_extension, values_of
from shuffle_worker.partitioning.hash import is_bytes

_NAN = np.uint64(0x7FF8000000000000)


class Pairing(NamedTuple):
    """How the values of two key columns are compared."""

    hashed: tuple[pa.DataType | None, pa.DataType | None]
    """The type that each side is cast to before it is hashed; None: it is hashed as it is. The cast may round: all that
    is needed is that equal values get one hash."""
    words: Callable[[Array], list[U64]] | None
    """The words of a plain column of either side; None where the values are compared as bytes."""
    common: pa.DataType | None
    """A type that holds the values of both, exactly; None where there is none."""
    one_word: bool = False
    """Two values are equal if their hashes are."""


def pairing(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    """How columns of these types are compared; None where their values cannot be equal."""
    left, right = _storage(left), _storage(right)
    if pa.types.is_null(left) or pa.types.is_null(right):
        other = right if pa.types.is_null(left) else left
        alone = pairing(other, other) if not pa.types.is_null(other) else None
        return Pairing((None, None), alone.words if alone else _nothing, other)
    for way in (_integers, _numbers, _decimals, _times, _days, _booleans, _bytes):
        found = way(left, right)
        if found is not None:
            return found
    return None


def advice(left: pa.DataType, right: pa.DataType) -> str:
    """What to do about types that are no pair."""
    left, right = _storage(left), _storage(right)
    kinds = (left, right)
    t = pa.types
    if any(t.is_date(kind) for kind in kinds) and any(t.is_timestamp(kind) for kind in kinds):
        return "a date is no instant: make the timestamp a date, or the date a timestamp, in an earlier step"
    if all(t.is_timestamp(kind) for kind in kinds):
        return "a time without a time zone is no instant: give both a time zone, or neither"
    if any(t.is_decimal(kind) for kind in kinds) and any(t.is_floating(kind) for kind in kinds):
        return "a float holds hardly any decimal exactly: make the float a decimal in an earlier step"
    if all(t.is_decimal(kind) for kind in kinds):
        return "together they have more than 76 digits: give them a smaller precision or scale"
    return "bring both to one type in an earlier step"


def _storage(kind: pa.DataType) -> pa.DataType:
    kind = values_of(kind)
    return _storage(parts(kind).storage_type) if is_extension(kind) else kind


def _integers(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    t = pa.types
    if not (t.is_integer(left) and t.is_integer(right)):
        return None
    signed = t.is_signed_integer(left), t.is_signed_integer(right)
    wide = max(left.bit_width, right.bit_width)
    if signed[0] == signed[1]:
        return Pairing((None, None), _integer_words, left if left.bit_width == wide else right, one_word=True)
    unsigned = (left if signed[1] else right).bit_width
    if unsigned == 64:
        return Pairing((None, None), _number_words, None)
    wide = max((right if signed[1] else left).bit_width, 2 * unsigned)
    common = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[wide]
    return Pairing((None, None), _integer_words, common, one_word=True)


def _numbers(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    t = pa.types
    if t.is_floating(left) and t.is_floating(right):
        return Pairing((None, None), _float_words, left if left.bit_width >= right.bit_width else right)
    if not ((t.is_integer(left) and t.is_floating(right)) or (t.is_floating(left) and t.is_integer(right))):
        return None
    integer = left if t.is_integer(left) else right
    hashed: list[pa.DataType | None] = [None, None]
    if t.is_uint64(integer):  # beyond 2**63 a float and an integer have different hashes
        hashed[0 if integer is left else 1] = pa.float64()
    common = pa.float64() if integer.bit_width < 64 else None
    return Pairing((hashed[0], hashed[1]), _number_words, common)


def _decimals(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    t = pa.types
    if not (t.is_decimal(left) or t.is_decimal(right)):
        return None
    if not all(t.is_decimal(kind) or t.is_integer(kind) for kind in (left, right)):
        return None
    hashed = [None if t.is_decimal(kind) else pa.decimal128(20, 0) for kind in (left, right)]
    digits = [(kind.precision, kind.scale) if t.is_decimal(kind) else (20, 0) for kind in (left, right)]
    scale = max(0, *(scale for _, scale in digits))  # Arrow alone has negative ones, and compares none
    precision = max(precision - scale for precision, scale in digits) + scale
    if precision > 76:
        return None
    common = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    return Pairing((hashed[0], hashed[1]), lambda array: _decimal_words(array, common), common)


def _times(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    t = pa.types
    if t.is_timestamp(left) and t.is_timestamp(right):
        if (left.tz is None) != (right.tz is None):
            return None
    elif not ((t.is_time(left) and t.is_time(right)) or (t.is_duration(left) and t.is_duration(right))):
        return None
    if left.unit == right.unit:
        return Pairing((None, None), _integer_words, left)
    finer = left if NANOS[left.unit] < NANOS[right.unit] else right
    common = pa.timestamp(finer.unit, left.tz) if t.is_timestamp(left) else finer
    return Pairing((None, None), _time_words, common)


def _days(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    if not (pa.types.is_date(left) and pa.types.is_date(right)):
        return None
    return Pairing((None, None), _day_words, left if left == right else pa.date32())


def _booleans(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    if not (pa.types.is_boolean(left) and pa.types.is_boolean(right)):
        return None
    return Pairing((None, None), _integer_words, left)


def _bytes(left: pa.DataType, right: pa.DataType) -> Pairing | None:
    if not (is_bytes(left) and is_bytes(right)):
        return None
    text = [_is_text(kind) for kind in (left, right)]
    if text[0] != text[1]:
        return None
    if left == right:
        return Pairing((None, None), None, left)
    large = any(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) for kind in (left, right))
    if text[0]:
        return Pairing((None, None), None, pa.large_string() if large else pa.string())
    return Pairing((None, None), None, pa.large_binary() if large else pa.binary())


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    return t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)


# -- words of plain columns; what stands behind a null is arbitrary --------------------------------------------------


def _nothing(array: Array) -> list[U64]:
    return [np.zeros(len(array), np.uint64)]


def _integer_words(array: Array) -> list[U64]:
    kind = array.type
    t = pa.types
    if t.is_null(kind):
        return _nothing(array)
    if t.is_boolean(kind):
        return [bits(array.buffers()[1], array.offset, len(array)).astype(np.uint64)]
    if t.is_unsigned_integer(kind):
        return [values(array, f"u{kind.bit_width // 8}").astype(np.uint64)]
    return [_signed(array).view(np.uint64)]


def _signed(array: Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return values(array, f"i{array.type.bit_width // 8}").astype(np.int64)


def _float_words(array: Array) -> list[U64]:
    if pa.types.is_null(array.type):
        return _nothing(array)
    floats = values(array, f"f{array.type.bit_width // 8}").astype(np.float64)
    floats += 0.0  # -0.0 + 0.0 = 0.0
    words = floats.view(np.uint64)
    words[floats != floats] = _NAN
    return [words]


def _number_words(array: Array) -> list[U64]:
    """An integer's 64 bits and whether it is negative; a float that is no such integer: its bits and 2."""
    kind = array.type
    if pa.types.is_null(kind):
        return _nothing(array) * 2
    if pa.types.is_unsigned_integer(kind):
        return [_integer_words(array)[0], np.zeros(len(array), np.uint64)]
    if pa.types.is_integer(kind):
        signed = _signed(array)
        return [signed.view(np.uint64), (signed < 0).astype(np.uint64)]
    words = _float_words(array)[0]
    floats = words.view(np.float64)
    with np.errstate(invalid="ignore"):
        low = (floats >= -(2.0**63)) & (floats < 2.0**63) & (floats == np.floor(floats))
        high = (floats >= 2.0**63) & (floats < 2.0**64)
        integers = np.where(low, floats, 0.0).astype(np.int64)
        large = np.where(high, floats, 0.0).astype(np.uint64)
    flags = np.full(len(words), 2, np.uint64)
    flags[high] = 0
    flags[low] = integers[low] < 0
    return [np.where(low, integers.view(np.uint64), np.where(high, large, words)), flags]


def _decimal_words(array: Array, common: pa.DataType) -> list[U64]:
    array = array.cast(common)
    width = common.bit_width // 64
    limbs = view(array.buffers()[1], np.uint64, len(array) * width, array.offset * width).reshape(len(array), width)
    return [limbs[:, at].copy() for at in range(width)]


def _time_words(array: Array) -> list[U64]:
    """Seconds and nanoseconds."""
    if pa.types.is_null(array.type):
        return _nothing(array) * 2
    nanos = NANOS[array.type.unit]
    each = NANOS["s"] // nanos
    counts = _signed(array)
    seconds = counts // each
    return [seconds.view(np.uint64), ((counts - seconds * each) * nanos).view(np.uint64)]


def _day_words(array: Array) -> list[U64]:
    if pa.types.is_null(array.type):
        return _nothing(array)
    days = _signed(array)
    return [(days // 86_400_000 if pa.types.is_date64(array.type) else days).view(np.uint64)]


class Keys:
    """The key columns of some rows of one side, ready to be compared with the other's.

    matchable: the rows whose key can equal one; None for all."""

    def __init__(self, columns: list[Array], pairings: list[Pairing], nulls_equal: bool) -> None:
        self.rows = len(columns[0]) if columns else 0
        self.words: list[U64] = []
        self.texts: list[Array] = []
        self.matchable: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None
        for column, pair in zip(columns, pairings, strict=True):
            array = plain(column)
            present = valid(array)
            if pair.words is None:
                self.texts.append(array)
            else:
                words = pair.words(array)
                for word in words if present is not None else ():
                    word[~present] = 0  # type: ignore[operator]
                self.words += words
            if nulls_equal:
                self.words.append(np.zeros(len(array), np.uint64) if present is None else (~present).astype(np.uint64))
            elif present is not None:
                self.matchable = present if self.matchable is None else self.matchable & present
