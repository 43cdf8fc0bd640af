"""What is known of a job's work: which splits are done for which groups, which groups are written, who owns them, and
what all of it adds up to. Bookkeeping only: nothing here knows of leases.

Part of the ledger (`ledger.py`). Memory: a byte for each split of each live tranche, a few words for each split and
each group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shuffle_operator.coordinator.ledger.balance import Balance
from shuffle_operator.coordinator.ledger.owners import UNOWNED, Owners
from shuffle_operator.coordinator.ledger.totals import SplitRows, Totals
from shuffle_operator.coordinator.ledger.tranches import Tranche
from shuffle_protocol.messages import Transferred, WrittenGroup

NO_TRANCHE = -1
"""The tranche of a group that was written before there was a ledger."""


@dataclass(slots=True)
class Facts:
    """What is due, done, owned and written."""

    splits: int
    groups: int
    """`splits`, `groups`: how many there are."""
    next_tranche: int = 0
    """The first number to give out; a coordinator that follows another begins where that one cannot have been, so that
    no number is used twice."""
    shared: bool = False
    """Shards are in a store that every worker reaches (`method: ObjectStore`): nothing is lost with a worker but its
    leases, and a group's owner is only the first to be asked to write it."""
    keeps_rows: bool = True
    """Every row read is written, so that the counts must agree; a join's or an aggregation's do not."""
    leaves_out: bool = False
    """Fewer may be written, because the output has a filter; how many, the commit knows."""
    split_wave: Sequence[int] = ()
    group_wave: Sequence[int] = ()
    """`split_wave`, `group_wave`: as in `PlanSummary`; empty for one wave."""
    tranche: list[int] = field(default_factory=list)
    """Of each group."""
    tranches: dict[int, Tranche] = field(default_factory=dict)
    """Those that hold groups that are not written, the oldest first."""
    owners: Owners = field(init=False)
    totals: Totals = field(default_factory=Totals)
    rows_of: SplitRows = field(init=False)
    balance: Balance = field(init=False)
    written: bytearray = field(init=False)
    """A byte a group."""
    written_bits: bytearray = field(init=False)
    """The same, a bit each, as workers get them."""
    writing: bytearray = field(init=False)
    """A byte a group: it is out to be written."""
    unwritten: int = field(init=False)
    """How many groups are not written."""
    orphaned: set[int] = field(default_factory=set)
    """Tranches with unowned groups: nothing can be brought to them yet."""

    def __post_init__(self) -> None:
        self.rows_of = SplitRows.of(self.splits)
        self.balance = Balance(self.splits, self.groups, self.split_wave, self.group_wave)
        self.written = bytearray(self.groups)
        self.written_bits = bytearray(-(-self.groups // 8))
        self.writing = bytearray(self.groups)
        self.unwritten = self.groups
        self.owners = Owners([UNOWNED] * self.groups, self.written)
        waves = self.group_wave or [0] * self.groups
        first = {wave: self.open(waves.count(wave), wave).number for wave in sorted(set(waves))}
        self.tranche = [first[wave] for wave in waves]
        self.note_orphans()

    # -- tranches ----------------------------------------------------------------------------------------------------

    def wave_of(self, group: int) -> int:
        return self.group_wave[group] if self.group_wave else 0

    def open(self, groups: int, wave: int) -> Tranche:
        """A new tranche, for which every split of its wave is due."""
        new = Tranche.due_for(self.next_tranche, groups, self.splits, self.split_wave, wave)
        self.tranches[new.number] = new
        self.next_tranche += 1
        return new

    def move(self, groups: Sequence[int], to: Tranche) -> list[int]:
        """Move groups to a tranche. Returns the tranches that are empty now, and closed."""
        emptied = []
        for group in groups:
            before, self.tranche[group] = self.tranche[group], to.number
            emptied += self._leave(before)
        return emptied

    def _leave(self, number: int) -> list[int]:
        tranche = self.tranches.get(number)
        if tranche is None:
            return []
        tranche.groups -= 1
        if tranche.groups:
            return []
        del self.tranches[number]
        return [number]

    def untouched(self) -> set[int]:
        """Tranches for which nothing was given out or done yet."""
        return {t.number for t in self.tranches.values() if t.untouched(self.split_wave)}

    # -- ownership ---------------------------------------------------------------------------------------------------

    @property
    def owner(self) -> list[int]:
        """Of each group."""
        return self.owners.of_group

    def unowned(self) -> list[int]:
        """Groups that are to be written, and that nobody owns."""
        return self.owners.unwritten_of(UNOWNED)

    def assign(self, workers: list[int]) -> bool:
        """Give the unowned groups to workers. True if there were any."""
        changed = self.owners.assign(workers)
        if changed:
            self.note_orphans()
        return changed

    def give(self, groups: Sequence[int], worker: int) -> None:
        """Give groups to a worker, or to nobody."""
        self.owners.give(groups, worker)
        self.note_orphans()

    def waiting_of(self, worker: int) -> list[int]:
        """A worker's groups that nobody has begun to write."""
        return [group for group in self.owners.unwritten_of(worker) if not self.writing[group]]

    def reindex(self) -> None:
        """To be called after `owner` was set as a whole, by a coordinator that takes a job over."""
        self.owners.reindex()
        self.note_orphans()

    def note_orphans(self) -> None:
        self.orphaned = set() if self.shared else {self.tranche[g] for g in self.unowned()}

    # -- what is done ------------------------------------------------------------------------------------------------

    def mark_transferred(self, found: Transferred) -> None:
        """A split is done for a tranche. Raises Inconsistent where it gave other rows before."""
        self.totals.rows_read += self.rows_of.note(found.split, found.rows)
        self.balance.note_sent(found)
        tranche = self.tranches.get(found.tranche)
        if tranche is not None:
            tranche.finish(found.split, found.attempt)

    def mark_written(self, found: WrittenGroup) -> list[int]:
        """A group's files are there. Returns the tranches that are empty now, and closed. Where nobody owned it,
        `note_orphans` is to follow."""
        group = found.group
        if self.written[group]:
            return []
        self.written[group] = 1
        self.written_bits[group >> 3] |= 1 << (group & 7)
        self.unwritten -= 1
        self.totals.rows_written += found.rows
        self.totals.bytes_written += found.bytes
        self.balance.note_received(group, found.received)
        return self._leave(self.tranche[group])

    def agree(self, rows: int, written: int) -> bool:
        """Whether so many rows may have become so many in files."""
        if not self.keeps_rows:
            return True
        return written <= rows if self.leaves_out else written == rows

    def ready(self, group: int) -> bool:
        """Whether a group is to be written and nobody writes it yet. `remaining` is 0 from the barrier on."""
        if self.written[group] or self.writing[group]:
            return False
        return self.tranches[self.tranche[group]].remaining == 0

    # -- where things stand ------------------------------------------------------------------------------------------

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
    def rows_known(self) -> bool:
        """Whether every split's rows have been reported. They have not if a coordinator was rebuilt after a worker was
        lost."""
        return self.rows_of.known == self.splits

    @property
    def groups_written(self) -> int:
        return self.groups - self.unwritten
