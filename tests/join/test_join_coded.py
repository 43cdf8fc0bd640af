"""Text of few values travels as codes through joins: the files are as if it had travelled as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import carried_out, job_of, join, planned, written
from tests.join.test_join_aligned import parted

from shuffle_protocol.jobs import AsOf, Input, Job, Join, Output, SortKey, StarJoin
from shuffle_worker.operations.join import partners, strategy
from shuffle_worker.plan.record import Plan

TYPES = ("Inner", "Left", "Right", "Full", "LeftSemi", "LeftAnti", "RightSemi", "RightAnti", "AsOf")
FEW = [f"name {number * 7 % 26}" for number in range(26)]
COLOURS = ["red", "green", "", "blue"]

OF_LEFT = {"few", "nulls", "late"}
OF_RIGHT = {"few_right", "colour", "rare"}


def rows_of_left(rows: int = 3000) -> pa.Table:
    """Text that the sample has seen, with nulls, and some that it has not: as much as there are rows."""
    random = np.random.default_rng(5)
    keys = random.integers(0, 400, rows)
    late = [FEW[row % 26] if row % 1000 < 750 else f"rare {row}" if row % 3 else None for row in range(rows)]
    return pa.table(
        {
            "k": pa.array(keys, mask=random.random(rows) < 0.03),
            "key": [FEW[number % 26] for number in keys],
            "few": [FEW[number] for number in random.integers(0, 26, rows)],
            "nulls": [None if row % 5 == 0 else FEW[row % 7] for row in range(rows)],
            "late": late,
            "a": np.arange(rows),
            "t": random.integers(0, 50, rows),
        }
    )


def rows_of_right(rows: int = 600) -> pa.Table:
    random = np.random.default_rng(6)
    keys = random.integers(100, 500, rows)
    return pa.table(
        {
            "k": pa.array(keys, mask=random.random(rows) < 0.03),
            "key": [FEW[number % 26] for number in keys],
            "few": [FEW[25 - number] for number in random.integers(0, 9, rows)],
            "colour": [COLOURS[number] for number in random.integers(0, 4, rows)],
            "rare": [None if row % 10 == 0 else "often" if row % 200 < 150 else f"late {row}" for row in range(rows)],
            "b": np.arange(rows),
            "u": random.integers(0, 50, rows),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("sides")
    written(found / "left", rows_of_left(), files=3, row_group_size=250)
    written(found / "right", rows_of_right(), files=2, row_group_size=50)
    return found


def asked(how: str, **more: Any) -> Join:
    return join(how, as_of=AsOf("t", "u") if how == "AsOf" else None, **more)


def in_result(how: str) -> set[str]:
    """The columns that travel as codes, where the condition names none."""
    if how in ("LeftSemi", "LeftAnti"):
        return {*OF_LEFT, "key"}
    if how in ("RightSemi", "RightAnti"):
        return {name.removesuffix("_right") for name in OF_RIGHT} | {"key"}
    return OF_LEFT | OF_RIGHT | {"key", "key_right"}


def check(plan: Plan, values: set[str], scratch: Path, **more: int) -> Mapping[str, bytes]:
    """That files are the same whether these columns travel as codes or not, however rows were cut."""
    assert set(plan.values) == values
    text = msgspec.structs.replace(plan, values={})
    expected = carried_out(text).files.files
    runs: list[dict[str, Any]] = [
        {},
        {"batch_rows": 64, "batch_bytes": 20_000},
        {"buckets": 3 * plan.layout.partitions} if not (plan.broadcast or plan.aligned) else {"batch_rows": 5000},
        {"buckets": 1},
        {"memory": 150_000, "scratch": scratch},
    ]
    for run in runs:
        assert carried_out(plan, **run).files.files == expected, run
    return expected


@pytest.mark.parametrize("how", TYPES)
def test_both_sides_shuffled(folder: Path, tmp_path: Path, how: str) -> None:
    plan = planned(job_of(folder, asked(how), partitions=2))
    assert not plan.broadcast
    files = check(plan, in_result(how), tmp_path)
    assert len(files) == 2 and sum(map(len, files.values())) > 5_000


@pytest.mark.parametrize("how", ["Inner", "Left", "Right", "LeftSemi", "RightAnti", "Cross"])
@pytest.mark.parametrize("where", ["", "l.few < r.few AND colour = 'red'"])
def test_one_side_broadcast(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, where: str
) -> None:
    monkeypatch.setattr(strategy, "BROADCAST_TIMES", 0)
    if how == "Cross":
        filters = ("a < 300", "b % 40 = 7")
        operation = Join("Cross", 0, 1, [], [], where=where)
    else:
        filters = ("", "")
        operation = asked(how, where=where)
    plan = planned(job_of(folder, operation, filters=filters), broadcast=1 << 20)
    assert plan.broadcast
    named = {"few", "few_right", "colour"} if where else set()
    check(plan, in_result(how) - named, tmp_path)


@pytest.mark.parametrize("how", ["Inner", "Full", "LeftAnti"])
def test_a_condition_names_some(folder: Path, tmp_path: Path, how: str) -> None:
    plan = planned(job_of(folder, asked(how, where="l.few <> r.few AND colour < 'green'")))
    check(plan, in_result(how) - {"few", "few_right", "colour"}, tmp_path)


@pytest.mark.parametrize("how", ["Inner", "Right", "Full", "LeftSemi"])
@pytest.mark.parametrize("nulls_equal", [True, False])
def test_keys_are_text_and_nulls_match(folder: Path, tmp_path: Path, how: str, nulls_equal: bool) -> None:
    operation = join(how, ["key", "k"], nulls_equal=nulls_equal)
    check(planned(job_of(folder, operation)), in_result(how) - {"key", "key_right"}, tmp_path)


@pytest.mark.parametrize("how", ["Inner", "Left", "Full"])
def test_files_of_one_folder_each(tmp_path: Path, how: str) -> None:
    """Sides that are partitioned alike: nothing travels."""
    parted(tmp_path / "left", rows_of_left())
    parted(tmp_path / "right", rows_of_right())
    plan = planned(job_of(tmp_path, asked(how), partitions=0))
    assert plan.aligned
    check(plan, {"few", "nulls", "few_right", "colour", "key", "key_right"}, tmp_path / "scratch")


@pytest.mark.parametrize("how", ["Inner", "Left", "LeftAnti"])
def test_hot_keys_are_spread(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(strategy, "SKEWED_BYTES", 1000)
    monkeypatch.setattr(strategy, "SKEWED_PIECE", 1000)
    left = rows_of_left()
    keys = pa.array([7 if row % 2 else key for row, key in enumerate(left.column("k").to_pylist())])
    written(tmp_path / "left", left.set_column(0, "k", keys), files=3, row_group_size=250)
    written(tmp_path / "right", rows_of_right(300), row_group_size=50)
    plan = planned(job_of(tmp_path, asked(how), partitions=12))
    assert plan.skewed
    check(plan, in_result(how), tmp_path / "scratch")


@pytest.mark.parametrize("how", ["Inner", "Right", "LeftSemi"])
def test_rows_without_a_partner_are_not_sent(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(partners, "LEAST_BYTES", 1)
    plan = planned(job_of(folder, asked(how), filters=("", "b % 9 = 0")))
    assert plan.partners is not None
    check(plan, in_result(how), tmp_path)


SHAPES: dict[str, dict[str, Any]] = {
    "compute": {"compute": {"upper": "upper(few)"}},
    "filter": {"filter": "few <> 'name 3'"},
    "columns": {"columns": ["a", "few"]},
    "folders": {"partition_by": ["colour"]},
    "text": {"format": "CSV"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_only_what_is_written_as_it_comes(folder: Path, shape: str) -> None:
    job = job_of(folder, asked("Inner"))
    job = msgspec.structs.replace(job, output=msgspec.structs.replace(job.output, **SHAPES[shape]))
    assert not planned(job).values


def test_the_order_within_files_looks_at_some(folder: Path, tmp_path: Path) -> None:
    plan = planned(job_of(folder, asked("Left"), sort_within=["colour", "few"]))
    check(plan, in_result("Left") - {"colour", "few"}, tmp_path)


def test_filters_and_computed_columns_look_at_some(folder: Path, tmp_path: Path) -> None:
    plan = planned(job_of(folder, asked("Inner"), filters=("few <> 'name 3'", "colour < 'red'")))
    check(plan, in_result("Inner") - {"few", "colour"}, tmp_path)
    job = job_of(folder, asked("Inner"))
    computing = msgspec.structs.replace(job.inputs[0], compute={"up": "upper(nulls)"})
    job = msgspec.structs.replace(job, inputs=[computing, job.inputs[1]])
    check(planned(job), {"few_right", "colour", "rare", "key_right"}, tmp_path)


def test_a_star(folder: Path, tmp_path: Path) -> None:
    """A dimension's column is the next one's key."""
    names = pa.table({"colour": COLOURS, "few": ["warm", "cold", "none", "cold"]})
    written(folder / "colours", names)
    sides = [
        Join("Left", 0, 1, ["k"], ["k"], field="operation.join.sides[0]"),
        Join("Left", 0, 2, ["colour"], ["colour"], field="operation.join.sides[1]", suffixes=["", "_of_colour"]),
    ]
    inputs = [Input([str(folder / name)], name=name) for name in ("left", "right", "colours")]
    output = Output(str(tmp_path / "out"), partitions=3, compression="Snappy", sort_within=[SortKey("late")])
    plan = planned(Job("uid", "star", StarJoin(sides), inputs, output, 2, 512 << 20))
    check(plan, (in_result("Left") - {"late", "colour"}), tmp_path)
