"""A job enters a phase. Which leads to which is in `phases.py`."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import Note, StopWorker, Wake
from shuffle_operator.coordinator.phases import TERMINAL, TRANSITIONS
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.messages import Phase
from shuffle_protocol.units import counted


def enter(state: JobState, phase: Phase, now: float) -> None:
    """Changes the phase; in a terminal one asks for the end of all workers."""
    if phase is state.phase:
        return
    if phase not in TRANSITIONS[state.phase]:
        raise AssertionError(f"{state.phase} does not lead to {phase}")
    state.phase = phase
    state.actions += [Note(str(phase), _sentence(state)), Wake(None)]
    if phase in TERMINAL:
        state.finished_at = now
        state.actions += [StopWorker(worker, now=False) for worker in {*state.members, *state.starting}]


def _sentence(state: JobState) -> str:
    if state.phase is Phase.FAILED and state.cause is not None:
        return f"{state.cause.reason}: {state.cause.message}"
    if state.phase is Phase.TRANSFERRING and state.ledger is not None:
        facts = state.ledger.facts
        return f"{counted(facts.splits, 'split')} into {counted(facts.groups, 'group')}"
    return f"{state.job.name} is {str(state.phase).lower()}"
