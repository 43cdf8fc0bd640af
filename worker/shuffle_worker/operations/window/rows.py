"""Window: every row of the input, with columns computed of the rows around it.

Map side: whole rows to the hash of the columns that make a window. Reduce side: the rows of a bucket in the order of
that hash, so that windows stand together, and within a window in the order asked for; rows that it does not tell apart
keep their places in the input. So a file is the same however finely it was cut into buckets.

Memory, of the `memory` given to `write`: half for `Reduce`, half for the windows at hand. With `sortWithin` a third of
it each, and a third to sort what comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from shuffle_protocol.jobs import Window
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.order import hash_order
from shuffle_worker.plan.record import Plan
from shuffle_worker.steps.assign import HashAssign
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.grouping import Load, Loads
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.readback import Buffers
from shuffle_worker.steps.reduce import Reduce
from shuffle_worker.steps.sorting import Sorter, sorter_within
from shuffle_worker.steps.splitter import BatchSplitter
from shuffle_worker.store.store import ShardSource
from shuffle_worker.windows.rows import WindowRows
from shuffle_worker.windows.typed import compile_windows


class WindowOperation:
    """`Operation` for `window`."""

    def __init__(self, given: Given, operation: Window) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._asked = operation
        self._batch_bytes = given.batch_bytes
        self._scratch = scratch
        self._files = PartitionFiles(plan, files)
        self._sorter = Sorter(hash_order(operation.by, operation.order_by), scratch)
        self._buffers = Buffers()
        compiled = compile_windows(operation.compute, plan.inputs[0].arrow_schema(), operation.order_by)
        out = transport_schema(plan.arrow_schema())
        self._rows = WindowRows(compiled, operation.by, operation.order_by, out, plan.job.output.path, scratch)

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        assign = HashAssign(self._asked.by, self._plan.layout.cells)
        return BatchSplitter(self._plan.layout, assign, wanted, self._plan.inputs[index].row_bytes, self._batch_bytes)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        then = sorter_within(self._plan, self._scratch)
        share = memory // (2 if then is None else 3)
        computed = ComputedFiles(self._plan, self._files, self._rows, self._asked.by, then, share)
        yield from Reduce(self._plan, computed, self._sorter, self._buffers).write(group, source, share)


class ComputedFiles:
    """Files of rows with their computed columns. then: puts the rows of a file in order. memory: for the windows, and
    as much for that order."""

    def __init__(
        self,
        plan: Plan,
        files: PartitionFiles,
        rows: WindowRows,
        by: Sequence[str],
        then: Sorter | None,
        memory: int,
    ) -> None:
        self._files = files
        self._rows = rows
        self._by = list(by)
        self._then = then
        self._memory = memory
        self._block = rows.block_rows(plan.row_bytes, memory)

    def write(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult:
        results = self._results(batch for batch in batches if batch is not None)
        if self._then is not None:
            results = self._then.sorted(([batch] for batch in results), self._memory)
        return self._files.write(partition, results, rows)

    def _results(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for load in Loads(stream, self._by, self._block, self._memory // 2):
            if isinstance(load, Load):
                yield self._rows.together(load.rows, load.ends)
            else:
                yield from self._rows.alone(load.batches, self._memory)
