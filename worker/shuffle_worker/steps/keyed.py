"""Rows in an order that none of their columns says: a random one, that of a curve.

The map side gives every row a 64-bit key. It travels as one more column behind the row's own, the cells are ranges of
keys, the reduce side sorts by it (in memory, or by merging runs on scratch), and it is dropped before rows are written.
Rows with equal keys keep the order of their positions, because shards are read back in that order and the sort is
stable.

It costs eight bytes a row on the way, in memory and on scratch: cheaper than working the key out again, for which the
reduce side would need the row's position.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_protocol.shards import Shard
from shuffle_worker.columns.arrays import U64, buffer_of
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.readback import coded_columns
from shuffle_worker.steps.reduce import Reduce, WritesFiles
from shuffle_worker.steps.sorting import Sorter
from shuffle_worker.steps.splitter import Assign, BatchSplitter

KEY_BYTES = 8

GiveKeys = Callable[[Rows], U64]
"""The key of every row."""


def free_name(names: Collection[str]) -> str:
    """A name for the column of keys, that no other column has."""
    name = "shuffle-key"
    while name in names:
        name += "-"
    return name


class KeyedSplitter:
    """A `Splitter`. assign: given rows with their keys, the last column. wanted: groups, None for all."""

    def __init__(
        self, plan: Plan, keys: GiveKeys, assign: Assign, wanted: frozenset[int] | None, batch_bytes: int
    ) -> None:
        self._name = plan.key_column
        self._keys = keys
        row_bytes = plan.inputs[0].row_bytes + KEY_BYTES
        self._splitter = BatchSplitter(plan.layout, assign, wanted, row_bytes, batch_bytes, coded=coded_columns(plan))

    def add(self, rows: Rows) -> list[Shard]:
        keys = self._keys(rows)
        column = pa.Array.from_buffers(pa.uint64(), len(keys), [None, buffer_of(keys)])
        return self._splitter.add(rows._replace(batch=rows.batch.append_column(self._name, column)))

    def flush(self) -> list[Shard]:
        return self._splitter.flush()


class WithoutKeys:
    """Files for rows that still have their keys, which are not written."""

    def __init__(self, files: WritesFiles) -> None:
        self._files = files

    def write(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult:
        return self._files.write(partition, _dropped(batches), rows)


def keyed_reduce(plan: Plan, files: WritesFiles, scratch: Path | None) -> Reduce:
    """The reduce side: the rows of each file in the order of their keys. scratch: see `Sorter`."""
    return Reduce(plan, WithoutKeys(files), Sorter([SortKey(plan.key_column)], scratch))


def _dropped(batches: Iterable[pa.RecordBatch | None]) -> Iterator[pa.RecordBatch | None]:
    for batch in batches:
        yield None if batch is None else batch.select(list(range(batch.num_columns - 1)))
