"""Several runs on one output, at once or one after another that was killed: nothing of two runs is ever mixed, what a
living run uses is never touched, and the next run says what it found."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.jobs.data import WIDE_ROWS
from tests.jobs.harness import Bench, processes, sums, wait_until
from tests.jobs.test_interrupted import FILES, HASH, OUTPUT, planned, until, workers, writing

from shuffle_worker.runtime.owner import this_process

REPLACE = {**OUTPUT, "onExisting": "Overwrite"}


def killed(bench: Bench, phase: str) -> int:
    """A run that is killed in a phase, with all of its workers; returns its process id."""
    program = until(bench, phase)
    program.kill()
    program.communicate(timeout=60)
    wait_until(lambda: not processes(bench.mark), "the workers to leave")
    return program.pid


@pytest.mark.parametrize("output", [OUTPUT, REPLACE], ids=["Fail", "Overwrite"])
def test_a_run_beside_a_living_one_is_refused(bench: Bench, wide: Path, output: dict[str, Any]) -> None:
    bench.job(HASH, wide, output)
    first = until(bench, "transferring")
    stopped = list(processes(bench.mark))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    second = bench.run(bench.root / "job.yaml")
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert second.code == 2
    assert f"another run is writing to {bench.out} (job test, process {first.pid} on" in second.err
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert f'"rows_written":{WIDE_ROWS}' in out
    assert len(sums(bench.out)) == FILES + 1


def test_workers_that_outlive_a_killed_run_are_waited_for(bench: Bench, wide: Path) -> None:
    """They could still write: nothing of theirs is removed before the last of them is gone."""
    bench.job(HASH, wide, OUTPUT)
    program = until(bench, "writing")
    stopped = workers(bench)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    program.kill()
    program.communicate(timeout=60)
    again = bench.run(bench.root / "job.yaml")
    assert again.code == 2
    assert f"process {program.pid} on" in again.err
    assert "or workers of its" in again.err
    for pid in stopped:
        os.kill(pid, signal.SIGKILL)
    for pid in stopped:
        wait_until(lambda pid=pid: pid not in processes(bench.mark), "a worker to end")
    assert bench.complete(bench.root / "job.yaml").rows_written == WIDE_ROWS
    for folder in bench.scratch.iterdir():
        shutil.rmtree(folder)  # of workers that were killed together with their launcher


def test_two_that_start_at_once_are_never_mixed(bench: Bench, wide: Path, events: Path) -> None:
    one = bench.job(HASH, wide, REPLACE).rename(bench.root / "one.yaml")
    two = bench.job(HASH, events, {"partitions": 3, "onExisting": "Overwrite"})
    programs = [bench.start(bench.command(job)) for job in (one, two)]
    ended = [(program.communicate(timeout=60), program.returncode) for program in programs]
    assert {code for _, code in ended} <= {0, 2}, ended
    for (_, err), code in ended:
        assert code == 0 or "another run is writing" in err
    files = len(list(bench.out.glob("part-*"))) if bench.out.exists() else 0
    assert files in ({0} if all(code for _, code in ended) else {3, FILES})


@pytest.mark.parametrize("then", [OUTPUT, REPLACE], ids=["Fail", "Overwrite"])
def test_what_a_killed_replacement_left_goes_and_older_output_does_not(
    bench: Bench, wide: Path, events: Path, then: dict[str, Any]
) -> None:
    bench.complete(bench.job(HASH, events, {"partitions": 3}))
    before = sums(bench.out)
    bench.job(HASH, wide, REPLACE)
    killed(bench, "writing")
    again = bench.run(bench.job(HASH, wide, then))
    if then is OUTPUT:
        assert (again.code, "holds 5 files already" in again.err) == (2, True), again.err
        kept = {name: digest for name, digest in sums(bench.out).items() if not name.startswith("_shuffle-")}
        assert kept == before
        shutil.rmtree(bench.out)
    else:
        assert again.code == 0, again.err
        assert len(sums(bench.out)) == FILES + 1


def test_explain_says_what_the_run_will_remove_and_removes_nothing(bench: Bench, wide: Path) -> None:
    bench.job(HASH, wide, OUTPUT)
    pid = killed(bench, "writing")
    there = sorted(bench.out.rglob("*"))
    explained = subprocess.run(
        [*bench.command(bench.root / "job.yaml")[:3], "explain", "job.yaml", "-w", "1", "-m", "300Mi"],
        cwd=bench.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert explained.returncode == 0, explained.stderr
    assert f"(process {pid}) left files in {bench.out}" in explained.stdout
    assert sorted(bench.out.rglob("*")) == there
    shutil.rmtree(bench.out)


@pytest.mark.parametrize("output", [OUTPUT, REPLACE], ids=["Fail", "Overwrite"])
def test_what_may_be_in_use_elsewhere_is_left(bench: Bench, wide: Path, output: dict[str, Any]) -> None:
    """A run of another machine: this one cannot see whether it lives."""
    mark = {
        "job": "theirs",
        "overwrite": True,
        "arrays": False,
        "owner": {**msgspec.to_builtins(this_process()), "boot": "another", "machine": "another"},
    }
    folder = bench.out / "_shuffle-0123"
    folder.mkdir(parents=True)
    for name, data in {"owner": msgspec.json.encode(mark), "plan": b"", "part-00000.parquet": b"theirs"}.items():
        (folder / name).write_bytes(data)
    again = bench.run(bench.job(HASH, wide, output))
    assert sorted(path.name for path in folder.iterdir()) == ["owner", "part-00000.parquet", "plan"]
    if output is OUTPUT:
        assert again.code == 2
        assert f"remove {folder}, or choose another folder" in again.err
    else:
        assert again.code == 0, again.err
        assert f"{folder}: left by another run, or in use by one" in again.err
    shutil.rmtree(bench.out)


def test_a_terminal_that_is_closed(bench: Bench, wide: Path) -> None:
    """SIGHUP comes, and everything that is said afterwards fails: the run still removes what it wrote."""
    bench.job(HASH, wide, OUTPUT)
    ours, theirs = pty.openpty()
    command = [part for part in bench.command(bench.root / "job.yaml") if part != "--json"]
    program = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs, cwd=bench.root
    )
    os.close(theirs)
    os.set_blocking(ours, False)

    def wrote() -> bool:
        try:
            while os.read(ours, 1 << 16):
                pass
        except OSError:
            pass
        return writing(bench) or program.poll() is not None

    wait_until(wrote, "writing")
    os.close(ours)
    wait_until(lambda: not processes(bench.mark), "everything to end")
    program.wait(60)
    assert not bench.out.exists()


def test_a_reader_that_goes_away_does_not_stop_the_run(bench: Bench, wide: Path) -> None:
    bench.job(HASH, wide, OUTPUT)
    program = bench.start(bench.command(bench.root / "job.yaml"))
    assert program.stderr is not None
    program.stderr.close()
    assert program.stdout is not None
    assert '"phase":"Complete"' in program.stdout.read()
    assert program.wait(60) == 0


def test_a_signal_that_is_ignored_stays_ignored(bench: Bench, wide: Path) -> None:
    """As under nohup."""
    bench.job(HASH, wide, OUTPUT)
    program = subprocess.Popen(
        ["nohup", *bench.command(bench.root / "job.yaml")],
        cwd=bench.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: planned(bench) or program.poll() is not None, "a plan")
    program.send_signal(signal.SIGHUP)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    assert '"phase":"Complete"' in out
