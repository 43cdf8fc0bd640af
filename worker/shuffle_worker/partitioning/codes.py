"""Group codes: dense numbers for rows, such that two rows have the same number just if their keys are equal.

Equal means what it means to the partitioning hash: numbers by value, 0.0 and -0.0 alike, any NaN equal to any NaN, a
null equal to a null, text by its bytes. It is exact; no hash of ours decides it.

Arrow numbers the values of one column (6 to 20 ns a row for integers while the table lies in the cache). Several
columns are packed into one 64-bit word where their ranges allow it, and numbered one by one first where not.

Used by what groups rows, and by the plan to see how many groups there may be. Memory: a few words a row, and Arrow's
table of the distinct values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, U64, Array, bits, buffer_of, plain, valid, values
from shuffle_worker.columns.arrow import call, parts

_WORD = 63
"""Bits of a packed word: it is looked up as a signed integer that is never negative."""

_NAN = np.uint64(0x7FF8000000000000)


def dense(columns: Sequence[Array]) -> tuple[I64, int]:
    """Every row's number, 0 .. count-1 in the order in which the keys first appear, and the count."""
    rows = len(columns[0])
    if not rows:
        return np.empty(0, np.int64), 0
    if len(columns) == 1:
        return _numbered(columns[0])
    packed, width = _word(columns[0])
    for column in columns[1:]:
        following, more = _word(column)
        if width + more > _WORD:
            packed, width = _compact(packed)
        if width + more > _WORD:
            following, more = _compact(following)
        packed = (packed << np.int64(more)) | following
        width += more
    return _encoded(as_int64(packed))


def dense_values(column: Array) -> tuple[I64, int, Array | None]:
    """`dense` of one column, and its distinct values in the order of their numbers. None for the values where they are
    not known without looking at the first row of each: of floats, say, which are numbered by their bits."""
    found = canonical(column)
    if found is not column or pa.types.is_null(found.type) or not len(found):
        return *dense([column]), None
    encoded = parts(call("dictionary_encode", found, null_encoding="encode"))
    return values(encoded.indices, np.int32).astype(np.int64), len(encoded.dictionary), encoded.dictionary


def first_rows(codes: I64, count: int) -> I64:
    """The first row of each number."""
    found = np.empty(count, np.int64)
    found[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return found


def last_rows(codes: I64, count: int) -> I64:
    """The last row of each number."""
    found = np.empty(count, np.int64)
    found[codes] = np.arange(len(codes))
    return found


def as_int64(numbers: I64 | U64) -> Array:
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, buffer_of(numbers)])


def canonical(array: Array) -> Array:
    """A column whose equal values have equal bytes, of a type that Arrow can number."""
    array = plain(array)
    kind = array.type
    if pa.types.is_floating(kind):
        words = _float_words(array)
        present = None if not array.null_count else array.is_valid().buffers()[1]
        return pa.Array.from_buffers(pa.int64(), len(array), [present, buffer_of(words)])
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return array.cast(pa.decimal128(kind.precision, kind.scale))
    return array


def _numbered(array: Array) -> tuple[I64, int]:
    array = canonical(array)
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.int64), 1
    return _encoded(array)


def _encoded(array: Array) -> tuple[I64, int]:
    found = parts(call("dictionary_encode", array, null_encoding="encode"))
    return values(found.indices, np.int32).astype(np.int64), len(found.dictionary)


def _compact(packed: I64) -> tuple[I64, int]:
    codes, count = _encoded(as_int64(packed))
    return codes, max(count - 1, 1).bit_length()


def _word(column: Array) -> tuple[I64, int]:
    """A column as numbers from zero on, and the bits that hold them."""
    array = plain(column)
    kind = array.type
    whole = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind)
    if not whole:
        codes, count = _numbered(array)
        return codes, max(count - 1, 1).bit_length()
    present = valid(array)
    if present is not None and not present.any():
        return np.zeros(len(array), np.int64), 1
    numbers = integers(array)
    kept = numbers if present is None else numbers[present]
    least, most = int(kept.min()), int(kept.max())
    if most - least >= 1 << (_WORD - 1):
        codes, count = _encoded(array)
        return codes, max(count - 1, 1).bit_length()
    if present is None:
        return numbers - np.int64(least), max((most - least).bit_length(), 1)
    numbers = np.where(present, numbers, least)
    numbers -= np.int64(least)
    numbers += present  # a null is 0
    return numbers, (most - least + 1).bit_length()


def integers(array: Array) -> I64:
    """Integers, booleans and everything temporal (plain layout) as 64-bit numbers, unsigned ones as their bits; perhaps
    a view, not to be written to."""
    kind = array.type
    if pa.types.is_boolean(kind):
        return bits(array.buffers()[1], array.offset, len(array)).astype(np.int64)
    signed = not pa.types.is_unsigned_integer(kind)
    found = values(array, f"{'i' if signed else 'u'}{kind.bit_width // 8}")
    return found.view(np.int64) if kind.bit_width == 64 else found.astype(np.int64)


def _float_words(array: Array) -> U64:
    floats = values(array, f"f{array.type.bit_width // 8}").astype(np.float64)
    floats += 0.0  # -0.0 + 0.0 = 0.0
    words = floats.view(np.uint64)
    words[floats != floats] = _NAN
    return words
