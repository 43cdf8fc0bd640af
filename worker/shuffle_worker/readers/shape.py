"""Bringing one file's batches, or what a function made of them, to the plan's columns and types.

Worked out once per file, applied to every batch: which of the file's columns becomes which of the plan's, what its
folders say (hive columns), what is missing and therefore null, and what is computed of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import Array, Field, Scalar, nulls, repeated, scalar
from shuffle_worker.columns.schema import convert, meaning_schema, restore
from shuffle_worker.storage.failures import said

if TYPE_CHECKING:
    from shuffle_worker.expressions.computed import Computed


class Shaper:
    """From batches of `file_schema` to batches of `target` (a transport schema). A column that the file has wins over
    one that its folders spell out. absent: columns that are null whatever the file has."""

    def __init__(
        self,
        path: str,
        file_schema: pa.Schema,
        target: pa.Schema,
        hive: Mapping[str, str | None],
        computed: Computed | None = None,
        absent: Collection[str] = (),
    ) -> None:
        self.path = path
        self.target = target
        self._computed = computed
        self._read = target if computed is None else computed.read_schema(target)
        self.wanted = [
            name for name in self._read.names if file_schema.get_field_index(name) >= 0 and name not in absent
        ]
        self._constants: dict[str, Scalar] = {}
        for field in self._read:
            if field.name not in self.wanted and field.name in hive and field.name not in absent:
                self._constants[field.name] = self._constant(field, hive[field.name])

    def shape(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        read = self._brought(batch)
        return read if self._computed is None else self._computed.shape(read, self.target, self.path)

    def _brought(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What is read, in the plan's types."""
        names = batch.schema.names
        columns: list[Array] = []
        for field in self._read:
            if field.name in self._constants:
                columns.append(repeated(self._constants[field.name], batch.num_rows))
                continue
            at = names.index(field.name) if field.name in names else -1
            columns.append(nulls(batch.num_rows, field.type) if at < 0 else self._cast(batch.column(at), field))
        if not columns:
            return batch
        return pa.RecordBatch.from_arrays(columns, schema=self._read)

    def _cast(self, column: Array, field: Field) -> Array:
        if column.type == field.type:
            return column
        try:
            return convert(column, field.type)
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"{self.path}: column {field.name!r} is {column.type} here and {field.type} in the job, "
                f"and a value does not fit: {said(error)}"
            ) from error

    def _constant(self, field: Field, text: str | None) -> Scalar:
        try:
            return scalar(text, field.type)
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"{self.path}: its folder says {field.name}={text}, which is no {field.type} as in the other files"
            ) from error


class ResultShaper:
    """From what a function returned to what travels. result: its columns, as they are declared. sent: the transport
    schema of columns that the operation needs; a union's may be of other types, and more."""

    def __init__(self, function: str, result: pa.Schema, sent: pa.Schema) -> None:
        self._declared = meaning_schema(result)
        self._shaper = Shaper(f"what {function} returns", result, sent, {})

    def shape(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """batch: of the transport schema of the result. Raises DataError where a value does not fit."""
        return self._shaper.shape(restore(batch, self._declared))
