"""Many jobs, one after another, through one operator: what it holds must not grow with the jobs that it has seen.

python -m tests.operator.soak [JOBS]     2,000 of them, with what the process holds after every 250
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.kube.api import EVENTS, JOBS
from shuffle_worker.runtime.pressure import resident
from tests.operator.fake_kube import FakeKube
from tests.operator.puppets import Puppets
from tests.operator.stage import NAMESPACE, Stage, sort_job

AT_ONCE = 25


class Held(NamedTuple):
    """objects: that the garbage collector knows."""

    jobs: int
    memory: int
    tasks: int
    handles: int
    objects: int


async def soak(stage: Stage, jobs: int, look_every: int) -> AsyncIterator[Held]:
    """Has the jobs carried out, `AT_ONCE` at a time, and deleted. The stage has an operator, and no kubelet."""
    operator = stage.operator
    assert operator is not None
    puppets = Puppets(stage.kube, stage.address, stage.secure)
    try:
        for at in range(0, jobs, AT_ONCE):
            names = [f"job-{number}" for number in range(at, min(at + AT_ONCE, jobs))]
            for name in names:
                await stage.submit(sort_job(Path("/in"), Path("/out"), name))
            await stage.until(lambda names=names: all(stage.status(n).get("phase") == "Complete" for n in names), 120)
            for name in names:
                await stage.kube.delete(JOBS, NAMESPACE, name)
            await stage.until(lambda: not stage.pods() and not operator.reconciler.active, 60)
            await operator.recorder.drain()
            for key in [key for key in stage.kube.objects if key[0] == EVENTS]:
                del stage.kube.objects[key]
            stage.kube.writes.clear()
            puppets.forget()
            done = at + len(names)
            if done % look_every == 0:
                await asyncio.sleep(0.5)
                gc.collect()
                tasks, handles = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
                yield Held(done, resident(), tasks, handles, len(gc.get_objects()))
    finally:
        await puppets.close()


async def main(jobs: int) -> None:
    stage = Stage(FakeKube(), Settings())
    try:
        await stage.start(kubelet=False)
        async for held in soak(stage, jobs, 250):
            print(  # noqa: T201
                f"{held.jobs:5} jobs: {held.memory / 2**20:.1f} MiB, {held.tasks} tasks, {held.handles} file handles, "
                f"{held.objects:,} objects"
            )
    finally:
        await stage.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
