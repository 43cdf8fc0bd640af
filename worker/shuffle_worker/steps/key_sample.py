"""Which key most rows of a group have, by a sample of the shards that its write reads anyway.

Where rows come together by their keys, a key that many rows have makes one file large, and whoever looks at the job
wants to know which key that is. Nobody counts keys for it: of `SHARDS` shards, evenly spread over the rows of the
group, `ROWS` rows each are looked at as they are read back.

Cost: the keys of at most `SHARDS * ROWS` rows are copied and hashed, a millisecond or two a group. Memory: these keys,
at most `KEY_BYTES` of each shard. Nothing that goes wrong here harms the write.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_protocol.shards import StoredShard
from shuffle_worker.columns.arrays import concat, take
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.partitioning.extremes import json_value
from shuffle_worker.partitioning.hash import can_hash, hash_rows
from shuffle_worker.plan.record import Plan
from shuffle_worker.steps import accumulators
from shuffle_worker.steps.accumulators import REDUCED, Form
from shuffle_worker.steps.readback import batches_of, coded_columns
from shuffle_worker.steps.shards import decode
from shuffle_worker.store.store import ShardSource

log = logging.getLogger("shuffle.worker")

SHARDS = 16
ROWS = 64
KEY_BYTES = 1 << 20
LEAST_SHARE = 0.02
"""Of a group's rows that a key must have to be named: less may be chance."""
LONGEST = 200
"""Letters of a key in words."""

Weights = npt.NDArray[np.float64]


@runtime_checkable
class Aggregating(Protocol):
    """An operation whose shards are aggregated, or may be."""

    form: Form
    """Of its shards."""


class LargestKey(NamedTuple):
    """The key that most rows of a group have."""

    text: str
    """`user = 7, day = 2026-01-01`, at most `LONGEST` letters; "" where no key stands out."""
    share: float
    """Of the group's rows, about; of values, where rows were aggregated before they were sent."""


NO_KEY = LargestKey("", 0.0)


class SampledSource:
    """A `ShardSource` that looks at some of what is read of it. together: of each input, the columns whose equality
    brings rows together; none: nothing is looked at. form: of an operation that aggregates, which knows its keys."""

    def __init__(
        self, source: ShardSource, plan: Plan, buckets: range, together: Sequence[Sequence[str]], form: Form | None
    ) -> None:
        self._source = source
        self._plan = plan
        self._together = together
        self._form = form
        self._firsts = plan.first_splits
        self._keys: list[pa.RecordBatch] = []
        self._weights: list[Weights] = []
        self._schemas: dict[int, pa.Schema] = {}
        self._rows_of_hit = self._rest = 0.0
        self._coded = [coded_columns(plan, index) for index in range(len(plan.inputs))]
        self._chosen = self._choose(buckets) if any(together) or form is not None else {}

    def shards(self, bucket: int) -> Sequence[StoredShard]:
        return self._source.shards(bucket)

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        self._source.read(bucket, shards, into)
        at = 0
        for shard in shards if self._chosen else ():
            hits = self._chosen.pop((bucket, shard.split, shard.sequence), 0)
            if hits:
                self._look_safely(bucket, shard, into[at : at + shard.length], hits)
            at += shard.length

    def at(self, share: float) -> None:
        self._source.at(share)

    def largest(self) -> LargestKey:
        """Once the group was read."""
        try:
            return self._largest()
        except Exception as error:
            log.error("the most frequent key cannot be told", exc_info=error)
            return NO_KEY

    def _choose(self, buckets: range) -> dict[tuple[int, int, int], int]:
        """The shards that hold the rows at even distances, by bucket, split and sequence, and how many of these."""
        every = [(bucket, shard) for bucket in buckets for shard in self._source.shards(bucket)]
        self._rows_of_hit = sum(shard.rows for _, shard in every) / SHARDS
        chosen: dict[tuple[int, int, int], int] = {}
        following, seen = self._rows_of_hit / 2, 0
        for bucket, shard in every:
            seen += shard.rows
            while following < seen:
                place = bucket, shard.split, shard.sequence
                chosen[place] = chosen.get(place, 0) + 1
                following += self._rows_of_hit
        return chosen

    def _look_safely(self, bucket: int, shard: StoredShard, payload: memoryview, hits: int) -> None:
        try:
            self._look(bucket, shard, pa.py_buffer(payload), hits)
        except Exception as error:
            self._chosen.clear()  # once is enough
            log.error("the keys of a shard cannot be looked at", exc_info=error)

    def _look(self, bucket: int, shard: StoredShard, payload: pa.Buffer, hits: int) -> None:
        index = bisect_right(self._firsts, shard.split) - 1
        if self._form is not None:
            mark, rows = accumulators.decode(payload, self._form)
            names = [rows.schema.names[at] for at in self._form.keys_at(mark)]
            values = _values(rows) if mark == REDUCED else None
        else:
            rows = self._decoded(index, bucket, shard, payload)
            names, values = list(self._together[index]), None
        if rows.num_rows and names and set(names) <= set(rows.schema.names):
            self._add(rows.select(names), values, hits)

    def _decoded(self, index: int, bucket: int, shard: StoredShard, payload: pa.Buffer) -> pa.RecordBatch:
        coded = self._coded[index]
        if coded is not None:
            stream = pa.ipc.open_stream(pa.py_buffer(coded.start + payload.to_pybytes()))
            return concat(list(batches_of(stream, bucket, shard)))
        cells = len(self._plan.layout.bucket_cells(bucket))
        return decode(payload, cells, self._schema(index)).batch

    def _schema(self, index: int) -> pa.Schema:
        """Of an input's rows. The plan reads it anew each time."""
        if index not in self._schemas:
            self._schemas[index] = transport_schema(self._plan.sent_schema(index))
        return self._schemas[index]

    def _add(self, keys: pa.RecordBatch, values: Weights | None, hits: int) -> None:
        """values: how many each row stands for, where rows are aggregated."""
        if not all(can_hash(kind) for kind in keys.schema.types):
            return
        count = keys.num_rows
        wanted = min(hits * ROWS, max(KEY_BYTES * count // max(keys.nbytes, 1), 1), count)
        stands_for = hits * self._rows_of_hit
        if values is None:
            some = np.arange(wanted) * count // wanted
            weights = np.full(wanted, stands_for / wanted)
        else:
            some = np.argsort(-values, kind="stable")[:wanted]
            weights = values[some] * (stands_for / count)
            self._rest += float(values.sum()) * stands_for / count - float(weights.sum())
        self._keys.append(take(keys, some))
        self._weights.append(weights)

    def _largest(self) -> LargestKey:
        if not self._keys:
            return NO_KEY
        if all(keys.schema.equals(self._keys[0].schema) for keys in self._keys):
            self._keys = [concat(self._keys)]  # hashed at once, which takes a tenth of the time
        hashes = np.concatenate([hash_rows(list(keys.columns)) for keys in self._keys])
        _, first, of = np.unique(hashes, return_index=True, return_inverse=True)
        sums = np.bincount(of, np.concatenate(self._weights))
        top = int(np.argmax(sums))
        share = float(sums[top] / (sums.sum() + self._rest))
        if share < LEAST_SHARE:
            return NO_KEY
        at = int(first[top])
        for keys in self._keys:
            if at < keys.num_rows:
                return LargestKey(_said(keys, at), round(share, 4))
            at -= keys.num_rows
        raise AssertionError("each hash is of a row")


def _values(rows: pa.RecordBatch) -> Weights:
    """How many values each row of an aggregated shard holds: those of its lists, where it has any."""
    held = np.ones(rows.num_rows)
    for column in rows.columns:
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            held += pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return held


def _said(keys: pa.RecordBatch, row: int) -> str:
    values = [(name, json_value(keys.column(name).slice(row, 1))) for name in keys.schema.names]
    return ", ".join(f"{name} = {'null' if value is None else value}" for name, value in values)[:LONGEST]
