"""The reduce side of operations that make one row of all rows with equal keys: the shards of a group become its files.

Bucket by bucket everything is given to an accumulator, in the order of the input, and its rows are written in the order
of the hash of their keys (see docs/output.md). Buckets are ranges of that hash, so their rows follow one another in the
file, and a bucket of several partitions is cut where the hash says.

Where the accumulator of a bucket would grow too large, the bucket is read several times, each time for a part of its
range of hashes. A key is always aggregated whole, so it makes no difference to what is written. Only a single key that
does not fit is refused, by name.

Memory, out of the `memory` given to `write`: a fifth for the buffer that shards are read into, a sixth for the
accumulator. While it takes rows in, a fifth for their copy and two fifths for what is worked out for those that are
taken in at once (`ROW_WORK`): the fewer times, the fewer times the keys that are known are looked at again. After that,
the same for the rows that are made of it and put in order. Where the file is to be sorted, half of it is for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import OutOfMemory
from shuffle_protocol.units import readable
from shuffle_worker.aggregation.keys import said_key
from shuffle_worker.columns.arrays import Array, take
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.hash import cells_of, hash_rows
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.sort_keys import Ready
from shuffle_worker.plan.record import Plan
from shuffle_worker.runtime.pressure import relieve
from shuffle_worker.steps.accumulators import REDUCED, Accumulator, Form, decode_all
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.readback import Buffers, ReadBack, check_rows
from shuffle_worker.steps.sorting import Sorter
from shuffle_worker.store.store import ShardSource

_HALF = np.uint64(32)
_MOST_PARTS = 64

ROW_WORK = 100
"""Bytes that are worked out for a row while it is aggregated: its hash, its group, its words and its place in the
order. Measured: 50 to 90."""

LEAST_ROWS = 1 << 10
"""Of a slice, whatever the memory."""


class Span(NamedTuple):
    """A range of hashes, by their upper 32 bits: first .. end - 1."""

    first: int
    end: int

    def parts(self, count: int) -> list[Span]:
        edges = [self.first + (self.end - self.first) * at // count for at in range(count + 1)]
        return [Span(a, b) for a, b in pairwise(edges) if a < b]


class Room(NamedTuple):
    """What may be in memory while a bucket is aggregated."""

    accumulator: int
    """Bytes of it."""
    rows: int
    """Rows that are taken in at once."""


class TooLarge(Exception):
    """An accumulator outgrew its budget. expected: the bytes that it would have needed."""

    def __init__(self, expected: float) -> None:
        super().__init__()
        self.expected = expected


class FinalAggregation:
    """sorter: how the rows of a file are put in order; None leaves them in the order of the hash."""

    def __init__(
        self, plan: Plan, files: PartitionFiles, form: Form, keys: Sequence[str], sorter: Sorter | None
    ) -> None:
        self._plan = plan
        self._layout = plan.layout
        self._files = files
        self._form = form
        self._keys = list(keys)
        self._sorter = sorter
        self._buffers = Buffers()

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        mine = memory if self._sorter is None else memory // 2
        readback = ReadBack(source, self._plan, max(mine // 5, 1), self._buffers)
        buckets = self._layout.group_buckets(group)
        partitions = self._layout.group_partitions(group)
        rows = (batch for bucket in buckets for batch in self._bucket(bucket, readback, mine))
        try:
            if len(partitions) == 1:
                yield self._files.write(partitions[0], self._ordered(rows, memory - mine), None)
            else:
                parted = Parted(rows, self._keys, self._layout.partitions)
                for partition in partitions:
                    yield self._files.write(partition, self._ordered(parted.rows_of(partition), memory - mine), None)
        finally:
            rows.close()
            readback.close()
            relieve()

    def _ordered(self, rows: Iterator[pa.RecordBatch], memory: int) -> Iterator[pa.RecordBatch]:
        if self._sorter is None:
            return rows
        return self._sorter.sorted(([batch] for batch in rows), memory)

    def _bucket(self, bucket: int, readback: ReadBack, memory: int) -> Iterator[pa.RecordBatch]:
        """The rows of a bucket, in order; in memory of their own."""
        cells = self._layout.bucket_cells(bucket)
        edges = [-(-(cell << 32) // self._layout.cells) for cell in (cells.start, cells.stop)]
        whole = Span(edges[0], edges[1])
        waiting = [whole]
        budget = max(memory // 6, 1)
        at_once = max(2 * memory // (5 * ROW_WORK), LEAST_ROWS)
        while waiting:
            relieve()
            span = waiting.pop()
            try:
                accumulator = self._aggregated(bucket, readback, whole, span, Room(budget, at_once))
            except TooLarge as error:
                count = min(max(math.ceil(1.5 * error.expected / budget), 2), _MOST_PARTS)
                waiting += reversed(span.parts(count))
                continue
            rows = accumulator.finished()
            del accumulator
            relieve()
            if rows.num_rows:
                hashes = hash_rows([rows.column(name) for name in self._keys])
                in_order = bool((hashes[1:] >= hashes[:-1]).all())
                yield rows if in_order else take(rows, order_by([Ready(hashes)], len(hashes)))

    def _aggregated(self, bucket: int, readback: ReadBack, whole: Span, span: Span, room: Room) -> Accumulator:
        """whole: the bucket's hashes; span: those of them that are wanted."""
        accumulator = self._form.make()
        total, done = readback.size(bucket), 0
        for payloads in readback.payloads(bucket):
            size, seen = sum(shard.length for shard, _ in payloads), 0
            rows_of_all = max(sum(shard.rows for shard, _ in payloads), 1)
            for mark, rows in decode_all(payloads, self._form, partial(check_rows, bucket)):
                for some in _slices(rows, room.rows):
                    chosen = some if span == whole else _within(some, self._form.keys_of(mark, some), span)
                    if mark == REDUCED:
                        accumulator.merge(chosen)
                    else:
                        accumulator.add(chosen)
                    seen += some.num_rows
                    if accumulator.nbytes > room.accumulator:
                        self._too_large(
                            accumulator, span, room.accumulator, total / max(done + size * seen / rows_of_all, 1)
                        )
            relieve()
            done += size
        return accumulator

    def _too_large(self, accumulator: Accumulator, span: Span, budget: int, more: float) -> None:
        """Raises TooLarge where the range can be parted, OutOfMemory where one key does not fit. more: how many times
        the rows are that have come so far."""
        if span.end - span.first > 1 and accumulator.keys.num_rows > 1:
            raise TooLarge(accumulator.nbytes * more)
        if accumulator.nbytes > 2 * budget:
            raise OutOfMemory(
                f"operation: all of {said_key(accumulator.keys, 0)} takes more than {readable(2 * budget)}, "
                f"which a worker has for it; {self._form.advice}"
            )


class Parted:
    """A stream of rows in the order of the hash of their keys, cut into partitions."""

    def __init__(self, rows: Iterator[pa.RecordBatch], keys: Sequence[str], partitions: int) -> None:
        self._rows = rows
        self._keys = keys
        self._partitions = partitions
        self._batch: pa.RecordBatch | None = None
        self._of = np.empty(0, np.int32)
        self._at = 0

    def rows_of(self, partition: int) -> Iterator[pa.RecordBatch]:
        """The rows of a partition. Asked for every partition in turn, each to its end."""
        while True:
            if self._batch is None:
                self._batch = next(self._rows, None)
                if self._batch is None:
                    return
                self._of = cells_of([self._batch.column(name) for name in self._keys], self._partitions)
                self._at = 0
            end = int(np.searchsorted(self._of, partition, "right"))
            if end > self._at:
                yield self._batch.slice(self._at, end - self._at)
            self._at = end
            if end < self._batch.num_rows:
                return
            self._batch = None


def _slices(rows: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """So many rows at a time, whose group numbers, hashes and order are in memory at once: of narrow rows, that is many
    times what they take themselves."""
    for at in range(0, rows.num_rows, most):
        yield rows.slice(at, most)


def _within(rows: pa.RecordBatch, keys: Sequence[Array], span: Span) -> pa.RecordBatch:
    upper = hash_rows(keys) >> _HALF
    kept = np.flatnonzero((upper >= np.uint64(span.first)) & (upper < np.uint64(span.end)))
    return take(rows, kept)
