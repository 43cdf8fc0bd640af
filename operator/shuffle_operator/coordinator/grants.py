"""The fourth step of a report: the worker is given work."""

from __future__ import annotations

from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.ledger.tranches import NONE
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.migration import move
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.messages import LeaseId, LeaseKind, Phase, Sync


def grant(state: JobState, live: Live, message: Sync, now: float) -> None:
    """Grant as many leases as the worker has room for. Changes the leases that are out, and who owns what where an idle
    worker takes groups off a straggler."""
    if state.over:
        return
    mine = state.leases_of(live.worker)
    free = max(1, message.free) if state.failing else message.free  # a worker that is leaving can still clean up
    for _ in range(min(free, 2 * live.slots - len(mine))):
        lease = _next_lease(state, live, now)
        if lease is None:
            break
        state.stragglers.granted(lease, now)


def _next_lease(state: JobState, live: Live, now: float) -> LeaseId | None:
    """What is due for this worker, the work of the whole job first."""
    if state.failing:
        return state.job_leases.grant(LeaseKind.ABORT, live.worker) if not state.writers else None
    if state.ledger is None or state.recovering:
        planning = state.recovering or (state.phase is Phase.PLANNING and not state.recovery.awaited)
        lease = state.job_leases.grant(LeaseKind.PLAN, live.worker) if planning and not live.leaving else None
        if lease is not None or state.ledger is None:
            return lease
    if state.phase is Phase.COMMITTING:
        return None if live.leaving else state.job_leases.grant(LeaseKind.COMMIT, live.worker)
    if not state.epochs.knows(live):
        return None  # first the view, then work in terms of it
    if state.crashes.times:
        return _grant_with_care(state, state.ledger, live, now)
    granting = state.ledger.granting
    if live.leaving:
        return granting.transfer(live.worker, reads=False)
    return granting.write(live.worker) or granting.transfer(live.worker) or _help(state, state.ledger, live, now)


def _grant_with_care(state: JobState, ledger: Ledger, live: Live, now: float) -> LeaseId | None:
    """A suspect, to be read, sent or written, is granted alone (see `crashes.py`): to a worker that has no other lease,
    and gets none beside it."""
    worker, crashes, granting = live.worker, state.crashes, ledger.granting
    mine = state.leases_of(worker)
    if any(crashes.suspect(lease) for lease in mine):
        return None
    splits, groups = (
        (crashes.suspected(LeaseKind.TRANSFER), crashes.suspected(LeaseKind.WRITE)) if mine else (NONE, NONE)
    )
    if live.leaving:
        return granting.transfer(worker, reads=False, avoided=splits)
    lease = granting.write(worker, avoided=groups) or granting.transfer(worker, avoided=splits)
    return lease or (None if mine else _help(state, ledger, live, now))


def _help(state: JobState, ledger: Ledger, live: Live, now: float) -> LeaseId | None:
    """Nothing is due for this worker: what it can take off others (see `stragglers.py`)."""
    stragglers, settings = state.stragglers, state.settings
    sender = stragglers.to_steal(ledger, live.worker, settings, now)
    lease = ledger.granting.steal(live.worker, sender) if sender is not None else None
    if lease is not None:
        return lease
    late = stragglers.to_speculate(ledger, live.worker, settings, now)
    if late is not None and not state.crashes.suspect(late):  # one worker at a time is risked for a suspect
        lease = ledger.granting.speculate(live.worker, late)
    if lease is None and state.phase is Phase.WRITING and live.able and not ledger.facts.shared:
        _rebalance(state, ledger, live, now)
    return lease


def _rebalance(state: JobState, ledger: Ledger, live: Live, now: float) -> None:
    """An idle worker gets half of the groups of an owner that will still write for long. Time in which the store was
    away is no work of that owner's."""
    if state.barrier_at is None:
        return
    since = state.barrier_at + state.waits.between(state.barrier_at, None)
    groups = state.stragglers.to_rebalance(ledger, since, state.members, live.worker, state.settings, now)
    if groups:
        move(state, ledger, groups, ledger.facts.owner[groups[0]], [live.worker])
