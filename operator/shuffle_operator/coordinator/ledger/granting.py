"""The leases of a job's splits and groups: which are given out, to whom, and what their ends change.

    transfer   a split that is due for some tranches: sent by who has it at hand, else read, once for all of them
    write      a group whose barrier is reached

Part of the ledger (`ledger.py`). Memory: two bytes for each split of each live tranche and for each group, an entry for
each lease that is out.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from shuffle_operator.coordinator.ledger.facts import Facts
from shuffle_operator.coordinator.ledger.leases import PLAIN, Leases, TransferMode, parts_of
from shuffle_operator.coordinator.ledger.routing import Routing
from shuffle_operator.coordinator.ledger.tranches import DUE, NOBODY, NONE, OUT, Tranche
from shuffle_protocol.messages import Attempt, Done, Lease, LeaseId, LeaseKind, Transferred


@dataclass(slots=True)
class Granting:
    """Gives leases out, and takes them back."""

    facts: Facts
    routing: Routing
    attempt_floor: int = 0
    """The first attempt to give out; a coordinator that follows another begins where that one cannot have been."""
    leases: Leases = field(default_factory=Leases)
    _doubled: set[tuple[int, int]] = field(default_factory=set)  # (tranche, split) that is out more than once
    _transfers: dict[int, array[int]] = field(default_factory=dict)  # tranche -> how often each split was given out
    _writes: array[int] = field(init=False)  # group -> how often it was given out to be written

    def __post_init__(self) -> None:
        self._writes = array("H", [0]) * self.facts.groups

    @property
    def out(self) -> dict[LeaseId, int]:
        """lease -> worker."""
        return self.leases.out

    # -- transfers ---------------------------------------------------------------------------------------------------

    def transfer(self, worker: int, *, reads: bool = True, avoided: frozenset[int] = NONE) -> LeaseId | None:
        """The next split that is due, of the oldest tranche whose groups all have owners: one that this worker can send
        from what it has, else one to be read (if it `reads`). avoided: splits that it must not be given now."""
        for tranche in self.facts.tranches.values():
            if not tranche.remaining or tranche.number in self.facts.orphaned:
                continue
            lease = self._send(tranche, worker, avoided)
            if lease is None and reads:
                split = self.routing.next_waiting(tranche, avoided)
                lease = self._read(tranche, split, worker) if split is not None else None
            if lease is not None:
                return lease
        return None

    def _send(self, tranche: Tranche, worker: int, avoided: frozenset[int]) -> LeaseId | None:
        def ready(split: int) -> bool:
            reads_it = self.routing.sender(tranche.number, split) != worker and self.leases.is_reading(worker, split)
            return split not in avoided and not reads_it

        split = self.routing.next_held(tranche, worker, ready)
        if split is None:
            return None
        stored = self.routing.stored(tranche.number, split, worker)
        return self._give([tranche], split, worker, TransferMode(resend=stored is None, stored=stored))

    def _read(self, tranche: Tranche, split: int, worker: int) -> LeaseId:
        together = [tranche]
        for other in self.facts.tranches.values():
            free = other is not tranche and other.state[split] == DUE and other.number not in self.facts.orphaned
            if free and self.routing.sender(other.number, split) == NOBODY:
                together.append(other)
        return self._give(together, split, worker, PLAIN)

    def steal(self, worker: int, sender: int) -> LeaseId | None:
        """For an idle worker: read a split that waits for a slow sender."""
        for tranche in self.facts.tranches.values():
            if tranche.number in self.facts.orphaned:
                continue
            split = self.routing.last_held(tranche, sender)
            if split is not None:
                return self._give([tranche], split, worker, PLAIN)
        return None

    def speculate(self, worker: int, lease: LeaseId) -> LeaseId | None:
        """A second attempt at a transfer that is out with somebody else. The first of the two to finish counts."""
        tranches = self.facts.tranches
        numbers = [part.tranche for part in self.leases.parts(lease)]
        if self.out.get(lease) in (None, worker) or any((n, lease.item) in self._doubled for n in numbers):
            return None
        together = [tranches[n] for n in numbers if n in tranches and tranches[n].state[lease.item] == OUT]
        if not together:
            return None
        self._doubled.update((tranche.number, lease.item) for tranche in together)
        return self._give(together, lease.item, worker, PLAIN)

    def _give(self, together: list[Tranche], split: int, worker: int, mode: TransferMode) -> LeaseId:
        for tranche in together:
            tranche.state[split] = OUT
        first, *others = together
        piggybacked = tuple(Attempt(t.number, split, self._next_transfer(t, split)) for t in others)
        lease = LeaseId(LeaseKind.TRANSFER, first.number, split, self._next_transfer(first, split))
        return self.leases.grant(lease, worker, TransferMode(piggybacked, mode.resend, mode.stored))

    def _next_transfer(self, tranche: Tranche, split: int) -> int:
        given = self._transfers.get(tranche.number)
        if given is None:
            given = self._transfers[tranche.number] = array("H", [0]) * self.facts.splits
        return self._next_attempt(given, split)

    def _next_attempt(self, given: array[int], item: int) -> int:
        given[item] += 1
        return self.attempt_floor + given[item] - 1

    # -- writes ------------------------------------------------------------------------------------------------------

    def write(self, worker: int, *, avoided: frozenset[int] = NONE) -> LeaseId | None:
        """A group of this worker's whose barrier is reached; of anybody's where shards are shared. avoided: groups that
        it must not be given now; those behind one wait too."""
        facts = self.facts
        found = next(filter(facts.ready, facts.owners.first(worker)), None)
        if found is None and facts.shared and facts.writing.count(1) < facts.unwritten:
            found = next(filter(facts.ready, facts.owners.of_others(worker)), None)
        if found is None or found in avoided:
            return None
        facts.writing[found] = 1
        return self.leases.grant(LeaseId(LeaseKind.WRITE, 0, found, self._next_attempt(self._writes, found)), worker)

    # -- what a holder is told ---------------------------------------------------------------------------------------

    def order(self, lease: LeaseId) -> Lease:
        """The lease, with everything that its holder needs to know."""
        facts = self.facts
        if lease.kind is LeaseKind.TRANSFER:
            mode = self.leases.mode(lease)
            return Lease(lease, piggybacked=list(mode.piggybacked), resend=mode.resend, stored=mode.stored)
        if lease.kind is LeaseKind.WRITE:
            tranche = facts.tranches.get(facts.tranche[lease.item])
            return Lease(lease, counted=tranche.exceptions() if tranche is not None else [])
        if lease.kind is LeaseKind.COMMIT:
            return Lease(lease, rows=facts.totals.rows_read if facts.rows_known and facts.keeps_rows else -1)
        return Lease(lease)

    # -- how leases end ----------------------------------------------------------------------------------------------

    def give_back(self, lease: LeaseId) -> None:
        """A lease that was out will not be finished by its holder: it is due again."""
        mode = self.leases.end(lease)
        if mode is None:
            return
        if lease.kind is LeaseKind.WRITE:
            self.facts.writing[lease.item] = 0
        elif lease.kind is LeaseKind.TRANSFER:
            for part in parts_of(lease, mode):
                self._put_back(part.tranche, lease.item)

    def _put_back(self, number: int, split: int) -> None:
        tranche = self.facts.tranches.get(number)
        if tranche is None or tranche.state[split] != OUT:
            return
        if (number, split) in self._doubled:
            self._doubled.discard((number, split))
            return  # the other of the two goes on
        tranche.state[split] = DUE
        self.routing.route(number, split, first=True)

    def not_at_hand(self, lease: LeaseId) -> None:
        """The holder of a lease does not, or no longer, have what it was to send: let a worker read it."""
        mode = self.leases.mode(lease)
        if mode.resend:
            self.routing.forget_keeper(lease.item)
        elif mode.stored:
            self.routing.forget_stored(lease.tranche, lease.item)
        self.give_back(lease)

    def finish(self, done: Done, worker: int) -> bool:
        """A transfer or a write was finished. False where it was not out with this worker (counted before, or taken
        away)."""
        lease = done.id
        if self.out.get(lease) != worker:
            return False
        if lease.kind is LeaseKind.TRANSFER:
            self._finish_transfer(lease, done, worker)
        else:
            self.leases.end(lease)
            self.facts.writing[lease.item] = 0
        return True

    def _finish_transfer(self, lease: LeaseId, done: Done, worker: int) -> None:
        facts, split, parts, mode = self.facts, lease.item, self.leases.parts(lease), self.leases.mode(lease)
        self.leases.end(lease)
        facts.totals.transferred(done, again=facts.rows_of.seen(split) or not mode.reads, resent=not mode.reads)
        for part in parts:
            facts.mark_transferred(
                Transferred(part.tranche, split, part.attempt, done.rows_read, done.tally, done.covers)
            )
        if done.kept:
            self.routing.keep(split, worker)
        elif mode.reads:
            self.routing.not_kept(split)
        self._end_losers(split)

    def _end_losers(self, split: int) -> None:
        """Supersede attempts at what is done by now."""
        if not (doubled := [key for key in self._doubled if key[1] == split]):
            return
        tranches = self.facts.tranches
        for key in doubled:
            if key[0] not in tranches or tranches[key[0]].state[split] != OUT:
                self._doubled.discard(key)
        for lease in [x for x in self.out if x.kind is LeaseKind.TRANSFER and x.item == split]:
            numbers = [part.tranche for part in self.leases.parts(lease)]
            if not any(n in tranches and tranches[n].state[split] == OUT for n in numbers):
                self.leases.end(lease)

    def supersede_write(self, group: int) -> None:
        """Somebody else has written a group: the lease to write it counts no more."""
        for lease in [x for x in self.out if x.kind is LeaseKind.WRITE and x.item == group]:
            self.give_back(lease)

    def close(self, tranche: int) -> None:
        """Nobody needs a tranche any more: its leases are superseded, and what they carried along is due again."""
        self._transfers.pop(tranche, None)
        self.routing.close(tranche)
        for lease in [x for x in self.out if x.kind is LeaseKind.TRANSFER and x.tranche == tranche]:
            self.give_back(lease)
