"""Sketches: for each group the entries with the k smallest *priorities*.

A priority is a hash. So these entries are a fair sample, and the same in any order: the k smallest of two groups
together are among the k smallest of each. Two functions use this:

    approxCountDistinct   priority = hash of the value: the k-th smallest of n distinct hashes stands at k / n of all
                          hashes (the KMV sketch); exact below k, beyond it within 1.6 % (one standard deviation)
    approxQuantile        priority = hash of the row's position in the input: a uniform sample of k rows; exact below k,
                          beyond it a quantile whose rank is off by 0.6 % (one standard deviation, at the median)

Memory: at most 16 bytes times k a group, and the entries since the smallest were last chosen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch, array_of
from shuffle_worker.aggregation.values import flattened, interpolated, listed
from shuffle_worker.columns.arrays import I64, U64, Array, values
from shuffle_worker.partitioning.hash import hash_column, mix
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.sort_keys import Ready, value_words

F64 = npt.NDArray[np.float64]
DISTINCT_HASHES = 4096
SAMPLED_ROWS = 8192


class Smallest:
    """Holds codes, priorities and (for a sample) values of the entries, some of which may be superfluous by now."""

    def __init__(self, column: int, most: int, sample: bool) -> None:
        self._column = column
        self._most = most
        self._sample = sample
        self.types: list[pa.DataType] = [pa.large_list(pa.uint64())]
        if sample:
            self.types.append(pa.large_list(pa.float64()))
        self._groups = 0
        self._codes: I64 = np.empty(0, np.int64)
        self._priorities: U64 = np.empty(0, np.uint64)
        self._values: F64 = np.empty(0, np.float64)
        self._settled = 0

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        if not self._sample:
            hashes = hash_column(column.valued) if len(column.codes) else np.empty(0, np.uint64)
            self._add(piece.groups, column.codes, hashes, None)
            return
        assert piece.positions is not None
        self._add(piece.groups, column.codes, mix(piece.positions[column.rows]), column.floats)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        codes, priorities = flattened(piece.codes, columns[0])
        sampled = values(flattened(piece.codes, columns[1])[1], np.float64) if self._sample else None
        self._add(piece.groups, codes, values(priorities, np.uint64), sampled)

    def give(self) -> list[Array]:
        self._settle()
        counts = np.bincount(self._codes, minlength=self._groups)
        found = [listed(array_of(pa.uint64(), self._priorities), counts, self.types[0])]
        if self._sample:
            found.append(listed(array_of(pa.float64(), self._values), counts, self.types[1]))
        return found

    @property
    def nbytes(self) -> int:
        return self._codes.nbytes + self._priorities.nbytes + self._values.nbytes

    def distinct(self) -> I64:
        """About how many distinct values each group has."""
        self._settle()
        counts = np.bincount(self._codes, minlength=self._groups)
        full = np.flatnonzero(counts == self._most)
        found = counts.copy()
        if len(full):
            last = self._priorities[np.cumsum(counts)[full] - 1].astype(np.float64) + 1
            found[full] = np.rint((self._most - 1) / (last / 2.0**64)).astype(np.int64)
        return found

    def quantile(self, at: float) -> F64:
        self._settle()
        words = value_words(array_of(pa.float64(), self._values), False)
        order = order_by([Ready(self._codes.astype(np.uint64)), *words], len(self._codes))
        counts = np.bincount(self._codes, minlength=self._groups)
        numbers = self._values[order] if len(order) else np.zeros(1)
        return interpolated(numbers, np.cumsum(counts) - counts, counts, at)

    def _add(self, groups: int, codes: I64, priorities: U64, sampled: F64 | None) -> None:
        self._groups = groups
        self._codes = np.concatenate([self._codes, codes])
        self._priorities = np.concatenate([self._priorities, priorities])
        if sampled is not None:
            self._values = np.concatenate([self._values, sampled])
        if len(self._codes) > 2 * self._settled + self._most:
            self._settle()

    def _settle(self) -> None:
        """Keep only the smallest, sorted by group and priority."""
        order = order_by([Ready(self._codes.astype(np.uint64)), Ready(self._priorities.copy())], len(self._codes))
        codes, priorities = self._codes[order], self._priorities[order]
        kept = np.ones(len(order), np.bool_)
        if not self._sample:
            kept[1:] = (codes[1:] != codes[:-1]) | (priorities[1:] != priorities[:-1])
            codes, priorities = codes[kept], priorities[kept]
        counts = np.bincount(codes, minlength=self._groups)
        within = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts) < self._most
        self._codes, self._priorities = codes[within], priorities[within]
        if self._sample:
            self._values = self._values[order][within]
        self._settled = len(self._codes)
