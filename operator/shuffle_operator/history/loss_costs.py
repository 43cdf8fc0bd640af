"""What each lost worker cost: what it had in hand, and what others did again in its place.

The groups that it had not written become a new tranche (see `coordinator/ledger`); what is read or sent for that
tranche is what the loss costs.

Memory: `LOSSES` losses that are told, and a few numbers for each tranche of those that are not repaired yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.coordinator.ledger.facts import Facts
from shuffle_operator.history.bounded import FirstAndNewest
from shuffle_operator.history.figures import LOSSES, LossHistory, LostWorker
from shuffle_operator.history.redact import said
from shuffle_operator.history.workers import risen
from shuffle_protocol.messages import Done

MOST_OPEN = 1000
"""Tranches that are followed at a time; the work of further ones is counted for no loss."""


@dataclass(slots=True)
class LossRecord:
    """One loss, and what it has cost so far; its fields are those of `LostWorker`."""

    at: float
    worker: int
    why: str
    fault: bool
    leases: int
    seconds_lost: float
    groups: int = 0
    tranches: set[int] = field(default_factory=set)
    splits_read: int = 0
    splits_resent: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0
    repaired_after: float | None = None

    def told(self) -> LostWorker:
        return LostWorker(
            at=round(self.at, 2),
            worker=self.worker,
            why=said(self.why)[:1000],
            fault=self.fault,
            groups=self.groups,
            leases=self.leases,
            seconds_lost=round(self.seconds_lost, 2),
            splits_read=self.splits_read,
            splits_resent=self.splits_resent,
            bytes_read=self.bytes_read,
            bytes_sent=self.bytes_sent,
            repaired_after=None if self.repaired_after is None else round(self.repaired_after, 2),
        )


@dataclass(slots=True)
class LossCosts:
    """The losses of a job."""

    losses: FirstAndNewest[LossRecord] = field(default_factory=lambda: FirstAndNewest(LOSSES))
    seconds_lost: float = 0.0
    """Of all of them."""
    seconds_again: float = 0.0
    """That leases took which did again what was done."""
    _of: dict[int, LossRecord] = field(default_factory=dict)  # by tranche
    _groups: dict[int, int] = field(default_factory=dict)  # of each of these, when it was opened

    def lost(self, loss: LossRecord, tranches: dict[int, int]) -> None:
        """A worker was lost. tranches: those that became of its groups, and how many groups each has."""
        self.losses.add(loss)
        self.seconds_lost += loss.seconds_lost
        loss.groups = sum(tranches.values())
        self._open(loss, tranches)

    def moved(self, facts: Facts, tranches: dict[int, int]) -> None:
        """Groups changed hands for another reason than a loss: those of a tranche that is repaired may be among them,
        and their repair goes on in the new tranches."""
        for number, loss in list(self._of.items()):
            tranche = facts.tranches.get(number)
            if tranche is None or tranche.groups < self._groups[number]:
                self._open(loss, tranches)

    def _open(self, loss: LossRecord, tranches: dict[int, int]) -> None:
        for number, groups in tranches.items():
            if len(self._of) < MOST_OPEN and number not in self._of:
                self._of[number], self._groups[number] = loss, groups
                loss.tranches.add(number)

    def transferred(self, done: Done, *, reads: bool, again: bool) -> None:
        """A transfer was finished and counted."""
        if not again:
            return
        self.seconds_again += risen(0.0, done.seconds)
        loss = self._of.get(done.id.tranche)
        if loss is None:
            return
        loss.splits_read += reads
        loss.splits_resent += not reads
        loss.bytes_read += done.bytes_read
        loss.bytes_sent += done.bytes_moved

    def follow(self, facts: Facts, now: float) -> None:
        """Which of them are repaired by now."""
        for number, loss in list(self._of.items()):
            tranche = facts.tranches.get(number)
            if tranche is None or not tranche.remaining:
                del self._of[number], self._groups[number]
                loss.tranches.discard(number)
                if not loss.tranches:
                    loss.repaired_after = now - loss.at

    def told(self, failures: int, disruptions: int) -> LossHistory:
        return LossHistory([loss.told() for loss in self.losses], self.losses.left_out, failures, disruptions)
