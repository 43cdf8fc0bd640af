"""Cut a stream of record batches of any size into row groups of one size, each in one contiguous piece.

The bytes of an output file may not depend on how its rows arrived. Parquet pages end where the arrays given to the
encoder end, so every row group is made contiguous before it is written: a copy (a tenth of what encoding costs), which
also lets the buffer that the rows lie in be used again.

Where rows are far wider than the others, a row group ends by its bytes before it has its rows. It ends at the same row
however the rows arrived, because bytes are counted by values alone (`columns/widths.py`).

Memory: the rows of one row group, and the batch that was added last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from shuffle_worker.columns.arrays import concat
from shuffle_worker.columns.coded import with_own_dictionaries
from shuffle_worker.columns.widths import bytes_of, fitting, most_bytes, row_bytes, row_ends


class Cutter:
    """rows, most: a row group ends when it has so many rows, or when the next one would make it larger than so many
    bytes (None: any)."""

    def __init__(self, rows: int, most: int | None = None) -> None:
        self._target = rows
        self._most = most
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0  # of what waits, or more
        self._owned = 0  # how many of the waiting batches have their own memory

    def cut(self, batches: Iterable[pa.RecordBatch | None]) -> Iterator[pa.RecordBatch]:
        """The row groups of all batches. None: the memory of those before it is about to change."""
        for batch in batches:
            if batch is None:
                self.own()
            else:
                yield from self.add(batch)
        yield from self.rest()

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Full row groups, as soon as there are any. Consume it to the end."""
        at, count = 0, batch.num_rows
        while at < count:
            part = batch.slice(at, min(self._target - self._rows, count - at))
            fit = self._fitting(part)
            if fit:
                self._waiting.append(part if fit == part.num_rows else part.slice(0, fit))
                self._rows += fit
                at += fit
            if self._rows == self._target or fit < part.num_rows:
                yield from self._joined()

    def _fitting(self, part: pa.RecordBatch) -> int:
        """How many of these rows the row group still takes, at least the first one of a group. A guess, because it is
        made for every batch: text that codes stand for is seen only by `_joined`."""
        if self._most is None:
            return part.num_rows
        size = bytes_of([part], self._most - self._bytes)
        if self._bytes + size <= self._most:
            self._bytes += size
            return part.num_rows
        held = sum(row_bytes(batch) for batch in self._waiting)
        ends = row_ends(part)
        fit = fitting(ends, self._most - held)
        if not fit and not self._rows:
            fit = 1
        self._bytes = held + (int(ends[fit - 1]) if fit else 0)
        return fit

    def own(self) -> None:
        """Copy what waits, because the memory it lies in is about to change."""
        borrowed = self._waiting[self._owned :]
        if borrowed:
            self._waiting[self._owned :] = [copied(borrowed)]
            self._owned = len(self._waiting)

    def rest(self) -> Iterator[pa.RecordBatch]:
        """The last rows, in a shorter row group; in several where they are wide."""
        while self._waiting:
            yield from self._joined()

    def _joined(self) -> Iterator[pa.RecordBatch]:
        """Those that wait as a row group. Of those that are too large for one the first, and the others wait on."""
        owned = len(self._waiting) > 1 or self._owned > 0
        joined = self._waiting[0] if len(self._waiting) == 1 else concat(self._waiting)
        self._waiting, self._rows, self._bytes, self._owned = [], 0, 0, 0
        if self._most is None or most_bytes(joined) <= self._most:
            yield joined
            return
        ends = row_ends(joined)
        fit = max(fitting(ends, self._most), 1)
        if fit < joined.num_rows:
            rest = joined.slice(fit)
            self._waiting, self._rows, self._owned = [rest], rest.num_rows, int(owned)
            self._bytes = int(ends[-1] - ends[fit - 1])
        yield joined.slice(0, fit)


def copied(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch with memory of its own. Where columns are coded, so are their dictionaries, which a join of batches
    that have the same ones leaves where they are."""
    return with_own_dictionaries(concat(batches if len(batches) > 1 else [batches[0], batches[0].slice(0, 0)]))
