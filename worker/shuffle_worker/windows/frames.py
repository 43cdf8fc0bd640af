"""Which rows a window frame has: from one row of the window to another, for each row.

    ROWS BETWEEN 2 PRECEDING AND CURRENT ROW          rows are counted
    RANGE BETWEEN INTERVAL '1 day' PRECEDING AND ...   the distance in the column of the order counts

The current row of a RANGE stands for all its peers. A row whose key is null has the peers of its null for every end
that is at a distance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import I64, U64, Array, Bools, valid
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.counts import MarkedRows
from shuffle_worker.windows.distances import Distance, moved, words_of
from shuffle_worker.windows.stores import Numbers, Space


class End(NamedTuple):
    """One end of a frame: `side` is -1 before the current row, 0 at it, 1 after it; `by` how far, None for the end of
    the window."""

    side: int
    by: int | Distance | None = None


class WindowFrame(NamedTuple):
    rows: bool
    """Rows are counted (ROWS); else it is a RANGE."""
    start: End
    end: End

    @property
    def distances(self) -> list[Distance]:
        """Those in the column of the order."""
        return [end.by for end in (self.start, self.end) if isinstance(end.by, Distance)]


BEFORE, HERE, AFTER = -1, 0, 1
WHOLE = WindowFrame(True, End(BEFORE), End(AFTER))
UP_TO_PEERS = WindowFrame(False, End(BEFORE), End(HERE))


class OrderKeys:
    """The column of the order, for distances in it."""

    def __init__(self, space: Space, key: SortKey) -> None:
        self.key = key
        self._words = space.numbers(np.uint64)
        self._nulls = MarkedRows(space)

    def add(self, column: Array) -> None:
        self._words.add(words_of(column, self.key.descending))
        there = valid(column)
        self._nulls.add(np.zeros(len(column), np.bool_) if there is None else ~there)

    def bound(self, block: Block, column: Array, end: End, *, first: bool) -> I64:
        """The first row, or the row after the last, that is not further off."""
        assert isinstance(end.by, Distance)
        start, stop = block.start, block.end
        if self._nulls.total:
            nulls = self._nulls.between(start, stop)
            start, stop = (start + nulls, stop) if self.key.nulls_first else (start, stop - nulls)
        targets = moved(column, end.by, self.key.descending, after=end.side > 0)
        found = searched(self._words, targets, start, stop, right=not first)
        there = valid(column)
        if there is None:
            return found
        return np.where(there, found, block.peer_start if first else block.peer_end)


def searched(words: Numbers, targets: U64, start: I64, end: I64, *, right: bool) -> I64:
    """Where each target would stand among the words from `start` to `end`, which rise: before its equals, or behind
    them. Halves the rows of all targets together."""
    low, high = start.copy(), end.copy()
    widest = int((high - low).max()) if len(low) else 0
    for _ in range(widest.bit_length()):
        middle = (low + high) >> 1
        found = words.at(np.minimum(middle, max(len(words) - 1, 0)))
        below: Bools = (found <= targets) if right else (found < targets)
        below &= low < high
        np.copyto(low, middle + 1, where=below)
        np.copyto(high, middle, where=~below & (middle < high))
    return low


def bounds(frame: WindowFrame, block: Block, keys: OrderKeys | None, column: Array | None) -> tuple[I64, I64]:
    """The first row of each row's frame, and the row after its last; the same row where the frame is empty. keys,
    column: of the order, for distances; column: of the block's rows."""
    low = _bound(frame, frame.start, block, keys, column, first=True)
    high = _bound(frame, frame.end, block, keys, column, first=False)
    return low, np.maximum(low, high)


def _bound(
    frame: WindowFrame, end: End, block: Block, keys: OrderKeys | None, column: Array | None, *, first: bool
) -> I64:
    if end.by is None and end.side:
        return block.start if end.side == BEFORE else block.end
    if isinstance(end.by, Distance):
        assert keys is not None and column is not None
        return keys.bound(block, column, end, first=first)
    if not frame.rows:
        return block.peer_start if first else block.peer_end
    moved_by = (end.by or 0) * end.side + (not first)
    return np.clip(block.rows + moved_by, block.start, block.end)
