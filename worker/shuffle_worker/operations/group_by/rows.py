"""groupBy with aggregations: one row for each key, with what the aggregations make of its rows.

What is aggregated of a key are the states of its aggregations (`aggregate/`); reduced, they travel as columns after the
key's. Additions are done one after the other in the order of the input, first within what one split aggregated and then
over all splits, so that sums of floats do not depend on workers, batches or memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import GroupBy
from shuffle_worker.aggregation.batches import array_of
from shuffle_worker.aggregation.functions import Aggregates
from shuffle_worker.aggregation.grouped import Grouped
from shuffle_worker.columns.arrays import U64, Bools, valid, values
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.accumulators import Form
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.final_aggregation import FinalAggregation
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.partial_aggregation import AggregationSender, PartialAggregation
from shuffle_worker.steps.sorting import sorter_within
from shuffle_worker.store.store import ShardSource

_POSITION = pa.field("position", pa.uint64(), nullable=False)
"""Travels with rows whose place in the input matters to a function: a sample. It is the last column, and known by its
place."""


class GroupByOperation:
    """`Operation` for `groupBy`."""

    def __init__(self, given: Given, operation: GroupBy) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._batch_bytes = given.batch_bytes
        self._drop_nulls = operation.nulls == "Drop"
        self._shape = GroupShape(operation, transport_schema(plan.inputs[0].arrow_schema()))
        self.form = self._shape.form(transport_schema(plan.arrow_schema()))
        self._aggregate = FinalAggregation(
            plan, PartitionFiles(plan, files), self.form, operation.by, sorter_within(plan, scratch)
        )

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        row_bytes = self._plan.inputs[index].row_bytes
        sender = AggregationSender(self.form, self._plan.layout, wanted, row_bytes, self._batch_bytes)
        return PartialAggregation(self.form, self._prepared, sender, row_bytes)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._aggregate.write(group, source, memory)

    def _prepared(self, rows: Rows) -> pa.RecordBatch:
        batch = rows.batch
        if self._shape.sampled:
            positions = rows.all_positions().view(np.uint64)
            columns = [*batch.columns, array_of(pa.uint64(), positions)]
            batch = pa.RecordBatch.from_arrays(columns, schema=self._shape.raw)
        if self._drop_nulls:
            kept = self._keyed(batch)
            if kept is not None:
                batch = batch.filter(array_of(pa.bool_(), kept))
        return batch

    def _keyed(self, batch: pa.RecordBatch) -> Bools | None:
        """The rows without a null key; None for all."""
        kept: Bools | None = None
        for at in self.form.raw_keys:
            present = valid(batch.column(at))
            if present is not None:
                kept = present if kept is None else kept & present
        return kept


class GroupShape:
    """Where rows have what. rows: the schema of the input's rows as they travel."""

    def __init__(self, operation: GroupBy, rows: pa.Schema) -> None:
        self.operation = operation
        self.sampled = any(one.function == "approxQuantile" for one in operation.aggregations)
        self.raw = rows.append(_POSITION) if self.sampled else rows
        self.keys = pa.schema([rows.field(name) for name in operation.by])
        named = dict.fromkeys(name for one in operation.aggregations for name in one.columns)
        self.columns = pa.schema([rows.field(name) for name in named])
        self.raw_keys = [rows.get_field_index(name) for name in self.keys.names]
        self.raw_columns = [rows.get_field_index(name) for name in self.columns.names]

    def form(self, out: pa.Schema) -> Form:
        types = Aggregates(self.operation.aggregations, self.columns).types
        states = [pa.field(f"{at}", kind) for at, kind in enumerate(types)]
        reduced = pa.schema([*self.keys, *states])
        return Form(
            raw=self.raw,
            reduced=reduced,
            raw_keys=self.raw_keys,
            reduced_keys=range(len(self.keys)),
            make=lambda: GroupAccumulator(self, reduced, out),
            advice="list, median, quantile and countDistinct keep every value of a group: use approxQuantile or "
            "approxCountDistinct, or give the workers more memory",
        )


class GroupAccumulator:
    """An `Accumulator`."""

    def __init__(self, shape: GroupShape, reduced: pa.Schema, out: pa.Schema) -> None:
        self._shape = shape
        self._reduced = reduced
        self._out = out
        self._grouped = Grouped(shape.keys, shape.columns, shape.operation.aggregations)

    def add(self, rows: pa.RecordBatch) -> None:
        shape = self._shape
        positions: U64 | None = None
        if shape.sampled:
            positions = values(rows.column(rows.num_columns - 1), np.uint64)
        keys = _columns(rows, shape.raw_keys, shape.keys)
        self._grouped.update(keys, [rows.column(at) for at in shape.raw_columns], positions)

    def merge(self, rows: pa.RecordBatch) -> None:
        count = len(self._shape.keys)
        keys = _columns(rows, range(count), self._shape.keys)
        self._grouped.merge(keys, [rows.column(at) for at in range(count, rows.num_columns)])

    def reduced(self) -> pa.RecordBatch:
        columns = [*self._grouped.keys.columns, *self._grouped.states()]
        return pa.RecordBatch.from_arrays(columns, schema=self._reduced)

    def finished(self) -> pa.RecordBatch:
        columns = [*self._grouped.keys.columns, *self._grouped.results()]
        return pa.RecordBatch.from_arrays(columns, schema=self._out)

    @property
    def keys(self) -> pa.RecordBatch:
        return self._grouped.keys

    @property
    def nbytes(self) -> int:
        return self._grouped.nbytes


def _columns(rows: pa.RecordBatch, at: Sequence[int], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([rows.column(one) for one in at], schema=schema)
