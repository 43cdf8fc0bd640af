"""Cross joins: every row with every other, the smaller side in the memory of each worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import carried_out, in_duckdb, job_of, joined, planned, rows_of, written
from tests.join.test_join_strategy import text_of

from shuffle_protocol.errors import InvalidSpec, OutOfMemory
from shuffle_protocol.jobs import Join
from shuffle_worker.operations.join import broadcast as broadcasting
from shuffle_worker.operations.join import strategy


def cross(**more: object) -> Join:
    return Join("Cross", 0, 1, [], [], **more)  # type: ignore[arg-type]


def sides() -> tuple[pa.Table, pa.Table]:
    random = np.random.default_rng(3)
    left = pa.table({"a": np.arange(900), "t": pa.array(random.integers(0, 500, 900), mask=random.random(900) < 0.1)})
    right = pa.table(
        {"low": np.arange(0, 500, 20), "high": np.arange(20, 520, 20), "name": [f"b{n}" for n in range(25)]}
    )
    return left, right


@pytest.mark.parametrize("where", ["", "l.t >= r.low and l.t < r.high", "l.t is null", "r.low > 450", "false"])
@pytest.mark.parametrize("turned", [False, True])
def test_as_duckdb_has_it(tmp_path: Path, where: str, turned: bool) -> None:
    left, right = sides()
    if turned:
        found = joined(
            tmp_path, right, left, cross(where=where.replace("l.", "x.").replace("r.", "l.").replace("x.", "r."))
        )
        expected = in_duckdb(left, right, f"SELECT r.*, l.* FROM l CROSS JOIN r WHERE {where or 'true'}")
    else:
        found = joined(tmp_path, left, right, cross(where=where))
        expected = in_duckdb(left, right, f"SELECT * FROM l CROSS JOIN r WHERE {where or 'true'}")
    assert found.plan.broadcast == [0 if turned else 1]
    assert rows_of(found.table) == rows_of(expected)
    assert found.table["a"].to_pylist() == [a for f in found.files.tables() for a in sorted(f["a"].to_pylist())]
    other = carried_out(found.plan, 0, 30_000, tmp_path / "scratch", 37, 1 << 12)
    assert other.files.files == found.files.files


@pytest.mark.parametrize("empty", ["left", "right", "both"])
def test_an_empty_side(tmp_path: Path, empty: str) -> None:
    left, right = sides()
    left, right = left.slice(0, 0 if empty != "right" else 9), right.slice(0, 0 if empty != "left" else 9)
    for where in ("", "l.a < r.low"):
        found = joined(tmp_path, left, right, cross(where=where))
        assert found.table.num_rows == 0
        assert found.table.column_names == ["a", "t", "low", "high", "name"]


def test_columns_that_both_sides_have(tmp_path: Path) -> None:
    left = pa.table({"k": [1, 2], "v": [1, 2]})
    found = joined(tmp_path, left, left, cross(suffixes=["_l", "_r"]), sort_within=["k_l", "k_r"], partitions=1)
    assert found.table.to_pydict() == {
        "k_l": [1, 1, 2, 2], "v_l": [1, 1, 2, 2], "k_r": [1, 2, 1, 2], "v_r": [1, 2, 1, 2]
    }  # fmt: skip


def test_what_explain_says(tmp_path: Path) -> None:
    left, right = sides()
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    plan = planned(job_of(tmp_path, cross(where="l.t >= r.low and l.t < r.high")))
    said = text_of(plan)
    assert "cross join of left with right, where l.t >= r.low and l.t < r.high" in said
    assert "broadcast: right is the smaller side" in said
    assert plan.summary.tree is not None
    rows = plan.summary.tree.estimated.rows
    assert rows is not None and 500 < rows < 1300  # 810 of 22,500 pairs, by a sample of both sides


def test_the_pairs_are_shared_out(tmp_path: Path) -> None:
    """A small file of many row groups is one split where it is only read."""
    written(tmp_path / "left", pa.table({"a": np.arange(40_000)}), row_group_size=2000)
    written(tmp_path / "right", pa.table({"b": np.arange(20_000)}))
    pairs = planned(job_of(tmp_path, cross(where="l.a = r.b")))
    assert len(pairs.splits) == 20  # of 40 million pairs each: a row group
    alone = planned(job_of(tmp_path, Join("Inner", 0, 1, ["a"], ["b"]), partitions=1))
    assert len([split for split in alone.splits if split.input == 0]) == 1


def test_a_side_that_does_not_fit_is_refused_with_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = sides()
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    monkeypatch.setattr(strategy, "room", lambda batch_bytes: batch_bytes // (32 << 10))
    said = (
        r"operation.join.type: Cross: .*right is about 1.5 KiB \(25 rows of 23 B\); workers with 512.0 MiB have 611 B"
    )
    with pytest.raises(OutOfMemory, match=said):
        planned(job_of(tmp_path, cross()))
    monkeypatch.undo()
    plan = planned(job_of(tmp_path, cross()))
    monkeypatch.setattr(broadcasting, "room", lambda _: 500)  # more rows than the plan thought
    with pytest.raises(
        OutOfMemory, match=r"every worker holds right in memory, and its rows are 1.* or more, not the 500 B"
    ):
        carried_out(plan)


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (Join("Cross", 0, 1, ["a"], ["low"]), "operation.join.type: a Cross join has no keys"),
        (cross(where="l.t"), "is int64, not a condition"),
        (cross(where="l.t < r.lwo"), "no column 'r.lwo'; did you mean 'r.low'"),
        (Join("Inner", 0, 1, [], [], where="l.t < r.low"), "name as many of each, and at least one"),
    ],
)
def test_bad_input(tmp_path: Path, operation: Join, said: str) -> None:
    left, right = sides()
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    with pytest.raises(InvalidSpec, match=said):
        planned(job_of(tmp_path, operation))
