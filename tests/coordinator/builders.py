"""A coordinator and workers that say what a test wants them to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shuffle_operator.coordinator.actions import Action, Note, StartWorker
from shuffle_operator.coordinator.events import Started, Tick
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.state import JobState
from shuffle_protocol.jobs import Input, Job, Output, Repartition
from shuffle_protocol.messages import (
    VERSION,
    Counters,
    Done,
    Failure,
    Held,
    Lease,
    LeaseId,
    LeaseKind,
    Orders,
    PlanSummary,
    Register,
    Registered,
    Sync,
    Transferred,
    View,
)
from shuffle_worker.transfer.membership import Membership


def job(workers: int = 2, per_pod: int = 1) -> Job:
    inputs, output = [Input(["in"])], Output("out")
    return Job("uid", "job", Repartition(by=["a"]), inputs, output, workers, 1 << 29, workers_per_pod=per_pod)


def summary(splits: int = 4, groups: int = 4) -> PlanSummary:
    return PlanSummary("plan", [100] * splits, [1] * groups, groups, 1, 100, 10 * splits, 0, 0)


@dataclass
class Play:
    """A coordinator on a clock that a test moves."""

    machine: Coordinator
    now: float = 0.0
    actions: list[Action] = field(default_factory=list)

    @property
    def state(self) -> JobState:
        return self.machine.state

    def worker(self, number: int, incarnation: str = "") -> Puppet:
        return Puppet(self, number, incarnation or f"w{number}")

    def did(self, actions: list[Action]) -> None:
        self.actions += actions

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.did(self.machine.handle(Tick(), self.now))

    def started(self) -> list[int]:
        return [a.worker for a in self.actions if isinstance(a, StartWorker)]

    def notes(self) -> list[str]:
        return [a.reason for a in self.actions if isinstance(a, Note)]


@dataclass
class Puppet:
    play: Play
    number: int
    incarnation: str
    epoch: int = -1
    known: Membership = field(init=False)
    holding: list[LeaseId] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    full: str = ""
    waiting_reason: str = ""

    def __post_init__(self) -> None:
        self.known = Membership(self.number, self.incarnation)

    @property
    def view(self) -> View | None:
        """All that it knows, of the views that it was sent."""
        return self.known.view

    @property
    def owner(self) -> list[int]:
        """Of each group, as far as it knows."""
        return [self.known.owner_of(g) for g in range(self.known.groups)]

    @property
    def tranche(self) -> list[int]:
        return [self.known.tranche_of(g) for g in range(self.known.groups)]

    def register(self, version: int = VERSION, held: Held | None = None) -> Registered:
        message = Register(version, self.number, self.incarnation, f"127.0.0.1:{self.number}", 1, 1 << 29, held)
        reply, actions = self.play.machine.register(message, self.play.now)
        self.play.did(actions)
        return reply

    def sync(
        self, done: list[Done] | None = None, failed: list[Failure] | None = None, free: int = 1, leaving: bool = False
    ) -> Orders:
        finished = {d.id for d in done or []} | {f.id for f in failed or []}
        self.holding = [x for x in self.holding if x not in finished]
        message = Sync(
            self.number,
            self.incarnation,
            self.epoch,
            self.holding,
            done or [],
            failed or [],
            self.counters,
            free,
            leaving=leaving,
            full=self.full,
            waiting_reason=self.waiting_reason,
        )
        orders, actions = self.play.machine.sync(message, self.play.now)
        self.play.did(actions)
        if orders.view is not None:
            self.known.update(orders.view)
            self.epoch = self.known.epoch
        self.leases = orders.leases
        self.holding = [lease.id for lease in orders.leases]
        return orders

    def ask(self) -> LeaseId | None:
        """Sync until there is a lease; None where there is none."""
        for _ in range(3):
            orders = self.sync()
            if orders.leases:
                return orders.leases[0].id
        return None

    def finish(self, lease: LeaseId, rows: int = 10) -> Orders:
        if lease.kind is LeaseKind.PLAN:
            return self.sync([Done(lease, plan=summary())])
        if lease.kind is LeaseKind.TRANSFER:
            return self.sync([Done(lease, rows_read=rows, rows_moved=rows)])
        return self.sync([Done(lease, rows_moved=rows, rows_written=rows, bytes_written=rows, files=1)])


def held_by(puppet: Puppet, transferred: Sequence[Transferred] = (), view: View | None = None) -> Held:
    """What it says that it holds, its view and the plan's summary with it."""
    known = view or puppet.view
    assert known is not None
    return Held(known.epoch, known.plan, list(transferred), [], [], known, summary())


def play(workers: int = 2, generation: int = 0, per_pod: int = 1, **settings: float) -> Play:
    machine = Coordinator(job(workers, per_pod), Settings(**settings), generation)  # type: ignore[arg-type]
    p = Play(machine)
    p.did(machine.handle(Started(), 0.0))
    return p


def transferring(
    workers: int = 2, generation: int = 0, per_pod: int = 1, **settings: float
) -> tuple[Play, list[Puppet]]:
    """All workers are there and the plan is made: 4 splits, 4 groups."""
    p = play(workers, generation, per_pod, **settings)
    names = [f"w{n}" if per_pod == 1 else f"p{n // per_pod}.{n % per_pod}" for n in range(workers)]
    puppets = [p.worker(n, name) for n, name in enumerate(names)]
    for puppet in puppets:
        puppet.register()
    lease = puppets[0].ask()
    assert lease is not None
    puppets[0].finish(lease)
    return p, puppets
