"""The local step of a join: the rows of both sides that may belong together in, the joined rows out.

Called for each cell by `rows.py`. Rows are matched by `partitioning/matching.py`, and the result is put together by one
take of each side, in pieces: the product of a frequent key may be any number of rows.

A cell that does not fit in memory is partitioned on scratch (`grace_partitioning.py`). What is left then is one key
with too many rows for memory, on one side or on both: the left rows pass by in portions, before all right rows if these
fit, else block by block (`blocks.py`).

Memory, out of `memory`: half for the rows of both sides (`Cells.budget`), an eighth for a piece of the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import U64, Bools, concat, take
from shuffle_worker.operations.join.blocks import Blocks, first_of_each, portions, whole
from shuffle_worker.operations.join.grace_partitioning import PlaceRange, partitioned
from shuffle_worker.operations.join.judged import Pairs, judged, with_right_alone
from shuffle_worker.operations.join.put import Put
from shuffle_worker.operations.join.shape import shape_of
from shuffle_worker.partitioning.matching import Matches, Side, alone, candidates, match
from shuffle_worker.partitioning.places import places
from shuffle_worker.plan.record import Plan
from shuffle_worker.runtime.pressure import relieve
from shuffle_worker.steps.cells import ROW, Cell, Stream


class JoinStep:
    row = ROW
    """Bytes for each row of both sides, besides the row."""

    def __init__(self, plan: Plan, scratch: Path | None) -> None:
        self.shape = shape_of(plan)
        self._wanted = self.shape.wanted
        self._moved = bool(plan.skewed)
        self._inputs = (self.shape.join.left, self.shape.join.right)
        self._partitions = plan.layout.partitions
        self._scratch = scratch

    def join(self, cell: Cell, budget: int) -> Iterator[pa.RecordBatch]:
        """The joined rows of a cell, in the order of the output, in memory of their own."""
        left, right = self._inputs
        if cell.rows is not None:
            yield from self.in_memory(cell.rows[left], cell.rows[right], budget)
            return
        streams = [cell.streams[left], cell.streams[right]]
        for part in partitioned(streams, self.shape.schemas, self.places_of, budget, self._scratch, self.row):
            relieve()
            if part.rows is not None:
                yield from self.in_memory(part.rows[0], part.rows[1], budget)
            else:
                yield from self.one_place(part, budget)

    def places_of(self, side: int, rows: pa.RecordBatch) -> U64:
        return places(self.shape.keys[side].hashes(rows), self._partitions)

    def side(self, side: int, rows: pa.RecordBatch) -> Side:
        return self.shape.keys[side].side(rows, self._partitions, self._moved)

    def in_memory(self, left: pa.RecordBatch, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]:
        if not left.num_rows and not self._wanted.right:
            return
        if not right.num_rows and not self._wanted.left:
            return
        sides = self.side(0, left), self.side(1, right)
        if self.shape.condition is None:
            yield from self.pieces(match(*sides, self._wanted), left, right, budget)
            return
        hit = np.zeros(right.num_rows, np.bool_) if self._wanted.right else None
        pairs = self._passing(left, right, sides, hit, budget)
        if hit is not None:
            pairs = with_right_alone(pairs, sides[0].places, sides[1].places, hit)
        yield from Put(self.shape, left, right).pieces(pairs, budget // 4)

    def pieces(
        self, found: Matches, left: pa.RecordBatch, right: pa.RecordBatch, budget: int
    ) -> Iterator[pa.RecordBatch]:
        put = Put(self.shape, left, right)
        for rows, others in put.within(found.pieces(put.rows_at_once(budget // 4)), budget // 4):
            yield put.together(rows, others)

    # -- one key, or several of one place, that memory does not hold -------------------------------------------------

    def one_place(self, part: PlaceRange, budget: int) -> Iterator[pa.RecordBatch]:
        conditional = self.shape.condition is not None
        if self._wanted.once and not conditional:
            right = self._distinct(part.streams[1])
        elif part.sizes[1] <= budget // 2:
            right = whole(part.streams[1], self.shape.schemas[1])
        else:
            yield from Blocks(self.shape, self.side, part.streams, budget, self.row).joined()
            return
        side = self.side(1, right)
        hit = np.zeros(right.num_rows, np.bool_)
        among = hit if self._wanted.right else None
        for left in portions(part.streams[0], budget // 4):
            if conditional:
                pairs = self._passing(left, right, (self.side(0, left), side), among, budget)
                yield from Put(self.shape, left, right).pieces(pairs, budget // 4)
            else:
                yield from self.pieces(match(self.side(0, left), side, self._wanted, among), left, right, budget)
        if self._wanted.right:
            yield from Put.right_alone(self.shape, right, alone(side, hit), budget // 4)

    def _passing(
        self,
        left: pa.RecordBatch,
        right: pa.RecordBatch,
        sides: tuple[Side, Side],
        hit: Bools | None,
        budget: int,
    ) -> Pairs:
        """What passes the condition, without right rows by themselves. hit: as in `judged`."""
        judge = self.shape.judge(left, right)
        found = match(*sides, candidates(self._wanted))
        return judged(found, self._wanted, judge, judge.at_once(budget // 8), hit)

    def _distinct(self, stream: Stream) -> pa.RecordBatch:
        """One row of each key."""
        kept = pa.RecordBatch.from_pylist([], schema=self.shape.schemas[1])
        for batch in stream():
            both = concat([kept, batch])
            kept = take(both, first_of_each(self.shape.keys[1].of(both)))
        return kept
