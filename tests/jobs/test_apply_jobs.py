"""Whole jobs that call a function of the user's: found beside the job or in a zip, the same bytes for any workers, and
a message with the key and the traceback where it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tests.jobs.harness import PROGRAM, Bench, Watched, processes, run_watched, sums, tables, wait_until

from shuffle_protocol.messages import Phase

MIB = 1 << 20
MEMORY = "400Mi"
SESSIONS = """
from __future__ import annotations
import pandas as pd

GAP = 1800

def sessionize(events: pd.DataFrame) -> pd.DataFrame:
    events = events.sort_values("ts")
    session = (events["ts"].diff() > GAP).cumsum()
    ts = events["ts"].groupby(session)
    return pd.DataFrame({"user": events["user"].iloc[0], "begins": ts.min(), "ends": ts.max(), "events": ts.size()})
"""
ORACLE = """
    SELECT user, min(ts) AS begins, max(ts) AS ends, count(*) AS events FROM (
        SELECT *, sum(new) OVER (PARTITION BY user ORDER BY ts) AS session FROM (
            SELECT *, coalesce(ts - lag(ts) OVER (PARTITION BY user ORDER BY ts) > 1800, false)::INT AS new
            FROM events))
    GROUP BY user, session ORDER BY user, begins
"""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apply") / "events"
    folder.mkdir()
    random = np.random.default_rng(3)
    for number in range(3):
        ts = random.permutation(90_000)[:600] + number * 90_000
        pq.write_table(pa.table({"user": random.integers(0, 40, 600), "ts": ts}), folder / f"{number}.parquet")
    return folder


def beside(bench: Bench, name: str, text: str) -> None:
    """A module beside the job file."""
    (bench.root / f"{name}.py").write_text(textwrap.dedent(text))


def apply_job(bench: Bench, events: Path, function: str, partitions: int = 3, **more: Any) -> Path:
    operation = {"groupBy": {"by": ["user"], "apply": function, **more.pop("group", {})}}
    return bench.job(operation, events, {"partitions": partitions, **more.pop("output", {})}, **more)


def test_sessions_of_users_are_what_sql_says_for_any_workers(bench: Bench, events: Path) -> None:
    beside(bench, "sessions", SESSIONS)
    job = apply_job(bench, events, "sessions:sessionize")
    end = bench.complete(job, memory=MEMORY)
    found = pa.concat_tables(tables(bench.out)).sort_by([("user", "ascending"), ("begins", "ascending")])
    with duckdb.connect() as connection:
        connection.register("events", pq.read_table(events))
        expected = connection.sql(ORACLE).to_arrow_table()
    assert found.to_pydict() == expected.to_pydict()
    assert end.rows_written == found.num_rows
    first = sums(bench.out)
    job = apply_job(bench, events, "sessions:sessionize", output={"onExisting": "Overwrite"})
    bench.complete(job, workers=1, memory="700Mi")
    assert sums(bench.out) == first
    assert not (bench.root / "__pycache__").exists()


def test_code_from_a_zip_with_a_declared_schema_and_once_a_partition(bench: Bench, events: Path) -> None:
    with zipfile.ZipFile(bench.root / "code.zip", "w") as archive:
        archive.writestr("mine/__init__.py", "")
        archive.writestr(
            "mine/counts.py",
            "import pyarrow as pa\n"
            "def count(batches: 'Iterator[pa.RecordBatch]'):\n"
            "    yield pa.table({'rows': [sum(batch.num_rows for batch in batches)]})\n",
        )
    group = {"per": "Partition", "schema": [{"name": "rows", "type": "int32"}]}
    sources = {"sources": [{"path": "code.zip"}]}
    bench.complete(apply_job(bench, events, "mine.counts:count", group=group, functions=sources), memory=MEMORY)
    found = tables(bench.out)
    assert [table.schema for table in found] == [pa.schema({"rows": pa.int32()})] * 3
    assert sum(table.column("rows")[0].as_py() for table in found) == 1800


def test_what_it_raises_is_told_with_the_key_and_nothing_is_left(bench: Bench, events: Path) -> None:
    beside(
        bench,
        "bad",
        """
        def check(rows):
            return _check(rows)

        def _check(rows):
            if rows["user"][0].as_py() == 17 and rows.num_rows > 0:
                raise ValueError("seventeen is not liked")
            return rows
        """,
    )
    schema = [{"name": "user", "type": "int64"}, {"name": "ts", "type": "int64"}]
    outcome = bench.run(apply_job(bench, events, "bad:check", group={"schema": schema}), memory=MEMORY)
    assert outcome.code == 1
    lines = outcome.err.strip().splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("UserFunctionFailed: "))
    assert lines[at].endswith("operation.groupBy.apply: bad:check raised ValueError: seventeen is not liked")
    assert lines[at + 1].startswith("key user = 17, ")
    assert ", partition " in lines[at + 1]
    assert [line.strip() for line in lines[at + 2 : at + 4]] == [
        "bad.py, line 3, in check: return _check(rows)",
        'bad.py, line 7, in _check: raise ValueError("seventeen is not liked")',
    ]
    assert not bench.out.exists() or list(bench.out.iterdir()) == []


@pytest.mark.parametrize("where", ["another folder", "below", "the same folder"])
def test_functions_of_all_kinds_are_found_beside_the_job_file(
    bench: Bench, events: Path, tmp_path: Path, where: str
) -> None:
    """Whatever the current folder, and for every command; `run` looks for them as `explain` does."""
    job = bench.root / "jobs" / "job.yaml"
    job.parent.mkdir()
    cwd = {"another folder": tmp_path, "below": bench.root, "the same folder": job.parent}[where]
    (job.parent / "both.py").write_text(
        "import pyarrow as pa\nimport pyarrow.parquet as pq\n"
        "def read(path, columns):\n    return pq.read_table(path, columns=columns)\n"
        "def first(rows):\n    return rows.slice(0, 1)\n"
    )
    written = apply_job(bench, events, "both:first").read_text()
    spec = yaml.safe_load(written)
    spec["spec"]["inputs"] = [{"path": str(events), "reader": "both:read"}]
    spec["spec"]["output"]["path"] = str(bench.out)
    job.write_text(yaml.safe_dump(spec))
    for command in ("validate", "explain", *(["run"] if where == "another folder" else [])):
        options = ["--workers", "1", "--memory", "512Mi"] if command != "validate" else []
        file = os.path.relpath(job, cwd)
        done = subprocess.run(
            [*PROGRAM, command, file, *options],
            cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
    if where == "another folder":
        assert sum(table.num_rows for table in tables(bench.out)) == 40


def test_a_function_that_is_not_there_is_refused(bench: Bench, events: Path) -> None:
    beside(bench, "there", "")
    outcome = bench.run(apply_job(bench, events, "ther:f"), workers=1, memory=MEMORY)
    assert outcome.code == 2
    assert "operation.groupBy.apply: ther:f: there is no module 'ther'; did you mean 'there'?" in outcome.err
    assert f"the folder of the job file, {bench.root} (which has " in outcome.err


def test_too_little_memory_is_told(bench: Bench, events: Path) -> None:
    outcome = bench.run(apply_job(bench, events, "any:f"), workers=1, memory="300Mi")
    assert outcome.code == 2
    assert "give workers at least 384Mi" in outcome.err


async def test_a_worker_that_is_killed_changes_nothing(bench: Bench, events: Path) -> None:
    beside(bench, "slow", "import time\ndef f(rows):\n    time.sleep(0.01)\n    return rows.slice(0, 1)\n")
    job = apply_job(bench, events, "slow:f", partitions=6)
    bench.complete(job, workers=1, memory=MEMORY)
    expected = sums(bench.out)

    async def kill(run: Watched) -> None:
        await run.until_phase(Phase.WRITING)
        await run.until(lambda: run.now.partitions_written > 0, "a file that was written")
        run.kill(1)

    job = apply_job(bench, events, "slow:f", partitions=6, output={"onExisting": "Overwrite"})
    end, _ = await run_watched(bench, bench.loaded(job, memory=400 * MIB), kill)
    assert end.phase is Phase.COMPLETE
    assert sums(bench.out) == expected


def test_a_process_that_is_killed_once_is_started_again(bench: Bench, events: Path) -> None:
    mark = bench.root / "was-here"
    beside(
        bench,
        "once",
        f"""
        import os, pathlib, signal
        def f(rows):
            mark = pathlib.Path({str(mark)!r})
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return rows
        """,
    )
    schema = [{"name": "user", "type": "int64"}, {"name": "ts", "type": "int64"}]
    end = bench.complete(apply_job(bench, events, "once:f", group={"schema": schema}), memory=MEMORY)
    assert mark.exists()
    assert end.rows_written == 1800


def test_an_interrupt_ends_an_endless_function(bench: Bench, events: Path) -> None:
    mark = bench.root / "was-here"
    beside(
        bench,
        "endless",
        f"""
        import pathlib
        def f(rows):
            pathlib.Path({str(mark)!r}).touch()
            while True:
                pass
        """,
    )
    schema = [{"name": "user", "type": "int64"}]
    program = bench.start(bench.command(apply_job(bench, events, "endless:f", group={"schema": schema}), memory=MEMORY))
    wait_until(mark.exists, "the function to be called")
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=30)
    assert program.returncode == 130, err
    assert "nothing half-written was left" in err, out
    wait_until(lambda: not processes(bench.mark), "the function's process to end")
