"""What a coordinator that lost its memory learns from the workers that are still there.

The newest view that any of them has says which groups were in which tranche and who owned them. A group stays with its
owner if that very process is here; every other unwritten group is lost, as it would have been without the restart.
Splits and groups count as done if somebody here reports them; what nobody reports is due again.

Every coordinator of a job has a *generation* of its own, one above its predecessor's, and numbers epochs, tranches and
attempts from there: so nothing that a predecessor gave out, perhaps to somebody who is silent just now, is mistaken for
something of this one's.
"""

from __future__ import annotations

from collections.abc import Mapping

from shuffle_operator.coordinator.ledger import NO_TRANCHE, Ledger
from shuffle_operator.coordinator.tranches import DUE, NOBODY
from shuffle_worker.protocol.messages import Held, PlanSummary

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


def rebuild(here: Mapping[int, tuple[str, Held]], generation: int) -> tuple[Ledger, PlanSummary]:
    """here: worker -> (incarnation, what it holds), at least one with a plan summary."""
    newest = max((held.view for _, held in here.values()), key=lambda view: view.epoch)
    summary = next(held.summary for _, held in here.values() if held.summary is not None)
    ledger = new_ledger(summary, generation)
    here_then = {m.worker for m in newest.members if m.worker in here and here[m.worker][0] == m.incarnation}

    ledger.owner = list(newest.owner)
    ledger.tranche = list(newest.tranche)
    ledger.tranches = {}
    for number in sorted(set(newest.tranche) - {NO_TRANCHE}):
        size = newest.tranche.count(number)
        wave = ledger.wave_of(newest.tranche.index(number))
        ledger.tranches[number] = ledger.tranche_for(number, size, wave)

    for worker, (_, held) in here.items():
        for tranche, split, attempt, rows in held.transferred:
            if tranche in ledger.tranches and ledger.tranches[tranche].state[split] == DUE:
                ledger.mark_transferred(tranche, split, attempt, rows)
        for split in held.kept:
            ledger.keeper[split] = worker
    for _, held in here.values():
        for group, rows, size in held.written:
            if ledger.tranche[group] != NO_TRANCHE:
                ledger.mark_written(group, rows, size)
    ledger.queue_all()
    # groups that a predecessor found written are among the lost, until somebody has looked again
    lost = [
        g
        for g in range(ledger.groups)
        if not ledger.written[g] and (ledger.owner[g] not in here_then or ledger.tranche[g] == NO_TRANCHE)
    ]
    if ledger.shared:
        _join(ledger, [g for g in lost if ledger.tranche[g] == NO_TRANCHE])
    ledger.separate(lost)
    ledger.reindex()
    return ledger, summary


def _join(ledger: Ledger, groups: list[int]) -> None:
    """Shared groups need a tranche to be written from, for they stay in it when they lose their owner: that of others
    of their wave, whose shards are in the store for all, or a new one."""
    for group in groups:
        wave = ledger.wave_of(group)
        tranche = next((t for t in ledger.tranches.values() if t.wave == wave), None)
        if tranche is None:
            tranche = ledger.tranche_for(ledger.next_tranche, 0, wave)
            ledger.tranches[tranche.number] = tranche
            ledger.next_tranche += 1
            for split in range(ledger.splits):
                if tranche.state[split] == DUE:
                    tranche.route(split, NOBODY)
        tranche.groups += 1
        ledger.tranche[group] = tranche.number
