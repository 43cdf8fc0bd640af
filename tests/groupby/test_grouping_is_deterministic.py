"""The bytes of a groupBy's or a distinct's files depend on nothing but the input and the job: not on buckets, memory,
batches or the order in which splits are done; sums of floats neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.groupby.in_process import Cut, aggregation, carried_out, job_of, planned, table_of, write_table
from tests.groupby.random_tables import random_table

from shuffle_protocol.jobs import Distinct, GroupBy, SortKey
from shuffle_protocol.memory import MIB
from shuffle_worker.partitioning.hash import cells_of, hash_rows
from shuffle_worker.steps import partial_aggregation as combine

CUTS = [
    Cut(buckets=5, memory=MIB, batch_rows=1000),
    Cut(buckets=5, memory=600_000, batch_rows=7777, batch_bytes=200_000, backwards=True),
    Cut(buckets=20, memory=64 * MIB, batch_rows=50_000, backwards=True),
]

EVERYTHING = [
    aggregation("sum", "x"),
    aggregation("mean", "y"),
    aggregation("stddev", "x"),
    aggregation("skew", "y"),
    aggregation("median", "x"),
    aggregation("first", "name"),
    aggregation("max", "name"),
    aggregation("countDistinct", "name"),
    aggregation("approxCountDistinct", "x"),
    aggregation("approxQuantile", "x", quantile=0.9),
    aggregation("list", "i"),
]


def events(rows: int, keys: int, seed: int = 0) -> pa.Table:
    """Floats whose sum depends on the order of adding."""
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "k": random.integers(0, keys, rows),
            "x": random.standard_normal(rows) * 10.0 ** random.integers(-8, 8, rows),
            "y": pa.array(random.random(rows), mask=random.random(rows) < 0.1),
            "name": pa.array([f"name {n}" for n in random.integers(0, 50, rows)]),
            "i": random.integers(-5, 5, rows).astype(np.int16),
        }
    )


@pytest.fixture
def small_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few thousand rows are aggregated, sent and begun again."""
    monkeypatch.setattr(combine, "HELD", 60_000)
    monkeypatch.setattr(combine, "KEPT", 100_000)
    monkeypatch.setattr(combine, "BLOCK_ROWS", 1024)


@pytest.mark.usefixtures("small_constants")
@pytest.mark.parametrize("keys", [3, 300, 5000])  # aggregated, aggregated and sent now and then, sent as they are
def test_group_by_gives_the_same_bytes(tmp_path: Path, keys: int) -> None:
    folder = write_table(tmp_path / "in", events(12_000, keys), 3, 1500)
    plan = planned(job_of(folder, GroupBy(["k"], EVERYTHING), partitions=5))
    expected = carried_out(plan)
    for each in CUTS:
        cut = each if keys > 3 else each._replace(memory=4 * MIB)  # the list of a group must fit
        assert carried_out(plan, cut, tmp_path / "scratch").files == expected.files


@pytest.mark.parametrize("null", [False, True])
def test_keys_that_nearly_all_differ_give_the_same_bytes(tmp_path: Path, null: bool) -> None:
    table = events(12_000, 40_000)
    if null:
        table = table.append_column("key", pa.array([None, *table.column("k").to_pylist()[1:]]))
    by = ["key"] if null else ["k"]
    folder = write_table(tmp_path / "in", table, 3, 1500)
    plan = planned(job_of(folder, GroupBy(by, [*EVERYTHING[:2], EVERYTHING[5]]), partitions=1))
    expected = carried_out(plan)
    for memory in (200_000, 700_000, 2 * MIB):  # in slices too small to be sorted, in several, in two
        cut = Cut(buckets=1, memory=memory, batch_rows=1000, batch_bytes=100_000)
        assert carried_out(plan, cut, tmp_path / "scratch").files == expected.files


@pytest.mark.usefixtures("small_constants")
@pytest.mark.parametrize("keep", ["First", "Last"])
@pytest.mark.parametrize("keys", [3, 5000])
def test_distinct_gives_the_same_bytes(tmp_path: Path, keys: int, keep: str) -> None:
    folder = write_table(tmp_path / "in", events(12_000, keys), 3, 1500)
    plan = planned(job_of(folder, Distinct(["k"], keep), partitions=5))
    expected = carried_out(plan)
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path / "scratch").files == expected.files


def test_many_partitions_in_few_buckets_give_the_same_bytes(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "in", events(3_000, 1000), 2, 500)
    plan = planned(job_of(folder, GroupBy(["k"], [aggregation("sum", "x")]), partitions=40))
    expected = carried_out(plan, Cut(buckets=40))
    for buckets in (1, 7, 80):
        assert carried_out(plan, Cut(buckets=buckets, memory=100_000)).files == expected.files


def test_rows_are_in_the_order_of_their_hash(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "in", events(2_000, 500), 2, 500)
    files = carried_out(planned(job_of(folder, GroupBy(["k"], [aggregation("size", None, "n")]), partitions=3)))
    for partition, table in enumerate(files.tables()):
        keys = [table.column("k").combine_chunks()]
        assert (cells_of(keys, 3) == partition).all()
        assert (np.diff(hash_rows(keys).astype(object)) > 0).all()
    assert table_of(files).num_rows == len(set(pq.read_table(folder).column("k").to_pylist()))


@pytest.mark.parametrize("memory", [64 * MIB, 60_000])
def test_sort_within(tmp_path: Path, memory: int) -> None:
    folder = write_table(tmp_path / "in", events(4_000, 900), 2, 500)
    within = [SortKey("n", descending=True), SortKey("k")]
    plan = planned(job_of(folder, GroupBy(["k"], [aggregation("size", None, "n")]), 2, within))
    for table in carried_out(plan, Cut(memory=memory), tmp_path / "scratch").tables():
        rows = [(-n, k) for n, k in zip(table["n"].to_pylist(), table["k"].to_pylist(), strict=True)]
        assert rows == sorted(rows)


def test_a_repair_sends_what_the_first_try_sent(tmp_path: Path) -> None:
    """For some of the groups only, and yet of all rows aggregated at the same places."""
    from tests.operations.memory_shards import MemoryFiles, MemorySource

    from shuffle_worker.operations.registry import operation_for
    from shuffle_worker.readers import reader_for
    from shuffle_worker.steps.operation import Given
    from shuffle_worker.storage import storage_for

    folder = write_table(tmp_path / "in", events(30_000, 200), 1, 5000)
    plan = planned(job_of(folder, GroupBy(["k"], [aggregation("sum", "x")]), partitions=4))
    operation = operation_for(Given(plan, MemoryFiles(), None, MIB))
    sent: dict[bool, MemorySource] = {}
    for whole in (True, False):
        sent[whole] = MemorySource()
        reader = reader_for(plan, storage_for(folder, plan.job.inputs[0].storage))
        for number, split in enumerate(plan.splits):
            splitter = operation.splitter(None if whole else frozenset([2]))
            for rows in reader.read(split, 3000):
                sent[whole].put(number, splitter.add(rows))
            sent[whole].put(number, splitter.flush())
    buckets = plan.layout.group_buckets(2)
    assert len(buckets) == 1 and not any(sent[False].shards(bucket) for bucket in (0, 1, 3))
    mine, theirs = sent[False].shards(buckets[0]), sent[True].shards(buckets[0])
    assert mine and [shard.checksum for shard in mine] == [shard.checksum for shard in theirs]


def test_a_hot_key_costs_one_row_a_split(tmp_path: Path) -> None:
    from tests.operations.memory_shards import MemoryFiles, MemorySource, map_rows

    from shuffle_worker.operations.registry import operation_for
    from shuffle_worker.steps.operation import Given

    folder = write_table(tmp_path / "in", random_table(100, 0, ["text"], ["f64"]))
    plan = planned(job_of(folder, GroupBy(["text"], [aggregation("sum", "f64")])))
    operation = operation_for(Given(plan, MemoryFiles(), None, 8 * MIB))
    hot = pa.record_batch({"text": pa.array(["hot"] * 200_000), "f64": pa.array([0.5] * 200_000)})
    source = MemorySource()
    map_rows(operation, [hot, hot, hot], source, batch_rows=30_000)
    assert source.rows == 3
