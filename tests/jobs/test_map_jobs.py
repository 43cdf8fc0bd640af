"""Whole jobs whose rows go through a function: the same bytes for any workers and memory and for workers that are
killed, and what people see of it."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.jobs.harness import PROGRAM, Bench, Watched, manifest, run_watched, sums, tables

from shuffle_protocol.messages import LeaseKind

ROWS = 60_000
MINE = """
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

def exploded(rows: pa.Table) -> pa.Table:
    # rows of the batch, and what else is in it
    print("called")
    rows = rows.append_column("mean", pa.array(np.full(len(rows), pc.mean(rows["v"]).as_py())))
    return rows.take(np.repeat(np.arange(len(rows)), rows["k"].to_numpy() % 3))

def picky(rows: pa.Table) -> pa.Table:
    if pc.any(pc.equal(rows["k"], 59_999)).as_py():
        raise ValueError("not this one")
    return rows

def fewer_each_time(rows: pa.Table) -> pa.Table:
    with open(__file__ + ".calls", "ab") as calls:
        calls.write(b".")
        return rows.slice(calls.tell())
"""
SORT: dict[str, Any] = {"sort": {"by": [{"column": "mean"}, {"column": "k"}]}}
OUTPUT = {"partitions": 5}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mapped") / "in"
    folder.mkdir()
    random = np.random.default_rng(5)
    for number in range(6):
        k = np.arange(ROWS // 6) + number * (ROWS // 6)
        table = pa.table({"k": k, "v": random.standard_normal(len(k)), "padding": ["." * 200] * len(k)})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=2_500)
    return folder


def map_job(bench: Bench, source: Path, function: str = "exploded", **more: Any) -> Path:
    (bench.root / "mine.py").write_text(textwrap.dedent(MINE))
    return bench.job(more.pop("operation", SORT), {"path": str(source), "map": f"mine:{function}"}, OUTPUT, **more)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, source: Path) -> dict[str, str]:
    """The output where nothing goes wrong."""
    bench = Bench(tmp_path_factory.mktemp("calm"), "")
    end = bench.complete(map_job(bench, source), memory="500Mi")
    assert end.rows_read == end.rows_written == ROWS  # each third row twice, another once
    assert end.splits >= 4
    found = pa.concat_tables(tables(bench.out))
    assert sorted(found["k"].to_pylist()) == sorted(k for k in range(ROWS) for _ in range(k % 3))
    keys = found.select(["mean", "k"])
    assert keys.equals(keys.take(pc.sort_indices(keys, [("mean", "ascending"), ("k", "ascending")])))
    assert manifest(bench.out)["rows"] == ROWS
    return sums(bench.out)


@pytest.mark.parametrize(("workers", "memory"), [(1, "400Mi"), (7, "450Mi")])
def test_the_same_bytes_for_any_workers_and_memory(
    bench: Bench, source: Path, calm: dict[str, str], workers: int, memory: str
) -> None:
    bench.complete(map_job(bench, source), workers=workers, memory=memory)
    assert sums(bench.out) == calm


async def test_the_same_bytes_where_a_worker_is_killed(bench: Bench, source: Path, calm: dict[str, str]) -> None:
    async def kill(run: Watched) -> None:
        def transferring() -> list[int]:
            members = run.local.machine.state.members
            held = [w for w, live in members.items() if any(x.kind is LeaseKind.TRANSFER for x in live.holding)]
            return [w for w in held if w in run.pids()]

        await run.until(lambda: run.now.splits_done >= 1 and transferring(), "a split, and a worker at another")
        run.kill(transferring()[0])

    job = bench.loaded(map_job(bench, source), memory=500 << 20)
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost + end.workers_replaced >= 1
    assert end.rows_read == end.rows_written == ROWS
    assert sums(bench.out) == calm


async def test_a_function_that_gives_other_rows_when_a_split_is_read_again(bench: Bench, source: Path) -> None:
    async def kill(run: Watched) -> None:
        await run.until(lambda: run.now.splits_done >= 1 and run.pids(), "a split, and workers")
        run.kill(*run.pids())

    job = bench.loaded(map_job(bench, source, "fewer_each_time", operation={"repartition": {}}), memory=500 << 20)
    end, _ = await run_watched(bench, job, kill)
    assert end.phase == "Failed"
    assert "rows when it was read first and " in end.cause
    assert "a function of the job's (map, reader) does not return the same for the same rows each time" in end.cause
    assert not list(bench.out.glob("part-*"))


def test_a_function_that_fails_names_file_part_and_rows(bench: Bench, source: Path) -> None:
    outcome = bench.run(map_job(bench, source, "picky", operation={"repartition": {}}), memory="400Mi")
    assert outcome.code != 0
    said = " ".join(outcome.err.split())
    assert "inputs[0].map: mine:picky raised ValueError: not this one" in said
    assert f"{source}/5.parquet, part 3, rows 0 to 2,499 of those that it is given mine.py, line" in said
    assert not list(bench.out.glob("part-*"))


def test_explain_says_what_goes_through_it(bench: Bench, source: Path) -> None:
    job = map_job(bench, source)
    found = subprocess.run([*PROGRAM, "explain", str(job)], capture_output=True, text=True, cwd=bench.root, check=True)
    said = " ".join(found.stdout.split())
    assert "Map mine:exploded is given pa.Table, up to" in said
    assert "columns: k, v, padding, mean" in said
    assert "rows of a sample became" in said
