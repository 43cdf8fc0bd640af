"""The map side of operations that make one row of all rows with equal keys: aggregate before sending, where it pays.

A split's rows are aggregated in blocks of a fixed number of rows, and what was aggregated is sent, reduced, whenever
the accumulator holds `HELD` bytes and at the end of the split. So a million rows of one key cost one row a split. Where
keys repeat too rarely for that, rows are sent as they are, and it costs little more than a repartition.

Which of the two is decided in the first blocks of the split, which are kept until then: rows go as they are where
nearly every row has a key of its own, or where the reduced form is not half of the bytes by the time that the
accumulator is full or `KEPT` bytes of rows are in it. The same is asked again each time the accumulator is full.

All of this depends on the split's rows and on constants alone, never on memory, on batches or on what is wanted: the
additions of a sum are then the same, in the same order, no matter which worker does them and how often.

Memory: the accumulator (`HELD`, and what one block adds to it), the first blocks (`KEPT`), and while rows go as they
are what `BatchSplitter` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_protocol.shards import Shard
from shuffle_worker.aggregation.sizes import rows_bytes
from shuffle_worker.columns.arrays import concat
from shuffle_worker.partitioning.codes import dense
from shuffle_worker.partitioning.cutter import Cutter
from shuffle_worker.partitioning.hash import cells_of
from shuffle_worker.partitioning.scatter import Scattered, scatter
from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.sizing import WIDE
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.accumulators import RAW, REDUCED, Accumulator, Form, Packer, can_pack, encode
from shuffle_worker.steps.splitter import batch_rows

MIB = 1 << 20
HELD = 4 * MIB
KEPT = 6 * MIB
BLOCK_BYTES = 2 * MIB
BLOCK_ROWS = 1 << 16
LEAST_BLOCK_ROWS = 64

MOSTLY_DIFFERENT = 0.875
"""Keys for every row from which on it is not worth a second look."""

GLANCE = 1 << 11
"""Rows whose keys are counted before those of a whole block are."""

SENT_BYTES = 5 * MIB
"""Rows that are sent as they are go so many bytes at a time: still in the cache, and few enough messages."""

GATHERED_ROWS = 3 << 14
"""Rows that are put in the order of their buckets at once, where shards can be made of several such batches."""

SHARD_BYTES = 48 << 10
"""Where there are so many buckets that shards would be smaller than that, more rows go at a time: each shard costs its
sender and its receiver some 30 us, whatever it holds."""

Prepare = Callable[[Rows], pa.RecordBatch]
"""Gives the rows of a batch in the raw form."""


def block_rows(row_bytes: float) -> int:
    """Rows that are aggregated at once. row_bytes: as the plan has it, the same for all workers."""
    return int(min(max(BLOCK_BYTES / max(row_bytes, 1.0), LEAST_BLOCK_ROWS), BLOCK_ROWS))


class PartialAggregation:
    """A `Splitter`."""

    def __init__(self, form: Form, prepare: Prepare, sender: AggregationSender, row_bytes: float) -> None:
        self._form = form
        self._prepare = prepare
        self._sender = sender
        rows = block_rows(row_bytes)
        self._blocks = Cutter(rows, int(WIDE * max(BLOCK_BYTES, rows * row_bytes)))
        self._accumulator: Accumulator | None = form.make()
        self._taken_in = 0  # bytes of the rows that the accumulator has seen
        self._rows = 0
        self._kept: list[pa.RecordBatch] | None = []  # the first blocks; None when it is decided

    def add(self, rows: Rows) -> list[Shard]:
        batch = self._prepare(rows)
        if self._accumulator is None:
            return self._sender.add(batch)
        shards: list[Shard] = []
        for block in self._blocks.add(batch):
            shards += self._aggregate(block)
        if self._accumulator is None:
            shards += self._rest()
        return shards

    def flush(self) -> list[Shard]:
        shards = self._rest()
        if self._accumulator is not None:
            shards += self._send_aggregated()
        return shards + self._sender.flush()

    def _rest(self) -> list[Shard]:
        return [shard for block in self._blocks.rest() for shard in self._aggregate(block)]

    def _aggregate(self, block: pa.RecordBatch) -> list[Shard]:
        if self._accumulator is None:
            return self._sender.add(block)
        if not self._rows and self._kept is not None and self._mostly_different(block):
            return self._send_kept([block])
        self._accumulator.add(block)
        self._taken_in += rows_bytes(block)
        self._rows += block.num_rows
        if self._kept is not None:
            self._kept.append(block)
            if self._accumulator.keys.num_rows > MOSTLY_DIFFERENT * self._rows:
                return self._send_kept(self._kept)
        if self._accumulator.nbytes >= HELD:
            return self._send_aggregated()
        if self._kept is not None and self._taken_in >= KEPT:
            if 2 * rows_bytes(self._accumulator.reduced()) > self._taken_in:
                return self._send_kept(self._kept)
            self._kept = None
        return []

    def _mostly_different(self, block: pa.RecordBatch) -> bool:
        """Whether nearly every row of the first block has a key of its own, seen without aggregating it. A few rows
        tell whether it is worth looking: where keys repeat, aggregating numbers them anyway."""
        keys = self._form.keys_of(RAW, block)
        few = [key.slice(0, GLANCE) for key in keys]
        if dense(few)[1] <= MOSTLY_DIFFERENT * len(few[0]):
            return False
        return dense(keys)[1] > MOSTLY_DIFFERENT * block.num_rows

    def _send_aggregated(self) -> list[Shard]:
        """In the reduced form, if that is worth it or rows are not there any more to be sent as they are."""
        assert self._accumulator is not None
        reduced = self._accumulator.reduced()
        worth_it = 2 * rows_bytes(reduced) <= self._taken_in
        if self._kept is not None and not worth_it:
            return self._send_kept(self._kept)
        self._accumulator = self._form.make() if worth_it else None
        self._kept = None
        self._taken_in = self._rows = 0
        return self._sender.send(REDUCED, reduced)

    def _send_kept(self, kept: list[pa.RecordBatch]) -> list[Shard]:
        """From here on rows go as they are."""
        self._accumulator = self._kept = None
        return [shard for block in kept for shard in self._sender.add(block)]


class AggregationSender:
    """Puts rows in the order of their buckets and serialises them. wanted: groups, None for all."""

    def __init__(
        self, form: Form, layout: Layout, wanted: frozenset[int] | None, row_bytes: float, batch_bytes: int
    ) -> None:
        self._form = form
        self._cells = layout.cells
        self._buckets = layout.buckets
        self._bucket_of: npt.NDArray[np.int32] | None = None
        if layout.cells > layout.buckets:
            starts = np.array(layout.bucket_starts, np.int64)
            self._bucket_of = np.repeat(np.arange(layout.buckets, dtype=np.int32), np.diff(starts))
        self._wanted: npt.NDArray[np.bool_] | None = None
        if wanted is not None and len(wanted) < layout.groups:
            self._wanted = np.zeros(layout.buckets, np.bool_)
            for group in wanted:
                chosen = layout.group_buckets(group)
                self._wanted[chosen.start : chosen.stop] = True
        wanted_bytes = max(min(SENT_BYTES, batch_bytes / 2), min(SHARD_BYTES * layout.buckets, batch_bytes))
        enough = int(wanted_bytes / max(row_bytes, 1.0))
        self._target_rows = max(batch_rows(layout.buckets, row_bytes, batch_bytes), enough)
        self._target_bytes = batch_bytes
        self._waiting: list[pa.RecordBatch] = []  # rows as they came
        self._waiting_rows = 0
        self._gathered: list[Scattered] = []  # in the order of their buckets
        self._rows = 0  # in both
        self._bytes = 0
        self._sequence = 0

    def add(self, batch: pa.RecordBatch) -> list[Shard]:
        """Rows as they are: sent when there are enough of them."""
        if not batch.num_rows:
            return []
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= self._target_rows or self._bytes >= self._target_bytes:
            return self.flush()
        if self._waiting_rows >= GATHERED_ROWS and all(can_pack(rows) for rows in self._waiting):
            self._gather()
        return []

    def flush(self) -> list[Shard]:
        if not self._rows:
            return []
        shards: list[Shard] = []
        packed = all(can_pack(rows) for rows in self._waiting)
        if packed and self._waiting:
            self._gather()
        if self._gathered:
            shards += self._packed(RAW, self._gathered)
        if self._waiting:
            shards += self.send(RAW, self._joined())
        self._gathered, self._rows, self._bytes = [], 0, 0
        return shards

    def send(self, mark: int, rows: pa.RecordBatch) -> list[Shard]:
        """Rows in one of the two forms, at once."""
        if not rows.num_rows:
            return []
        grouped = self._scattered(mark, rows)
        if can_pack(grouped.batch):
            return self._packed(mark, [grouped])
        edges: list[int] = grouped.starts.tolist()
        shards: list[Shard] = []
        for bucket in np.flatnonzero(np.diff(grouped.starts)).tolist():
            first, end = edges[bucket], edges[bucket + 1]
            shards.append(encode(bucket, self._sequence, mark, grouped.batch.slice(first, end - first)))
            self._sequence += 1
        return shards

    def _joined(self) -> pa.RecordBatch:
        rows = self._waiting[0] if len(self._waiting) == 1 else concat(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        return rows

    def _gather(self) -> None:
        """Put what waits in the order of its buckets. So few rows lie in the cache, where that takes half the time."""
        self._gathered.append(self._scattered(RAW, self._joined()))

    def _scattered(self, mark: int, rows: pa.RecordBatch) -> Scattered:
        buckets = cells_of(self._form.keys_of(mark, rows), self._cells)
        if self._bucket_of is not None:
            buckets = self._bucket_of[buckets]
        return scatter(rows, buckets, self._buckets, self._wanted)

    def _packed(self, mark: int, batches: Sequence[Scattered]) -> list[Shard]:
        rows = sum(np.diff(starts) for _, starts in batches)
        packer = Packer(mark, batches)
        shards: list[Shard] = []
        for bucket in np.flatnonzero(rows).tolist():
            shards.append(packer.shard(bucket, self._sequence))
            self._sequence += 1
        return shards
