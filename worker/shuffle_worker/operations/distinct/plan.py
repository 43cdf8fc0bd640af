"""What a distinct decides while it is planned."""

from __future__ import annotations

from collections.abc import Sequence

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Distinct, Job
from shuffle_worker.inputs.keys import Key, check_key, check_sort_within, refuse_twice, told_order
from shuffle_worker.inputs.planned import Columns, Size
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.steps.planning import AGGREGATED, Planning


class DistinctPlanning(Planning):
    step = "Distinct"
    keeps_rows = False
    in_ranges = True
    shrinks = True
    map_bytes = AGGREGATED

    def __init__(self, job: Job, operation: Distinct) -> None:
        super().__init__(job)
        self._by = operation.by
        self._keep = operation.keep.lower()
        self._order_by = operation.order_by
        self._rows = operation.rows

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:
        return self._by or names

    def size(self, inputs: Sequence[Size]) -> Size:
        rows = inputs[0]
        kept = min(rows.groups * self._rows, rows.rows)
        return rows._replace(rows=kept, stored=rows.stored * kept / max(rows.rows, 1.0))

    def keys(self) -> list[Key]:
        by = [Key(0, name, f"operation.distinct.by[{at}]") for at, name in enumerate(self._by)]
        ordered = enumerate(self._order_by)
        return by + [Key(0, key.column, f"operation.distinct.orderBy[{at}].column") for at, key in ordered]

    def together(self, index: int) -> Sequence[str]:  # noqa: ARG002
        return self._by

    def check(self, inputs: Sequence[Columns]) -> None:
        super().check(inputs)
        refuse_twice(self._by, "operation.distinct.by")
        refuse_twice([key.column for key in self._order_by], "operation.distinct.orderBy")
        found, kept, what = inputs[0]
        for name in [] if self._by else kept.names:
            try:
                check_key(Key(0, name, "operation.distinct"), found, kept, what)
            except InvalidSpec as error:
                message = f"{error.message}, or name the columns to compare with `by`"
                raise InvalidSpec(message) from error
        check_sort_within(self.job, kept, found=found)

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("hash", self._by, partitions, HASH_NAME)

    def describe(self) -> str:
        of = ", ".join(self._by) if self._by else "all columns"
        kept = f"the {self._keep} row" if self._rows == 1 else f"the {self._keep} {self._rows:,} rows"
        order = f" by {told_order(self._order_by)}" if self._order_by else ""
        return f"distinct by {of}, {kept} of each{order}"
