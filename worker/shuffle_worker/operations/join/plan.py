"""How a join is planned: what is read of each side, what is refused, how the sides come together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import pyarrow as pa

from shuffle_protocol.jobs import TARGET_BYTES, Job, Join
from shuffle_protocol.memory import Budgets
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.inputs.keys import Key, check_sort_within, refuse_twice
from shuffle_worker.inputs.planned import Columns, PlannedInput, Size, input_name
from shuffle_worker.operations.join.aligned import Aligned, aligned
from shuffle_worker.operations.join.columns import (
    SEMI,
    as_left,
    check_keys,
    field_of_keys,
    key_names,
    keys_of,
    output_columns,
    pairings,
    told_match,
    told_type,
)
from shuffle_worker.operations.join.condition import check_condition, names_of, needed_of
from shuffle_worker.operations.join.near import near, told_near
from shuffle_worker.operations.join.partners import NOTHING, partners
from shuffle_worker.operations.join.passing import passing_share
from shuffle_worker.operations.join.shape import JoinShape
from shuffle_worker.operations.join.strategy import (
    Broadcast,
    SkewedKeys,
    broadcast,
    check_room,
    sample_of,
    skewed_keys,
    told,
)
from shuffle_worker.operations.join.units import check_holds
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.partitioning.nearest import NEAREST_ROW
from shuffle_worker.plan.record import Plan, SkewedKey
from shuffle_worker.steps.planning import Planning


class JoinPlanning(Planning):
    inputs = 2
    step = "Join"
    keeps_rows = False
    in_ranges = True

    def __init__(self, job: Job, operation: Join) -> None:
        super().__init__(job)
        self._asked = operation
        self._join = as_left(operation)
        self._strategy = Broadcast(None, "")
        self._alike = ""
        self._skewed = SkewedKeys([], [])
        self._partners = NOTHING
        self._budgets: Budgets | None = None
        self._as_of = operation.as_of
        self._pairs = 0.0
        """Of a cross join, for each row of the larger side."""
        self._passing = 1.0
        """The share of all pairs that pass the condition, of a cross join."""

    def bounded(self, index: int) -> Sequence[str]:
        """The keys that become one column with the other side's, whose type must hold both."""
        join = self._join
        names = join.left_on if index == join.left else join.right_on
        return names if join.how == "Full" else []

    def settle(self, inputs: Sequence[PlannedInput], budgets: Budgets, scratch: Path | None) -> None:  # noqa: ARG002
        self._budgets = budgets
        self._check_merged(inputs)
        output = self.job.output
        alike = Aligned(0, "")
        any_size = output.partitions or output.target_bytes == TARGET_BYTES
        if any_size and self._join.left_on and not self._cast([one.schema for one in inputs]):
            alike = aligned(inputs, key_names(self._join), output.partitions)
        self.aligned, self._alike = alike
        self._strategy = Broadcast(None, "") if self.aligned else broadcast(self._join, inputs)
        self.broadcast = () if self._strategy.input is None else (self._strategy.input,)
        self.in_ranges = not (self.broadcast or self.aligned)
        if self._join.how == "Cross":
            self._settle_cross(inputs, budgets)

    def _settle_cross(self, inputs: Sequence[PlannedInput], budgets: Budgets) -> None:
        check_room([inputs[number] for number in self.broadcast], budgets, f"{self._asked.field}.type: Cross")
        shape = JoinShape(
            self._asked,
            *self._sides([one.schema for one in inputs]),
            names_of(self._asked, self.job.inputs),
        )
        self._pairs = sum(inputs[number].size.rows for number in self.broadcast)
        self._passing = passing_share(shape, *(inputs[at] for at in (self._join.left, self._join.right)))

    def _sides(self, inputs: Sequence[pa.Schema]) -> tuple[pa.Schema, pa.Schema]:
        return inputs[self._join.left], inputs[self._join.right]

    def _check_merged(self, inputs: Sequence[PlannedInput]) -> None:
        join = self._join
        for column in output_columns(join, inputs[join.left].schema, inputs[join.right].schema):
            if column.source == "either":
                where = f"{field_of_keys(join, 0)}[{join.left_on.index(column.left)}]"
                check_holds(column.field, column.left, inputs[join.left], where)
                check_holds(column.field, column.right, inputs[join.right], where)

    def _cast(self, inputs: Sequence[pa.Schema]) -> bool:
        """Whether a key is hashed as another type than its column's."""
        pairs = pairings(self._join, *self._sides(inputs))
        return any(pair.hashed != (None, None) for pair in pairs)

    def row_weight(self, one: PlannedInput) -> float:
        """Of a cross join a byte for each pair that is judged, so that workers share these."""
        return max(super().row_weight(one), 0.0 if one.number in self.broadcast else self._pairs)

    def skewed(self, inputs: Sequence[PlannedInput], partitions: int) -> list[SkewedKey]:
        if not (self.broadcast or self.aligned):
            sides = keys_of(self._join, *self._sides([one.schema for one in inputs]))
            of_inputs = sides if self._join.left == 0 else sides[::-1]
            sampled = cache(lambda number: sample_of(inputs[number], of_inputs[number].names))

            def sample(one: PlannedInput) -> pa.RecordBatch | None:
                return sampled(one.number)

            self._skewed = skewed_keys(self._join, inputs, of_inputs, partitions, sample)
            assert self._budgets is not None, "the join is settled before this is asked"
            self._partners = partners(self._join, inputs, of_inputs, self._budgets, sample)
            self.partners = self._partners.partners
        return self._skewed.spread

    def why(self, inputs: Sequence[PlannedInput]) -> list[str]:
        reasons = [reason for reason in (self._strategy.reason, self._alike, self._partners.reason) if reason]
        told_of = partial(told, join=self._join, how=self._asked.how, inputs=inputs)
        spread, kept = self._skewed
        return reasons + [told_of(one, spread_=True) for one in spread] + [told_of(one, spread_=False) for one in kept]

    def needed(self, index: int) -> Sequence[str] | None:
        """Of a side that only says which rows of the other are kept, the keys and what the condition names."""
        if self._join.how not in SEMI or index != self._join.right:
            return None
        of = needed_of(self._asked, self.job.inputs)[0 if index == self._asked.left else 1]
        return list(dict.fromkeys([*self._join.right_on, *of]))

    def keys(self) -> list[Key]:
        join = self._asked
        keys = [
            Key(number, name, f"{field_of_keys(join, side)}[{at}]")
            for side, (number, names) in enumerate(((join.left, join.left_on), (join.right, join.right_on)))
            for at, name in enumerate(names)
        ]
        if self._as_of is not None:
            keys.append(Key(join.left, self._as_of.left, f"{join.field}.asOf.left"))
            keys.append(Key(join.right, self._as_of.right, f"{join.field}.asOf.right"))
        return keys

    def together(self, index: int) -> Sequence[str]:
        join = self._asked
        return join.left_on if index == join.left else join.right_on

    def check(self, inputs: Sequence[Columns]) -> None:
        join = self._asked
        check_keys(join)
        super().check(inputs)
        refuse_twice(join.left_on, field_of_keys(join, 0))
        refuse_twice(join.right_on, field_of_keys(join, 1))
        pairings(join, inputs[join.left].kept, inputs[join.right].kept)
        check_condition(join, inputs[join.left], inputs[join.right], names_of(join, self.job.inputs))
        if self._as_of is not None:
            near(join, self._as_of, inputs[join.left].kept, inputs[join.right].kept)
        check_sort_within(self.job, self.output([one.kept for one in inputs]))

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:
        return schema_of([column.field for column in output_columns(self._join, *self._sides(inputs))], None)

    def carried(self, inputs: Sequence[pa.Schema]) -> Sequence[Mapping[str, str]]:
        """But for what the condition names."""
        looked_at = needed_of(self._asked, self.job.inputs)
        named = {self._asked.left: looked_at[0], self._asked.right: looked_at[1]}
        sides = {"left": self._join.left, "right": self._join.right}
        found: list[dict[str, str]] = [{}, {}]
        for column in output_columns(self._join, *self._sides(inputs)):
            if column.source != "either":
                name, at = column.left or column.right, sides[column.source]
                if name not in named[at]:
                    found[at][name] = column.field.name
        return found

    def described_by(self, inputs: Sequence[pa.Schema]) -> Sequence[pa.Schema]:
        left, right = self._sides(inputs)
        return [left] if self._join.how in SEMI else [left, right]

    def size(self, inputs: Sequence[Size]) -> Size:
        """As if the keys of one side were unique and found in the other: as many rows as the larger side has."""
        left, right = inputs[self._join.left], inputs[self._join.right]
        if self._join.how in SEMI:
            return left
        rows = left.rows if self._as_of is not None else max(left.rows, right.rows)
        if self._join.how == "Cross":
            rows = left.rows * right.rows * self._passing
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
        if plan.broadcast or plan.skewed or self._cast([one.arrow_schema() for one in plan.inputs]):
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
        join = self._asked
        names = [input_name(one.name, at) for at, one in enumerate(self.job.inputs)]
        kind, match = told_type(join), told_match(join)
        if self._as_of is not None:
            kind, match = "as-of", f"{match}, {told_near(self._as_of)}"
        return f"{kind} join of {names[join.left]} with {names[join.right]}{match}"
