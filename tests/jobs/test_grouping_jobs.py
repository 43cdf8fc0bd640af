"""Whole jobs that group: right rows, the same bytes for any number of workers and any memory, and for workers that are
killed on the way."""

from __future__ import annotations

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
OPERATIONS = {"groupBy": GROUPED, "distinct": DISTINCT, "newest": NEWEST}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files in several splits, of 200,000 users: hardly anything is collected before it is sent. Sums of
    these scores depend on the order of adding. Names are few: nearly everything is."""
    folder = tmp_path_factory.mktemp("scores") / "in"
    folder.mkdir()
    for number in range(8):
        random = np.random.default_rng(number)
        rows = 50_000
        table = pa.table(
            {
                "user": random.integers(0, 200_000, rows),
                "score": random.standard_normal(rows) * 10.0 ** random.integers(-6, 6, rows),
                "name": pa.array([f"name {n}" for n in random.integers(0, 50, rows)]),
                "padding": pa.array(["." * 300] * rows),
            }
        )
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=12_500)
    return folder


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_bytes_for_any_workers_and_memory(bench: Bench, scores: Path, name: str) -> None:
    found = []
    for workers, memory in ((1, "1Gi"), (3, "256Mi"), *([(2, "300Mi")] if name == "groupBy" else [])):
        output = {"path": str(bench.root / f"out-{workers}"), "partitions": 4}
        end = bench.complete(bench.job(OPERATIONS[name], scores, output), workers=workers, memory=memory)
        assert end.rows_read == 400_000
        found.append(sums(bench.root / f"out-{workers}"))
    assert all(one == found[0] for one in found)


def test_the_rows_of_row_number(bench: Bench, scores: Path) -> None:
    bench.complete(bench.job(NEWEST, scores, {"partitions": 3}))
    expected = duckdb.sql(
        "select user, score, name from (select *, row_number() over (partition by user order by score desc) as n from "
        f"read_parquet('{scores}/*.parquet')) where n <= 2 order by user, score desc"
    ).to_arrow_table()
    found = pa.concat_tables(tables(bench.out)).select(["user", "score", "name"])
    assert found.sort_by([("user", "ascending"), ("score", "descending")]).equals(expected.cast(found.schema))


def test_rows_of_a_whole_job(bench: Bench, scores: Path) -> None:
    bench.complete(bench.job(GROUPED, scores, {"partitions": 3}))
    source = f"read_parquet('{scores}/*.parquet')"
    expected = duckdb.sql(
        f"select user, sum(score), stddev(score), median(score), count(*) from {source} group by user order by user"
    ).fetchnumpy()
    mine = pa.concat_tables(tables(bench.out)).sort_by("user")
    assert mine.schema.names == ["user", "total", "stddev_score", "median_score", "first_name", "rows", "max_padding"]
    for name, theirs in zip(["user", "total", "stddev_score", "median_score", "rows"], expected.values(), strict=True):
        found = mine[name].to_numpy()
        lone = np.ma.getmaskarray(theirs)
        assert (np.isnan(found) == lone).all()
        np.testing.assert_allclose(found[~lone], np.ma.getdata(theirs)[~lone], rtol=1e-9, atol=1e-12)
    partitioning = manifest(bench.out)["partitioning"]
    assert partitioning == {"method": "hash", "keys": ["user"], "count": 3, "hash": "shuffle-hash/1"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("groupBy", LeaseKind.TRANSFER), ("groupBy", LeaseKind.WRITE), ("newest", LeaseKind.WRITE)],
)
async def test_a_killed_worker_changes_nothing(bench: Bench, scores: Path, name: str, kind: LeaseKind) -> None:
    operation = OPERATIONS[name]
    calm = Bench(bench.root / "calm", bench.mark)
    calm.root.mkdir()
    calm.complete(calm.job(operation, scores, {"partitions": 6}))

    def holders(run: Watched) -> list[int]:
        members = run.local.machine.state.members
        return [w for w, live in members.items() if w in run.pids() and any(x.kind is kind for x in live.holding)]

    async def kill(run: Watched) -> None:
        await run.until(lambda: run.now.splits_done >= 1, "a split that is done")
        await run.until(lambda: holders(run), f"a {kind} lease")
        run.kill(holders(run)[0])

    job = bench.loaded(bench.job(operation, scores, {"partitions": 6}))
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost + end.workers_replaced >= 1
    assert sums(bench.out) == sums(calm.out)
