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

import msgspec

from shuffle_operator.coordinator.events import Action, Note, StartWorker, StopWorker, Wake
from shuffle_operator.coordinator.ledger import Inconsistent, Ledger
from shuffle_operator.coordinator.losses import Cause, Losses
from shuffle_operator.coordinator.members import Live, Past
from shuffle_operator.coordinator.pace import Pace
from shuffle_operator.coordinator.phases import TERMINAL, TRANSITIONS
from shuffle_operator.coordinator.rebuild import EPOCHS, new_ledger, rebuild
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.size import workers_for
from shuffle_operator.coordinator.undoing import Undoing
from shuffle_worker.protocol.messages import (
    VERSION,
    Done,
    Failure,
    Held,
    Job,
    Kind,
    Lease,
    LeaseId,
    Orders,
    Phase,
    PlanSummary,
    Register,
    Registered,
    Sync,
    View,
)


@dataclass(slots=True)
class Coordinator:
    """One job. Its slots are kept filled with workers until it is over. generation: see `rebuild`; 0 for the first."""

    job: Job
    settings: Settings = field(default_factory=Settings)
    generation: int = 0
    phase: Phase = Phase.PENDING
    epoch: int = 0
    members: dict[int, Live] = field(default_factory=dict)
    past: Past = field(default_factory=Past)
    summary: PlanSummary | None = None
    ledger: Ledger | None = None
    cause: Cause | None = None
    output: dict[str, str | int | float] = field(default_factory=dict)
    started_at: float | None = None
    planned_at: float | None = None
    barrier_at: float | None = None
    finished_at: float | None = None
    losses: Losses = field(default_factory=Losses)
    lost: int = 0
    replaced: int = 0
    last_failure: Cause | None = None
    hindrance: str = ""
    """What keeps workers from starting, in a launcher's words; "" where nothing is known."""
    _lost: set[str] = field(default_factory=set)  # incarnations: a zombie must not take the place of its successor
    _dismissed: set[str] = field(default_factory=set)  # incarnations that are not wanted any more, and may go
    _burdened: set[int] = field(default_factory=set)  # members that are not able, or were not
    _starting: dict[int, float] = field(default_factory=dict)
    _expected: dict[int, float] = field(default_factory=dict)  # slots that survivors may be in, since when
    _actions: list[Action] = field(default_factory=list)
    undoing: Undoing | None = None
    _alone_since: float | None = None
    _out: dict[LeaseId, int] = field(default_factory=dict)  # plan, commit and abort leases: lease -> worker
    _lease_failures: dict[tuple[Kind, int, int], int] = field(default_factory=dict)
    _attempts: dict[Kind, int] = field(default_factory=dict)
    left_behind: bool = False
    """What the job wrote could not be removed."""
    _fail_later: Cause | None = None
    _held: dict[int, Held] = field(default_factory=dict)
    _rebuild_since: float | None = None
    _recounting: bool = False  # a worker looks which groups are written, before those that nobody holds are given out
    _grown_at: float | None = None
    _handing: set[tuple[int, int]] = field(default_factory=set)
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.epoch = self.generation * EPOCHS
        self.pace = Pace(self.settings)

    # -- events ------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """The job was accepted: workers are asked for."""
        if self.started_at is None:
            self.started_at = self._alone_since = now
            for worker in range(self.job.workers):
                self._start_worker(worker, now)
        return self._drain()

    def register(self, message: Register, now: float) -> tuple[Registered, list[Action]]:
        if message.version != VERSION:
            return self._refuse(
                f"worker {message.worker} speaks protocol version {message.version}, this coordinator version "
                f"{VERSION}: use the worker image of the operator's own version"
            )
        if self.over:
            return self._refuse(f"job {self.job.name} is over ({self.phase})")
        if message.incarnation in self._lost:
            return self._refuse(
                f"worker {message.worker} was not heard of for too long; its work was given to others and its place "
                "to a new process"
            )
        if not 0 <= message.worker < max(self.job.workers, self.job.most_workers, max(self.members, default=0) + 1):
            return self._refuse(f"job {self.job.name} has no worker {message.worker}, it has {self.job.workers}")
        live = self.members.get(message.worker)
        if live is not None and live.incarnation != message.incarnation:
            self._lose(live, now, "its place was taken by a new process")
        if message.worker not in self.members:
            self.members[message.worker] = Live(
                message.worker, message.incarnation, message.address, message.slots, message.memory, now
            )
            self._starting.pop(message.worker, None)
            self._expected.pop(message.worker, None)
            self._alone_since = None
            self.epoch += 1
            if message.held is not None and self.ledger is None:
                self._held[message.worker] = message.held
                if self._rebuild_since is None:
                    self._rebuild_since = now
            self._place_newcomer(message.worker, now)
        self._advance(now)
        return Registered(accepted=True, job=self.job), self._drain()

    def sync(self, message: Sync, now: float) -> tuple[Orders, list[Action]]:
        live = self.members.get(message.worker)
        if live is None or live.incarnation != message.incarnation:
            stop = self.over or message.incarnation in self._dismissed
            return Orders(known=False, phase=self.phase, epoch=self.epoch, stop=stop), self._drain()
        live.seen = now
        if self.ledger is None or message.epoch == self.epoch or message.epoch != live.epoch:
            live.behind_since = now
        live.epoch = message.epoch
        live.holding = message.holding
        live.counters = message.counters
        live.leaving = live.leaving or message.leaving
        live.full = live.full or message.full
        if not live.able:
            self._burdened.add(live.worker)
        stuck = self.pace.stuck(live, now)
        if stuck and not self.over:
            self._replace(live, now, stuck, fault=True)
            return Orders(known=False, phase=self.phase, epoch=self.epoch), self._drain()
        acknowledged: list[LeaseId] = []
        for done in message.done:
            self._finished(live, done, now)
            acknowledged.append(done.id)
        for failure in message.failed:
            self._failed_lease(live, failure, now)
            acknowledged.append(failure.id)
        self._advance(now)
        settled = set(acknowledged)
        if live.leaving:
            self._give_back_unstarted(live, message)
        if not self.over:
            mine = self._leases_of(live.worker)
            free = max(1, message.free) if self._failing else message.free  # who is leaving can still clean up
            for _ in range(min(free, 2 * live.slots - len(mine))):
                lease = self._grant(live, now)
                if lease is None:
                    break
                self.pace.granted(lease, now)
        leases = [self._order(lease) for lease in self._leases_of(live.worker) if lease not in settled]
        if live.leaving and not live.released and not self._failing:
            self._release(live, now, holds=bool(leases or message.holding))
        live.holding = [*message.holding, *(x.id for x in leases if x.id not in message.holding)]
        live.idle = message.free > len({lease.id for lease in leases} - set(message.holding))
        view = self._view() if self.ledger is not None and message.epoch != self.epoch else None
        orders = Orders(
            known=True,
            phase=self.phase,
            epoch=self.epoch,
            view=view,
            leases=leases,
            acknowledged=acknowledged,
            stop=self.over or live.incarnation in self._dismissed,
            aborting=self._failing and not self.over,
            released=live.released,
            written=self._written_for(message),
        )
        return orders, self._drain()

    def _written_for(self, message: Sync) -> bytes:
        """A bit for each written group, for who keeps shards and knows of fewer."""
        ledger = self.ledger
        if not self.job.retain_shards or ledger is None or message.written == ledger.groups_written:
            return b""
        bits = bytearray(-(-ledger.groups // 8))
        for group, written in enumerate(ledger.written):
            bits[group >> 3] |= (1 if written else 0) << (group & 7)
        return bytes(bits)

    def worker_gone(self, worker: int, incarnation: str | None, why: str, fault: bool, now: float) -> list[Action]:
        """A launcher saw a process end. fault: it failed by itself (a crash, an exit code), nobody took it away.

        incarnation: of the process that ended where the launcher knows it, else None for whoever holds the slot."""
        if self.over:
            return self._drain()
        self._expected.pop(worker, None)
        live = self.members.get(worker)
        if live is not None and (incarnation is None or live.incarnation == incarnation):
            self._lose(live, now, why, fault=fault)
        elif worker in self._starting:
            self._starting.pop(worker)
            self.epoch += 1  # the next one in this slot gets another name
            self._count_loss(worker, why, fault)
        if not self._failing and worker not in self.members and worker < self.job.workers:
            self._start_worker(worker, now)
            self.replaced += 1
        self._advance(now)
        return self._drain()

    def tick(self, now: float) -> list[Action]:
        """To be called about every second: silence, deadlines."""
        if self.over:
            return self._drain()
        for live in list(self.members.values()):
            if now - live.seen > self.settings.silence:
                self._replace(live, now, f"it was not heard of for {now - live.seen:.0f} s")
            elif live.surplus and now - live.surplus_since > self.settings.drain:
                self._lose(live, now, "it has not handed over what it had in time", counted=False)
                self._actions.append(StopWorker(live.worker, now=True))
        self._replace_absent(now)
        s = self.settings
        if not self.members and self._alone_since is not None and now - self._alone_since > s.startup_deadline:
            why = f"no worker has started within startupDeadlineSeconds, {s.startup_deadline:.0f} s"
            if self.hindrance:
                why += f": {self.hindrance}"
            self._fail(Cause("StartupDeadlineExceeded", why), now)
        started = self.started_at
        if s.active_deadline is not None and started is not None and now - started > s.active_deadline:
            why = f"the job took longer than its activeDeadlineSeconds, {s.active_deadline:.0f} s"
            self._fail(Cause("DeadlineExceeded", why), now)
        self._advance(now)
        return self._drain()

    def cancel(self, reason: str, message: str, now: float, *, refusal: bool = False) -> list[Action]:
        """Stop the job and remove what it wrote. Too late while it commits: a moment later it is complete."""
        if self.phase is not Phase.COMMITTING:
            self._fail(Cause(reason, message, refusal=refusal), now)
            self._advance(now)
        return self._drain()

    def resize(self, workers: int, now: float) -> list[Action]:
        """Another number of workers from now on. Those that are too many hand over what they own and leave, which is no
        failure."""
        if not self.over:
            self._resize(workers, now)
            self._advance(now)
        return self._drain()

    def _resize(self, workers: int, now: float) -> None:
        before = self.job.workers
        if workers == before:
            return
        self.job = msgspec.structs.replace(self.job, workers=workers)
        self._actions.append(Note("Resized", f"{workers} workers instead of {before}"))
        for worker in sorted({*self.members, *self._starting}):
            if worker >= workers:
                live = self.members.get(worker)
                if live is not None and not self._failing:
                    live.surplus = live.leaving = True  # it is stopped once it has handed over what it has
                    live.surplus_since = now
                    self._burdened.add(worker)
                    continue
                self._starting.pop(worker, None)
                self._actions.append(StopWorker(worker, now=False))
        if not self._failing:
            for worker in range(workers):
                live = self.members.get(worker)
                if live is not None and live.surplus and not live.released:
                    live.surplus = live.leaving = False
                elif worker >= before and worker not in self._starting:
                    self._start_worker(worker, now)

    # -- what callers read -------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self.phase in TERMINAL

    @property
    def barrier_wait(self) -> float | None:
        """Seconds from the plan until every row had arrived; None before that."""
        if self.barrier_at is None or self.planned_at is None:
            return None
        return self.barrier_at - self.planned_at

    @property
    def _failing(self) -> bool:
        return self.undoing is not None

    # -- members and ownership ---------------------------------------------------------------------------------------

    def _start_worker(self, worker: int, now: float) -> None:
        if worker not in self.members:
            self._starting[worker] = now
            self._actions.append(StartWorker(worker, self.epoch))

    def _lose(self, live: Live, now: float, why: str, *, fault: bool = False, counted: bool = True) -> None:
        self._drop(live)
        counted = counted and not live.released
        self.epoch += 1
        for lease in [lease for lease, worker in self._out.items() if worker == live.worker]:
            del self._out[lease]
        repair = 0
        if self.ledger is not None:
            repair = len(self.ledger.lose(live.worker))
            self.ledger.assign(self._able())
        if counted:
            self.lost += 1
            self._count_loss(live.worker, why, fault)
        self._actions.append(Wake(None))
        if not self.members:
            self._alone_since = now
        if not counted and not repair:
            self._actions.append(Note("WorkerLeft", f"worker {live.worker} left; nothing that it held is missing"))
            return
        if repair:
            what = f"{repair} of its unwritten groups are done again"
            self._actions.append(Note("WorkerLost", f"worker {live.worker} was lost: {why}; {what}", warning=True))
        else:
            self._actions.append(
                Note("WorkerLost", f"worker {live.worker} was lost: {why}; nothing it held is missing", warning=True)
            )

    def _drop(self, live: Live) -> None:
        del self.members[live.worker]
        self._burdened.discard(live.worker)
        self._lost.add(live.incarnation)
        self.past.add(live.counters)
        self.pace.forget(live.worker)

    def _replace(self, live: Live, now: float, why: str, *, fault: bool = False) -> None:
        """It is there, and of no use: lost, stopped, and another one in its place."""
        self._lose(live, now, why, fault=fault)
        self._actions.append(StopWorker(live.worker, now=True))
        if not self._failing and live.worker < self.job.workers:
            self._start_worker(live.worker, now)
            self.replaced += 1

    def _replace_absent(self, now: float) -> None:
        """Whoever was to survive the last coordinator, and has not been heard of since: it hangs."""
        for worker in [w for w, since in self._expected.items() if now - since > self.settings.absent]:
            del self._expected[worker]
            if self._failing or worker >= self.job.workers:
                continue
            self._starting.pop(worker, None)
            self.epoch += 1  # the next one in this slot gets another name
            self._actions.append(StopWorker(worker, now=True))
            self._start_worker(worker, now)
            self.replaced += 1
            why = f"it has not registered within {self.settings.absent:.0f} s of the coordinator's start"
            self._count_loss(worker, why, fault=False)
            self._actions.append(Note("WorkerLost", f"worker {worker} was lost: {why}", warning=True))

    def _count_loss(self, worker: int, why: str, fault: bool) -> None:
        self.last_failure = Cause("WorkerFailed" if fault else "WorkerLost", why, worker)
        enough = self.losses.count(worker, why, fault, self.job.workers, self.settings)
        self._fail_later = self._fail_later or enough

    def _able(self) -> list[int]:
        """Workers that may own groups."""
        return sorted(w for w, live in self.members.items() if live.able)

    def _place_newcomer(self, worker: int, now: float) -> None:
        if self.ledger is None or self._failing:
            return
        if self.barrier_at is None and self.planned_at is not None and not self._settled(now):
            return
        if self.ledger.unowned():
            self.ledger.assign(self._able())
        else:
            self.ledger.share(worker, self._able())
        self._actions.append(Wake(None))

    def _settled(self, now: float) -> bool:
        """All workers that were asked for are here, or the others have been waited for long enough."""
        if len(self.members) >= self.job.workers:
            return True
        since, patience = self.planned_at, self.settings.patience
        if self._grown_at is not None:
            since, patience = self._grown_at, self.settings.growth_patience
        return since is not None and now - since >= patience

    def _view(self) -> View:
        assert self.ledger is not None
        assert self.summary is not None
        members = [live.member for _, live in sorted(self.members.items())]
        ledger = self.ledger
        plan = self.summary.fingerprint
        return View(plan, self.epoch, members, list(ledger.owner), list(ledger.tranche), ledger.handing())

    # -- handing over ------------------------------------------------------------------------------------------------

    def _unload(self, now: float) -> None:
        """Take their unwritten groups off the workers that are leaving, or can hold no more, where others can have
        them."""
        ledger = self.ledger
        if ledger is None or self._failing:
            return
        self._unless_all_full(now)
        for worker in sorted(self._burdened):
            live = self.members[worker]
            if live.able:
                continue
            able = self._able()
            going = [g for g in ledger.unwritten_of(live.worker) if not ledger.writing[g]]
            if going and able:
                self._move(going, live.worker, able)
                why = live.full or "it is to leave"
                self._actions.append(
                    Note("GroupsMoved", f"worker {live.worker} hands over {len(going)} groups: {why}", bool(live.full))
                )
            elif going and live.full and not self._starting and len(self.members) >= self.job.workers:
                self._fail(Cause("OutOfDisk", live.full, live.worker), now)

    def _unless_all_full(self, now: float) -> None:
        """Groups whose owner was lost, and everybody who is there, and stays, can hold nothing more."""
        ledger = self.ledger
        staying = [live for live in self.members.values() if not live.leaving]
        if self._starting or len(staying) < self.job.workers or not all(live.full for live in staying):
            return
        if staying and ledger is not None and ledger.unowned():
            self._fail(Cause("OutOfDisk", staying[0].full, staying[0].worker), now)

    def _move(self, groups: list[int], worker: int, to: list[int]) -> None:
        """Groups change their owner, who sends what it has stored for them."""
        assert self.ledger is not None
        if self.ledger.hand_over(groups, worker):
            self.ledger.assign(to)
            self.epoch += 1
            self._actions.append(Wake(None))

    def _give_back_unstarted(self, live: Live, message: Sync) -> None:
        """Who is leaving starts nothing more: leases that it does not hold are given to others."""
        if self.ledger is not None:
            there = {*message.holding, *(d.id for d in message.done), *(f.id for f in message.failed)}
            for lease in self._leases_of(live.worker):
                if lease not in there:
                    self.ledger.give_back(lease)

    def _release(self, live: Live, now: float, *, holds: bool) -> None:
        """Nothing of it is needed any more: it may go."""
        ledger = self.ledger
        if holds or (ledger is not None and (ledger.unwritten_of(live.worker) or ledger.hands_over(live.worker))):
            return
        live.released = True
        if live.surplus:
            self._lose(live, now, "fewer workers are wanted", counted=False)
            self._dismissed.add(live.incarnation)
            self._actions.append(StopWorker(live.worker, now=False))

    # -- leases ------------------------------------------------------------------------------------------------------

    def _leases_of(self, worker: int) -> list[LeaseId]:
        held = [lease for lease, holder in self._out.items() if holder == worker]
        if self.ledger is not None and not self._failing:
            held += self.ledger.leases_of(worker)
        return held

    def _order(self, lease: LeaseId) -> Lease:
        if lease.kind in (Kind.PLAN, Kind.ABORT) or self.ledger is None:
            return Lease(lease)
        return self.ledger.order(lease)

    def _only(self, kind: Kind, live: Live) -> LeaseId | None:
        """Grant a lease that there is one of at a time."""
        if any(lease.kind is kind for lease in self._out):
            return None
        attempt = self._attempts.get(kind, -1) + 1
        self._attempts[kind] = attempt
        lease = LeaseId(kind, 0, 0, attempt)
        self._out[lease] = live.worker
        return lease

    def _grant(self, live: Live, now: float) -> LeaseId | None:
        if self._failing:
            return self._only(Kind.ABORT, live) if self._quiet() else None
        ledger = self.ledger
        if ledger is None or self._recounting:
            planning = self._recounting or (self.phase is Phase.PLANNING and self._rebuild_since is None)
            lease = self._only(Kind.PLAN, live) if planning and not live.leaving else None
            if lease is not None or ledger is None:
                return lease
        if self.phase is Phase.COMMITTING:
            return None if live.leaving else self._only(Kind.COMMIT, live)
        if live.epoch != self.epoch:
            return None  # first the view, then work in terms of it
        if live.leaving:
            return ledger.grant_transfer(live.worker, reads=False)
        return ledger.grant_write(live.worker) or ledger.grant_transfer(live.worker) or self._help(live, now)

    def _help(self, live: Live, now: float) -> LeaseId | None:
        """Nothing is due for this worker: what it can take off others, see `pace.py`."""
        ledger = self.ledger
        assert ledger is not None
        sender = self.pace.to_steal(ledger, live.worker, now)
        lease = ledger.steal(live.worker, sender) if sender is not None else None
        if lease is None:
            late = self.pace.to_spare(ledger, live.worker, now)
            lease = ledger.grant_spare(live.worker, late) if late is not None else None
        movable = self.phase is Phase.WRITING and live.able and not ledger.shared
        if lease is None and movable and self.barrier_at is not None:
            others = {w: other for w, other in self.members.items() if w != live.worker and other.able}
            groups = self.pace.to_move(ledger, self.barrier_at, others, now)
            if groups:
                self._move(groups, ledger.owner[groups[0]], [live.worker])
        return lease

    def _quiet(self) -> bool:
        """Nobody holds a lease that could still write, so that an abort finds all there is to remove."""
        return all(all(x.kind is Kind.ABORT for x in live.holding) for live in self.members.values())

    def _refuse(self, message: str) -> tuple[Registered, list[Action]]:
        return Registered(accepted=False, message=message), self._drain()

    def _finished(self, live: Live, done: Done, now: float) -> None:
        kind = done.id.kind
        if kind in (Kind.TRANSFER, Kind.WRITE):
            if self.ledger is None or self._failing:
                return
            try:
                counted = self.ledger.finish(done, live.worker)
            except Inconsistent as error:
                self._fail(Cause("DataError", str(error), live.worker), now)
                return
            if counted:
                self.losses.progress()
                self.pace.finished(done.id, live.worker, now)
                if kind is Kind.WRITE and self.ledger.keeps_rows and done.rows_written != done.rows_moved:
                    message = f"group {done.id.item}: {done.rows_moved} rows received, {done.rows_written} written"
                    self._fail(Cause("Internal", message, live.worker), now)
            return
        if self._out.get(done.id) != live.worker:
            return
        del self._out[done.id]
        self.losses.progress()
        if kind is Kind.PLAN and done.plan is not None:
            self._planned(done, done.plan, now)
        elif kind is Kind.COMMIT:
            self.output = done.output or {}
            self._go(Phase.COMPLETE, now)
        elif kind is Kind.ABORT and self.undoing is not None:
            self.undoing.removed = True

    def _planned(self, done: Done, summary: PlanSummary, now: float) -> None:
        """The plan is there, and it is known which groups were written by workers and under coordinators that are
        gone."""
        if self.ledger is None:
            self.summary = summary
            self.planned_at = now
            self.ledger = new_ledger(summary, self.generation)
            self._rebuild_since = None  # planned anew before the survivors had been waited for: they start over
            self._held.clear()
        self._recounting = False
        if self.summary is not None and summary.fingerprint == self.summary.fingerprint:
            before = self.ledger.groups_written
            for group, rows, size in done.written:
                self.ledger.found_written(group, rows, size)
            found = self.ledger.groups_written - before
            if found:
                self.ledger.reindex()
                self._actions.append(Note("Resumed", f"{found} groups are written already"))
        self._grow(now)
        self._actions.append(Wake(None))

    def _grow(self, now: float) -> None:
        """The plan is there: as many workers as it takes, where the job leaves that open."""
        assert self.summary is not None
        wanted = workers_for(self.job, self.summary)
        if wanted != self.job.workers:
            self._grown_at = now
            self._resize(wanted, now)

    def _failed_lease(self, live: Live, failure: Failure, now: float) -> None:
        lease = failure.id
        ledger = self.ledger
        if lease in self._out and self._out[lease] == live.worker:
            del self._out[lease]
        elif ledger is not None and ledger.out.get(lease) == live.worker:
            if failure.absent:
                ledger.not_at_hand(lease)
                return
            ledger.give_back(lease)
            if ledger.shared and failure.corrupt >= 0:
                ledger.redo(failure.corrupt)
            elif failure.corrupt >= 0 and lease.kind is Kind.WRITE:
                others = [w for w in self._able() if w != live.worker]
                self._move([lease.item], live.worker, others or [live.worker])
        else:
            return
        if self.undoing is not None:
            if lease.kind is Kind.ABORT:
                self.undoing.failed(failure.message)
            return
        if ledger is not None and failure.reason == "OutOfDisk" and lease.kind in (Kind.WRITE, Kind.TRANSFER):
            live.full = live.full or failure.message
            self._burdened.add(live.worker)
            return
        key = (lease.kind, lease.tranche, lease.item)
        count = self._lease_failures[key] = self._lease_failures.get(key, 0) + 1
        first = self.generation == 0  # else it was planned before, and something may be written
        cause = Cause(failure.reason, failure.message, live.worker, failure.refusal and first)
        self.last_failure = cause
        retry = failure.retry or (not first and failure.reason == "StorageUnavailable")
        if not retry or count >= self.settings.lease_attempts:
            self._fail(cause, now)
        else:
            self._actions.append(Wake(None))
            self._actions.append(Note("LeaseRetried", f"{lease.kind} {lease.item}: {failure.message}", warning=True))

    # -- phases ------------------------------------------------------------------------------------------------------

    def _go(self, phase: Phase, now: float) -> None:
        if phase is self.phase:
            return
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"{self.phase} does not lead to {phase}")
        self.phase = phase
        self._actions.append(Note(str(phase), self._sentence(phase)))
        self._actions.append(Wake(None))
        if phase in TERMINAL:
            self.finished_at = now
            for worker in set(self.members) | set(self._starting):
                self._actions.append(StopWorker(worker, now=False))

    def _sentence(self, phase: Phase) -> str:
        if phase is Phase.FAILED and self.cause is not None:
            return f"{self.cause.reason}: {self.cause.message}"
        if phase is Phase.TRANSFERRING and self.ledger is not None:
            return f"{self.ledger.splits} splits into {self.ledger.groups} groups"
        return f"{self.job.name} is {str(phase).lower()}"

    def _fail(self, cause: Cause, now: float) -> None:
        """Note the root cause, once; what follows from it does not replace it."""
        if self._failing or self.over:
            return
        self.cause = cause
        self.undoing = Undoing(cause, now)
        self._out.clear()
        if self.ledger is not None:
            self.ledger.void()
        self._actions.append(Wake(None))

    def _advance(self, now: float) -> None:
        """Move on as far as what is known allows. Called after every event."""
        if self.over:
            return
        if self._fail_later is not None:
            self._fail(self._fail_later, now)
        if self._failing:
            self._advance_abort(now)
            return
        self._rebuild(now)
        if self._rebuild_since is not None:
            return
        self._unload(now)
        for worker in sorted(self._burdened):
            live = self.members[worker]
            if live.surplus and not live.released:
                self._release(live, now, holds=bool(live.holding or self._leases_of(live.worker)))
        if self.phase is Phase.PENDING and self.members:
            self._go(Phase.PLANNING if self.ledger is None else Phase.TRANSFERRING, now)
        ledger = self.ledger
        if ledger is None:
            return
        if self._failing or self._recounting:
            return
        if ledger.unowned() and self.members and self._settled(now) and ledger.assign(self._able()):
            self.epoch += 1
            self._actions.append(Wake(None))
        if self.phase is Phase.PLANNING:
            self._go(Phase.TRANSFERRING, now)
        if self.phase is Phase.TRANSFERRING and ledger.barrier_reached and not ledger.unowned():
            self.barrier_at = now
            self._go(Phase.WRITING, now)
        elif self.phase is Phase.WRITING and ledger.must_read:
            self._go(Phase.TRANSFERRING, now)
        handing = set(ledger.handing())
        if self._handing - handing:
            self.epoch += 1  # who handed over need not keep it any longer
            self._actions.append(Wake(None))
        self._handing = handing
        if self.phase in (Phase.WRITING, Phase.TRANSFERRING) and ledger.unwritten == 0:
            if ledger.keeps_rows and ledger.rows_known and ledger.totals.rows_read != ledger.totals.rows_written:
                totals = ledger.totals
                message = (
                    f"{totals.rows_read} rows were read, {totals.rows_received} received and {totals.rows_written} "
                    "written: the output would be wrong, so it was not committed"
                )
                self._fail(Cause("Internal", message), now)
                self._advance_abort(now)
                return
            self._go(Phase.COMMITTING, now)

    def _advance_abort(self, now: float) -> None:
        """Failing: wait until nobody writes, have one worker remove what was written, then say Failed."""
        undoing = self.undoing
        assert undoing is not None
        never_planned = self.generation == 0 and Kind.PLAN not in self._attempts
        refused = self.cause is not None and self.cause.refusal
        nothing_written = self.ledger is None and (refused or never_planned)
        if undoing.removed or nothing_written:
            self._go(Phase.FAILED, now)
            return
        if undoing.impatient(now, self.settings) and not self._quiet():
            for live in list(self.members.values()):
                if any(x.kind is not Kind.ABORT for x in live.holding):
                    self._drop(live)
                    self._actions.append(StopWorker(live.worker, now=True))
        if undoing.given_up(now, self.settings):
            self.left_behind = True
            self.cause = undoing.left_behind(self.job.output.path)
            self._go(Phase.FAILED, now)
        elif not self.members and not self._starting:
            undoing.tries += 1
            self._start_worker(0, now)  # somebody must clean up

    # -- soft state --------------------------------------------------------------------------------------------------

    def expect_survivors(self, now: float) -> None:
        """This coordinator follows one that died, and workers may be there that hold work: wait before planning."""
        self._rebuild_since = now
        self._expected = dict.fromkeys(range(self.job.workers), now)

    def _rebuild(self, now: float) -> None:
        """Once the survivors have reported, or have been waited for: know what they know."""
        if self._rebuild_since is None or self.ledger is not None:
            return
        if len(self.members) < self.job.workers and now - self._rebuild_since < self.settings.patience:
            return
        self._rebuild_since = None
        here = {w: (live.incarnation, self._held[w]) for w, live in self.members.items() if w in self._held}
        self._held.clear()
        if here:
            self.ledger, self.summary = rebuild(here, self.generation)
            self.epoch += 1
            self.planned_at = now
            self._out.clear()
            self._recounting = bool(self.ledger.unowned())
            self._grow(now)

    def _drain(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions
