"""A condition on pairs of rows, one of each of two tables: what `operation.join.where` is compiled to.

Columns are named with their side, `l.start <= r.ts`, or with the name of its input, `visits.start <= clicks.ts`. A name
without a side is a column that only one of the two has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.columns.arrow import Bools, bools, call, scalar
from shuffle_worker.expressions.typed.expression import Expression
from shuffle_worker.expressions.value import failed, truths

if TYPE_CHECKING:
    from sqlglot import exp

    from shuffle_worker.expressions.sql import Field

SIDES = ("l", "r")
"""What the left and the right table are always called."""

EXAMPLE = "l.start <= r.ts"


class PairCondition:
    """A compiled condition. Safe for several threads. columns: that it reads of the left and of the right
    table."""

    def __init__(self, text: str, expression: Expression, columns: tuple[list[str], list[str]], where: str) -> None:
        self.columns = columns
        self._text = text
        self._expression = expression
        self._where = where
        self._names = [f"{side}.{name}" for side, names in zip(SIDES, columns, strict=True) for name in names]

    def holds(self, left: pa.RecordBatch, right: pa.RecordBatch, count: int) -> Bools:
        """For each of `count` rows of the two, side by side, whether it is true: false and null are the same here.
        left, right: of `columns`. Raises DataError where it has no value."""
        batch = pa.RecordBatch.from_arrays([*left.columns, *right.columns], names=self._names)
        try:
            found = truths(self._expression.values(batch), count)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise failed("pairs of rows", self._where, self._text, error) from error
        return bools(call("fill_null", found, scalar(False, pa.bool_())))


def columns_of_sides(text: str, names: Mapping[str, int], where: str) -> tuple[list[str], list[str]]:
    """The columns of the left and of the right table that a condition may need, without their schemas: a name without a
    side is of both. names: the sides by what they may be called. Raises InvalidSpec where it does not parse."""
    from sqlglot import exp

    from shuffle_worker.expressions.sql import parse, path_of

    found: tuple[dict[str, None], dict[str, None]] = ({}, {})
    for node in parse(text, _field(where)).find_all(exp.Column):
        path = [part.name for part in path_of(node)]
        if path[0] in names and len(path) > 1:
            found[names[path[0]]][path[1]] = None
        for side in found:
            side[path[0]] = None  # it may be a column with fields that is called as a side is
    return list(found[0]), list(found[1])


def compile_pairs(
    text: str, schemas: tuple[pa.Schema, pa.Schema], names: Mapping[str, int], where: str
) -> PairCondition:
    """schemas: of the left and of the right table, as they are declared; batches are of their transport schemas. names:
    as in `columns_of_sides`. Raises InvalidSpec with the place in the text where it is wrong."""
    from shuffle_worker.expressions.sql import parse
    from shuffle_worker.expressions.sql_types import Typer

    field = _field(where)
    tree = _with_sides(text, parse(text, field), schemas, names, field)
    both = [pa.field(f"{side}.{one.name}", one.type) for side, of in zip(SIDES, schemas, strict=True) for one in of]
    typer = Typer(text, pa.schema(both), field)
    expression = typer.typed(tree)
    if not pa.types.is_boolean(expression.type) and not pa.types.is_null(expression.type):
        raise InvalidSpec(
            f"{where}: {text}: is {expression.type}, not a condition; compare it with something, as in {EXAMPLE}"
        )
    used = frozenset(typer.columns)
    left, right = (
        [one for one in of.names if f"{side}.{one}" in used] for side, of in zip(SIDES, schemas, strict=True)
    )
    return PairCondition(text, expression, (left, right), where)


def _field(where: str) -> Field:
    from shuffle_worker.expressions.sql import Field

    return Field(where, "condition", EXAMPLE, "the join")


def _with_sides(
    text: str, tree: exp.Expression, schemas: Sequence[pa.Schema], names: Mapping[str, int], field: Field
) -> exp.Expression:
    """The tree with each column called as `l.ts`, in one name."""
    from sqlglot import exp

    from shuffle_worker.expressions.sql import path_of, position, wrong

    within = {f"{side}.{name}" for side, schema in zip(SIDES, schemas, strict=True) for name in schema.names}

    def with_side(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, exp.Column):
            return node
        path = path_of(node)
        first, begin = path[0].name, path[0].meta
        if first in names and len(path) > 1:
            side, path = names[first], path[1:]
        else:
            of = [at for at, schema in enumerate(schemas) if first in schema.names]
            if len(of) == 2:
                raise wrong(text, f"both inputs have a column {first!r}; {_told(names, first)}", position(node), field)
            if not of and len(path) > 1:
                told = _told(names, path[1].name)
                raise wrong(text, f"there is neither an input nor a column {first!r}; {told}", position(node), field)
            if not of and first in within:
                raise wrong(text, f'there is no column "{first}"; write {first} without quotes', position(node), field)
            if not of:
                return node  # the typer says what there is
            side = of[0]
        whole = exp.to_identifier(f"{SIDES[side]}.{path[0].name}", quoted=False)
        whole.meta.update(begin)
        parts = [whole, *(part.copy() for part in path[1:])]
        return exp.Column(**dict(zip(("this", "table", "db", "catalog"), reversed(parts), strict=False)))

    return tree.transform(with_side)


def _told(names: Mapping[str, int], column: str) -> str:
    """How to write a column."""
    inputs = [next((name for name, side in names.items() if side == at and name not in SIDES), "") for at in (0, 1)]
    who = " and ".join(f"{side} is {name}" for side, name in zip(SIDES, inputs, strict=True) if name)
    return f"write l.{column} or r.{column}{f' ({who})' if who else ''}"
