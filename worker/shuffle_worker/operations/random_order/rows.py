"""A random order: every row at a random place of the whole output, the same one in every run.

A row's key is 64 random bits that follow from the seed and the row's position in the input (`random_keys.py`). Its
range says the file, and rows are sorted by it within the file. So files have about as many rows each, as many as chance
gives them; nothing needs to be counted or sampled first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from shuffle_protocol.jobs import RandomOrder
from shuffle_worker.columns.arrays import U64, values
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.random_keys import cells_of_keys, random_keys
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.keyed import KeyedSplitter, keyed_reduce
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.splitter import Cells
from shuffle_worker.store.store import ShardSource


class RandomOrderOperation:
    """`Operation` for `repartition` by `random`."""

    def __init__(self, given: Given, operation: RandomOrder) -> None:
        self._plan = given.plan
        self._seed = operation.seed
        self._batch_bytes = given.batch_bytes
        self._reduce = keyed_reduce(given.plan, PartitionFiles(given.plan, given.files), given.scratch)

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:  # noqa: ARG002
        return KeyedSplitter(self._plan, self._keys, self._cells, wanted, self._batch_bytes)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._reduce.write(group, source, memory)

    def _keys(self, rows: Rows) -> U64:
        return random_keys(rows.all_positions(), self._seed)

    def _cells(self, rows: Rows) -> Cells:
        keys = rows.batch.column(rows.batch.num_columns - 1)
        return cells_of_keys(values(keys, np.uint64), self._plan.layout.cells)
