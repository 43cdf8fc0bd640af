"""Repartition: rows go to files by the hash of some columns, by ranges of them, or one after the other.

Inside a file rows keep the order of the input, or have that of `output.sortWithin` (ties in the order of the input).
"""

from __future__ import annotations

from collections.abc import Iterator

from shuffle_protocol.jobs import Repartition, SortKey
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.steps.assign import HashAssign, RangeAssign, RoundRobinAssign, plan_ranges
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.readback import coded_columns
from shuffle_worker.steps.reduce import Reduce
from shuffle_worker.steps.sorting import sorter_within
from shuffle_worker.steps.splitter import Assign, BatchSplitter
from shuffle_worker.store.store import ShardSource


class RepartitionOperation:
    """`Operation` for `repartition`."""

    def __init__(self, given: Given, operation: Repartition) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._by = operation
        self._batch_bytes = given.batch_bytes
        keys = [SortKey(column) for column in operation.range]
        within = plan.job.output.sort_within
        if plan.layout.buckets > plan.layout.partitions:
            raise ValueError(
                "a repartition cannot cut a partition into several buckets: its rows keep the input's order"
            )
        self._ranges = plan_ranges(plan, keys) if keys else None
        self._coded = coded_columns(plan)
        outputs = PartitionFiles(plan, files, keys, in_order=within[: len(keys)] == keys)
        self._reduce = Reduce(plan, outputs, sorter_within(plan, scratch))

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        row_bytes = self._plan.inputs[index].row_bytes
        return BatchSplitter(self._plan.layout, self._assign(), wanted, row_bytes, self._batch_bytes, coded=self._coded)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._reduce.write(group, source, memory)

    def _assign(self) -> Assign:
        cells = self._plan.layout.cells
        if self._by.by:
            return HashAssign(self._by.by, cells)
        if self._ranges is not None:
            return RangeAssign(self._ranges)
        return RoundRobinAssign(cells)
