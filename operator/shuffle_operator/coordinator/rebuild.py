"""What a coordinator that lost its memory learns from the workers that are still there.

The newest view that any of them has says which groups were in which tranche and who owned them. A group stays with its
owner if that very process is here; every other unwritten group is lost, as it would have been without the restart.
Splits and groups count as done if somebody here reports them; what nobody reports is due again.

Every coordinator of a job has a *generation* of its own, one above its predecessor's, and numbers epochs, tranches and
attempts from there: so nothing that a predecessor gave out, perhaps to somebody who is silent just now, is mistaken for
something of this one's.
"""

from __future__ import annotations

from collections import Counter

from shuffle_operator.coordinator.ledger.facts import NO_TRANCHE, Facts
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.ledger.tranches import DUE, Tranche
from shuffle_operator.coordinator.state_recovery import Survivors
from shuffle_protocol.messages import Held, PlanSummary, View
from shuffle_protocol.runs import spread

EPOCHS = 1 << 16
"""Epochs and tranches that are set aside for one generation."""

ATTEMPTS = 1 << 8
"""Attempts at one piece of work that are set aside for one generation."""


def attempt_floor(generation: int) -> int:
    """The first attempt of a generation; those below are of earlier ones."""
    return generation * ATTEMPTS


def new_ledger(summary: PlanSummary, generation: int) -> Ledger:
    """Of a plan, with nothing done yet."""
    facts = Facts(
        splits=len(summary.split_bytes),
        groups=len(summary.group_partitions),
        next_tranche=generation * EPOCHS,
        shared=summary.method == "ObjectStore",
        keeps_rows=summary.keeps_rows,
        leaves_out=summary.leaves_out,
        split_wave=summary.split_wave,
        group_wave=summary.group_wave,
    )
    return Ledger(facts, attempt_floor(generation))


def nonsense(held: Held, summary: PlanSummary) -> str:
    """What cannot be in what a worker says that it holds; "" where it may be so. It is not to be trusted that far."""
    splits, groups = len(summary.split_bytes), len(summary.group_partitions)
    if any(not 0 <= one.split < splits or min(one.tranche, one.attempt) < 0 for one in held.transferred):
        return "splits that are not the plan's"
    if any(not 0 <= split < splits for split in held.kept) or any(not 0 <= g.group < groups for g in held.written):
        return "something that is not the plan's"
    return _nonsensical_view(held.view, summary) if held.view is not None else ""


def _nonsensical_view(view: View, summary: PlanSummary) -> str:
    splits, groups = len(summary.split_bytes), len(summary.group_partitions)
    if view.groups != groups or not groups > 0:
        return f"{view.groups} groups of a plan with {groups}"
    waves = ((summary.split_wave, splits), (summary.group_wave, groups))
    if any(wave and len(wave) != count for wave, count in waves):
        return "waves that are not the plan's"
    if any(
        not 0 <= run.first < run.first + run.count <= groups or min(run.owner, run.tranche) < -1 for run in view.runs
    ):
        return "groups that are not the plan's"
    return ""


def rebuild(survivors: Survivors, generation: int) -> Ledger:
    """What the workers that are here hold. One whose report makes no sense counts as one that holds nothing."""
    view, summary = survivors.view, survivors.summary
    here = {worker: held for worker, held in survivors.held.items() if not nonsense(held, summary)}
    here_then = {
        m.worker for m in view.members if m.worker in here and survivors.incarnations[m.worker] == m.incarnation
    }
    ledger = new_ledger(summary, generation)
    facts = ledger.facts
    facts.owner[:], facts.tranche = spread(view.groups, view.runs)
    facts.tranches = _tranches(facts)
    for worker, held in here.items():
        for found in held.transferred:
            if found.tranche in facts.tranches and facts.tranches[found.tranche].state[found.split] == DUE:
                facts.mark_transferred(found)
        for split in held.kept:
            ledger.routing.retained_by[split] = worker
    for held in here.values():
        for written in held.written:
            if facts.tranche[written.group] != NO_TRANCHE:
                facts.mark_written(written)
    ledger.routing.reopen()
    # groups that a predecessor found written count as lost until somebody has looked again, no matter who owns them
    lost = [
        g
        for g in range(facts.groups)
        if not facts.written[g] and (facts.owner[g] not in here_then or facts.tranche[g] == NO_TRANCHE)
    ]
    ledger.separate(lost)
    facts.reindex()
    return ledger


def _tranches(facts: Facts) -> dict[int, Tranche]:
    """Those that the groups are in, with nothing done."""
    found = {}
    sizes = Counter(facts.tranche)
    for number in sorted(sizes.keys() - {NO_TRANCHE}):
        wave = facts.wave_of(facts.tranche.index(number))
        found[number] = Tranche.due_for(number, sizes[number], facts.splits, facts.split_wave, wave)
    return found
