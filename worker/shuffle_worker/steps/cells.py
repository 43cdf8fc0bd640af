"""The cells of a bucket, one after the other, each with the rows of every input: for local steps that need all rows of
a cell together (a join; any step over several inputs).

A cell whose rows fit in memory is given whole, in memory of its own. One whose rows do not is given as streams, which
can be read as often as needed; what to do with it is the local step's business (see `grace_partitioning.py`).

Memory, out of the `memory` given: an eighth for the buffer that shards are read into; half for the cells that are held,
with what a local step needs besides for each row. A bucket of many cells that exceeds it is read in several passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import concat
from shuffle_worker.columns.coded import as_text, text_bytes
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.partitioning.cutter import copied
from shuffle_worker.partitioning.scatter import Scattered, scatter
from shuffle_worker.plan.record import Plan, Split
from shuffle_worker.readers.reader import Reader
from shuffle_worker.steps.readback import Buffers, ReadBack
from shuffle_worker.steps.reduce import cells_of, of_cell, portions
from shuffle_worker.steps.shards import Decoded
from shuffle_worker.store.store import ShardSource

Stream = Callable[[], Iterator[pa.RecordBatch]]
"""Each call yields the rows from the first on, in input order and without codes; a batch is valid until the next
one."""

ROW = 64
"""Bytes that a local step needs for each row besides the row itself: hashes, orders, ranges."""


READ_ROWS = 1 << 16
"""Of a batch that is read from a file, where there are no shards."""


class Cell(NamedTuple):
    """The rows of one cell."""

    number: int
    """Its number within the bucket."""
    rows: list[pa.RecordBatch] | None
    """The rows of each input, some columns perhaps coded; None where they do not fit in memory, and are only in
    streams."""
    streams: list[Stream]


class Cells:
    """Reads buckets of one group. row: bytes that the local step needs for each row besides. Close it."""

    def __init__(self, plan: Plan, source: ShardSource, memory: int, buffers: Buffers, row: int = ROW) -> None:
        self._row = row
        self._inputs = range(len(plan.inputs))
        self._layout = plan.layout
        self._schemas = [transport_schema(table.arrow_schema()) for table in plan.inputs]
        self._readback = ReadBack(source, plan, max(memory // 8, 1), buffers)
        self.budget = max(memory // 2, 1)

    def close(self) -> None:
        self._readback.close()

    def of(self, bucket: int) -> Iterator[Cell]:
        """Every cell of the bucket, in order, even those without a row. Each is valid until the next."""
        count = len(self._layout.bucket_cells(bucket))
        if self._load(bucket) <= self.budget:
            yield from self._held(bucket, range(count), count)
        elif count == 1:
            yield Cell(0, None, [self._stream(bucket, index, None) for index in self._inputs])
        else:
            loads = np.zeros(count, np.int64)
            for index in self._inputs:
                rows, sizes = self._readback.measure(bucket, count, index)
                loads += sizes + rows * self._row
            for cells in portions(loads, self.budget):
                if len(cells) == 1 and int(loads[cells[0]]) > self.budget:
                    yield Cell(cells[0], None, [self._stream(bucket, index, cells[0]) for index in self._inputs])
                else:
                    yield from self._held(bucket, cells, count)

    def _load(self, bucket: int) -> float:
        """As if columns that are coded were not: more values than codes can count make them text."""
        load = 0.0
        for index in self._inputs:
            each = self._row + self._readback.text_row(index)
            load += sum(shard.length + shard.rows * each for shard in self._readback.shards(bucket, index))
        return load

    def _held(self, bucket: int, cells: range, count: int) -> Iterator[Cell]:
        parted = [self._gathered(bucket, index, cells, count) for index in self._inputs]
        for cell in cells:
            rows = [
                grouped.slice(int(starts[cell]), int(starts[cell + 1] - starts[cell])) for grouped, starts in parted
            ]
            yield Cell(cell, rows, [_once(batch) for batch in rows])

    def _gathered(self, bucket: int, index: int, cells: range, count: int) -> Scattered:
        """The rows of some cells, in cell order, each cell's in input order."""
        wanted = np.zeros(count, np.bool_)
        wanted[cells.start : cells.stop] = True
        held: list[Scattered] = []
        for piece in self._readback.pieces(bucket, index):
            batch = copied([shard.batch for shard in piece])
            held.append(
                scatter(batch, cells_of(piece), count, wanted)
                if count > 1
                else Scattered(batch, np.array([0, batch.num_rows]))
            )
        if not held:
            return Scattered(_empty(self._schemas[index]), np.zeros(count + 1, np.int64))
        if len(held) == 1:
            return held[0]
        batch = concat([grouped for grouped, _ in held])
        if count == 1:
            return Scattered(batch, np.array([0, batch.num_rows]))
        ids = np.concatenate([np.repeat(np.arange(count, dtype=np.int32), np.diff(starts)) for _, starts in held])
        held.clear()
        return scatter(batch, ids, count)

    def _stream(self, bucket: int, index: int, cell: int | None) -> Stream:
        def batches() -> Iterator[pa.RecordBatch]:
            for piece in self._readback.pieces(bucket, index):
                yield from map(as_text, _of(piece, cell))

        return batches


def of_splits(plan: Plan, splits: Sequence[Split], readers: Sequence[Reader], budget: int, row: int = ROW) -> Cell:
    """A cell whose rows are not in shards but in these splits of files. They are held if they fit in `budget`. row: see
    `Cells`."""
    inputs = range(len(plan.inputs))
    schemas = [transport_schema(table.arrow_schema()) for table in plan.inputs]

    def stream(index: int) -> Stream:
        def batches() -> Iterator[pa.RecordBatch]:
            for split in splits:
                if split.input == index:
                    yield from (rows.batch for rows in readers[index].read(split, READ_ROWS))

        return batches

    def as_texts(index: int) -> Stream:
        return lambda: map(as_text, stream(index)())

    streams = [as_texts(index) for index in inputs]
    held: list[list[pa.RecordBatch]] = [[] for _ in inputs]
    load = 0
    for index in inputs:
        for batch in stream(index)():
            load += text_bytes(batch) + batch.num_rows * row
            if load > budget:
                return Cell(0, None, streams)
            held[index].append(batch)
    rows = [concat(some) if some else _empty(schema) for some, schema in zip(held, schemas, strict=True)]
    return Cell(0, rows, streams)


def _of(piece: list[Decoded], cell: int | None) -> list[pa.RecordBatch]:
    return [shard.batch for shard in piece] if cell is None else of_cell(piece, cell)


def _once(batch: pa.RecordBatch) -> Stream:
    return lambda: iter((batch,))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)
