"""Operations that make one row of all rows with equal keys (groupBy, distinct): what they have in common.

    map side      partial_aggregation.py   rows are aggregated before they are sent, where that saves bytes
    reduce side   final_aggregation.py     what came from all splits is aggregated into the rows of the output

Both drive an *accumulator*, which the operation defines: rows in, one row for each key out. It also takes in what
another accumulator made of earlier rows, in its *reduced* form.

The bytes of a shard:

    payload = u32, little endian: which of the two forms (`RAW`, `REDUCED`), with `PACKED` where that applies
              u32: rows, where packed
              an Arrow IPC record batch message                or, packed, the values of each column, padded to 8 bytes

Shards are packed where no column has a null and all have a fixed width: many small ones take a third of the time then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from shuffle_protocol.shards import Buffer, Shard, StoredShard
from shuffle_worker.columns.arrays import Array, buffer_of, concat
from shuffle_worker.partitioning.scatter import Scattered

RAW, REDUCED = 0, 1
PACKED = 2

Bytes = npt.NDArray[np.uint8]


class Accumulator(Protocol):
    """Everything comes in the order of the input, in batches of any size; how large they are may not show in what comes
    out. Whatever is given to it may lie in memory that is used again after the call."""

    def add(self, rows: pa.RecordBatch) -> None:
        """Take in rows in their raw form."""
        ...

    def merge(self, rows: pa.RecordBatch) -> None:
        """Take in rows in their reduced form."""
        ...

    def reduced(self) -> pa.RecordBatch:
        """A row for each key, in the order of `keys`, as others can merge it."""
        ...

    def finished(self) -> pa.RecordBatch:
        """A row of the output for each key, in the order of `keys`."""
        ...

    @property
    def keys(self) -> pa.RecordBatch:
        """The keys. Those of one hash are in the order in which they came."""
        ...

    @property
    def nbytes(self) -> int:
        """About what it holds in memory: a function of the rows that came in and of where they were cut into batches,
        not of how these lie in memory."""
        ...


class Form(NamedTuple):
    """How an operation aggregates."""

    raw: pa.Schema
    reduced: pa.Schema
    """`raw`, `reduced`: the schemas of the two forms."""
    raw_keys: Sequence[int]
    reduced_keys: Sequence[int]
    """`raw_keys`, `reduced_keys`: where each has the key columns."""
    make: Callable[[], Accumulator]
    """An accumulator with nothing in it."""
    advice: str
    """What helps where one key has too much to be aggregated."""

    def keys_at(self, mark: int) -> Sequence[int]:
        """Where rows of this form have the key columns."""
        return self.reduced_keys if mark == REDUCED else self.raw_keys

    def schema(self, mark: int) -> pa.Schema:
        return self.reduced if mark == REDUCED else self.raw

    def keys_of(self, mark: int, rows: pa.RecordBatch) -> list[Array]:
        return [rows.column(at) for at in self.keys_at(mark)]


def can_pack(rows: pa.RecordBatch) -> bool:
    """Whether shards of these rows are packed."""
    return _widths(rows.schema) is not None and not any(column.null_count for column in rows.columns)


def encode(bucket: int, sequence: int, mark: int, rows: pa.RecordBatch) -> Shard:
    """Rows (a slice is fine) in one of the two forms as a shard."""
    head, message = mark.to_bytes(8, "little"), memoryview(rows.serialize()).cast("B")
    checksum = xxhash.xxh3_64(head)
    checksum.update(message)
    payload: list[Buffer] = [head, message]
    return Shard(bucket, sequence, rows.num_rows, checksum.intdigest(), payload, len(head) + message.nbytes)


class Packer:
    """Makes packed shards of batches of which each is in the order of its buckets. batches: with where in them each
    bucket begins, and the last ends."""

    def __init__(self, mark: int, batches: Sequence[Scattered]) -> None:
        self._mark = mark | PACKED
        widths = _widths(batches[0].batch.schema)
        assert widths is not None, "can_pack was asked"
        self._columns = [
            (width, [_bytes_of(rows.column(at), width) for rows, _ in batches]) for at, width in enumerate(widths)
        ]
        self._edges: list[list[int]] = [starts.tolist() for _, starts in batches]

    def shard(self, bucket: int, sequence: int) -> Shard:
        """Of a bucket's rows of all batches, one after the other. It owns its bytes."""
        spans = [(edges[bucket], edges[bucket + 1]) for edges in self._edges]
        count = sum(end - first for first, end in spans)
        parts: list[Buffer] = [(self._mark | count << 32).to_bytes(8, "little")]
        for width, batches in self._columns:
            parts += [values[first * width : end * width] for values, (first, end) in zip(batches, spans, strict=True)]
            rest = -count * width % 8
            if rest:
                parts.append(bytes(rest))
        packed = b"".join(parts)
        return Shard(bucket, sequence, count, xxhash.xxh3_64_intdigest(packed), [packed], len(packed))


class Run(NamedTuple):
    """Rows of shards that follow one another and have one form."""

    mark: int
    """`RAW` or `REDUCED`."""
    rows: pa.RecordBatch


def decode(payload: pa.Buffer, form: Form) -> Run:
    """The rows of a shard; not copied, unless it is packed."""
    data: Bytes = np.frombuffer(payload, np.uint8)  # type: ignore[call-overload]
    mark = int(data[:4].view(np.uint32)[0])
    if mark & PACKED:
        return _joined(mark, [], [data], form)
    return Run(mark, pa.ipc.read_record_batch(payload.slice(8), form.schema(mark)))


def decode_all(
    payloads: Sequence[tuple[StoredShard, pa.Buffer]], form: Form, check: Callable[[StoredShard, int], None]
) -> Iterator[Run]:
    """The rows of some shards, in their order, in as few batches as possible; copied where that joins several, and
    where they are packed. check: called with each shard and the rows found in it."""
    held: list[pa.RecordBatch] = []
    packed: list[Bytes] = []
    before = -1
    for shard, payload in payloads:
        data: Bytes = np.frombuffer(payload, np.uint8)  # type: ignore[call-overload]
        mark, count = data[:8].view(np.uint32).tolist()
        if before not in (-1, mark):
            yield _joined(before, held, packed, form)
            held, packed = [], []
        before = mark
        if mark & PACKED:
            packed.append(data)
        else:
            rows = pa.ipc.read_record_batch(payload.slice(8), form.schema(mark))
            count = rows.num_rows
            held.append(rows)
        check(shard, count)
    if before >= 0:
        yield _joined(before, held, packed, form)


def _joined(mark: int, held: list[pa.RecordBatch], packed: list[Bytes], form: Form) -> Run:
    if not mark & PACKED:
        return Run(mark, concat(held))
    mark &= ~PACKED
    return Run(mark, _unpacked(packed, form.schema(mark)))


def _unpacked(payloads: Sequence[Bytes], schema: pa.Schema) -> pa.RecordBatch:
    widths = _widths(schema)
    assert widths is not None, "only columns of a fixed width are packed"
    columns: list[list[Bytes]] = [[] for _ in widths]
    total = 0
    for data in payloads:
        count = int(data[4:8].view(np.uint32)[0])
        at = 8
        for width, pieces in zip(widths, columns, strict=True):
            pieces.append(data[at : at + count * width])
            at += count * width + 7 & ~7
        total += count
    arrays = [
        pa.Array.from_buffers(field.type, total, [None, buffer_of(np.concatenate(pieces))])
        for field, pieces in zip(schema, columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@lru_cache(maxsize=64)
def _widths(schema: pa.Schema) -> tuple[int, ...] | None:
    """Bytes of a value of each column; None where one has no such width."""
    found: list[int] = []
    for field in schema:
        kind = field.type
        if not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind)) or kind.bit_width % 8:
            return None
        found.append(kind.bit_width // 8)
    return tuple(found)


def _bytes_of(column: Array, width: int) -> memoryview:
    """The values of a column of a fixed width, not copied."""
    values = column.buffers()[1]
    if values is None:
        return memoryview(b"")
    return memoryview(values).cast("B")[column.offset * width : (column.offset + len(column)) * width]
