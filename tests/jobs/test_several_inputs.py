"""Unions and further joins as whole jobs: the same bytes by one worker, and by three of which one is killed and whose
shards go by way of object storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.jobs.harness import MIB, Bench, Watched, run_watched, sums, tables
from tests.join.joining import in_duckdb, rows_of, written

from shuffle_protocol.messages import Phase

ROWS = 30_000
MINE = """
import pyarrow as pa
import pyarrow.compute as pc

def numbered(rows: pa.Table) -> pa.Table:
    # the mean is of the batch
    wide = pc.utf8_length(rows["note"]).cast(pa.int64())
    mean = pa.array([pc.mean(rows["at"]).as_py()] * len(rows))
    kept = pc.not_equal(pc.subtract(rows["at"], pc.multiply(pc.divide(rows["at"], 3), 3)), 0)
    table = rows.drop_columns(["note"]).append_column("wide", wide).append_column("mean", mean)
    return table.filter(kept)
"""


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, pa.Table]:
    """Clicks, and visits with a beginning and an end; both wide enough for several splits."""
    random = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("sides")
    clicks = pa.table(
        {
            "user": pa.array(random.integers(0, 3000, ROWS), mask=random.random(ROWS) < 0.02),
            "at": random.integers(0, 10_000, ROWS),
            "note": [f"click {n} " * 90 for n in range(ROWS)],
        }
    )
    start = random.integers(0, 10_000, 9000)
    visits = pa.table(
        {
            "user": random.integers(0, 3000, 9000),
            "start": start,
            "end": start + random.integers(0, 2000, 9000),
            "page": [f"page {n} " * 60 for n in range(9000)],
        }
    )
    written(folder / "clicks", clicks, files=4, row_group_size=2000)
    written(folder / "visits", visits, files=2, row_group_size=1500)
    return folder, clicks, visits


WITHIN = "visits.start <= clicks.at and clicks.at < visits.end"
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "union": (
        {"sort": {"by": [{"column": "user"}, {"column": "origin"}]}},
        {
            "clicks": {"filter": "at > 2000"},
            "visits": {"compute": {"at": "start"}, "columns": ["user", "at", "page", "origin"]},
        },
        """SELECT l.user, l.at, l.note, 'clicks' AS origin FROM l WHERE l.at > 2000
        UNION ALL BY NAME SELECT r.user, r.start AS at, 'visits' AS origin, page FROM r""",
    ),
    "mapped": (
        {"sort": {"by": [{"column": "user"}, {"column": "origin"}]}},
        {"clicks": {"map": "mine:numbered"}, "visits": {"columns": ["user", "start", "page", "origin"]}},
        """SELECT l.user, l.at, length(l.note) AS wide, 'clicks' AS origin FROM l WHERE l.at % 3 <> 0
        UNION ALL BY NAME SELECT r.user, r.start, 'visits' AS origin, page FROM r""",
    ),
    "where": (
        {"join": {"type": "Full", "left": "clicks", "right": "visits", "on": ["user"], "where": WITHIN}},
        {},
        """SELECT coalesce(l.user, r.user) AS user, l.at, l.note, r.start, r.end, r.page
        FROM l FULL JOIN r ON l.user = r.user AND r.start <= l.at AND l.at < r.end""",
    ),
    "cross": (
        {"join": {"type": "Cross", "left": "clicks", "right": "visits", "where": WITHIN}},
        {"clicks": {"columns": ["user", "at"], "filter": "user < 300"}, "visits": {"filter": "user % 50 = 7"}},
        """SELECT l.user, l.at, r.user AS user_right, r.start, r.end, r.page
        FROM l JOIN r ON r.start <= l.at AND l.at < r.end WHERE l.user < 300 AND r.user % 50 = 7""",
    ),
    "star": (
        {
            "join": {
                "left": "clicks",
                "sides": [
                    {"right": "users", "type": "Left", "on": ["user"]},
                    {"right": "teams", "on": ["team"], "where": "r.since <= l.at"},
                ],
            }
        },
        {
            "users": {"path": "visits", "columns": ["user", "team"], "compute": {"team": "start % 7"},
                "filter": "start < 2500"},
            "teams": {"path": "visits", "columns": ["team", "since"], "filter": "user < 12",
                "compute": {"team": '"end" % 9', "since": "start"}},
        },
        """SELECT l.user, l.at, l.note, u.team, t.since FROM l
        LEFT JOIN (SELECT r.user, r.start % 7 AS team FROM r WHERE r.start < 2500) u ON l.user = u.user
        JOIN (SELECT r."end" % 9 AS team, r.start AS since FROM r WHERE r.user < 12) t
        ON u.team = t.team AND t.since <= l.at""",
    ),
}  # fmt: skip


def inputs(folder: Path, more: dict[str, Any], *, named: bool) -> list[dict[str, Any]]:
    as_column = {"nameAs": "origin"} if named else {}
    names = dict.fromkeys(["clicks", "visits"] if "users" not in more else ["clicks", *more])
    found = [{"name": name, "path": name, **as_column, **more.get(name, {})} for name in names]
    return [{**one, "path": str(folder / one["path"])} for one in found]


@pytest.mark.parametrize("name", CASES)
async def test_the_rows_of_duckdb_and_the_same_bytes_when_a_worker_is_killed(
    bench: Bench, sides: tuple[Path, pa.Table, pa.Table], name: str
) -> None:
    operation, more, query = CASES[name]
    folder, clicks, visits = sides
    (bench.root / "mine.py").write_text(MINE)

    def job(out: str, method: str, workers: int, memory: int) -> Any:
        output = {"path": str(bench.root / out), "partitions": 4}
        given = inputs(folder, more, named=name in ("union", "mapped"))
        return bench.loaded(
            bench.job(operation, folder, output, inputs=given, method=method), workers=workers, memory=memory
        )

    async def kill(run: Watched) -> None:
        await run.until_phase(Phase.WRITING)
        run.kill(0)

    alone, _ = await run_watched(bench, job("a", "PeerToPeer", 1, 1024 * MIB))
    killed, _ = await run_watched(bench, job("b", "ObjectStore", 3, (450 if name == "mapped" else 300) * MIB), kill)
    assert (alone.phase, killed.phase) == ("Complete", "Complete"), (alone.cause, killed.cause)
    assert alone.splits > 1 or name == "cross"
    assert killed.workers_lost + killed.workers_replaced >= 1
    assert sums(bench.root / "a") == sums(bench.root / "b")
    table = pa.concat_tables(tables(bench.root / "a"))
    expected = in_duckdb(clicks, visits, query)
    assert table.num_rows > 1000
    assert rows_of(table.select(expected.column_names)) == rows_of(expected)
