"""The last step of a report: it is answered."""

from __future__ import annotations

from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.migration import release
from shuffle_operator.coordinator.reports import note_holding
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.messages import Lease, LeaseId, LeaseKind, Orders, Sync, View


def answer(state: JobState, live: Live, message: Sync, acknowledged: list[LeaseId], now: float) -> Orders:
    """Every lease that the worker is meant to hold, and what changed since its view. Changes what it is known to hold,
    and dismisses it where it was leaving and nothing of it is needed any more."""
    settled = set(acknowledged)
    leases = [_order(state, lease) for lease in state.leases_of(live.worker) if lease not in settled]
    if live.leaving and not live.released and not state.failing:
        release(state, live, now, holds=bool(leases or message.holding))
    note_holding(state, live, [*message.holding, *(x.id for x in leases if x.id not in message.holding)])
    live.idle = message.free > len({lease.id for lease in leases} - set(message.holding))
    return Orders(
        known=True,
        phase=state.phase,
        epoch=state.epoch,
        view=_view(state, message.epoch) if message.epoch != state.epoch else None,
        leases=leases,
        acknowledged=acknowledged,
        stop=state.over or live.incarnation in state.dismissed,
        aborting=state.failing and not state.over,
        released=live.released,
        written=_written(state, message),
        show_view=state.ledger is None and state.recovery.lacks_view_of(state.members) == live.worker,
    )


def unknown(state: JobState, message: Sync) -> Orders:
    """For a process that is not in the job (any more). Changes nothing."""
    stop = state.over or message.incarnation in state.dismissed
    return Orders(known=False, phase=state.phase, epoch=state.epoch, stop=stop)


def _view(state: JobState, base: int) -> View | None:
    """The view for a worker that has the one of epoch `base`."""
    if state.ledger is None or state.summary is None:
        return None
    return state.epochs.view_since(base, state.summary.fingerprint, state.members, state.ledger)


def _written(state: JobState, message: Sync) -> bytes:
    """A bit for each written group, for workers that keep shards and know of fewer."""
    facts = state.ledger.facts if state.ledger is not None else None
    if not state.job.retain_shards or facts is None or message.written == facts.groups_written:
        return b""
    return bytes(facts.written_bits)


def _order(state: JobState, lease: LeaseId) -> Lease:
    if lease.kind in (LeaseKind.PLAN, LeaseKind.ABORT) or state.ledger is None:
        return Lease(lease)
    return state.ledger.granting.order(lease)
