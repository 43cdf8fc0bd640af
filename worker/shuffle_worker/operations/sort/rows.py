"""Sort: a global order over all files, stable, by any number of keys.

The map side sends a row to the range that its key falls in; rows with the key of a boundary are ordered by their
position in the input, so equal keys may straddle files and yet keep the input's order. The reduce side sorts bucket by
bucket: the plan cuts the ranges fine enough for one to be sorted in memory, and one that isn't is sorted on scratch. No
position travels: a bucket's shards come back in the order of the input.
"""

from __future__ import annotations

from collections.abc import Iterator

from shuffle_protocol.jobs import Sort
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.steps.assign import RangeAssign, plan_ranges
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.readback import coded_columns
from shuffle_worker.steps.reduce import Reduce
from shuffle_worker.steps.sorting import Sorter
from shuffle_worker.steps.splitter import BatchSplitter
from shuffle_worker.store.store import ShardSource


class SortOperation:
    """`Operation` for `sort`."""

    def __init__(self, given: Given, operation: Sort) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._batch_bytes = given.batch_bytes
        self._ranges = plan_ranges(plan, operation.by)
        self._coded = coded_columns(plan)
        self._reduce = Reduce(
            plan, PartitionFiles(plan, files, operation.by, in_order=True), Sorter(operation.by, scratch)
        )

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        assign = RangeAssign(self._ranges)
        row_bytes = self._plan.inputs[index].row_bytes
        return BatchSplitter(self._plan.layout, assign, wanted, row_bytes, self._batch_bytes, coded=self._coded)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._reduce.write(group, source, memory)
