"""The job of a simulation: rows are numbers, a split is a run of them, a row's bucket is arithmetic.

So the right output is known beforehand. What survives every process is in `ObjectStore`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xxhash

from shuffle_protocol.errors import StorageUnavailable
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import PlanSummary, WrittenGroup
from shuffle_protocol.shards import Shard
from shuffle_worker.storage.storage import Range
from shuffle_worker.store.store import ShardSource
from shuffle_worker.transfer.work import Committed, Step, Written

ROW = np.dtype("<u4")


@dataclass(frozen=True)
class Shape:
    """The job: how many workers, splits, rows in a split, buckets in a group, groups; whether shards are kept; shared:
    they go by object storage; waves: parts of the job that exchange nothing with each other; per_pod: workers that
    start and end together, by which `workers` can be divided."""

    workers: int = 3
    splits: int = 8
    rows: int = 40
    groups: int = 6
    buckets_in_group: int = 1
    retain: bool = False
    shared: bool = False
    waves: int = 1
    per_pod: int = 1

    @property
    def split_wave(self) -> list[int]:
        return [split * self.waves // self.splits for split in range(self.splits)] if self.waves > 1 else []

    @property
    def group_wave(self) -> list[int]:
        """Groups of all waves take turns, as they do where every worker is to have some of each."""
        return [group % self.waves for group in range(self.groups)] if self.waves > 1 else []

    @property
    def buckets(self) -> int:
        return self.groups * self.buckets_in_group

    def bucket(self, row: int) -> int:
        return self._buckets_of_rows[row]

    @cached_property
    def _buckets_of_rows(self) -> list[int]:
        """Worked out once: a run asks for each row many times."""
        drawn = [row * 2654435761 % 4294967296 * self.buckets >> 32 for row in range(self.splits * self.rows)]
        if self.waves == 1:
            return drawn
        mine = [[g for g, wave in enumerate(self.group_wave) if wave == one] for one in range(self.waves)]
        split_wave = self.split_wave
        found = []
        for row, bucket in enumerate(drawn):
            groups = mine[split_wave[row // self.rows]]
            group, place = divmod(bucket, self.buckets_in_group)
            found.append(groups[group % len(groups)] * self.buckets_in_group + place)
        return found

    def expected(self, group: int) -> list[int]:
        rows = range(self.splits * self.rows)
        buckets = range(group * self.buckets_in_group, (group + 1) * self.buckets_in_group)
        return [row for bucket in buckets for row in rows if self.bucket(row) == bucket]


@dataclass
class ObjectStore:
    """Input and output. failing: the chance that a call is answered by nothing but errors. Writes are counted, so that
    a second one of the same group shows."""

    random: random.Random
    failing: float = 0.0
    groups: dict[int, list[int]] = field(default_factory=dict)
    planned: bool = False
    committed: bool = False
    aborted: int = 0
    rewritten: int = 0
    reads: int = 0
    files: dict[str, bytes] = field(default_factory=dict)

    def create(self, path: str) -> MemorySink:
        return MemorySink(self, path)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self.files[one.path][one.start : one.end] for one in ranges]

    def call(self) -> None:
        if self.random.random() < self.failing:
            raise StorageUnavailable("503 Slow Down, until the retries were spent")


class MemorySink:
    """`storage.Sink`: nothing is seen before `commit`."""

    def __init__(self, objects: ObjectStore, path: str) -> None:
        self._objects = objects
        self._path = path
        self._data = bytearray()

    def write(self, data: bytes | memoryview) -> int:
        self._data += data
        return len(data)

    def commit(self) -> None:
        before = self._objects.files.setdefault(self._path, bytes(self._data))
        assert before == bytes(self._data), f"{self._path} was written twice"

    def abort(self) -> None:
        self._data.clear()

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def checksum(self) -> str:
        return xxhash.xxh3_64_hexdigest(bytes(self._data))


class SimulatedWork:
    """`work.Work` over rows that are numbers. alive: whether the process that it runs in is."""

    def __init__(self, shape: Shape, objects: ObjectStore, alive: Callable[[], bool] = lambda: True) -> None:
        self.shape = shape
        self.objects = objects
        self.alive = alive

    def plan(self, job: Job) -> PlanSummary:
        self.objects.call()
        self.objects.planned = True
        return self._summary()

    def recorded(self, job: Job, fingerprint: str) -> list[WrittenGroup]:
        return [WrittenGroup(group, len(rows), len(rows), len(rows)) for group, rows in self.objects.groups.items()]

    def load(self, job: Job, fingerprint: str) -> PlanSummary:
        assert self.objects.planned
        self.objects.call()
        return self._summary()

    def _summary(self) -> PlanSummary:
        s = self.shape
        return PlanSummary(
            "plan", [s.rows] * s.splits, [1] * s.groups, s.groups, 1, 0, s.rows * s.splits, 0, 0,
            method="ObjectStore" if s.shared else "PeerToPeer",
            split_wave=s.split_wave, group_wave=s.group_wave,
        )  # fmt: skip

    def buckets(self) -> int:
        return self.shape.buckets

    def group_of(self, bucket: int) -> int:
        if not 0 <= bucket < self.shape.buckets:
            raise IndexError(bucket)
        return bucket // self.shape.buckets_in_group

    def buckets_of(self, group: int) -> range:
        each = self.shape.buckets_in_group
        return range(group * each, (group + 1) * each)

    def read(self, split: int, wanted: frozenset[int] | None) -> Iterator[Step]:
        s = self.shape
        self.objects.reads += 1
        sequence = 0
        for start in range(split * s.rows, (split + 1) * s.rows, 16):
            self.objects.call()
            rows = range(start, min(start + 16, (split + 1) * s.rows))
            shards = []
            for bucket in range(s.buckets):
                mine = [row for row in rows if s.bucket(row) == bucket]
                if mine and (wanted is None or self.group_of(bucket) in wanted):
                    data = np.array(mine, ROW).tobytes()
                    digest = xxhash.xxh3_64_intdigest(data)
                    shards.append(Shard(bucket, sequence, len(mine), digest, [data], len(data)))
                sequence += 1
            yield Step(shards, len(rows), len(rows))

    def write(self, group: int, source: ShardSource, *, alone: bool = True) -> Written:
        out: list[int] = []
        for bucket in self.buckets_of(group):
            shards = source.shards(bucket)
            buffer = bytearray(sum(shard.length for shard in shards))
            source.read(bucket, shards, memoryview(buffer))
            out += np.frombuffer(buffer, ROW).tolist()

        def put() -> None:
            self.objects.call()
            if group in self.objects.groups:
                self.objects.rewritten += 1
                assert self.objects.groups[group] == out, (
                    f"group {group} was written twice: {self.objects.groups[group]}, then {out}"
                )
            if self.alive():  # a process that was killed meanwhile has uploaded nothing
                self.objects.groups[group] = out

        written = Written(1, len(out), len(out), len(out), len(out), rest=put)
        return written if group % 2 else written.finished()

    def commit(self, rows: int) -> Committed:
        written = sum(map(len, self.objects.groups.values()))
        assert rows in (-1, written), f"{rows} rows read, {written} written"
        assert len(self.objects.groups) == self.shape.groups
        self.objects.committed = True
        return Committed("manifest", self.shape.groups, written, written, 0, 0)

    def report(self, data: bytes) -> None:
        """No job of the simulation asks for one."""

    def abort(self, job: Job) -> None:
        self.objects.aborted += 1
        self.objects.groups.clear()
