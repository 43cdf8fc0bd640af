"""The local step of an as-of join: each left row beside the one right row of its key that is nearest in time.

As in any join, the rows of one key meet in one cell (`step.py`), and what does not fit is partitioned on scratch by
place. What is left then is one key with too many rows for memory: the left rows pass by in portions, and for each
portion the right rows are read from scratch twice, first to find which are nearest, then to take them.

Memory: as `step.py`; of one key an eighth for a portion of left rows with what is worked out for them, and an eighth
for the right rows that are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import AsOf
from shuffle_worker.columns.arrays import I64, concat, take
from shuffle_worker.operations.join.blocks import narrow_portions, portions
from shuffle_worker.operations.join.grace_partitioning import PlaceRange
from shuffle_worker.operations.join.near import near
from shuffle_worker.operations.join.step import JoinStep
from shuffle_worker.partitioning.matching import NONE, Matches, order_of
from shuffle_worker.partitioning.nearest import NEAREST_ROW, NearestRows, Times, times_of
from shuffle_worker.plan.record import Plan
from shuffle_worker.steps.cells import Stream
from shuffle_worker.storage.failures import said


class AsOfStep(JoinStep):
    row = NEAREST_ROW

    def __init__(self, plan: Plan, asked: AsOf, scratch: Path | None) -> None:
        super().__init__(plan, scratch)
        join = self.shape.join
        schemas = [table.arrow_schema() for table in plan.inputs]
        self._rule = near(join, asked, schemas[join.left], schemas[join.right])
        self._names = (asked.left, asked.right)

    def in_memory(self, left: pa.RecordBatch, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]:
        if not left.num_rows:
            return
        nearest = self._nearest(left)
        nearest.look(self.side(1, right), self._times(1, right))
        yield from self._beside(left, nearest.found(), right, budget)

    def one_place(self, part: PlaceRange, budget: int) -> Iterator[pa.RecordBatch]:
        for left in narrow_portions(part.streams[0], budget // 4, self.row):
            nearest = self._nearest(left)
            first = 0
            for right in narrow_portions(part.streams[1], budget // 4, self.row):
                nearest.look(self.side(1, right), self._times(1, right), first)
                first += right.num_rows
            found = nearest.found()
            each = max(int(budget // 4 / max(part.sizes[1] / max(first, 1), 1.0)), 1)
            for at in range(0, left.num_rows, each):
                some = found[at : at + each]
                wanted = np.unique(some[some != NONE])
                right = self._taken(part.streams[1], wanted, budget)
                rows = np.where(some == NONE, NONE, np.searchsorted(wanted, some))
                yield from self._beside(left.slice(at, each), rows, right, budget)

    def _nearest(self, left: pa.RecordBatch) -> NearestRows:
        return NearestRows(self.side(0, left), self._times(0, left), self._rule)

    def _times(self, side: int, rows: pa.RecordBatch) -> Times:
        try:
            return times_of(rows.column(self._names[side]), self._rule.scale)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"operation.join.asOf: column {self._names[side]!r} of the {('left', 'right')[side]} input is compared "
                f"as {self._rule.scale.common}, and a value does not fit: {said(error)}"
            ) from error

    def _beside(self, left: pa.RecordBatch, found: I64, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]:
        """Every left row with the right row found for it."""
        order = order_of(self.places_of(0, left))
        ones, every = np.ones(len(order), np.int64), np.arange(right.num_rows, dtype=np.int64)
        yield from self.pieces(Matches(order, found[order], ones, every, None), left, right, budget)

    def _taken(self, stream: Stream, wanted: I64, budget: int) -> pa.RecordBatch:
        """Some rows of a stream, by their numbers, rising."""
        taken = [pa.RecordBatch.from_pylist([], schema=self.shape.schemas[1])]
        first = 0
        for rows in portions(stream, budget // 4):
            a, b = np.searchsorted(wanted, [first, first + rows.num_rows]).tolist()
            if b > a:
                taken.append(take(rows, wanted[a:b] - first))
            first += rows.num_rows
        return concat(taken)
