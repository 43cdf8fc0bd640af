"""Sums of any frame out of running sums (prefix sums): those before its end, less those before its beginning.

That is right only if nothing is lost on the way, so numbers are added as words of 32 bits, each kind of word by itself:
with fewer than 2**31 rows no running sum of words leaves 64 bits. Whole numbers and decimals have a few words, the
least significant first. So have floats: a float is a whole number times a power of two, and lies across three of 67
words that all floats have in common. Only those words are kept that a float of the window lies in: three or four where
values are alike, and 67 where they span everything that floats can be. A frame's sum is exact, whatever came before
it, and is rounded once.

What is kept: 8 bytes a row and word.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shuffle_worker.columns.arrays import I64, U64, Bools
from shuffle_worker.windows.stores import Numbers, Space

F64 = npt.NDArray[np.float64]

_LOW = np.int64((1 << 32) - 1)
_32 = np.int64(32)
_AT = 1152
"""The place of the bit of value 1, so that no place of a bit is negative. A multiple of 32."""

_FILL = 1 << 16


class RunningSums:
    """Running sums of words. Those of row n are without row n."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._words: dict[int, Numbers] = {}
        self._sums: dict[int, int] = {}
        self._rows = 0

    def add(self, words: dict[int, I64], rows: int) -> None:
        """words: by their significance, of so many rows each."""
        for at in words.keys() | self._words.keys():
            if at not in self._words:
                self._begin(at)
            found = np.full(rows, self._sums[at], np.int64)
            if at in words and rows:
                found += np.cumsum(words[at])
                self._sums[at] = int(found[-1])
            self._words[at].add(found)
        self._rows += rows

    def _begin(self, at: int) -> None:
        self._words[at] = numbers = self._space.numbers(np.int64)
        self._sums[at] = 0
        for first in range(0, self._rows + 1, _FILL):
            numbers.add(np.zeros(min(self._rows + 1 - first, _FILL), np.int64))

    def between(self, low: I64, high: I64) -> dict[int, I64]:
        """The words of the sums of the rows from low to high."""
        return {at: numbers.at(high) - numbers.at(low) for at, numbers in sorted(self._words.items())}


def carried(words: dict[int, I64], rows: int) -> tuple[list[I64], I64, int]:
    """The same numbers in words from 0 to 2**32 - 1, from the least significant one there is, all in a row; what is
    above them, signed; and the significance of the first."""
    first = min(words, default=0)
    carry = np.zeros(rows, np.int64)
    found: list[I64] = []
    for at in range(first, max(words, default=0) + 1):
        if at in words:
            carry = carry + words[at]
        found.append(carry & _LOW)
        carry = carry >> _32
    return found, carry, first


def words_of_floats(floats: F64) -> dict[int, I64]:
    """Of finite floats."""
    bits = floats.view(np.uint64)
    exponents = ((bits >> np.uint64(52)) & np.uint64(0x7FF)).view(np.int64)
    digits = (bits & np.uint64((1 << 52) - 1)).view(np.int64)
    digits |= (exponents != 0).astype(np.int64) << np.int64(52)
    exponents += exponents == 0  # a subnormal float has the exponent of the smallest normal one
    places = exponents + np.int64(_AT - 1075)
    negative = floats < 0
    shift = places & np.int64(31)
    word = places >> np.int64(5)
    low = (digits & _LOW) << shift
    high = (digits >> _32) << shift
    high += low >> _32
    three = [low & _LOW, high & _LOW, high >> _32]
    if negative.any():
        for one in three:
            np.negative(one, where=negative, out=one)
    there = digits != 0
    if not there.any():
        return {}
    least, most = int(word.min(where=there, initial=1 << 20)), int(word.max(where=there, initial=0))
    if least == most:
        return {least + above: one for above, one in enumerate(three)}
    found = {}
    for at in range(least, most + 3):
        some = np.zeros(len(floats), np.int64)
        for above, one in enumerate(three):
            if least <= at - above <= most:
                np.copyto(some, one, where=word == at - above)
        found[at] = some
    return found


def floats_of(words: dict[int, I64], rows: int) -> F64:
    """The floats that are nearest to sums of such words."""
    if not words:
        return np.zeros(rows)
    found, above, first = carried(words, rows)
    negative = above < 0
    if negative.any():
        signs = np.where(negative, np.int64(-1), np.int64(1))
        found, above, first = carried({at: signs * word for at, word in words.items()}, rows)
    found += [above & _LOW, above >> _32]
    return _rounded(found, first, negative)


def floats_of_wholes(words: dict[int, I64], rows: int) -> F64:
    """The same of whole numbers, whose word 0 has the bit of value 1."""
    return floats_of({at + _AT // 32: word for at, word in words.items()}, rows)


def _rounded(words: list[I64], first: int, negative: Bools) -> F64:
    """The first word that is not zero says how large a number is. The 64 bits from its first bit on are enough to
    round, if the last of them also says whether anything follows."""
    rows = len(negative)
    top = [np.zeros(rows, np.int64) for _ in range(3)]
    place = np.zeros(rows, np.int64)
    more = np.zeros(rows, np.bool_)
    waiting = np.ones(rows, np.bool_)
    for at in range(len(words) - 1, -1, -1):
        there = waiting & (words[at] != 0)
        if not there.any():
            continue
        for below, one in enumerate(top):
            if at >= below:
                np.copyto(one, words[at - below], where=there)
        np.copyto(place, at, where=there)
        for one in words[: max(at - 2, 0)]:
            more |= there & (one != 0)
        waiting &= ~there
        if not waiting.any():
            break
    lengths = (top[0].astype(np.float64).view(np.uint64) >> np.uint64(52)).view(np.int64) - np.int64(1022)
    shift = np.int64(32) - np.maximum(lengths, 0)  # of the bits before the first one
    bits: U64 = ((top[0] << _32) | top[1]).view(np.uint64) << shift.view(np.uint64)
    bits |= (top[2] >> (_32 - shift)).view(np.uint64)
    more |= ((top[2] << shift) & _LOW) != 0
    bits |= more.view(np.uint8)
    exponents = np.int64(32) * (place + (first - 1)) - _AT - shift
    half = exponents >> np.int64(1)
    found = bits.astype(np.float64) * _power(half)
    with np.errstate(over="ignore"):
        found *= _power(exponents - half)
    return np.negative(found, where=negative, out=found)


def _power(exponents: I64) -> F64:
    """Two to these, which are far from the ends of what a float can be."""
    return ((exponents + np.int64(1023)) << np.int64(52)).view(np.float64)
