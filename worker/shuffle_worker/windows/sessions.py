"""Sessions: rows of which each is near the one before it. The number of a row's session in its window: 1, 2, ..."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import array_of
from shuffle_worker.columns.arrays import I64, U64, Array, Bools, valid
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.counts import MarkedRows, Present
from shuffle_worker.windows.distances import Distance, moved, words_of
from shuffle_worker.windows.stores import Space


class Session:
    """A row that is further from the row before it than `gap` begins one. A row without a value is in none."""

    def __init__(self, space: Space, gap: Distance, descending: bool) -> None:
        self._gap = gap
        self._descending = descending
        self._starts = MarkedRows(space)
        self._present = Present(space)
        self._last: U64 = np.zeros(1, np.uint64)
        self._last_there = False

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        column = arguments[0]
        there = valid(column)
        self._present.add(there, len(first))
        words = words_of(column, self._descending)
        before = np.concatenate([self._last, words[:-1]])
        starts = first | (before < moved(column, self._gap, self._descending, after=False))
        self._last = words[-1:].copy()
        if there is not None or not self._last_there:
            known = np.ones(len(first), np.bool_) if there is None else there
            starts |= ~np.concatenate([[self._last_there], known[:-1]])
            starts &= known
            self._last_there = bool(known[-1])
        self._starts.add(starts)

    def result(self, block: Block, low: I64, high: I64) -> Array:  # noqa: ARG002
        numbers = self._starts.between(block.start, block.rows + 1)
        there = self._present.between(block.rows, block.rows + 1) > 0
        return array_of(pa.int64(), numbers, there)
