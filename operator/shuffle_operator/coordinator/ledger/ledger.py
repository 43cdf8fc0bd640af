"""The ledger of a job: which work is due, which is out on a lease, which is done. Bookkeeping only: no time, no I/O.

    plan  ->  transfer leases, for each (tranche, split)  ->  write leases, one for each group  ->  commit

A *tranche* is a set of groups whose splits are counted together (`tranches.py`). At first tranche 0 holds every group.
When groups change their owner, because it was lost or hands them over, they leave their tranches and become a new one,
for which every split is due. A group may be written once every split of its tranche is done: that is the barrier.

What is due for several tranches is read once: a lease carries the others along. What a worker has at hand is not read
at all.

    facts.py       what is done, who owns what, what it adds up to
    routing.py     who can bring a split that is due         reads the facts
    granting.py    leases, and what their ends change        moves both

Here is what concerns all three: groups that change their owner, and work that is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from itertools import islice

from shuffle_operator.coordinator.ledger.facts import NO_TRANCHE, Facts
from shuffle_operator.coordinator.ledger.granting import Granting
from shuffle_operator.coordinator.ledger.owners import UNOWNED
from shuffle_operator.coordinator.ledger.routing import Handover, Routing
from shuffle_protocol.messages import Done, LeaseKind, WrittenGroup


@dataclass(slots=True)
class Found:
    """Groups that turned out to be written."""

    groups: int = 0
    unowned: int = 0
    """Of these, groups that nobody owned."""


@dataclass(slots=True)
class Ledger:
    """What is due, who has it, and what is done."""

    facts: Facts
    attempt_floor: InitVar[int] = 0
    """See `Granting`."""
    routing: Routing = field(init=False)
    granting: Granting = field(init=False)

    def __post_init__(self, attempt_floor: int) -> None:
        self.routing = Routing(self.facts)
        self.granting = Granting(self.facts, self.routing, attempt_floor)

    # -- groups change their owner -----------------------------------------------------------------------------------

    def lose(self, worker: int) -> list[int]:
        """A worker is gone. Its leases are due again, and its unwritten groups become unowned, in a tranche of their
        own. Returns those groups."""
        self.routing.lose(worker)
        for lease in self.granting.leases.of(worker):
            self.granting.give_back(lease)
        lost = self.facts.owners.lose(worker)
        self.separate(lost)
        return [] if self.facts.shared else lost

    def hand_over(self, groups: Iterable[int], worker: int) -> list[int]:
        """Groups leave their owner, which is still there and can send what it has stored for them. They become unowned,
        in a new tranche for each that they were in. Groups that are being written stay. Returns those that leave."""
        facts, there = self.facts, set(self.facts.waiting_of(worker))
        going = [g for g in groups if g in there]
        for number in sorted({facts.tranche[g] for g in going}):
            handover = Handover.out_of(facts.tranches[number], worker)
            self.separate([g for g in going if facts.tranche[g] == number], handover)
        return going

    def separate(self, groups: list[int], handover: Handover | None = None) -> None:
        """Move groups to a new tranche (one for each of their waves), unowned; every split is due for them. Shared ones
        only lose their owner."""
        if not groups:
            return
        facts = self.facts
        moving = [] if facts.shared else groups
        for wave in sorted({facts.wave_of(g) for g in moving}):
            self._separate([g for g in moving if facts.wave_of(g) == wave], wave, handover)
        facts.give(groups, UNOWNED)

    def _separate(self, groups: list[int], wave: int, handover: Handover | None) -> None:
        new = self.facts.open(len(groups), wave)
        self.routing.open(new, handover, self.granting.leases.reading())
        for emptied in self.facts.move(groups, new):
            self.granting.close(emptied)

    def share(self, newcomer: int, workers: list[int]) -> bool:
        """Hand a newcomer its fair part of the groups for which nothing was sent yet. True if any changed hands.

        They become a tranche of their own, because within a tranche a group never changes its owner: a transfer that
        somebody reports as done, however late, is then done for the owners of the tranche's groups."""
        facts = self.facts
        fair = facts.unwritten // max(1, len(workers))
        fresh = set(facts.tranches) if facts.shared else facts.untouched()
        fresh = {number for number in fresh if facts.shared or not self.routing.handed_over(number)}
        wanted = fair - facts.owners.count(newcomer)
        if not fresh or wanted <= 0:
            return False
        free = (
            g
            for g in range(facts.groups)
            if not facts.written[g]
            and not facts.writing[g]
            and facts.owner[g] != newcomer
            and facts.tranche[g] in fresh
        )
        taken = list(islice(free, wanted))
        if taken:
            self.separate(taken)
            facts.give(taken, newcomer)
        return bool(taken)

    # -- work is done ------------------------------------------------------------------------------------------------

    def finish(self, done: Done, worker: int) -> bool:
        """Count a finished lease. False where it was not out with this worker (counted before, or taken away)."""
        if not self.granting.finish(done, worker):
            return False
        if done.id.kind is LeaseKind.WRITE:
            self.facts.totals.written(done)
            self._written(done.written_group)
        return True

    def _written(self, found: WrittenGroup) -> None:
        for emptied in self.facts.mark_written(found):
            self.granting.close(emptied)

    def found_written(self, groups: Iterable[WrittenGroup]) -> Found:
        """Groups that were written under coordinators before this one: nobody needs to bring them anything, no matter
        who owns them now. Those that nobody owns leave their tranches: nothing can be sent to them."""
        facts, found = self.facts, Found()
        for each in groups:
            if not 0 <= each.group < facts.groups or facts.written[each.group]:
                continue
            self.granting.supersede_write(each.group)
            self._written(each)
            found.groups += 1
            if facts.owner[each.group] == UNOWNED and not facts.shared:
                facts.tranche[each.group] = NO_TRANCHE
                found.unowned += 1
        if found.unowned:
            facts.note_orphans()
        return found
