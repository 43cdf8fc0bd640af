"""The reduce side of operations that keep whole rows: the shards of a group become its files.

Two shapes (see `plan/layout.py`). A group of one partition is one or several buckets, written one after the other as
they come or each one sorted. A group of many partitions is one bucket, which holds them all: it is partitioned by the
row counts that each shard carries.

Memory, out of the `memory` given to `write`: a quarter for the buffer that shards are read into; a quarter for the rows
copied out of it (a bucket to be sorted or partitioned, or the start of a row group); a quarter for these in their new
order; the rest for the encoder. What does not fit is streamed, partitioned in several passes, or sorted on scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import concat
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.cutter import copied
from shuffle_worker.partitioning.scatter import scatter
from shuffle_worker.plan.record import Plan
from shuffle_worker.runtime.pressure import relieve
from shuffle_worker.steps.readback import Buffers, ReadBack
from shuffle_worker.steps.shards import Counts, Decoded
from shuffle_worker.steps.sorting import Pieces, Sorter
from shuffle_worker.store.store import ShardSource

Stream = Iterator[pa.RecordBatch | None]
"""Batches in order; None where the memory of those before it is about to be used again."""


class WritesFiles(Protocol):
    """What the rows of a partition are given to: `PartitionFiles`, or an operation that makes others of them."""

    def write(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult: ...


class Reduce:
    """sorter: how the rows of a file are put in order; None leaves them in the order of the input. buffers: to share
    with others. index: the input whose splits sent the rows."""

    def __init__(
        self, plan: Plan, files: WritesFiles, sorter: Sorter | None, buffers: Buffers | None = None, index: int = 0
    ) -> None:
        self._index = index
        self._plan = plan
        self._layout = plan.layout
        self._schema = transport_schema(plan.sent_schema(index))
        self._files = files
        self._sorter = sorter
        self._buffers = buffers or Buffers()

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        share = max(memory // 4, 1)
        readback = ReadBack(source, self._plan, share, self._buffers)
        buckets = self._layout.group_buckets(group)
        partitions = self._layout.group_partitions(group)
        try:
            if len(partitions) == 1:
                rows = sum(shard.rows for bucket in buckets for shard in source.shards(bucket))
                yield self._files.write(partitions[0], self._buckets(buckets, readback, memory), rows)
            else:
                yield from self._parted(buckets[0], partitions, readback, memory)
        finally:
            readback.close()
            relieve()

    def _buckets(self, buckets: range, readback: ReadBack, memory: int) -> Stream:
        """A partition: its buckets one after the other."""
        for bucket in buckets:
            relieve()
            whole = (_passed_on(piece) for piece in readback.pieces(bucket, self._index))
            yield from self._ordered(whole, memory)

    def _ordered(self, pieces: Pieces, memory: int) -> Stream:
        """Rows in the order that the file is to have them in."""
        if self._sorter is not None:
            yield from self._sorter.sorted(pieces, memory)
            return
        for piece in pieces:
            yield from piece
            yield None
            relieve()

    def _together(self, rows: pa.RecordBatch) -> Stream:
        """Rows that are in memory of their own, in the order that the file's rows are to have."""
        if rows.num_rows:
            yield rows if self._sorter is None else self._sorter.in_memory(rows)

    def _parted(self, bucket: int, partitions: range, readback: ReadBack, memory: int) -> Iterator[FileResult]:
        """The partitions of a bucket, as many of them at a time as fit."""
        share = max(memory // 4, 1)
        count = len(partitions)
        passes = [range(count)]
        totals: Counts | None = None
        if readback.size(bucket) > share:
            totals, sizes = readback.measure(bucket, count)
            passes = list(portions(sizes, share))
        for cells in passes:
            if totals is not None and len(cells) == 1:
                only = (of_cell(piece, cells[0]) for piece in readback.pieces(bucket, self._index))
                yield self._files.write(partitions[cells[0]], self._ordered(only, memory), int(totals[cells[0]]))
            else:
                for cell, rows in self._gathered(bucket, count, cells, readback):
                    yield self._files.write(partitions[cell], self._together(rows), rows.num_rows)

    def _gathered(
        self, bucket: int, count: int, cells: range, readback: ReadBack
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of some of a bucket's cells, cell by cell, each in input order."""
        wanted = np.zeros(count, np.bool_)
        wanted[cells.start : cells.stop] = True
        held: list[pa.RecordBatch] = []
        held_counts: list[Counts] = []
        for piece in readback.pieces(bucket, self._index):
            ids = cells_of(piece)
            grouped, starts = scatter(copied([shard.batch for shard in piece]), ids, count, wanted)
            held.append(grouped)
            held_counts.append(np.diff(starts))
        if not held:
            empty = pa.RecordBatch.from_pylist([], schema=self._schema)
            for cell in cells:
                yield cell, empty
            return
        if len(held) == 1:
            grouped, starts = held[0], np.concatenate([[0], np.cumsum(held_counts[0])])
        else:
            ids = np.concatenate([np.repeat(np.arange(count, dtype=np.int32), counts) for counts in held_counts])
            grouped, starts = scatter(concat(held), ids, count)
        held.clear()
        for cell in cells:
            first, last = int(starts[cell]), int(starts[cell + 1])
            yield cell, grouped.slice(first, last - first)


def _passed_on(piece: list[Decoded]) -> list[pa.RecordBatch]:
    return [shard.batch for shard in piece]


def of_cell(piece: list[Decoded], cell: int) -> list[pa.RecordBatch]:
    """One cell's rows of every shard."""
    found: list[pa.RecordBatch] = []
    for shard in piece:
        assert shard.counts is not None
        rows = int(shard.counts[cell])
        if rows:
            found.append(shard.batch.slice(int(shard.counts[:cell].sum()), rows))
    return found


def cells_of(piece: list[Decoded]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The cell of every row of some shards: within each shard they are in cell order."""
    parts = []
    for shard in piece:
        assert shard.counts is not None
        parts.append(np.repeat(np.arange(len(shard.counts), dtype=np.int32), shard.counts))
    return np.concatenate(parts)


def portions(sizes: Counts, budget: int) -> Iterator[range]:
    """Runs of cells whose bytes together fit the budget; a cell that does not fit is a run of its own."""
    first, held = 0, 0
    for cell, size in enumerate(sizes.tolist()):
        if cell > first and held + size > budget:
            yield range(first, cell)
            first, held = cell, 0
        held += size
    yield range(first, len(sizes))
