"""A job fails: its cause is noted, its leases withdrawn, what it wrote is removed; only then is its phase Failed."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import StopWorker, Wake
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.rollback import Rollback
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.transitions import enter
from shuffle_operator.coordinator.workers import drop, start
from shuffle_protocol.messages import LeaseKind, Phase


def fail(state: JobState, cause: Cause, now: float) -> None:
    """Note the root cause, once; what follows from it does not replace it. Withdraws every lease."""
    if state.failing or state.over:
        return
    state.cause = cause
    state.rollback = Rollback(cause, now)
    state.job_leases.revoke_all()
    if state.ledger is not None:
        state.ledger.granting.leases.revoke_all()
    state.actions.append(Wake(None))


def advance_rollback(state: JobState, now: float) -> None:
    """Wait until nobody writes, have one worker remove what was written, then enter Failed. Changes the phase, and who
    is there: a worker that does not let go of its lease in time is dropped."""
    rollback = state.rollback
    assert rollback is not None
    if rollback.removed or _nothing_written(state):
        enter(state, Phase.FAILED, now)
        return
    if rollback.impatient(now, state.settings):
        for worker in sorted(state.writers):
            drop(state, state.members[worker])
            state.actions.append(StopWorker(worker, now=True))
    if rollback.given_up(now, state.settings):
        state.left_behind = True
        state.cause = rollback.left_behind(state.job.output.path)
        enter(state, Phase.FAILED, now)
    elif not state.members and not state.starting:
        rollback.tries += 1
        start(state, 0, now)  # somebody must clean up


def _nothing_written(state: JobState) -> bool:
    never_planned = state.generation == 0 and not state.job_leases.granted(LeaseKind.PLAN)
    refused = state.cause is not None and state.cause.refusal
    return state.ledger is None and (refused or never_planned)
