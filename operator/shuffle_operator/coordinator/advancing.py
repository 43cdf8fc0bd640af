"""The third step, after every event: the job goes on as far as what is known allows."""

from __future__ import annotations

from shuffle_operator.coordinator.actions import Wake
from shuffle_operator.coordinator.failing import advance_rollback, fail
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.migration import announce, end_migrations, unload
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.coordinator.takeover import rebuild_ledger
from shuffle_operator.coordinator.transitions import enter
from shuffle_protocol.messages import Phase


def advance(state: JobState, now: float, reporter: int | None = None) -> None:
    """In this order: fail, admit new workers, know what survivors know, unload who drains, own, move to the next phase.
    reporter: whose report it was; None: look at all workers."""
    if state.over:
        return
    if state.fail_later is not None:
        fail(state, state.fail_later, now)
    if state.failing:
        advance_rollback(state, now)
        return
    _admit(state, now)
    rebuild_ledger(state, now)
    if state.recovery.awaited or state.failing:
        return
    unload(state, sorted(state.draining if reporter is None else state.draining & {reporter}), now)
    if state.phase is Phase.PENDING and state.members:
        enter(state, Phase.PLANNING if state.ledger is None else Phase.TRANSFERRING, now)
    if state.ledger is None or state.failing or state.recovering:
        return
    _own(state, state.ledger, now)
    _advance_phase(state, state.ledger, now)
    end_migrations(state, state.ledger)
    if state.phase in (Phase.WRITING, Phase.TRANSFERRING) and state.ledger.facts.unwritten == 0:
        _all_written(state, state.ledger, now)


def _admit(state: JobState, now: float) -> None:
    """New workers are made known to the others. Changes the epoch."""
    new = state.epochs.admit(now, state.settings.gathering if state.ledger is not None else 0.0)
    if new:
        state.actions.append(Wake(new))


def _own(state: JobState, ledger: Ledger, now: float) -> None:
    """Groups that nobody owns are given to those that are here. Changes the ledger."""
    facts = ledger.facts
    if not facts.owners.complete and state.members and state.settled(now) and facts.assign(state.able()):
        announce(state)


def _advance_phase(state: JobState, ledger: Ledger, now: float) -> None:
    """From the plan to the barrier, and back behind it where splits are due again. Changes the phase."""
    if state.phase is Phase.PLANNING:
        enter(state, Phase.TRANSFERRING, now)
    if state.phase is Phase.TRANSFERRING and ledger.facts.barrier_reached and ledger.facts.owners.complete:
        state.barrier_at = now
        enter(state, Phase.WRITING, now)
    elif state.phase is Phase.WRITING and ledger.routing.must_read:
        enter(state, Phase.TRANSFERRING, now)


def _all_written(state: JobState, ledger: Ledger, now: float) -> None:
    """Commit, if as many rows were written as were read; else the job fails."""
    facts, totals = ledger.facts, ledger.facts.totals
    wrong = ""
    if facts.rows_known and not facts.agree(totals.rows_read, totals.rows_written):
        wrong = f"{totals.rows_read} rows were read, {totals.rows_received} received and {totals.rows_written} written"
    elif not facts.balance.agrees:
        wrong = "a group received other rows than were sent to it"
    if wrong:
        fail(state, Cause("Internal", f"{wrong}: the output would be wrong, so it was not committed"), now)
        advance_rollback(state, now)
    else:
        enter(state, Phase.COMMITTING, now)
