"""distinct: of all rows that agree in some columns, the first or the last one, whole.

What is aggregated of a key is the row that would be kept so far; reduced rows are rows like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from shuffle_protocol.jobs import Distinct
from shuffle_worker.aggregation.sizes import rows_bytes
from shuffle_worker.columns.arrays import concat, take
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.codes import dense, first_rows, last_rows
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.accumulators import Form
from shuffle_worker.steps.files import PartitionFiles
from shuffle_worker.steps.final_aggregation import FinalAggregation
from shuffle_worker.steps.operation import Given, Splitter
from shuffle_worker.steps.partial_aggregation import AggregationSender, PartialAggregation
from shuffle_worker.steps.sorting import sorter_within
from shuffle_worker.store.store import ShardSource


class DistinctOperation:
    """`Operation` for `distinct`."""

    def __init__(self, given: Given, operation: Distinct) -> None:
        plan, files, scratch = given.plan, given.files, given.scratch
        self._plan = plan
        self._batch_bytes = given.batch_bytes
        schema = transport_schema(plan.arrow_schema())
        by = operation.by or schema.names
        keys = [schema.get_field_index(name) for name in by]
        last = operation.keep == "Last"
        self._form = Form(
            raw=schema,
            reduced=schema,
            raw_keys=keys,
            reduced_keys=keys,
            make=lambda: RowAccumulator(schema, by, last),
            advice="give the workers more memory",
        )
        self._aggregate = FinalAggregation(
            plan, PartitionFiles(plan, files), self._form, by, sorter_within(plan, scratch)
        )

    def splitter(self, wanted: frozenset[int] | None, index: int = 0) -> Splitter:
        row_bytes = self._plan.inputs[index].row_bytes
        sender = AggregationSender(self._form, self._plan.layout, wanted, row_bytes, self._batch_bytes)
        return PartialAggregation(self._form, _as_they_are, sender, row_bytes)

    def write(self, group: int, source: ShardSource, memory: int) -> Iterator[FileResult]:
        return self._aggregate.write(group, source, memory)


class RowAccumulator:
    """An `Accumulator`. last: whether the last row of a key is kept, or else the first."""

    def __init__(self, schema: pa.Schema, by: list[str], last: bool) -> None:
        self._by = by
        self._last = last
        self._rows = pa.RecordBatch.from_pylist([], schema=schema)

    def add(self, rows: pa.RecordBatch) -> None:
        both = concat([self._rows, rows]) if self._rows.num_rows else rows
        codes, count = dense([both.column(name) for name in self._by])
        chosen = last_rows(codes, count) if self._last else first_rows(codes, count)
        self._rows = take(both, chosen)

    merge = add

    def reduced(self) -> pa.RecordBatch:
        return self._rows

    def finished(self) -> pa.RecordBatch:
        return self._rows

    @property
    def keys(self) -> pa.RecordBatch:
        return self._rows.select(self._by)

    @property
    def nbytes(self) -> int:
        return rows_bytes(self._rows)


def _as_they_are(rows: Rows) -> pa.RecordBatch:
    return rows.batch
