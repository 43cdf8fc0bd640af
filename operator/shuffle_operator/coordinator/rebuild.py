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
from collections.abc import Mapping

from shuffle_operator.coordinator.ledger import NO_TRANCHE, Ledger
from shuffle_operator.coordinator.tranches import DUE, Tranche
from shuffle_protocol.messages import Held, PlanSummary
from shuffle_protocol.runs import spread

EPOCHS = 1 << 16
"""Epochs and tranches that are set aside for one generation."""

ATTEMPTS = 1 << 8
"""Attempts at one piece of work that are set aside for one generation."""


def new_ledger(summary: PlanSummary, generation: int) -> Ledger:
    """Of a plan, with nothing done yet."""
    splits, groups = len(summary.split_bytes), len(summary.group_partitions)
    shared = summary.method == "ObjectStore"
    return Ledger(
        splits,
        groups,
        generation * ATTEMPTS,
        generation * EPOCHS,
        shared,
        summary.keeps_rows,
        summary.split_wave,
        summary.group_wave,
    )


def nonsense(held: Held) -> str:
    """What cannot be in what a worker says that it holds; "" where it may be so. It is not to be trusted that far."""
    summary, view = held.summary, held.view
    if summary is None:
        return "no plan"
    splits, groups = len(summary.split_bytes), len(summary.group_partitions)
    if view.groups != groups or not groups > 0:
        return f"{view.groups} groups of a plan with {groups}"
    if any(
        waves and len(waves) != count for waves, count in ((summary.split_wave, splits), (summary.group_wave, groups))
    ):
        return "waves that are not the plan's"
    if any(
        not 0 <= run.first < run.first + run.count <= groups or min(run.owner, run.tranche) < -1 for run in view.runs
    ):
        return "groups that are not the plan's"
    if any(not 0 <= split < splits or min(t, attempt) < 0 for t, split, attempt, _ in held.transferred):
        return "splits that are not the plan's"
    if any(not 0 <= split < splits for split in held.kept) or any(not 0 <= g < groups for g, _, _ in held.written):
        return "something that is not the plan's"
    return ""


def rebuild(here: Mapping[int, tuple[str, Held]], generation: int) -> tuple[Ledger, PlanSummary]:
    """here: worker -> (incarnation, what it holds), at least one with a plan summary."""
    newest = max((held.view for _, held in here.values()), key=lambda view: view.epoch)
    summary = next(held.summary for _, held in here.values() if held.summary is not None)
    ledger = new_ledger(summary, generation)
    here_then = {m.worker for m in newest.members if m.worker in here and here[m.worker][0] == m.incarnation}

    ledger.owner[:], ledger.tranche = spread(newest.groups, newest.runs)
    ledger.tranches = {}
    sizes = Counter(ledger.tranche)
    for number in sorted(sizes.keys() - {NO_TRANCHE}):
        size = sizes[number]
        wave = ledger.wave_of(ledger.tranche.index(number))
        ledger.tranches[number] = Tranche.due_for(number, size, ledger.splits, ledger.split_wave, wave)

    for worker, (_, held) in here.items():
        for tranche, split, attempt, rows in held.transferred:
            if tranche in ledger.tranches and ledger.tranches[tranche].state[split] == DUE:
                ledger.mark_transferred(tranche, split, attempt, rows)
        for split in held.kept:
            ledger.retained_by[split] = worker
    for _, held in here.values():
        for group, rows, size in held.written:
            if ledger.tranche[group] != NO_TRANCHE:
                ledger.mark_written(group, rows, size)
    ledger.queue_all()
    # groups that a predecessor found written count as lost until somebody has looked again, no matter who owns them
    lost = [
        g
        for g in range(ledger.groups)
        if not ledger.written[g] and (ledger.owner[g] not in here_then or ledger.tranche[g] == NO_TRANCHE)
    ]
    ledger.separate(lost)
    ledger.reindex()
    return ledger, summary
