"""The coordinator of one job as a state machine: events come in with the time, replies and actions come out.

    Pending -> Planning -> Transferring -> Writing -> Committing -> Complete
       |          |             |             |            |
       +----------+-------------+-------------+------------+--> (aborting) -> Failed

No sockets, no clock, no threads: the server, a launcher and the simulation drive it. Every method may be called twice
with the same message; what was counted is not counted again. A terminal phase is final.

States and transitions are drawn in docs/coordinator.md, and a test holds the drawing to `TRANSITIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.coordinator.core import Core
from shuffle_operator.coordinator.events import Action, Note, StopWorker, Wake
from shuffle_operator.coordinator.grants import Grants
from shuffle_operator.coordinator.ledger import Ledger
from shuffle_operator.coordinator.losses import Cause
from shuffle_operator.coordinator.members import Live
from shuffle_operator.coordinator.migration import Migration
from shuffle_operator.coordinator.rebuild import rebuild
from shuffle_operator.coordinator.registration import refusal
from shuffle_operator.coordinator.resizing import grow, resize
from shuffle_operator.coordinator.results import Results
from shuffle_protocol.messages import (
    Lease,
    LeaseId,
    LeaseKind,
    Orders,
    Phase,
    Register,
    Registered,
    Sync,
    View,
)


@dataclass(slots=True)
class Coordinator(Core):
    """The coordinator of one job. It keeps the job's slots filled with workers until the job is over."""

    migration: Migration = field(init=False)
    grants: Grants = field(init=False)
    results: Results = field(init=False)
    _migrating: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        Core.__post_init__(self)
        self.migration = Migration(self)
        self.grants = Grants(self, self.migration)
        self.results = Results(self, self.migration)

    # -- events ------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """The job was accepted: ask for workers."""
        if self.started_at is None:
            self.started_at = self.alone_since = now
            for worker in range(self.job.workers):
                self.start_worker(worker, now)
        return self.drain()

    def register(self, message: Register, now: float) -> tuple[Registered, list[Action]]:
        refused = refusal(self, message)
        if refused:
            return Registered(accepted=False, message=refused), self.drain()
        live = self.members.get(message.worker)
        if live is not None and live.incarnation != message.incarnation:
            self.lose(live, now, "its place was taken by a new process")
        if message.worker not in self.members:
            self._join(message, now)
            if message.held is not None and self.ledger is None:
                self.recovery.report(message.worker, message.held, now)
            self.migration.place_newcomer(message.worker, now)
        self._advance(now)
        return Registered(accepted=True, job=self.job, heartbeat=self._heartbeat()), self.drain()

    def sync(self, message: Sync, now: float) -> tuple[Orders, list[Action]]:
        live = self.members.get(message.worker)
        if live is None or live.incarnation != message.incarnation:
            return self._unknown(message), self.drain()
        self._note(live, message, now)
        stuck = self.stragglers.stuck(live, now)
        if stuck and not self.over:
            self.replace(live, now, stuck, fault=True)
            return self._unknown(message), self.drain()
        acknowledged = self.results.take(live, message, now)
        self._advance(now, live.worker)
        if self.members.get(live.worker) is not live:  # dismissed just now: it must get no more work
            return self._unknown(message), self.drain()
        if live.leaving:
            self.migration.give_back_unstarted(live, message)
        if not self.over:
            self._grant(live, message, now)
        return self._orders(live, message, acknowledged, now), self.drain()

    def _note(self, live: Live, message: Sync, now: float) -> None:
        """Take what a worker reports of itself."""
        live.seen = now
        if self.ledger is None or message.epoch == self.epoch or message.epoch != live.epoch:
            live.behind_since = now
        live.epoch = message.epoch
        self._note_holding(live, message.holding)
        live.count(message.counters, survived=self.generation > 0)
        live.leaving = live.leaving or message.leaving
        live.full, live.trouble = live.full or message.full, message.trouble
        if not live.able:
            self.draining.add(live.worker)

    def _grant(self, live: Live, message: Sync, now: float) -> None:
        """Grant as many leases as the worker has room for."""
        mine = self.leases_of(live.worker)
        free = max(1, message.free) if self.failing else message.free  # a worker that is leaving can still clean up
        for _ in range(min(free, 2 * live.slots - len(mine))):
            lease = self.grants.grant(live, now)
            if lease is None:
                break
            self.stragglers.granted(lease, now)

    def _orders(self, live: Live, message: Sync, acknowledged: list[LeaseId], now: float) -> Orders:
        """The answer to a report: every lease that the worker is meant to hold."""
        settled = set(acknowledged)
        leases = [self._order(lease) for lease in self.leases_of(live.worker) if lease not in settled]
        if live.leaving and not live.released and not self.failing:
            self.migration.release(live, now, holds=bool(leases or message.holding))
        self._note_holding(live, [*message.holding, *(x.id for x in leases if x.id not in message.holding)])
        live.idle = message.free > len({lease.id for lease in leases} - set(message.holding))
        return Orders(
            known=True,
            phase=self.phase,
            epoch=self.epoch,
            view=self._view(message.epoch) if message.epoch != self.epoch else None,
            leases=leases,
            acknowledged=acknowledged,
            stop=self.over or live.incarnation in self.dismissed,
            aborting=self.failing and not self.over,
            released=live.released,
            written=self._written_for(message),
        )

    def _unknown(self, message: Sync) -> Orders:
        stop = self.over or message.incarnation in self.dismissed
        return Orders(known=False, phase=self.phase, epoch=self.epoch, stop=stop)

    def worker_gone(
        self, worker: int, incarnation: str | None, why: str, fault: bool, now: float, crashed: bool = False
    ) -> list[Action]:
        """A launcher saw a process end. fault: it failed by itself (an exit code, a crash), nobody took it away.
        crashed: see `crashes.py`. incarnation: of the process, where the launcher knows it; None: of the process in the
        slot.
        """
        if self.over:
            return self.drain()
        self.recovery.heard(worker)
        live = self.members.get(worker)
        if live is not None and (incarnation is None or live.incarnation == incarnation):
            self.lose(live, now, why, fault=fault, crashed=crashed)
        elif worker in self.starting:
            self.starting.pop(worker)
            self.epochs.rename()
            self.count_loss(worker, why, fault)
        if not self.failing and worker not in self.members and worker < self.job.workers:
            self.start_worker(worker, now)
            self.replaced += 1
        self._advance(now)
        return self.drain()

    def tick(self, now: float) -> list[Action]:
        """To be called about every second: silence, deadlines."""
        if self.over:
            return self.drain()
        for live in list(self.members.values()):
            if now - live.seen > self.settings.silence:
                self.replace(live, now, f"it was not heard of for {now - live.seen:.0f} s")
            elif live.surplus and now - live.surplus_since > self.settings.drain:
                self.lose(live, now, "it has not handed over what it had in time", counted=False)
                self.actions.append(StopWorker(live.worker, now=True))
        for worker in self.recovery.absent(now - self.settings.absent):
            self._replace_absent(worker, now)
        s = self.settings
        if not self.members and self.alone_since is not None and now - self.alone_since > s.startup_deadline:
            why = f"no worker has started within startupDeadlineSeconds, {s.startup_deadline:.0f} s"
            if self.waiting_reason:
                why += f": {self.waiting_reason}"
            self.fail(Cause("StartupDeadlineExceeded", why), now)
        started = self.started_at
        if s.active_deadline is not None and started is not None and now - started > s.active_deadline:
            why = f"the job took longer than its activeDeadlineSeconds, {s.active_deadline:.0f} s"
            self.fail(Cause("DeadlineExceeded", why), now)
        self.follow(now)
        self._advance(now)
        return self.drain()

    def cancel(self, reason: str, message: str, now: float, *, refusal: bool = False) -> list[Action]:
        """Stop the job and remove what it wrote. Too late while it commits: a moment later it is complete."""
        if self.phase is not Phase.COMMITTING:
            self.fail(Cause(reason, message, refusal=refusal), now)
            self._advance(now)
        return self.drain()

    def resize(self, workers: int, now: float) -> list[Action]:
        """Another number of workers from now on. Those that are too many hand over what they own and leave, which is no
        failure."""
        if not self.over:
            resize(self, workers, now)
            self._advance(now)
        return self.drain()

    def expect_reports(self, now: float) -> None:
        """This coordinator follows one that died, and workers may be there that hold work: wait before planning."""
        self.recovery.since = now
        self.recovery.missing = dict.fromkeys(range(self.job.workers), now)

    def _replace_absent(self, worker: int, now: float) -> None:
        """A worker should have survived the last coordinator and has not been heard of since: it hangs."""
        if self.failing or worker >= self.job.workers:
            return
        self.starting.pop(worker, None)
        self.epochs.rename()
        self.actions.append(StopWorker(worker, now=True))
        self.start_worker(worker, now)
        self.replaced += 1
        why = f"it has not registered within {self.settings.absent:.0f} s of the coordinator's start"
        self.count_loss(worker, why, fault=False)
        self.actions.append(Note("WorkerLost", f"worker {worker} was lost: {why}", warning=True))

    # -- workers -----------------------------------------------------------------------------------------------------

    def _join(self, message: Register, now: float) -> None:
        live = Live(message.worker, message.incarnation, message.address, message.slots, message.memory, now)
        self.members[live.worker] = live
        self.starting.pop(live.worker, None)
        self.recovery.heard(live.worker)
        self.alone_since, self.had_workers = None, True
        self.epochs.join(live)

    def _heartbeat(self) -> float:
        """Seconds between reports, so that all of them together are not too many."""
        s = self.settings
        return max(s.heartbeat, min(len(self.members) / s.reports, s.silence / 4))

    def _note_holding(self, live: Live, leases: list[LeaseId]) -> None:
        live.holding = leases
        if live.writes and self.members.get(live.worker) is live:  # it may have been dismissed just now
            self.writers.add(live.worker)
        else:
            self.writers.discard(live.worker)

    def _view(self, base: int) -> View | None:
        """The view for a worker that has the one of epoch `base`."""
        if self.ledger is None or self.summary is None:
            return None
        return self.epochs.view_since(base, self.summary.fingerprint, self.members, self.ledger)

    def _written_for(self, message: Sync) -> bytes:
        """A bit for each written group, for workers that keep shards and know of fewer."""
        ledger = self.ledger
        if not self.job.retain_shards or ledger is None or message.written == ledger.groups_written:
            return b""
        return bytes(ledger.written_bits)

    def _order(self, lease: LeaseId) -> Lease:
        if lease.kind in (LeaseKind.PLAN, LeaseKind.ABORT) or self.ledger is None:
            return Lease(lease)
        return self.ledger.order(lease)

    # -- moving on ---------------------------------------------------------------------------------------------------

    def _advance(self, now: float, reporter: int | None = None) -> None:
        """Move on as far as what is known allows. Called after every event; reporter: whose report it was."""
        if self.over:
            return
        if self.fail_later is not None:
            self.fail(self.fail_later, now)
        if self.failing:
            self._advance_abort(now)
            return
        new = self.epochs.admit(now, self.settings.gathering if self.ledger is not None else 0.0)
        if new:
            self.actions.append(Wake(new))
        self._rebuild(now)
        if self.recovery.awaited:
            return
        self._unload(self.draining if reporter is None else self.draining & {reporter}, now)
        if self.phase is Phase.PENDING and self.members:
            self.go(Phase.PLANNING if self.ledger is None else Phase.TRANSFERRING, now)
        if self.ledger is None or self.failing or self.recovering:
            return
        self._assign(self.ledger, now)
        self._advance_phase(self.ledger, now)
        self._end_migrations(self.ledger)
        if self.phase in (Phase.WRITING, Phase.TRANSFERRING) and self.ledger.unwritten == 0:
            self._all_written(self.ledger, now)

    def _unload(self, draining: set[int], now: float) -> None:
        """Draining workers hand over their groups, and go when nothing of theirs is needed any more."""
        workers = sorted(draining)
        self.migration.unload(workers, now)
        for live in [self.members[worker] for worker in workers if worker in self.members]:
            if live.surplus and not live.released:
                self.migration.release(live, now, holds=bool(live.holding or self.leases_of(live.worker)))

    def _assign(self, ledger: Ledger, now: float) -> None:
        """Groups that nobody owns are given to those that are here."""
        if not ledger.owners.complete and self.members and self.settled(now) and ledger.assign(self.able()):
            self.epochs.changed()
            self.actions.append(Wake(None))

    def _advance_phase(self, ledger: Ledger, now: float) -> None:
        """From the plan to the barrier, and back behind it where splits are due again."""
        if self.phase is Phase.PLANNING:
            self.go(Phase.TRANSFERRING, now)
        if self.phase is Phase.TRANSFERRING and ledger.barrier_reached and ledger.owners.complete:
            self.barrier_at = now
            self.go(Phase.WRITING, now)
        elif self.phase is Phase.WRITING and ledger.must_read:
            self.go(Phase.TRANSFERRING, now)

    def _end_migrations(self, ledger: Ledger) -> None:
        """A worker that has handed over its groups need no longer keep what it had stored for them."""
        migrating = set(ledger.migrating())
        if self._migrating - migrating:
            self.epochs.changed()
            self.actions.append(Wake(None))
        self._migrating = migrating

    def _all_written(self, ledger: Ledger, now: float) -> None:
        """Commit, if as many rows were written as were read."""
        totals = ledger.totals
        if not ledger.keeps_rows or not ledger.rows_known or totals.rows_read == totals.rows_written:
            self.go(Phase.COMMITTING, now)
            return
        message = (
            f"{totals.rows_read} rows were read, {totals.rows_received} received and {totals.rows_written} "
            "written: the output would be wrong, so it was not committed"
        )
        self.fail(Cause("Internal", message), now)
        self._advance_abort(now)

    def _advance_abort(self, now: float) -> None:
        """Failing: wait until nobody writes, have one worker remove what was written, then say Failed."""
        rollback = self.rollback
        assert rollback is not None
        never_planned = self.generation == 0 and not self.job_leases.granted(LeaseKind.PLAN)
        refused = self.cause is not None and self.cause.refusal
        nothing_written = self.ledger is None and (refused or never_planned)
        if rollback.removed or nothing_written:
            self.go(Phase.FAILED, now)
            return
        if rollback.impatient(now, self.settings) and not self.quiet():
            for worker in sorted(self.writers):
                self.drop(self.members[worker])
                self.actions.append(StopWorker(worker, now=True))
        if rollback.given_up(now, self.settings):
            self.left_behind = True
            self.cause = rollback.left_behind(self.job.output.path)
            self.go(Phase.FAILED, now)
        elif not self.members and not self.starting:
            rollback.tries += 1
            self.start_worker(0, now)  # somebody must clean up

    def _rebuild(self, now: float) -> None:
        """Once the surviving workers have reported, or have been waited for: know what they know."""
        if self.ledger is not None:
            return
        here = self.recovery.here(self.members, self.job.workers, now, self.settings.patience)
        if here:
            self.ledger, self.summary = rebuild(here, self.generation)
            self.epochs.changed()
            self.planned_at = now
            self.job_leases.revoke_all()
            self.resume(self.recovery.take_written())
            self.recovering = bool(self.ledger.unowned())
            grow(self, now)
