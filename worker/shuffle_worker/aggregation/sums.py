"""Exact sums of integers of any size, and sums of floats, added one after the other.

An integer sum has 64 bits as long as the values so far cannot exceed them. From then on it has two words of 32 and 64
bits, which hold any sum of fewer than 2**32 values. Whether the total fits its type is checked at the end.

Memory: 8 or 16 bytes a group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.aggregation.batches import BatchColumn, GroupedBatch, array_of, grown
from shuffle_worker.columns.arrays import I64, Array, Bools, values, view

_LOW = np.int64((1 << 32) - 1)
_32 = np.int64(32)
_MOST = (1 << 63) - 1


class IntegerSum:
    """The sum of integers, booleans, durations, or decimals of at most 18 digits (their unscaled values)."""

    def __init__(self, column: int, kind: pa.DataType) -> None:
        self.types = [pa.int64(), pa.int64()]
        self._column = column
        self._unsigned = pa.types.is_uint64(kind)
        self._decimal = pa.types.is_decimal(kind)
        self._low: I64 = np.empty(0, np.int64)  # all of it while `_high` is None, else the lower 32 bits
        self._high: I64 | None = None
        self._bound = 0  # no sum can be further from zero

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        numbers = self._numbers(column)
        self._grow(piece.groups)
        if not len(numbers):
            return
        if self._unsigned:
            found = numbers.view(np.uint64)
            self._bound += int(found.max()) * len(found)
        else:
            self._bound += max(-int(numbers.min()), int(numbers.max())) * len(numbers)
        if self._bound <= _MOST and self._high is None:
            np.add.at(self._low, column.codes, numbers)
            return
        high = (numbers.view(np.uint64) >> np.uint64(32)).view(np.int64) if self._unsigned else numbers >> _32
        self._add(column.codes, high, numbers & _LOW)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._grow(piece.groups)
        high, low = values(columns[0], np.int64), values(columns[1], np.int64)
        if not len(low):
            return
        self._bound += (max(-int(high.min()), int(high.max())) + 1) * len(high) << 32
        if self._bound <= _MOST and self._high is None:
            np.add.at(self._low, piece.codes, (high << _32) + low)
        else:
            self._add(piece.codes, high, low)

    def give(self) -> list[Array]:
        high, low = self.words()
        return [array_of(pa.int64(), high), array_of(pa.int64(), low)]

    @property
    def nbytes(self) -> int:
        return self._low.nbytes + (0 if self._high is None else self._high.nbytes)

    def words(self) -> tuple[I64, I64]:
        """The sums as high * 2**32 + low, low from 0 to 2**32 - 1."""
        if self._high is None:
            return self._low >> _32, self._low & _LOW
        return self._high, self._low

    def floats(self) -> npt.NDArray[np.float64]:
        """The sums, rounded once."""
        if self._high is None:
            return self._low.astype(np.float64)
        return self._high.astype(np.float64) * 2.0**32 + self._low

    def integers(self) -> tuple[npt.NDArray[Any], Bools]:
        """The sums as 64-bit integers (unsigned if the column is), and which of them need more than 64 bits."""
        high, low = self.words()
        if self._unsigned:
            return ((high << _32) | low).view(np.uint64), high >= np.int64(1 << 32)
        return (high << _32) | low, (high < np.int64(-(1 << 31))) | (high >= np.int64(1 << 31))

    def limbs(self) -> list[I64]:
        """The sums as 32-bit words, the least significant first, the last one signed."""
        high, low = self.words()
        return [low, high & _LOW, high >> _32]

    def _numbers(self, column: BatchColumn) -> I64:
        if not self._decimal:
            return column.integers
        array = column.valued
        words = array.type.bit_width // 64
        if words == 0:
            return values(array, np.int32).astype(np.int64)
        found: I64 = view(array.buffers()[1], np.int64, len(array) * words, array.offset * words)[::words]
        return found

    def _grow(self, groups: int) -> None:
        self._low = grown(self._low, groups, 0)
        if self._high is not None:
            self._high = grown(self._high, groups, 0)

    def _add(self, codes: I64, high: I64, low: I64) -> None:
        if self._high is None:
            self._high, self._low = self._low >> _32, self._low & _LOW
        np.add.at(self._high, codes, high)
        np.add.at(self._low, codes, low)
        self._high += self._low >> _32
        self._low &= _LOW


class FloatSum:
    """The sum of floats, in the order of the rows."""

    def __init__(self, column: int) -> None:
        self.types = [pa.float64()]
        self._column = column
        self.sums: npt.NDArray[np.float64] = np.empty(0, np.float64)

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        self._add(piece.groups, column.codes, column.floats)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._add(piece.groups, piece.codes, values(columns[0], np.float64))

    def give(self) -> list[Array]:
        return [array_of(pa.float64(), self.sums)]

    @property
    def nbytes(self) -> int:
        return self.sums.nbytes

    def _add(self, groups: int, codes: I64, numbers: npt.NDArray[np.float64]) -> None:
        self.sums = grown(self.sums, groups, 0.0)
        with np.errstate(invalid="ignore", over="ignore"):
            np.add.at(self.sums, codes, numbers)
