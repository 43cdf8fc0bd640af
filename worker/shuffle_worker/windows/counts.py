"""How many rows of a frame have a value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import array_of
from shuffle_worker.columns.arrays import I64, Array, Bools, valid
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.stores import Space


class MarkedRows:
    """Counts marked rows."""

    def __init__(self, space: Space) -> None:
        self._before = space.numbers(np.int64)
        self._before.add(np.zeros(1, np.int64))
        self.total = 0

    def add(self, marked: Bools) -> None:
        found = self.total + np.cumsum(marked, dtype=np.int64)
        self._before.add(found)
        self.total = int(found[-1]) if len(found) else self.total

    def before(self, rows: I64) -> I64:
        """How many marked rows there are before each of these."""
        found: I64 = self._before.at(rows)
        return found

    def between(self, low: I64, high: I64) -> I64:
        return self.before(high) - self.before(low)


class Present:
    """Counts the values of a column. Where none is null that takes no room."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._rows = 0
        self._marks: MarkedRows | None = None  # made when there is a null

    def add(self, there: Bools | None, rows: int) -> None:
        """there: which rows have a value, None for all."""
        if there is not None and self._marks is None:
            self._marks = MarkedRows(self._space)
            self._fill(self._rows)
        if self._marks is not None:
            self._marks.add(np.ones(rows, np.bool_) if there is None else there)
        self._rows += rows

    def _fill(self, rows: int, each: int = 1 << 16) -> None:
        assert self._marks is not None
        for first in range(0, rows, each):
            self._marks.add(np.ones(min(rows - first, each), np.bool_))

    def between(self, low: I64, high: I64) -> I64:
        return high - low if self._marks is None else self._marks.between(low, high)


class Count:
    """count(*), count(x)."""

    def __init__(self, space: Space) -> None:
        self._present = Present(space)

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        self._present.add(valid(arguments[0]) if arguments else None, len(first))

    def result(self, block: Block, low: I64, high: I64) -> Array:  # noqa: ARG002
        return array_of(pa.int64(), self._present.between(low, high))
