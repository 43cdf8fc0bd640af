"""distinct: of all rows that agree in some columns, the first or the last few, whole.

First and last are meant by the order that the job asks for, and among rows that are equal in it by their positions.
What is aggregated of a key are the rows that would be kept so far; reduced rows are rows like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import Distinct
from shuffle_worker.aggregation.sizes import rows_bytes
from shuffle_worker.columns.arrays import concat, take
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.codes import dense
from shuffle_worker.partitioning.top_rows import TopRows
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.accumulators import Form
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.final_aggregation import FinalAggregation
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.partial_aggregation import AggregationSender, PartialAggregation
from shuffle_worker.steps.sorting import sorter_within
from shuffle_worker.store.store import ShardSource

SORTED_ROWS = 1 << 16
"""Rows that are ordered at once with those that are kept so far, or as many as these are where they are more."""


class DistinctOperation:
    """`Operation` for `distinct`."""

    def __init__(self, given: Given, operation: Distinct) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._batch_bytes = given.batch_bytes
        schema = transport_schema(plan.arrow_schema())
        by = operation.by or schema.names
        keys = [schema.get_field_index(name) for name in by]
        kept = TopRows(operation.order_by, operation.rows, operation.keep == "Last")
        self.form = Form(
            raw=schema,
            reduced=schema,
            raw_keys=keys,
            reduced_keys=keys,
            make=lambda: RowAccumulator(schema, by, kept),
            advice="keep fewer rows, or give the workers more memory",
        )
        self._aggregate = FinalAggregation(
            plan, PartitionFiles(plan, files), self.form, by, sorter_within(plan, scratch)
        )

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        row_bytes = self._plan.inputs[index].row_bytes
        sender = AggregationSender(self.form, self._plan.layout, wanted, row_bytes, self._batch_bytes)
        return PartialAggregation(self.form, _as_they_are, sender, row_bytes)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._aggregate.write(group, source, memory)


class RowAccumulator:
    """An `Accumulator`. kept: which rows are kept of each key. They are held key by key, in the order in which keys
    came, and those of a key in the order asked for, ties by position: so that is the order of everything that comes in
    later, too."""

    def __init__(self, schema: pa.Schema, by: list[str], kept: TopRows) -> None:
        self._by = by
        self._kept = kept
        self._rows = pa.RecordBatch.from_pylist([], schema=schema)
        self._firsts = np.empty(0, np.int64)

    def add(self, rows: pa.RecordBatch) -> None:
        at = 0
        while at < rows.num_rows:
            most = max(self._rows.num_rows, SORTED_ROWS) if self._kept.row_bytes else rows.num_rows
            self._add(rows.slice(at, most))
            at += most

    def _add(self, rows: pa.RecordBatch) -> None:
        both = concat([self._rows, rows]) if self._rows.num_rows else rows
        codes, count = dense([both.column(name) for name in self._by])
        chosen, self._firsts = self._kept.of(both, codes, count)
        self._rows = take(both, chosen)

    merge = add

    def reduced(self) -> pa.RecordBatch:
        return self._rows

    def finished(self) -> pa.RecordBatch:
        return self._rows

    @property
    def keys(self) -> pa.RecordBatch:
        keys = self._rows.select(self._by)
        return keys if len(self._firsts) == keys.num_rows else take(keys, self._firsts)

    @property
    def nbytes(self) -> int:
        return rows_bytes(self._rows) + self._kept.row_bytes * self._rows.num_rows


def _as_they_are(rows: Rows) -> pa.RecordBatch:
    return rows.batch
