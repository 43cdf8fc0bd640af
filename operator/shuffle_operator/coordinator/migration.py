"""Groups that change hands while their owners are there: to a newcomer, or from a worker that leaves, is full or is
slow."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import Note, StopWorker, Wake
from shuffle_operator.coordinator.failing import fail
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.losses import Blame, Cause
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.workers import lose
from shuffle_protocol.messages import Sync


def place_newcomer(state: JobState, worker: int, now: float) -> None:
    """A worker that comes late gets groups that nobody owns, or for which nothing was sent yet. Changes the ledger."""
    if state.ledger is None or state.failing:
        return
    if state.barrier_at is None and state.planned_at is not None and not state.settled(now):
        return
    able = state.able()
    if state.ledger.facts.assign(able) or state.ledger.share(worker, able):
        announce(state)


def unload(state: JobState, draining: list[int], now: float) -> None:
    """Workers that are leaving or full hand over their groups, where others can take them, and surplus ones go when
    nothing of theirs is needed any more. Changes the ledger and who is there; fails the job where nobody has room."""
    if state.ledger is not None and not state.failing:
        _unless_all_full(state, state.ledger, now)
        for worker in draining:
            if not state.members[worker].able:
                _hand_over_all(state, state.ledger, state.members[worker], now)
    for live in [state.members[worker] for worker in draining if worker in state.members]:
        if live.surplus and not live.released:
            release(state, live, now, holds=_in_hand(state, live))


def _hand_over_all(state: JobState, ledger: Ledger, live: Live, now: float) -> None:
    """All that a worker has not begun to write."""
    going = ledger.facts.waiting_of(live.worker)
    if going and (able := state.able()):
        move(state, ledger, going, live.worker, able)
        why = live.full or "it is to leave"
        moved = f"worker {live.worker} hands over {len(going)} groups: {why}"
        state.actions.append(Note("GroupsMoved", moved, warning=bool(live.full)))
    elif going and live.full and not state.starting and len(state.members) >= state.job.workers:
        fail(state, Cause("OutOfDisk", live.full, live.worker), now)


def _unless_all_full(state: JobState, ledger: Ledger, now: float) -> None:
    """Whether groups lost their owner and no worker that stays has room for them."""
    if not state.draining or state.starting or not ledger.facts.unowned():
        return
    staying = [live for live in state.members.values() if not live.leaving]
    if staying and len(staying) >= state.job.workers and all(live.full for live in staying):
        fail(state, Cause("OutOfDisk", staying[0].full, staying[0].worker), now)


def move(state: JobState, ledger: Ledger, groups: list[int], worker: int, to: list[int]) -> None:
    """Groups change their owner; the old one sends what it has stored for them."""
    state.setback.cause = f"worker {worker} handed over what it had not written"
    if ledger.hand_over(groups, worker):
        ledger.facts.assign(to)
        announce(state)


def announce(state: JobState) -> None:
    """Groups changed hands: all workers must know it before they get work."""
    state.epochs.changed()
    state.actions.append(Wake(None))


def give_back_unstarted(state: JobState, live: Live, message: Sync) -> None:
    """A worker that is leaving starts nothing more: leases that it does not hold yet go to others."""
    if state.ledger is None:
        return
    there = {*message.holding, *(d.id for d in message.done), *(f.id for f in message.failed)}
    for lease in state.leases_of(live.worker):
        if lease not in there:
            state.ledger.granting.give_back(lease)


def release(state: JobState, live: Live, now: float, *, holds: bool) -> None:
    """Dismiss a worker of which nothing is needed any more, with those of its pod: as soon as nothing of them is needed
    either. holds: it has leases."""
    if holds or not _can_go(state, live):
        return
    pod = state.live_in_pod_of(live.worker)
    if not all(_can_go(state, one) and (one is live or not _in_hand(state, one)) for one in pod):
        return
    for one in pod:
        one.released = True
    if live.surplus:
        lose(state, pod, now, Blame(live.worker, "fewer workers are wanted"), counted=False)
        state.dismissed.update(one.incarnation for one in pod)
        state.actions.append(StopWorker(live.worker, now=False))


def _can_go(state: JobState, live: Live) -> bool:
    """It is to leave, and has no groups to write and no shards to send."""
    return live.leaving and not (state.ledger is not None and _needed(state.ledger, live.worker))


def _in_hand(state: JobState, live: Live) -> bool:
    """It has leases."""
    return bool(live.holding or state.leases_of(live.worker))


def _needed(ledger: Ledger, worker: int) -> bool:
    """It has groups to write, or shards to send."""
    return bool(ledger.facts.owners.unwritten_of(worker)) or ledger.routing.hands_over(worker)


def end_migrations(state: JobState, ledger: Ledger) -> None:
    """A worker that has handed over its groups need no longer keep what it had stored for them."""
    migrating = set(ledger.routing.migrating())
    if state.migrating - migrating:
        announce(state)
    state.migrating = migrating
