"""A join whose one side is small: every worker reads it whole, and joins the rows of the other as it reads them.

Only joined rows travel. They go to the files in runs, by the position of the large side's row, so that all
files are of one size whatever the keys are, and a file's rows are in the order of the large side. The small side is
read by each worker when its first split begins, and kept to the end.

Memory: the small side (`strategy.py` bounds it) and 40 bytes a row of it; a piece of joined rows; what `BatchSplitter`
says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import Join
from shuffle_protocol.shards import Shard
from shuffle_worker.columns.arrays import I64, concat
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.operations.join.columns import as_left
from shuffle_worker.operations.join.judged import Pairs, cut, judged
from shuffle_worker.operations.join.put import Put
from shuffle_worker.operations.join.shape import shape_of
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.lookup import Lookup
from shuffle_worker.partitioning.matching import Matches, Side, Wanted, candidates
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.reduce import Reduce
from shuffle_worker.steps.sorting import sorter_within
from shuffle_worker.steps.splitter import BatchSplitter
from shuffle_worker.steps.splitter import Cells as CellNumbers
from shuffle_worker.store.store import ShardSource

BATCH_ROWS = 1 << 16
MOST_RUN = 4096
"""Rows of the large side whose joined rows go to one file, before the next file has its turn."""

RUNS_A_FILE = 8


class Small:
    """The small side. rows: all of it. lookup: by its keys."""

    def __init__(self, rows: pa.RecordBatch, lookup: Lookup) -> None:
        self.rows = rows
        self.lookup = lookup


class BroadcastJoin:
    """`Operation` for a `join` of which the plan broadcasts a side."""

    def __init__(self, given: Given, join: Join) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        assert plan.broadcast is not None
        join = as_left(join)
        self._plan = plan
        self._readers = given.readers
        self._batch_bytes = given.batch_bytes
        self._small_side = 0 if plan.broadcast == join.left else 1
        self._shape = shape_of(plan)
        wanted = self._shape.wanted
        self._wanted = wanted if self._small_side == 1 else Wanted(wanted.pairs, wanted.right, False)
        self._small: Small | None = None
        self._lock = threading.Lock()
        sorter = sorter_within(plan, scratch)
        self._reduce = Reduce(plan, PartitionFiles(plan, files), sorter, index=1 - plan.broadcast)

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        plan = self._plan
        rows = max(plan.inputs[index].rows, 1)
        run = min(max(rows // (plan.layout.partitions * RUNS_A_FILE), 1), MOST_RUN)
        assign = _Runs(plan.layout.cells, run)
        inner = BatchSplitter(plan.layout, assign, wanted, plan.row_bytes, self._batch_bytes)
        return BroadcastSplitter(self, inner, assign)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._reduce.write(group, source, memory)

    def joined(self, rows: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, I64]]:
        """The joined rows of some rows of the large side, in pieces, and which of these each is of."""
        small = self.small()
        conditional = self._shape.condition is not None
        wanted = candidates(self._wanted) if conditional else self._wanted
        found = small.lookup.match(self._side(1 - self._small_side, rows), wanted)
        sides = (rows, small.rows) if self._small_side == 1 else (small.rows, rows)
        put = Put(self._shape.columns, self._shape.output, *sides)
        at_once = put.rows_at_once(self._batch_bytes)
        for outer, inner in self._judged(found, sides, at_once) if conditional else found.pieces(at_once):
            yield put.together(*self._turned(outer, inner)), outer

    def _judged(self, found: Matches, sides: tuple[pa.RecordBatch, pa.RecordBatch], at_once: int) -> Pairs:
        judge = self._shape.judge(*sides)
        if self._small_side == 0:
            judge = judge.turned()
        return cut(judged(found, self._wanted, judge, judge.at_once(self._batch_bytes)), at_once)

    def _turned(self, outer: I64, inner: I64) -> tuple[I64, I64]:
        """As left and right rows."""
        return (outer, inner) if self._small_side == 1 else (inner, outer)

    def _side(self, side: int, rows: pa.RecordBatch) -> Side:
        return self._shape.keys[side].side(rows, self._plan.layout.partitions)

    def small(self) -> Small:
        """The small side; the first caller reads it."""
        with self._lock:
            if self._small is None:
                assert self._plan.broadcast is not None
                reader = self._readers[self._plan.broadcast]
                batches = [rows.batch for split in self._plan.small for rows in reader.read(split, BATCH_ROWS)]
                schema = transport_schema(self._plan.inputs[self._plan.broadcast].arrow_schema())
                rows = concat(batches) if batches else pa.RecordBatch.from_pylist([], schema=schema)
                self._small = Small(rows, Lookup(self._side(self._small_side, rows)))
            return self._small


class _Runs:
    """One run of input rows after the other to one cell after the other."""

    def __init__(self, cells: int, run: int) -> None:
        self._cells = cells
        self._run = run

    def of(self, positions: I64) -> CellNumbers:
        cells: CellNumbers = (positions // self._run % self._cells).astype(np.int32)
        return cells

    def __call__(self, rows: Rows) -> CellNumbers:
        return self.of(rows.all_positions())


class BroadcastSplitter:
    """The map side of one split of the large side."""

    def __init__(self, join: BroadcastJoin, inner: BatchSplitter, assign: _Runs) -> None:
        self._join = join
        self._inner = inner
        self._assign = assign

    def add(self, rows: Rows) -> list[Shard]:
        return [shard for shards in self.pieces(rows) for shard in shards]

    def pieces(self, rows: Rows) -> Iterator[list[Shard]]:
        yield []  # the rows are counted, with or without a partner
        if rows.batch.num_rows:
            positions = rows.all_positions()
            for joined, outer in self._join.joined(rows.batch):
                yield self._inner.put(joined, self._assign.of(positions[outer]))

    def flush(self) -> list[Shard]:
        return self._inner.flush()
