"""Operations that make one row of all rows with equal keys (groupBy, distinct): what they have in common.

    map side      partial_aggregation.py   rows are aggregated before they are sent, where that saves bytes
    reduce side   final_aggregation.py     what came from all splits is aggregated into the rows of the output

Both drive an *accumulator*, which the operation defines: rows in, one row for each key out. It also takes in what
another accumulator made of earlier rows, in its *reduced* form. A shard's first eight bytes say which of the two it
holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa
import xxhash

from shuffle_protocol.shards import Buffer, Shard
from shuffle_worker.columns.arrays import Array

RAW, REDUCED = 0, 1
_MARKS = [mark.to_bytes(8, "little") for mark in (RAW, REDUCED)]


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
        """A row for each key, in the order in which the keys came, as others can merge it."""
        ...

    def finished(self) -> pa.RecordBatch:
        """A row of the output for each key, in the order in which the keys came."""
        ...

    @property
    def keys(self) -> pa.RecordBatch:
        """The keys, in the order in which they came."""
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

    def keys_of(self, mark: int, rows: pa.RecordBatch) -> list[Array]:
        return [rows.column(at) for at in self.keys_at(mark)]


def encode(bucket: int, sequence: int, mark: int, rows: pa.RecordBatch) -> Shard:
    """Rows (a slice is fine) in one of the two forms as a shard."""
    head, message = _MARKS[mark], memoryview(rows.serialize()).cast("B")
    checksum = xxhash.xxh3_64(head)
    checksum.update(message)
    payload: list[Buffer] = [head, message]
    return Shard(bucket, sequence, rows.num_rows, checksum.intdigest(), payload, len(head) + message.nbytes)


def decode(payload: pa.Buffer, form: Form) -> tuple[int, pa.RecordBatch]:
    """Which form a shard's rows have, and the rows, not copied."""
    mark = int.from_bytes(payload.slice(0, 8).to_pybytes(), "little")
    return mark, pa.ipc.read_record_batch(payload.slice(8), form.reduced if mark == REDUCED else form.raw)
