"""How a join is planned: its keys, its output's columns, what is read of each side.

Keys of one name on both sides are one column of the output, as SQL's USING has it; keys of different names are both
there. Other columns that both sides have get the suffixes. Columns of a side that may be missing become nullable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import TARGET_BYTES, Job, Join
from shuffle_protocol.memory import Budgets
from shuffle_protocol.names import first_twice
from shuffle_worker.columns.arrow import Field, schema_of
from shuffle_worker.inputs.keys import Key, check_sort_within, refuse_twice
from shuffle_worker.inputs.planned import Columns, PlannedInput, Size
from shuffle_worker.operations.join.aligned import Aligned, aligned
from shuffle_worker.operations.join.near import near, told_near
from shuffle_worker.operations.join.strategy import Broadcast, SkewedKeys, broadcast, skewed_keys, told
from shuffle_worker.operations.join.units import check_holds
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.partitioning.join_keys import JoinKeys
from shuffle_worker.partitioning.nearest import NEAREST_ROW
from shuffle_worker.partitioning.pairing import Pairing, advice, pairing
from shuffle_worker.plan.record import Plan, SkewedKey
from shuffle_worker.steps.planning import Planning

SEMI = ("LeftSemi", "LeftAnti")
LEFT_KEPT = ("Left", "Full", "AsOf")
RIGHT_KEPT = ("Right", "Full")

From = Literal["left", "right", "either"]


class OutputColumn(NamedTuple):
    """A column of the result."""

    field: Field
    source: From
    """The side that it is from; `either`: a key, from the side that has the row."""
    left: str = ""
    right: str = ""
    """`left`, `right`: the names of the columns that it is made of."""


def key_names(join: Join) -> list[list[str]]:
    """The key columns by the job's inputs."""
    names = [join.left_on, join.right_on]
    return names if join.left == 0 else names[::-1]


def field_of_keys(join: Join, side: int) -> str:
    """How the job names the keys of the left (0) or the right side."""
    return "operation.join." + ("on" if join.left_on == join.right_on else ("leftOn", "rightOn")[side])


def pairings(join: Join, left: pa.Schema, right: pa.Schema) -> list[Pairing]:
    """How each pair of keys is compared. Raises InvalidSpec where a pair cannot be equal, saying both types."""
    found: list[Pairing] = []
    for at, (mine, theirs) in enumerate(zip(join.left_on, join.right_on, strict=True)):
        kinds = left.field(mine).type, right.field(theirs).type
        pair = pairing(*kinds)
        if pair is None:
            raise InvalidSpec(
                f"{field_of_keys(join, 0)}[{at}]: {mine!r} of the left input is {kinds[0]} and {theirs!r} of the right "
                f"one is {kinds[1]}: no value of the one equals one of the other; {advice(*kinds)}"
            )
        found.append(pair)
    return found


def output_columns(join: Join, left: pa.Schema, right: pa.Schema) -> list[OutputColumn]:
    """The columns of the result, in its order: the left side's, then the right one's. Raises InvalidSpec where two
    would have one name, or a key's types have none in common that holds both."""
    if join.how in SEMI:
        return [OutputColumn(field, "left", left=field.name) for field in left]
    pairs = pairings(join, left, right)
    both = {
        mine: at for at, (mine, theirs) in enumerate(zip(join.left_on, join.right_on, strict=True)) if mine == theirs
    }
    shared = {name for name in left.names if name in right.names and name not in both}
    columns: list[OutputColumn] = []
    for field in left:
        if field.name in both:
            columns.append(_key_column(join, both[field.name], pairs[both[field.name]], field, right.field(field.name)))
        else:
            name = field.name + (join.suffixes[0] if field.name in shared else "")
            nullable = field.nullable or join.how in RIGHT_KEPT
            columns.append(OutputColumn(field.with_name(name).with_nullable(nullable), "left", left=field.name))
    for field in right:
        if field.name not in both:
            name = field.name + (join.suffixes[1] if field.name in shared else "")
            nullable = field.nullable or join.how in LEFT_KEPT
            columns.append(OutputColumn(field.with_name(name).with_nullable(nullable), "right", right=field.name))
    twice = first_twice([column.field.name for column in columns])
    if twice is not None:
        raise InvalidSpec(
            f"operation.join.suffixes: {join.suffixes[0]!r} and {join.suffixes[1]!r} would give two columns of the "
            f"output the name {twice!r}; choose others, or leave a column out with inputs[].columns"
        )
    return columns


def _key_column(join: Join, at: int, pair: Pairing, left: Field, right: Field) -> OutputColumn:
    name = left.name
    if join.how == "Right":
        return OutputColumn(right, "right", right=name)
    if join.how != "Full":
        return OutputColumn(left, "left", left=name)
    kind = left.type if left.type == right.type else pair.common
    if kind is None:
        raise InvalidSpec(
            f"{field_of_keys(join, 0)}[{at}]: {name!r} is {left.type} in the left input and {right.type} in the right "
            "one, and no type holds the values of both exactly, which the one key column of a full join must; give "
            "them different names with leftOn and rightOn, or one type in an earlier step"
        )
    merged = left.with_type(kind).with_nullable(left.nullable or right.nullable)
    return OutputColumn(merged, "either", left=name, right=name)


def keys_of(join: Join, inputs: Sequence[pa.Schema]) -> tuple[JoinKeys, JoinKeys]:
    """The keys of the left and of the right side. inputs: the schemas of the job's inputs."""
    pairs = pairings(join, inputs[join.left], inputs[join.right])
    return JoinKeys(join.left_on, pairs, 0, join.nulls_equal), JoinKeys(join.right_on, pairs, 1, join.nulls_equal)


class JoinPlanning(Planning):
    inputs = 2
    step = "Join"
    keeps_rows = False
    in_ranges = True

    def __init__(self, job: Job, operation: Join) -> None:
        super().__init__(job)
        self._join = operation
        self._strategy = Broadcast(None, "")
        self._alike = ""
        self._skewed = SkewedKeys([], [])
        self._as_of = operation.as_of

    def bounded(self, index: int) -> Sequence[str]:
        """The keys that become one column with the other side's, whose type must hold both."""
        join = self._join
        names = join.left_on if index == join.left else join.right_on
        return names if join.how == "Full" else []

    def settle(self, inputs: Sequence[PlannedInput], budgets: Budgets, scratch: Path | None) -> None:  # noqa: ARG002
        self._check_merged(inputs)
        output = self.job.output
        alike = Aligned(0, "")
        any_size = output.partitions or output.target_bytes == TARGET_BYTES
        if any_size and not self._cast([one.schema for one in inputs]):
            alike = aligned(inputs, key_names(self._join), output.partitions)
        self.aligned, self._alike = alike
        self._strategy = Broadcast(None, "") if self.aligned else broadcast(self._join, inputs)
        self.broadcast = self._strategy.input
        self.in_ranges = self.broadcast is None and not self.aligned

    def _check_merged(self, inputs: Sequence[PlannedInput]) -> None:
        join = self._join
        for column in output_columns(join, inputs[join.left].schema, inputs[join.right].schema):
            if column.source == "either":
                where = f"{field_of_keys(join, 0)}[{join.left_on.index(column.left)}]"
                check_holds(column.field, column.left, inputs[join.left], where)
                check_holds(column.field, column.right, inputs[join.right], where)

    def _cast(self, inputs: Sequence[pa.Schema]) -> bool:
        """Whether a key is hashed as another type than its column's."""
        pairs = pairings(self._join, inputs[self._join.left], inputs[self._join.right])
        return any(pair.hashed != (None, None) for pair in pairs)

    def skewed(self, inputs: Sequence[PlannedInput], partitions: int) -> list[SkewedKey]:
        if self.broadcast is None and not self.aligned:
            sides = keys_of(self._join, [one.schema for one in inputs])
            of_inputs = sides if self._join.left == 0 else sides[::-1]
            self._skewed = skewed_keys(self._join, inputs, of_inputs, partitions)
        return self._skewed.spread

    def why(self, inputs: Sequence[PlannedInput]) -> list[str]:
        reasons = [reason for reason in (self._strategy.reason, self._alike) if reason]
        spread = [told(skewed, self._join, inputs, spread_=True) for skewed in self._skewed.spread]
        return reasons + spread + [told(skewed, self._join, inputs, spread_=False) for skewed in self._skewed.kept]

    def needed(self, index: int) -> Sequence[str] | None:
        """Of a right side that only says which left rows are kept, the keys."""
        return self._join.right_on if self._join.how in SEMI and index == self._join.right else None

    def keys(self) -> list[Key]:
        join = self._join
        keys = [
            Key(number, name, f"{field_of_keys(join, side)}[{at}]")
            for side, (number, names) in enumerate(((join.left, join.left_on), (join.right, join.right_on)))
            for at, name in enumerate(names)
        ]
        if self._as_of is not None:
            keys.append(Key(join.left, self._as_of.left, "operation.join.asOf.left"))
            keys.append(Key(join.right, self._as_of.right, "operation.join.asOf.right"))
        return keys

    def check(self, inputs: Sequence[Columns]) -> None:
        join = self._join
        if len(join.left_on) != len(join.right_on) or not join.left_on:
            raise InvalidSpec(
                f"operation.join: {len(join.left_on)} keys of the left input and {len(join.right_on)} of the right one "
                "are given; name as many of each, and at least one"
            )
        super().check(inputs)
        refuse_twice(join.left_on, field_of_keys(join, 0))
        refuse_twice(join.right_on, field_of_keys(join, 1))
        pairings(join, inputs[join.left].kept, inputs[join.right].kept)
        if self._as_of is not None:
            near(join, self._as_of, inputs[join.left].kept, inputs[join.right].kept)
        check_sort_within(self.job, self.output([one.kept for one in inputs]))

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:
        left, right = inputs[self._join.left], inputs[self._join.right]
        return schema_of([column.field for column in output_columns(self._join, left, right)], None)

    def described_by(self, inputs: Sequence[pa.Schema]) -> Sequence[pa.Schema]:
        left, right = inputs[self._join.left], inputs[self._join.right]
        return [left] if self._join.how in SEMI else [left, right]

    def size(self, inputs: Sequence[Size]) -> Size:
        """As if the keys of one side were unique and found in the other: as many rows as the larger side has."""
        left, right = inputs[self._join.left], inputs[self._join.right]
        if self._join.how in SEMI:
            return left
        rows = left.rows if self._as_of is not None else max(left.rows, right.rows)
        stored = sum(one.stored / max(one.rows, 1) for one in (left, right)) * rows
        few = [*left.few, *(name + self._join.suffixes[1] for name in right.few), *right.few]
        return Size(rows, left.row_bytes + right.row_bytes, stored, few)

    def weight(self, inputs: Sequence[Size]) -> float:
        """Of an as-of join: so that a bucket fits in half of the memory with what is worked out for its rows."""
        if self._as_of is None:
            return 1.0
        rows = sum(one.rows for one in inputs)
        moved = sum(one.rows * one.row_bytes for one in inputs)
        return max(1.0, (1 + NEAREST_ROW * rows / max(moved, 1.0)) / 2)

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("none", [], partitions)

    def partitioning_of(self, plan: Plan) -> Partitioning:
        """By the hash of the output's key columns, where every row has them and lies where they say."""
        join = self._join
        left, right = (plan.inputs[at].arrow_schema() for at in (join.left, join.right))
        if plan.broadcast is not None or plan.skewed or self._cast([one.arrow_schema() for one in plan.inputs]):
            return self.partitioning(plan.layout.partitions)
        columns = output_columns(join, left, right)
        mine = "right" if join.how == "Right" else "left"
        if join.how == "Full" and join.left_on != join.right_on:
            return self.partitioning(plan.layout.partitions)
        names = []
        for name in join.right_on if join.how == "Right" else join.left_on:
            of = [column.field.name for column in columns if name == getattr(column, mine)]
            names += of[:1]
        return Partitioning("hash", names, plan.layout.partitions, HASH_NAME)

    def describe(self) -> str:
        join = self._join
        names = [one.name or f"inputs[{at}]" for at, one in enumerate(self.job.inputs)]
        keys = ", ".join(
            mine if mine == theirs else f"{mine} = {theirs}"
            for mine, theirs in zip(join.left_on, join.right_on, strict=True)
        )
        kind = {"LeftSemi": "left semi", "LeftAnti": "left anti"}.get(join.how, join.how.lower())
        nulls = ", nulls equal" if join.nulls_equal else ""
        if self._as_of is not None:
            kind, nulls = "as-of", f"{nulls}, {told_near(self._as_of)}"
        return f"{kind} join of {names[join.left]} with {names[join.right]} on {keys}{nulls}"
