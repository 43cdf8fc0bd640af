"""One key, or several of one place, whose right rows memory does not hold: both sides pass by in blocks.

The right rows are read from scratch once for each block of left rows. The result is in the order of the left rows, so
what a block gives is held until its last right row was seen. A block that gives too much is done again in smaller ones,
down to one left row, whose result needs not be held. So the right rows are read no more often than the result is long,
beside a few times for blocks that were too large.

Memory, out of `budget`: a quarter for a portion of the left rows and one for a block of the right ones, with what is
worked out for them; an eighth for the result of a block, and twice that while it is put in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, Bools, concat, take
from shuffle_worker.columns.widths import bytes_of, pieces_within
from shuffle_worker.operations.join.judged import Pairs, cut, judged, passing
from shuffle_worker.operations.join.put import Put
from shuffle_worker.operations.join.shape import JoinShape
from shuffle_worker.partitioning.matching import NONE, Side, Wanted, candidates, match, numbered
from shuffle_worker.partitioning.pairing import Keys
from shuffle_worker.steps.cells import Stream

SMALLER = 4
"""A block of left rows that gives too much is cut into so many."""


class Blocks:
    """side: rows of the left (0) or the right side, ready to be matched. streams: of both. row: bytes that are worked
    out for each row."""

    def __init__(
        self,
        shape: JoinShape,
        side: Callable[[int, pa.RecordBatch], Side],
        streams: Sequence[Stream],
        budget: int,
        row: int,
    ) -> None:
        self._shape = shape
        self._wanted = shape.wanted
        self._side = side
        self._streams = streams
        self._budget = budget
        self._row = row
        self._hit = np.zeros(0, np.bool_)

    def joined(self) -> Iterator[pa.RecordBatch]:
        self._hit = np.zeros(sum(batch.num_rows for batch in self._streams[1]()), np.bool_)
        for left in narrow_portions(self._streams[0], self._budget // 4, self._row):
            yield from self._once(left) if self._wanted.once else self._portion(left)
        if self._wanted.right:
            for right, hit in self._right():
                yield from Put.right_alone(self._shape, right, np.flatnonzero(~hit), self._budget // 4)

    def _right(self) -> Iterator[tuple[pa.RecordBatch, Bools]]:
        """The right rows in blocks, each with its part of what is known to match."""
        at = 0
        for block in narrow_portions(self._streams[1], self._budget // 4, self._row):
            yield block, self._hit[at : at + block.num_rows]
            at += block.num_rows

    def _once(self, left: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Of a semi or an anti join: with each block fewer left rows are left to be judged."""
        found = np.zeros(left.num_rows, np.bool_)
        for right, _ in self._right():
            open_ = np.flatnonzero(~found)
            if not len(open_):
                break
            some = take(left, open_)
            judge = self._shape.judge(some, right)
            matches = match(self._side(0, some), self._side(1, right), Wanted(True, False, False))
            passed = passing(matches, judge, judge.at_once(self._budget // 8))
            found[open_[matches.left[passed]]] = True
        chosen = np.flatnonzero(found if self._wanted.pairs else ~found)
        pairs = iter([(chosen, np.full(len(chosen), NONE, np.int64))])
        yield from Put(self._shape, left, self._nothing()).pieces(pairs, self._budget // 4)

    def _portion(self, left: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        # without a condition every left row of the key has every right one, which were too many: one at a time
        size = left.num_rows if self._shape.condition is not None else 1
        at = 0
        while at < left.num_rows:
            block = left.slice(at, size)
            if block.num_rows == 1:
                yield from self._one_row(block)
            else:
                held = self._block(block)
                if held is None:
                    size = max(block.num_rows // SMALLER, 1)
                    continue
                yield from held
            at += block.num_rows

    def _one_row(self, left: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        found = False
        for right, hit in self._right():
            for piece in Put(self._shape, left, right).pieces(self._pairs(left, right, hit), self._budget // 4):
                found = True
                yield piece
        if not found and self._wanted.left:
            put = Put(self._shape, left, self._nothing())
            yield put.together(np.zeros(1, np.int64), np.full(1, NONE, np.int64))

    def _block(self, left: pa.RecordBatch) -> list[pa.RecordBatch] | None:
        """The result of some left rows; None where it is too much to be held."""
        held: list[pa.RecordBatch] = []
        numbers: list[I64] = []
        size = 0
        for right, hit in self._right():
            put = Put(self._shape, left, right)
            pairs = cut(self._pairs(left, right, hit), put.rows_at_once(self._budget // 8))
            for rows, others in put.within(pairs, self._budget // 8):
                held.append(put.together(rows, others))
                numbers.append(rows)
                size += held[-1].nbytes + rows.nbytes
                if size > self._budget // 8:
                    return None
        if self._wanted.left:
            lone = np.setdiff1d(np.arange(left.num_rows), np.concatenate([*numbers, np.zeros(0, np.int64)]))
            put = Put(self._shape, left, self._nothing())
            held.append(put.together(lone, np.full(len(lone), NONE, np.int64)))
            numbers.append(lone)
        if not held:
            return []
        order = np.argsort(np.concatenate(numbers), kind="stable")
        return [take(concat(held), order)]

    def _pairs(self, left: pa.RecordBatch, right: pa.RecordBatch, hit: Bools) -> Pairs:
        """The pairs of a block of each side."""
        sides = self._side(0, left), self._side(1, right)
        among = hit if self._wanted.right else None
        only = Wanted(pairs=True, left=False, right=self._wanted.right)
        if self._shape.condition is None:
            yield from match(*sides, only, among).pieces(1 << 16)
            return
        judge = self._shape.judge(left, right)
        yield from judged(match(*sides, candidates(only)), only, judge, judge.at_once(self._budget // 8), among)

    def _nothing(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist([], schema=self._shape.schemas[1])


def first_of_each(keys: Keys) -> I64:
    """The first row of every key, rising."""
    empty = Keys([], [], False)
    empty.words = [word[:0] for word in keys.words]
    empty.texts = [text.slice(0, 0) for text in keys.texts]
    numbers = numbered(keys, empty)[0]
    return np.sort(np.unique(numbers, return_index=True)[1])


def whole(stream: Stream, schema: pa.Schema) -> pa.RecordBatch:
    """All rows of a stream."""
    batches = list(stream())
    return concat(batches) if batches else pa.RecordBatch.from_pylist([], schema=schema)


def portions(stream: Stream, budget: int) -> Iterator[pa.RecordBatch]:
    """The rows of a stream, as many batches at a time as the budget holds, one row at least."""
    held: list[pa.RecordBatch] = []
    size = 0
    for given in stream():
        for batch in pieces_within(given, budget):
            taken = bytes_of([batch], budget - size)
            if held and size + taken > budget:
                yield concat(held)
                held, size = [], 0
            held.append(batch)
            size += taken
    if held:
        yield concat(held)


def narrow_portions(stream: Stream, budget: int, row: int) -> Iterator[pa.RecordBatch]:
    """The same, as many rows at a time as fit with what is worked out for each. row: bytes of that."""
    for batch in portions(stream, budget):
        each = max(int(budget / (batch.nbytes / max(batch.num_rows, 1) + row)), 1)
        for at in range(0, batch.num_rows, each):
            yield batch.slice(at, each)
