"""Workers start, and are lost: the moves that all handlers share, and what a launcher reports."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import Note, StartWorker, StopWorker, Wake
from shuffle_operator.coordinator.events import HeldUp, Started, WorkerGone, WorkerMissed
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.state import JobState

# -- events ----------------------------------------------------------------------------------------------------------


def started(state: JobState, event: Started, now: float) -> None:
    """The job was accepted. Changes when it started, and asks for its workers."""
    if state.started_at is None:
        state.started_at = state.alone_since = now
        for worker in range(state.job.workers):
            start(state, worker, now)
    if event.ago is not None:
        state.started_at = now - event.ago


def gone(state: JobState, event: WorkerGone, now: float) -> None:
    """A process has ended: it is lost, and its slot is filled again."""
    state.recovery.heard(event.worker)
    live = state.members.get(event.worker)
    if live is not None and event.incarnation in (None, live.incarnation):
        lose(state, live, now, event.why, fault=event.fault, crashed=event.crashed)
    elif event.worker in state.starting:
        state.starting.pop(event.worker)
        state.epochs.rename()
        count_loss(state, event.worker, event.why, event.fault)
    if event.worker not in state.members:
        refill(state, event.worker, now)


def missed(state: JobState, event: WorkerMissed) -> None:
    """Changes the numbers of lost workers; its slot is filled already."""
    state.lost += 1
    state.replaced += 1
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
    """Ask for a process in a slot."""
    if worker not in state.members:
        state.starting[worker] = now
        state.actions.append(StartWorker(worker, state.epoch))


def refill(state: JobState, worker: int, now: float) -> None:
    """Ask for a successor, where the job still has that slot."""
    if not state.failing and worker < state.job.workers:
        start(state, worker, now)
        state.replaced += 1


def replace(state: JobState, live: Live, now: float, why: str, *, fault: bool = False) -> None:
    """A worker that is there and of no use: it counts as lost, is stopped, and another one is started in its place."""
    lose(state, live, now, why, fault=fault)
    state.actions.append(StopWorker(live.worker, now=True))
    refill(state, live.worker, now)


def replace_absent(state: JobState, worker: int, now: float) -> None:
    """A worker should have survived the last coordinator and has not been heard of since: it hangs."""
    if state.failing or worker >= state.job.workers:
        return
    state.starting.pop(worker, None)
    state.epochs.rename()
    state.actions.append(StopWorker(worker, now=True))
    refill(state, worker, now)
    why = f"it has not registered within {state.settings.absent:.0f} s of the coordinator's start"
    count_loss(state, worker, why, fault=False)
    state.actions.append(Note("WorkerLost", f"worker {worker} was lost: {why}", warning=True))


def lose(
    state: JobState,
    live: Live,
    now: float,
    why: str,
    *,
    fault: bool = False,
    counted: bool = True,
    crashed: bool = False,
) -> None:
    """A worker is no longer there: its leases are due again and its groups go to others. fault, crashed: see
    `WorkerGone`. counted: against the job's limits."""
    if crashed:
        _suspect(state, live, why)
    drop(state, live)
    state.epochs.changed()
    state.setback.cause = f"worker {live.worker} was lost: {why}"
    repair = 0
    if state.ledger is not None:
        repair = len(state.ledger.lose(live.worker))
        state.ledger.facts.assign(state.able())
    counted = counted and not live.released
    if counted:
        state.lost += 1
        count_loss(state, live.worker, why, fault)
    if not state.members:
        state.alone_since = now
    state.actions += [Wake(None), _note(live.worker, why, repair, counted=counted)]


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
