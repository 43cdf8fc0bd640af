"""What the state machine of a job knows, and the few moves that all else is made of: a worker starts or is lost, the
phase goes on, the job fails.

`machine.py` adds the events; `migration.py` and `grants.py` decide on top of this who owns what, and who does what;
`results.py` counts what was done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from shuffle_operator.coordinator.crashes import Crashes
from shuffle_operator.coordinator.earlier import Earlier, Setback
from shuffle_operator.coordinator.epochs import Epochs
from shuffle_operator.coordinator.events import Action, Note, StartWorker, StopWorker, Wake
from shuffle_operator.coordinator.job_leases import JobLeases
from shuffle_operator.coordinator.ledger import Ledger
from shuffle_operator.coordinator.losses import Cause, Losses
from shuffle_operator.coordinator.members import Live, Past
from shuffle_operator.coordinator.phases import TERMINAL, TRANSITIONS
from shuffle_operator.coordinator.rebuild import EPOCHS
from shuffle_operator.coordinator.rollback import Rollback
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.state_recovery import StateRecovery
from shuffle_operator.coordinator.stragglers import Stragglers
from shuffle_operator.coordinator.waits import Waits
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import LeaseId, Phase, PlanSummary
from shuffle_protocol.units import counted

NEARLY = 99.0
"""Percent of a job that only has the commit left."""

WRITE_SHARE = 0.45
"""Of a job's time, where the plan does not say (docs/performance.md)."""


@dataclass(slots=True)
class Core:
    """The state of one job. Of `members`: a worker drains if it is not able to work, or was not; a writer holds a lease
    that could still write. Of incarnations: a lost one must not take the place of its successor; a dismissed one is no
    longer wanted, and may go."""

    job: Job
    settings: Settings = field(default_factory=Settings)
    generation: int = 0
    """See `rebuild`; 0 for the first."""
    phase: Phase = Phase.PENDING
    members: dict[int, Live] = field(default_factory=dict)
    past: Past = field(default_factory=Past)
    summary: PlanSummary | None = None
    ledger: Ledger | None = None
    cause: Cause | None = None
    output: dict[str, str | int | float] = field(default_factory=dict)
    started_at: float | None = None
    planned_at: float | None = None
    grown_at: float | None = None
    barrier_at: float | None = None
    finished_at: float | None = None
    alone_since: float | None = None
    losses: Losses = field(default_factory=Losses)
    crashes: Crashes = field(default_factory=Crashes)
    lost: int = 0
    replaced: int = 0
    last_failure: Cause | None = None
    waiting_reason: str = ""
    """What keeps workers from starting, in a launcher's words; "" where nothing is known."""
    left_behind: bool = False
    """What the job wrote could not be removed."""
    rollback: Rollback | None = None
    fail_later: Cause | None = None
    recovering: bool = False
    """A worker looks which groups are written, before those that nobody holds are given out."""
    draining: set[int] = field(default_factory=set)
    writers: set[int] = field(default_factory=set)
    starting: dict[int, float] = field(default_factory=dict)
    lost_incarnations: set[str] = field(default_factory=set)
    dismissed: set[str] = field(default_factory=set)
    actions: list[Action] = field(default_factory=list)
    job_leases: JobLeases = field(default_factory=JobLeases)
    recovery: StateRecovery = field(default_factory=StateRecovery)
    earlier: Earlier = field(default_factory=Earlier)
    setback: Setback = field(default_factory=Setback)
    waits: Waits = field(default_factory=Waits)
    had_workers: bool = False
    epochs: Epochs = field(init=False)
    stragglers: Stragglers = field(init=False)

    def __post_init__(self) -> None:
        self.epochs = Epochs(self.generation * EPOCHS)
        self.stragglers = Stragglers(self.settings)

    # -- what callers read -------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return self.epochs.number

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
    def failing(self) -> bool:
        return self.rollback is not None

    def quiet(self) -> bool:
        """Nobody holds a lease that could still write, so that an abort finds all there is to remove."""
        return not self.writers

    def able(self) -> list[int]:
        """Workers that may own groups."""
        return sorted(w for w, live in self.members.items() if live.able)

    def settled(self, now: float) -> bool:
        """All workers that were asked for are here, or the others have been waited for long enough."""
        if len(self.members) >= self.job.workers:
            return True
        since, patience = self.planned_at, self.settings.patience
        if self.grown_at is not None:
            since, patience = self.grown_at, self.settings.growth_patience
        return since is not None and now - since >= patience

    def leases_of(self, worker: int) -> list[LeaseId]:
        held = self.job_leases.of(worker)
        if self.ledger is not None and not self.failing:
            held += self.ledger.leases.of(worker)
        return held

    # -- what came before --------------------------------------------------------------------------------------------

    def restore(self, earlier: Earlier) -> list[Action]:
        """Restore what earlier coordinators of this job had counted. To be called once, before anything else
        happens."""
        self.earlier = earlier
        self.losses.failures, self.losses.disruptions = earlier.failures, earlier.disruptions
        self.lost, self.replaced = earlier.lost, earlier.replaced
        here = f"{earlier.workers} of its workers were" if earlier.workers else "none of its workers was"
        self.setback.restore(earlier.progress, f"a new operator took the job over, when {here} there")
        self.had_workers = earlier.workers > 0
        return self.drain()

    def missed(self, worker: int, why: str, fault: bool) -> list[Action]:
        """A worker went while no coordinator was there to see it; another one is being started in its place."""
        if not self.over:
            self.lost += 1
            self.replaced += 1
            self.count_loss(worker, why, fault)
            self.actions.append(Note("WorkerLost", f"worker {worker} was lost: {why}", warning=True))
        return self.drain()

    def held_up(self, now: float) -> list[Action]:
        """No worker can be started, for a reason that is not the job's fault, such as waiting for its turn: its time to
        start has not begun."""
        if not self.members:
            self.alone_since = now
            if not self.had_workers:
                self.started_at = now
        return self.drain()

    def follow(self, now: float) -> None:
        """How far it is now, and what it waits for."""
        if self.ledger is not None:
            self.stragglers.keep_only(self.ledger.out)
            self.setback.follow(self.percent)
        self.actions += self.waits.follow(self.members.values(), (self.planned_at, self.barrier_at), now)

    @property
    def percent(self) -> float:
        """Percent of the whole job, for a bar that moves evenly."""
        ledger = self.ledger
        if self.phase is Phase.COMPLETE:
            return 100.0
        if ledger is None:
            return self.setback.best  # as far as is known
        writing = self.summary.write_share if self.summary is not None else WRITE_SHARE
        return NEARLY * ((1 - writing) * self.read_share + writing * self.written_share)

    @property
    def read_share(self) -> float:
        """The share of the splits that have arrived."""
        ledger = self.ledger
        return ledger.splits_done / ledger.splits if ledger is not None and ledger.splits else 1.0

    @property
    def written_share(self) -> float:
        """The share of the groups that are written, with the parts of those being written."""
        ledger = self.ledger
        if ledger is None:
            return 0.0
        in_hand = sum(live.counters.progress for live in self.members.values())
        return min(ledger.groups_written + in_hand, ledger.groups) / ledger.groups

    # -- workers -----------------------------------------------------------------------------------------------------

    def start_worker(self, worker: int, now: float) -> None:
        if worker not in self.members:
            self.starting[worker] = now
            self.actions.append(StartWorker(worker, self.epoch))

    def lose(
        self, live: Live, now: float, why: str, *, fault: bool = False, counted: bool = True, crashed: bool = False
    ) -> None:
        """fault, crashed: see `Coordinator.worker_gone`. counted: against the job's limits."""
        if crashed:
            in_hand = {*live.holding, *self.leases_of(live.worker)}
            again = self.generation > 0
            enough = self.crashes.note(in_hand, live.worker, why, self.settings, planned_before=again)
            self.fail_later = self.fail_later or enough
        self.drop(live)
        counted = counted and not live.released
        self.epochs.changed()
        repair = 0
        self.setback.cause = f"worker {live.worker} was lost: {why}"
        if self.ledger is not None:
            repair = len(self.ledger.lose(live.worker))
            self.ledger.assign(self.able())
        if counted:
            self.lost += 1
            self.count_loss(live.worker, why, fault)
        self.actions.append(Wake(None))
        if not self.members:
            self.alone_since = now
        if not counted and not repair:
            self.actions.append(Note("WorkerLeft", f"worker {live.worker} left; nothing that it held is missing"))
            return
        if repair:
            what = f"{repair} of its unwritten groups are done again"
            self.actions.append(Note("WorkerLost", f"worker {live.worker} was lost: {why}; {what}", warning=True))
        else:
            self.actions.append(
                Note("WorkerLost", f"worker {live.worker} was lost: {why}; nothing it held is missing", warning=True)
            )

    def drop(self, live: Live) -> None:
        del self.members[live.worker]
        self.draining.discard(live.worker)
        self.epochs.left(live.worker)
        self.writers.discard(live.worker)
        self.job_leases.lose(live.worker)
        self.lost_incarnations.add(live.incarnation)
        self.past.add(live)
        self.stragglers.forget(live.worker)

    def replace(self, live: Live, now: float, why: str, *, fault: bool = False) -> None:
        """A worker that is there and of no use: it counts as lost, is stopped, and another one is started in its
        place."""
        self.lose(live, now, why, fault=fault)
        self.actions.append(StopWorker(live.worker, now=True))
        if not self.failing and live.worker < self.job.workers:
            self.start_worker(live.worker, now)
            self.replaced += 1

    def count_loss(self, worker: int, why: str, fault: bool) -> None:
        self.last_failure = Cause("WorkerFailed" if fault else "WorkerLost", why, worker)
        enough = self.losses.count(worker, why, fault, self.job.workers, self.settings)
        self.fail_later = self.fail_later or enough

    def progress(self, lease: LeaseId) -> None:
        """A lease was finished."""
        self.losses.progress()
        self.crashes.finished(lease)

    def resume(self, written: Iterable[tuple[int, int, int]]) -> None:
        """Groups, with their rows and bytes, that were written under coordinators before this one. The worker that
        wrote one has dropped its shards and takes no more for it, so it must not be handed over like one that is to be
        written.
        """
        ledger = self.ledger
        assert ledger is not None
        before = ledger.groups_written
        for group, rows, size in written:
            ledger.found_written(group, rows, size)
        found = ledger.groups_written - before
        if found:
            ledger.reindex()
            self.epochs.changed()
            self.actions += [Note("Resumed", f"{found} groups are written already"), Wake(None)]

    # -- phases ------------------------------------------------------------------------------------------------------

    def go(self, phase: Phase, now: float) -> None:
        if phase is self.phase:
            return
        if phase not in TRANSITIONS[self.phase]:
            raise AssertionError(f"{self.phase} does not lead to {phase}")
        self.phase = phase
        self.actions.append(Note(str(phase), self._sentence(phase)))
        self.actions.append(Wake(None))
        if phase in TERMINAL:
            self.finished_at = now
            for worker in set(self.members) | set(self.starting):
                self.actions.append(StopWorker(worker, now=False))

    def _sentence(self, phase: Phase) -> str:
        if phase is Phase.FAILED and self.cause is not None:
            return f"{self.cause.reason}: {self.cause.message}"
        if phase is Phase.TRANSFERRING and self.ledger is not None:
            return f"{counted(self.ledger.splits, 'split')} into {counted(self.ledger.groups, 'group')}"
        return f"{self.job.name} is {str(phase).lower()}"

    def fail(self, cause: Cause, now: float) -> None:
        """Note the root cause, once; what follows from it does not replace it."""
        if self.failing or self.over:
            return
        self.cause = cause
        self.rollback = Rollback(cause, now)
        self.job_leases.revoke_all()
        if self.ledger is not None:
            self.ledger.leases.revoke_all()
        self.actions.append(Wake(None))

    def drain(self) -> list[Action]:
        actions, self.actions = self.actions, []
        return actions
