"""The bytes of a shard: they own their rows, are aligned, and come back without a copy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operations.random_rows import comparable, input_rows, travelling

from shuffle_worker.plan.layout import Layout
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.readback import Buffers, ReadBack
from shuffle_worker.steps.shards import decode, encode
from shuffle_worker.steps.splitter import BatchSplitter, batch_rows


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 40), st.integers(0, 40), st.one_of(st.none(), st.lists(st.integers(0, 9), min_size=2, max_size=9))
)
def test_a_slice_comes_back_as_it_was(skip: int, rows: int, counts: list[int] | None) -> None:
    batch = travelling(input_rows(100, 3)).slice(skip, sum(counts) if counts else rows)
    shard = encode(4, 7, batch, None if counts is None else np.array(counts, np.int64))
    data = b"".join(bytes(part) for part in shard.payload)
    assert (shard.bucket, shard.sequence, shard.rows, shard.length) == (4, 7, batch.num_rows, len(data))
    assert len(data) % 8 == 0
    assert shard.checksum == xxhash.xxh3_64_intdigest(data)
    decoded = decode(pa.py_buffer(data), len(counts) if counts else 1, batch.schema)
    decoded.batch.validate(full=True)
    assert comparable(pa.Table.from_batches([decoded.batch])) == comparable(pa.Table.from_batches([batch]))
    assert (decoded.counts is None) if counts is None else decoded.counts.tolist() == counts


def test_a_shard_is_as_large_as_its_rows_not_as_its_parent() -> None:
    whole = pa.record_batch({"text": pa.array(["x" * 1000] * 1000), "tags": pa.array([["y" * 100] * 3] * 1000)})
    shard = encode(0, 0, whole.slice(500, 2), None)
    assert shard.length < 5000
    before = pa.total_allocated_bytes()
    del whole
    assert pa.total_allocated_bytes() < before - 1_000_000


@pytest.mark.parametrize("buckets", [1, 4])
def test_the_splitter_waits_for_slices_worth_a_message(buckets: int) -> None:
    class Alternating:
        def __call__(self, rows: Rows) -> np.ndarray:
            return (np.arange(rows.batch.num_rows) % buckets).astype(np.int32)

    splitter = BatchSplitter(Layout(buckets, buckets), Alternating(), None, 8.0, 1 << 20)
    batch = pa.record_batch({"row": pa.array(range(1000))})
    emitted = 0
    for at in range(64):
        shards = splitter.add(Rows(batch, at * 1000, None, 0))
        emitted += len(shards)
        assert all(shard.rows >= 10_000 for shard in shards)
    rest = splitter.flush()
    assert 0 < emitted + len(rest) <= 3 * buckets
    assert splitter.flush() == []


def test_the_splitter_is_bounded_by_bytes() -> None:
    class One:
        def __call__(self, rows: Rows) -> np.ndarray:
            return np.zeros(rows.batch.num_rows, np.int32)

    splitter = BatchSplitter(Layout(1, 1), One(), None, 1.0, 100_000)
    batch = pa.record_batch({"text": pa.array(["z" * 1000] * 30)})
    lengths = [sum(shard.length for shard in splitter.add(Rows(batch, 0, None, 0))) for _ in range(20)]
    assert max(lengths) < 100_000 + 2 * batch.nbytes
    assert sum(map(bool, lengths)) >= 4


@pytest.mark.parametrize(
    ("buckets", "row_bytes", "batch_bytes", "expected"),
    [
        (1, 72.0, 1 << 30, 1 << 17),
        (64, 72.0, 1 << 30, 1 << 17),
        (512, 72.0, 1 << 30, 1 << 19),
        (64, 72.0, 4 << 20, (4 << 20) // 72),
        (20_000, 8.0, 1 << 30, 1 << 20),
        (64, 10_000.0, 20_000_000, 2000),
        (64, 1e6, 1 << 20, 1024),
    ],
)
def test_rows_gathered_at_once(buckets: int, row_bytes: float, batch_bytes: int, expected: int) -> None:
    assert batch_rows(buckets, row_bytes, batch_bytes) == expected


def test_read_buffers_are_used_again() -> None:
    buffers = Buffers()
    first = buffers.take(1000)
    address = first.address
    buffers.give(first)
    del first
    again = buffers.take(900)
    assert again.address == address
    buffers.give(again)
    del again
    assert buffers.take(2000).size >= 2000
    assert ReadBack.__doc__ is not None
