"""Where the windows, and the peers in them, of some rows begin and end.

Peers are rows that the order does not tell apart. Rows are numbered from 0 on, through all windows that are in memory,
or through the one that is on scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, Bools, concat
from shuffle_worker.partitioning.equal_keys import begins
from shuffle_worker.windows.stores import Space


class Peers:
    """by: the columns of the order; none where there is no order, and all rows of a window are peers."""

    def __init__(self, space: Space, by: Sequence[str]) -> None:
        self._by = list(by)
        self._numbers = space.numbers(np.int64)
        self._starts = space.numbers(np.int64)
        self._last: pa.RecordBatch | None = None
        self.rows = 0

    def add(self, rows: pa.RecordBatch, first: Bools) -> None:
        """Rows in order. first: those that begin a window."""
        flags = first.copy()
        if self._by:
            keys = rows.select(self._by)
            if self._last is None:
                flags |= begins(keys, self._by)
            else:
                flags |= begins(concat([self._last, keys]), self._by)[1:]
            self._last = keys.slice(rows.num_rows - 1)
        before = len(self._starts)
        self._numbers.add(before - 1 + np.cumsum(flags, dtype=np.int64))
        self._starts.add(self.rows + np.flatnonzero(flags))
        self.rows += rows.num_rows

    def finish(self) -> None:
        """There are no more rows."""
        self._starts.add(np.array([self.rows], np.int64))
        self._last = None

    def numbers(self, rows: I64) -> I64:
        """The number of each row's peers, in the order of the rows."""
        return self._numbers.at(rows)

    def starts(self, numbers: I64) -> I64:
        """The first row of some peers."""
        return self._starts.at(numbers)


class Block:
    """Some rows that follow one another. start, end: of the window of each row; end is the row after it."""

    def __init__(self, first: int, start: I64, end: I64, peers: Peers) -> None:
        self.rows: I64 = np.arange(first, first + len(start), dtype=np.int64)
        self.start = start
        self.end = end
        self._peers = peers

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def peers(self) -> I64:
        """The number of the peers of each row, counted from those of its window's first row: 0, 1, ..."""
        return self._numbers - self._peers.numbers(self.start)

    @cached_property
    def peer_start(self) -> I64:
        return self._peers.starts(self._numbers)

    @cached_property
    def peer_end(self) -> I64:
        return self._peers.starts(self._numbers + 1)

    @cached_property
    def _numbers(self) -> I64:
        return self._peers.numbers(self.rows)
