"""Sums of the powers of the values, from which variance and skewness follow.

Powers of values far from zero would lose precision, so the group's first value (its *pivot*) is subtracted first. That
is as good as subtracting the mean: the error stays within a few ulps, or below n ulps if the first value is an outlier.
Merging moves a state with another pivot to ours.

Memory: 32 or 40 bytes a group.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch, array_of, grown
from shuffle_worker.columns.arrays import I64, Array, Bools, values

F64 = npt.NDArray[np.float64]


class Moments:
    """skew: whether third powers are needed too."""

    def __init__(self, column: int, skew: bool) -> None:
        self._column = column
        self._powers = 3 if skew else 2
        self.types = [pa.float64()] * (self._powers + 2)
        self._counts: F64 = np.empty(0, np.float64)
        self._pivots: F64 = np.empty(0, np.float64)  # NaN until there is a value
        self._sums: list[F64] = [np.empty(0, np.float64) for _ in range(self._powers)]

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        self._grow(piece.groups)
        if not len(column.codes):
            return
        self._find_pivots(column.codes, column.floats)
        self._counts += column.counts
        with np.errstate(invalid="ignore", over="ignore"):
            from_pivot = column.floats - self._pivots[column.codes]
            power = from_pivot
            for at, sums in enumerate(self._sums):
                if at:
                    power = power * from_pivot
                np.add.at(sums, column.codes, power)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._grow(piece.groups)
        counts, pivots, *sums = (values(column, np.float64) for column in columns)
        filled = np.flatnonzero(counts)
        if not len(filled):
            return
        codes, counts, pivots = piece.codes[filled], counts[filled], pivots[filled]
        first, second, *third = (each[filled] for each in sums)
        self._find_pivots(codes, pivots)
        np.add.at(self._counts, codes, counts)
        with np.errstate(invalid="ignore", over="ignore"):
            by = pivots - self._pivots[codes]
            np.add.at(self._sums[0], codes, first + counts * by)
            np.add.at(self._sums[1], codes, second + by * (2 * first + counts * by))
            for each in third:
                np.add.at(self._sums[2], codes, each + by * (3 * second + by * (3 * first + counts * by)))

    def give(self) -> list[Array]:
        return [array_of(pa.float64(), each) for each in (self._counts, self._pivots, *self._sums)]

    @property
    def nbytes(self) -> int:
        return (2 + self._powers) * self._counts.nbytes

    def variance(self) -> F64:
        """The variance of a sample (divided by n - 1); undefined for groups of fewer than two values."""
        with np.errstate(all="ignore"):
            return self._second() / (self._counts - 1)

    def skewness(self) -> F64:
        """The skewness, adjusted for the size of the sample as in SQL engines and pandas. NaN for groups of fewer than
        three values, and for groups whose values are all equal."""
        n, (first, second, third) = self._counts, self._sums
        with np.errstate(all="ignore"):
            mean = first / n
            m2 = self._second() / n
            m3 = (third - mean * (3 * second - 2 * mean * first)) / n
            return np.where(m2 == 0, np.nan, np.sqrt(n * (n - 1)) / (n - 2) * m3 / m2**1.5)

    def alike(self) -> Bools:
        """Which groups' values are all equal."""
        found: Bools = self._second() == 0
        return found

    def _second(self) -> F64:
        with np.errstate(all="ignore"):
            return np.maximum(self._sums[1] - self._sums[0] * (self._sums[0] / self._counts), 0.0)

    def _grow(self, groups: int) -> None:
        self._counts = grown(self._counts, groups, 0.0)
        self._pivots = grown(self._pivots, groups, np.nan)
        self._sums = [grown(each, groups, 0.0) for each in self._sums]

    def _find_pivots(self, codes: I64, numbers: F64) -> None:
        """Set the pivot of groups that get their first value."""
        fresh = self._counts == 0
        if not fresh.any():
            return
        rows = np.full(len(fresh), -1, np.int64)
        rows[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
        met = np.flatnonzero(fresh & (rows >= 0))
        self._pivots[met] = numbers[rows[met]]
