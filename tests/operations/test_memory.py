"""What `write` holds at once stays within the memory that it was given, however large the buckets are.

Arrow's allocations are looked at whenever shards are read and whenever bytes of a file are written, which is in the
midst of everything that is held."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.operations.memory_shards import MemoryFiles, MemorySink, MemorySource, map_rows, plan_of

from shuffle_protocol.jobs import RandomOrder, Repartition, Sort, SortKey
from shuffle_protocol.shards import StoredShard
from shuffle_worker.columns.arrays import buffer_of
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.readers.reader import Rows
from shuffle_worker.runtime.heap import keep_freed_memory
from shuffle_worker.steps.operation import Given

MIB = 1 << 20
ROWS = 400_000
MEMORY = 8 * MIB


class Watch:
    """The most that Arrow had allocated beyond what it had at the start."""

    def __init__(self) -> None:
        self.start = pa.total_allocated_bytes()
        self.peak = 0

    def look(self) -> None:
        self.peak = max(self.peak, pa.total_allocated_bytes() - self.start)


class WatchedSource(MemorySource):
    watch: Watch

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        super().read(bucket, shards, into)
        self.watch.look()


class WatchedFiles(MemoryFiles):
    watch: Watch

    def create(self, partition: int) -> tuple[str, MemorySink]:
        name, sink = super().create(partition)
        write = sink.write

        def watched(data: bytes | memoryview) -> int:
            self.watch.look()
            return write(data)

        sink.write = watched  # type: ignore[method-assign]
        return name, sink


def rows() -> pa.RecordBatch:
    """26 MB: three random numbers and a text of some 36 bytes."""
    random = np.random.default_rng(1)
    numbers = [
        pa.Array.from_buffers(pa.int64(), ROWS, [None, buffer_of(random.integers(0, 10**9, ROWS))]) for _ in "kxy"
    ]
    text = pc.binary_repeat(numbers[0].cast(pa.string()), 4)
    return pa.record_batch({"k": numbers[0], "x": numbers[1], "y": numbers[2], "t": text})


def test_freed_memory_is_not_touched_for_the_first_time_again() -> None:
    if not keep_freed_memory():
        pytest.skip("not the C library whose habits these are")
    pages = 8 * MIB // resource.getpagesize()
    np.ones(MIB, np.int64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(MIB, np.int64)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 3 * pages


@pytest.mark.parametrize("kind", ["streamed", "sorted on scratch", "parted", "parted and sorted"])
def test_a_bucket_three_times_the_memory(kind: str, tmp_path: Path) -> None:
    batch = rows()
    partitions = 50 if "parted" in kind else 1
    within = [SortKey("k")] if "sorted" in kind else []
    by = Repartition(by=["k"])
    plan = plan_of(batch.schema, by, partitions, 1, sort_within=within, row_group_rows=20_000, row_bytes=70)
    files, source = WatchedFiles(), WatchedSource()
    operation = operation_for(Given(plan, files, tmp_path, 2 * MIB))
    map_rows(operation, [batch], source, 20_000)
    assert sum(shard.length for shard in source.shards(0)) > 3 * MEMORY
    files.watch = source.watch = Watch()
    results = list(operation.write(0, source, MEMORY))
    assert sum(result.rows for result in results) == ROWS
    assert MEMORY // 8 < source.watch.peak <= MEMORY
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("buckets", [1, 4])
def test_rows_with_a_key_of_their_own(buckets: int, tmp_path: Path) -> None:
    """Sorted by it on scratch; it is eight bytes beside the 65 of a row."""
    batch = rows()
    plan = plan_of(batch.schema, RandomOrder(1), 1, buckets, row_group_rows=20_000, row_bytes=70)
    plan = msgspec.structs.replace(plan, key_column="key")
    files, source = WatchedFiles(), WatchedSource()
    operation = operation_for(Given(plan, files, tmp_path, 2 * MIB))
    map_rows(operation, [batch], source, 20_000)
    assert sum(shard.length for bucket in range(buckets) for shard in source.shards(bucket)) > 3 * MEMORY
    files.watch = source.watch = Watch()
    (result,) = operation.write(0, source, MEMORY)
    assert result.rows == ROWS
    assert MEMORY // 8 < source.watch.peak <= MEMORY
    assert list(tmp_path.iterdir()) == []


def test_the_map_side_holds_three_batches() -> None:
    batch = rows()
    keys = pc.sort_indices(batch.column("k")).take(pa.array(range(0, ROWS, ROWS // 63))[:63])
    boundaries = batch.select(["k"]).take(keys).append_column("position", keys.cast(pa.int64()))
    plan = plan_of(batch.schema, Sort([SortKey("k")]), 64, 64, boundaries=boundaries, row_bytes=70)
    splitter = operation_for(Given(plan, MemoryFiles(), None, 3 * MIB)).splitter(None)
    watch = Watch()
    for at in range(0, ROWS, 10_000):
        sent = splitter.add(Rows(batch.slice(at, 10_000), at, None, 0))
        watch.look()
        del sent
    assert MIB < watch.peak <= 3 * 3 * MIB
