"""A small side is broadcast and a skewed key is spread: the rows stay the same, the files are what the plan says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.join.joining import carried_out, in_duckdb, job_of, join, joined, planned, rows_of, written

from shuffle_protocol.jobs import Join
from shuffle_worker.operations.join import strategy
from shuffle_worker.partitioning import join_keys
from shuffle_worker.plan.record import Plan
from shuffle_worker.tables.work import partitioning

SMALL = 1 << 20


def sides(rows: int = 4000, skewed: float = 0.0) -> tuple[pa.Table, pa.Table]:
    """Many left rows, few right ones with some keys twice and some nowhere. skewed: the share of left rows of one
    key."""
    random = np.random.default_rng(2)
    keys = random.integers(0, 150, rows)
    keys[random.random(rows) < skewed] = 7
    right = np.concatenate([np.arange(20, 170), [7, 7, 30]])
    return (
        pa.table(
            {"k": pa.array(keys, mask=random.random(rows) < 0.02), "a": np.arange(rows), "text": ["x" * 40] * rows}
        ),
        pa.table({"k": right, "b": np.arange(len(right))}),
    )


def text_of(plan: Plan) -> str:
    lines: list[str] = []
    nodes = [plan.summary.tree]
    while nodes:
        node = nodes.pop()
        assert node is not None
        lines += [node.step, node.what, *node.why]
        nodes += node.inputs
    return "\n".join(lines)


def expected(left: pa.Table, right: pa.Table, how: str) -> pa.Table:
    if how in ("LeftSemi", "LeftAnti"):
        return in_duckdb(left, right, f"SELECT l.* FROM l {how[4:].upper()} JOIN r ON l.k = r.k")
    return in_duckdb(left, right, f"SELECT k, a, text, b FROM l {how.upper()} JOIN r USING (k)")


@pytest.mark.parametrize("how", ["Inner", "Left", "LeftSemi", "LeftAnti"])
@pytest.mark.parametrize("poor", [False, True])
def test_a_small_right_side_is_broadcast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, poor: bool) -> None:
    """poor: of all hashes three values are left."""
    if poor:
        real = join_keys.hash_rows
        monkeypatch.setattr(join_keys, "hash_rows", lambda columns: real(columns) % np.uint64(3))
    left, right = sides()
    if poor:  # a hash tells integers apart for certain, texts it does not
        left, right = (one.set_column(0, "k", one.column("k").cast(pa.string())) for one in (left, right))
    found = joined(tmp_path, left, right, join(how), partitions=3, broadcast=SMALL)
    assert found.plan.broadcast == [1]
    assert {split.input for split in found.plan.splits} == {0}
    assert rows_of(found.table) == rows_of(expected(left, right, how))
    for table in found.files.tables():
        assert table.num_rows > found.table.num_rows / 6
        assert pc.all(pc.greater_equal(table.column("a")[1:], table.column("a")[:-1])).as_py()
    assert carried_out(found.plan, batch_rows=50, memory=50_000).files.files == found.files.files
    assert "every worker reads it whole" in text_of(found.plan)
    assert partitioning(found.plan).method == "none"


def test_narrow_rows_count_with_what_finds_them(tmp_path: Path) -> None:
    """A worker holds 48 bytes for a row of 8: by its Arrow bytes alone the side would be broadcast, and not fit."""
    written(tmp_path / "left", pa.table({"k": np.arange(40_000), "a": np.arange(40_000), "b": np.arange(40_000)}))
    written(tmp_path / "right", pa.table({"k": np.arange(1_000)}))
    job = job_of(tmp_path, join("LeftSemi"))
    assert planned(job, broadcast=20_000).broadcast == []
    assert planned(job, broadcast=60_000).broadcast == [1]


@pytest.mark.parametrize("how", ["Inner", "Right"])
def test_a_small_left_side_is_broadcast(tmp_path: Path, how: str) -> None:
    left, right = sides()
    found = joined(tmp_path, right, left, join(how), partitions=2, broadcast=SMALL)
    assert found.plan.broadcast == [0]
    query = f"SELECT k, b, a, text FROM l {how.upper()} JOIN r USING (k)"
    assert rows_of(found.table) == rows_of(in_duckdb(right, left, query))


@pytest.mark.parametrize(
    ("how", "bytes_", "why"),
    [
        ("Full", SMALL, "neither can be broadcast"),
        ("Right", SMALL, "can be broadcast"),
        ("Inner", 100, "can be broadcast"),
    ],
)
def test_a_side_that_must_be_kept_or_is_large_is_shuffled(tmp_path: Path, how: str, bytes_: int, why: str) -> None:
    left, right = sides(40_000)
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    plan = planned(job_of(tmp_path, join(how)), bytes_)
    assert plan.broadcast == []
    assert why in text_of(plan)


@pytest.mark.parametrize("how", ["Inner", "Left", "Right", "Full", "LeftSemi", "LeftAnti"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_hot_key_is_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, swapped: bool) -> None:
    monkeypatch.setattr(strategy, "SKEWED_BYTES", 1000)
    monkeypatch.setattr(strategy, "SKEWED_PIECE", 1000)
    left, right = sides(skewed=0.6)
    if swapped:
        left, right = right.append_column("text2", pa.array(["y"] * len(right))), left.rename_columns(["k", "a", "c"])
    written(tmp_path / "left", left, files=3)
    written(tmp_path / "right", right, files=2)
    plan = planned(job_of(tmp_path, join(how), partitions=12))
    able = ("Inner", "Right") if swapped else ("Inner", "Left", "LeftSemi", "LeftAnti")
    found = carried_out(plan)
    once = how in ("LeftSemi", "LeftAnti")
    names = ", ".join(found.table.column_names)
    kind = how[4:].upper() if once else how.upper()
    query = f"SELECT {'l.*' if once else names} FROM l {kind} JOIN r USING (k)"
    assert rows_of(found.table) == rows_of(in_duckdb(left, right, query))
    if how in able:
        assert [(one.input, one.key) for one in plan.skewed] == [(int(swapped), "7")]
        assert "k = 7: about" in text_of(plan)
        assert partitioning(plan).method == "none"
        holding = [table.num_rows for table in found.files.tables() if 7 in table.column("k").to_pylist()]
        if how != "LeftAnti":
            assert len(holding) == plan.skewed[0].pieces > 3
            assert max(table.num_rows for table in found.files.tables()) < found.table.num_rows / 3
    else:
        assert plan.skewed == []
        assert "all in one file" in text_of(plan)
    for running in ({"buckets": 24}, {"buckets": 5}, {"memory": 20_000, "scratch": tmp_path / "scratch"}):
        assert carried_out(plan, **running).files.files == found.files.files  # type: ignore[arg-type]


def test_the_manifest_says_how_a_join_is_parted(tmp_path: Path) -> None:
    left, right = sides()
    written(tmp_path / "left", left)
    written(tmp_path / "right", right.rename_columns(["k2", "a"]))
    for operation, keys in (
        (join("Inner", ["k"], ["k2"]), ["k"]),
        (join("Right", ["k"], ["k2"]), ["k2"]),
        (join("Inner", ["k"], ["k2"], suffixes=["_l", "_r"]), ["k"]),
        (join("Inner", ["a"], ["a"], suffixes=["_l", "_r"]), ["a"]),
        (join("Inner", ["a"], ["k2"], suffixes=["_l", "_r"]), ["a_l"]),
    ):
        found = partitioning(planned(job_of(tmp_path, operation, partitions=4)))
        assert (found.method, found.keys, found.count) == ("hash", keys, 4), operation
    full = planned(job_of(tmp_path, Join("Full", 0, 1, ["k"], ["k2"])))
    assert partitioning(full).method == "none"
