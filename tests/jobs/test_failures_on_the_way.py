"""What goes wrong while a job runs: exit code 1, the root cause named, and what was written is gone again."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from tests.jobs import data
from tests.jobs.harness import PATIENCE, Bench, Meddle, Outcome, Watched, run_watched, sums

from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import Phase

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}
OUTPUT = {"partitions": 12}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six files; together several splits."""
    folder = tmp_path_factory.mktemp("failures") / "in"
    data.write_events(folder, files=6, rows=2_000, width=2_000)
    return folder


@pytest.fixture
def source(bench: Bench, sound: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(sound, bench.root / "in")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 130 MiB in memory: more than a small worker holds."""
    folder = tmp_path_factory.mktemp("large") / "in"
    data.write_events(folder, files=8, rows=10_000, width=1_700)
    return folder


async def failed(bench: Bench, source: Path, meddle: Meddle, **output: Any) -> Snapshot:
    """The end of a job that must fail and leave nothing."""
    job = bench.loaded(bench.job(HASH, source, {**OUTPUT, **output}))
    end, _ = await run_watched(bench, job, meddle)
    assert end.phase == "Failed"
    assert not end.refusal  # so that the exit code is 1
    assert not end.left_behind, end.message
    return end


async def before_anything_is_read(run: Watched) -> None:
    """Transferring has begun; nobody can have been told yet."""
    await run.until_phase(Phase.TRANSFERRING)
    assert run.now.splits_done == 0


def spoil(file: Path, at: Callable[[Any], int], size: int) -> None:
    """Overwrite a stretch of the third row group's last column, where `at` says."""
    column = pq.ParquetFile(file).metadata.row_group(2).column(5)
    content = bytearray(file.read_bytes())
    content[at(column) : at(column) + size] = b"\xa5" * size
    file.write_bytes(content)


@pytest.mark.parametrize("damage", ["a header", "bytes under a checksum"])
def test_a_damaged_row_group(bench: Bench, source: Path, damage: str) -> None:
    """In the middle of a file in the middle, which no footer tells."""
    file = source / "003.parquet"
    if damage == "a header":
        spoil(file, lambda column: int(column.data_page_offset), 64)
    else:
        table = pq.read_table(file)
        pq.write_table(table, file, row_group_size=500, compression="none", write_page_checksum=True)
        spoil(file, lambda column: int(column.data_page_offset + column.total_compressed_size // 2), 1)
    outcome = bench.run(bench.job(HASH, source, OUTPUT), workers=1)
    assert outcome.code == 1, outcome.err
    assert f"DataError: {file}: row group" in outcome.err
    assert "damaged" in outcome.err
    assert "Traceback" not in outcome.err
    assert not bench.out.exists()


async def test_an_input_that_is_removed(bench: Bench, source: Path) -> None:
    async def remove(run: Watched) -> None:
        await before_anything_is_read(run)
        (source / "005.parquet").unlink()

    end = await failed(bench, source, remove)
    assert end.reason == "InputNotFound"
    assert "005.parquet" in end.cause
    assert "removed while the job ran" in end.cause
    assert not bench.out.exists()


async def test_an_input_that_is_written_again(bench: Bench, source: Path) -> None:
    async def write(run: Watched) -> None:
        await before_anything_is_read(run)
        file = source / "005.parquet"
        content = await asyncio.to_thread(file.read_bytes)
        await asyncio.to_thread(file.write_bytes, content)  # the same bytes: only the time tells

    end = await failed(bench, source, write)
    assert end.reason == "DataError"
    assert "005.parquet: the file changed while the job ran" in end.cause
    assert not bench.out.exists()


@pytest.mark.parametrize("existing", ["Fail", "Overwrite"])
async def test_output_that_cannot_be_written(bench: Bench, source: Path, existing: str) -> None:
    """The files of the workers may not grow any more: it is as if the disk were full."""
    if existing == "Overwrite":
        bench.complete(bench.job(HASH, source, {"partitions": 2}), workers=1)
    before = sums(bench.out) if bench.out.exists() else None

    async def limit(run: Watched) -> None:
        await run.until_phase(Phase.WRITING)
        for pid in run.pids().values():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, 20_000))

    end = await failed(bench, source, limit, onExisting=existing)
    assert end.reason == "OutOfDisk"
    assert "part-000" in end.cause
    assert "too large" in end.cause
    assert (sums(bench.out) if bench.out.exists() else None) == before


async def test_an_output_folder_that_goes_away(bench: Bench, source: Path) -> None:
    """A file stands where it was; that file is not ours to remove. The workers are stopped while it is put there, for
    they would make the folder again."""

    def replace() -> None:
        bench.out.rename(bench.root / "elsewhere")
        bench.out.write_text("something else")

    async def meddle(run: Watched) -> None:
        await run.until_phase(Phase.WRITING)
        pids = list(run.pids().values())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        await run.until(lambda: all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in pids), "the stop")
        replace()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    end = await failed(bench, source, meddle)
    assert str(bench.out) in end.cause
    assert "a file stands where a folder is needed" in end.cause
    assert bench.out.read_text() == "something else"
    await asyncio.to_thread(shutil.rmtree, bench.root / "elsewhere")


def limited(bench: Bench, job: Path, largest: int, **options: Any) -> Outcome:
    """The program under a limit for the size of its files and its workers'."""
    program = subprocess.run(
        bench.command(job, **options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=bench.root,
        timeout=PATIENCE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
    )
    return Outcome(program.returncode, program.stdout, program.stderr)


@pytest.mark.parametrize("workers", [1, 2])
def test_scratch_that_is_full(bench: Bench, large: Path, workers: int) -> None:
    """What is spilled does not fit; with two workers it is often the other one whose disk is full."""
    job = bench.job(HASH, large, {"partitions": 200})
    outcome = limited(bench, job, 4 << 20, workers=workers, memory="256Mi")
    assert outcome.code == 1, outcome.err
    assert "OutOfDisk: scratch in" in outcome.err
    assert str(bench.scratch) in outcome.err
    assert "Traceback" not in outcome.err
    assert not bench.out.exists()


def test_memory_that_is_not_given(bench: Bench, source: Path) -> None:
    """The limit around the workers is lower than what they were promised."""
    bench.inject(
        """
from shuffle_worker.tables.work import Tasks
def write(*_, **__):
    raise MemoryError("malloc of size 8388608 failed")
Tasks.write = write
""",
    )
    outcome = bench.run(bench.job(HASH, source, OUTPUT), workers=1)
    assert outcome.code == 1, outcome.err
    assert "OutOfMemory: worker" in outcome.err
    assert "malloc of size 8388608 failed" in outcome.err
    assert "Traceback" not in outcome.err
    assert not bench.out.exists()


def test_scratch_that_fails(bench: Bench, large: Path) -> None:
    """Reading back what was spilled is an error of the disk, not of ours, and is told as one."""
    bench.inject(
        """
import errno, os
from shuffle_worker.store.spill import SpillLog
def read(self, buffers, offset):
    raise OSError(errno.EIO, os.strerror(errno.EIO))
SpillLog._preadv = read
""",
    )
    outcome = bench.run(bench.job(HASH, large, {"partitions": 100}), workers=1, memory="256Mi")
    assert outcome.code == 1, outcome.err
    assert "OutOfDisk: scratch in" in outcome.err
    assert "Input/output error" in outcome.err
    assert "Traceback" not in outcome.err
    assert not bench.out.exists()


def test_a_worker_that_cannot_start(bench: Bench, source: Path) -> None:
    """Whatever the reason: the last words of the workers are told, and it does not take long."""
    bench.inject("raise SystemExit('no such library')")
    outcome = bench.run(bench.job(HASH, source, OUTPUT))
    assert outcome.code == 1, outcome.err
    assert "BackoffLimitExceeded: 4 workers failed" in outcome.err
    assert "no such library" in outcome.err
    assert not bench.out.exists()
