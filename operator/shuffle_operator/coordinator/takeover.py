"""A coordinator takes a job over from one that died: its counters, its workers, and what was written under it."""

from __future__ import annotations

from collections.abc import Iterable

from shuffle_operator.coordinator.actions import Note, Wake
from shuffle_operator.coordinator.events import Restored
from shuffle_operator.coordinator.failing import fail
from shuffle_operator.coordinator.ledger.totals import Inconsistent
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.rebuild import rebuild
from shuffle_operator.coordinator.resizing import grow
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.messages import WrittenGroup


def restored(state: JobState, event: Restored, now: float) -> None:
    """Changes every counter that outlives a coordinator, and whether survivors are waited for."""
    state.earlier = earlier = event.earlier
    state.losses.failures, state.losses.disruptions = earlier.failures, earlier.disruptions
    state.lost, state.replaced = earlier.lost, earlier.replaced
    here = f"{earlier.workers} of its workers were" if earlier.workers else "none of its workers was"
    state.setback.restore(earlier.progress, f"a new operator took the job over, when {here} there")
    state.had_workers = earlier.workers > 0
    if event.survivors:
        state.recovery.begin(range(state.job.workers), now)


def rebuild_ledger(state: JobState, now: float) -> None:
    """Once the surviving workers have reported, or have been waited for: know what they know. Changes the ledger; fails
    the job where their figures disagree."""
    if state.ledger is not None:
        return
    s = state.settings
    survivors = state.recovery.here(state.members, state.job.workers, now, s.patience, 2 * s.silence)
    if survivors is None:
        return
    try:
        state.ledger = rebuild(survivors, state.generation)
    except Inconsistent as error:
        fail(state, Cause("DataError", str(error)), now)
        return
    state.summary = survivors.summary
    state.epochs.changed()
    state.planned_at = now
    state.job_leases.revoke_all()
    resume(state, state.recovery.take_written())
    state.recovering = bool(state.ledger.facts.unowned())
    grow(state, now)


def resume(state: JobState, written: Iterable[WrittenGroup]) -> bool:
    """Groups that were written under coordinators before this one. The worker that wrote one has dropped its shards and
    takes no more for it, so it must not be handed over like one that is to be written: a mark is enough for that. Only
    where nobody owned it must all workers know that nothing is to be sent to it. Changes the ledger. Returns whether
    any of them was not known to be written."""
    assert state.ledger is not None
    found = state.ledger.found_written(written)
    if found.groups:
        state.actions += [Note("Resumed", f"{found.groups} groups are written already"), Wake(None)]
    if found.unowned:
        state.epochs.changed()
    return found.groups > 0
