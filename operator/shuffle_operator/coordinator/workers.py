"""Workers start, and are lost: the moves that all handlers share, and what a launcher reports."""

from __future__ import annotations

from collections.abc import Sequence

from shuffle_operator.coordinator.actions import Note, StartWorker, StopWorker, Wake
from shuffle_operator.coordinator.events import HeldUp, Started, WorkerGone, WorkerMissed
from shuffle_operator.coordinator.losses import Blame, Cause
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.state import JobState

# -- events ----------------------------------------------------------------------------------------------------------


def started(state: JobState, event: Started, now: float) -> None:
    """The job was accepted. Changes when it started, and asks for its workers."""
    if state.started_at is None:
        state.started_at = state.alone_since = now
        for worker in range(0, state.job.workers, state.job.workers_per_pod):
            start(state, worker, now)
    if event.ago is not None:
        state.started_at = now - event.ago


def gone(state: JobState, event: WorkerGone, now: float) -> None:
    """A process has ended, or a pod: its workers are lost, and their slots are filled again."""
    pod, here = state.pod_of(event.worker), state.live_in_pod_of(event.worker)
    for worker in pod:
        state.recovery.heard(worker)
    if not all(live.runs_as(event.incarnation) for live in here):
        return  # it had been replaced
    if here:
        lose(state, here, now, Blame(event.worker, event.why, event.fault, event.crashed))
    elif any(worker in state.starting for worker in pod):
        state.epochs.rename()
        count_loss(state, event.worker, event.why, event.fault)
    refill(state, event.worker, now)


def missed(state: JobState, event: WorkerMissed) -> None:
    """Changes the numbers of lost workers; its slot is filled already."""
    state.lost += state.job.workers_per_pod
    state.replaced += state.job.workers_per_pod
    count_loss(state, event.worker, event.why, event.fault)
    state.actions.append(Note("WorkerLost", f"worker {event.worker} was lost: {event.why}", warning=True))


def held_up(state: JobState, _event: HeldUp, now: float) -> None:
    """Changes since when there has been no worker, and when the job started where none ever came."""
    if not state.members:
        state.alone_since = now
        if not state.had_workers:
            state.started_at = now


# -- moves -----------------------------------------------------------------------------------------------------------


def start(state: JobState, worker: int, now: float) -> None:
    """Ask for a process in a slot, or for a pod in several."""
    pod = state.pod_of(worker)
    missing = [each for each in pod if each not in state.members]
    if missing:
        state.starting.update(dict.fromkeys(missing, now))
        state.actions.append(StartWorker(pod.start, state.epoch))


def refill(state: JobState, worker: int, now: float) -> None:
    """Ask for successors of a worker and of those in its pod, where the job still has these slots."""
    pod = state.pod_of(worker)
    for each in pod:
        state.starting.pop(each, None)
    if not state.failing and worker < state.job.workers:
        start(state, worker, now)
        state.replaced += len(pod)


def replace(state: JobState, live: Live, now: float, why: str, *, fault: bool = False) -> None:
    """A worker that is there and of no use: it counts as lost, is stopped with its pod, and others are started in their
    place."""
    lose(state, state.live_in_pod_of(live.worker), now, Blame(live.worker, why, fault))
    state.actions.append(StopWorker(live.worker, now=True))
    refill(state, live.worker, now)


def replace_absent(state: JobState, worker: int, now: float) -> None:
    """A worker should have survived the last coordinator and has not been heard of since: it hangs."""
    if state.failing or worker >= state.job.workers:
        return
    why = f"it has not registered within {state.settings.absent:.0f} s of the coordinator's start"
    here = state.live_in_pod_of(worker)
    if here:
        lose(state, here, now, Blame(worker, why))
    else:
        state.epochs.rename()
        count_loss(state, worker, why, fault=False)
        state.actions.append(Note("WorkerLost", f"worker {worker} was lost: {why}", warning=True))
    state.actions.append(StopWorker(worker, now=True))
    refill(state, worker, now)


def lose(state: JobState, lost: Sequence[Live], now: float, blame: Blame, *, counted: bool = True) -> None:
    """A worker is no longer there, or those of a pod, which is one loss: their leases are due again and their groups go
    to others. counted: against the job's limits."""
    for live in lost:
        if blame.crashed and live.worker == blame.worker:
            _suspect(state, live, blame.why)
        drop(state, live)
    state.epochs.changed()
    state.setback.cause = f"worker {blame.worker} was lost: {blame.why}"
    repair = {live.worker: len(state.ledger.lose(live.worker)) if state.ledger is not None else 0 for live in lost}
    if state.ledger is not None:
        state.ledger.facts.assign(state.able())
    counted = counted and not all(live.released for live in lost)
    if counted:
        state.lost += len(lost)
        count_loss(state, blame.worker, blame.why, blame.fault)
    if not state.members:
        state.alone_since = now
    state.actions.append(Wake(None))
    for live in lost:
        others = blame.fault and live.worker != blame.worker
        why = f"worker {blame.worker} of its pod failed: {blame.why}" if others else blame.why
        state.actions.append(_note(live.worker, why, repair[live.worker], counted=counted))


def _suspect(state: JobState, live: Live, why: str) -> None:
    """It crashed by itself: the leases that it had in hand are suspects."""
    in_hand = {*live.holding, *state.leases_of(live.worker)}
    again = state.generation > 0
    enough = state.crashes.note(in_hand, live.worker, why, state.settings, planned_before=again)
    state.fail_later = state.fail_later or enough


def _note(worker: int, why: str, repair: int, *, counted: bool) -> Note:
    if not counted and not repair:
        return Note("WorkerLeft", f"worker {worker} left; nothing that it held is missing")
    what = f"{repair} of its unwritten groups are done again" if repair else "nothing it held is missing"
    return Note("WorkerLost", f"worker {worker} was lost: {why}; {what}", warning=True)


def drop(state: JobState, live: Live) -> None:
    """Forget a worker. Its part in the ledger is `lose`'s."""
    del state.members[live.worker]
    state.draining.discard(live.worker)
    state.epochs.left(live.worker)
    state.writers.discard(live.worker)
    state.job_leases.lose(live.worker)
    state.lost_incarnations.add(live.incarnation)
    state.past.add(live)
    state.stragglers.forget(live.worker)


def count_loss(state: JobState, worker: int, why: str, fault: bool) -> None:
    """Changes the losses; if they are too many, the job fails with the next step."""
    state.last_failure = Cause("WorkerFailed" if fault else "WorkerLost", why, worker)
    enough = state.losses.count(worker, why, fault, state.job.workers, state.settings)
    state.fail_later = state.fail_later or enough
