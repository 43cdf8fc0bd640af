"""What a global sort decides while it is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Job, Sort, SortKey
from shuffle_worker.inputs.keys import Key, check_sort_within, refuse_twice, told_order
from shuffle_worker.inputs.planned import Columns
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.steps.planning import SORTED, Planning


class SortPlanning(Planning):
    step = "Sort"
    in_ranges = True
    copies = SORTED

    def __init__(self, job: Job, operation: Sort) -> None:
        super().__init__(job)
        self._by = operation.by

    def range_keys(self) -> list[SortKey]:
        return list(self._by)

    def keys(self) -> list[Key]:
        return [Key(0, key.column, f"operation.sort.by[{at}].column") for at, key in enumerate(self._by)]

    def check(self, inputs: Sequence[Columns]) -> None:
        if not self._by:
            raise InvalidSpec("operation.sort.by: is empty; name the columns to sort by")
        super().check(inputs)
        check_sort_within(self.job, inputs[0].kept, found=inputs[0].found)
        refuse_twice([key.column for key in self._by], "operation.sort.by")

    def carried(self, inputs: Sequence[pa.Schema]) -> Sequence[Mapping[str, str]]:
        return [{name: name for name in inputs[0].names}]

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("sort", [key.column for key in self._by], partitions)

    def describe(self) -> str:
        return f"global sort by {told_order(self._by)}"
