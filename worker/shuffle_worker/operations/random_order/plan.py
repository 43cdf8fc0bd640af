"""What a random order decides while it is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Job, RandomOrder
from shuffle_worker.inputs.planned import Columns, Size
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.steps.keyed import KEY_BYTES
from shuffle_worker.steps.planning import SORTED, Planning


class RandomOrderPlanning(Planning):
    step = "Random order"
    in_ranges = True
    copies = SORTED
    key_bytes = KEY_BYTES

    def __init__(self, job: Job, operation: RandomOrder) -> None:
        super().__init__(job)
        self._seed = operation.seed

    def check(self, inputs: Sequence[Columns]) -> None:
        super().check(inputs)
        if self.job.output.sort_within:
            raise InvalidSpec("output.sortWithin: a random order already orders the rows in each file; leave it out")

    def steps(self, inputs: Sequence[Size], partitions: int) -> list[str]:  # noqa: ARG002
        return [
            "a row's place follows from the seed and its position in the input, before the filter",
            f"each row travels with {KEY_BYTES} bytes that say where it goes",
        ]

    def carried(self, inputs: Sequence[pa.Schema]) -> Sequence[Mapping[str, str]]:
        return [{name: name for name in inputs[0].names}]

    def partitioning(self, partitions: int) -> Partitioning:
        return Partitioning("random", [], partitions)

    def describe(self) -> str:
        return f"every row to a random place of all files, by the seed {self._seed}"
