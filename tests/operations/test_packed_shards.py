"""Shards of rows that are aggregated: packed where columns allow it, and the same rows when they come back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from tests.groupby.in_process import aggregation

from shuffle_protocol.jobs import GroupBy
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.operations.group_by.rows import GroupShape
from shuffle_worker.partitioning.scatter import Scattered
from shuffle_worker.steps.accumulators import RAW, REDUCED, Form, Packer, can_pack, decode, decode_all, encode

ROWS = pa.record_batch(
    {
        "key": pa.array(range(20), pa.int64()),
        "small": pa.array(range(20), pa.int8()),
        "half": pa.array([at / 2 for at in range(20)], pa.float32()),
        "when": pa.array(range(20), pa.timestamp("ms")),
        "cost": pa.array([Decimal(at) for at in range(20)], pa.decimal128(20, 2)),
    }
)


def form_of(rows: pa.RecordBatch) -> Form:
    operation = GroupBy(["key"], [aggregation("count", rows.schema.names[-1])])
    return GroupShape(operation, rows.schema).form(pa.schema([("key", pa.int64()), ("count", pa.int64())]))


def came_back(shards: list[Shard], form: Form) -> tuple[list[tuple[int, pa.RecordBatch]], list[int]]:
    """The runs, and the rows of each shard."""
    payloads = []
    for shard in shards:
        data = b"".join(bytes(part) for part in shard.payload)
        assert len(data) == shard.length and len(data) % 8 == 0
        assert xxhash.xxh3_64_intdigest(data) == shard.checksum
        payloads.append((StoredShard(0, 0, shard.rows, len(data), shard.checksum, 0), pa.py_buffer(data)))
    assert sum(decode(payload, form).rows.num_rows for _, payload in payloads) == sum(s.rows for s in shards)
    counts: list[int] = []

    def check(shard: StoredShard, found: int) -> None:
        assert shard.rows == found
        counts.append(found)

    return [(run.mark, run.rows) for run in decode_all(payloads, form, check)], counts


@pytest.mark.parametrize("first", [0, 3])
def test_rows_of_several_batches_are_one_packed_shard(first: int) -> None:
    batches = [ROWS.slice(first, 9), ROWS.slice(12, 8)]
    assert all(can_pack(batch) for batch in batches)
    packer = Packer(RAW, [Scattered(one, np.array(edges)) for one, edges in zip(batches, ([0, 2, 9], [0, 5, 8]))])  # noqa: B905
    shards = [packer.shard(0, 0), packer.shard(1, 1)]
    assert [len(shard.payload) for shard in shards] == [1, 1]
    runs, counts = came_back(shards, form_of(ROWS))
    assert counts == [7, 10]
    ((mark, rows),) = runs
    expected = [ROWS.slice(first, 2), ROWS.slice(12, 5), ROWS.slice(first + 2, 7), ROWS.slice(17, 3)]
    assert mark == RAW
    assert rows == pa.concat_batches(expected)  # type: ignore[attr-defined]
    rows.validate(full=True)


@pytest.mark.parametrize(
    "column",
    [pa.array([1, None, 3]), pa.array(["a", "b", "c"]), pa.array([True, False, True]), pa.nulls(3)],
    ids=["nulls", "text", "bits", "nothing"],
)
def test_other_columns_are_arrow_messages(column: pa.Array[Any]) -> None:
    rows = pa.record_batch({"key": pa.array([1, 2, 3]), "value": column})
    assert not can_pack(rows)
    runs, counts = came_back([encode(0, 0, RAW, rows.slice(1)), encode(0, 1, RAW, rows)], form_of(rows))
    assert counts == [2, 3]
    ((mark, found),) = runs
    assert (mark, found.to_pylist()) == (RAW, rows.slice(1).to_pylist() + rows.to_pylist())


def test_forms_follow_one_another_in_their_order() -> None:
    rows = ROWS.select(["key", "small"])
    form = form_of(rows)
    reduced = pa.RecordBatch.from_arrays([pa.array([7, 8]), pa.array([1, 2])], schema=form.reduced)
    everything = np.array([0, 2])
    with_null = pa.record_batch({"key": pa.array([5, None]), "small": pa.array([1, 2], pa.int8())})
    shards = [
        Packer(RAW, [Scattered(rows.slice(0, 2), everything)]).shard(0, 0),
        Packer(REDUCED, [Scattered(reduced, everything)]).shard(0, 1),
        encode(0, 2, RAW, with_null),
        Packer(RAW, [Scattered(rows.slice(2, 2), everything)]).shard(0, 3),
    ]
    runs, counts = came_back(shards, form)
    assert counts == [2, 2, 2, 2]
    assert [(mark, found.column(0).to_pylist()) for mark, found in runs] == [
        (RAW, [0, 1]),
        (REDUCED, [7, 8]),
        (RAW, [5, None]),
        (RAW, [2, 3]),
    ]
