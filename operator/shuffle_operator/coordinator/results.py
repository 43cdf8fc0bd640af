"""What became of leases: those that a worker finished, and those that it could not. Used by the machine alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.coordinator.core import Core
from shuffle_operator.coordinator.events import Note, Wake
from shuffle_operator.coordinator.ledger import Inconsistent
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.migration import Migration
from shuffle_operator.coordinator.rebuild import new_ledger
from shuffle_operator.coordinator.resizing import grow
from shuffle_protocol.messages import Done, Failure, LeaseId, LeaseKind, Phase, PlanSummary, Sync


@dataclass(slots=True)
class Results:
    """Counts each result once, no matter how often it is reported."""

    core: Core
    migration: Migration
    _failures: dict[tuple[LeaseKind, int, int], int] = field(default_factory=dict)

    def take(self, live: Live, message: Sync, now: float) -> list[LeaseId]:
        """Count everything that a worker reports. Returns the leases that it may forget."""
        for done in message.done:
            if done.id.kind in (LeaseKind.TRANSFER, LeaseKind.WRITE):
                self._finished(live, done, now)
            elif self.core.job_leases.end(done.id, live.worker):
                self._finished_for_the_job(done, now)
        for failure in message.failed:
            self._failed(live, failure, now)
        return [*(done.id for done in message.done), *(failure.id for failure in message.failed)]

    def _finished(self, live: Live, done: Done, now: float) -> None:
        """A split was transferred, or a group was written."""
        core, ledger, writes = self.core, self.core.ledger, done.id.kind is LeaseKind.WRITE
        if ledger is None:
            core.recovery.wrote(done)
            return
        if core.failing:
            return
        try:
            counted = ledger.finish(done, live.worker)
        except Inconsistent as error:
            core.fail(Cause("DataError", str(error), live.worker), now)
            return
        if counted:
            core.progress(done.id)
            core.stragglers.finished(done.id, live.worker, now)
            if writes and ledger.keeps_rows and done.rows_written != done.rows_moved:
                message = f"group {done.id.item}: {done.rows_moved} rows received, {done.rows_written} written"
                core.fail(Cause("Internal", message, live.worker), now)
        elif writes and done.id.attempt < ledger.attempt_floor:
            core.resume([(done.id.item, done.rows_written, done.bytes_written)])

    def _finished_for_the_job(self, done: Done, now: float) -> None:
        core, kind = self.core, done.id.kind
        core.progress(done.id)
        if kind is LeaseKind.PLAN and done.plan is not None:
            self._planned(done, done.plan, now)
        elif kind is LeaseKind.COMMIT:
            core.output = done.output or {}
            core.go(Phase.COMPLETE, now)
        elif kind is LeaseKind.ABORT and core.rollback is not None:
            core.rollback.removed = True

    def _planned(self, done: Done, summary: PlanSummary, now: float) -> None:
        """The plan is there, and it is known which groups were written by workers and under coordinators that are
        gone."""
        core = self.core
        if core.ledger is None:
            core.summary = summary
            core.planned_at = now
            core.ledger = new_ledger(summary, core.generation)
            core.recovery.forget()
        core.recovering = False
        if core.summary is not None and summary.fingerprint == core.summary.fingerprint:
            core.resume([*done.written, *core.recovery.take_written()])
        grow(core, now)
        core.actions.append(Wake(None))

    def _failed(self, live: Live, failure: Failure, now: float) -> None:
        core, lease = self.core, failure.id
        if not (core.job_leases.end(lease, live.worker) or self._given_back(live, failure)):
            return
        if core.rollback is not None:
            if lease.kind is LeaseKind.ABORT:
                core.rollback.failed(failure.message)
        elif (
            core.ledger is not None
            and failure.reason == "OutOfDisk"
            and lease.kind in (LeaseKind.WRITE, LeaseKind.TRANSFER)
        ):
            live.full = live.full or failure.message
            core.draining.add(live.worker)
        else:
            self._retry_or_fail(live, failure, now)

    def _given_back(self, live: Live, failure: Failure) -> bool:
        """Make a failed lease due again, and what it showed to be damaged. Returns whether this worker had the lease,
        and whether it failed at all."""
        core, ledger, lease = self.core, self.core.ledger, failure.id
        if ledger is None or ledger.out.get(lease) != live.worker:
            return False
        if failure.absent:
            ledger.not_at_hand(lease)
            return False
        ledger.give_back(lease)
        if ledger.shared and failure.corrupt >= 0:
            ledger.redo(failure.corrupt)
        elif failure.corrupt >= 0 and lease.kind is LeaseKind.WRITE:
            others = [worker for worker in core.able() if worker != live.worker]
            self.migration.move([lease.item], live.worker, others or [live.worker])
        return True

    def _retry_or_fail(self, live: Live, failure: Failure, now: float) -> None:
        core, lease = self.core, failure.id
        key = (lease.kind, lease.tranche, lease.item)
        count = self._failures[key] = self._failures.get(key, 0) + 1
        first = core.generation == 0  # else it was planned before, and something may be written
        cause = Cause(failure.reason, failure.message, live.worker, failure.refusal and first)
        core.last_failure = cause
        retry = failure.retry or (not first and failure.reason == "StorageUnavailable")
        if not retry or count >= core.settings.lease_attempts:
            core.fail(cause, now)
        else:
            core.actions.append(Wake(None))
            core.actions.append(Note("LeaseRetried", f"{lease.kind} {lease.item}: {failure.message}", warning=True))
