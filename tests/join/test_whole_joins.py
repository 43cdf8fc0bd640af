"""Joins from the job file to the output: the same bytes with any workers and memory, and when one is killed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.jobs.harness import MIB, Bench, Watched, manifest, run_watched, sums, tables
from tests.join.joining import in_duckdb, rows_of, written

from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Phase

ROWS = 60_000


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, pa.Table]:
    random = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("sides")
    orders = pa.table(
        {
            "user": pa.array(random.integers(0, 9000, ROWS), mask=random.random(ROWS) < 0.01),
            "amount": random.random(ROWS),
            "note": [f"note {n} " * 50 for n in range(ROWS)],
        }
    )
    users = pa.table(
        {
            "id": pa.array(random.permutation(10_000)[:8000].astype(np.int32)),
            "note": [f"user {n} " * 30 for n in range(8000)],
            "score": random.random(8000),
        }
    )
    written(folder / "orders", orders, files=6, row_group_size=2000)
    written(folder / "users", users, files=2, row_group_size=2000)
    return folder, orders, users


def loaded(bench: Bench, folder: Path, out: Path, join: dict[str, Any], workers: int, memory: int) -> Job:
    path = bench.job(
        {"join": {"left": "orders", "right": "users", **join}}, folder, {"path": str(out), "partitions": 5}
    )
    text = path.read_text().replace(
        f"- path: {folder}", f"- name: orders\n    path: {folder}/orders\n  - name: users\n    path: {folder}/users"
    )
    path.write_text(text)
    return bench.loaded(path, workers=workers, memory=memory)


ON = {"leftOn": ["user"], "rightOn": ["id"]}


@pytest.mark.parametrize("how", ["Inner", "Full"])
async def test_the_rows_of_duckdb_and_the_same_bytes(
    bench: Bench, sides: tuple[Path, pa.Table, pa.Table], how: str
) -> None:
    folder, orders, users = sides
    found = []
    for workers, memory in ((1, 1024 * MIB), (3, 300 * MIB)):
        out = bench.root / f"out-{workers}"
        job = loaded(bench, folder, out, {"type": how, **ON}, workers, memory)
        end, _ = await run_watched(bench, job)
        assert end.phase == "Complete", end.cause
        assert end.splits > 1
        assert end.rows_read == ROWS + (8000 if how == "Full" else 0)  # a side that is broadcast is not counted
        found.append(sums(out))
    assert found == [found[0]] * 2
    table = pa.concat_tables(tables(bench.root / "out-1"))
    expected = in_duckdb(
        orders, users, f"SELECT l.*, r.id, r.note AS note_right, r.score FROM l {how.upper()} JOIN r ON l.user = r.id"
    )
    assert table.schema.names == expected.column_names
    assert table.schema.field("id").type == pa.int32()
    assert rows_of(table) == rows_of(expected)
    end_rows = manifest(bench.root / "out-1")["rows"]
    assert end_rows == table.num_rows == end.rows_written


AS_OF = {"type": "AsOf", **ON, "asOf": {"left": "amount", "right": "score", "tolerance": "0.25"}}


async def test_the_nearest_rows_of_duckdb_and_the_same_bytes(
    bench: Bench, sides: tuple[Path, pa.Table, pa.Table]
) -> None:
    folder, orders, users = sides
    found = []
    for workers, memory in ((1, 1024 * MIB), (3, 300 * MIB)):
        out = bench.root / f"out-{workers}"
        end, _ = await run_watched(bench, loaded(bench, folder, out, AS_OF, workers, memory))
        assert end.phase == "Complete", end.cause
        assert end.rows_read == ROWS + 8000
        found.append(sums(out))
    assert found == [found[0]] * 2
    table = pa.concat_tables(tables(bench.root / "out-1"))
    nearest = (
        "l.*, r.id, r.note AS note_right, r.score FROM l ASOF LEFT JOIN r ON l.user = r.id AND l.amount >= r.score"
    )
    near = [f"CASE WHEN amount - score <= 0.25 THEN {name} END AS {name}" for name in ("id", "note_right", "score")]
    expected = in_duckdb(orders, users, f"SELECT user, amount, note, {', '.join(near)} FROM (SELECT {nearest})")
    assert table.num_rows == ROWS
    assert 1000 < table["id"].null_count < ROWS
    assert rows_of(table.cast(expected.schema)) == rows_of(expected)


@pytest.mark.parametrize(
    ("how", "phase"), [("Left", Phase.TRANSFERRING), ("Full", Phase.WRITING), ("AsOf", Phase.WRITING)]
)
async def test_a_killed_worker_changes_nothing(
    bench: Bench, sides: tuple[Path, pa.Table, pa.Table], how: str, phase: Phase
) -> None:
    """The left join broadcasts the users, the others cannot."""
    folder = sides[0]
    asked = AS_OF if how == "AsOf" else {"type": how, **ON}
    before, _ = await run_watched(bench, loaded(bench, folder, bench.root / "a", asked, 2, 300 * MIB))

    async def kill(run: Watched) -> None:
        await run.until_phase(phase)
        run.kill(0)

    job = loaded(bench, folder, bench.root / "b", asked, 2, 300 * MIB)
    end, _ = await run_watched(bench, job, kill)
    assert (before.phase, end.phase) == ("Complete", "Complete")
    assert end.workers_lost + end.workers_replaced >= 1
    assert sums(bench.root / "a") == sums(bench.root / "b")


async def test_sides_that_are_parted_alike_are_joined_without_a_shuffle(
    bench: Bench, sides: tuple[Path, pa.Table, pa.Table]
) -> None:
    """The bytes are those of the same job over copies of the same files without their manifests."""
    alike, plain = bench.root / "alike", bench.root / "plain"
    for name, key in (("orders", "user"), ("users", "id")):
        job = bench.job({"repartition": {"by": [key]}}, sides[0] / name, {"path": str(alike / name), "partitions": 5})
        end, _ = await run_watched(bench, bench.loaded(job))
        assert end.phase == "Complete", end.cause
        shutil.copytree(alike / name, plain / name, ignore=shutil.ignore_patterns("_*"))
    found = {}
    for folder in (alike, plain):
        job = loaded(bench, folder, bench.root / f"out-{folder.name}", {"type": "Full", **ON}, 2, 300 * MIB)
        end, _ = await run_watched(bench, job)
        assert end.phase == "Complete", end.cause
        assert (end.splits == 0, end.bytes_sent == 0) == (folder is alike, folder is alike)
        found[folder.name] = bench.root / f"out-{folder.name}"
    query = "SELECT l.*, r.id, r.note AS note_right, r.score FROM l FULL JOIN r ON l.user = r.id"
    expected = rows_of(in_duckdb(sides[1], sides[2], query))
    assert rows_of(pa.concat_tables(tables(found["alike"]))) == expected
    assert sums(found["alike"]) == sums(found["plain"])
