"""Row groups that cannot hold a row that passes are not read; none that does is ever left out."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plan.jobs import job, numbers, plan_of, read_all, write
from tests.plan.test_filter_meaning import SCHEMA, TABLE, conditions, kept

MOMENT = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 (a time without a zone is meant)


def groups_read(folder: Path, condition: str, **changes: Any) -> int:
    plan = plan_of(job(folder, filter=condition, **changes))
    return sum(len(piece.row_groups) for split in plan.splits for piece in split.pieces)


@pytest.mark.parametrize(
    ("condition", "groups"),
    [
        ("id < 100", 1),
        ("id <= 100", 2),
        ("id = 555", 1),
        ("id > 850", 2),
        ("id >= 2000", 0),
        ("id BETWEEN 150 AND 250", 2),
        ("id IN (5, 505)", 2),
        ("NOT (id >= 100)", 1),
        ("id < 100 OR id > 950", 2),
        ("id < 100 AND id > 950", 0),
        ("100 > id", 1),
        ("id > 99.5 AND id < 100.5", 1),
        ("id IS NULL", 0),
        ("id IS NOT NULL", 10),
        ("name = 'row 00555'", 1),
        ("name < 'row 00100'", 1),
        ("f > 899", 1),
        ("at < TIMESTAMP '2026-01-01 01:40:00'", 1),
        ("day = DATE '2026-01-01'", 2),
        ("at >= DATE '2027-01-01'", 0),
        ("sparse IS NOT NULL", 1),
        ("sparse > 0", 1),
        ("id % 2 = 0", 10),
        ("NULL", 0),
        ("FALSE", 0),
        ("id = NULL", 0),
    ],
)
def test_statistics_leave_row_groups_out(tmp_path: Path, condition: str, groups: int) -> None:
    table = numbers(
        1000,
        name=pa.array([f"row {n:05}" for n in range(1000)]),
        f=pa.array([float(n) for n in range(1000)]),
        at=pa.array([MOMENT + datetime.timedelta(minutes=n) for n in range(1000)], pa.timestamp("us")),
        day=pa.array([datetime.date(2026, 1, 1) + datetime.timedelta(n // 150) for n in range(1000)]),
        sparse=pa.array([n if n < 50 else None for n in range(1000)]),
    )
    write(tmp_path, {"a": table}, row_group_size=100)
    assert groups_read(tmp_path, condition) == groups
    found, positions = read_all(plan_of(job(tmp_path, filter=condition, columns=["id"])))
    expected = kept(condition, table)
    assert found.column("id").to_pylist() == positions.tolist() == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_of_every_unit(tmp_path: Path, unit: str, zone: str | None) -> None:
    seconds = pa.array(range(1000), pa.int64())
    table = pa.table({"at": seconds.cast(pa.timestamp("s")).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, zone))})
    write(tmp_path, {"a": table}, row_group_size=100)
    offset = "Z" if zone else ""
    condition = f"at >= '1970-01-01 00:02:30{offset}' AND at < '1970-01-01 00:03:10{offset}'"
    assert groups_read(tmp_path, condition) == 1
    assert len(read_all(plan_of(job(tmp_path, filter=condition)))[0]) == 40


def test_nan_is_not_in_statistics(tmp_path: Path) -> None:
    table = pa.table({"f": [5.0, 5.0, float("nan")], "n": [1, 2, 3]})
    write(tmp_path, {"a": table})
    found, _ = read_all(plan_of(job(tmp_path, filter="f != 5")))
    assert found.column("n").to_pylist() == [3]
    found, _ = read_all(plan_of(job(tmp_path, filter="NOT (f = 5)")))
    assert found.column("n").to_pylist() == [3]


def test_unsigned_numbers_beyond_the_signed_range(tmp_path: Path) -> None:
    table = pa.table({"u": pa.array([1, 2**63 + 5], pa.uint64()), "w": pa.array([1, 2**31 + 5], pa.uint32())})
    write(tmp_path, {"a": table})
    for condition in ("u > 9223372036854775807", "w > 2147483647"):
        assert len(read_all(plan_of(job(tmp_path, filter=condition)))[0]) == 1


def test_folders_leave_files_out(tmp_path: Path) -> None:
    write(tmp_path, {f"year={year}/a": numbers(10, year) for year in range(2020, 2030)})
    assert groups_read(tmp_path, "year >= 2028") == 2
    found, positions = read_all(plan_of(job(tmp_path, filter="year = 2021 AND id = 2025")))
    assert found.to_pylist() == [{"id": 2025, "year": 2021}]
    assert positions.tolist() == [14]


def test_a_column_that_a_file_lacks_is_null_there(tmp_path: Path) -> None:
    write(tmp_path, {"a": numbers(10), "b": numbers(10, 10, x=pa.array(range(10)))})
    assert groups_read(tmp_path, "x >= 0") == 1
    assert groups_read(tmp_path, "x IS NULL") == 1
    assert read_all(plan_of(job(tmp_path, filter="x IS NULL OR x = 9")))[1].tolist() == [*range(10), 19]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(conditions(), st.integers(1, 5))
def test_no_row_that_passes_is_left_out(tmp_path: Path, condition: str, rows: int) -> None:
    table = TABLE.append_column(pa.field("n", pa.int64()), pa.array(range(TABLE.num_rows)))
    folder = tmp_path / str(rows)
    if not folder.exists():
        write(folder, {"a": table.slice(0, 7), "b": table.slice(7)}, row_group_size=rows)
    found, positions = read_all(plan_of(job(folder, filter=condition, columns=["n"])), 3)
    expected = kept(condition, TABLE.cast(SCHEMA))
    assert found.column("n").to_pylist() == positions.tolist() == expected
