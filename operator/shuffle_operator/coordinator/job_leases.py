"""Leases of which there is one at a time in a job: to plan, to commit, to remove what was written.

All others are the ledger's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_protocol.messages import LeaseId, LeaseKind


@dataclass(slots=True)
class JobLeases:
    """The leases of a whole job: plan, survey, commit, abort."""

    out: dict[LeaseId, int] = field(default_factory=dict)
    """Lease -> worker."""
    _attempts: dict[LeaseKind, int] = field(default_factory=dict)

    def grant(self, kind: LeaseKind, worker: int) -> LeaseId | None:
        """None where a lease of this kind is out already."""
        if any(lease.kind is kind for lease in self.out):
            return None
        attempt = self._attempts[kind] = self._attempts.get(kind, -1) + 1
        lease = LeaseId(kind, 0, 0, attempt)
        self.out[lease] = worker
        return lease

    def granted(self, kind: LeaseKind) -> bool:
        """Whether there ever was one."""
        return kind in self._attempts

    def of(self, worker: int) -> list[LeaseId]:
        return [lease for lease, holder in self.out.items() if holder == worker]

    def end(self, lease: LeaseId, worker: int) -> bool:
        """False where this worker did not have it."""
        if self.out.get(lease) != worker:
            return False
        del self.out[lease]
        return True

    def lose(self, worker: int) -> None:
        for lease in self.of(worker):
            del self.out[lease]

    def revoke_all(self) -> None:
        """Forget them all: none counts any more."""
        self.out.clear()
