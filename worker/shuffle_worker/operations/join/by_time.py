"""An as-of join of one key's rows that memory does not hold: cut by time, with the rows that reach over.

Both sides are partitioned on scratch by ranges of time. A left row's nearest right row is in its own range, or it is
the last one before that or the first one after it: these two are carried over, for each key. So every row is read a few
times, however many there are. What is joined comes range by range, and is put back into the order of the left rows by
their numbers.

Memory: a quarter of the budget for a range and what is worked out for it, its candidates, an eighth of the budget for a
piece of the result, and what sorting takes of a quarter. Scratch: the rows of both sides once more, twice where right
rows may be later than left ones, and the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import U64, buffer_of, concat, take
from shuffle_worker.operations.join.blocks import first_of_each, portions
from shuffle_worker.operations.join.grace_partitioning import PlaceRange, partitioned
from shuffle_worker.operations.join.shape import JoinShape
from shuffle_worker.partitioning.nearest import Rule, Times
from shuffle_worker.steps.cells import Stream
from shuffle_worker.steps.sorting import Sorter

NUMBER = "\0number"
"""The column of left rows' numbers, here alone; no file has a column of this name."""


class NearestStep(Protocol):
    """What of an as-of join's step is used here."""

    shape: JoinShape
    rule: Rule
    row: int

    def times(self, side: int, rows: pa.RecordBatch) -> Times: ...

    def beside_nearest(self, left: pa.RecordBatch, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]: ...


class TimeRange(NamedTuple):
    """A range of time."""

    left: Iterator[pa.RecordBatch]
    right: pa.RecordBatch
    """All right rows, or of a single time that has more than memory holds the first and last of each key."""


class ByTime:
    """part: of one place. budget: bytes."""

    def __init__(self, step: NearestStep, part: PlaceRange, budget: int, scratch: Path | None) -> None:
        self._step = step
        self._part = part
        self._budget = budget
        self._scratch = scratch
        self._schemas = (step.shape.schemas[0].append(pa.field(NUMBER, pa.int64())), step.shape.schemas[1])
        self._none = pa.RecordBatch.from_pylist([], schema=step.shape.schemas[1])

    def joined(self) -> Iterator[pa.RecordBatch]:
        if not self._part.sizes[0]:
            return
        sorter = Sorter([SortKey(NUMBER)], self._scratch)
        for batch in sorter.sorted(([batch] for batch in self._numbered()), self._budget // 4):
            yield batch.select(range(batch.num_columns - 1))

    def _numbered(self) -> Iterator[pa.RecordBatch]:
        """What is joined, with the numbers of the left rows, range by range."""
        step = self._step
        after = self._firsts_after() if step.rule.forward else []
        before = self._none
        for at, (lefts, right) in enumerate(self._ranges()):
            candidates = concat([before, right, *after[at : at + 1]])
            for left in lefts:
                numbers = left.column(NUMBER)
                rows = left.select(range(left.num_columns - 1))
                done = 0
                for batch in step.beside_nearest(rows, candidates, self._budget // 2):
                    some = numbers.slice(done, batch.num_rows)
                    done += batch.num_rows
                    yield pa.RecordBatch.from_arrays([*batch.columns, some], schema=_with_number(batch.schema))
            if step.rule.backward:
                before = self._ends(concat([before, right]), last=True)

    def _firsts_after(self) -> list[pa.RecordBatch]:
        """For each range the first right rows after it, one of each key."""
        firsts = [self._ends(right, last=False) for _, right in self._ranges()]
        after = [self._none]
        for found in reversed(firsts[1:]):
            after.append(self._ends(concat([found, after[-1]]), last=False))
        return after[::-1]

    def _ranges(self) -> Iterator[TimeRange]:
        """The same each time that they are asked for."""
        streams = [self._left, self._part.streams[1]]
        budget = self._budget // 4
        for part in partitioned(streams, self._schemas, self._places, budget, self._scratch, self._step.row):
            if part.rows is not None:
                yield TimeRange(iter(part.rows[:1]), part.rows[1])
            else:
                yield TimeRange(portions(part.streams[0], budget), self._of_one_time(part.streams[1], budget))

    def _left(self) -> Iterator[pa.RecordBatch]:
        """The left rows with their numbers."""
        first = 0
        for batch in self._part.streams[0]():
            numbers = np.arange(first, first + batch.num_rows, dtype=np.int64)
            column = pa.Array.from_buffers(pa.int64(), len(numbers), [None, buffer_of(numbers)])
            yield pa.RecordBatch.from_arrays([*batch.columns, column], schema=self._schemas[0])
            first += batch.num_rows

    def _places(self, side: int, rows: pa.RecordBatch) -> U64:
        return self._step.times(side, rows).words

    def _of_one_time(self, stream: Stream, budget: int) -> pa.RecordBatch:
        """The first and the last of each key."""
        first = last = self._none
        for rows in portions(stream, budget):
            first = self._ends(concat([first, rows]), last=False)
            last = self._ends(concat([last, rows]), last=True)
        return concat([first, last])

    def _ends(self, rows: pa.RecordBatch, *, last: bool) -> pa.RecordBatch:
        """The earliest row of each key, of several the first; or the latest, of several the last."""
        times = self._step.times(1, rows)
        some = np.arange(rows.num_rows) if times.there is None else np.flatnonzero(times.there)
        order = some[np.argsort(times.words[some], kind="stable")]
        ordered = take(rows, np.ascontiguousarray(order[::-1]) if last else order)
        return take(ordered, first_of_each(self._step.shape.keys[1].of(ordered)))


def _with_number(schema: pa.Schema) -> pa.Schema:
    return schema.append(pa.field(NUMBER, pa.int64()))
