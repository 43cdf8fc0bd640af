"""What a coordinator knows of its job: one record. Handlers change it (each says what), callers only read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_operator.coordinator.actions import Action
from shuffle_operator.coordinator.crashes import Crashes
from shuffle_operator.coordinator.earlier import Earlier, Setback
from shuffle_operator.coordinator.epochs import Epochs
from shuffle_operator.coordinator.job_leases import JobLeases
from shuffle_operator.coordinator.ledger.ledger import Ledger
from shuffle_operator.coordinator.losses import Cause, Losses
from shuffle_operator.coordinator.members import Live, Past
from shuffle_operator.coordinator.phases import TERMINAL
from shuffle_operator.coordinator.rebuild import EPOCHS
from shuffle_operator.coordinator.rollback import Rollback
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.state_recovery import StateRecovery
from shuffle_operator.coordinator.stragglers import Stragglers
from shuffle_operator.coordinator.waits import Waits
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import LeaseId, LeaseKind, Phase, PlanSummary

NEARLY = 99.0
"""Percent of a job that only has the commit left."""

WRITE_SHARE = 0.45
"""Of a job's time, where the plan does not say (docs/performance.md)."""


@dataclass(slots=True)
class JobState:
    """The state of one job. Moments are in seconds of the caller's clock, None where they have not come."""

    job: Job
    settings: Settings = field(default_factory=Settings)
    generation: int = 0
    """See `rebuild.py`; 0 for the first."""

    phase: Phase = Phase.PENDING
    summary: PlanSummary | None = None
    """Of the plan; None before there is one."""
    ledger: Ledger | None = None
    """None before there is a plan."""
    output: dict[str, str | int | float] = field(default_factory=dict)
    """What the commit reported."""
    job_leases: JobLeases = field(default_factory=JobLeases)
    failures: dict[tuple[LeaseKind, int, int], int] = field(default_factory=dict)
    """(kind, tranche, item) -> how often such a lease failed."""

    started_at: float | None = None
    planned_at: float | None = None
    grown_at: float | None = None
    """When the plan asked for more workers."""
    barrier_at: float | None = None
    finished_at: float | None = None
    alone_since: float | None = None
    """Since when there has been no worker."""

    members: dict[int, Live] = field(default_factory=dict)
    """Slot -> the worker in it."""
    starting: dict[int, float] = field(default_factory=dict)
    """Slot -> since when a worker has been starting in it."""
    draining: set[int] = field(default_factory=set)
    """Workers that are not able to work, or were not."""
    writers: set[int] = field(default_factory=set)
    """Workers with a lease that could still write."""
    lost_incarnations: set[str] = field(default_factory=set)
    """A lost process must not take the place of its successor."""
    dismissed: set[str] = field(default_factory=set)
    """Incarnations that are no longer wanted, and may go."""
    past: Past = field(default_factory=Past)
    lost: int = 0
    replaced: int = 0
    """`lost`, `replaced`: numbers of workers so far."""
    losses: Losses = field(default_factory=Losses)
    crashes: Crashes = field(default_factory=Crashes)
    had_workers: bool = False
    first_worker_at: float | None = None
    """When the first worker registered with this coordinator."""
    waiting_reason: str = ""
    """What keeps workers from starting, in a launcher's words; "" where nothing is known."""

    cause: Cause | None = None
    """Why the job fails."""
    last_failure: Cause | None = None
    fail_later: Cause | None = None
    """A loss was one too many: the job fails with the next step."""
    rollback: Rollback | None = None
    left_behind: bool = False
    """What the job wrote could not be removed."""

    recovery: StateRecovery = field(default_factory=StateRecovery)
    recovering: bool = False
    """A worker looks which groups are written, before those that nobody holds are given out."""
    earlier: Earlier = field(default_factory=Earlier)
    setback: Setback = field(default_factory=Setback)
    waits: Waits = field(default_factory=Waits)

    migrating: set[tuple[int, int]] = field(default_factory=set)
    """(tranche, worker) of the handovers that were going on when somebody last looked."""
    epochs: Epochs = field(init=False)
    stragglers: Stragglers = field(init=False)
    actions: list[Action] = field(default_factory=list)
    """What this event asks for; the caller takes them with the answer."""

    def __post_init__(self) -> None:
        self.epochs = Epochs(self.generation * EPOCHS)
        self.stragglers = Stragglers()

    @property
    def no_report(self) -> str:
        """Why the report that was asked for is not beside the output, as the commit says it; "" where it is."""
        return str(self.output.get("noReport", ""))

    @property
    def epoch(self) -> int:
        return self.epochs.number

    @property
    def over(self) -> bool:
        return self.phase in TERMINAL

    @property
    def failing(self) -> bool:
        return self.rollback is not None

    @property
    def barrier_wait(self) -> float | None:
        """Seconds from the plan until every row had arrived; None before that."""
        if self.barrier_at is None or self.planned_at is None:
            return None
        return self.barrier_at - self.planned_at

    def able(self) -> list[int]:
        """Workers that may own groups."""
        return sorted(w for w, live in self.members.items() if live.able)

    def pod_of(self, worker: int) -> range:
        """The workers that run in one pod, this one among them: they start together and are lost together."""
        each = self.job.workers_per_pod
        first = worker - worker % each
        return range(first, first + each)

    def live_in_pod_of(self, worker: int) -> list[Live]:
        """Of these, those that have registered and not been lost."""
        return [self.members[each] for each in self.pod_of(worker) if each in self.members]

    def settled(self, now: float) -> bool:
        """All workers that were asked for are here, or the others have been waited for long enough."""
        if len(self.members) >= self.job.workers:
            return True
        since, patience = self.planned_at, self.settings.patience
        if self.grown_at is not None:
            since, patience = self.grown_at, self.settings.growth_patience
        return since is not None and now - since >= patience

    def leases_of(self, worker: int) -> list[LeaseId]:
        """All leases that a worker has and is meant to have."""
        held = self.job_leases.of(worker)
        if self.ledger is not None and not self.failing:
            held += self.ledger.granting.leases.of(worker)
        return held

    # -- how far it is -----------------------------------------------------------------------------------------------

    @property
    def percent(self) -> float:
        """Percent of the whole job, for a bar that moves evenly."""
        if self.phase is Phase.COMPLETE:
            return 100.0
        if self.ledger is None:
            return self.setback.best  # as far as is known
        writing = self.summary.write_share if self.summary is not None else WRITE_SHARE
        return NEARLY * ((1 - writing) * self.read_share + writing * self.written_share)

    @property
    def read_share(self) -> float:
        """The share of the splits that have arrived."""
        facts = self.ledger.facts if self.ledger is not None else None
        return facts.splits_done / facts.splits if facts is not None and facts.splits else 1.0

    @property
    def written_share(self) -> float:
        """The share of the groups that are written, with the parts of those being written."""
        if self.ledger is None:
            return 0.0
        facts = self.ledger.facts
        in_hand = sum(live.counters.progress for live in self.members.values())
        return min(facts.groups_written + in_hand, facts.groups) / facts.groups
