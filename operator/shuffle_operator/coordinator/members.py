"""Who is in a job: one entry for each live worker process, and what the lost ones had counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from shuffle_protocol.messages import Counters, LeaseId, LeaseKind, Member


@dataclass(slots=True)
class Live:
    """A worker that has registered and not been lost."""

    worker: int
    incarnation: str
    address: str
    slots: int
    memory: int
    seen: float
    epoch: int = -1
    """The epoch of the view that it has."""
    joined: int = 0
    """The epoch from which on others know it."""
    holding: list[LeaseId] = field(default_factory=list)
    """The leases that it reported, and those given to it since."""
    counters: Counters = field(default_factory=Counters)
    idle: bool = False
    """It asked for work, and there was none."""
    leaving: bool = False
    """It is asked to go, or is to be let go (surplus)."""
    surplus: bool = False
    surplus_since: float = 0.0
    full: str = ""
    """Why its scratch cannot be used, "" where it can."""
    released: bool = False
    """It was leaving, and nothing of it is needed any more."""
    waiting_reason: str = ""
    """What it waits for; "": nothing."""
    steps: int = -1
    step_at: float = 0.0
    """`steps`, `step_at`: its steps, and when it last made one."""
    stored_calls: int = -1
    stored_at: float = 0.0
    """`stored_calls`, `stored_at`: the same, for what it stores."""
    behind_since: float = 0.0
    """When it last had the newest view, or took one."""
    spilled_before: int | None = None
    """Bytes that it had spilled under earlier coordinators; None before its first report."""
    member: Member = field(init=False)

    def __post_init__(self) -> None:
        self.behind_since = self.seen
        self.member = Member(self.worker, self.incarnation, self.address)

    def count(self, counters: Counters, *, survived: bool) -> None:
        """What it counts of itself, from the start of its process. survived: an earlier coordinator may have had it."""
        if self.spilled_before is None:
            self.spilled_before = counters.spilled if survived else 0
        self.counters = counters

    @property
    def spilled(self) -> int:
        """Bytes, under this coordinator."""
        return max(0, self.counters.spilled - (self.spilled_before or 0))

    def runs_as(self, incarnation: str | None) -> bool:
        """Whether it is that process, or one of that pod; None: of whatever is in its slot."""
        return incarnation is None or self.incarnation.partition(".")[0] == incarnation.partition(".")[0]

    @property
    def able(self) -> bool:
        """It may own groups."""
        return not self.leaving and not self.full

    @property
    def writes(self) -> bool:
        """It has a lease that could still write something."""
        return any(lease.kind is not LeaseKind.ABORT for lease in self.holding)


@dataclass(slots=True)
class Past:
    """Sums over workers that are gone, so that the job's counters never fall."""

    spilled: int = 0
    refused: int = 0
    repeated: int = 0
    corrupt: int = 0
    memory_peak: int = 0
    cpu: float = 0.0

    def add(self, live: Live) -> None:
        counters = live.counters
        self.spilled += live.spilled
        self.refused += counters.refused
        self.repeated += counters.repeated
        self.corrupt += counters.corrupt
        self.memory_peak = max(self.memory_peak, counters.memory_peak)
        self.cpu += counters.cpu
