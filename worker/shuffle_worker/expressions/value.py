"""One expression of any type, compiled: what a computed column is, row by row."""

from __future__ import annotations

import re
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_worker.columns.arrow import Array, Scalar, call, repeated, scalar
from shuffle_worker.expressions.typed.expression import Expression
from shuffle_worker.storage.failures import said


def failed(path: str, field: str, text: str, error: Exception) -> DataError:
    """The error for a row that an expression has no result for."""
    what = " ".join(text.split())
    cure = "; write TRY_CAST to have null in its place" if _CASTS.search(text) else ""
    cure = cure or ("; write try_strptime to have null in its place" if "strptime" in text.lower() else "")
    return DataError(f"{path}: {field}: {what}: cannot be worked out for every row: {said(error)}{cure}")


def truths(found: Array | Scalar, rows: int) -> Array:
    """What a condition gives, as booleans for each row: also where it is one value for all, or null whatever the row is
    and so of no type. Null is the same as false."""
    if isinstance(found, pa.Scalar) or pa.types.is_null(found.type):
        true = isinstance(found, pa.Scalar) and found.as_py() is True
        return repeated(scalar(true, pa.bool_()), rows)
    return found


_CASTS = re.compile(r"(?<!TRY_)\bCAST\b|::", re.IGNORECASE)


class Value(NamedTuple):
    """A compiled expression. Safe for several threads."""

    field: str
    """The job's, for errors."""
    text: str
    expression: Expression
    columns: list[str]
    """Those that it reads."""

    @property
    def type(self) -> pa.DataType:
        return self.expression.type

    def of(self, batch: pa.RecordBatch, path: str) -> Array:
        """path: of the file that the rows are of. Raises DataError where a value has no result."""
        try:
            found = self.expression.values(batch)
            if found.type != self.type:
                found = call("cast", found, self.type)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise failed(path, self.field, self.text, error) from error
        return repeated(found, batch.num_rows) if isinstance(found, pa.Scalar) else found


def compile_value(text: str, schema: pa.Schema, field: str, whose: str = "the input") -> Value:
    """schema: of the columns as they are declared; batches are of its transport schema. whose they are, for errors.
    Raises InvalidSpec."""
    from shuffle_worker.expressions.sql import Field, parse
    from shuffle_worker.expressions.sql_types import Typer

    of = Field(field, "value", "lower(email)", whose)
    typer = Typer(text, schema, of)
    expression = typer.typed(parse(text, of))
    if pa.types.is_null(expression.type):
        raise InvalidSpec(f"{field}: {text}: is null whatever the row is; say of what type, as in CAST(NULL AS TEXT)")
    if pa.types.is_interval(expression.type):
        raise InvalidSpec(f"{field}: {text}: is an interval, which no column holds; add it to a date or a timestamp")
    return Value(field, text, expression, typer.columns)
