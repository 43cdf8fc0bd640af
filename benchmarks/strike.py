"""One repartition by real processes, of which one may be killed on its way: what `benchmarks.recovery` measures.

Bytes are counted where a lease is finished. What had been moved when the worker was killed is what finished leases had
moved by then; what was moved *again* is what the run moved beyond the undisturbed one. So the split or two that the
lost worker had in hand count neither as sent nor as sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

from shuffle_local.run import LocalOptions, LocalRun
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.jobs import Input, Job, Output, Repartition
from shuffle_protocol.messages import Phase

VICTIM = 1
POINTS = ("25", "50", "75", "95", "write")


@dataclass
class Ran:
    """A run. before, files: what there was when the worker was killed, the files with the time they were written.
    kept: the most that lay on scratch of what was sent. cpu: seconds of all processes."""

    end: Snapshot
    cpu: float
    kept: int
    digest: str
    written: dict[str, int]
    before: Snapshot | None = None
    files: dict[str, int] = field(default_factory=dict)

    @property
    def written_twice(self) -> int:
        return sum(self.written.get(name) != at for name, at in self.files.items())


class Striker:
    """Runs the job, in `folder`, with output and scratch in it."""

    def __init__(self, data: Path, folder: Path, workers: int, memory: int, partitions: int) -> None:
        self._data = data
        self._folder = folder
        self._workers = workers
        self._memory = memory
        self._partitions = partitions

    async def run(self, retain: bool, point: str) -> Ran:
        """point: one of POINTS; "": nobody is killed."""
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        os.sync()  # or this run would wait for the last one's pages to reach the disk
        job = Job(
            uid="recovery",
            name="recovery",
            operation=Repartition(by=["id"]),
            inputs=[Input([str(self._data)])],
            output=Output(str(out), partitions=self._partitions, compression="Snappy"),
            workers=self._workers,
            memory=self._memory,
            method="PeerToPeer",
            retain_shards=retain,
        )
        local = LocalRun(job, LocalOptions(scratch=self._folder / "scratch"))
        kept, cpu = 0, _cpu()
        striking = asyncio.create_task(self._strike(local, point, out)) if point else None
        running = asyncio.create_task(local.run())
        while not running.done():
            kept = max(kept, local.snapshot().bytes_kept)
            await asyncio.sleep(0.02)
        end = running.result()
        if end.phase is not Phase.COMPLETE:
            raise SystemExit(f"the job failed: {end.message}")
        before, files = await striking if striking is not None else (None, {})
        return Ran(end, _cpu() - cpu, kept, _digest(out), _times(out), before, files)

    async def _strike(self, local: LocalRun, point: str, out: Path) -> tuple[Snapshot, dict[str, int]]:
        while True:
            now = local.snapshot()
            if point == "write":
                due = now.groups > 0 and now.groups_written >= now.groups / 2
            else:
                due = now.splits > 0 and now.splits_done >= now.splits * int(point) / 100
            if due and local.launcher is not None and VICTIM in local.launcher.pids():
                break
            if local.machine.state.over:
                raise SystemExit(f"the job was over before {point}: use more rows")
            await asyncio.sleep(0.002)
        files = _times(out)
        os.kill(local.launcher.pids()[VICTIM], signal.SIGKILL)
        return now, files


def _cpu() -> float:
    """Of this process, where the coordinator is, and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}


def _digest(out: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(out.glob("part-*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
