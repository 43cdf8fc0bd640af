"""Rows that are certain to have no partner are dropped before they are sent: the files stay the same bytes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import Joined, carried_out, job_of, join, planned, written
from tests.join.test_join_strategy import text_of

from shuffle_protocol.jobs import AsOf, Join
from shuffle_worker.operations.join import partners, strategy
from shuffle_worker.plan.record import Plan

OF_LEFT = ("Inner", "Right", "LeftSemi", "RightSemi", "RightAnti")
"""The types of which the left rows are looked up, where the left side is the larger one."""

OF_RIGHT = ("Inner", "Left", "LeftSemi", "LeftAnti", "RightSemi", "AsOf")
TYPES = ("Inner", "Left", "Right", "Full", "LeftSemi", "LeftAnti", "RightSemi", "RightAnti", "AsOf")


@pytest.fixture(autouse=True)
def small_sides_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partners, "LEAST_BYTES", 1)


def sides(share: float, rows: int = 6_000) -> tuple[pa.Table, pa.Table]:
    """Many rows, and the few that so large a share of their keys has; nulls on both sides."""
    random = np.random.default_rng(4)
    keys = random.permutation(1_000)
    few = keys[: int(len(keys) * share)]
    large = pa.array(random.choice(keys, rows), mask=random.random(rows) < 0.02)
    small = pa.concat_arrays([pa.array(few), pa.array([None, 5_000, 5_001], pa.int64())])
    return (
        pa.table({"k": large, "a": np.arange(rows), "t": random.integers(0, 50, rows)}),
        pa.table({"k": small, "b": np.arange(len(small)), "u": random.integers(0, 50, len(small))}),
    )


def plan_of(
    folder: Path,
    operation: Join,
    tables: tuple[pa.Table, pa.Table],
    swapped: bool,
    where: str = "",
    partitions: int = 5,
) -> Plan:
    """swapped: the smaller side is the left one. where: the smaller side's filter."""
    left, right = tables[::-1] if swapped else tables
    written(folder / "left", left, files=3)
    written(folder / "right", right, files=2)
    filters = (where, "") if swapped else ("", where)
    return planned(job_of(folder, operation, partitions, filters=filters))


def both(plan: Plan, **running: int) -> tuple[Joined, Joined]:
    """Carried out as it is, and without the filter."""
    return carried_out(plan, **running), carried_out(msgspec.structs.replace(plan, partners=None), **running)


def sent(found: Joined) -> int:
    return sum(shard.rows for bucket in range(found.plan.layout.buckets) for shard in found.source.shards(bucket))


def operation_of(how: str, swapped: bool) -> Join:
    if how != "AsOf":
        return join(how)
    return join(how, as_of=AsOf("u", "t") if swapped else AsOf("t", "u"))


@pytest.mark.parametrize("how", TYPES)
@pytest.mark.parametrize("swapped", [False, True], ids=["large left", "large right"])
@pytest.mark.parametrize("share", [0.1, 0.8])
def test_every_type_writes_the_same_files(tmp_path: Path, how: str, swapped: bool, share: float) -> None:
    plan = plan_of(tmp_path, operation_of(how, swapped), sides(share), swapped)
    if how not in (OF_RIGHT if swapped else OF_LEFT):
        assert plan.partners is None
        return
    assert plan.partners is not None
    assert plan.partners.input == int(swapped)
    assert "are dropped before they are sent" in text_of(plan)
    found, whole = both(plan)
    assert found.files.files == whole.files.files
    assert sent(found) < sent(whole) * (share + 0.17)
    for running in ({"buckets": 20}, {"batch_rows": 50}, {"memory": 300_000, "scratch": tmp_path / "scratch"}):
        assert carried_out(plan, **running).files.files == found.files.files  # type: ignore[arg-type]


@pytest.mark.parametrize("swapped", [False, True])
def test_equal_nulls_are_partners(tmp_path: Path, swapped: bool) -> None:
    plan = plan_of(tmp_path, join("Inner", nulls_equal=True), sides(0.3), swapped)
    assert plan.partners is not None
    found, whole = both(plan)
    assert found.table.column("k").null_count > 50
    assert found.files.files == whole.files.files


def test_a_condition_besides(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, join("Right", where="l.t < r.u"), sides(0.3), swapped=False)
    assert plan.partners is not None
    found, whole = both(plan)
    assert found.files.files == whole.files.files


def test_spread_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy, "SKEWED_BYTES", 1000)
    monkeypatch.setattr(strategy, "SKEWED_PIECE", 1000)
    large, small = sides(0.3)
    hot = small.column("k")[0].as_py()
    keys = [hot if at % 2 else key for at, key in enumerate(large.column("k").to_pylist())]
    large = large.set_column(0, "k", pa.array(keys, pa.int64()))
    plan = plan_of(tmp_path, join("Inner"), (large, small), swapped=False, partitions=12)
    assert plan.skewed
    assert plan.partners is not None
    found, whole = both(plan)
    assert found.files.files == whole.files.files
    assert sent(found) < sent(whole)


def test_keys_of_different_types(tmp_path: Path) -> None:
    large, small = sides(0.3)
    small = small.set_column(0, "k", small.column("k").cast(pa.float64()))
    plan = plan_of(tmp_path, join("Inner"), (large, small), swapped=False)
    assert plan.partners is not None
    found, whole = both(plan)
    assert found.table.num_rows > 1_000
    assert found.files.files == whole.files.files


def test_the_filter_of_the_smaller_side_counts(tmp_path: Path) -> None:
    """Each key of the larger side is in the smaller one, until its filter is applied."""
    plan = plan_of(tmp_path, join("Inner"), sides(1.0), swapped=False)
    assert plan.partners is None
    plan = plan_of(tmp_path / "filtered", join("Inner"), sides(1.0), swapped=False, where="b % 10 = 0")
    assert plan.partners is not None
    found, whole = both(plan)
    assert sent(found) < sent(whole) / 4
    assert found.files.files == whole.files.files


def test_nothing_in_the_smaller_side(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, join("Inner"), sides(1.0), swapped=False, where="b < 0 OR u > 1000")
    found, whole = both(plan)
    assert found.table.num_rows == 0
    assert found.files.files == whole.files.files


@pytest.mark.parametrize(
    ("name", "value"), [("LEAST_BYTES", 1 << 30), ("LEAST_TIMES", 100), ("MOST_KEYS", 100), ("LEAST_DROPPED", 0.99)]
)
def test_where_it_would_not_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    monkeypatch.setattr(partners, name, value)
    assert plan_of(tmp_path, join("Inner"), sides(0.3), swapped=False).partners is None


def test_a_filter_that_is_large_beside_a_batch_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partners, "batch_bytes_of", lambda _: 600)
    assert plan_of(tmp_path, join("Inner"), sides(0.3), swapped=False).partners is None
