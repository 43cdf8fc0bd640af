"""The leases that are out: which worker has which, and what a transfer does besides reading one split for one tranche.

Used by the ledger, which knows what the end of a lease means.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_protocol.messages import Attempt, LeaseId, LeaseKind


@dataclass(frozen=True, slots=True)
class TransferMode:
    """What a transfer lease does besides reading one split for one tranche."""

    piggybacked: tuple[Attempt, ...] = ()
    """The same split for other tranches."""
    resend: bool = False
    """What the holder kept is sent."""
    stored: Attempt | None = None
    """What it has stored is sent, of this attempt."""

    @property
    def reads(self) -> bool:
        return not self.resend and self.stored is None


PLAIN = TransferMode()


@dataclass(slots=True)
class Leases:
    """The leases that are out, and who has them."""

    out: dict[LeaseId, int] = field(default_factory=dict)
    """Lease -> worker."""
    _with: dict[int, dict[LeaseId, None]] = field(default_factory=dict)  # worker -> its leases
    _modes: dict[LeaseId, TransferMode] = field(default_factory=dict)  # of those that are not plain

    def grant(self, lease: LeaseId, worker: int, mode: TransferMode = PLAIN) -> LeaseId:
        self.out[lease] = worker
        self._with.setdefault(worker, {})[lease] = None
        if mode != PLAIN:
            self._modes[lease] = mode
        return lease

    def end(self, lease: LeaseId) -> TransferMode | None:
        """A lease has ended, in whatever way. Returns what it was; None where it was not out."""
        holder = self.out.pop(lease, None)
        if holder is None:
            return None
        self._with[holder].pop(lease, None)
        return self._modes.pop(lease, PLAIN)

    def of(self, worker: int) -> list[LeaseId]:
        """The leases of a worker, in the order in which they were granted."""
        return list(self._with.get(worker, ()))

    def revoke_all(self) -> None:
        """No lease counts any more."""
        self.out.clear()
        self._with.clear()
        self._modes.clear()

    def mode(self, lease: LeaseId) -> TransferMode:
        return self._modes.get(lease, PLAIN)

    def parts(self, lease: LeaseId) -> list[Attempt]:
        """The attempts that a transfer lease is: its own, and those it carries along."""
        return parts_of(lease, self.mode(lease))

    def reading(self) -> dict[int, int]:
        """split -> the worker that reads it."""
        return {
            lease.item: worker
            for lease, worker in self.out.items()
            if lease.kind is LeaseKind.TRANSFER and self.mode(lease).reads
        }

    def is_reading(self, worker: int, split: int) -> bool:
        mine = self._with.get(worker, ())
        return any(x.item == split and x.kind is LeaseKind.TRANSFER and self.mode(x).reads for x in mine)


def parts_of(lease: LeaseId, mode: TransferMode) -> list[Attempt]:
    """The attempts that a transfer lease is: its own, and those it carries along."""
    return [Attempt(lease.tranche, lease.item, lease.attempt), *mode.piggybacked]
