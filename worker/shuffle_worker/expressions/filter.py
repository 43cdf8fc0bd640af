"""A filter: an SQL boolean expression, compiled once against a schema, applied to every batch.

    compile_filter(text, schema) -> Filter     InvalidSpec with the place in the text where it is wrong
    columns_of(text) -> names                  without a schema: what has to be read for it

Parsing is `sql.py` (which loads the parser, and only here), typing `sql_types.py` and `coercion.py`, evaluation
`expression.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.expressions.typed.expression import Expression
from shuffle_worker.expressions.typed.statistics import ColumnRange, constant_range
from shuffle_worker.expressions.value import failed, truths

if TYPE_CHECKING:
    from shuffle_worker.expressions.sql import Field


class Filter:
    """A compiled filter. Safe for several threads."""

    def __init__(
        self, text: str, expression: Expression, columns: list[str], schema: pa.Schema, name: str, made: Collection[str]
    ) -> None:
        self.text = text
        self._name = name
        self._made = made
        self.columns = columns
        self._expression = expression
        self._schema = schema

    def mask(self, batch: pa.RecordBatch, path: str) -> pa.BooleanArray:
        """Which rows pass: true, or not (false and null are the same here). path: of their file, for errors."""
        try:
            found = truths(self._expression.values(batch), batch.num_rows)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise failed(path, self._name, self.text, error) from error
        assert isinstance(found, pa.BooleanArray)
        return found

    def may_match(self, ranges: Mapping[str, ColumnRange], hive: Mapping[str, str | None], file: pa.Schema) -> bool:
        """Whether some row of a row group may pass, by its statistics; file: the columns that its file has. Of a
        computed column nothing is known but what `ranges` say."""
        known = dict(ranges)
        for name in self.columns:
            if file.get_field_index(name) >= 0 or name in self._made:
                continue
            known[name] = constant_range(hive.get(name), self._schema.field(name).type)
        return self._expression.outcomes(known).true


def compile_filter(text: str, schema: pa.Schema, index: int | None = 0, made: Collection[str] = ()) -> Filter:
    """schema: of the columns as they are declared; batches are of its transport schema. index: of the input,
    None for the result. made: those of its columns that are computed. Raises InvalidSpec."""
    from shuffle_worker.expressions.sql import parse
    from shuffle_worker.expressions.sql_types import Typer

    field = _field(index)
    tree = parse(text, field)
    typer = Typer(text, schema, field)
    expression = typer.typed(tree)
    if not pa.types.is_boolean(expression.type) and not pa.types.is_null(expression.type):
        raise InvalidSpec(
            f"{field.name}: {text}: is {expression.type}, not a condition; compare it with something, as in x > 0"
        )
    return Filter(text, expression, typer.columns, transport_schema(schema), field.name, made)


def columns_of(text: str, index: int | None = 0) -> list[str]:
    """The columns that a filter names, each once, in its order. Raises InvalidSpec where it does not parse."""
    from shuffle_worker.expressions.sql import column_names, parse

    return column_names(parse(text, _field(index)))


def _field(index: int | None) -> Field:
    from shuffle_worker.expressions.sql import Field

    return Field(f"inputs[{index}].filter") if index is not None else Field("output.filter", whose="the result")
