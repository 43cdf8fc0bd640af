"""groupBy and distinct while a job is planned: the columns that they need, what is refused, what comes out."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import GroupBy, Job
from shuffle_protocol.names import check_column
from shuffle_worker.aggregation.results import KEEP_VALUES, result_field
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.inputs.keys import Key, check_sort_within, refuse_twice
from shuffle_worker.inputs.planned import Columns, Size
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.steps.planning import AGGREGATED, Planning

_WHERE = "operation.groupBy"


class GroupByPlanning(Planning):
    step = "GroupBy"
    keeps_rows = False
    same_rows = False
    in_ranges = True
    shrinks = True
    map_bytes = AGGREGATED

    def __init__(self, job: Job, operation: GroupBy) -> None:
        super().__init__(job)
        self._by = operation.by
        self._aggregations = operation.aggregations

    def needed(self, index: int) -> Sequence[str]:  # noqa: ARG002
        used = [name for one in self._aggregations for name in one.columns]
        return list(dict.fromkeys([*self._by, *used]))

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        return self._by

    def keys(self) -> list[Key]:
        return [Key(0, name, f"{_WHERE}.by[{at}]") for at, name in enumerate(self._by)]

    def check(self, inputs: Sequence[Columns]) -> None:
        if not self._by:
            raise InvalidSpec(f"{_WHERE}.by: is empty; name the columns to group by")
        super().check(inputs)
        refuse_twice(self._by, f"{_WHERE}.by")
        found, kept, what = inputs[0]
        for at, one in enumerate(self._aggregations):
            for name, field in ((one.column, "column"), (one.other, "with")):
                if name is None:
                    continue
                where = f"{_WHERE}.aggregations[{at}].{field}"
                check_column(name, found.names, where, what)
                if kept.get_field_index(name) < 0:
                    raise InvalidSpec(f"{where}: {name!r} is not among inputs[0].columns; add it there")
        check_sort_within(self.job, self.output([kept]))

    def output(self, inputs: Sequence[pa.Schema]) -> pa.Schema:
        rows = inputs[0]
        fields = [rows.field(name) for name in self._by]
        taken = {name: f"{_WHERE}.by[{at}]" for at, name in enumerate(self._by)}
        for at, one in enumerate(self._aggregations):
            where = f"{_WHERE}.aggregations[{at}]"
            if one.name in taken:
                raise InvalidSpec(
                    f"{where}: its column would be called {one.name!r}, as that of {taken[one.name]} is; give it "
                    f"another name with `as`"
                )
            taken[one.name] = where
            fields.append(result_field(one, rows, where))
        return schema_of(fields, None)

    def size(self, inputs: Sequence[Size]) -> Size:
        rows = inputs[0]
        groups = rows.groups
        # a key takes what an input row takes, at most; a result a few words, but for lists, which have all rows
        row_bytes = rows.row_bytes + 8.0 * len(self._aggregations)
        lists = sum(one.function == "list" for one in self._aggregations)
        row_bytes += lists * rows.row_bytes * rows.rows / max(groups, 1.0)
        shrunk = rows.stored / max(rows.rows * rows.row_bytes, 1.0)
        return Size(groups, row_bytes, groups * row_bytes * min(shrunk, 1.0), [n for n in self._by if n in rows.few])

    def weight(self, inputs: Sequence[Size]) -> float:
        """Functions that keep every value of a group keep it with its group, and put it in order in the end."""
        keeping = sum(one.function in KEEP_VALUES for one in self._aggregations)
        return 1.0 + 32.0 * keeping / max(inputs[0].row_bytes, 1.0)

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("hash", self._by, partitions, HASH_NAME)

    def describe(self) -> str:
        what = ", ".join(one.name for one in self._aggregations)
        return f"group by {', '.join(self._by)}: {what}"
