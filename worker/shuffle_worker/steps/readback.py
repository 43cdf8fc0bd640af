"""Shards back from the store: in order, through one buffer that is used again and again.

A first touch of memory costs more than copying into memory that is warm, so the buffers outlive the leases
(`Buffers`): one for each lease that was ever at work at the same time, each grown once to its budget. What is read is
decoded without a copy and is valid only until the next piece is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock

import numpy as np
import pyarrow as pa

from shuffle_protocol.shards import StoredShard
from shuffle_worker.columns.coded import CodedColumns
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.plan.record import Plan
from shuffle_worker.steps.shards import Counts, Decoded, decode
from shuffle_worker.store.store import ShardSource


class Buffers:
    """Read buffers that wait to be used again. Calls come from several threads."""

    def __init__(self) -> None:
        self._idle: list[pa.Buffer] = []
        self._choosing = Lock()

    def take(self, size: int) -> pa.Buffer:
        """A buffer of at least `size` bytes: the smallest that waits. Where all are smaller, one of them is let go of
        rather than kept beside a new one."""
        with self._choosing:
            enough = [at for at, buffer in enumerate(self._idle) if buffer.size >= size]
            if enough:
                return self._idle.pop(min(enough, key=lambda at: self._idle[at].size))
            if self._idle:
                self._idle.pop()
        return pa.allocate_buffer(size)

    def give(self, buffer: pa.Buffer) -> None:
        with self._choosing:
            self._idle.append(buffer)


class ReadBack:
    """Reads the shards of buckets, `budget` bytes at a time (one shard where that is larger), each input's for itself:
    their schemas differ. Close it."""

    def __init__(self, source: ShardSource, plan: Plan, budget: int, buffers: Buffers) -> None:
        self._buffers = buffers
        self._source = source
        self._layout = plan.layout
        self._schemas = [transport_schema(plan.sent_schema(index)) for index in range(len(plan.inputs))]
        self._coded = [coded_columns(plan, index) for index in range(len(plan.inputs))]
        self._first_splits = plan.first_splits
        self._budget = budget
        self._buffer: pa.Buffer | None = None

    def close(self) -> None:
        """Nothing that was read may be used any more."""
        if self._buffer is not None:
            self._buffers.give(self._buffer)
            self._buffer = None

    def shards(self, bucket: int, index: int = 0) -> Sequence[StoredShard]:
        """The shards of a bucket that are of splits of one input, in (split, sequence) order."""
        shards = self._source.shards(bucket)
        if len(self._schemas) == 1:
            return shards
        first, end = self._first_splits[index], self._first_splits[index + 1]
        return [shard for shard in shards if first <= shard.split < end]

    def size(self, bucket: int, index: int = 0) -> int:
        """Bytes of these shards."""
        return sum(shard.length for shard in self.shards(bucket, index))

    def pieces(self, bucket: int, index: int = 0) -> Iterator[list[Decoded]]:
        """The rows of a bucket that are of one input, in (split, sequence, row) order, several shards at a time."""
        coded = self._coded[index]
        if coded is not None:
            yield from self._streams(bucket, index, coded.start)
            return
        cells = len(self._layout.bucket_cells(bucket))
        for payloads in self.payloads(bucket, index):
            piece: list[Decoded] = []
            for shard, payload in payloads:
                decoded = decode(payload, cells, self._schemas[index])
                check_rows(bucket, shard, decoded.batch.num_rows)
                piece.append(decoded)
            yield piece

    def text_row(self, index: int) -> float:
        """About the bytes that a row of an input takes more than its shards have, as text."""
        coded = self._coded[index]
        return 0.0 if coded is None else coded.text_row

    def _streams(self, bucket: int, index: int, start: bytes) -> Iterator[list[Decoded]]:
        """The same where columns are coded: a shard may be several batches."""
        for shards in portions(self.shards(bucket, index), self._budget):
            stream = pa.ipc.open_stream(self._fill(bucket, shards, start))
            yield [Decoded(batch, None) for shard in shards for batch in batches_of(stream, bucket, shard)]

    def payloads(self, bucket: int, index: int = 0) -> Iterator[list[tuple[StoredShard, pa.Buffer]]]:
        """The shards that `pieces` would decode, as bytes."""
        for shards in portions(self.shards(bucket, index), self._budget):
            buffer = self._fill(bucket, shards)
            starts = accumulate((shard.length for shard in shards), initial=0)
            yield [(shard, buffer.slice(at, shard.length)) for shard, at in zip(shards, starts, strict=False)]

    def measure(self, bucket: int, cells: int, index: int = 0) -> tuple[Counts, Counts]:
        """Rows and bytes of each cell of a bucket of several, of one input: one reading of all its shards."""
        rows, sizes = np.zeros(cells, np.int64), np.zeros(cells, np.int64)
        for piece in self.pieces(bucket, index):
            for batch, counts in piece:
                assert counts is not None
                rows += counts
                starts = np.cumsum(counts) - counts
                for cell in np.flatnonzero(counts).tolist():
                    sizes[cell] += batch.slice(int(starts[cell]), int(counts[cell])).nbytes
        return rows, sizes

    def _fill(self, bucket: int, shards: list[StoredShard], start: bytes = b"") -> pa.Buffer:
        """The shards' bytes. start: what is to stand before them."""
        size = len(start) + sum(shard.length for shard in shards)
        if self._buffer is not None and self._buffer.size < size:
            self._buffer = None
        if self._buffer is None:
            self._buffer = self._buffers.take(size)
        buffer = self._buffer.slice(0, size)
        view = memoryview(self._buffer).cast("B")
        view[: len(start)] = start
        self._source.read(bucket, shards, view[len(start) : size])
        return buffer


def coded_columns(plan: Plan, index: int = 0) -> CodedColumns | None:
    """Those of the rows that splits of an input send; None where there are none."""
    values = plan.coded_sent(index)
    return CodedColumns(transport_schema(plan.sent_schema(index)), values) if values else None


def batches_of(stream: pa.RecordBatchStreamReader, bucket: int, shard: StoredShard) -> Iterator[pa.RecordBatch]:
    """The batches of the shard that follows in a stream, where columns are coded."""
    rows = 0
    while rows < shard.rows and (batch := next(stream, None)) is not None:
        yield batch
        rows += batch.num_rows
    check_rows(bucket, shard, rows)


def check_rows(bucket: int, shard: StoredShard, found: int) -> None:
    if found != shard.rows:
        raise ValueError(
            f"a shard of bucket {bucket} from split {shard.split} holds {found} rows, but was announced with "
            f"{shard.rows}"
        )


def portions(shards: Sequence[StoredShard], most: int) -> Iterator[list[StoredShard]]:
    """Shards in their order, up to so many bytes at a time and at least one shard."""
    portion: list[StoredShard] = []
    size = 0
    for shard in shards:
        if portion and size + shard.length > most:
            yield portion
            portion, size = [], 0
        portion.append(shard)
        size += shard.length
    if portion:
        yield portion
