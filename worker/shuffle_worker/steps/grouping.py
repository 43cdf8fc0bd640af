"""Rows that stand group by group, cut into what a function is called with: loads of whole groups.

Most groups are small, and a call for each would cost more than what is done in it, so whole groups travel together, up
to `rows` rows. A group that is larger comes alone, in batches of exactly `rows` rows, or of fewer where these are so
wide that they have more than `most` bytes. A function over batches sees which rows are in one batch, so that depends on
the group alone, never on how much was sorted in memory at a time.

Memory: what `stream` gives, the rows of one load that began in a batch before, and one batch of a larger group: each of
`most` bytes, or one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, concat
from shuffle_worker.columns.widths import fitting, most_bytes, row_bytes, row_ends
from shuffle_worker.partitioning.cutter import Cutter, copied
from shuffle_worker.partitioning.equal_keys import begins


class Load(NamedTuple):
    """Whole groups one after the other."""

    rows: pa.RecordBatch
    ends: I64
    """The row after each."""


class Large(NamedTuple):
    """One group of more rows, or bytes, than a load has."""

    first: pa.RecordBatch
    """Its first row."""
    batches: Iterator[pa.RecordBatch]
    """To be taken to their end before the next load is asked for."""


class Loads:
    """keys: the columns whose equality makes a group; none: all rows are one. rows, most: of a load, and bytes of it
    (None: any)."""

    def __init__(
        self, stream: Iterator[pa.RecordBatch], keys: Sequence[str], rows: int, most: int | None = None
    ) -> None:
        self._stream = stream
        self._keys = list(keys)
        self._rows = rows
        self._most = most
        self._open: list[pa.RecordBatch] = []  # of the group that may go on in the next batch; never a load's rows yet
        self._rest: pa.RecordBatch | None = None  # of a batch whose beginning a large group took

    def __iter__(self) -> Iterator[Load | Large]:
        while (batch := self._next()) is not None:
            starts = self._starts(batch)
            if self._open:
                end = int(starts[0]) if len(starts) else batch.num_rows
                self._open.append(batch.slice(0, end))
                if self._too_large(self._open):
                    if end < batch.num_rows:
                        self._rest = batch.slice(end)
                    yield self._large(ended=end < batch.num_rows)
                    continue
                if not len(starts):
                    self._own()
                    continue
                yield self._closed()
            for first, end in self._cut(starts, batch):
                rows = batch.slice(int(starts[first]), int(starts[end] - starts[first]))
                if end == first + 1 and self._too_large([rows]):
                    self._open = [rows]
                    yield self._large(ended=True)
                else:
                    yield Load(rows, starts[first + 1 : end + 1] - starts[first])
            self._open = [batch.slice(int(starts[-1]))]
            del batch
            if self._too_large(self._open):
                yield self._large(ended=False)
            else:
                self._own()
        if self._open:
            yield self._closed()

    def _too_large(self, group: Sequence[pa.RecordBatch]) -> bool:
        """Whether a load does not hold the rows of one group."""
        if sum(batch.num_rows for batch in group) > self._rows:
            return True
        if self._most is None or sum(map(most_bytes, group)) <= self._most:
            return False
        return sum(row_bytes(batch) for batch in group) > self._most

    def _next(self) -> pa.RecordBatch | None:
        rest, self._rest = self._rest, None
        if rest is not None:
            return rest
        return next((batch for batch in self._stream if batch.num_rows), None)

    def _starts(self, batch: pa.RecordBatch) -> I64:
        """The rows of a batch that begin another group than the one that is open."""
        if not self._keys:
            first = [] if self._open else [0]
            return np.array(first, np.int64)
        starts = np.flatnonzero(begins(batch, self._keys))
        if self._open:
            last = self._open[-1]
            seam = concat([last.slice(last.num_rows - 1), batch.slice(0, 1)])
            if not begins(seam.select(self._keys), self._keys)[1]:
                return starts[1:]
        return starts

    def _cut(self, starts: I64, batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
        """The groups that end in this batch, as runs of them that fit a load: (first, the one after the last)."""
        at, count = 0, len(starts) - 1
        ends = None if self._most is None or most_bytes(batch) <= self._most else row_ends(batch)
        while at < count:
            until = int(starts[at]) + self._rows
            if ends is not None and self._most is not None:
                until = min(until, fitting(ends, self._most, int(starts[at])))
            end = int(np.searchsorted(starts, until, "right")) - 1
            end = min(max(end, at + 1), count)
            yield at, end
            at = end

    def _own(self) -> None:
        """Copy what waits, so that it does not keep the batch that it was a part of."""
        self._open = [copied(self._open)]

    def _closed(self) -> Load:
        rows = self._open[0] if len(self._open) == 1 else concat(self._open)
        self._open = []
        return Load(rows, np.array([rows.num_rows], np.int64))

    def _large(self, ended: bool) -> Large:
        return Large(self._open[0].slice(0, 1), self._batches(ended))

    def _batches(self, ended: bool) -> Iterator[pa.RecordBatch]:
        """The open group, and what the stream has more of it."""
        cutter = Cutter(self._rows, self._most)
        while True:
            for held in self._open:
                yield from cutter.add(held)
            if ended:
                break
            last = self._open[-1]
            self._open = [copied([last.slice(last.num_rows - 1)])]  # for its key
            del last
            cutter.own()
            batch = self._next()
            if batch is None:
                break
            starts = self._starts(batch)
            end = int(starts[0]) if len(starts) else batch.num_rows
            ended = bool(len(starts))
            if ended and end < batch.num_rows:
                self._rest = batch.slice(end)
            if not end:
                break
            self._open = [batch.slice(0, end)]
        yield from cutter.rest()
        self._open = []
