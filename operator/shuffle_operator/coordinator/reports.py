"""The first step of a report: what a worker says of itself is noted."""

from __future__ import annotations

from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.messages import LeaseId, Sync


def reporter(state: JobState, message: Sync) -> Live | None:
    """The worker whose report it is; None where it is not in the job (any more). Changes nothing."""
    live = state.members.get(message.worker)
    return live if live is not None and live.incarnation == message.incarnation else None


def note(state: JobState, live: Live, message: Sync, now: float) -> None:
    """Changes the worker's own record, and whether it drains; where it is to leave, so are those of its pod."""
    live.seen = now
    if state.ledger is None or message.epoch == state.epoch or message.epoch != live.epoch:
        live.behind_since = now
    live.epoch = message.epoch
    note_holding(state, live, message.holding)
    live.count(message.counters, survived=state.generation > 0)
    live.full, live.waiting_reason = live.full or message.full, message.waiting_reason
    if message.leaving and not live.leaving:
        for one in state.live_in_pod_of(live.worker):
            one.leaving = True
            state.draining.add(one.worker)
    if not live.able:
        state.draining.add(live.worker)


def note_holding(state: JobState, live: Live, leases: list[LeaseId]) -> None:
    """Changes the leases that a worker holds, and whether it could still write."""
    live.holding = leases
    if live.writes and state.members.get(live.worker) is live:  # it may have been dismissed just now
        state.writers.add(live.worker)
    else:
        state.writers.discard(live.worker)


def follow(state: JobState, now: float) -> None:
    """How far the job is now, and what its workers wait for. Changes the estimates alone."""
    if state.ledger is not None:
        state.stragglers.keep_only(state.ledger.granting.out)
        state.setback.follow(state.percent)
    moments = (state.planned_at, state.barrier_at)
    state.actions += state.waits.follow(state.members.values(), moments, now)
