"""A repartition end to end without a network: every row arrives once, where its key belongs, in the input's order, and
the bytes of the files depend on nothing but the input and the job."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.operations.memory_shards import PLENTY, MemoryFiles, MemorySource, Under, carried_out, map_rows, plan_of
from tests.operations.random_rows import SCHEMA, comparable, input_rows, key_columns, travelling

from shuffle_protocol.jobs import Repartition, SortKey
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.hash import cells_of
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.steps.operation import Given

MIB = 1 << 20
ROW_GROUP = 50
on_disk = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def repartition(
    rows: pa.RecordBatch,
    operation: Repartition,
    partitions: int,
    buckets: int,
    under: Under = PLENTY,
    *,
    sort_within: Sequence[SortKey] = (),
    boundaries: pa.RecordBatch | None = None,
) -> tuple[MemoryFiles, list[FileResult]]:
    plan = plan_of(
        SCHEMA, operation, partitions, buckets, sort_within=sort_within, boundaries=boundaries,
        row_group_rows=ROW_GROUP, dictionary=["name"],
    )  # fmt: skip
    files = MemoryFiles()
    results, source = carried_out(rows, plan, operation_for(Given(plan, files, under.scratch, MIB)), under)
    assert source.rows == rows.num_rows
    assert [result.partition for result in results] == list(range(partitions))
    assert sum(result.rows for result in results) == rows.num_rows
    assert {result.name: result.bytes for result in results} == {n: len(d) for n, d in files.files.items()}
    return files, results


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 400),
    seed=st.integers(0, 1000),
    by=st.lists(key_columns, min_size=1, max_size=3, unique=True),
    partitions=st.integers(1, 9),
)
def test_rows_go_where_their_key_hashes_and_keep_their_order(
    rows: int, seed: int, by: list[str], partitions: int
) -> None:
    batch = input_rows(rows, seed)
    files, _ = repartition(batch, Repartition(by=by), partitions, partitions)
    ids = cells_of([batch.column(name) for name in by], partitions)
    for partition, table in enumerate(files.tables()):
        assert table.schema.equals(SCHEMA, check_metadata=True)
        expected = batch.filter(pa.array((ids == partition).tolist(), pa.bool_()))
        assert comparable(table) == comparable(pa.Table.from_batches([expected]))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    partitions=st.integers(1, 12),
    within=st.lists(st.builds(SortKey, key_columns, st.booleans(), st.booleans()), max_size=2),
)
def test_bytes_depend_on_input_and_job_alone(
    tmp_path_factory: pytest.TempPathFactory, seed: int, partitions: int, within: list[SortKey]
) -> None:
    batch = input_rows(500, seed)
    scratch = tmp_path_factory.mktemp("scratch")
    operation = Repartition(by=["key", "name"])
    expected, results = repartition(batch, operation, partitions, partitions, sort_within=within)
    for buckets, under in (
        (partitions, Under(20_000, 2, 37, True, scratch)),
        (partitions, Under(200_000, 7, 500, False, scratch)),
        (max(partitions // 2, 1), Under(64 * MIB, 3, 64, True, scratch)),
        (1, Under(20_000, 1, 100, False, scratch)),
        (1, Under(150_000, 5, 11, True, scratch)),
    ):
        found, again = repartition(batch, operation, partitions, buckets, under, sort_within=within)
        assert found.files == expected.files
        assert again == results
    assert list(scratch.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    partitions=st.integers(1, 6),
    within=st.lists(st.builds(SortKey, key_columns, st.booleans(), st.booleans()), min_size=1, max_size=3),
)
def test_sort_within_orders_each_file(seed: int, partitions: int, within: list[SortKey]) -> None:
    batch = input_rows(300, seed)
    files, _ = repartition(batch, Repartition(by=["key"]), partitions, partitions, sort_within=within)
    ids = cells_of([batch.column("key")], partitions)
    for partition, table in enumerate(files.tables()):
        mine = batch.filter(pa.array((ids == partition).tolist(), pa.bool_()))
        order = sort_indices(mine, within)
        assert (
            table.column("row").to_pylist() == mine.column("row").take(pa.array(order.tolist(), pa.int64())).to_pylist()
        )


@pytest.mark.parametrize(("partitions", "buckets"), [(1, 1), (7, 7), (50, 50), (50, 4)])
def test_round_robin_is_even_and_repeatable(partitions: int, buckets: int) -> None:
    batch = input_rows(997, 1)
    files, results = repartition(batch, Repartition(), partitions, buckets, Under(splits=3))
    sizes = [result.rows for result in results]
    assert max(sizes) - min(sizes) <= 3  # one a split
    again, _ = repartition(batch, Repartition(), partitions, partitions, Under(splits=3, batch_rows=13, backwards=True))
    assert again.files == files.files


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000), by=st.lists(key_columns, min_size=1, max_size=2, unique=True), picks=st.integers(0, 6)
)
def test_ranges_keep_equal_keys_together_and_files_apart(seed: int, by: list[str], picks: int) -> None:
    batch = input_rows(300, seed)
    keys = [SortKey(name) for name in by]
    plain = travelling(batch)
    order = sort_indices(plain, keys)
    chosen = order[[len(order) * (at + 1) // (picks + 1) - 1 for at in range(picks)]] if picks else order[:0]
    boundaries = (
        plain.select(by)
        .take(pa.array(chosen.tolist(), pa.int64()))
        .append_column("position", pa.nulls(picks, pa.int64()))
    )
    files, results = repartition(batch, Repartition(range=by), picks + 1, picks + 1, boundaries=boundaries)
    tables = files.tables()
    together = pa.concat_tables(tables)
    assert sorted(together.column("row").to_pylist()) == list(range(300))
    for table in tables:  # in input order inside
        numbers = table.column("row").to_pylist()
        assert numbers == sorted(numbers)
    # sorting each file by the keys gives the whole in order, and no key is in two files
    ranked: list[list[object]] = []
    for table in tables:
        ordered = (
            table.take(pa.array(sort_indices(travelling(table.combine_chunks().to_batches()[0]), keys).tolist()))
            if table.num_rows
            else table
        )
        ranked.append(comparable(ordered.select([*by, "when"]) if "when" not in by else ordered.select(by)))  # type: ignore[arg-type]
    by_hash = [set(_key_hashes(table, by)) for table in tables]
    for a in range(len(tables)):
        for b in range(a):
            assert not by_hash[a] & by_hash[b]
    for table, result in zip(tables, results, strict=True):
        assert (result.keys is None) == (table.num_rows == 0)


def _key_hashes(table: pa.Table, by: list[str]) -> list[int]:
    from shuffle_worker.partitioning.hash import hash_rows

    return hash_rows([table.column(name).combine_chunks() for name in by]).tolist() if table.num_rows else []


def test_row_groups_have_exactly_the_planned_size() -> None:
    files, _ = repartition(input_rows(1000, 3), Repartition(), 3, 3, Under(batch_rows=71))
    for data in files.files.values():
        metadata = pq.ParquetFile(io.BytesIO(data)).metadata
        sizes = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
        assert sizes[:-1] == [ROW_GROUP] * (len(sizes) - 1) and 0 < sizes[-1] <= ROW_GROUP


@pytest.mark.parametrize("partitions", [127, 128, 129, 300])
def test_more_partitions_than_a_byte_can_name(partitions: int) -> None:
    batch = input_rows(2000, 4, distinct=1500)
    files, _ = repartition(batch, Repartition(by=["key"]), partitions, partitions, Under(batch_rows=2000))
    assert sorted(pa.concat_tables(files.tables()).column("row").to_pylist()) == list(range(2000))


def test_tens_of_thousands_of_partitions_in_few_buckets() -> None:
    partitions, buckets, rows = 32_769, 16, 70_000
    schema = pa.schema([("row", pa.int64())])
    plan = plan_of(schema, Repartition(by=["row"]), partitions, buckets, row_bytes=8)
    operation = operation_for(Given(plan, MemoryFiles(), None, 32 * MIB))
    source = MemorySource()
    batch = pa.record_batch({"row": pa.array(range(rows), pa.int64())})
    map_rows(operation, [batch], source, rows)
    assert source.count == buckets  # not one for each partition
    assert source.rows == rows
    ids = cells_of([batch.column(0)], partitions)
    group = 5
    results = list(operation.write(group, source, 64 * MIB))
    cells = plan.layout.bucket_cells(group)
    assert [result.partition for result in results] == list(cells)
    assert [result.rows for result in results] == [int((ids == cell).sum()) for cell in cells]


@pytest.mark.parametrize("buckets", [6, 2])
def test_only_wanted_groups_are_sent(buckets: int) -> None:
    batch = input_rows(500, 9)
    plan = plan_of(SCHEMA, Repartition(by=["text"]), 6, buckets)
    everything, some = MemorySource(), MemorySource()
    operation = operation_for(Given(plan, MemoryFiles(), None, MIB))
    map_rows(operation, [travelling(batch)], everything, 90)
    map_rows(operation, [travelling(batch)], some, 90, wanted=frozenset({1}))
    for bucket in range(buckets):
        count = sum(shard.rows for shard in some.shards(bucket))
        assert count == (sum(shard.rows for shard in everything.shards(bucket)) if bucket == 1 else 0)
    whole = list(operation.write(1, everything, MIB))
    assert list(operation.write(1, some, MIB)) == whole


def test_a_repartition_refuses_a_layout_that_would_lose_the_order() -> None:
    with pytest.raises(ValueError, match="several buckets"):
        operation_for(Given(plan_of(SCHEMA, Repartition(by=["key"]), 2, 4), MemoryFiles(), None, MIB))


def test_a_shard_with_other_rows_than_announced_stops_the_write() -> None:
    plan = plan_of(SCHEMA, Repartition(by=["key"]), 1, 1)
    files = MemoryFiles()
    operation = operation_for(Given(plan, files, None, MIB))
    source = MemorySource()
    splitter = operation.splitter(None)
    from shuffle_worker.readers.reader import Rows

    shards = splitter.add(Rows(travelling(input_rows(50, 1)), 0, None, 0)) + splitter.flush()
    source.put(0, [shard._replace(rows=49) for shard in shards])
    with pytest.raises(ValueError, match="holds 50 rows, but was announced with 49"):
        list(operation.write(0, source, MIB))
    assert files.files == {}
