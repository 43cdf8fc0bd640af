"""`shuffle run` that is told to stop, or is killed itself, in every phase: it says so, and leaves nothing behind.

From outside a phase shows in what is on disk: a plan in the staging folder, then output files.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.data import WIDE_ROWS
from tests.jobs.harness import Bench, Watched, processes, run_watched, sums, wait_until, worker_processes

from shuffle_protocol.messages import Phase

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}
FILES = 200
OUTPUT = {"partitions": FILES, "sortWithin": ["score"]}


def workers(bench: Bench) -> list[int]:
    return worker_processes(bench.mark)


def planned(bench: Bench) -> bool:
    return any(bench.out.glob("_shuffle-*/plan"))


def writing(bench: Bench) -> bool:
    return any(bench.out.glob("_shuffle-*/group-*.json"))


PHASES: dict[str, Callable[[Bench], bool]] = {
    "starting": lambda bench: bool(workers(bench)),
    "transferring": planned,
    "writing": writing,
}


def until(bench: Bench, phase: str) -> subprocess.Popen[str]:
    """A run of the wide job that has got as far as that, and not to its end."""
    program = bench.start(bench.command(bench.root / "job.yaml"))
    wait_until(lambda: PHASES[phase](bench) or program.poll() is not None, phase)
    return program


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("starting", signal.SIGTERM),
        ("transferring", signal.SIGINT),
        ("writing", signal.SIGTERM),
        ("writing", signal.SIGHUP),
        ("transferring", signal.SIGQUIT),
    ],
)
def test_stopped_by_a_signal(bench: Bench, wide: Path, phase: str, number: signal.Signals) -> None:
    bench.job(HASH, wide, OUTPUT)
    program = until(bench, phase)
    program.send_signal(number)
    _out, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert not processes(bench.mark)
    assert not bench.out.exists()


def test_it_can_be_run_again(bench: Bench, wide: Path) -> None:
    job = bench.job(HASH, wide, OUTPUT)
    program = until(bench, "writing")
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=60)
    assert program.returncode == 130
    assert bench.complete(job).rows_written == WIDE_ROWS


def test_what_was_there_stays_whole(bench: Bench, events: Path, wide: Path) -> None:
    bench.complete(bench.job(HASH, events, {"partitions": 3}))
    before = sums(bench.out)
    bench.job(HASH, wide, {**OUTPUT, "onExisting": "Overwrite"})
    program = until(bench, "writing")
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=60)
    assert program.returncode == 130
    assert sums(bench.out) == before


async def test_too_late_to_stop(bench: Bench, events: Path, wide: Path) -> None:
    """While older output is being replaced there is no way back: the commit goes through."""
    bench.complete(bench.job(HASH, events, {"partitions": 3}))

    async def interrupt(run: Watched) -> None:
        await run.until_phase(Phase.COMMITTING)
        run.local.cancel()

    job = bench.loaded(bench.job(HASH, wide, {**OUTPUT, "onExisting": "Overwrite"}))
    end, _ = await run_watched(bench, job, interrupt)
    assert end.phase == "Complete"
    assert len(sums(bench.out)) == FILES + 1


async def test_stopped_before_it_began(bench: Bench, wide: Path) -> None:
    async def interrupt(run: Watched) -> None:
        run.local.cancel()

    end, _ = await run_watched(bench, bench.loaded(bench.job(HASH, wide, OUTPUT)), interrupt)
    assert end.reason == "Cancelled"
    assert not bench.out.exists()


def test_told_twice(bench: Bench, wide: Path) -> None:
    """Workers that do not react would be waited for; whoever says it twice does not want to wait."""
    bench.job(HASH, wide, OUTPUT)
    program = until(bench, "writing")
    for pid in workers(bench):
        os.kill(pid, signal.SIGSTOP)
    program.send_signal(signal.SIGINT)
    program.send_signal(signal.SIGTERM)  # another one, for two of a kind may arrive as one
    _out, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    assert f"what was written is still in {bench.out}" in err
    assert "Traceback" not in err
    assert not (bench.out / "_SUCCESS").exists()
    shutil.rmtree(bench.out)


@pytest.mark.parametrize("phase", PHASES)
def test_the_program_itself_is_killed(bench: Bench, wide: Path, phase: str) -> None:
    """The workers notice, go away, and take their scratch with them. Nobody is left to undo what was written."""
    bench.job(HASH, wide, OUTPUT)
    program = until(bench, phase)
    program.kill()
    program.communicate(timeout=60)
    assert program.returncode == -9
    wait_until(lambda: not processes(bench.mark), "the workers to leave")
    assert list(bench.scratch.iterdir()) == []
    assert not any(bench.out.rglob("*.partial"))
    assert not (bench.out / "_SUCCESS").exists()
    left = bench.out.exists()
    again = bench.run(bench.root / "job.yaml")
    assert again.code == 0, again.err
    assert again.summary.rows_written == WIDE_ROWS
    assert (f"(process {program.pid}) left files in {bench.out}, which this run removes" in again.err) == left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_while_the_plan_tries_a_function(bench: Bench, wide: Path, number: signal.Signals) -> None:
    """Without a schema it is called for a sample; neither an abort nor a worker that leaves waits for the call."""
    called = bench.root / "called"
    text = (
        f"import pathlib, time\n\n\ndef waits(table):\n    pathlib.Path({str(called)!r}).touch()\n    time.sleep(600)\n"
    )
    (bench.root / "waiting.py").write_text(text)
    bench.job({"groupBy": {"by": ["user"], "apply": "waiting:waits"}}, wide)
    program = bench.start(bench.command(bench.root / "job.yaml", memory="512Mi"))
    wait_until(lambda: called.exists() or program.poll() is not None, "a call")
    program.send_signal(number)
    program.communicate(timeout=60)
    assert program.returncode == (130 if number == signal.SIGINT else -9)
    wait_until(lambda: not processes(bench.mark), "the workers to leave")
