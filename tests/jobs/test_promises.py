"""What a job may use: memory within its limit however much data there is, the disk only when memory is full, and few
file handles however many files it reads and writes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.jobs import data
from tests.jobs.harness import MIB, Bench, Watched, parts, run_watched

HASH: dict[str, Any] = {"repartition": {"by": ["user"]}}
SORT: dict[str, Any] = {"sort": {"by": [{"column": "at"}]}}


def test_what_fits_stays_in_memory(bench: Bench, events: Path) -> None:
    outcome = bench.run(bench.job(HASH, events, {"partitions": 5}), memory="1Gi")
    assert outcome.code == 0, outcome.err
    assert outcome.summary.bytes_spilled == 0
    assert re.search(r"^Spilled +nothing$", outcome.err, re.MULTILINE)


@pytest.mark.parametrize("workers", [1, 3])
def test_sent_is_what_went_to_other_workers(bench: Bench, events: Path, workers: int) -> None:
    end = bench.complete(bench.job(HASH, events, {"partitions": 6}), workers=workers)
    assert (end.bytes_sent > 0) is (workers > 1)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 500 MiB in memory."""
    folder = tmp_path_factory.mktemp("large") / "in"
    data.write_events(folder, files=10, rows=100_000, width=450)
    return folder


@pytest.mark.parametrize("operation", [HASH, SORT], ids=["hash", "sort"])
async def test_memory_is_kept(bench: Bench, large: Path, operation: dict[str, Any]) -> None:
    """More data than all workers' memory: it goes through scratch, and no worker needs more than it was given."""
    resident = Peak(resident_bytes)
    job = bench.loaded(bench.job(operation, large, {"partitions": 8}), memory=300 * MIB)
    end, _ = await run_watched(bench, job, resident.watch)
    assert end.phase == "Complete", end.cause
    assert end.bytes_spilled > 100 * MIB
    assert end.memory_peak < 300 * MIB
    assert 0 < resident.most < 300 * MIB
    assert end.memory_peak > 0.98 * resident.most  # what it says of itself is what is seen from outside


class Peak:
    """The largest number that any worker had of something, seen from outside."""

    def __init__(self, measure: Callable[[int], int]) -> None:
        self.most = 0
        self._measure = measure

    async def watch(self, run: Watched) -> None:
        while not run.local.machine.state.over:
            if run.local.launcher is not None:
                for worker in run.local.machine.state.members.keys() & run.pids().keys():
                    pid = run.pid(worker)
                    try:
                        self.most = max(self.most, self._measure(pid))
                    except OSError:
                        continue
            await asyncio.sleep(0.02)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def handles(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def test_very_many_files(bench: Bench) -> None:
    source = bench.root / "in"
    data.write_events(source, files=200, rows=200, width=20)
    handles_held = Peak(handles)
    job = bench.loaded(bench.job(HASH, source, {"partitions": 8_000}))
    end, _ = await run_watched(bench, job, handles_held.watch)
    assert end.phase == "Complete", end.cause
    assert end.files == 8_000 == len(parts(bench.out))
    assert end.rows_written == 40_000
    assert end.bytes_spilled == 0
    assert end.memory_peak < 300 * MIB
    assert 0 < handles_held.most < 100
    assert end.groups < 800
