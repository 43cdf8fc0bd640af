"""What a job says of its result, after the operation: columns computed of it, rows left out, columns written.

Memory: where something is computed or left out, a copy of so many rows of a batch (`ROWS`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Output
from shuffle_protocol.names import check_column, first_twice
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.expressions.computed import compile_computed
from shuffle_worker.expressions.filter import Filter, compile_filter

COMPUTE = "output.compute"
ROWS = 16_384
"""Of a batch that are shaped at once."""


class ResultShape:
    """From the operation's result to what is written. output: of the job. result: the columns as they are declared.
    Raises InvalidSpec."""

    def __init__(self, output: Output, result: pa.Schema) -> None:
        self._path = output.path
        computed = compile_computed(output.compute, result, COMPUTE)
        whole = result if computed is None else computed.of(result)
        self._where: Filter | None = None
        if output.filter:
            made = computed.names if computed is not None else ()
            self._where = compile_filter(output.filter, whole, None, made)
        self.schema = _selected(whole, output.columns)
        """What is written, as it is declared."""
        also = [name for name in (self._where.columns if self._where else []) if name not in self.schema.names]
        needed = schema_of([*self.schema, *(whole.field(name) for name in also)], None)
        self._target = transport_schema(needed)
        self._written = transport_schema(self.schema)
        self._computed = computed if computed is not None and set(computed.names) & set(needed.names) else None

    def shaped(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """batch: of the result's transport schema. Raises DataError where a value cannot be computed."""
        if self._computed is not None:
            batch = self._computed.shape(batch, self._target, self._path)
        if self._where is not None:
            kept = self._where.mask(batch, self._path)
            if kept.true_count < batch.num_rows:
                batch = batch.filter(kept)
        columns = [batch.column(name) for name in self._written.names]
        return pa.RecordBatch.from_arrays(columns, schema=self._written)


class Counted:
    """Batches of a partition on their way through a `ResultShape`. rows: those that came; kept: those that are left."""

    def __init__(self, shape: ResultShape) -> None:
        self._shape = shape
        self.rows = 0
        self.kept = 0

    def through(self, batches: Iterable[pa.RecordBatch | None]) -> Iterator[pa.RecordBatch | None]:
        """None as in `PartitionFiles.write`."""
        for batch in batches:
            if batch is None:
                yield None
                continue
            self.rows += batch.num_rows
            for at in range(0, batch.num_rows, ROWS):
                shaped = self._shape.shaped(batch.slice(at, ROWS))
                self.kept += shaped.num_rows
                if shaped.num_rows:
                    yield shaped


def shape_of(output: Output, result: pa.Schema) -> ResultShape | None:
    """None where the result is written as it is. Raises InvalidSpec."""
    if not output.compute and not output.filter and output.columns is None:
        return None
    return ResultShape(output, result)


def _selected(schema: pa.Schema, columns: list[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    if not columns:
        raise InvalidSpec("output.columns: is empty; name the columns to write, or leave the field out to write all")
    twice = first_twice(columns)
    if twice is not None:
        raise InvalidSpec(f"output.columns: {twice!r} is named twice")
    for at, name in enumerate(columns):
        check_column(name, schema.names, f"output.columns[{at}]", "the result")
    return schema_of([schema.field(name) for name in columns], schema.metadata)
