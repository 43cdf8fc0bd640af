"""Sums of the products of two columns, from which their correlation follows. As in `moments.py`, the group's first pair
is subtracted. Only rows with both values count.

Memory: 64 bytes a group.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch, array_of, grown
from shuffle_worker.columns.arrays import I64, Array, Bools, values

F64 = npt.NDArray[np.float64]


class Pairs:
    def __init__(self, first: int, second: int) -> None:
        self.types = [pa.float64()] * 8
        self._columns = first, second
        self.counts: F64 = np.empty(0, np.float64)
        self._pivots = [np.empty(0, np.float64), np.empty(0, np.float64)]
        self._sums = [np.empty(0, np.float64) for _ in range(5)]  # of x, y, x * x, y * y, x * y

    def update(self, piece: GroupedBatch) -> None:
        x, y = (piece.column(at) for at in self._columns)
        self._grow(piece.groups)
        codes, left, right = x.codes, x.floats, y.floats
        if x.present is not None or y.present is not None:
            both = _both(x.present, y.present)
            codes = piece.codes[both]
            left = left if x.present is None else _spread(left, x.rows, len(both))
            right = right if y.present is None else _spread(right, y.rows, len(both))
            left, right = left[both], right[both]
        if not len(codes):
            return
        self._find_pivots(codes, left, right)
        np.add.at(self.counts, codes, 1.0)
        with np.errstate(invalid="ignore", over="ignore"):
            a, b = left - self._pivots[0][codes], right - self._pivots[1][codes]
            for sums, numbers in zip(self._sums, (a, b, a * a, b * b, a * b), strict=True):
                np.add.at(sums, codes, numbers)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._grow(piece.groups)
        given = [values(column, np.float64) for column in columns]
        filled = np.flatnonzero(given[0])
        if not len(filled):
            return
        codes = piece.codes[filled]
        n, p, q, x, y, xx, yy, xy = (each[filled] for each in given)
        self._find_pivots(codes, p, q)
        np.add.at(self.counts, codes, n)
        with np.errstate(invalid="ignore", over="ignore"):
            a, b = p - self._pivots[0][codes], q - self._pivots[1][codes]
            moved = (
                x + n * a,
                y + n * b,
                xx + a * (2 * x + n * a),
                yy + b * (2 * y + n * b),
                xy + a * y + b * x + n * a * b,
            )
            for sums, numbers in zip(self._sums, moved, strict=True):
                np.add.at(sums, codes, numbers)

    def give(self) -> list[Array]:
        return [array_of(pa.float64(), each) for each in (self.counts, *self._pivots, *self._sums)]

    @property
    def nbytes(self) -> int:
        return 8 * self.counts.nbytes

    def correlation(self) -> tuple[F64, Bools]:
        """Pearson's correlation, and which groups have one: those with two or more pairs and no constant column."""
        n, (x, y, xx, yy, xy) = self.counts, self._sums
        with np.errstate(all="ignore"):
            left, right = xx - x * (x / n), yy - y * (y / n)
            found = (xy - x * (y / n)) / (np.sqrt(left) * np.sqrt(right))
            there = (n > 1) & ~((left <= 0) | (right <= 0))
        return np.where(there, np.clip(found, -1.0, 1.0), 0.0), there

    def _grow(self, groups: int) -> None:
        self.counts = grown(self.counts, groups, 0.0)
        self._pivots = [grown(each, groups, 0.0) for each in self._pivots]
        self._sums = [grown(each, groups, 0.0) for each in self._sums]

    def _find_pivots(self, codes: I64, left: F64, right: F64) -> None:
        fresh = self.counts == 0
        if not fresh.any():
            return
        rows = np.full(len(fresh), -1, np.int64)
        rows[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
        met = np.flatnonzero(fresh & (rows >= 0))
        self._pivots[0][met] = left[rows[met]]
        self._pivots[1][met] = right[rows[met]]


def _both(left: Bools | None, right: Bools | None) -> Bools:
    if left is None:
        assert right is not None
        return right
    return left if right is None else left & right


def _spread(numbers: F64, rows: I64, count: int) -> F64:
    """The values of some rows, at their places among all `count` rows."""
    found = np.zeros(count, np.float64)
    found[rows] = numbers
    return found
