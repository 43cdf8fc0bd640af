"""Sums and means of frames: exact, and rounded once.

A sum of whole numbers that does not fit 64 bits fails the job, as in a groupBy; so does one of decimals of more digits
than their width holds. Of floats the sum is the one that is nearest to the exact sum, so that nothing is left of values
that have left the frame. NaN and infinities count while they are in the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import array_of
from shuffle_worker.aggregation.decimals import decimals, limbs_of
from shuffle_worker.aggregation.results import sum_type
from shuffle_worker.columns.arrays import I64, Array, Bools, bitmap, bits, plain, valid, values
from shuffle_worker.columns.arrow import parts
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.counts import Present
from shuffle_worker.windows.functions import DoesNotFit, Evaluator
from shuffle_worker.windows.stores import Space
from shuffle_worker.windows.sums import F64, RunningSums, carried, floats_of, floats_of_wholes, words_of_floats

_LOW = np.int64((1 << 32) - 1)
_32 = np.int64(32)
_MOST = (1 << 63) - 1


def total(space: Space, kind: pa.DataType, *, mean: bool) -> Evaluator:
    """The function for a column of a type."""
    if pa.types.is_floating(kind):
        return Floats(space, mean)
    if pa.types.is_decimal(kind):
        return Decimals(space, kind, mean)
    return Wholes(space, kind, mean)


class Wholes:
    """Of integers, booleans and durations."""

    def __init__(self, space: Space, kind: pa.DataType, mean: bool) -> None:
        self._mean = mean
        self._kind = sum_type(kind)
        self._rows = space.rows
        self._sums = RunningSums(space)
        self._present = Present(space)
        self._single = False  # one word of 64 bits is enough
        self._any = False

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        array = plain(arguments[0])
        there = valid(array)
        self._present.add(there, len(first))
        numbers = _integers(array)
        if there is not None:
            numbers = np.where(there, numbers, np.int64(0))
        if not self._any:
            self._any = True
            self._single = self._fits(numbers)
        if self._single:
            self._sums.add({0: numbers}, len(first))
            return
        high = (numbers.view(np.uint64) >> np.uint64(32)).view(np.int64) if self._unsigned else numbers >> _32
        self._sums.add({0: numbers & _LOW, 1: high}, len(first))

    def _fits(self, numbers: I64) -> bool:
        """Whether no sum leaves 64 bits: where all rows are here already."""
        if self._rows != len(numbers) or not len(numbers):
            return False
        if self._unsigned:
            return int(numbers.view(np.uint64).max()) * len(numbers) <= _MOST
        return max(-int(numbers.min()), int(numbers.max())) * len(numbers) <= _MOST

    @property
    def _unsigned(self) -> bool:
        return pa.types.is_unsigned_integer(self._kind)

    def result(self, block: Block, low: I64, high: I64) -> Array:
        counts = self._present.between(low, high)
        words = self._sums.between(low, high)
        rows = len(block)
        if self._single:
            sums = words[0]
            floats: F64 = sums.astype(np.float64)
        else:
            found, above, _ = carried({0: np.zeros(rows, np.int64), 1: np.zeros(rows, np.int64), **words}, rows)
            sums = (found[1] << _32) | found[0]
            floats = above * 2.0**64 + found[1] * 2.0**32 + found[0]
            past = above != 0 if self._unsigned else above != sums >> np.int64(63)
            if not self._mean and past.any():
                raise DoesNotFit(int(np.flatnonzero(past)[0]))
        if self._mean:
            return _divided(floats, counts)
        return array_of(self._kind, sums, counts > 0)


class Decimals:
    def __init__(self, space: Space, kind: pa.DataType, mean: bool) -> None:
        self._mean = mean
        self._kind = sum_type(kind)
        self._short = parts(kind).precision <= 18
        self._sums = RunningSums(space)
        self._present = Present(space)

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        array = plain(arguments[0])
        there = valid(array)
        self._present.add(there, len(first))
        words = limbs_of(array)
        if self._short and len(words) > 2:
            words = [words[0], (words[1] << _32) >> _32]
        if there is not None:
            words = [np.where(there, word, np.int64(0)) for word in words]
        self._sums.add(dict(enumerate(words)), len(first))

    def result(self, block: Block, low: I64, high: I64) -> Array:
        counts = self._present.between(low, high)
        rows = len(block)
        sums = self._sums.between(low, high)
        if self._mean:  # of any sum, also of one that no decimal holds
            unscaled, scale = floats_of_wholes(sums, rows), parts(self._kind).scale
            return _divided(unscaled / 10.0**scale if scale >= 0 else unscaled * 10.0**-scale, counts)
        words, above, _ = carried({0: np.zeros(rows, np.int64), **sums}, rows)
        found, past = _decimals(words, above, self._kind)
        if past.any():
            raise DoesNotFit(int(np.flatnonzero(past)[0]))
        return _present_decimals(found, counts > 0)


class Floats:
    def __init__(self, space: Space, mean: bool) -> None:
        self._space = space
        self._mean = mean
        self._sums = RunningSums(space)
        self._present = Present(space)
        self._odd: dict[str, Present] | None = None
        self._rows = 0

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        array = plain(arguments[0])
        there = valid(array)
        self._present.add(there, len(first))
        floats = values(array, f"f{array.type.bit_width // 8}").astype(np.float64)
        if there is not None:
            floats[~there] = 0.0
        even = np.isfinite(floats)
        if not even.all() or self._odd is not None:
            self._add_odd(floats)
            floats[~even] = 0.0
        self._sums.add(words_of_floats(floats), len(first))
        self._rows += len(first)

    def _add_odd(self, floats: F64) -> None:
        found = {"nan": floats != floats, "inf": floats == np.inf, "-inf": floats == -np.inf}
        if self._odd is None:
            self._odd = {name: Present(self._space) for name in found}
            for one in self._odd.values():
                one.add(np.zeros(self._rows, np.bool_), self._rows)
        for name, marked in found.items():
            self._odd[name].add(marked, len(marked))

    def result(self, block: Block, low: I64, high: I64) -> Array:
        counts = self._present.between(low, high)
        sums = floats_of(self._sums.between(low, high), len(block))
        if self._odd is not None:
            nan, up, down = (one.between(low, high) > 0 for one in self._odd.values())
            sums[up] = np.inf
            sums[down] = -np.inf
            sums[nan | (up & down)] = np.nan
        return _divided(sums, counts) if self._mean else array_of(pa.float64(), sums, counts > 0)


def _divided(sums: F64, counts: I64) -> Array:
    with np.errstate(all="ignore"):
        return array_of(pa.float64(), sums / counts, counts > 0)


def _integers(array: Array) -> I64:
    kind = array.type
    if pa.types.is_boolean(kind):
        return bits(array.buffers()[1], array.offset, len(array)).astype(np.int64)
    letter = "u" if pa.types.is_unsigned_integer(kind) else "i"
    return values(array, f"{letter}{kind.bit_width // 8}").astype(np.int64)


def _decimals(found: list[I64], above: I64, kind: pa.DataType) -> tuple[Array, Bools]:
    """From words, the least significant first, and what is above them. More than 256 bits are past anything."""
    past = np.zeros(len(above), np.bool_)
    if len(found) >= 8:
        words, top = found[:7], found[7] - ((found[7] >> np.int64(31)) << _32)
        past = above != top >> np.int64(63)
    else:
        words, top = found, above
    made, more = decimals([*words, top], kind)
    return made, past | more


def _present_decimals(found: Array, there: Bools) -> Array:
    """The same, null where there is none."""
    if there.all():
        return found
    return pa.Array.from_buffers(found.type, len(found), [bitmap(there), found.buffers()[1]])
