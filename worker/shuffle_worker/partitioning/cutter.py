"""Cut a stream of record batches of any size into row groups of one size, each in one contiguous piece.

The bytes of an output file may not depend on how its rows arrived. Parquet pages end where the arrays given to the
encoder end, so every row group is made contiguous before it is written: a copy (a tenth of what encoding costs), which
also lets the buffer that the rows lie in be used again.

Memory: the rows of one row group, and the batch that was added last.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from shuffle_worker.columns.arrays import concat


class Cutter:
    def __init__(self, rows: int) -> None:
        self._target = rows
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._owned = 0  # how many of the waiting batches have their own memory

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Full row groups, as soon as there are any. Consume it to the end."""
        at, count = 0, batch.num_rows
        while count - at >= self._target - self._rows:
            need = self._target - self._rows
            self._waiting.append(batch.slice(at, need))
            at += need
            yield self._join()
        if at < count:
            self._waiting.append(batch.slice(at))
            self._rows += count - at

    def own(self) -> None:
        """Copy what waits, because the memory it lies in is about to change."""
        borrowed = self._waiting[self._owned :]
        if borrowed:
            self._waiting[self._owned :] = [copied(borrowed)]
            self._owned = len(self._waiting)

    def rest(self) -> pa.RecordBatch | None:
        """The last, shorter row group, if any."""
        return self._join() if self._waiting else None

    def _join(self) -> pa.RecordBatch:
        waiting, self._waiting, self._rows, self._owned = self._waiting, [], 0, 0
        return waiting[0] if len(waiting) == 1 else concat(waiting)


def copied(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch with memory of its own."""
    if len(batches) > 1:
        return concat(batches)
    return concat([batches[0], batches[0].slice(0, 0)])
