"""A filter: an SQL boolean expression, compiled once against a schema, applied to every batch.

    compile_filter(text, schema) -> Filter     InvalidSpec with the place in the text where it is wrong
    columns_of(text) -> names                  without a schema: what has to be read for it

Parsing is `sql.py` (which loads the parser, and only here), typing `sql_types.py` and `coercion.py`, evaluation
`expression.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_worker.columns.arrow import repeated, scalar
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.expressions.typed.expression import Expression
from shuffle_worker.expressions.typed.statistics import ColumnRange, comparable
from shuffle_worker.storage.failures import said


class Filter:
    """A compiled filter. Safe for several threads."""

    def __init__(self, text: str, expression: Expression, columns: list[str], schema: pa.Schema, name: str) -> None:
        self.text = text
        self._name = name
        self.columns = columns
        self._expression = expression
        self._schema = schema

    def mask(self, batch: pa.RecordBatch, path: str) -> pa.BooleanArray:
        """Which rows pass: true, or not (false and null are the same here). path: of their file, for errors."""
        try:
            found = self._expression.values(batch)
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"{path}: {self._name}: {self.text}: cannot be worked out for every row: {said(error)}"
            ) from error
        if isinstance(found, pa.Scalar):
            found = repeated(scalar(found.as_py() is True, pa.bool_()), batch.num_rows)
        assert isinstance(found, pa.BooleanArray)
        return found

    def may_match(self, ranges: Mapping[str, ColumnRange], hive: Mapping[str, str | None], file: pa.Schema) -> bool:
        """Whether some row of a row group may pass, by its statistics; file: the columns that its file has."""
        known = dict(ranges)
        for name in self.columns:
            if file.get_field_index(name) >= 0:
                continue
            known[name] = self._constant_range(name, hive.get(name))
        return self._expression.outcomes(known).true

    def _constant_range(self, name: str, text: str | None) -> ColumnRange:
        """Of a column that is the same for the whole file: what its folder says, or null."""
        if text is None:
            return ColumnRange(None, None, 1, 1)
        try:
            value = comparable(scalar(text, self._schema.field(name).type))
        except (pa.ArrowException, ValueError):
            value = None  # said where the file is read
        return ColumnRange(value, value, 0, 1)


def compile_filter(text: str, schema: pa.Schema, index: int = 0) -> Filter:
    """schema: of the columns as they are declared; batches are of its transport schema. index: of the input. Raises
    InvalidSpec."""
    from shuffle_worker.expressions.sql import Field, parse
    from shuffle_worker.expressions.sql_types import Typer

    field = Field(f"inputs[{index}].filter")
    tree = parse(text, field)
    typer = Typer(text, schema, field)
    expression = typer.typed(tree)
    if not pa.types.is_boolean(expression.type) and not pa.types.is_null(expression.type):
        raise InvalidSpec(
            f"{field.name}: {text}: is {expression.type}, not a condition; compare it with something, as in x > 0"
        )
    return Filter(text, expression, typer.columns, transport_schema(schema), field.name)


def columns_of(text: str, index: int = 0) -> list[str]:
    """The columns that a filter names, each once, in its order. Raises InvalidSpec where it does not parse."""
    from shuffle_worker.expressions.sql import Field, column_names, parse

    return column_names(parse(text, Field(f"inputs[{index}].filter")))
