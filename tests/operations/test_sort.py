"""A sort end to end without a network: one order over all files, stable, the same bytes whatever the circumstances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operations.memory_shards import PLENTY, MemoryFiles, Under, carried_out, plan_of
from tests.operations.random_rows import SCHEMA, comparable, input_rows, key_columns, travelling

from shuffle_protocol.errors import OutOfDisk, OutOfMemory
from shuffle_protocol.jobs import Sort, SortKey
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.steps import external_sort
from shuffle_worker.steps.operation import Given
from shuffle_worker.steps.sorting import Sorter

MIB = 1 << 20
one_key = st.builds(SortKey, key_columns, st.booleans(), st.booleans())
sort_keys = st.lists(one_key, min_size=1, max_size=3, unique_by=lambda key: key.column)


def boundaries_of(rows: pa.RecordBatch, keys: list[SortKey], cells: int, seed: int) -> pa.RecordBatch:
    """Some rows of the input, in order, with their positions: equal keys are cut apart by them."""
    picks = np.sort(np.random.default_rng(seed).choice(rows.num_rows, cells - 1, replace=False))
    order = sort_indices(rows, keys)[picks]
    chosen = rows.select([key.column for key in keys]).take(pa.array(order.tolist(), pa.int64()))
    return chosen.append_column("position", pa.array(order.tolist(), pa.int64()))


def sort(
    batch: pa.RecordBatch,
    keys: list[SortKey],
    partitions: int,
    buckets: int,
    under: Under = PLENTY,
    *,
    seed: int = 0,
) -> tuple[MemoryFiles, list[FileResult]]:
    rows = travelling(batch)
    boundaries = boundaries_of(rows, keys, max(partitions, buckets), seed)
    plan = plan_of(SCHEMA, Sort(keys), partitions, buckets, boundaries=boundaries, row_group_rows=50)
    files = MemoryFiles()
    results, _ = carried_out(batch, plan, operation_for(Given(plan, files, under.scratch, MIB)), under)
    return files, results


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000), keys=sort_keys, layout=st.sampled_from([(1, 1), (1, 5), (3, 3), (2, 8), (9, 2), (9, 1)])
)
def test_the_files_together_are_in_order_and_stable(seed: int, keys: list[SortKey], layout: tuple[int, int]) -> None:
    batch = input_rows(300, seed)
    files, results = sort(batch, keys, *layout, seed=seed)
    expected = sort_indices(travelling(batch), keys).tolist()
    tables = files.tables()
    assert pa.concat_tables(tables).column("row").to_pylist() == expected
    assert [result.rows for result in results] == [table.num_rows for table in tables]
    for table in tables:
        assert table.schema.equals(SCHEMA, check_metadata=True)
        kept = travelling(batch).take(table.column("row").combine_chunks())
        assert comparable(table) == comparable(pa.Table.from_batches([kept]))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), keys=sort_keys)
def test_bytes_depend_on_input_and_job_alone(
    tmp_path_factory: pytest.TempPathFactory, seed: int, keys: list[SortKey]
) -> None:
    batch = input_rows(400, seed)
    scratch = tmp_path_factory.mktemp("scratch")
    expected, results = sort(batch, keys, 4, 4, seed=seed)
    for under in (
        Under(20_000, 2, 37, True, scratch),
        Under(100_000, 7, 500, False, scratch),
        Under(MIB, 3, 11, True, scratch),
    ):
        found, again = sort(batch, keys, 4, 4, under, seed=seed)
        assert found.files == expected.files
        assert again == results
    assert list(scratch.iterdir()) == []


def test_the_manifest_learns_first_and_last_keys() -> None:
    batch = input_rows(300, 2)
    keys = [SortKey("text", descending=True, nulls_first=True), SortKey("row")]
    files, results = sort(batch, keys, 3, 3)
    for result, table in zip(results, files.tables(), strict=True):
        ends = table.select(["text", "row"]).to_pylist()
        assert result.keys == (list(ends[0].values()), list(ends[-1].values()))


def pieces_of(batch: pa.RecordBatch, sizes: list[int]) -> list[list[pa.RecordBatch]]:
    """Shards a few at a time, as they are read back."""
    found, at = [], 0
    for number, size in enumerate(sizes):
        if number % 3 == 0:
            found.append([])
        found[-1].append(batch.slice(at, size))
        at += size
    return [*found, [batch.slice(at)]]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    keys=sort_keys,
    sizes=st.lists(st.integers(0, 90), max_size=14),
    memory=st.integers(10_000, 400_000),
    fan_in=st.integers(2, 5),
)
def test_external_sort_equals_the_sort_in_memory(
    tmp_path_factory: pytest.TempPathFactory, seed: int, keys: list[SortKey], sizes: list[int], memory: int, fan_in: int
) -> None:
    batch = travelling(input_rows(800, seed))
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external_sort, "FAN_IN", fan_in)
        patch.setattr(external_sort, "LEAST_BLOCK_ROWS", 10)
        stream = Sorter(keys, scratch).sorted(iter(pieces_of(batch, sizes)), memory)
        found = pa.Table.from_batches(list(stream), batch.schema)
    order = sort_indices(batch, keys).tolist()
    assert comparable(found) == comparable(pa.Table.from_batches([batch.take(pa.array(order))]))
    assert list(scratch.iterdir()) == []


def test_an_interrupted_external_sort_leaves_nothing(tmp_path: Path) -> None:
    batch = travelling(input_rows(800, 1))
    sorter = Sorter([SortKey("key")], tmp_path)
    stream = sorter.sorted(iter(pieces_of(batch, [100] * 6)), 50_000)
    next(stream)
    assert list(tmp_path.iterdir()) != []
    stream.close()
    assert list(tmp_path.iterdir()) == []

    def broken() -> Iterator[list[pa.RecordBatch]]:
        yield [batch]
        yield [batch]
        raise RuntimeError("the store went away")

    with pytest.raises(RuntimeError, match="went away"):
        list(sorter.sorted(broken(), 50_000))
    assert list(tmp_path.iterdir()) == []


def test_rows_that_fit_touch_no_scratch(tmp_path: Path) -> None:
    batch = travelling(input_rows(800, 1))
    list(Sorter([SortKey("key")], tmp_path / "never").sorted(iter(pieces_of(batch, [100] * 6)), 64 * MIB))
    assert list(tmp_path.iterdir()) == []


def test_without_scratch_what_does_not_fit_is_refused_with_sizes() -> None:
    with pytest.raises(OutOfMemory, match="no scratch folder"):
        sort(input_rows(400, 1), [SortKey("key")], 1, 1, Under(memory=20_000))


def test_a_full_disk_is_said_with_the_room_there_is(tmp_path: Path) -> None:
    batch = travelling(input_rows(800, 1))
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full here")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OutOfDisk, match="bytes free"):
        patch.setattr(external_sort.pa, "OSFile", lambda path, mode: pa.PythonFile(full.open("wb", buffering=0), "w"))
        list(Sorter([SortKey("key")], tmp_path).sorted(iter([[batch], [batch]]), 50_000))
    assert list(tmp_path.iterdir()) == []
