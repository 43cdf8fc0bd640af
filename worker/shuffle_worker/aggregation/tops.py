"""The few largest or smallest values of each group, as a list, the best first. For types that have an order.

Memory: these values, and the ones since the best were last chosen.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch
from shuffle_worker.aggregation.sizes import content_bytes
from shuffle_worker.aggregation.values import flattened, joined, listed
from shuffle_worker.columns.arrays import I64, Array, indices, plain
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.sort_keys import Ready, value_words


class Top:
    def __init__(self, column: int, kind: pa.DataType, most: int, largest: bool) -> None:
        self.types: list[pa.DataType] = [pa.large_list(kind)]
        self._kind = kind
        self._column = column
        self._most = most
        self._largest = largest
        self._groups = 0
        self._codes: list[I64] = []
        self._values: list[Array] = []
        self._settled = 0
        self._pending = 0

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        self._add(piece.groups, column.codes, column.valued)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._add(piece.groups, *flattened(piece.codes, columns[0]))

    def give(self) -> list[Array]:
        return [self.lists(self.types[0])]

    @property
    def nbytes(self) -> int:
        return sum(content_bytes(array) + 8 * len(array) for array in self._values)

    def lists(self, kind: pa.DataType) -> Array:
        codes, array = self._settle()
        return listed(array, np.bincount(codes, minlength=self._groups), kind)

    def _add(self, groups: int, codes: I64, array: Array) -> None:
        self._groups = groups
        if not len(codes):
            return
        kept = self._best(codes, array)
        self._codes.append(codes[kept])
        self._values.append(array.take(indices(kept)))
        self._pending += len(kept)
        if self._pending > self._settled:
            self._settle()

    def _best(self, codes: I64, array: Array) -> I64:
        """The rows that stay, sorted by group and value."""
        words = value_words(plain(array), self._largest, among_themselves=True)
        order = order_by([Ready(codes.astype(np.uint64)), *words], len(codes))
        counts = np.bincount(codes, minlength=self._groups)
        within = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
        return order[within < self._most]

    def _settle(self) -> tuple[I64, Array]:
        codes, array = joined(self._codes, self._values, self._kind)
        if len(self._codes) > 1:
            kept = self._best(codes, array)
            codes, array = codes[kept], array.take(indices(kept))
            self._codes, self._values = [codes], [array]
        self._settled, self._pending = len(codes), 0
        return codes, array
