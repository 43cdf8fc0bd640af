"""Values of other rows: so many rows before or after, and the first, last and n-th row of a frame.

Where nulls are ignored, rows without a value are not counted. Then rows are found by their number among those that have
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import array_of
from shuffle_worker.columns.arrays import I64, Array, Bools, valid
from shuffle_worker.columns.arrow import call
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.counts import MarkedRows
from shuffle_worker.windows.stores import NONE, Space

Chosen = Callable[["CountedRows", Block, I64, I64], I64]
"""The row that is meant for each row; one that is not in the window, or the frame, where there is none."""


class CountedRows:
    """The rows that count: all, or those that have a value, which are numbered."""

    def __init__(self, space: Space) -> None:
        self._marks = MarkedRows(space)
        self._rows = space.numbers(np.int64)
        self._count = 0

    def add(self, there: Bools) -> None:
        self._marks.add(there)
        self._rows.add(self._count + np.flatnonzero(there))
        self._count += len(there)

    def number(self, rows: I64) -> I64:
        """How many that count stand before each row: so the number of the first that counts from it on."""
        return self._marks.before(rows)

    def row(self, numbers: I64) -> I64:
        """The row of a number; far from any where there is none."""
        if not len(self._rows):
            return np.full(len(numbers), np.int64(NONE))
        found: I64 = self._rows.at(np.clip(numbers, 0, len(self._rows) - 1))
        outside = (numbers < 0) | (numbers >= len(self._rows))
        return np.where(outside, np.int64(NONE), found)


class AllRows(CountedRows):
    """Each row counts, so a row is its number."""

    def __init__(self) -> None:
        pass

    def add(self, there: Bools) -> None:
        pass

    def number(self, rows: I64) -> I64:
        return rows

    def row(self, numbers: I64) -> I64:
        return numbers


def before(offset: int) -> Chosen:
    """lag."""

    def chosen(rows: CountedRows, block: Block, low: I64, high: I64) -> I64:  # noqa: ARG001
        found = rows.row(rows.number(block.rows) - offset) if offset else block.rows
        return np.where((found >= block.start) & (found < block.end), found, NONE)

    return chosen


def after(offset: int) -> Chosen:
    """lead."""

    def chosen(rows: CountedRows, block: Block, low: I64, high: I64) -> I64:  # noqa: ARG001
        found = rows.row(rows.number(block.rows + 1) + (offset - 1)) if offset else block.rows
        return np.where((found >= block.start) & (found < block.end), found, NONE)

    return chosen


def nth(number: int) -> Chosen:
    """nth_value; the first is 1."""

    def chosen(rows: CountedRows, block: Block, low: I64, high: I64) -> I64:  # noqa: ARG001
        found = rows.row(rows.number(low) + (number - 1))
        return np.where((found >= low) & (found < high), found, NONE)

    return chosen


def last(rows: CountedRows, block: Block, low: I64, high: I64) -> I64:  # noqa: ARG001
    """last_value."""
    found = rows.row(rows.number(high) - 1)
    return np.where((found >= low) & (found < high), found, NONE)


class PickedValue:
    """kind: of the column. default: whether there is a second argument, for rows that have no other."""

    def __init__(
        self, space: Space, kind: pa.DataType, chosen: Chosen, *, ignore_nulls: bool = False, default: bool = False
    ) -> None:
        self._values = space.values(kind)
        self._rows = CountedRows(space) if ignore_nulls else AllRows()
        self._ignore_nulls = ignore_nulls
        self._chosen = chosen
        self._default = space.values(kind) if default else None

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        self._values.add(arguments[0])
        if self._ignore_nulls:
            there = valid(arguments[0])
            self._rows.add(np.ones(len(first), np.bool_) if there is None else there)
        if self._default is not None:
            self._default.add(arguments[1])

    def result(self, block: Block, low: I64, high: I64) -> Array:
        places = self._chosen(self._rows, block, low, high)
        found = self._values.at(places)
        if self._default is None or not (places == NONE).any():
            return found
        return _instead(found, places == NONE, self._default.at(block.rows))


def _instead(found: Array, absent: Bools, default: Array) -> Array:
    chosen: Array = call("if_else", array_of(pa.bool_(), absent), default, found)
    return chosen
