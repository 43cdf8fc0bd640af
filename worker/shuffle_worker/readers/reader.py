"""What a reader is: pieces of files in, record batches of the plan's schema out.

Contract, run by the conformance suite in tests/conformance/test_readers.py:
- batches come in input order, with the columns of the transport schema (`columns.schema.transport_schema`) in its order
  (those of `Plan.coded_of` as dictionary arrays), rows that the filter drops gone, hive columns filled in, every file's
  types brought to the plan's;
- `positions` are strictly rising over a piece, and the same whatever the batch size;
- a batch holds about `batch_rows` rows at the most, so memory is bounded by that and one row group's stored bytes;
- a file that is not what the plan saw raises DataError or InputNotFound that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.columns.widths import pieces_within
from shuffle_worker.plan.record import Split


class Rows(NamedTuple):
    """A record batch and where its rows stand in the input: row i of the batch is input row `positions[i]`, or
    `first + i` where nothing was filtered out (positions is None)."""

    batch: pa.RecordBatch
    first: int
    positions: npt.NDArray[np.int64] | None
    bytes_read: int  # stored bytes fetched since the last batch

    def all_positions(self) -> npt.NDArray[np.int64]:
        if self.positions is not None:
            return self.positions
        return np.arange(self.first, self.first + self.batch.num_rows, dtype=np.int64)


class Reader(Protocol):
    def read(self, split: Split, batch_rows: int) -> Iterator[Rows]: ...


def within(rows: Rows, most: int) -> Iterator[Rows]:
    """The rows in batches of so many bytes at most (a batch of less than twice that stays whole), or of one row: how
    wide rows are is known only when they are read."""
    if rows.batch.nbytes < 2 * most:
        yield rows
        return
    at, fetched = 0, rows.bytes_read
    for batch in pieces_within(rows.batch, most):
        end = at + batch.num_rows
        positions = None if rows.positions is None else rows.positions[at:end]
        yield Rows(batch, rows.first + at, positions, fetched)
        at, fetched = end, 0
