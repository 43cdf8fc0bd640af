"""A join's files are the same bytes however they were cut into buckets and whatever fitted in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import Joined, carried_out, in_duckdb, job_of, join, joined, planned, rows_of, written

from shuffle_protocol.jobs import Join
from shuffle_worker.partitioning.places import places_of

HOW = ("Inner", "Left", "Right", "Full", "LeftSemi", "LeftAnti")


def sides(rows: int = 1000, keys: int = 250, skewed: int = 0, skewed_right: int = 0) -> tuple[pa.Table, pa.Table]:
    """skewed, skewed_right: more rows of one key."""
    random = np.random.default_rng(1)
    left = np.concatenate([random.integers(0, keys, rows), np.full(skewed, 7)])
    right = np.concatenate([random.integers(keys // 3, keys * 4 // 3, rows // 2), np.full(skewed_right, 7)])
    random.shuffle(left)
    random.shuffle(right)
    return (
        pa.table({"k": left, "k2": [f"key {n % 5}" for n in left], "a": np.arange(len(left))}),
        pa.table({"k": right, "k2": [f"key {n % 5}" for n in right], "b": np.arange(len(right))}),
    )


def bytes_of(found: Joined) -> dict[str, bytes]:
    return found.files.files


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("on", [("k",), ("k2", "k")])
def test_the_same_bytes_for_any_buckets_and_memory(tmp_path: Path, how: str, on: tuple[str, ...]) -> None:
    left, right = sides(skewed=200, skewed_right=20)
    written(tmp_path / "left", left, files=3)
    written(tmp_path / "right", right, files=2)
    plan = planned(job_of(tmp_path, join(how, on), partitions=4))
    first = bytes_of(carried_out(plan, buckets=4))
    assert len(first) == 4
    for running in (
        {"buckets": 4, "batch_rows": 64, "batch_bytes": 10_000},
        {"buckets": 12},
        {"buckets": 2},  # several files in a bucket
        {"buckets": 1, "memory": 100_000, "scratch": tmp_path / "scratch"},
        {"buckets": 4, "memory": 20_000, "scratch": tmp_path / "scratch"},
    ):
        again = bytes_of(carried_out(plan, **running))  # type: ignore[arg-type]
        assert again == first, running
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("skewed", [(600, 3), (3, 600), (60, 200)])
def test_a_key_that_memory_does_not_hold(tmp_path: Path, how: str, skewed: tuple[int, int]) -> None:
    left, right = sides(100, 30, *skewed)
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    plan = planned(job_of(tmp_path, join(how, nulls_equal=False), partitions=2))
    first = carried_out(plan)
    tight = carried_out(plan, memory=4_000, scratch=tmp_path / "scratch")
    assert bytes_of(tight) == bytes_of(first)
    kind = {"LeftSemi": "SEMI", "LeftAnti": "ANTI"}.get(how, how.upper())
    query = f"SELECT * FROM l {kind} JOIN r USING (k)"
    if how not in ("LeftSemi", "LeftAnti"):
        query = f"SELECT k, l.k2, a, r.k2 AS k2_right, b FROM l {kind} JOIN r USING (k)"
    assert rows_of(first.table) == rows_of(in_duckdb(left, right, query))


def test_rows_are_in_the_order_of_places_then_left_then_right(tmp_path: Path) -> None:
    left, right = sides()
    found = joined(tmp_path, left, right, join("Full"), partitions=3)
    for table in found.files.tables():
        places = places_of([table.column("k").combine_chunks()], 3)
        assert (places[1:] >= places[:-1]).all()
        none = np.iinfo(np.int64).max
        order = np.lexsort(
            [
                np.array(table.column("b").fill_null(none)),
                np.array(table.column("a").fill_null(none)),
                places,
            ]
        )
        assert (order == np.arange(table.num_rows)).all()


@pytest.mark.parametrize("how", HOW)
def test_keys_that_share_a_place_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The hash is made a poor one: of all keys three values are left."""
    from shuffle_worker.partitioning import join_keys

    real = join_keys.hash_rows
    monkeypatch.setattr(join_keys, "hash_rows", lambda columns: real(columns) % np.uint64(3) << np.uint64(62))
    left, right = sides(200, 40)
    operation = join(how, ("k2", "k"))
    found = joined(tmp_path, left, right, operation, partitions=2, scratch=tmp_path / "scratch")
    kind = {"LeftSemi": "SEMI", "LeftAnti": "ANTI"}.get(how, how.upper())
    assert rows_of(found.table) == rows_of(
        in_duckdb(left, right, f"SELECT * FROM l {kind} JOIN r USING (k, k2)").select(found.table.column_names)
    )
    tight = carried_out(found.plan, memory=3_000, scratch=tmp_path / "scratch")
    assert bytes_of(tight) == bytes_of(found)


def test_sort_within_orders_whole_files(tmp_path: Path) -> None:
    left, right = sides()
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    plan = planned(job_of(tmp_path, join(), partitions=2, sort_within=["b", "a"]))
    found = carried_out(plan, buckets=8)
    for table in found.files.tables():
        assert table.num_rows
        assert table.sort_by([("b", "ascending"), ("a", "ascending")]).equals(table)
    again: dict[str, Any] = {"memory": 100_000, "scratch": tmp_path / "scratch"}
    assert bytes_of(carried_out(plan, buckets=2, **again)) == bytes_of(found)


def test_a_product_of_any_size_comes_in_pieces(tmp_path: Path) -> None:
    left = pa.table({"k": np.zeros(1500, np.int64), "a": np.arange(1500)})
    right = pa.table({"k": np.zeros(700, np.int64), "b": np.arange(700)})
    found = joined(tmp_path, left, right, Join("Inner", 0, 1, ["k"], ["k"]), partitions=1).table
    assert found.num_rows == 1500 * 700
    assert (np.array(found.column("a")) == np.repeat(np.arange(1500), 700)).all()
    assert (np.array(found.column("b")) == np.tile(np.arange(700), 1500)).all()
