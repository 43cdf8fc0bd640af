"""Joins of inputs whose rows go through functions: their keys and columns are those that the functions return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from tests.functions.users import module
from tests.join import joining
from tests.join.joining import in_duckdb, join, rows_of, written

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import AsOf, CodeSource, Functions, Job, Join
from shuffle_worker.operations.join import strategy
from shuffle_worker.plan.record import Plan

FUNCTIONS = """
import numpy as np
import pyarrow.compute as pc

def halves(rows: pa.Table) -> pa.Table:
    # other keys, of another name and type, and only of some rows
    rows = rows.filter(pc.not_equal(rows["k"], 7))
    return pa.table({"half": pc.cast(pc.divide(rows["k"], 2), pa.int32()), "a": rows["a"]})

def twice(rows: pa.Table) -> pa.Table:
    rows = rows.take(np.repeat(np.arange(len(rows)), 2))
    return rows.append_column("copy", pa.array([0, 1] * (len(rows) // 2), pa.int8()))

def mostly_one(rows: pa.Table) -> pa.Table:
    return rows.set_column(0, "k", pc.if_else(pc.greater(rows["k"], 9), 1, rows["k"]))

def nothing(rows: pa.Table) -> pa.Table:
    return rows.slice(0, 0)
"""
LEFT = 900
RIGHT = 60


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, pa.Table]:
    folder, random = tmp_path_factory.mktemp("joined"), np.random.default_rng(3)
    left = pa.table({"k": pa.array(random.integers(0, 80, LEFT), pa.int64()), "a": np.arange(LEFT)})
    right = pa.table({"k": pa.array(np.arange(RIGHT), pa.int64()), "b": np.arange(RIGHT) * 1.5})
    written(folder / "left", left, files=2, row_group_size=200)
    written(folder / "right", right, row_group_size=25)
    module(folder, "sided", FUNCTIONS)
    return folder, left, right


def job_of(folder: Path, operation: Join, left: str, right: str, **more: Any) -> Job:
    job = joining.job_of(folder, operation, **more)
    inputs = [
        msgspec.structs.replace(one, map=f"sided:{name}" if name else "")
        for one, name in zip(job.inputs, (left, right), strict=True)
    ]
    code = Functions([CodeSource(str(folder), name="the test's folder", last=True)], 200 << 20, 60.0)
    return msgspec.structs.replace(job, inputs=inputs, functions=code)


def with_calls_of(plan: Plan, rows: int) -> Plan:
    """The plan with calls of so many rows."""
    inputs = [msgspec.structs.replace(one, call_rows=rows) if one.call_rows else one for one in plan.inputs]
    return msgspec.structs.replace(plan, inputs=inputs)


HALVES = "(SELECT CAST(k // 2 AS INTEGER) AS half, a FROM l WHERE k <> 7)"
TWICE = "(SELECT k, b, unnest([0, 1]) AS copy FROM r)"
CASES: dict[str, tuple[Join, str, str, str]] = {
    "left": (
        join(on=["half"], right_on=["k"]),
        "halves",
        "",
        f"SELECT half, a, k, b FROM {HALVES} x JOIN r ON x.half = r.k",
    ),
    "right": (join("Left"), "", "twice", f"SELECT l.k, a, b, copy FROM l LEFT JOIN {TWICE} y ON l.k = y.k"),
    "both": (
        join("Full", on=["half"], right_on=["k"]),
        "halves",
        "twice",
        f"SELECT half, a, k, b, copy FROM {HALVES} x FULL JOIN {TWICE} y ON x.half = y.k",
    ),
    "nearest": (
        Join("AsOf", 0, 1, ["k"], ["k"], as_of=AsOf("a", "copy")),
        "",
        "twice",
        f"SELECT l.k, l.a, y.b, y.copy FROM l ASOF LEFT JOIN {TWICE} y ON l.k = y.k AND l.a >= y.copy",
    ),
    "semi": (join("LeftSemi"), "", "twice", "SELECT k, a FROM l SEMI JOIN r USING (k)"),
    "nothing": (join("LeftAnti"), "", "nothing", "SELECT k, a FROM l"),
    "condition": (
        join(where='r."copy" = 1 AND b > 30'),
        "",
        "twice",
        f"SELECT l.k, a, b, copy FROM l JOIN {TWICE} y ON l.k = y.k AND copy = 1 AND b > 30",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rows_of_duckdb(sides: tuple[Path, pa.Table, pa.Table], name: str) -> None:
    """However the sides are brought together, and however they are cut."""
    folder, left, right = sides
    operation, of_left, of_right, query = CASES[name]
    job = job_of(folder, operation, of_left, of_right)
    expected = rows_of(in_duckdb(left, right, query))
    parted = with_calls_of(joining.planned(job), 70)
    found = joining.carried_out(parted)
    assert rows_of(found.table) == expected
    again = joining.carried_out(parted, memory=1 << 20, batch_rows=33, batch_bytes=2_000)
    assert again.files.files == found.files.files
    broadcast = with_calls_of(joining.planned(job, broadcast=1 << 20), 70)
    assert rows_of(joining.carried_out(broadcast).table) == expected


def test_a_key_that_the_function_does_not_return_is_named(sides: tuple[Path, pa.Table, pa.Table]) -> None:
    folder, _, _ = sides
    with pytest.raises(InvalidSpec, match=r"what sided:halves returns \(inputs\[0\]\.map\) has no column 'k'"):
        joining.planned(job_of(folder, join(), "halves", ""))


def test_one_key_that_a_function_makes_of_most_rows_is_spread(
    sides: tuple[Path, pa.Table, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, left, right = sides
    monkeypatch.setattr(strategy, "SKEWED_BYTES", 100)
    monkeypatch.setattr(strategy, "SKEWED_PIECE", 100)
    plan = joining.planned(job_of(folder, join(), "mostly_one", "", partitions=8))
    assert [skewed.input for skewed in plan.skewed] == [0]
    query = "SELECT r.k, a, b FROM (SELECT if(k > 9, 1, k) AS k, a FROM l) x JOIN r USING (k)"
    assert rows_of(joining.carried_out(plan).table) == rows_of(in_duckdb(left, right, query))
