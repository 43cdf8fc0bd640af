"""What a worker knows of the other workers by its newest view, and a way to wait for a newer one."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt

from shuffle_protocol.messages import Member, View
from shuffle_protocol.runs import runs_of


class Membership:
    """The view of one worker. The agent updates it, inbox and outbox read it, all on the event loop.

    epoch: the view's epoch, -1 before the first. stale: set when a peer reports that our view is old; then the agent
    asks the coordinator at once.
    """

    def __init__(self, me: int, incarnation: str) -> None:
        self.me = me
        self.incarnation = incarnation
        self.epoch = -1
        self.stale = asyncio.Event()
        self._plan = ""
        self._migrating: list[tuple[int, int]] = []
        self._members: dict[int, Member] = {}
        self._owner: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._tranche: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._changed = asyncio.Event()

    def update(self, view: View) -> frozenset[int] | None:
        """Take a newer view. Returns the tranches that gained groups.

        Returns None, and ignores the view, if it is older than ours or changes a base that is not ours. One coordinator
        only takes groups out of tranches. But one that was rebuilt from views older than ours may bring a tranche back
        as it was before it shrank."""
        if view.epoch <= self.epoch or view.base not in (-1, self.epoch):
            return None
        if view.base == -1:
            members: dict[int, Member] = {}
            owner, tranche = np.full(view.groups, -1, np.int32), np.full(view.groups, -1, np.int32)
        else:
            members, owner, tranche = self._members, self._owner.copy(), self._tranche.copy()
            for worker in view.gone:
                members.pop(worker, None)
        members.update((member.worker, member) for member in view.members)
        for run in view.runs:
            owner[run.first : run.first + run.count] = run.owner
            tranche[run.first : run.first + run.count] = run.tranche
        moved = tranche[tranche != self._tranche] if self.epoch >= 0 else tranche[:0]
        self.epoch, self._plan, self._migrating = view.epoch, view.plan, view.migrating
        self._members, self._owner, self._tranche = members, owner, tranche
        self._changed.set()
        self._changed = asyncio.Event()
        return frozenset(np.unique(moved).tolist())

    @property
    def view(self) -> View | None:
        """The whole view, for a new coordinator; None before the first."""
        if self.epoch < 0:
            return None
        owner, tranche = self._owner.tolist(), self._tranche.tolist()
        runs = runs_of(range(self.groups), owner, tranche)
        members = [member for _, member in sorted(self._members.items())]
        return View(self._plan, self.epoch, self.groups, members, runs, self._migrating)

    async def newer(self, than: int, patience: float) -> bool:
        """Wait until the epoch is above `than`, at most `patience` seconds. Returns whether it is."""
        if self.epoch > than:
            return True
        try:
            await asyncio.wait_for(self._changed.wait(), patience)
        except TimeoutError:
            return False
        return self.epoch > than

    def member(self, worker: int) -> Member | None:
        return self._members.get(worker)

    def is_member(self, worker: int, incarnation: str) -> bool:
        member = self._members.get(worker)
        return member is not None and member.incarnation == incarnation

    def owner_of(self, group: int) -> int:
        return int(self._owner[group])

    def tranche_of(self, group: int) -> int:
        return int(self._tranche[group])

    def owned(self) -> list[int]:
        """The groups of this worker."""
        return [int(g) for g in np.flatnonzero(self._owner == self.me)]

    @property
    def groups(self) -> int:
        """How many there are."""
        return len(self._owner)

    def handed(self) -> list[int]:
        """The groups that this worker is handing over."""
        tranches = [tranche for tranche, worker in self._migrating if worker == self.me]
        return [int(g) for g in np.flatnonzero(np.isin(self._tranche, tranches))]

    def wanted(self, tranche: int) -> frozenset[int] | None:
        """The groups of a tranche now; None where it has all of them."""
        mine = np.flatnonzero(self._tranche == tranche)
        return None if len(mine) == len(self._tranche) else frozenset(mine.tolist())
