"""Cluster: a global sort by where rows stand on a curve through several columns. A file holds a small range of each.

A row's key is its place on the curve (`grid.py`); rows of one place are ordered by their positions, and may straddle
files. Everything else is a sort.
"""

from __future__ import annotations

from collections.abc import Iterator

from shuffle_protocol.jobs import Cluster, SortKey
from shuffle_worker.columns.arrays import U64
from shuffle_worker.operations.cluster.grid import Grid
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.assign import RangeAssign, plan_ranges
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.keyed import KeyedSplitter, keyed_reduce
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.store.store import ShardSource


class ClusterOperation:
    """`Operation` for `cluster`."""

    def __init__(self, given: Given, operation: Cluster) -> None:
        plan = given.plan
        self._plan = plan
        self._batch_bytes = given.batch_bytes
        self._grid = Grid(operation, plan.cuts)
        self._ranges = plan_ranges(plan, [SortKey(plan.key_column)])
        self._reduce = keyed_reduce(plan, PartitionFiles(plan, given.files), given.scratch)

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:  # noqa: ARG002
        return KeyedSplitter(self._plan, self._keys, RangeAssign(self._ranges), wanted, self._batch_bytes)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._reduce.write(group, source, memory)

    def _keys(self, rows: Rows) -> U64:
        return self._grid.places(rows.batch)
