"""What is known of each worker's slot: of the process in it, and of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shuffle_operator.history.figures import Activity, WorkerState
from shuffle_operator.history.lanes import LETTERS
from shuffle_operator.history.redact import said
from shuffle_protocol.measures import Spent
from shuffle_protocol.messages import Counters, LeaseId

LONGEST = 1e9
LARGEST = 1 << 60
"""`LONGEST`, `LARGEST`: seconds and bytes that a report can be about. A worker runs its user's functions, and may say
anything."""

STEPS = 64
"""Memory is told in parts of the budget, so that it is not new with every report."""


@dataclass(slots=True)
class Slot:
    """A worker's slot."""

    worker: int
    incarnation: str = ""
    state: str = "starting"
    processes: int = 0
    slots: int = 1
    budget: int = 0
    since: float = 0.0
    """When it last reported."""
    counters: Counters | None = None
    """Of its newest report; None before the first."""
    holding: dict[LeaseId, tuple[float, bool]] = field(default_factory=dict)
    """The leases that it has: since when, and whether they are work that is done again."""
    seconds: list[float] = field(default_factory=lambda: [0.0] * len(LETTERS))
    """By what they were spent on, in all."""
    peak: int = 0
    spilled: int = 0
    cpu: float = 0.0
    rows_read: int = 0
    bytes_sent: int = 0
    bytes_written: int = 0
    leases: int = 0
    waiting: str = ""
    blocked: float = 0.0
    """Seconds that frames for it waited."""

    def begin(self, incarnation: str, slots: int, budget: int, now: float) -> None:
        """Another process is in it."""
        self.incarnation, self.slots, self.budget, self.since = incarnation, slots, budget, now
        self.state = "there"
        self.processes += 1
        self.counters = None
        self.waiting = ""
        self.holding = {}

    def end(self, state: str) -> None:
        self.state, self.incarnation, self.counters, self.waiting = state, "", None, ""
        self.holding = {}

    def report(self, counters: Counters, now: float, *, survived: bool) -> list[float]:
        """What it spent its time on since its last report, in the order of `LETTERS`. survived: what it counted before
        its first report belongs to the time of an earlier coordinator."""
        before = self.counters
        if before is None:
            before = counters if survived else Counters()
        passed = (now - self.since) * self.slots
        spent = spent_between(before.spent, counters.spent, passed)
        for n, each in enumerate(spent):
            self.seconds[n] += each
        self.spilled = min(LARGEST, self.spilled + max(0, counters.spilled - before.spilled))
        self.cpu += risen(before.cpu, counters.cpu)
        self.blocked += risen(before.receiving_blocked, counters.receiving_blocked)
        self.peak = min(LARGEST, max(self.peak, counters.memory_peak))
        self.counters, self.since = counters, now
        return spent

    @property
    def resident(self) -> int:
        return min(LARGEST, max(0, self.counters.resident)) if self.counters is not None else 0

    @property
    def again(self) -> bool:
        """Most of what it has in hand is done again."""
        marks = [again for _, again in self.holding.values()]
        return bool(marks) and 2 * sum(marks) >= len(marks)

    def told(self, doing: str) -> WorkerState:
        step = max(1, self.budget // STEPS)
        return WorkerState(
            worker=self.worker,
            state=self.state,
            processes=self.processes,
            doing=doing,
            memory=round(self.resident / step) * step,
            memory_peak=self.peak,
            memory_budget=self.budget,
            spilled=self.spilled,
            cpu=round(self.cpu, 1),
            rows_read=self.rows_read,
            bytes_sent=self.bytes_sent,
            bytes_written=self.bytes_written,
            leases=self.leases,
            activity=activity(self.seconds),
            waiting=said(self.waiting),
        )


def risen(before: float, now: float) -> float:
    """By how much a counter of seconds has; 0 where it fell."""
    return min(LONGEST, max(0.0, now - before))


def spent_between(before: Spent, now: Spent, passed: float) -> list[float]:
    """Seconds in the order of `LETTERS`. passed: between the two, of all slots together.

    A lease that is in hand while nothing is computed for it waits for what it sent."""
    read, compute = risen(before.read, now.read), risen(before.compute, now.compute)
    disk, write = risen(before.disk, now.disk), risen(before.write, now.write)
    store, job = risen(before.store, now.store), risen(before.job, now.job)
    held = risen(before.held, now.held)
    waited = max(0.0, held - read - compute - disk - write - store - job)
    blocked = min(waited, risen(before.blocked, now.blocked))
    return [read, compute, waited - blocked, blocked, disk, write, store, job, max(0.0, passed - held), 0.0]


def activity(seconds: Sequence[float]) -> Activity:
    """Of seconds in the order of `LETTERS`."""
    read, compute, send, blocked, disk, write, store, job, idle, _ = (round(each, 1) for each in seconds)
    return Activity(
        read=read,
        compute=compute,
        send=send,
        blocked=blocked,
        disk=disk,
        write=write,
        store=store,
        job=job,
        idle=idle,
    )
