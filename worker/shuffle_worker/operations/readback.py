"""Shards back from the store: in order, through one buffer that is used again and again.

Fresh memory costs more than copying into warm memory, so each `write` lease has one `ReadBack`, whose buffer grows to
the budget once. What it yields is decoded without a copy and is valid only until the next piece is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from shuffle_worker.operations.base import ShardSource, StoredShard
from shuffle_worker.operations.shards import Counts, Decoded, decode
from shuffle_worker.plan.layout import Layout


class ReadBack:
    """Reads the shards of buckets, `budget` bytes at a time (one shard where that is larger)."""

    def __init__(self, source: ShardSource, layout: Layout, schema: pa.Schema, budget: int) -> None:
        self._source = source
        self._layout = layout
        self._schema = schema
        self._budget = budget
        self._buffer: pa.Buffer | None = None

    def size(self, bucket: int) -> int:
        """Bytes of a bucket's shards."""
        return sum(shard.length for shard in self._source.shards(bucket))

    def pieces(self, bucket: int) -> Iterator[list[Decoded]]:
        """The rows of a bucket in (split, sequence, row) order, several shards at a time."""
        cells = len(self._layout.bucket_cells(bucket))
        for shards in self._portions(bucket):
            buffer = self._fill(bucket, shards)
            at = 0
            piece: list[Decoded] = []
            for shard in shards:
                decoded = decode(buffer.slice(at, shard.length), cells, self._schema)
                if decoded.batch.num_rows != shard.rows:
                    raise ValueError(
                        f"a shard of bucket {bucket} from split {shard.split} holds {decoded.batch.num_rows} rows, "
                        f"but was announced with {shard.rows}"
                    )
                piece.append(decoded)
                at += shard.length
            yield piece

    def counts(self, bucket: int, cells: int) -> Counts:
        """How many rows each cell of a bucket of several has: one reading of all its shards."""
        totals = np.zeros(cells, np.int64)
        for piece in self.pieces(bucket):
            for shard in piece:
                assert shard.counts is not None
                totals += shard.counts
        return totals

    def _portions(self, bucket: int) -> Iterator[list[StoredShard]]:
        portion: list[StoredShard] = []
        size = 0
        for shard in self._source.shards(bucket):
            if portion and size + shard.length > self._budget:
                yield portion
                portion, size = [], 0
            portion.append(shard)
            size += shard.length
        if portion:
            yield portion

    def _fill(self, bucket: int, shards: list[StoredShard]) -> pa.Buffer:
        size = sum(shard.length for shard in shards)
        if self._buffer is None or self._buffer.size < size:
            self._buffer = None
            self._buffer = pa.allocate_buffer(size)
        buffer = self._buffer.slice(0, size)
        self._source.read(bucket, shards, memoryview(self._buffer).cast("B")[:size])
        return buffer
