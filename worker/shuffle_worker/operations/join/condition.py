"""What a join has besides equal keys: the condition `where`, for each pair of rows with equal keys.

It says which rows match, as ON does in SQL: a row of which no candidate passes has no partner, and is kept or left out
as the type of the join says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Input, Join
from shuffle_worker.columns.arrays import I64, Bools, take
from shuffle_worker.expressions.pairs import SIDES, PairCondition, columns_of_sides, compile_pairs
from shuffle_worker.inputs.planned import Columns

MOST_CANDIDATES = 1 << 16
"""Pairs that are judged at once: what is worked out for them should still be in the cache."""

TEMPORARY = 32
"""Bytes a pair for row numbers and for what the parts of a condition give."""


def where_of(join: Join) -> str:
    return f"{join.field}.where"


def names_of(join: Join, inputs: Sequence[Input]) -> dict[str, int]:
    """The sides (0 the left one) by what a condition may call them; an input's own name goes before l and r."""
    found = {name: side for side, name in enumerate(SIDES)}
    found |= {inputs[number].name: side for side, number in enumerate((join.left, join.right)) if inputs[number].name}
    return found


def needed_of(join: Join, inputs: Sequence[Input]) -> tuple[list[str], list[str]]:
    """The columns that the condition may need of the left and of the right side."""
    return columns_of_sides(join.where, names_of(join, inputs), where_of(join)) if join.where else ([], [])


def condition_of(join: Join, left: pa.Schema, right: pa.Schema, names: Mapping[str, int]) -> PairCondition | None:
    """None where there is none. Raises InvalidSpec."""
    return compile_pairs(join.where, (left, right), names, where_of(join)) if join.where else None


def check_condition(join: Join, left: Columns, right: Columns, names: Mapping[str, int]) -> None:
    """Raises InvalidSpec where it is no condition of these inputs, or names columns that are not selected."""
    condition = condition_of(join, left.found, right.found, names)
    if condition is None:
        return
    for columns, side, number in zip(condition.columns, (left, right), (join.left, join.right), strict=True):
        for name in columns:
            if side.kept.get_field_index(name) < 0:
                raise InvalidSpec(
                    f"{where_of(join)}: {name!r} is used but not among inputs[{number}].columns; add it there"
                )


class Judge:
    """Judges pairs of rows of two batches. left, right: the sides as the join computes, which are the condition's own
    or, `mirrored`, the other way round."""

    def __init__(self, condition: PairCondition, left: pa.RecordBatch, right: pa.RecordBatch, mirrored: bool) -> None:
        names = condition.columns[::-1] if mirrored else condition.columns
        self._condition = condition
        self._mirrored = mirrored
        self._left, self._right = left.select(names[0]), right.select(names[1])

    def turned(self) -> Judge:
        """For pairs of a right and a left row."""
        return Judge(self._condition, self._right, self._left, not self._mirrored)

    def at_once(self, memory: int) -> int:
        """How many pairs, within so many bytes."""
        wide = [batch.nbytes / batch.num_rows for batch in (self._left, self._right) if batch.num_rows]
        return int(min(max(memory / (sum(wide) + TEMPORARY), 1), MOST_CANDIDATES))

    def holds(self, rows: I64, others: I64) -> Bools:
        """For each pair of a left and a right row whether the condition is true."""
        both = _taken(self._left, rows), _taken(self._right, others)
        left, right = both[::-1] if self._mirrored else both
        return self._condition.holds(left, right, len(rows))


def _taken(batch: pa.RecordBatch, rows: I64) -> pa.RecordBatch:
    return take(batch, rows) if batch.num_columns else batch
