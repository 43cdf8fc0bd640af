"""What a cluster decides while it is planned: the ranges of its columns, and where on the curve files begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Cluster, Job, SortKey
from shuffle_protocol.units import counted
from shuffle_worker.columns.arrays import U64, buffer_of
from shuffle_worker.columns.arrow import I64, nulls
from shuffle_worker.inputs.keys import Key, refuse_twice
from shuffle_worker.inputs.planned import Columns, PlannedInput, Size
from shuffle_worker.inputs.sample import (
    Sample,
    distinct_cuts,
    encoded,
    equal_to_previous,
    rows_wanted,
    take_sample,
    taken,
)
from shuffle_worker.operations.cluster.grid import Grid, bits_of
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.plan.layout import Layout
from shuffle_worker.steps.keyed import KEY_BYTES
from shuffle_worker.steps.planning import SORTED, Planning

_CURVES = {"Hilbert": "a Hilbert curve", "ZOrder": "a Z curve"}


class ClusterPlanning(Planning):
    step = "Cluster"
    in_ranges = True
    copies = SORTED
    key_bytes = KEY_BYTES

    def __init__(self, job: Job, operation: Cluster) -> None:
        super().__init__(job)
        self._asked = operation
        self._by = operation.by
        self._ranges: list[int] = []

    def range_keys(self) -> list[SortKey]:
        return [SortKey(name) for name in self._by]

    def bounded(self, index: int) -> Sequence[str]:  # noqa: ARG002
        return self._by

    def keys(self) -> list[Key]:
        return [Key(0, name, f"operation.cluster.by[{at}]") for at, name in enumerate(self._by)]

    def check(self, inputs: Sequence[Columns]) -> None:
        if len(self._by) < 2:
            raise InvalidSpec("operation.cluster.by: needs two columns or more; for one, sort by it")
        refuse_twice(self._by, "operation.cluster.by")
        super().check(inputs)
        if self.job.output.sort_within:
            raise InvalidSpec("output.sortWithin: a cluster already orders the rows in each file; leave it out")

    def boundaries(self, one: PlannedInput, layout: Layout, working: int) -> bytes | None:
        schema = pa.schema([one.sent.field(name) for name in self._by])
        found = take_sample(one, schema, rows_wanted(layout, one), working, alike=self._by)
        self.cuts = [_cuts(found.rows.select([name]), 1 << bits_of(len(self._by))) for name in self._by]
        grid = Grid(self._asked, self.cuts)
        self._ranges = grid.ranges
        return _between(_places(grid, found), found.positions, layout.cells)

    def steps(self, inputs: Sequence[Size], partitions: int) -> list[str]:  # noqa: ARG002
        columns = (f"{name} in {counted(count, 'range')}" for name, count in zip(self._by, self._ranges, strict=True))
        return [
            f"by a sample, {', '.join(columns)}",
            f"each row travels with {KEY_BYTES} bytes that say where on the curve it is",
        ]

    def carried(self, inputs: Sequence[pa.Schema]) -> Sequence[Mapping[str, str]]:
        return [{name: name for name in inputs[0].names}]

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("cluster", self._by, partitions)

    def describe(self) -> str:
        return f"cluster by {', '.join(self._by)}, along {_CURVES[self._asked.curve]}"


def _cuts(column: pa.Table, most: int) -> bytes:
    """The values where the ranges of a column begin, but for the first: `most` ranges of as many rows each, fewer where
    there are fewer values."""
    ordered = taken(column, sort_indices(column, [SortKey(name) for name in column.column_names]))
    cuts = np.zeros(0, np.int64)
    if ordered.num_rows:
        cuts = np.unique(distinct_cuts(equal_to_previous(ordered), most))
    chosen = taken(ordered, cuts[cuts > 0])
    return encoded(chosen, np.zeros(chosen.num_rows, np.int64), separate=False)


def _places(grid: Grid, found: Sample) -> U64:
    batches = found.rows.combine_chunks().to_batches()
    return grid.places(batches[0]) if batches else np.zeros(0, np.uint64)


def _between(places: U64, positions: I64, cells: int) -> bytes:
    """The boundaries between cells of as many rows each: places, and positions where several rows have one."""
    if not len(places):  # no rows: any boundaries will do
        nothing = pa.table([nulls(cells - 1, pa.uint64())], names=["place"])
        return encoded(nothing, np.zeros(cells - 1, np.int64), separate=True)
    order = np.lexsort((positions, places))
    chosen = order[np.arange(1, cells, dtype=np.int64) * len(order) // cells]
    found = places[chosen]
    column = pa.Array.from_buffers(pa.uint64(), len(found), [None, buffer_of(found)])
    return encoded(pa.table([column], names=["place"]), positions[chosen], separate=True)
