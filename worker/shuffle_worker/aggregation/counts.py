"""How many rows and how many values a group has. Every result that may be null needs the number of values.

Memory: 8 bytes a group.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch, array_of, grown
from shuffle_worker.columns.arrays import I64, Array, values


class GroupRows:
    """The rows of each group."""

    def __init__(self) -> None:
        self.types = [pa.int64()]
        self.counts: I64 = np.empty(0, np.int64)

    def update(self, piece: GroupedBatch) -> None:
        self._add(piece.counts)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self.counts = grown(self.counts, piece.groups, 0)
        np.add.at(self.counts, piece.codes, values(columns[0], np.int64))

    def give(self) -> list[Array]:
        return [array_of(pa.int64(), self.counts)]

    @property
    def nbytes(self) -> int:
        return self.counts.nbytes

    def _add(self, counts: I64) -> None:
        self.counts = grown(self.counts, len(counts), 0)
        self.counts += counts


class Values(GroupRows):
    """The rows of each group that have a value in a column."""

    def __init__(self, column: int) -> None:
        super().__init__()
        self._column = column

    def update(self, piece: GroupedBatch) -> None:
        self._add(piece.column(self._column).counts)
