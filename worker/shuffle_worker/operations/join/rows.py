"""Join: rows of both inputs go to files by the hash of their keys, and meet there.

The map side is a repartition of each input by its keys (`map.py`), without rows that cannot be in the result. The
reduce side matches the rows of one cell after the other (`step.py`). A file's rows are in the order of their places
(`partitioning/places.py`), then of the left rows, then of the right ones, or have that of `output.sortWithin`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import Join
from shuffle_protocol.shards import Shard
from shuffle_worker.columns.arrays import U64, Bools, take
from shuffle_worker.operations.join.as_of import AsOfStep
from shuffle_worker.operations.join.blocks import first_of_each
from shuffle_worker.operations.join.columns import LEFT_KEPT, RIGHT_KEPT, SEMI, as_left
from shuffle_worker.operations.join.map import Destinations
from shuffle_worker.operations.join.step import JoinStep
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.bloom import BloomFilter
from shuffle_worker.readers.reader import Rows
from shuffle_worker.runtime.pressure import relieve
from shuffle_worker.steps.cells import Cells, of_splits
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.readback import Buffers, coded_columns
from shuffle_worker.steps.sorting import sorter_within
from shuffle_worker.steps.splitter import BatchSplitter
from shuffle_worker.store.store import ShardSource


class JoinOperation:
    """`Operation` for `join`. Where the inputs are partitioned alike nothing travels, and their files are read when the
    output's are written."""

    def __init__(self, given: Given, join: Join) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._readers = given.readers
        self._plan = plan
        self._join = as_left(join)
        found = plan.partners
        self._looked_up = found.input if found is not None else -1
        self._bloom = BloomFilter.of_bytes(found.bloom) if found is not None else None
        self._batch_bytes = given.batch_bytes - (len(found.bloom) // 3 if found is not None else 0)
        self._step = JoinStep(plan, scratch) if join.as_of is None else AsOfStep(plan, join.as_of, scratch)
        self._files = PartitionFiles(plan, files)
        self._sorter = sorter_within(plan, scratch)
        self._coded = [coded_columns(plan, index) for index in range(len(plan.inputs))]
        self._buffers = Buffers()

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        join = self._join
        side = 0 if index == join.left else 1
        row_bytes = self._plan.inputs[index].row_bytes
        keys = self._step.shape.keys[side]
        destinations = Destinations(self._plan, keys, index)
        bloom = self._bloom if index == self._looked_up else None
        inner = BatchSplitter(
            self._plan.layout,
            destinations,
            wanted,
            row_bytes,
            self._batch_bytes,
            drops=bloom is not None,
            coded=self._coded[index],
        )
        return JoinSplitter(
            inner,
            destinations,
            Nowhere(bloom, self._plan.layout.cells) if bloom is not None else None,
            drop_nulls=self._without_nulls(side),
            once=side == 1 and join.how in SEMI and not join.where,
        )

    def _without_nulls(self, side: int) -> bool:
        """Whether rows with a null key can neither be in the result nor influence it."""
        how = self._join.how
        kept = how in LEFT_KEPT or how == "LeftAnti" if side == 0 else how in RIGHT_KEPT
        return not kept and not self._join.nulls_equal

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        layout = self._plan.layout
        partitions = layout.group_partitions(group)
        if self._plan.aligned:
            for partition in partitions:
                yield self._file(partition, self._of_files(partition, memory), memory)
            return
        cells = Cells(self._plan, source, memory, self._buffers, self._step.row)
        try:
            if len(partitions) == 1:
                yield self._file(partitions[0], self._joined(layout.group_buckets(group), cells), memory)
            else:
                for cell in cells.of(layout.group_buckets(group)[0]):
                    yield self._file(partitions[cell.number], self._step.join(cell, cells.budget), memory)
        finally:
            cells.close()
            relieve()

    def _of_files(self, partition: int, memory: int) -> Iterator[pa.RecordBatch]:
        relieve()
        cell = of_splits(self._plan, self._plan.aligned[partition], self._readers, memory // 2, self._step.row)
        yield from self._step.join(cell, memory // 2)

    def _joined(self, buckets: range, cells: Cells) -> Iterator[pa.RecordBatch]:
        for bucket in buckets:
            relieve()
            for cell in cells.of(bucket):
                yield from self._step.join(cell, cells.budget)

    def _file(self, partition: int, rows: Iterator[pa.RecordBatch], memory: int) -> FileResult:
        if self._sorter is not None:
            rows = self._sorter.sorted(([batch] for batch in rows), memory // 2)
        return self._files.write(partition, rows, None)


class Nowhere(NamedTuple):
    """For rows that have no partner."""

    bloom: BloomFilter
    """Of the other side's keys."""
    cell: int
    """The cell that is not sent."""


class JoinSplitter:
    """The map side of one split. drop_nulls: rows with a null key are not sent. once: one row of a key is enough."""

    def __init__(
        self,
        inner: BatchSplitter,
        destinations: Destinations,
        nowhere: Nowhere | None,
        *,
        drop_nulls: bool,
        once: bool,
    ) -> None:
        self._nowhere = nowhere
        self._inner = inner
        self._destinations = destinations
        self._keys = destinations.keys
        self._drop_nulls = drop_nulls
        self._once = once

    def add(self, rows: Rows) -> list[Shard]:
        if self._drop_nulls:
            there = self._keys.of(rows.batch).matchable
            if there is not None:
                rows = _some(rows, there)
        if self._once and rows.batch.num_rows:
            first = np.zeros(rows.batch.num_rows, np.bool_)
            first[first_of_each(self._keys.of(rows.batch))] = True
            rows = _some(rows, first)
        if not rows.batch.num_rows:
            return []
        hashes = self._keys.hashes(rows.batch)
        if self._nowhere is None:
            return self._inner.put(*self._destinations.of(rows, hashes))
        return self._put_some(rows, hashes, self._nowhere)

    def _put_some(self, rows: Rows, hashes: U64, nowhere: Nowhere) -> list[Shard]:
        """Those that may have a partner. The gather leaves out the others, at no cost. Where these are many, that is
        done before, so that shards are as large as ever."""
        kept = nowhere.bloom.may_have(hashes)
        if not kept.any():
            return []
        if self._destinations.moves or 2 * np.count_nonzero(kept) < len(kept):
            return self._inner.put(*self._destinations.of(_some(rows, kept), hashes[kept]))
        batch, cells = self._destinations.of(rows, hashes)
        cells[~kept] = nowhere.cell
        return self._inner.put(batch, cells)

    def flush(self) -> list[Shard]:
        return self._inner.flush()


def _some(rows: Rows, kept: Bools) -> Rows:
    if kept.all():
        return rows
    chosen = np.flatnonzero(kept)
    return Rows(take(rows.batch, chosen), rows.first, rows.all_positions()[chosen], rows.bytes_read)
