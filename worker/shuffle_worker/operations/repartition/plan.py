"""What a repartition decides while it is planned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from shuffle_protocol.jobs import TARGET_BYTES, Job, Repartition, SortKey
from shuffle_protocol.units import counted
from shuffle_worker.inputs.keys import Key, check_sort_within, refuse_twice
from shuffle_worker.inputs.planned import Columns, Size
from shuffle_worker.output.folders import check_folders
from shuffle_worker.output.manifest import Partitioning
from shuffle_worker.partitioning.hash import NAME as HASH_NAME
from shuffle_worker.plan import sizing
from shuffle_worker.steps.planning import SORTED, Planning


class RepartitionPlanning(Planning):
    def __init__(self, job: Job, operation: Repartition) -> None:
        super().__init__(job)
        self._by, self._range = operation.by, operation.range
        self._folders = [name for name in job.output.partition_by if name not in job.output.compute]
        self.copies = SORTED if job.output.sort_within else 1
        self._by_folder = bool(self._by) and set(self._by) <= set(self._folders)

    def grouped_by(self, names: Sequence[str]) -> Sequence[str]:
        if self._by_folder:
            return self._by
        return self._folders if set(self._folders) <= set(names) else ()

    def files(self, count: int, inputs: Sequence[Size], output: Size) -> int:  # noqa: ARG002
        return self._shared_out(count, inputs[0]) if self._by_folder else count

    def steps(self, inputs: Sequence[Size], partitions: int) -> list[str]:
        """Advice where folders keep fewer workers busy than there are: what would have all of them write."""
        output, rows = self.job.output, inputs[0]
        if not self._folders or self._by_folder or output.partitions:
            return []
        if not self._by and not self._range and output.target_bytes == TARGET_BYTES:
            names = json.dumps(self._folders, ensure_ascii=False)
            cure = f"operation: {{repartition: {{by: {names}}}}}"
            wanted, files = self._shared_out(partitions, rows), "one file in each folder"
        else:
            wanted, files = int(rows.stored / sizing.LEAST_FILE_BYTES), "several files in a folder"
            cure = f"output: {{partitions: {min(wanted, self.job.workers)}}}"
        wanted = min(wanted, self.job.workers)
        if wanted <= partitions:
            return []
        busy = f"only {counted(partitions, 'worker')} of {self.job.workers:,} can write"
        return [f"{busy}; {wanted:,} can, with {files}, where the job has `{cure}`"]

    def _shared_out(self, count: int, rows: Size) -> int:
        """The files where each folder's rows come to one of them."""
        return sizing.folder_partitions(count, rows.keyed.expected(rows.rows)) if rows.keyed is not None else count

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
        check_folders(self._folders, inputs[0].kept)

    def carried(self, inputs: Sequence[pa.Schema]) -> Sequence[Mapping[str, str]]:
        return [{name: name for name in inputs[0].names}]

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
