"""The local step of an as-of join: each left row beside the one right row of its key that is nearest in time.

As in any join, the rows of one key meet in one cell (`step.py`), and what does not fit is partitioned on scratch by
place. What is left then is one key with too many rows for memory, which is cut by time (`by_time.py`).

Memory: as `step.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import AsOf
from shuffle_worker.columns.arrays import I64
from shuffle_worker.operations.join.by_time import ByTime
from shuffle_worker.operations.join.grace_partitioning import PlaceRange
from shuffle_worker.operations.join.near import near
from shuffle_worker.operations.join.step import JoinStep
from shuffle_worker.partitioning.matching import Matches, order_of
from shuffle_worker.partitioning.nearest import NEAREST_ROW, Times, nearest_rows, times_of
from shuffle_worker.plan.record import Plan
from shuffle_worker.storage.failures import said


class AsOfStep(JoinStep):
    row = NEAREST_ROW

    def __init__(self, plan: Plan, asked: AsOf, scratch: Path | None) -> None:
        super().__init__(plan, scratch)
        join = self.shape.join
        schemas = [table.arrow_schema() for table in plan.inputs]
        self.rule = near(join, asked, schemas[join.left], schemas[join.right])
        self._names = (asked.left, asked.right)

    def in_memory(self, left: pa.RecordBatch, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]:
        if not left.num_rows:
            return
        yield from self.beside_nearest(left, right, budget)

    def beside_nearest(self, left: pa.RecordBatch, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]:
        """Every left row with the nearest of these right rows."""
        times = self.times(0, left), self.times(1, right)
        found = nearest_rows(self.side(0, left), self.side(1, right), times, self.rule)
        yield from self._beside(left, found, right, budget)

    def one_place(self, part: PlaceRange, budget: int) -> Iterator[pa.RecordBatch]:
        yield from ByTime(self, part, budget, self._scratch).joined()

    def times(self, side: int, rows: pa.RecordBatch) -> Times:
        try:
            return times_of(rows.column(self._names[side]), self.rule.scale)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"operation.join.asOf: column {self._names[side]!r} of the {('left', 'right')[side]} input is compared "
                f"as {self.rule.scale.common}, and a value does not fit: {said(error)}"
            ) from error

    def _beside(self, left: pa.RecordBatch, found: I64, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]:
        """Every left row with the right row found for it."""
        order = order_of(self.places_of(0, left))
        ones, every = np.ones(len(order), np.int64), np.arange(right.num_rows, dtype=np.int64)
        yield from self.pieces(Matches(order, found[order], ones, every, None), left, right, budget)
