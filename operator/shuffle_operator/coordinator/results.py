"""The second step of a report: what became of leases is counted, each result once, no matter how often it is
reported."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import Note, Wake
from shuffle_operator.coordinator.failing import fail
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.ledger.totals import Inconsistent
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.migration import move
from shuffle_operator.coordinator.rebuild import attempt_floor, new_ledger
from shuffle_operator.coordinator.resizing import grow
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.takeover import resume
from shuffle_operator.coordinator.transitions import enter
from shuffle_protocol.messages import Done, Failure, LeaseId, LeaseKind, Phase, PlanSummary, Sync


def count(state: JobState, live: Live, message: Sync, now: float) -> list[LeaseId]:
    """Changes the ledger by what was finished, makes due what failed, and fails the job where trying again is of no
    use. Returns the leases that the worker may forget."""
    for done in message.done:
        if done.id.kind in (LeaseKind.TRANSFER, LeaseKind.WRITE):
            _finished(state, live, done, now)
        elif state.job_leases.end(done.id, live.worker):
            _finished_for_the_job(state, done, now)
    for failure in message.failed:
        _failed(state, live, failure, now)
    return [*(done.id for done in message.done), *(failure.id for failure in message.failed)]


# -- finished --------------------------------------------------------------------------------------------------------


def _finished(state: JobState, live: Live, done: Done, now: float) -> None:
    """A split was transferred, or a group was written."""
    earlier = done.id.kind is LeaseKind.WRITE and done.id.attempt < attempt_floor(state.generation)
    if state.failing:
        return
    if state.ledger is None:
        if earlier:
            state.recovery.wrote(done)
        return
    try:
        counted = state.ledger.finish(done, live.worker)
    except Inconsistent as error:
        fail(state, Cause("DataError", str(error), live.worker), now)
        return
    if counted:
        _progress(state, done.id)
        state.stragglers.finished(done.id, live.worker, now)
    elif earlier:
        counted = resume(state, [done.written_group])
    if counted:
        _check_rows(state, state.ledger, live, done, now)


def _check_rows(state: JobState, ledger: Ledger, live: Live, done: Done, now: float) -> None:
    """Whether as many rows were written as were received."""
    if done.id.kind is not LeaseKind.WRITE or ledger.facts.agree(done.rows_moved, done.rows_written):
        return
    message = f"group {done.id.item}: {done.rows_moved} rows received, {done.rows_written} written"
    fail(state, Cause("Internal", message, live.worker), now)


def _progress(state: JobState, lease: LeaseId) -> None:
    """A lease was finished: the job gets somewhere."""
    state.losses.progress()
    state.crashes.finished(lease)


def _finished_for_the_job(state: JobState, done: Done, now: float) -> None:
    kind = done.id.kind
    _progress(state, done.id)
    if kind is LeaseKind.PLAN and done.plan is not None:
        _planned(state, done, done.plan, now)
    elif kind is LeaseKind.COMMIT:
        state.output = done.output or {}
        if missing := state.no_report:
            state.actions.append(Note("ReportNotWritten", missing, warning=True))
        enter(state, Phase.COMPLETE, now)
    elif kind is LeaseKind.ABORT and state.rollback is not None:
        state.rollback.removed = True


def _planned(state: JobState, done: Done, summary: PlanSummary, now: float) -> None:
    """The plan is there, and it is known which groups were written by workers and under coordinators that are gone."""
    if state.ledger is None:
        state.summary = summary
        state.planned_at = now
        state.ledger = new_ledger(summary, state.generation)
        state.recovery.forget()
    state.recovering = False
    if state.summary is not None and summary.fingerprint == state.summary.fingerprint:
        resume(state, [*done.written, *state.recovery.take_written()])
    grow(state, now)
    state.actions.append(Wake(None))


# -- failed ----------------------------------------------------------------------------------------------------------


def _failed(state: JobState, live: Live, failure: Failure, now: float) -> None:
    lease = failure.id
    if not (state.job_leases.end(lease, live.worker) or _given_back(state, live, failure)):
        return
    of_ledger = state.ledger is not None and lease.kind in (LeaseKind.WRITE, LeaseKind.TRANSFER)
    if state.rollback is not None:
        if lease.kind is LeaseKind.ABORT:
            state.rollback.failed(failure.message)
    elif of_ledger and failure.reason == "OutOfDisk":
        live.full = live.full or failure.message
        state.draining.add(live.worker)
    else:
        _retry_or_fail(state, live, failure, now)


def _given_back(state: JobState, live: Live, failure: Failure) -> bool:
    """Make a failed lease due again, and what it showed to be damaged. Returns whether this worker had the lease, and
    whether it failed at all."""
    ledger, lease = state.ledger, failure.id
    if ledger is None or ledger.granting.out.get(lease) != live.worker:
        return False
    if failure.absent:
        ledger.granting.not_at_hand(lease)
        return False
    ledger.granting.give_back(lease)
    if ledger.facts.shared and failure.corrupt >= 0:
        ledger.routing.undo(failure.corrupt)
    elif failure.corrupt >= 0 and lease.kind is LeaseKind.WRITE:
        others = [worker for worker in state.able() if worker != live.worker]
        move(state, ledger, [lease.item], live.worker, others or [live.worker])
    return True


def _retry_or_fail(state: JobState, live: Live, failure: Failure, now: float) -> None:
    lease = failure.id
    key = (lease.kind, lease.tranche, lease.item)
    count = state.failures[key] = state.failures.get(key, 0) + 1
    first = state.generation == 0  # else it was planned before, and something may be written
    cause = Cause(failure.reason, failure.message, live.worker, failure.refusal and first)
    state.last_failure = cause
    retry = failure.retry or (not first and failure.reason == "StorageUnavailable")
    if not retry or count >= state.settings.lease_attempts:
        fail(state, cause, now)
    else:
        note = Note("LeaseRetried", f"{lease.kind} {lease.item}: {failure.message}", warning=True)
        state.actions += [Wake(None), note]
