"""Which worker owns which of the unwritten groups, looked up both ways. Used by the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

UNOWNED = -1


@dataclass(slots=True)
class Owners:
    """Which worker owns which group."""

    of_group: list[int]
    """The owner of each group, of written ones too."""
    written: bytearray
    """A byte a group; the ledger sets it."""
    _groups: dict[int, list[int]] = field(default_factory=dict)  # worker -> its groups, some of them written by now

    def __post_init__(self) -> None:
        self.reindex()

    def reindex(self) -> None:
        """To be called after `of_group` was set from outside."""
        self._groups = {}
        for g, worker in enumerate(self.of_group):
            if not self.written[g]:
                self._groups.setdefault(worker, []).append(g)

    def unwritten_of(self, worker: int) -> list[int]:
        return [g for g in self._groups.get(worker, ()) if not self.written[g]]

    def count(self, worker: int) -> int:
        """How many groups a worker has; those written since it last got some still count."""
        return len(self._groups.get(worker, ()))

    def first(self, worker: int) -> Sequence[int]:
        """A worker's groups in the order in which it will write them, without the written ones at the beginning."""
        mine = self._groups.get(worker, [])
        while mine and self.written[mine[0]]:
            mine.pop(0)
        return mine

    def of_others(self, worker: int) -> list[int]:
        """A worker's groups, those that it will write last first."""
        return [g for owner, groups in self._groups.items() if owner != worker for g in reversed(groups)]

    @property
    def complete(self) -> bool:
        """Whether every unwritten group has an owner."""
        return all(self.written[g] for g in self._groups.get(UNOWNED, ()))

    def give(self, groups: Sequence[int], worker: int) -> None:
        """Give unwritten groups to a worker, or to nobody."""
        going = set(groups)
        for before in {self.of_group[g] for g in groups}:
            self._groups[before] = [g for g in self._groups.get(before, ()) if g not in going]
        for g in groups:
            self.of_group[g] = worker
        self._groups[worker] = sorted(going.union(self._groups.get(worker, ())))

    def lose(self, worker: int) -> list[int]:
        """The groups of a worker that is gone, written ones too: they are nobody's, because the next process in its
        slot does not have them. Returns those that are not written."""
        held = [g for g, owner in enumerate(self.of_group) if owner == worker]
        lost = [g for g in held if not self.written[g]]
        self.give(lost, UNOWNED)
        for g in held:
            self.of_group[g] = UNOWNED
        self._groups.pop(worker, None)
        return lost

    def assign(self, workers: list[int]) -> bool:
        """Give the unowned groups to workers, in runs, those with least to write first. True if there were any."""
        groups = self.unwritten_of(UNOWNED)
        if not groups or not workers:
            return False
        load = {w: self.count(w) for w in workers}
        target = -(-(sum(load.values()) + len(groups)) // len(workers))
        at = 0
        for worker in sorted(workers, key=lambda w: (load[w], w)):
            if at == len(groups):
                break
            taken = groups[at : at + max(0, target - load[worker])]
            at += len(taken)
            for g in taken:
                self.of_group[g] = worker
            self._groups[worker] = sorted([*self._groups.get(worker, ()), *taken])
        self._groups[UNOWNED] = groups[at:]
        return True
