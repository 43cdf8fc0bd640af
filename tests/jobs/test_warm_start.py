"""Workers that are forked from one process: they are what workers that start by themselves are, and a run does without
that process at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.jobs.harness import Bench, Watched, processes, run_watched, sums, wait_until, watched, worker_processes

from shuffle_local.ahead import _about_arrays, start_warm
from shuffle_local.warm import WarmStart
from shuffle_protocol.messages import Phase

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}
OUTPUT = {"partitions": 24, "sortWithin": ["score"]}


def warm_of(run: Watched) -> WarmStart:
    warm = run.local._options.warm
    assert warm is not None
    return warm


def files(pid: int) -> dict[int, str]:
    """What a process has open, by descriptor; the kernel's own for pipes and sockets without their numbers."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink()).split(":[")[0]
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, wide: Path) -> dict[str, str]:
    """The output of one worker."""
    bench = Bench(tmp_path_factory.mktemp("alone"), "")
    bench.complete(bench.job(HASH, wide, OUTPUT), workers=1)
    return sums(bench.out)


async def test_a_forked_worker_is_as_one_that_was_started(bench: Bench, wide: Path, alone: dict[str, str]) -> None:
    """A child of the launcher, in a session of its own, with nothing of the warm process in its hands."""
    seen: dict[str, Any] = {}

    async def look(run: Watched) -> None:
        await run.until_phase(Phase.TRANSFERRING)
        await run.until(lambda: len(run.pids()) == 2, "both workers")
        warm = warm_of(run).pid
        for pid in run.pids().values():
            process = psutil.Process(pid)
            assert process.ppid() == os.getpid()
            assert os.getsid(pid) == os.getpgid(pid) == pid
            assert process.cmdline() == psutil.Process(warm).cmdline()
            assert process.cwd() == psutil.Process().cwd()
            assert files(pid)[0] == files(pid)[2] == "pipe"
            assert files(pid)[1] == os.devnull
            assert not any("/pandas/" in library.path for library in process.memory_maps())
        assert psutil.Process(warm).num_threads() == 1
        assert sum(kind == "socket" for kind in files(warm).values()) == 2  # standard input, and its duplicate
        seen["pids"] = set(run.pids().values())

    end, run = await run_watched(bench, bench.loaded(bench.job(HASH, wide, OUTPUT)), look)
    assert end.phase == "Complete", end.cause
    assert len(seen["pids"]) == 2
    assert not psutil.pid_exists(warm_of(run).pid)
    assert sums(bench.out) == alone


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_the_warm_process_dies_after_the_workers_began(
    bench: Bench, wide: Path, alone: dict[str, str], number: signal.Signals
) -> None:
    """They go on, and a worker that is lost then has a successor that starts by itself."""

    async def kill(run: Watched) -> None:
        await run.until_phase(Phase.TRANSFERRING)
        await run.until(lambda: run.now.workers_ready == 2 == len(run.pids()), "both workers")
        before = set(run.pids().values())
        os.kill(warm_of(run).pid, number)
        await run.until(lambda: psutil.Process(warm_of(run).pid).status() == psutil.STATUS_ZOMBIE, "its end")
        assert set(run.pids().values()) == before
        run.kill(1)
        await run.until(lambda: run.now.workers_lost == 1, "the loss")
        await run.until(lambda: len(set(run.pids().values()) - before) == 1, "a successor")

    end, _ = await run_watched(bench, bench.loaded(bench.job(HASH, wide, OUTPUT)), kill)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost == end.workers_replaced == 1
    assert sums(bench.out) == alone


async def test_the_warm_process_dies_before_there_is_a_worker(bench: Bench, wide: Path, alone: dict[str, str]) -> None:
    run = watched(bench, bench.loaded(bench.job(HASH, wide, OUTPUT)))
    os.kill(warm_of(run).pid, signal.SIGKILL)
    end = await asyncio.wait_for(run.local.run(), 60)
    assert end.phase == "Complete", end.cause
    assert end.workers_lost == 0
    assert sums(bench.out) == alone


async def test_a_successor_is_forked_too(bench: Bench, wide: Path, alone: dict[str, str]) -> None:
    async def kill(run: Watched) -> None:
        await run.until_phase(Phase.TRANSFERRING)
        await run.until(lambda: run.now.workers_ready == 2 == len(run.pids()), "both workers")
        run.kill(0)
        await run.until(lambda: run.now.workers_replaced == 1 and len(run.pids()) == 2, "a successor")
        assert psutil.Process(run.pid(0)).cmdline()[-1] == "warm"

    end, _ = await run_watched(bench, bench.loaded(bench.job(HASH, wide, OUTPUT)), kill)
    assert end.phase == "Complete", end.cause
    assert sums(bench.out) == alone


async def test_a_worker_alone_keeps_no_warm_process(bench: Bench, wide: Path, alone: dict[str, str]) -> None:
    """It would share its memory with nobody else."""

    async def look(run: Watched) -> None:
        await run.until_phase(Phase.TRANSFERRING)
        assert not psutil.pid_exists(warm_of(run).pid)
        assert psutil.Process(run.pid(0)).cmdline()[-1] == "warm"

    end, _ = await run_watched(bench, bench.loaded(bench.job(HASH, wide, OUTPUT), workers=1), look)
    assert end.phase == "Complete", end.cause
    assert sums(bench.out) == alone


THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
"""


def test_a_process_with_a_second_thread_is_not_forked(bench: Bench, wide: Path, alone: dict[str, str]) -> None:
    """A lock that the other thread holds would be held in the fork for ever: workers start by themselves."""
    bench.inject(THREAD)
    bench.complete(bench.job(HASH, wide, OUTPUT))
    assert sums(bench.out) == alone


def test_a_process_that_cannot_import_is_not_waited_for(bench: Bench, wide: Path) -> None:
    """What is wrong is said by a worker."""
    bench.inject("sys.modules['shuffle_worker.tables.work'] = None")
    outcome = bench.run(bench.job(HASH, wide, OUTPUT))
    assert outcome.code == 1
    assert "shuffle_worker.tables.work" in outcome.err


WITHOUT_PIDFD = """
import errno, os
def refused(*_):
    raise OSError(errno.ENOSYS, "not implemented")
os.pidfd_open = refused
"""


def test_a_system_that_cannot_watch_a_process(bench: Bench, wide: Path, alone: dict[str, str]) -> None:
    """An older kernel, or a container that forbids the call: workers start by themselves."""
    python, option, program, *arguments = bench.command(bench.job(HASH, wide, OUTPUT))
    run = bench.start([python, option, WITHOUT_PIDFD + program, *arguments])
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert sums(bench.out) == alone


def test_what_was_begun_ends_where_it_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = start_warm()
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(OSError, match="does not let a process reap"):
        WarmStart(begun)
    assert begun.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("phase", ["importing", "idle"])
def test_a_warm_process_ends_with_its_launcher(phase: str) -> None:
    warm = WarmStart()
    if phase == "idle":
        wait_until(lambda: "numpy" in Path(f"/proc/{warm.pid}/maps").read_text(), "the imports")
    warm._line.close()
    assert warm._process.wait(60) == 0


def test_a_run_that_is_killed_while_it_begins_leaves_nothing(bench: Bench, wide: Path) -> None:
    program = bench.start(bench.command(bench.job(HASH, wide, OUTPUT)))
    wait_until(lambda: len(processes(bench.mark)) >= 2, "the warm process")
    program.kill()
    program.communicate(timeout=60)
    wait_until(lambda: not processes(bench.mark), "the warm process to end")


@pytest.mark.parametrize("wrong", ["no such file", "not a job"])
def test_a_job_that_is_refused_leaves_no_process(bench: Bench, wrong: str) -> None:
    job = bench.root / "job.yaml"
    if wrong == "not a job":
        job.write_text("kind: Nonsense\n")
    assert bench.run(job).code == 2
    assert not processes(bench.mark)
    program = bench.start([*bench.command(job)[:3], "explain", str(job)])
    program.communicate(timeout=60)
    assert program.returncode == 2
    assert not processes(bench.mark)


def test_a_program_that_ignores_how_its_children_end(bench: Bench, wide: Path, alone: dict[str, str]) -> None:
    """As one that was started by a program which ignores SIGCHLD: exit codes are lost, and nothing waits for them."""
    command = bench.command(bench.job(HASH, wide, OUTPUT))
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    program = bench.start([sys.executable, "-c", ignoring, *command])
    _, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    assert sums(bench.out) == alone


def test_workers_of_a_program_are_forked(bench: Bench, wide: Path) -> None:
    program = bench.start(bench.command(bench.job(HASH, wide, {**OUTPUT, "partitions": 300})))
    wait_until(lambda: len(worker_processes(bench.mark)) == 2 or program.poll() is not None, "workers")
    commands = [psutil.Process(pid).cmdline()[-1] for pid in worker_processes(bench.mark)]
    _, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    assert commands == ["warm", "warm"]


@pytest.mark.parametrize(
    ("text", "arrays"), [("operation: {rechunk: {}}", True), ("operation: {sort: {}}", False), (None, False)]
)
def test_a_job_on_arrays_is_told_by_its_file(tmp_path: Path, text: str | None, arrays: bool) -> None:
    job = tmp_path / "job.yaml"
    if text is not None:
        job.write_text(text)
    assert _about_arrays(["--workers", "2", str(job)]) is arrays


def test_a_warm_process_for_arrays_has_one_thread() -> None:
    """Or nothing could be forked from it."""
    warm = WarmStart(start_warm(arrays=True))
    wait_until(lambda: "numcodecs" in Path(f"/proc/{warm.pid}/maps").read_text(), "the imports")
    assert len(list(Path(f"/proc/{warm.pid}/task").iterdir())) == 1
    warm.end()
