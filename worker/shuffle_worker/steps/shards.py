"""The bytes of a shard: rows of one split for one bucket, as they travel, lie in the store and are read back.

    payload = [rows of each cell: u32 little endian, padded to 8 bytes]   where a bucket holds several cells
              one Arrow IPC record batch message                          no schema, no dictionaries: both ends have the
              plan (but see `columns/coded.py`)

The length is a multiple of 8, so shards read one after the other into one aligned buffer are decoded without a copy.
The payload owns its bytes: `serialize` copies exactly the rows of the slice, so no shard keeps a parent batch alive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from shuffle_protocol.shards import Buffer, Shard
from shuffle_worker.columns.arrays import view

Counts = npt.NDArray[np.int64]


class Decoded(NamedTuple):
    """The rows of a shard, and how many of them each cell of its bucket has (None where the bucket is one cell)."""

    batch: pa.RecordBatch
    counts: Counts | None


def counts_length(cells: int) -> int:
    """Bytes before the message for a bucket of so many cells."""
    return (cells * 4 + 7) & ~7 if cells > 1 else 0


def encode(
    bucket: int,
    sequence: int,
    batch: pa.RecordBatch,
    counts: Counts | None,
    message_of: Callable[[pa.RecordBatch], pa.Buffer] = pa.RecordBatch.serialize,
) -> Shard:
    """A batch (a slice is fine) as a shard. counts: rows of each of the bucket's cells, where it has several."""
    message = memoryview(message_of(batch)).cast("B")
    if counts is None:
        return Shard(bucket, sequence, batch.num_rows, xxhash.xxh3_64_intdigest(message), [message], message.nbytes)
    head = counts.astype("<u4").tobytes()
    head += bytes(-len(head) % 8)
    checksum = xxhash.xxh3_64(head)
    checksum.update(message)
    payload: list[Buffer] = [head, message]
    return Shard(bucket, sequence, batch.num_rows, checksum.intdigest(), payload, len(head) + message.nbytes)


def decode(buffer: pa.Buffer, cells: int, schema: pa.Schema) -> Decoded:
    """The rows of a payload, without a copy: they are valid as long as the buffer's bytes stay as they are."""
    skip = counts_length(cells)
    if not skip:
        return Decoded(pa.ipc.read_record_batch(buffer, schema), None)
    counts = view(buffer, "<u4", cells).astype(np.int64)
    return Decoded(pa.ipc.read_record_batch(buffer.slice(skip), schema), counts)
