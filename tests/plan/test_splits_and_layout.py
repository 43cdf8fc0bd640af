"""How a job is cut: splits, partitions, buckets, row groups; what shows does not depend on workers or memory."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.jobs import job, numbers, plan_of, read_all, write

from shuffle_protocol.jobs import Repartition, Sort, SortKey
from shuffle_protocol.memory import MIB
from shuffle_worker.inputs.reading import FoundFile, RowGroup
from shuffle_worker.inputs.table import kept_groups, splits_of
from shuffle_worker.plan import sizing
from shuffle_worker.storage import Info


def files(*rows: list[int]) -> list[FoundFile]:
    schema = pa.schema([("x", pa.int64())])
    groups = [[RowGroup(count, count * 4, count * 3, 0, {}) for count in each] for each in rows]
    return [FoundFile(Info(f"f{at}", 10, "t"), {}, schema, each) for at, each in enumerate(groups)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3_000_000), max_size=5), min_size=1, max_size=30), st.floats(0.1, 500))
def test_splits_hold_every_row_group_once_in_order(rows: list[list[int]], row_bytes: float) -> None:
    found = files(*rows)
    target = sizing.split_target(sum(map(sum, rows)) * row_bytes)
    splits = splits_of(found, kept_groups(found), row_bytes, target)
    flat = [
        (piece.file, group, first)
        for split in splits
        for piece in split.pieces
        for group, first in zip(piece.row_groups, piece.first_rows, strict=True)
    ]
    expected, first = [], 0
    for at, each in enumerate(rows):
        for group, count in enumerate(each):
            if count:
                expected.append((at, group, first))
            first += count
    assert flat == expected
    assert sum(split.rows for split in splits) == first
    assert sum(split.bytes for split in splits) == first * 4
    for split in splits:
        groups = sum(len(piece.row_groups) for piece in split.pieces)
        assert groups == 1 or split.rows * row_bytes <= 2 * target


@given(st.floats(0, 1e15))
def test_the_number_of_splits_is_bounded(total: float) -> None:
    target = sizing.split_target(total)
    assert total / target <= sizing.MOST_SPLITS * 1.01
    assert target >= sizing.LEAST_SPLIT_BYTES


@settings(max_examples=300)
@given(st.integers(1, 100_000), st.floats(0, 1e13), st.booleans(), st.integers(10 * MIB, 10_000 * MIB))
def test_a_layout_is_one_that_stores_and_leases_can_bear(
    partitions: int, arrow_bytes: float, in_ranges: bool, working: int
) -> None:
    layout = sizing.layout_for(partitions, arrow_bytes, in_ranges=in_ranges, working=working)
    assert layout.partitions == partitions
    assert layout.buckets <= (sizing.MOST_SORT_BUCKETS if in_ranges else sizing.MOST_BUCKETS)
    if not in_ranges:
        assert layout.buckets <= partitions
    elif layout.buckets > partitions and layout.buckets + partitions <= sizing.MOST_SORT_BUCKETS:
        assert arrow_bytes / layout.buckets <= max(min(sizing.BUCKET_BYTES, working // 4), MIB)


def test_partitions_as_asked_or_by_size(tmp_path: Path) -> None:
    write(tmp_path, {"a": numbers(10_000)}, compression="none", use_dictionary=False)
    assert plan_of(job(tmp_path, partitions=7)).layout.partitions == 7
    assert plan_of(job(tmp_path)).layout.partitions == 1
    assert plan_of(job(tmp_path, target_bytes=10_000)).layout.partitions == 9  # 80,000 bytes and the pages' headers
    half = plan_of(job(tmp_path, target_bytes=10_000, filter="id % 2 = 0"))
    assert half.layout.partitions == 5
    assert half.summary.tree is not None
    assert half.summary.tree.estimated.files == 5
    assert any("for output.targetPartitionSize" in why for why in half.summary.tree.why)


def test_more_files_than_rows_is_allowed(tmp_path: Path) -> None:
    write(tmp_path, {"a": numbers(3)})
    plan = plan_of(job(tmp_path, partitions=20_000))
    assert plan.layout.partitions == 20_000
    assert plan.layout.buckets <= sizing.MOST_BUCKETS
    assert sum(plan.summary.group_partitions) == 20_000
    assert plan.summary.tree is not None
    assert any("there are fewer rows" in why for why in plan.summary.tree.why)


def test_files_without_rows(tmp_path: Path) -> None:
    write(tmp_path, {"a": numbers(0), "b": numbers(0)})
    for operation in (Repartition(by=["id"]), Repartition(), Sort(by=[SortKey("id")]), Repartition(range=["id"])):
        plan = plan_of(job(tmp_path, operation, partitions=4))
        assert (plan.splits, plan.summary.input_rows, plan.layout.partitions) == ([], 0, 4)
        assert (plan.boundaries is not None) == (operation != Repartition() and operation != Repartition(by=["id"]))
        assert read_all(plan)[0].schema.names == ["id"]


@pytest.mark.parametrize(
    "operation", [Repartition(by=["id"]), Repartition(), Repartition(range=["id"]), Sort(by=[SortKey("id")])]
)
def test_nothing_that_shows_depends_on_workers_or_memory(tmp_path: Path, operation: Repartition | Sort) -> None:
    write(tmp_path, {f"f{n}": numbers(5000, n * 5000) for n in range(4)}, row_group_size=500)
    plans = [
        plan_of(job(tmp_path, operation, target_bytes=20_000, workers=workers, memory=memory << 20))
        for workers, memory in ((1, 256), (2, 512), (7, 4096))
    ]
    shown = [
        msgspec.structs.replace(
            plan, job=plans[0].job, summary=plans[0].summary, layout=plans[0].layout, boundaries=None
        )
        for plan in plans
    ]
    assert shown[0] == shown[1] == shown[2]
    assert len({plan.layout.partitions for plan in plans}) == 1


def test_the_same_job_twice_is_the_same_plan(tmp_path: Path) -> None:
    write(tmp_path, {f"f{n}": numbers(5000, n * 5000) for n in range(4)}, row_group_size=500)
    for operation in (Repartition(by=["id"]), Sort(by=[SortKey("id", True)]), Repartition(range=["id"])):
        one = job(tmp_path, operation, partitions=8, filter="id % 3 = 1")
        assert plan_of(one) == plan_of(one)


def test_files_are_read_in_the_order_of_the_paths(tmp_path: Path) -> None:
    folder = write(tmp_path, {"b/1": numbers(5), "a/1": numbers(5, 5), "a/0": numbers(5, 10)})
    plan = plan_of(job(tmp_path, paths=[f"{folder}/b", f"{folder}/a", f"{folder}/a/1"]))
    assert [file.path for file in plan.files] == [f"{folder}/b/1", f"{folder}/a/0", f"{folder}/a/1"]
    assert [piece.first_rows for split in plan.splits for piece in split.pieces] == [[0], [5], [10]]
    assert read_all(plan)[0].column("id").to_pylist() == [*range(5), *range(10, 15), *range(5, 10)]


def test_dictionaries_are_for_columns_of_few_values(tmp_path: Path) -> None:
    rows = 20_000
    table = numbers(
        rows,
        country=pa.array([f"country {n % 26}" for n in range(rows)]),
        name=pa.array([f"name {n}" for n in range(rows)]),
        declared=pa.array([f"value {n}" for n in range(rows)]).dictionary_encode(),
        level=pa.array([n % 5 for n in range(rows)]),
        flag=pa.array([n % 2 == 0 for n in range(rows)]),
    )
    write(tmp_path, {"a": table}, row_group_size=rows)
    assert plan_of(job(tmp_path)).dictionary == ["country", "declared", "level"]


def test_row_groups_are_sized_by_the_bytes_of_a_row() -> None:
    assert sizing.row_group_rows(1) == sizing.MOST_ROW_GROUP_ROWS
    assert sizing.row_group_rows(1024) == 9 * 1024
    assert sizing.row_group_rows(1e9) == sizing.LEAST_ROW_GROUP_ROWS
    assert sizing.memory_needed(100, sizing.row_group_rows(100), 10) == 256 * MIB


def test_a_job_that_fits_needs_no_scratch(tmp_path: Path) -> None:
    write(tmp_path, {"a": numbers(1000)})
    assert plan_of(job(tmp_path)).summary.scratch_needed == 0


@pytest.mark.parametrize(
    ("by", "folders", "days", "files"),
    [
        (["day"], ["day"], 40, 32),
        (["day"], ["day", "key"], 40, 32),
        (["day"], ["day"], 3, 3),
        (["key"], ["day"], 40, 1),
    ],
)
def test_files_of_folders_are_shared_out_where_that_makes_no_more_of_them(
    tmp_path: Path, by: list[str], folders: list[str], days: int, files: int
) -> None:
    """Compaction: many small files in, one for each folder out, written by all workers."""
    for at in range(5):
        write(tmp_path, {f"{at}.parquet": pa.table({"day": list(range(days)), "key": [at] * days, "x": [0.5] * days})})
    plan = plan_of(job(tmp_path, Repartition(by=by), partition_by=folders))
    assert plan.layout.partitions == files
