"""The ledger of a job: which work is due, which is out on a lease, which is done. Bookkeeping only: no time, no I/O.

    plan  ->  transfer leases, one for each (tranche, split)  ->  write leases, one for each group  ->  commit

A *tranche* is a set of groups whose splits are counted together. At first tranche 0 holds every group. When the owner
of unwritten groups is lost they leave their tranches and become a new one, for which every split is due: the redone
work is exactly (all splits) x (the groups that were lost), by the same code as the first run. A group may be written
once every split of its tranche is done: that is the barrier.

Memory: a byte for each split of each live tranche, a few words for each group, an entry for each lease that is out.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field

from shuffle_worker.protocol.messages import Attempt, Done, Kind, Lease, LeaseId

UNOWNED = -1


@dataclass(slots=True)
class Tranche:
    """groups: how many groups are in it now. due: splits to give out, in order. done: one byte a split."""

    number: int
    groups: int
    due: deque[int]
    done: bytearray
    remaining: int

    @classmethod
    def due_for(cls, number: int, groups: int, splits: int) -> Tranche:
        return cls(number, groups, deque(range(splits)), bytearray(splits), splits)

    @property
    def untouched(self) -> bool:
        """No split has been given out or done: its groups can still change hands for nothing."""
        return len(self.due) == len(self.done)


@dataclass(slots=True)
class Totals:
    """Rows and bytes of finished work; see `messages.Done`."""

    rows_read: int = 0
    rows_received: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0
    bytes_written: int = 0
    files: int = 0
    largest: int = 0
    splits_redone: int = 0


class Inconsistent(Exception):
    """The figures of two steps contradict each other: rows were lost or made up, or an input changed."""


@dataclass(slots=True)
class Ledger:
    """splits, groups: how many there are. attempt_floor, next_tranche: the first numbers to give out; a coordinator
    that follows another begins where that one cannot have been, so that no number is used twice. shared: shards are in
    a store that every worker reaches (`method: ObjectStore`): nothing is lost with a worker but its leases, and a
    group's owner is only who is asked first to write it. keeps_rows: every row read is written, so that the counts must
    agree; a join's or an aggregation's do not."""

    splits: int
    groups: int
    attempt_floor: int = 0
    next_tranche: int = 0
    shared: bool = False
    keeps_rows: bool = True
    owner: list[int] = field(default_factory=list)
    tranche: list[int] = field(default_factory=list)
    tranches: dict[int, Tranche] = field(default_factory=dict)
    out: dict[LeaseId, int] = field(default_factory=dict)  # lease -> worker
    totals: Totals = field(default_factory=Totals)
    rows_of: array[int] = field(default_factory=lambda: array("q"))
    written: bytearray = field(default_factory=bytearray)
    writing: bytearray = field(default_factory=bytearray)
    unwritten: int = 0
    counted: dict[tuple[int, int], int] = field(default_factory=dict)  # (tranche, split) -> attempt, where it is not 0
    _attempts: dict[tuple[Kind, int, int], int] = field(default_factory=dict)
    _splits_read: int = 0
    _orphaned: set[int] = field(default_factory=set)  # tranches with unowned groups
    _of_owner: dict[int, list[int]] = field(default_factory=dict)  # worker -> its unwritten groups

    def __post_init__(self) -> None:
        self.owner = [UNOWNED] * self.groups
        self.rows_of = array("q", [-1]) * self.splits
        self.written = bytearray(self.groups)
        self.writing = bytearray(self.groups)
        self.unwritten = self.groups
        self.tranche = [self._open(self.groups).number] * self.groups
        self.reindex()

    # -- ownership ---------------------------------------------------------------------------------------------------

    def _open(self, groups: int) -> Tranche:
        new = Tranche.due_for(self.next_tranche, groups, self.splits)
        self.tranches[new.number] = new
        self.next_tranche += 1
        return new

    def reindex(self) -> None:
        """After every change of ownership: what the grants look up."""
        self._orphaned = set() if self.shared else {self.tranche[g] for g in self.unowned()}
        self._of_owner = {}
        for g in range(self.groups):
            if not self.written[g]:
                self._of_owner.setdefault(self.owner[g], []).append(g)

    def assign(self, workers: list[int]) -> bool:
        """Give the unowned groups to workers, in runs, those with least to write first. True if there were any."""
        groups = self.unowned()
        if not groups or not workers:
            return False
        load = {w: len(self._of_owner.get(w, ())) for w in workers}
        target = -(-(sum(load.values()) + len(groups)) // len(workers))
        waiting = iter(groups)
        for worker in sorted(workers, key=lambda w: (load[w], w)):
            for _ in range(max(0, target - load[worker])):
                g = next(waiting, None)
                if g is not None:
                    self.owner[g] = worker
        self.reindex()
        return True

    def lose(self, worker: int) -> list[int]:
        """A worker is gone. Its leases are due again; its unwritten groups are nobody's, in a tranche of their own.

        Returns those groups."""
        for lease in [lease for lease, holder in self.out.items() if holder == worker]:
            self.give_back(lease)
        held = [g for g in range(self.groups) if self.owner[g] == worker]
        for g in held:
            self.owner[g] = UNOWNED  # written ones too: the next process in this slot does not have them
        lost = [g for g in held if not self.written[g]]
        self.separate(lost)
        return [] if self.shared else lost

    def separate(self, groups: list[int]) -> None:
        """Move groups to a new tranche, unowned; every split is due for them. Shared ones only lose their owner."""
        if not groups:
            return
        if self.shared:
            for g in groups:
                self.owner[g] = UNOWNED
            self.reindex()
            return
        new = self._open(len(groups))
        for g in groups:
            old = self.tranches[self.tranche[g]]
            old.groups -= 1
            self.tranche[g] = new.number
            self.owner[g] = UNOWNED
            if old.groups == 0:
                self._close(old)
        self.reindex()

    def _close(self, tranche: Tranche) -> None:
        """Nobody needs it any more: its leases are void."""
        del self.tranches[tranche.number]
        for lease in [x for x in self.out if x.kind is Kind.TRANSFER and x.tranche == tranche.number]:
            del self.out[lease]
        for key in [key for key in self.counted if key[0] == tranche.number]:
            del self.counted[key]

    def unowned(self) -> list[int]:
        return [g for g in range(self.groups) if self.owner[g] == UNOWNED and not self.written[g]]

    def share(self, newcomer: int, workers: list[int]) -> bool:
        """Hand a newcomer its fair part of the groups for which nothing was sent yet. True if any changed hands.

        They become a tranche of their own, for within a tranche a group never changes its owner: a transfer that
        somebody reports as done, however late, is then done for whoever owns the tranche's groups."""
        fair = self.unwritten // max(1, len(workers))
        free = [
            g
            for g in range(self.groups)
            if not self.written[g]
            and not self.writing[g]
            and self.owner[g] != newcomer
            and (self.shared or self.tranches[self.tranche[g]].untouched)
        ]
        taken = free[: max(0, fair - len(self._of_owner.get(newcomer, ())))]
        self.separate(taken)
        for g in taken:
            self.owner[g] = newcomer
        self.reindex()
        return bool(taken)

    # -- leases ------------------------------------------------------------------------------------------------------

    def grant_transfer(self, worker: int) -> LeaseId | None:
        """The next split that is due, of the oldest tranche whose groups all have owners."""
        for tranche in self.tranches.values():
            if tranche.due and tranche.number not in self._orphaned:
                split = tranche.due.popleft()
                return self._grant(Kind.TRANSFER, tranche.number, split, worker)
        return None

    def grant_write(self, worker: int) -> LeaseId | None:
        """A group of this worker's whose barrier is reached; of anybody's where shards are shared."""
        mine = self._of_owner.get(worker, [])
        while mine and self.written[mine[0]]:
            mine.pop(0)
        found = next((g for g in mine if self._ready(g)), None)
        if found is None and self.shared:
            others = (g for owner, groups in self._of_owner.items() if owner != worker for g in reversed(groups))
            found = next((g for g in others if self._ready(g)), None)
        if found is None:
            return None
        self.writing[found] = 1
        return self._grant(Kind.WRITE, 0, found, worker)

    def _ready(self, group: int) -> bool:
        """To be written, and not being written yet. `remaining` is 0 from the barrier on."""
        if self.written[group] or self.writing[group]:
            return False
        return self.tranches[self.tranche[group]].remaining == 0

    def grant(self, kind: Kind, worker: int) -> LeaseId | None:
        """A piece of work that there is only one of (commit, abort), unless it is out."""
        if any(lease.kind is kind for lease in self.out):
            return None
        return self._grant(kind, 0, 0, worker)

    def _grant(self, kind: Kind, tranche: int, item: int, worker: int) -> LeaseId:
        key = (kind, tranche, item)
        attempt = self._attempts.get(key, self.attempt_floor - 1) + 1
        if attempt:
            self._attempts[key] = attempt
        else:
            self._attempts.setdefault(key, 0)
        lease = LeaseId(kind, tranche, item, attempt)
        self.out[lease] = worker
        return lease

    def order(self, lease: LeaseId) -> Lease:
        """The lease with all that its holder needs to know."""
        if lease.kind is Kind.WRITE:
            tranche = self.tranche[lease.item]
            counted = [Attempt(t, s, a) for (t, s), a in sorted(self.counted.items()) if t == tranche]
            return Lease(lease, counted=counted)
        if lease.kind is Kind.COMMIT:
            return Lease(lease, rows=self.totals.rows_read if self.rows_known and self.keeps_rows else -1)
        return Lease(lease)

    def give_back(self, lease: LeaseId) -> None:
        """A lease that was out will not be finished by its holder: it is due again."""
        if self.out.pop(lease, None) is None:
            return
        if lease.kind is Kind.TRANSFER and lease.tranche in self.tranches:
            self.tranches[lease.tranche].due.appendleft(lease.item)
        elif lease.kind is Kind.WRITE:
            self.writing[lease.item] = 0

    def finish(self, done: Done, worker: int) -> bool:
        """Count a finished lease. False where it was not out with this worker (counted before, or taken away)."""
        lease = done.id
        if self.out.get(lease) != worker:
            return False
        del self.out[lease]
        if lease.kind is Kind.TRANSFER:
            self._finish_transfer(lease, done.rows_read, done.bytes_read, done.bytes_moved)
        elif lease.kind is Kind.WRITE:
            self._finish_write(lease.item, done)
        return True

    def _finish_transfer(self, lease: LeaseId, rows: int, bytes_read: int, bytes_sent: int) -> None:
        self.totals.bytes_read += bytes_read
        self.totals.bytes_sent += bytes_sent
        self.mark_transferred(lease.tranche, lease.item, lease.attempt, rows)

    def mark_transferred(self, number: int, split: int, attempt: int, rows: int) -> None:
        """A split is done for a tranche. Also called while a lost ledger is rebuilt from what workers report."""
        tranche = self.tranches[number]
        if self.rows_of[split] < 0:
            self.rows_of[split] = rows
            self.totals.rows_read += rows
            self._splits_read += 1
        elif self.rows_of[split] != rows:
            raise Inconsistent(
                f"split {split} gave {self.rows_of[split]} rows when it was read first and {rows} when it was read "
                "again: the input changed while the job ran"
            )
        else:
            self.totals.splits_redone += 1
        if not tranche.done[split]:
            tranche.done[split] = 1
            tranche.remaining -= 1
        if attempt:
            self.counted[number, split] = attempt

    def _finish_write(self, group: int, done: Done) -> None:
        self.writing[group] = 0
        self.totals.rows_received += done.rows_moved
        self.totals.files += done.files
        self.totals.largest = max(self.totals.largest, done.largest)
        self.mark_written(group, done.rows_written, done.bytes_written)

    def mark_written(self, group: int, rows: int, size: int) -> None:
        """A group's files are there. Also called while a lost ledger is rebuilt."""
        if self.written[group]:
            return
        self.written[group] = 1
        self.unwritten -= 1
        self.totals.rows_written += rows
        self.totals.bytes_written += size
        tranche = self.tranches[self.tranche[group]]
        tranche.groups -= 1
        if tranche.groups == 0:
            self._close(tranche)

    # -- where things stand ------------------------------------------------------------------------------------------

    @property
    def splits_due(self) -> int:
        """Splits not yet done, over all tranches that still matter."""
        return sum(t.remaining for t in self.tranches.values())

    @property
    def splits_done(self) -> int:
        """Splits done for every group's current owner: what the barrier waits for."""
        worst = max((t.remaining for t in self.tranches.values()), default=0)
        return self.splits - worst

    @property
    def barrier_reached(self) -> bool:
        return all(t.remaining == 0 for t in self.tranches.values())

    @property
    def rows_known(self) -> bool:
        """Every split's rows have been reported (not so when a coordinator was rebuilt after a worker was lost)."""
        return self._splits_read == self.splits

    @property
    def groups_written(self) -> int:
        return self.groups - self.unwritten
