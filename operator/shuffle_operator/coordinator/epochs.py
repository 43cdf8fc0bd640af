"""The epoch of a job: when it rises, and which views workers are sent.

It rises when a worker is lost or groups change hands: then no worker gets work before it knows that. It also rises when
workers are new, which the others need not know to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.views import Views
from shuffle_protocol.messages import View


@dataclass(slots=True)
class Epochs:
    """The job's epochs: which one it is at, and which one each worker must know."""

    number: int
    """The epoch now."""
    due: int = 0
    """The epoch that a worker must know of before it is given work."""
    joining: set[int] = field(default_factory=set)
    """Workers that are in no view yet."""
    _admitted: float = float("-inf")
    _views: Views = field(default_factory=Views)

    def changed(self) -> None:
        """Ownership changed, or who is there."""
        self.number += 1
        self.due = self.number
        self.joining.clear()

    def rename(self) -> None:
        """The next process in a slot gets another name: it carries the epoch."""
        self.number += 1

    def join(self, live: Live) -> None:
        live.joined = self.number + 1
        self.joining.add(live.worker)

    def left(self, worker: int) -> None:
        self.joining.discard(worker)

    def admit(self, now: float, gathering: float) -> frozenset[int]:
        """Announce new workers to the others; returns the new ones. Every worker gets the announcement, so those that
        come within `gathering` seconds of each other are announced together."""
        if not self.joining or now - self._admitted < gathering:
            return frozenset()
        new = frozenset(self.joining)
        self.number += 1
        self._admitted = now
        self.joining.clear()
        return new

    def knows(self, live: Live) -> bool:
        """It has the view that its work refers to, and is in it; a worker with an older view will ask for this one."""
        return max(self.due, live.joined) <= live.epoch <= self.number

    def view_since(self, base: int, plan: str, members: Mapping[int, Live], ledger: Ledger) -> View:
        """The view for a worker that has the one of epoch `base`."""
        if self._views.epoch != self.number:
            there = {worker: live.member for worker, live in members.items()}
            self._views.publish(plan, self.number, there, ledger)
        return self._views.since(base)
