"""How a star of joins is planned: a table of facts, and sides that every worker holds, joined one after the other in
one pass over the facts.

Each side is joined with what was joined before it, so its left keys, its condition and its suffixes see the columns of
all sides before it. Types, columns and sizes are worked out by going through the joins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.jobs import Input, Job, Join, StarJoin
from shuffle_protocol.memory import Budgets
from shuffle_protocol.names import check_column
from shuffle_protocol.units import readable
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.inputs.keys import Key, check_key, check_sort_within, refuse_twice
from shuffle_worker.inputs.planned import Columns, PlannedInput, Size, input_name
from shuffle_worker.operations.join.columns import (
    SEMI,
    check_keys,
    field_of_keys,
    output_columns,
    pairings,
    told_match,
    told_type,
)
from shuffle_worker.operations.join.condition import check_condition, names_of, needed_of
from shuffle_worker.operations.join.shape import JoinShape
from shuffle_worker.operations.join.strategy import check_room
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.plan.record import Plan
from shuffle_worker.steps.planning import Planning


class Joined(NamedTuple):
    """A join of a star, and what is joined before it."""

    join: Join
    left: pa.Schema


class Origin(NamedTuple):
    """Where a column of the result comes from."""

    input: int
    name: str


def joins_of(star: StarJoin, inputs: Sequence[pa.Schema]) -> Iterator[Joined]:
    """One join after the other, and at the end none with the result."""
    schema = inputs[star.sides[0].left]
    for join in star.sides:
        yield Joined(join, schema)
        schema = result_of(join, schema, inputs[join.right])


def result_of(join: Join, left: pa.Schema, right: pa.Schema) -> pa.Schema:
    return schema_of([column.field for column in output_columns(join, left, right)], None)


def shapes_of(plan: Plan) -> list[JoinShape]:
    """Of the joins of a plan."""
    star = plan.job.operation
    assert isinstance(star, StarJoin)
    schemas = [table.arrow_schema() for table in plan.inputs]
    return [
        JoinShape(join, left, schemas[join.right], names_of(join, plan.job.inputs))
        for join, left in joins_of(star, schemas)
    ]


class StarPlanning(Planning):
    step = "Join"
    keeps_rows = False

    def __init__(self, job: Job, operation: StarJoin) -> None:
        super().__init__(job)
        self._star = operation
        self._sides = operation.sides
        self._facts = operation.sides[0].left
        self.inputs = len(operation.sides) + 1
        self.broadcast = [join.right for join in operation.sides]

    def needed(self, index: int) -> Sequence[str] | None:
        """Of a side that only says which rows are kept, the keys and what the condition names."""
        join = next((join for join in self._sides if join.right == index and join.how in SEMI), None)
        if join is None:
            return None
        return list(dict.fromkeys([*join.right_on, *needed_of(join, self.job.inputs)[1]]))

    def check(self, inputs: Sequence[Columns]) -> None:
        left = inputs[self._facts].kept
        for join in self._sides:
            right = inputs[join.right]
            check_keys(join)
            self._check_keys(join, left, inputs)
            pairings(join, left, right.kept)
            check_condition(join, Columns(left, left), right, names_of(join, self.job.inputs))
            left = result_of(join, left, right.kept)
        check_sort_within(self.job, left)

    def _check_keys(self, join: Join, left: pa.Schema, inputs: Sequence[Columns]) -> None:
        """left: the columns that are joined so far."""
        facts = inputs[self._facts]
        for at, name in enumerate(join.left_on):
            where = f"{field_of_keys(join, 0)}[{at}]"
            if name in facts.found.names and name not in left.names:
                check_key(Key(self._facts, name, where), *facts)  # says that it is not selected
            check_column(name, left.names, where, "what is joined so far")
            check_key(Key(self._facts, name, where), left, left)
        for at, name in enumerate(join.right_on):
            check_key(Key(join.right, name, f"{field_of_keys(join, 1)}[{at}]"), *inputs[join.right])
        refuse_twice(join.left_on, field_of_keys(join, 0))
        refuse_twice(join.right_on, field_of_keys(join, 1))

    def settle(self, inputs: Sequence[PlannedInput], budgets: Budgets, scratch: Path | None) -> None:  # noqa: ARG002
        check_room([inputs[join.right] for join in self._sides], budgets, "operation.join.sides")

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:
        *_, last = joins_of(self._star, inputs)
        return result_of(last.join, last.left, inputs[last.join.right])

    def carried(self, inputs: Sequence[pa.Schema]) -> Sequence[Mapping[str, str]]:
        """But for keys, and for what conditions name."""
        origins = {name: Origin(self._facts, name) for name in inputs[self._facts].names}
        looked_at: set[Origin] = set()
        for join, left in joins_of(self._star, inputs):
            named = needed_of(join, self.job.inputs)
            looked_at |= {origins[name] for name in (*join.left_on, *named[0]) if name in origins}
            looked_at |= {Origin(join.right, name) for name in (*join.right_on, *named[1])}
            origins = {
                column.field.name: origins[column.left] if column.source == "left" else Origin(join.right, column.right)
                for column in output_columns(join, left, inputs[join.right])
            }
        found: list[dict[str, str]] = [{} for _ in inputs]
        for name, origin in origins.items():
            if origin not in looked_at:
                found[origin.input][origin.name] = name
        return found

    def described_by(self, inputs: Sequence[pa.Schema]) -> Sequence[pa.Schema]:
        return [inputs[self._facts], *(inputs[join.right] for join in self._sides if join.how not in SEMI)]

    def size(self, inputs: Sequence[Size]) -> Size:
        """As if every row of the facts had one partner on each side."""
        found = inputs[self._facts]
        for join in self._sides:
            side = inputs[join.right]
            if join.how in SEMI:
                continue
            rows = found.rows * side.rows if join.how == "Cross" else found.rows
            stored = sum(one.stored / max(one.rows, 1) for one in (found, side)) * rows
            few = [*found.few, *(name + join.suffixes[1] for name in side.few), *side.few]
            found = Size(rows, found.row_bytes + side.row_bytes, stored, few)
        return found

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("none", [], partitions)

    def describe(self) -> str:
        facts = _name(self.job.inputs, self._facts)
        return f"joins of {facts} with {'; '.join(told(join, self.job.inputs) for join in self._sides)}"

    def why(self, inputs: Sequence[PlannedInput]) -> list[str]:
        sizes = [
            f"{one.said} (about {readable(one.size.rows * one.size.row_bytes)})"
            for join, one in ((join, inputs[join.right]) for join in self._sides)
        ]
        return [
            f"broadcast: every worker reads {', '.join(sizes)} whole; {_name(self.job.inputs, self._facts)} stays put"
        ]


def told(join: Join, inputs: Sequence[Input]) -> str:
    """A join of a star in words."""
    return f"{_name(inputs, join.right)} ({told_type(join)}{told_match(join)})"


def _name(inputs: Sequence[Input], number: int) -> str:
    return input_name(inputs[number].name, number)
