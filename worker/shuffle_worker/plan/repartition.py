"""What a repartition decides while it is planned."""

from __future__ import annotations

from collections.abc import Sequence

from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.plan import sizing
from shuffle_worker.plan.keys import Key, check_sort_within, refuse_twice
from shuffle_worker.plan.planned import Columns, Size
from shuffle_worker.plan.planning import Planning
from shuffle_worker.protocol.messages import Job, Repartition, SortKey
from shuffle_worker.writers.manifest import Partitioning


class RepartitionPlanning(Planning):
    def __init__(self, job: Job, operation: Repartition) -> None:
        super().__init__(job)
        self._by, self._range = operation.by, operation.range
        self._by_folder = bool(self._by) and set(self._by) <= set(job.output.partition_by)

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        return self._by if self._by_folder else ()

    def files(self, count: int, inputs: Sequence[Size], output: Size) -> int:  # noqa: ARG002
        keyed = inputs[0].keyed
        return sizing.folder_partitions(count, keyed.expected(inputs[0].rows)) if keyed is not None else count

    def range_keys(self) -> list[SortKey]:
        return [SortKey(name) for name in self._range]

    def keys(self) -> list[Key]:
        named = [Key(0, name, f"operation.repartition.by[{at}]") for at, name in enumerate(self._by)]
        return named + [Key(0, name, f"operation.repartition.range[{at}]") for at, name in enumerate(self._range)]

    def check(self, inputs: Sequence[Columns]) -> None:
        super().check(inputs)
        check_sort_within(self.job, inputs[0].kept, found=inputs[0].found)
        refuse_twice(self._by, "operation.repartition.by")
        refuse_twice(self._range, "operation.repartition.range")

    def partitioning(self, partitions: int) -> Partitioning:
        if self._by:
            return Partitioning("hash", self._by, partitions, HASH_NAME)
        if self._range:
            return Partitioning("range", self._range, partitions)
        return Partitioning("roundRobin", [], partitions)

    def describe(self) -> str:
        if self._by:
            return f"repartition by the hash of {', '.join(self._by)}"
        if self._range:
            return f"repartition by ranges of {', '.join(self._range)}"
        return "repartition round robin, into even sizes"
