"""Jobs run from Python: with and without an event loop, to their end, into an error, and stopped on the way."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.jobs.harness import Bench, half_written, processes, wait_until

from shuffle_operator import JobError, OutputChanged, ReadTable, ShuffleJob, agg, desc, read_parquet
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.errors import InputNotFound, OutputExists, UserFunctionFailed
from shuffle_protocol.messages import Phase

ONE = {"workers": 1, "memory": "512Mi"}


@pytest.fixture
def long(bench: Bench) -> ShuffleJob:
    """A job that goes on until it is stopped: its function waits."""
    (bench.root / "waits.py").write_text("import time\n\n\ndef forever(table):\n    time.sleep(600)\n")
    pq.write_table(pa.table({"a": [1, 2, 3]}), bench.root / "in.parquet")
    table = read_parquet(bench.root / "in.parquet").group_by("a")
    made = table.apply("waits:forever", schema={"a": "int64"}).write_parquet(bench.out)
    return made.with_functions([{"path": str(bench.root)}])


def test_a_result_has_figures_and_opens_as_all_that_was_promised(bench: Bench, small: Path) -> None:
    table = read_parquet(small).sort(desc("row"))
    result = table.write_parquet(bench.out, partitions=2).run(**ONE, scratch=bench.root / "scratch")  # type: ignore[arg-type]
    assert (result.rows, result.files, result.format, result.path) == (8, 2, "Parquet", str(bench.out))
    assert result.bytes == sum(path.stat().st_size for path in bench.out.glob("part-*"))
    assert result.paths == sorted(map(str, bench.out.glob("part-*")))
    assert result.seconds > 0
    assert result.to_arrow()["row"].to_pylist() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert result.to_pandas()["row"].tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    found = result.scan_polars().filter(pl.col("row") > 5).collect()
    assert found["row"].to_list() == [7, 6]
    assert result.dataset().filter(pc.field("key").is_null()).to_table()["row"].to_pylist() == [6, 2]
    assert repr(result).startswith("<JobResult out: 8 rows in 2 files, ")


async def test_it_runs_where_a_loop_is_running_already(bench: Bench, small: Path) -> None:
    job = read_parquet(small).group_by("key").agg(n=agg.size()).write_parquet(bench.out, partitions=1)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(tick())
    seen: list[Snapshot] = []
    first = await job.run_async(**ONE, progress=seen.append)  # type: ignore[arg-type]
    counting.cancel()
    assert ticks > 100  # the loop was free
    assert seen[-1].phase is Phase.COMPLETE
    assert sorted(row["n"] for row in first.to_arrow().to_pylist()) == [2, 2, 4]
    again = read_parquet(small).distinct("key").write_parquet(bench.out, on_existing="Overwrite")
    assert again.run(**ONE).rows == 3  # type: ignore[arg-type] - it blocks this loop, and has one of its own
    with pytest.raises(OutputChanged, match="was overwritten since: its manifest is of job out, run"):
        first.to_arrow()


REFUSED: list[tuple[type[JobError], str]] = [
    (InputNotFound, "inputs"),
    (OutputExists, "set output.onExisting: Overwrite"),
    (UserFunctionFailed, "raised ValueError: no"),
]


@pytest.mark.parametrize(("kind", "said"), REFUSED, ids=[kind.reason for kind, _ in REFUSED])
def test_an_error_is_that_of_the_command(bench: Bench, small: Path, kind: type[JobError], said: str) -> None:
    table: ReadTable = read_parquet(small)
    if kind is InputNotFound:
        table = read_parquet(bench.root / "inputs")
    if kind is OutputExists:
        bench.out.mkdir()
        (bench.out / "mine.parquet").write_text("")
    (bench.root / "raises.py").write_text("def no(table):\n    raise ValueError('no')\n")
    done = table.group_by("key").apply("raises:no", schema={"key": "int64"}).write_parquet(bench.out)
    job = done.with_functions([{"path": str(bench.root)}])
    with pytest.raises(kind, match=said):
        job.run(**ONE)  # type: ignore[arg-type]
    if kind is not UserFunctionFailed:  # what only a run can find, a plan does not
        with pytest.raises(kind, match=said):
            job.explain(**ONE)  # type: ignore[arg-type]


async def test_a_task_that_is_cancelled_leaves_nothing(bench: Bench, long: ShuffleJob) -> None:
    running = asyncio.create_task(long.run_async(**ONE))  # type: ignore[arg-type]
    await asyncio.to_thread(
        wait_until, lambda: any("functions.child" in c for c in processes(bench.mark).values()), "call"
    )
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not bench.out.exists()


async def test_a_plan_that_is_cancelled_leaves_nothing(bench: Bench) -> None:
    called = bench.root / "called"
    text = (
        f"import pathlib, time\n\n\ndef waits(table):\n    pathlib.Path({str(called)!r}).touch()\n    time.sleep(600)\n"
    )
    (bench.root / "tried.py").write_text(text)
    pq.write_table(pa.table({"a": [1, 2, 3]}), bench.root / "in.parquet")
    job = read_parquet(bench.root / "in.parquet").group_by("a").apply("tried:waits").write_parquet(bench.out)
    job = job.with_functions([{"path": str(bench.root)}])
    planning = asyncio.create_task(job.explain_async(**ONE))  # type: ignore[arg-type]
    await asyncio.to_thread(wait_until, called.exists, "a call")
    planning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await planning
    await asyncio.to_thread(wait_until, lambda: not processes(bench.mark), "the processes to end")


def test_a_progress_function_that_raises_stops_the_job(bench: Bench, long: ShuffleJob) -> None:
    def enough(now: Snapshot) -> None:
        if now.phase is not Phase.PENDING:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        long.run(**ONE, progress=enough)  # type: ignore[arg-type]
    assert not processes(bench.mark)
    assert not bench.out.exists()


SCRIPT = """
import sys
from pathlib import Path
import pyarrow as pa
from shuffle_operator import read_parquet

def {name}(table: pa.Table) -> pa.Table:
    import time
    Path("called").touch()
    time.sleep({seconds})
    return table

job = read_parquet("in.parquet").group_by("a").apply({name}, schema=dict(a="int64")).write_parquet("out")
{guard}job.run(workers=1, memory="512Mi")
"""


def script(bench: Bench, seconds: int, guard: str, end: str = "") -> subprocess.Popen[str]:
    """end: what the script does instead of running its job."""
    pq.write_table(pa.table({"a": [1, 2, 3]}), bench.root / "in.parquet")
    text = SCRIPT.format(name="same", seconds=seconds, guard=guard)
    file = bench.root / "script.py"
    file.write_text(text.partition("job.run(")[0] + end if end else text)
    return bench.start([sys.executable, str(file)])


def test_a_function_of_the_script_that_runs_is_called(bench: Bench) -> None:
    program = script(bench, 0, 'if __name__ == "__main__":\n    ')
    assert program.communicate(timeout=60)[1] == ""
    assert program.returncode == 0
    assert pq.read_table(bench.out).num_rows == 3


def test_a_script_without_a_guard_is_refused_and_starts_no_further_run(bench: Bench) -> None:
    err = script(bench, 0, "").communicate(timeout=60)[1]
    assert "same: importing script failed" in err
    assert 'put that under `if __name__ == "__main__":`' in err
    assert not bench.out.exists()


def test_ctrl_c_stops_the_workers_before_it_is_raised(bench: Bench) -> None:
    program = script(bench, 600, 'if __name__ == "__main__":\n    ')
    wait_until(lambda: (bench.root / "called").exists() or program.poll() is not None, "a call")
    program.send_signal(signal.SIGINT)
    err = program.communicate(timeout=60)[1]
    assert "KeyboardInterrupt" in err.splitlines()[-1]
    assert not processes(bench.mark)
    assert not bench.out.exists()
    assert half_written(bench.root) == []


def test_a_run_that_nobody_waits_for_ends_with_the_interpreter(bench: Bench) -> None:
    end = """if __name__ == "__main__":
    import asyncio
    loop = asyncio.new_event_loop()
    task = loop.create_task(job.run_async(workers=1, memory="512Mi"))
    while not Path("called").exists():
        loop.run_until_complete(asyncio.sleep(0.05))
"""
    program = script(bench, 600, "", end)
    program.communicate(timeout=60)
    assert (bench.root / "called").exists()
    assert not processes(bench.mark)
    assert not bench.out.exists()


def test_logs_are_written_where_they_are_wanted(bench: Bench, small: Path) -> None:
    log = bench.root / "log"
    read_parquet(small).distinct().write_parquet(bench.out).run(**ONE, log=log)  # type: ignore[arg-type]
    assert log.read_text().startswith("{")
    with pytest.raises(OSError, match="No such file"):
        read_parquet(small).distinct().write_parquet(bench.out).run(**ONE, log=bench.root / "no/log")  # type: ignore[arg-type]
