"""Joins whose small sides every worker reads whole, to join the rows of the large one as it reads them.

There is one small side, or one for each of several joins that follow each other (a star: a table of facts and its
dimensions), which the rows of the large side go through in one pass. Only joined rows travel. They go to the files in
runs, by the position of the large side's row, so that all files are of one size whatever the keys are, and a file's
rows are in the order of the large side. The small sides are read by each worker when its first split begins, and kept
to the end.

Memory: the small sides (`strategy.room` bounds them) and 40 bytes a row of them; a piece of joined rows of each join;
what `BatchSplitter` says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.shards import Shard
from shuffle_worker.columns.arrays import I64, concat
from shuffle_worker.columns.coded import text_bytes
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.inputs.planned import input_name
from shuffle_worker.operations.join.judged import Pairs, cut, judged
from shuffle_worker.operations.join.put import Put
from shuffle_worker.operations.join.shape import JoinShape
from shuffle_worker.operations.join.strategy import LOOKUP, check_held, room
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.lookup import Lookup, every_pair
from shuffle_worker.partitioning.matching import Matches, Side, Wanted, candidates
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.reader import Reader, Rows
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.readback import coded_columns
from shuffle_worker.steps.reduce import Reduce
from shuffle_worker.steps.sorting import sorter_within
from shuffle_worker.steps.splitter import BatchSplitter
from shuffle_worker.steps.splitter import Cells as CellNumbers
from shuffle_worker.store.store import ShardSource

BATCH_ROWS = 1 << 16
MOST_RUN = 4096
"""Rows of the large side whose joined rows go to one file, before the next file has its turn."""

RUNS_A_FILE = 8


class SmallSide:
    """The rows of a side that every worker holds, and what the rows of the other are looked up in.

    shape: of the join. side: which of its sides it is, 0 or 1. batch_bytes: of a piece of joined rows."""

    def __init__(self, shape: JoinShape, side: int, rows: pa.RecordBatch, partitions: int, batch_bytes: int) -> None:
        self._shape = shape
        self._at = side
        self._rows = rows
        self._partitions = partitions
        self._batch_bytes = batch_bytes
        wanted = shape.wanted
        self._wanted = wanted if side == 1 else Wanted(wanted.pairs, wanted.right, False)
        self._lookup = Lookup(self._side(side, rows)) if shape.join.left_on else None
        self._widest = self._put(pa.RecordBatch.from_pylist([], schema=shape.schemas[1 - side])).widest(side)

    def joined(self, rows: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, I64]]:
        """The joined rows of some rows of the other side, in pieces, and which of these each is of."""
        sides = (rows, self._rows) if self._at == 1 else (self._rows, rows)
        put = self._put(rows, self._widest)
        at_once = put.rows_at_once(self._batch_bytes)
        found = self._found(rows)
        pieces = found.pieces(at_once) if self._shape.condition is None else self._judged(found, sides, at_once)
        pairs = pieces if self._at == 1 else ((inner, outer) for outer, inner in pieces)
        for left, right in put.within(pairs, self._batch_bytes):
            yield put.together(left, right), left if self._at == 1 else right

    def _put(self, rows: pa.RecordBatch, widest: int | None = None) -> Put:
        """For some rows of the other side. widest: of the small one, where it is known."""
        if self._at == 1:
            return Put(self._shape, rows, self._rows, (None, widest))
        return Put(self._shape, self._rows, rows, (widest, None))

    def _found(self, rows: pa.RecordBatch) -> Matches:
        """Of these rows what the keys say."""
        if self._lookup is None:
            return every_pair(rows.num_rows, self._rows.num_rows)
        wanted = self._wanted if self._shape.condition is None else candidates(self._wanted)
        return self._lookup.match(self._side(1 - self._at, rows), wanted)

    def _judged(self, found: Matches, sides: tuple[pa.RecordBatch, pa.RecordBatch], at_once: int) -> Pairs:
        judge = self._shape.judge(*sides)
        if self._at == 0:
            judge = judge.turned()
        return cut(judged(found, self._wanted, judge, judge.at_once(self._batch_bytes)), at_once)

    def _side(self, side: int, rows: pa.RecordBatch) -> Side:
        return self._shape.keys[side].side(rows, self._partitions)


class BroadcastJoin:
    """`Operation` for joins of which the plan broadcasts a side each. shapes: of the joins, one after the other."""

    def __init__(self, given: Given, shapes: Sequence[JoinShape]) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._readers = given.readers
        self._batch_bytes = given.batch_bytes
        self._shapes = shapes
        self._coded = coded_columns(plan)
        self._small: list[SmallSide] = []
        self._lock = threading.Lock()
        large = next(at for at in range(len(plan.inputs)) if at not in plan.broadcast)
        self._reduce = Reduce(plan, PartitionFiles(plan, files), sorter_within(plan, scratch), index=large)

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        plan = self._plan
        rows = max(plan.inputs[index].rows, 1)
        run = min(max(rows // (plan.layout.partitions * RUNS_A_FILE), 1), MOST_RUN)
        assign = _Runs(plan.layout.cells, run)
        inner = BatchSplitter(plan.layout, assign, wanted, plan.row_bytes, self._batch_bytes, coded=self._coded)
        return BroadcastSplitter(self, inner, assign)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._reduce.write(group, source, memory)

    def joined(self, rows: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, I64]]:
        """The joined rows of some rows of the large side, in pieces, and which of these each is of."""
        return _through(self.small(), rows)

    def small(self) -> list[SmallSide]:
        """The small sides; the first caller reads them."""
        with self._lock:
            if not self._small:
                held = 0
                found: list[SmallSide] = []
                for shape, number in zip(self._shapes, self._plan.broadcast, strict=True):
                    rows, held = _read(self._plan, self._readers[number], number, held, room(self._batch_bytes))
                    side = 0 if number == shape.join.left else 1
                    each = self._batch_bytes // len(self._shapes)
                    found.append(SmallSide(shape, side, rows, self._plan.layout.partitions, each))
                self._small = found
            return self._small


def _through(small: Sequence[SmallSide], rows: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, I64]]:
    """One join after the other."""
    for joined, outer in small[0].joined(rows):
        if len(small) == 1:
            yield joined, outer
            continue
        for more, of in _through(small[1:], joined):
            yield more, outer[of]


def _read(plan: Plan, reader: Reader, number: int, held: int, most: int) -> tuple[pa.RecordBatch, int]:
    """The rows of an input, and the bytes that are held with them. held: before. Raises OutOfMemory beyond `most`."""
    batches: list[pa.RecordBatch] = []
    name = input_name(plan.inputs[number].name, number)
    for split in plan.small:
        if split.input != number:
            continue
        for rows in reader.read(split, BATCH_ROWS):
            batches.append(rows.batch)
            held += text_bytes(rows.batch) + rows.batch.num_rows * LOOKUP
            check_held(held, most, name, "operation.join")
    schema = transport_schema(plan.inputs[number].arrow_schema())
    return concat(batches) if batches else pa.RecordBatch.from_pylist([], schema=schema), held


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
