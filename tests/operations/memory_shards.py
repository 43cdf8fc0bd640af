"""A shard source and output files in memory, and a plan made by hand: what an operation needs to run by itself."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from tests.operations.random_rows import cut, travelling

from shuffle_protocol.jobs import Job, Output, RandomOrder, Repartition, Sort, SortKey
from shuffle_protocol.messages import PlanSummary
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.plan.layout import Layout
from shuffle_worker.plan.record import Plan, Table
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.operation import Operation


class MemorySource:
    """`ShardSource` over a dictionary, and the other half of it: `put`."""

    def __init__(self) -> None:
        self._shards: dict[int, dict[tuple[int, int], tuple[StoredShard, bytes]]] = defaultdict(dict)
        self.bytes_read = 0
        self.came: list[float] = []

    def at(self, share: float) -> None:
        self.came.append(share)

    def put(self, split: int, shards: Iterable[Shard]) -> None:
        for shard in shards:
            data = b"".join(bytes(part) for part in shard.payload)
            assert len(data) == shard.length and len(data) % 8 == 0
            assert xxhash.xxh3_64_intdigest(data) == shard.checksum
            stored = StoredShard(split, shard.sequence, shard.rows, shard.length, shard.checksum, 0)
            self._shards[shard.bucket][split, shard.sequence] = stored, data

    def shards(self, bucket: int) -> list[StoredShard]:
        return [self._shards[bucket][key][0] for key in sorted(self._shards[bucket])]

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        at = 0
        for shard in shards:
            data = self._shards[bucket][shard.split, shard.sequence][1]
            into[at : at + len(data)] = data
            at += len(data)
        assert at == len(into)
        self.bytes_read += at

    @property
    def count(self) -> int:
        return sum(len(shards) for shards in self._shards.values())

    @property
    def rows(self) -> int:
        return sum(stored.rows for shards in self._shards.values() for stored, _ in shards.values())


class MemorySink:
    def __init__(self, files: dict[str, bytes], name: str) -> None:
        self._files = files
        self._name = name
        self._data = io.BytesIO()
        self.state = "open"

    def write(self, data: bytes | memoryview) -> int:
        assert self.state == "open"
        return self._data.write(data)

    def commit(self) -> None:
        assert self.state == "open"
        self.state = "committed"
        self._files[self._name] = self._data.getvalue()

    def abort(self) -> None:
        self.state = "aborted"

    @property
    def size(self) -> int:
        return len(self._data.getvalue())

    @property
    def checksum(self) -> str:
        return xxhash.xxh3_64_hexdigest(self._data.getvalue())


class MemoryFiles:
    """`Files` in a dictionary of name -> bytes; only what was committed is in it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def create(self, partition: int) -> tuple[str, MemorySink]:
        name = f"part-{partition:05d}.parquet"
        return name, MemorySink(self.files, name)

    def tables(self) -> list[pa.Table]:
        return [pq.read_table(io.BytesIO(self.files[name]), use_threads=False) for name in sorted(self.files)]


class Under(NamedTuple):
    """The circumstances that a job is carried out under, which change no byte of its output."""

    memory: int = 64 << 20
    """Bytes for writing a group."""
    splits: int = 2
    batch_rows: int = 100
    backwards: bool = False
    """Shards of later splits arrive first."""
    scratch: Path | None = None


PLENTY = Under()


def plan_of(  # noqa: PLR0913 - what of a plan tests differ in, each by its name and with a default
    schema: pa.Schema,
    operation: Repartition | RandomOrder | Sort,
    partitions: int,
    buckets: int,
    *,
    sort_within: Sequence[SortKey] = (),
    row_group_rows: int = 1000,
    boundaries: pa.RecordBatch | None = None,
    row_bytes: float = 50.0,
    dictionary: Sequence[str] = (),
    compression: str = "Snappy",
) -> Plan:
    output = Output("/out", partitions=partitions, sort_within=list(sort_within), compression=compression)
    job = Job("uid", "job", operation, [], output, 1, 1 << 30)
    summary = PlanSummary("", [], [], partitions, 0, 0, 0, 0, 0)
    encoded = None
    if boundaries is not None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, boundaries.schema) as stream:
            stream.write_batch(boundaries)
        encoded = sink.getvalue().to_pybytes()
    encoded_schema = schema.serialize().to_pybytes()
    return Plan(
        job,
        [Table("", encoded_schema, row_bytes, 0)],
        encoded_schema,
        [],
        [],
        Layout(partitions, buckets),
        summary,
        row_bytes,
        row_group_rows,
        list(dictionary),
        encoded,
    )


def map_rows(
    operation: Operation,
    splits: Sequence[pa.RecordBatch],
    source: MemorySource,
    batch_rows: int = 1000,
    wanted: frozenset[int] | None = None,
    backwards: bool = False,
) -> None:
    """Run the map side over splits that follow one another in the input; backwards: let their shards arrive so."""
    numbered = []
    first = 0
    for number, split in enumerate(splits):
        numbered.append((number, first, split))
        first += split.num_rows
    for number, first, split in reversed(numbered) if backwards else numbered:
        splitter = operation.splitter(wanted)
        for at in range(0, split.num_rows, batch_rows):
            batch = split.slice(at, batch_rows)
            source.put(number, splitter.add(Rows(batch, first + at, None, 0)))
        source.put(number, splitter.flush())


def carried_out(
    rows: pa.RecordBatch, plan: Plan, operation: Operation, under: Under = PLENTY
) -> tuple[list[FileResult], MemorySource]:
    """Both sides of an operation over these rows. Returns what was written, and the shards."""
    source = MemorySource()
    splits = cut(travelling(rows), under.splits)
    map_rows(operation, splits, source, under.batch_rows, backwards=under.backwards)
    return write_all(operation, plan, source, under.memory), source


def write_all(operation: Operation, plan: Plan, source: MemorySource, memory: int) -> list[FileResult]:
    return [result for group in range(plan.layout.groups) for result in operation.write(group, source, memory)]
