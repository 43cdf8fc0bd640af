"""Whole jobs that group: right rows, the same bytes for any number of workers and any memory, and for workers that are
killed on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.jobs.harness import Bench, Watched, manifest, run_watched, sums, tables

from shuffle_protocol.messages import LeaseKind

GROUPED: dict[str, Any] = {
    "groupBy": {
        "by": ["user"],
        "aggregations": [
            {"function": "sum", "column": "score", "as": "total"},
            {"function": "stddev", "column": "score"},
            {"function": "median", "column": "score"},
            {"function": "first", "column": "name"},
            {"function": "size", "as": "rows"},
            {"function": "max", "column": "padding"},
        ],
    }
}
DISTINCT: dict[str, Any] = {"distinct": {"by": ["name"], "keep": "Last"}}
NEWEST: dict[str, Any] = {
    "distinct": {"by": ["user"], "orderBy": [{"column": "score", "order": "Descending"}], "rows": 2}
}
WINDOW: dict[str, Any] = {
    "window": {
        "by": ["name"],
        "orderBy": [{"column": "user"}],
        "compute": {
            "nr": "row_number()",
            "total": "sum(score) OVER ROWS BETWEEN 9 PRECEDING AND CURRENT ROW",
            "peers": "sum(score)",
            "before": "lag(score, 2)",
            "best": "max(score) OVER ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
        },
    }
}
OPERATIONS = {"groupBy": GROUPED, "distinct": DISTINCT, "newest": NEWEST, "window": WINDOW}
ROWS = 200_000
OUTPUT = {"partitions": 6}
Calm = Callable[[str], Path]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files in several splits, of 100,000 users: hardly anything is collected before it is sent. Sums of
    these scores depend on the order of adding. Names are few: nearly everything is."""
    folder = tmp_path_factory.mktemp("scores") / "in"
    folder.mkdir()
    for number in range(8):
        random = np.random.default_rng(number)
        rows = ROWS // 8
        table = pa.table(
            {
                "user": random.integers(0, 100_000, rows),
                "score": random.standard_normal(rows) * 10.0 ** random.integers(-6, 6, rows),
                "name": pa.array([f"name {n}" for n in random.integers(0, 50, rows)]),
                "padding": pa.array(["." * 300] * rows),
            }
        )
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=rows // 4)
    return folder


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Calm:
    """The output of an operation by two workers that have memory enough, and in which nothing goes wrong; made once."""

    @cache
    def made(name: str) -> Path:
        bench = Bench(tmp_path_factory.mktemp("calm"), "")
        end = bench.complete(bench.job(OPERATIONS[name], scores, OUTPUT))
        assert end.rows_read == ROWS
        assert end.bytes_spilled == 0
        return bench.out

    return made


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_bytes_for_any_workers_and_memory(bench: Bench, scores: Path, calm: Calm, name: str) -> None:
    """One worker has so little memory that it spills what is many rows."""
    operation = OPERATIONS[name]
    spilled = bench.complete(bench.job(operation, scores, OUTPUT), workers=1, memory="256Mi")
    assert (spilled.bytes_spilled > 0) == (name != "distinct")
    assert sums(bench.out) == sums(calm(name))
    if name == "groupBy":
        bench.complete(bench.job(operation, scores, {**OUTPUT, "onExisting": "Overwrite"}), workers=3, memory="1Gi")
        assert sums(bench.out) == sums(calm(name))


async def test_windows_of_seven_workers_of_which_one_is_killed(bench: Bench, scores: Path, calm: Calm) -> None:
    """The window's results depend on rows that come from every other worker."""

    async def kill(run: Watched) -> None:
        def writing() -> list[int]:
            members = run.local.machine.state.members
            held = [w for w, live in members.items() if any(x.kind is LeaseKind.WRITE for x in live.holding)]
            return [w for w in held if w in run.pids()]

        await run.until(writing, "a worker that writes")
        run.kill(writing()[0])

    job = bench.loaded(bench.job(WINDOW, scores, OUTPUT), workers=7, memory=256 << 20)
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost + end.workers_replaced >= 1
    assert end.rows_written == ROWS
    assert sums(bench.out) == sums(calm("window"))


def test_the_rows_of_row_number(scores: Path, calm: Calm) -> None:
    expected = duckdb.sql(
        "select user, score, name from (select *, row_number() over (partition by user order by score desc) as n from "
        f"read_parquet('{scores}/*.parquet')) where n <= 2 order by user, score desc"
    ).to_arrow_table()
    found = pa.concat_tables(tables(calm("newest"))).select(["user", "score", "name"])
    assert found.sort_by([("user", "ascending"), ("score", "descending")]).equals(expected.cast(found.schema))


def test_windows_of_a_whole_job(scores: Path, calm: Calm) -> None:
    found = pa.concat_tables(tables(calm("window"))).drop_columns(["padding"])
    assert found.num_rows == ROWS
    window = "partition by name order by user"
    expected = duckdb.sql(
        f"select nr, rank() over ({window}) as place, sum(score) over ({window}) as peers, max(score) over "
        f"(partition by name) as best from found order by name, nr"
    ).fetchnumpy()
    mine = found.sort_by([("name", "ascending"), ("nr", "ascending")])
    assert (mine["nr"].to_numpy() >= expected["place"]).all()
    np.testing.assert_allclose(mine["peers"].to_numpy(), expected["peers"], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(mine["best"].to_numpy(), expected["best"])


def test_rows_of_a_whole_job(scores: Path, calm: Calm) -> None:
    source = f"read_parquet('{scores}/*.parquet')"
    expected = duckdb.sql(
        f"select user, sum(score), stddev(score), median(score), count(*) from {source} group by user order by user"
    ).fetchnumpy()
    mine = pa.concat_tables(tables(calm("groupBy"))).sort_by("user")
    assert mine.schema.names == ["user", "total", "stddev_score", "median_score", "first_name", "rows", "max_padding"]
    for name, theirs in zip(["user", "total", "stddev_score", "median_score", "rows"], expected.values(), strict=True):
        found = mine[name].to_numpy()
        lone = np.ma.getmaskarray(theirs)
        assert (np.isnan(found) == lone).all()
        np.testing.assert_allclose(found[~lone], np.ma.getdata(theirs)[~lone], rtol=1e-9, atol=1e-12)
    partitioning = manifest(calm("groupBy"))["partitioning"]
    assert partitioning == {"method": "hash", "keys": ["user"], "count": 6, "hash": "shuffle-hash/1"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("groupBy", LeaseKind.TRANSFER),
        ("groupBy", LeaseKind.WRITE),
        ("newest", LeaseKind.WRITE),
        ("window", LeaseKind.WRITE),
    ],
)
async def test_a_killed_worker_changes_nothing(
    bench: Bench, scores: Path, calm: Calm, name: str, kind: LeaseKind
) -> None:
    def holders(run: Watched) -> list[int]:
        members = run.local.machine.state.members
        return [w for w, live in members.items() if w in run.pids() and any(x.kind is kind for x in live.holding)]

    async def kill(run: Watched) -> None:
        await run.until(lambda: run.now.splits_done >= 1, "a split that is done")
        await run.until(lambda: holders(run), f"a {kind} lease")
        run.kill(holders(run)[0])

    job = bench.loaded(bench.job(OPERATIONS[name], scores, OUTPUT))
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost + end.workers_replaced >= 1
    assert sums(bench.out) == sums(calm(name))
