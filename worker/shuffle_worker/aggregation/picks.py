"""One value of each group, from a column of any type: the first or the last, the smallest or the largest.

Memory: one value a group; while it takes rows, a second copy together with the rows' values.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import BatchColumn, GroupedBatch
from shuffle_worker.aggregation.sizes import content_bytes
from shuffle_worker.columns.arrays import I64, Array, Bools, indices, indices_where, plain, valid
from shuffle_worker.columns.arrow import nulls
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.sort_keys import Ready, value_words


class Pick:
    """Holds the picked values, null for groups without one. Subclasses choose."""

    def __init__(self, column: int, kind: pa.DataType) -> None:
        self.types = [kind]
        self._column = column
        self.values = nulls(0, kind)

    def update(self, piece: GroupedBatch) -> None:
        self._choose(piece, piece.column(self._column))

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._choose(piece, BatchColumn(columns[0], piece.codes, piece.counts))

    def give(self) -> list[Array]:
        return [self.values]

    @property
    def nbytes(self) -> int:
        return content_bytes(self.values)

    def _choose(self, piece: GroupedBatch, column: BatchColumn) -> None:
        raise NotImplementedError

    def _take(self, array: Array, rows: I64, groups: int) -> None:
        """Set each group's value to that of a row of `array`; -1: keep the group's value."""
        fresh = rows >= 0
        known = len(self.values)
        if not known:
            self.values = taken(array, rows, fresh)
            return
        both = pa.concat_arrays([self.values, array])
        chosen = np.where(fresh, rows + known, np.arange(groups))
        self.values = taken(both, chosen, fresh | (np.arange(groups) < known))


class First(Pick):
    """The first or the last value, in the order of the input. nulls: a null counts as a value."""

    def __init__(self, column: int, kind: pa.DataType, last: bool, nulls: bool) -> None:
        super().__init__(column, kind)
        self._last = last
        self._nulls = nulls

    def _choose(self, piece: GroupedBatch, column: BatchColumn) -> None:
        if self._nulls:
            codes, numbers = piece.codes, np.arange(len(piece.codes))
        else:
            codes, numbers = column.codes, column.rows
        rows = np.full(piece.groups, -1, np.int64)
        if self._last:
            rows[codes] = numbers
        else:
            rows[codes[::-1]] = numbers[::-1]
            known = np.zeros(piece.groups, np.bool_)
            present = None if self._nulls else valid(plain(self.values))
            known[: len(self.values)] = True if present is None else present
            rows[known] = -1
        self._take(column.array, rows, piece.groups)


class Best(Pick):
    """The smallest or the largest value of types that `extremes.py` does not know: text, bytes, decimals."""

    def __init__(self, column: int, kind: pa.DataType, largest: bool) -> None:
        super().__init__(column, kind)
        self._largest = largest

    def _choose(self, piece: GroupedBatch, column: BatchColumn) -> None:
        groups = piece.groups
        known = len(self.values)
        held = np.flatnonzero(_present(self.values))
        array = pa.concat_arrays([self.values.take(indices(held)), column.valued]) if known else column.valued
        codes = np.concatenate([held, column.codes]) if known else column.codes
        rows = np.full(groups, -1, np.int64)
        if len(codes):
            words = [Ready(codes.astype(np.uint64)), *value_words(plain(array), self._largest, among_themselves=True)]
            order = order_by(words, len(codes))
            rows[codes[order[::-1]]] = order[::-1]
        self.values = taken(array, rows, rows >= 0)


def _present(array: Array) -> Bools:
    found = valid(array)
    return np.ones(len(array), np.bool_) if found is None else found


def taken(array: Array, rows: I64, present: Bools) -> Array:
    """A copy of the rows of an array, null where not present."""
    if present.all():
        return array.take(indices(rows))
    return array.take(indices_where(present, rows))
