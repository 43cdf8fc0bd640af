"""The ledger of a job: which work is due, which is out on a lease, which is done. Bookkeeping only: no time, no I/O.

    plan  ->  transfer leases, for each (tranche, split)  ->  write leases, one for each group  ->  commit

A *tranche* is a set of groups whose splits are counted together (`tranches.py`). At first tranche 0 holds every group.
When groups change their owner, because it was lost or hands them over, they leave their tranches and become a new one,
for which every split is due. A group may be written once every split of its tranche is done: that is the barrier.

What is due for several tranches is read once: a lease carries the others along. What a worker has at hand is not read
at all: a worker that kept what it sent (`retained_by`), or that has it stored for groups it hands over, sends it again.
Both are offers only: where it turns out not to be there any more (`not_at_hand`), the split is read.

Memory: some bytes for each split of each live tranche, a few words for each group, an entry for each lease that is out.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from shuffle_operator.coordinator.leases import PLAIN, Leases, TransferMode, parts_of
from shuffle_operator.coordinator.owners import UNOWNED, Owners
from shuffle_operator.coordinator.totals import Inconsistent, SplitRows, Totals
from shuffle_operator.coordinator.tranches import DONE, DUE, NOBODY, NONE, OUT, Handover, Tranche
from shuffle_protocol.messages import Attempt, Done, Lease, LeaseId, LeaseKind

__all__ = ["UNOWNED", "Inconsistent", "Ledger", "Totals"]

NO_TRANCHE = -1
"""Attempt of a group that was written before there was a ledger."""


@dataclass(slots=True)
class Ledger:
    """What is due, who owns what, and what is done."""

    splits: int
    groups: int
    """`splits`, `groups`: how many there are."""
    attempt_floor: int = 0
    next_tranche: int = 0
    """`attempt_floor`, `next_tranche`: the first numbers to give out; a coordinator that follows another begins where
    that one cannot have been, so that no number is used twice."""
    shared: bool = False
    """Shards are in a store that every worker reaches (`method: ObjectStore`): nothing is lost with a worker but its
    leases, and a group's owner is only the first to be asked to write it."""
    keeps_rows: bool = True
    """Every row read is written, so that the counts must agree; a join's or an aggregation's do not."""
    split_wave: Sequence[int] = ()
    group_wave: Sequence[int] = ()
    """`split_wave`, `group_wave`: as in `PlanSummary`; empty for one wave."""
    tranche: list[int] = field(default_factory=list)
    tranches: dict[int, Tranche] = field(default_factory=dict)
    leases: Leases = field(default_factory=Leases)
    owners: Owners = field(init=False)
    totals: Totals = field(default_factory=Totals)
    rows_of: SplitRows = field(default_factory=SplitRows)
    retained_by: array[int] = field(default_factory=lambda: array("i"))  # split -> who kept what it sent of it
    written: bytearray = field(default_factory=bytearray)
    written_bits: bytearray = field(default_factory=bytearray)  # the same, a bit each, as workers get them
    writing: bytearray = field(default_factory=bytearray)
    unwritten: int = 0
    _doubled: set[tuple[int, int]] = field(default_factory=set)  # (tranche, split) that is out more than once
    _writes: array[int] = field(default_factory=lambda: array("H"))  # group -> how often it was given out to be written
    _orphaned: set[int] = field(default_factory=set)  # tranches with unowned groups
    _numbers: list[int] = field(default_factory=list)  # of the splits: the same ints in every queue

    def __post_init__(self) -> None:
        self._numbers = list(range(self.splits))
        self.rows_of = SplitRows.of(self.splits)
        self.retained_by = array("i", [NOBODY]) * self.splits
        self.written = bytearray(self.groups)
        self.written_bits = bytearray(-(-self.groups // 8))
        self.writing = bytearray(self.groups)
        self.owners = Owners([UNOWNED] * self.groups, self.written)
        self._writes = array("H", [0]) * self.groups
        self.unwritten = self.groups
        waves = self.group_wave or [0] * self.groups
        first = {wave: self._open(waves.count(wave), None, wave).number for wave in sorted(set(waves))}
        self.tranche = [first[wave] for wave in waves]
        self._note_orphans()

    # -- ownership ---------------------------------------------------------------------------------------------------

    def wave_of(self, group: int) -> int:
        return self.group_wave[group] if self.group_wave else 0

    def _open(self, groups: int, handover: Handover | None, wave: int) -> Tranche:
        new = Tranche.due_for(self.next_tranche, groups, self.splits, self.split_wave, wave)
        new.handover = handover
        self.tranches[new.number] = new
        self.next_tranche += 1
        keeping = self.keeping
        if not keeping and handover is None:
            new.waiting.extend(split for split in self._numbers if new.state[split] == DUE)
            return new
        reading = self.leases.reading()
        for split in self._numbers:
            if new.state[split] == DONE:
                continue
            sender = self._sender(new, split)
            if sender == NOBODY and keeping:
                sender = reading.get(split, NOBODY)  # it is about to be kept
            new.route(split, sender)
        return new

    @property
    def keeping(self) -> bool:
        """Somebody keeps what it sends."""
        return self.retained_by.count(NOBODY) < self.splits

    def _sender(self, tranche: Tranche, split: int) -> int:
        """The workers that can bring a split without reading it."""
        retained_by, handover = self.retained_by[split], tranche.handover
        if handover is not None and retained_by in (NOBODY, handover.worker) and handover.source(split):
            return handover.worker  # what it kept has nothing of its own groups
        return retained_by

    def queue_all(self) -> None:
        """To be called after the tranches were rebuilt from reports: every due split waits for a worker that can bring
        it."""
        for tranche in self.tranches.values():
            for split in range(self.splits):
                if tranche.state[split] == DUE:
                    tranche.route(split, self._sender(tranche, split))

    def reindex(self) -> None:
        """To be called after ownership was set from outside."""
        self.owners.reindex()
        self._note_orphans()

    def _note_orphans(self) -> None:
        self._orphaned = set() if self.shared else {self.tranche[g] for g in self.unowned()}

    def assign(self, workers: list[int]) -> bool:
        """Give the unowned groups to workers. True if there were any."""
        changed = self.owners.assign(workers)
        if changed:
            self._note_orphans()
        return changed

    def lose(self, worker: int) -> list[int]:
        """A worker is gone. Its leases are due again, and its unwritten groups become unowned, in a tranche of their
        own. Returns those groups."""
        if self.keeping:
            for split in self._numbers:
                if self.retained_by[split] == worker:
                    self.retained_by[split] = NOBODY
        for lease in self.leases.of(worker):
            self.give_back(lease)
        for tranche in self.tranches.values():
            if tranche.handover is not None and tranche.handover.worker == worker:
                tranche.handover = None
            for split in tranche.release(worker):
                tranche.route(split, self._sender(tranche, split))
        lost = self.owners.lose(worker)
        self.separate(lost)
        return [] if self.shared else lost

    def hand_over(self, groups: Iterable[int], worker: int) -> list[int]:
        """Groups leave their owner, which is still there and can send what it has stored for them. They become unowned,
        in a new tranche for each that they were in. Groups that are being written stay. Returns those that leave."""
        going = [g for g in groups if self.owners.of_group[g] == worker and not self.written[g] and not self.writing[g]]
        for number in sorted({self.tranche[g] for g in going}):
            tranche = self.tranches[number]
            done = bytes(state == DONE for state in tranche.state)
            from_it = [g for g in going if self.tranche[g] == number]
            self.separate(from_it, Handover(worker, number, done, dict(tranche.counted)))
        return going

    def separate(self, groups: list[int], handover: Handover | None = None) -> None:
        """Move groups to a new tranche (one for each of their waves), unowned; every split is due for them. Shared ones
        only lose their owner, unless they are in none: a coordinator that is gone had found them written."""
        if not groups:
            return
        moving = [g for g in groups if self.tranche[g] == NO_TRANCHE] if self.shared else groups
        for wave in sorted({self.wave_of(g) for g in moving}):
            self._separate([g for g in moving if self.wave_of(g) == wave], wave, handover)
        self.owners.give(groups, UNOWNED)
        self._note_orphans()

    def _separate(self, groups: list[int], wave: int, handover: Handover | None) -> None:
        new = self._open(len(groups), handover, wave)
        for g in groups:
            old = self.tranches.get(self.tranche[g])
            self.tranche[g] = new.number
            if old is not None:
                old.groups -= 1
                if old.groups == 0:
                    self._close(old)

    def _close(self, tranche: Tranche) -> None:
        """A tranche that nobody needs any more: its leases are superseded, and what they carried along is due again."""
        del self.tranches[tranche.number]
        for lease in [x for x in self.leases.out if x.kind is LeaseKind.TRANSFER and x.tranche == tranche.number]:
            self.give_back(lease)

    def unowned(self) -> list[int]:
        return self.owners.unwritten_of(UNOWNED)

    def share(self, newcomer: int, workers: list[int]) -> bool:
        """Hand a newcomer its fair part of the groups for which nothing was sent yet. True if any changed hands.

        They become a tranche of their own, because within a tranche a group never changes its owner: a transfer that
        somebody reports as done, however late, is then done for the owners of the tranche's groups."""
        fair = self.unwritten // max(1, len(workers))
        fresh = {
            t.number
            for t in self.tranches.values()
            if self.shared or (t.untouched(self.split_wave) and t.handover is None)
        }
        wanted = fair - self.owners.count(newcomer)
        if not fresh or wanted <= 0:
            return False
        free = (
            g
            for g in range(self.groups)
            if not self.written[g]
            and not self.writing[g]
            and self.owners.of_group[g] != newcomer
            and self.tranche[g] in fresh
        )
        taken = list(islice(free, wanted))
        if taken:
            self.separate(taken)
            self.owners.give(taken, newcomer)
            self._note_orphans()
        return bool(taken)

    def migrating(self) -> list[tuple[int, int]]:
        """(tranche, worker) of each handover: the worker keeps what it has stored until that is done."""
        return [(t.number, t.handover.worker) for t in self.tranches.values() if t.handover is not None and t.remaining]

    def hands_over(self, worker: int) -> bool:
        """Whether a worker still has to send what it stored for groups that it handed over."""
        for tranche in self.tranches.values():
            handover = tranche.handover
            if handover is None or handover.worker != worker or not tranche.remaining:
                continue
            if any(state != DONE and handover.source(split) for split, state in enumerate(tranche.state)):
                return True
        return False

    # -- leases ------------------------------------------------------------------------------------------------------

    def grant_transfer(self, worker: int, *, reads: bool = True, avoided: frozenset[int] = NONE) -> LeaseId | None:
        """The next split that is due, of the oldest tranche whose groups all have owners: one that this worker can send
        from what it has, else one to be read (if it `reads`). avoided: splits that it must not be given now."""
        for tranche in self.tranches.values():
            if not tranche.remaining or tranche.number in self._orphaned:
                continue
            lease = self._grant_sending(tranche, worker, avoided)
            if lease is None and reads:
                split = tranche.next_waiting(avoided)
                lease = self._grant_read(tranche, split, worker) if split is not None else None
            if lease is not None:
                return lease
        return None

    def _grant_sending(self, tranche: Tranche, worker: int, avoided: frozenset[int]) -> LeaseId | None:
        def ready(split: int) -> bool:
            reads_it = self._sender(tranche, split) != worker and self.leases.is_reading(worker, split)
            return split not in avoided and not reads_it

        while (split := tranche.next_held(worker, ready)) is not None:
            sender = self._sender(tranche, split)
            if sender != worker:  # what it was reading then it has not kept
                tranche.route(split, sender)
                continue
            handover = tranche.handover
            stored = handover.source(split) if handover is not None and handover.worker == worker else None
            return self._grant_split([tranche], split, worker, TransferMode(again=stored is None, stored=stored))
        return None

    def _grant_read(self, tranche: Tranche, split: int, worker: int) -> LeaseId:
        together = [tranche]
        for other in self.tranches.values():
            free = other is not tranche and other.state[split] == DUE and other.number not in self._orphaned
            if free and self._sender(other, split) == NOBODY:
                together.append(other)
        return self._grant_split(together, split, worker, PLAIN)

    def steal(self, worker: int, sender: int) -> LeaseId | None:
        """For an idle worker: read a split that waits for a slow sender."""
        for tranche in self.tranches.values():
            queue = tranche.held.get(sender)
            while queue and tranche.number not in self._orphaned:
                split = queue.pop()
                if tranche.state[split] == DUE:
                    return self._grant_split([tranche], split, worker, PLAIN)
        return None

    def grant_speculative(self, worker: int, lease: LeaseId) -> LeaseId | None:
        """A second attempt at a transfer that is out with somebody else. The first of the two to finish counts."""
        numbers = [part.tranche for part in self.leases.parts(lease)]
        if self.leases.out.get(lease) in (None, worker) or any((n, lease.item) in self._doubled for n in numbers):
            return None
        there = [self.tranches[n] for n in numbers if n in self.tranches]
        together = [tranche for tranche in there if tranche.state[lease.item] == OUT]
        if not together:
            return None
        self._doubled.update((tranche.number, lease.item) for tranche in together)
        return self._grant_split(together, lease.item, worker, PLAIN)

    def _grant_split(self, together: list[Tranche], split: int, worker: int, mode: TransferMode) -> LeaseId:
        for tranche in together:
            tranche.state[split] = OUT
        first, *others = together
        along = tuple(Attempt(t.number, split, self._next_attempt(t.given, split)) for t in others)
        attempt = self._next_attempt(first.given, split)
        lease = LeaseId(LeaseKind.TRANSFER, first.number, split, attempt)
        return self.leases.grant(lease, worker, TransferMode(along, mode.again, mode.stored))

    def grant_write(self, worker: int, *, avoided: frozenset[int] = NONE) -> LeaseId | None:
        """A group of this worker's whose barrier is reached; of anybody's where shards are shared. avoided: groups that
        it must not be given now; those behind one wait too."""
        found = next(filter(self._ready, self.owners.first(worker)), None)
        if found is None and self.shared and self.writing.count(1) < self.unwritten:
            found = next(filter(self._ready, self.owners.of_others(worker)), None)
        if found is None or found in avoided:
            return None
        self.writing[found] = 1
        return self.leases.grant(LeaseId(LeaseKind.WRITE, 0, found, self._next_attempt(self._writes, found)), worker)

    def _ready(self, group: int) -> bool:
        """Whether a group is to be written and nobody writes it yet. `remaining` is 0 from the barrier on."""
        if self.written[group] or self.writing[group]:
            return False
        return self.tranches[self.tranche[group]].remaining == 0

    def _next_attempt(self, given: array[int], item: int) -> int:
        given[item] += 1
        return self.attempt_floor + given[item] - 1

    def order(self, lease: LeaseId) -> Lease:
        """The lease, with everything that its holder needs to know."""
        if lease.kind is LeaseKind.TRANSFER:
            mode = self.leases.mode(lease)
            return Lease(lease, along=list(mode.along), again=mode.again, stored=mode.stored)
        if lease.kind is LeaseKind.WRITE:
            tranche = self.tranches.get(self.tranche[lease.item])
            return Lease(lease, counted=tranche.exceptions() if tranche is not None else [])
        if lease.kind is LeaseKind.COMMIT:
            return Lease(lease, rows=self.totals.rows_read if self.rows_known and self.keeps_rows else -1)
        return Lease(lease)

    def give_back(self, lease: LeaseId) -> None:
        """A lease that was out will not be finished by its holder: it is due again."""
        mode = self.leases.end(lease)
        if mode is None:
            return
        if lease.kind is LeaseKind.WRITE:
            self.writing[lease.item] = 0
        elif lease.kind is LeaseKind.TRANSFER:
            for part in parts_of(lease, mode):
                self._put_back(part.tranche, lease.item)

    def _put_back(self, number: int, split: int) -> None:
        tranche = self.tranches.get(number)
        if tranche is None or tranche.state[split] != OUT:
            return
        if (number, split) in self._doubled:
            self._doubled.discard((number, split))
            return  # the other of the two goes on
        tranche.state[split] = DUE
        sender = self._sender(tranche, split)
        if sender == NOBODY:
            tranche.waiting.appendleft(split)
        else:
            tranche.route(split, sender)

    def redo(self, split: int) -> None:
        """The shared shards of a split are damaged: another attempt makes them again."""
        for tranche in self.tranches.values():
            tranche.undo(split)

    def not_at_hand(self, lease: LeaseId) -> None:
        """The holder of a lease does not, or no longer, have what it was to send: let a worker read it."""
        mode = self.leases.mode(lease)
        tranche = self.tranches.get(lease.tranche)
        if mode.again:
            self._forget_keeper(lease.item)
        elif mode.stored and tranche is not None and tranche.handover is not None:
            tranche.handover = tranche.handover.without(lease.item)
        self.give_back(lease)

    def _forget_keeper(self, split: int) -> None:
        retained_by, self.retained_by[split] = self.retained_by[split], NOBODY
        for tranche in self.tranches.values():
            if retained_by != NOBODY and tranche.state[split] == DUE:
                tranche.route(split, self._sender(tranche, split))

    def finish(self, done: Done, worker: int) -> bool:
        """Count a finished lease. False where it was not out with this worker (counted before, or taken away)."""
        lease = done.id
        if self.leases.out.get(lease) != worker:
            return False
        if lease.kind is LeaseKind.TRANSFER:
            self._finish_transfer(lease, done, worker)
        else:
            self.leases.end(lease)
            if lease.kind is LeaseKind.WRITE:
                self._finish_write(lease.item, done)
        return True

    def _finish_transfer(self, lease: LeaseId, done: Done, worker: int) -> None:
        split, parts, mode = lease.item, self.leases.parts(lease), self.leases.mode(lease)
        self.leases.end(lease)
        self.totals.transferred(done, again=self.rows_of.seen(split) or not mode.reads, resent=not mode.reads)
        for part in parts:
            self.mark_transferred(part.tranche, split, part.attempt, done.rows_read)
        if done.kept and self.retained_by[split] == NOBODY:
            self.retained_by[split] = worker
        elif mode.reads and not done.kept:
            for tranche_ in self.tranches.values():  # some may have waited for it to be kept
                if tranche_.state[split] == DUE and self._sender(tranche_, split) == NOBODY:
                    tranche_.waiting.append(split)
        self._end_losers(split)

    def _end_losers(self, split: int) -> None:
        """Supersede attempts at what is done by now."""
        if not (doubled := [key for key in self._doubled if key[1] == split]):
            return
        for key in doubled:
            tranche = self.tranches.get(key[0])
            if tranche is None or tranche.state[split] != OUT:
                self._doubled.discard(key)
        for lease in [x for x in self.leases.out if x.kind is LeaseKind.TRANSFER and x.item == split]:
            numbers = [part.tranche for part in self.leases.parts(lease)]
            if not any(n in self.tranches and self.tranches[n].state[split] == OUT for n in numbers):
                self.leases.end(lease)

    def mark_transferred(self, number: int, split: int, attempt: int, rows: int) -> None:
        """A split is done for a tranche. Also called while a lost ledger is rebuilt from what workers report."""
        self.totals.rows_read += self.rows_of.note(split, rows)
        tranche = self.tranches.get(number)
        if tranche is not None:
            tranche.finish(split, attempt)

    def _finish_write(self, group: int, done: Done) -> None:
        self.writing[group] = 0
        self.totals.written(done)
        self.mark_written(group, done.rows_written, done.bytes_written)

    def mark_written(self, group: int, rows: int, size: int) -> None:
        """A group's files are there. Also called while a lost ledger is rebuilt."""
        if self.written[group]:
            return
        self.written[group] = 1
        self.written_bits[group >> 3] |= 1 << (group & 7)
        self.unwritten -= 1
        self.totals.rows_written += rows
        self.totals.bytes_written += size
        tranche = self.tranches[self.tranche[group]]
        tranche.groups -= 1
        if tranche.groups == 0:
            self._close(tranche)

    def found_written(self, group: int, rows: int, size: int) -> None:
        """A group that was written under another coordinator: nobody needs to bring it anything, even if it has an
        owner now."""
        if 0 <= group < self.groups and not self.written[group]:
            self.mark_written(group, rows, size)
            self.tranche[group] = NO_TRANCHE

    # -- where things stand ------------------------------------------------------------------------------------------

    @property
    def out(self) -> dict[LeaseId, int]:
        """lease -> worker."""
        return self.leases.out

    @property
    def owner(self) -> list[int]:
        """Of each group."""
        return self.owners.of_group

    @property
    def splits_done(self) -> int:
        """Splits that are done for every group's current owner; the barrier waits for all of them."""
        worst: dict[int, int] = {}
        for tranche in self.tranches.values():
            worst[tranche.wave] = max(worst.get(tranche.wave, 0), tranche.remaining)
        return self.splits - sum(worst.values())

    @property
    def barrier_reached(self) -> bool:
        return all(t.remaining == 0 for t in self.tranches.values())

    @property
    def must_read(self) -> bool:
        """Whether rows are missing that no owner is about to hand over."""
        return any(t.remaining and t.handover is None for t in self.tranches.values())

    @property
    def rows_known(self) -> bool:
        """Whether every split's rows have been reported. They have not if a coordinator was rebuilt after a worker was
        lost."""
        return self.rows_of.known == self.splits

    @property
    def groups_written(self) -> int:
        return self.groups - self.unwritten
