"""Which work a worker is given when it asks for some. Used by the machine alone."""

from __future__ import annotations

from dataclasses import dataclass

from shuffle_operator.coordinator.core import Core
from shuffle_operator.coordinator.ledger import Ledger
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.migration import Migration
from shuffle_operator.coordinator.tranches import NONE
from shuffle_protocol.messages import LeaseId, LeaseKind, Phase


@dataclass(slots=True)
class Grants:
    """Looks for work that is due; where there is none, for work to take off other workers."""

    core: Core
    migration: Migration

    def grant(self, live: Live, now: float) -> LeaseId | None:
        if self.core.failing:
            return self.core.job_leases.grant(LeaseKind.ABORT, live.worker) if self.core.quiet() else None
        ledger = self.core.ledger
        if ledger is None or self.core.recovering:
            planning = self.core.recovering or (self.core.phase is Phase.PLANNING and not self.core.recovery.awaited)
            lease = self.core.job_leases.grant(LeaseKind.PLAN, live.worker) if planning and not live.leaving else None
            if lease is not None or ledger is None:
                return lease
        if self.core.phase is Phase.COMMITTING:
            return None if live.leaving else self.core.job_leases.grant(LeaseKind.COMMIT, live.worker)
        if not self.core.epochs.knows(live):
            return None  # first the view, then work in terms of it
        if self.core.crashes.times:
            return self._grant_with_care(ledger, live, now)
        if live.leaving:
            return ledger.grant_transfer(live.worker, reads=False)
        return ledger.grant_write(live.worker) or ledger.grant_transfer(live.worker) or self._help(live, now)

    def _grant_with_care(self, ledger: Ledger, live: Live, now: float) -> LeaseId | None:
        """A suspect, to be read, sent or written, is granted alone (see `crashes.py`): to a worker that has no other
        lease, and gets none beside it."""
        worker, crashes = live.worker, self.core.crashes
        mine = self.core.leases_of(worker)
        if any(crashes.suspect(lease) for lease in mine):
            return None
        splits, groups = (
            (crashes.suspected(LeaseKind.TRANSFER), crashes.suspected(LeaseKind.WRITE)) if mine else (NONE, NONE)
        )
        if live.leaving:
            return ledger.grant_transfer(worker, reads=False, avoided=splits)
        lease = ledger.grant_write(worker, avoided=groups) or ledger.grant_transfer(worker, avoided=splits)
        return lease or (None if mine else self._help(live, now))

    def _help(self, live: Live, now: float) -> LeaseId | None:
        """Nothing is due for this worker: what it can take off others (see `stragglers.py`)."""
        ledger = self.core.ledger
        assert ledger is not None
        sender = self.core.stragglers.to_steal(ledger, live.worker, now)
        lease = ledger.steal(live.worker, sender) if sender is not None else None
        if lease is None:
            late = self.core.stragglers.to_speculate(ledger, live.worker, now)
            if late is not None and not self.core.crashes.suspect(late):  # one worker at a time is risked for a suspect
                lease = ledger.grant_speculative(live.worker, late)
        movable = self.core.phase is Phase.WRITING and live.able and not ledger.shared
        if lease is None and movable and self.core.barrier_at is not None:
            since = self.core.barrier_at + self.core.waits.between(self.core.barrier_at, None)
            groups = self.core.stragglers.to_rebalance(ledger, since, self.core.members, live.worker, now)
            if groups:
                self.migration.move(groups, ledger.owner[groups[0]], [live.worker])
        return lease
