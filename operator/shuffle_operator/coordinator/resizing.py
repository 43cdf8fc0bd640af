"""Another number of workers while a job runs: its user asks for it, or its plan does. Used by machine and results."""

from __future__ import annotations

import msgspec

from shuffle_operator.coordinator.core import Core
from shuffle_operator.coordinator.events import Note, StopWorker
from shuffle_operator.coordinator.size import workers_for


def resize(core: Core, workers: int, now: float) -> None:
    before = core.job.workers
    if workers == before:
        return
    core.job = msgspec.structs.replace(core.job, workers=workers)
    core.actions.append(Note("Resized", f"{workers} workers instead of {before}"))
    for worker in sorted({*core.members, *core.starting}):
        if worker >= workers:
            _dismiss(core, worker, now)
    if not core.failing:
        for worker in range(workers):
            live = core.members.get(worker)
            if live is not None and live.surplus and not live.released:
                live.surplus = live.leaving = False
            elif worker >= before and worker not in core.starting:
                core.start_worker(worker, now)


def _dismiss(core: Core, worker: int, now: float) -> None:
    """One too many. It is stopped once it has handed over what it has."""
    live = core.members.get(worker)
    if live is not None and not core.failing:
        live.surplus = live.leaving = True
        live.surplus_since = now
        core.draining.add(worker)
        return
    core.starting.pop(worker, None)
    core.actions.append(StopWorker(worker, now=False))


def grow(core: Core, now: float) -> None:
    """The plan is there: as many workers as it takes, where the job leaves that open."""
    assert core.summary is not None
    wanted = workers_for(core.job, core.summary)
    if wanted != core.job.workers:
        core.grown_at = now
        resize(core, wanted, now)
