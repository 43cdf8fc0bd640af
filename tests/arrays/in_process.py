"""A whole rechunk in this process: plan, every split read, every group written, committed. Shards wait in a dict."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
import zarr

from shuffle_protocol.jobs import Input, Job, Output, Rechunk
from shuffle_protocol.memory import Budgets
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.arrays.record import RechunkPlan
from shuffle_worker.arrays.work import ArrayTasks
from shuffle_worker.transfer.work import Committed, WorkSetup

MIB = 1 << 20


class HeldShards:
    """Implements `operations.base.ShardSource`; checks what it hands out as the store does."""

    def __init__(self) -> None:
        self.held: dict[int, list[tuple[int, Shard]]] = {}

    def at(self, share: float) -> None:
        """Nobody looks."""

    def add(self, split: int, shards: Sequence[Shard]) -> None:
        for shard in shards:
            self.held.setdefault(shard.bucket, []).append((split, shard))

    def shards(self, bucket: int) -> list[StoredShard]:
        return [
            StoredShard(split, one.sequence, one.rows, one.length, one.checksum, at)
            for at, (split, one) in enumerate(self.held.get(bucket, []))
        ]

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        at = 0
        for shard in shards:
            start = at
            for buffer in self.held[bucket][shard.handle][1].payload:
                piece = memoryview(buffer).cast("B")
                into[at : at + len(piece)] = piece
                at += len(piece)
            assert at - start == shard.length
            assert xxhash.xxh3_64_intdigest(into[start:at]) == shard.checksum
        assert at == len(into)


def rechunk_job(
    source: Path | str,
    out: Path | str,
    operation: Rechunk,
    workers: int = 2,
    memory: int = 300 * MIB,
    overwrite: bool = False,
    uid: str = "u",
) -> Job:
    return Job(uid, "test", operation, [Input([str(source)])], Output(str(out), overwrite=overwrite), workers, memory)


def rechunk(job: Job, scratch: Path) -> tuple[RechunkPlan, Committed]:
    """The job, from its plan to its commit."""
    tasks = ArrayTasks(WorkSetup(Budgets.for_limit(job.memory), scratch))
    summary = tasks.plan(job)
    tasks.load(job, summary.fingerprint)
    held = HeldShards()
    elements = read_all(tasks, held, len(summary.split_bytes))
    for group in range(len(summary.group_partitions)):
        tasks.write(group, held).finished()
    return tasks.loaded, tasks.commit(elements)


def read_all(tasks: ArrayTasks, held: HeldShards, splits: int, wanted: Collection[int] | None = None) -> int:
    """Read splits for some groups, or all; returns the elements that were counted."""
    elements = 0
    for split in range(splits):
        for step in tasks.read(split, None if wanted is None else frozenset(wanted)):
            held.add(split, step.shards)
            elements += step.rows
    return elements


def same(one: Any, other: Any) -> bool:
    """Bit for bit, but for the byte order and what strings are made of."""
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "OTSU":  # a scalar of fixed width comes out as one of its own width
        return bool(one.astype(object).tolist() == other.astype(object).tolist())
    if one.dtype.newbyteorder("=") != other.dtype.newbyteorder("="):
        return False
    other = other.astype(one.dtype)
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def stored_chunks(folder: Path) -> set[str]:
    """Keys of the chunk files of a store."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if name == "c" or name.rsplit("/", 1)[-1].replace(".", "").isdigit()}


def make(folder: Path, data: np.ndarray[Any, Any], chunks: Sequence[int], **options: Any) -> zarr.Array:
    """A Zarr array of some elements."""
    array = zarr.create_array(folder, shape=data.shape, chunks=tuple(chunks), dtype=data.dtype, **options)
    if data.size:
        array[...] = data
    return array
