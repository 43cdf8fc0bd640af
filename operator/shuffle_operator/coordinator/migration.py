"""Groups that change hands while their owners are there: to a newcomer, or from a worker that leaves, is full or is
slow.

Used by the machine and by the grants.
"""

from __future__ import annotations

from dataclasses import dataclass

from shuffle_operator.coordinator.core import Core
from shuffle_operator.coordinator.events import Note, StopWorker, Wake
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.members import Live
from shuffle_protocol.messages import Sync


@dataclass(slots=True)
class Migration:
    """Changes who owns what, and dismisses workers that own nothing any more."""

    core: Core

    def place_newcomer(self, worker: int, now: float) -> None:
        if self.core.ledger is None or self.core.failing:
            return
        if self.core.barrier_at is None and self.core.planned_at is not None and not self.core.settled(now):
            return
        able = self.core.able()
        if self.core.ledger.assign(able) or self.core.ledger.share(worker, able):
            self.core.epochs.changed()
            self.core.actions.append(Wake(None))

    def unload(self, draining: list[int], now: float) -> None:
        """Move unwritten groups away from workers that are leaving or full, where others can take them."""
        ledger = self.core.ledger
        if ledger is None or self.core.failing:
            return
        self._unless_all_full(now)
        for worker in draining:
            live = self.core.members[worker]
            if live.able:
                continue
            going = [g for g in ledger.owners.unwritten_of(live.worker) if not ledger.writing[g]]
            if going and (able := self.core.able()):
                self.move(going, live.worker, able)
                why = live.full or "it is to leave"
                self.core.actions.append(
                    Note("GroupsMoved", f"worker {live.worker} hands over {len(going)} groups: {why}", bool(live.full))
                )
            elif going and live.full and not self.core.starting and len(self.core.members) >= self.core.job.workers:
                self.core.fail(Cause("OutOfDisk", live.full, live.worker), now)

    def _unless_all_full(self, now: float) -> None:
        """Whether groups lost their owner and no worker that stays has room for them."""
        ledger, members = self.core.ledger, self.core.members.values()
        if not self.core.draining or self.core.starting or ledger is None or not ledger.unowned():
            return
        staying = [live for live in members if not live.leaving]
        if staying and len(staying) >= self.core.job.workers and all(live.full for live in staying):
            self.core.fail(Cause("OutOfDisk", staying[0].full, staying[0].worker), now)

    def move(self, groups: list[int], worker: int, to: list[int]) -> None:
        """Groups change their owner; the old one sends what it has stored for them."""
        assert self.core.ledger is not None
        self.core.setback.cause = f"worker {worker} handed over what it had not written"
        if self.core.ledger.hand_over(groups, worker):
            self.core.ledger.assign(to)
            self.core.epochs.changed()
            self.core.actions.append(Wake(None))

    def give_back_unstarted(self, live: Live, message: Sync) -> None:
        """A worker that is leaving starts nothing more: leases that it does not hold yet go to others."""
        if self.core.ledger is not None:
            there = {*message.holding, *(d.id for d in message.done), *(f.id for f in message.failed)}
            for lease in self.core.leases_of(live.worker):
                if lease not in there:
                    self.core.ledger.give_back(lease)

    def release(self, live: Live, now: float, *, holds: bool) -> None:
        """Dismiss a worker of which nothing is needed any more."""
        ledger, worker = self.core.ledger, live.worker
        if holds or (ledger is not None and (ledger.owners.unwritten_of(worker) or ledger.hands_over(worker))):
            return
        live.released = True
        if live.surplus:
            self.core.lose(live, now, "fewer workers are wanted", counted=False)
            self.core.dismissed.add(live.incarnation)
            self.core.actions.append(StopWorker(live.worker, now=False))
