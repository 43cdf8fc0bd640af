"""Who may take part in a job, and how a worker joins it."""

from __future__ import annotations

from shuffle_operator.coordinator.losses import Blame
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.migration import place_newcomer
from shuffle_operator.coordinator.rebuild import nonsense
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.workers import lose
from shuffle_protocol.messages import VERSION, Register


def refusal(state: JobState, message: Register) -> str:
    """Why a worker must not take part; "" where it may. Changes nothing."""
    if message.version != VERSION:
        return (
            f"worker {message.worker} speaks protocol version {message.version}, this coordinator version "
            f"{VERSION}: use the worker image of the operator's own version"
        )
    if state.over:
        return f"job {state.job.name} is over ({state.phase})"
    if message.incarnation in state.lost_incarnations:
        return (
            f"worker {message.worker} was not heard of for too long; its work was given to others and its place "
            "to a new process"
        )
    slots = max(state.job.workers, state.job.most_workers)
    if message.worker < 0 or (message.worker >= slots and message.worker > max(state.members, default=-1)):
        return f"job {state.job.name} has no worker {message.worker}, it has {state.job.workers}"
    held = message.held
    wrong = nonsense(held, held.summary) if held is not None and held.summary is not None else ""
    return f"worker {message.worker} says that it holds {wrong}" if wrong else ""


def join(state: JobState, message: Register, now: float) -> None:
    """Take a worker in, in place of the process that was in its slot. Changes who is there, and gives it groups."""
    live = state.members.get(message.worker)
    if live is not None and live.incarnation != message.incarnation:
        lose(state, [live], now, Blame(live.worker, "its place was taken by a new process"))
    if message.worker not in state.members:
        _enlist(state, message, now)
        place_newcomer(state, message.worker, now)
    if message.held is not None and state.ledger is None:
        state.recovery.report(message.worker, message.held, now)


def _enlist(state: JobState, message: Register, now: float) -> None:
    live = Live(message.worker, message.incarnation, message.address, message.slots, message.memory, now)
    state.members[live.worker] = live
    state.starting.pop(live.worker, None)
    state.recovery.heard(live.worker)
    state.alone_since, state.had_workers = None, True
    state.first_worker_at = now if state.first_worker_at is None else state.first_worker_at
    state.epochs.join(live)


def heartbeat(state: JobState) -> float:
    """Seconds between reports, so that all of them together are not too many. Changes nothing."""
    s = state.settings
    return max(s.heartbeat, min(len(state.members) / s.reports, s.silence / 4))
