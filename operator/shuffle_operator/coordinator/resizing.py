"""Another number of workers while a job runs: its user asks for it, or its plan does."""

from __future__ import annotations

import msgspec

from shuffle_operator.coordinator.actions import Note, StopWorker
from shuffle_operator.coordinator.size import workers_for
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.workers import start


def resize(state: JobState, workers: int, now: float) -> None:
    """Changes the job's number of workers; starts those that lack, and has those that are too many leave."""
    before = state.job.workers
    if workers == before:
        return
    state.job = msgspec.structs.replace(state.job, workers=workers)
    state.actions.append(Note("Resized", f"{workers} workers instead of {before}"))
    for worker in sorted({*state.members, *state.starting}):
        if worker >= workers:
            _dismiss(state, worker, now)
    if not state.failing:
        for worker in range(workers):
            live = state.members.get(worker)
            if live is not None and live.surplus and not live.released:
                live.surplus = live.leaving = False
            elif worker >= before and worker not in state.starting:
                start(state, worker, now)


def _dismiss(state: JobState, worker: int, now: float) -> None:
    """One too many. It is stopped once it has handed over what it has."""
    live = state.members.get(worker)
    if live is not None and not state.failing:
        live.surplus = live.leaving = True
        live.surplus_since = now
        state.draining.add(worker)
        return
    state.starting.pop(worker, None)
    if state.failing or not state.live_in_pod_of(worker):
        state.actions.append(StopWorker(worker, now=False))


def grow(state: JobState, now: float) -> None:
    """The plan is there: as many workers as it takes, where the job leaves that open."""
    assert state.summary is not None
    wanted = workers_for(state.job, state.summary)
    if wanted != state.job.workers:
        state.grown_at = now
        resize(state, wanted, now)
