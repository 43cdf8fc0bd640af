"""What a worker knows of the others: the newest view, and a way to wait for a newer one."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt

from shuffle_worker.protocol.messages import Member, View


class Membership:
    """The view of one worker. Updated by the agent, read by inbox and outbox, all on the event loop.

    stale: set when somebody told us that our view is old; the agent then asks the coordinator at once.
    """

    def __init__(self, me: int, incarnation: str) -> None:
        self.me = me
        self.incarnation = incarnation
        self.view: View | None = None
        self.stale = asyncio.Event()
        self._members: dict[int, Member] = {}
        self._owner: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._tranche: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._changed = asyncio.Event()

    @property
    def epoch(self) -> int:
        return self.view.epoch if self.view is not None else -1

    def update(self, view: View) -> frozenset[int] | None:
        """Take a newer view; an older one is ignored, and None is the answer.

        Returns the tranches that gained groups. Within the views of one coordinator tranches only lose groups; but one
        that was rebuilt from older views than ours may bring back a tranche as it was before we saw it shrink."""
        if view.epoch <= self.epoch:
            return None
        tranche = np.array(view.tranche, np.int32)
        moved = tranche[tranche != self._tranche] if self.view is not None else tranche[:0]
        gained = frozenset(np.unique(moved).tolist())
        self.view = view
        self._members = {m.worker: m for m in view.members}
        self._owner = np.array(view.owner, np.int32)
        self._tranche = tranche
        self._changed.set()
        self._changed = asyncio.Event()
        return gained

    async def newer(self, than: int, patience: float) -> bool:
        """Wait until the epoch is above `than`, at most `patience` seconds. True if it is."""
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
        """The groups that are mine."""
        return [int(g) for g in np.flatnonzero(self._owner == self.me)]

    @property
    def groups(self) -> int:
        """How many there are."""
        return len(self._owner)

    def handed(self) -> list[int]:
        """The groups that I hand over to others just now."""
        assert self.view is not None
        tranches = [tranche for tranche, worker in self.view.handing if worker == self.me]
        return [int(g) for g in np.flatnonzero(np.isin(self._tranche, tranches))]

    def wanted(self, tranche: int) -> frozenset[int] | None:
        """The groups that a tranche is for now; None where it is for all of them."""
        mine = np.flatnonzero(self._tranche == tranche)
        return None if len(mine) == len(self._tranche) else frozenset(mine.tolist())
