"""A sort key as a sequence of 64-bit words: comparing rows is comparing their words, one after the other, unsigned.

`order.py` (which sorts), `ranges.py` (which looks rows up between boundaries) and `extremes.py` compare through this
and nothing else, so they agree by construction. What a word says:

    null flag     nulls before or after everything else, whichever way the key runs
    integers, bool, temporal     one word, the sign bit flipped
    floats        one word: any NaN above every number, -0.0 = 0.0, else the bits, turned to compare as numbers do
    decimals      their limbs, the most significant first, its sign bit flipped
    text, bytes   eight words of eight bytes, big endian, padded with zeros; then the length, at most 65; and for those
                  longer than 64 bytes that are still equal, their rank among the rows that are asked for

A descending key has all bits of its words inverted (not of the null flag). Words are computed only for the rows that
are still undecided: mostly the first is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import (
    I64,
    U64,
    Array,
    Bytes,
    bits,
    indices,
    plain,
    rows_of_bytes,
    valid,
    values,
    view,
    word,
)
from shuffle_worker.columns.arrow import parts
from shuffle_worker.columns.kinds import compares_as_stored, is_extension
from shuffle_worker.partitioning.hash import is_bytes

_SIGN = np.uint64(1 << 63)
_ONES = np.uint64((1 << 64) - 1)
BYTES_BY_WORD = 64


def can_order(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a sort key."""
    if is_extension(kind):
        return compares_as_stored(kind) and can_order(parts(kind).storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return can_order(kind.value_type)
    t = pa.types
    return (
        t.is_boolean(kind)
        or t.is_integer(kind)
        or t.is_floating(kind)
        or t.is_decimal(kind)
        or (t.is_temporal(kind) and not t.is_interval(kind))
        or is_bytes(kind)
        or t.is_null(kind)
    )


class Word(Protocol):
    """One word of a key."""

    cheap: bool
    """It is there for all rows already."""

    def of(self, rows: I64 | None) -> U64:
        """The word of these rows, of all where None; the result is the caller's own."""
        ...

    def tells(self, rows: I64 | None) -> bool:
        """False where these rows are known to have the same word once all words before it are equal."""
        ...


class Ready:
    cheap = True

    def tells(self, rows: I64 | None) -> bool:  # noqa: ARG002
        return True

    def __init__(self, words: U64) -> None:
        self._words = words

    def of(self, rows: I64 | None) -> U64:
        return self._words.copy() if rows is None else self._words[rows]


class BytesAt:
    """The eight bytes from `at`."""

    cheap = False

    def __init__(self, texts: Bytes, at: int, flip: bool) -> None:
        self._texts = texts
        self._at = at
        self._flip = flip

    def of(self, rows: I64 | None) -> U64:
        words = word(self._texts, self._at, rows).byteswap(inplace=True)
        return np.bitwise_xor(words, _ONES, out=words) if self._flip else words

    def tells(self, rows: I64 | None) -> bool:
        return _longest(self._texts, rows) > self._at


class Length:
    """What tells `a` from `a` and a zero byte, which the padding made alike."""

    cheap = False

    def __init__(self, texts: Bytes, flip: bool) -> None:
        self._texts = texts
        self._flip = flip

    def of(self, rows: I64 | None) -> U64:
        lengths = self._texts.lengths if rows is None else self._texts.lengths[rows]
        words = np.minimum(lengths, BYTES_BY_WORD + 1).view(np.uint64)
        return words ^ _ONES if self._flip else words

    def tells(self, rows: I64 | None) -> bool:  # noqa: ARG002
        return True


class Ranked:
    """The rank of long texts among the rows asked for: the one word that says nothing about rows outside of these."""

    cheap = False

    def __init__(self, array: Array, texts: Bytes, flip: bool) -> None:
        self.array = array
        self.flip = flip
        self._texts = texts

    def of(self, rows: I64 | None) -> U64:
        array = self.array
        if rows is not None:
            array = array.take(indices(rows))
        return ranks(array, self.flip)

    def tells(self, rows: I64 | None) -> bool:
        return _longest(self._texts, rows) > BYTES_BY_WORD


def _longest(texts: Bytes, rows: I64 | None) -> int:
    lengths = texts.lengths if rows is None else texts.lengths[rows]
    return int(lengths.max()) if len(lengths) else 0


def ranks(array: Array, flip: bool) -> U64:
    """Dense ranks of binary values."""
    found = pc.rank(array, sort_keys="descending" if flip else "ascending", tiebreaker="dense")
    return values(found, np.uint64).astype(np.uint64)


def key_words(columns: Sequence[Array], keys: Sequence[SortKey], null_flags: bool = False) -> list[Word]:
    """The words of some key columns, the most significant first. null_flags: even where a column has no null (what is
    compared with it may have some)."""
    found: list[Word] = []
    for column, key in zip(columns, keys, strict=True):
        array = plain(column)
        if null_flags or array.null_count:
            found.append(null_flag(array, key))
        found += value_words(array, key.descending, among_themselves=not null_flags)
    return found


def null_flag(array: Array, key: SortKey) -> Word:
    present = valid(array)
    if present is None:
        present = np.ones(len(array), np.bool_)
    return Ready((present if key.nulls_first else ~present).astype(np.uint64))


def value_words(array: Array, flip: bool, among_themselves: bool = False) -> list[Word]:
    """The words of a column in plain layout, apart from its nulls: the words of null rows are all alike, zero, or
    (where rows are compared among themselves only) such that the words span no more bits for it."""
    kind = array.type
    if pa.types.is_null(kind):
        return []
    if is_bytes(kind):
        texts = rows_of_bytes(array)
        found: list[Word] = [BytesAt(texts, at, flip) for at in range(0, BYTES_BY_WORD, 8)]
        return [*found, Length(texts, flip), Ranked(_as_binary(array), texts, flip)]
    if pa.types.is_decimal(kind):
        words = _decimal_words(array)
    elif pa.types.is_floating(kind):
        words = [_float_words(array)]
    else:
        words = [_integer_words(array)]
    present = valid(array)
    for each in words:
        if flip:
            np.bitwise_xor(each, _ONES, out=each)
        if present is not None:
            fill = each.min(where=present, initial=_ONES) if among_themselves else 0
            each[~present] = fill
    return [Ready(each) for each in words]


def _as_binary(array: Array) -> Array:
    kind = array.type
    if pa.types.is_fixed_size_binary(kind):
        return array.cast(pa.large_binary())
    return (
        array.cast(pa.large_binary() if pa.types.is_large_string(kind) else pa.binary())
        if (pa.types.is_string(kind) or pa.types.is_large_string(kind))
        else array
    )


def _integer_words(array: Array) -> U64:
    kind = array.type
    t = pa.types
    if t.is_boolean(kind):
        return bits(array.buffers()[1], array.offset, len(array)).astype(np.uint64)
    if t.is_unsigned_integer(kind):
        return values(array, f"u{kind.bit_width // 8}").astype(np.uint64)
    words: U64 = values(array, f"i{kind.bit_width // 8}").astype(np.int64).view(np.uint64)
    return np.bitwise_xor(words, _SIGN, out=words)


def _float_words(array: Array) -> U64:
    floats = values(array, f"f{array.type.bit_width // 8}").astype(np.float64)
    floats += 0.0  # -0.0 + 0.0 = 0.0
    nan = floats != floats
    words = floats.view(np.uint64)
    negative = words >= _SIGN
    np.bitwise_xor(words, np.where(negative, _ONES, _SIGN), out=words)
    words[nan] = _ONES
    return words


def _decimal_words(array: Array) -> list[U64]:
    count = len(array)
    width = array.type.bit_width // 64
    if width == 0:
        return [values(array, np.int32).astype(np.int64).view(np.uint64) ^ _SIGN]
    limbs = view(array.buffers()[1], np.uint64, count * width, array.offset * width).reshape(count, width)
    return [limbs[:, width - 1] ^ _SIGN, *(limbs[:, at].copy() for at in range(width - 2, -1, -1))]
