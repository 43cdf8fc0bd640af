"""A whole job in one process: the real coordinator, real agents with their real inbox and outbox, over a made-up world.

    model.py     the job, its input and output        network.py   messages
    disks.py     scratch                              World        clock, lives, mischief

Every choice is drawn from one seeded generator, so that a seed decides a run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from shuffle_operator.coordinator.actions import Action, Note, StartWorker, StopWorker, Wake
from shuffle_operator.coordinator.events import Resized, Restored, Started, Tick, WorkerGone
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.rebuild import EPOCHS
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.jobs import Input, Job, Output, Repartition
from shuffle_protocol.messages import PlanSummary
from shuffle_worker.store.retained import RetainedShards
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.exchange import Exchange, GroupMap
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.object_exchange import ObjectExchange
from shuffle_worker.transfer.objects import ShardFiles
from shuffle_worker.transfer.outbox import Sender
from shuffle_worker.transfer.peer_exchange import PeerExchange
from shuffle_worker.transfer.transport import Unreachable
from shuffle_worker.worker.agent import Agent, AgentSettings
from tests.simulation.disks import Disk, DiskLog, DiskStore
from tests.simulation.model import ObjectStore, Shape, SimulatedWork
from tests.simulation.network import Control, Peers

GRACE = 12.0
"""Seconds that a worker which is told to go may take."""

SETTINGS = Settings(
    silence=6.0,
    patience=2.0,
    growth_patience=4.0,
    disruption_limit=10_000,
    backoff_limit=10_000,
    startup_deadline=300.0,
    lease_attempts=100,  # with 240 blocks and a hundredth of them rotten most tries fail
    crash_attempts=100,
    speculate_after=0.5,
    rebalance_after=0.3,
    stall=90.0,
    owner_stall=60.0,
    absent=30.0,
)


@dataclass
class Faults:
    """Chances, each for one message, one call or one second. delay: the mean of a message's, seconds."""

    lose: float = 0.0
    double: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.005
    kill: float = 0.0  # a worker
    burst: float = 0.0  # several workers at once
    freeze: float = 0.0  # a worker, for up to a minute
    evict: float = 0.0  # a worker is told to go, and killed when its grace is over
    slow: float = 0.0  # a worker computes fifty times slower from now on
    hang: float = 0.0  # a worker's computing stops for good, while it answers
    full: float = 0.0  # a worker's disk takes nothing more
    rot: float = 0.0  # a block that is read from scratch is damaged
    store: float = 0.0  # a call of the object store fails for good
    resize: float = 0.0  # another number of workers is wanted
    coordinator: float = 0.0  # loses its memory
    everything: float = 0.0  # all workers and the coordinator at once
    most_kills: int = 20


@dataclass
class Process:
    agent: Agent
    task: asyncio.Task[None]
    inbox: Inbox
    incarnation: str
    disk: Disk
    budgets: tuple[ByteBudget, ByteBudget]  # for sending, for receiving
    frozen_until: float = 0.0
    slowness: float = 1.0
    dead: bool = False


class World:
    """Runs one job under faults. `trace` tells what happened, a line each."""

    def __init__(self, seed: int, shape: Shape, faults: Faults, settings: Settings = SETTINGS) -> None:
        self.random = random.Random(seed)
        self.shape = shape
        self.faults = faults
        self.objects = ObjectStore(self.random, faults.store)
        self.trace: list[str] = []
        workers = shape.workers
        self.job = Job(
            "uid",
            "job",
            Repartition(),
            [Input(["in"])],
            Output("out"),
            workers,
            1 << 29,
            retain_shards=shape.retain,
            workers_per_pod=shape.per_pod,
        )
        self.settings = settings
        self.machine = Coordinator(self.job, settings)
        self.processes: dict[int, Process] = {}
        self.everyone: list[Process] = []
        self.news: dict[int, asyncio.Event] = {}
        self.losses = 0
        self.ended = False
        self.forgotten = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kills = 0
        self._number = 0

    # -- the run -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        self.perform(self.machine.handle(Started(), self.now))
        mischief = asyncio.create_task(self._mischief())
        try:
            while not self.machine.state.over:
                await asyncio.sleep(0.25)
                self.perform(self.machine.handle(Tick(), self.now))
            cause = self.machine.state.cause
            self.say(f"over: {self.machine.state.phase}" + (f", {cause.reason}: {cause.message}" if cause else ""))
            await asyncio.sleep(120.0)  # whoever still lives has time to do harm
            mischief.result() if mischief.done() else None
            self.check_nothing_left()
        finally:
            self.ended = True
            mischief.cancel()
            for process in self.everyone:
                process.task.cancel()
            await asyncio.gather(*(p.task for p in self.everyone), return_exceptions=True)

    def check_nothing_left(self) -> None:
        """Processes that ended as they should have given back what they took."""
        for process in self.everyone:
            if process.task.done() and not process.dead:
                send, receive = process.budgets
                # A call of the store that hangs holds what it was given: only the end of a real process ends it.
                assert not send.used, f"{process.incarnation} kept bytes of the budget for sending"
                assert not receive.used or process.inbox.storing, (
                    f"{process.incarnation} kept bytes of the other budget"
                )
                assert (send.limit, receive.limit) == (400, 1 << 16), f"{process.incarnation} stayed narrow"
                assert not process.agent._running, f"{process.incarnation} ended with leases running"

    @property
    def handed_over(self) -> int:
        """How often groups changed hands, as far as the coordinator that is there knows: each time makes a tranche."""
        ledger = self.machine.state.ledger
        first = self.machine.state.generation * EPOCHS + self.shape.waves
        return max(0, ledger.facts.next_tranche - first) if ledger is not None else 0

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def say(self, text: str) -> None:
        self.trace.append(f"{self.now:9.3f}  {text}")

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def aside(self, call: Coroutine[Any, Any, object]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(lambda t: (self._tasks.discard(t), t.cancelled() or t.exception()))

    # -- mischief ----------------------------------------------------------------------------------------------------

    async def _mischief(self) -> None:
        f = self.faults
        while not self.machine.state.over:
            await asyncio.sleep(self.random.expovariate(4.0))
            self._at_random(f.kill, lambda: self.kill(self._somebody()))
            self._at_random(f.burst, self._burst)
            self._at_random(f.freeze, self._freeze)
            self._at_random(f.evict, lambda: self.evict(self._somebody()))
            self._at_random(f.slow, lambda: self.slow(self._somebody(), 50.0))
            self._at_random(f.hang, lambda: self.slow(self._somebody(), 1e6))
            self._at_random(f.full, self._fill)
            most = self.shape.workers // self.shape.per_pod + 2
            self._at_random(f.resize, lambda m=most: self.resize(self.random.randint(1, m) * self.shape.per_pod))  # type: ignore[misc]
            self._at_random(f.coordinator, self.forget)
            self._at_random(f.everything, self._end_of_the_world)

    def _at_random(self, probability: float, strike: Callable[[], None]) -> None:
        if self.chance(probability / 4) and self.processes and self._kills < self.faults.most_kills:
            self._kills += 1
            strike()

    def _somebody(self) -> int:
        return self.random.choice(list(self.processes))

    def _burst(self) -> None:
        for worker in self.random.sample(list(self.processes), self.random.randint(1, len(self.processes))):
            if worker in self.processes:  # and not killed with another one of its pod
                self.kill(worker)

    def _end_of_the_world(self) -> None:
        for worker in list(self.processes):
            if worker in self.processes:
                self.kill(worker)
        self.forget()

    def _freeze(self) -> None:
        process = self.processes[self._somebody()]
        process.frozen_until = self.now + self.random.choice([1.0, 5.0, 15.0, 60.0])
        self.losses += 1
        self.say(f"freeze {process.agent.worker} until {process.frozen_until:.1f}")

    def _fill(self) -> None:
        """The disk of one worker, where another one's has room."""
        worker = self._somebody()
        if any(w != worker and not p.disk.full and not p.dead for w, p in self.processes.items()):
            self.processes[worker].disk.full = True
            self.processes[worker].disk.broken = self.chance(0.3)
            self.say(f"the disk of {worker} is {'broken' if self.processes[worker].disk.broken else 'full'}")

    def slow(self, worker: int, times: float) -> None:
        self.processes[worker].slowness = times
        self.losses += 1
        self.say(f"{worker} is {times:g} times slower")

    def evict(self, worker: int) -> None:
        pod = self.pod(self.processes[worker])
        self.say(f"tell {worker} to go")
        self.losses += len(pod)
        ends = self.now + GRACE
        for process in pod:
            process.agent.leave()

        def watch() -> None:
            here = [process for process in pod if not (process.dead or process.task.done())]
            if not here:
                return
            if self.now > ends or all(process.agent.released for process in here):
                self.kill(here[0].agent.worker, here[0])
            else:
                self._later(0.3, watch)

        watch()

    def resize(self, workers: int) -> None:
        self.say(f"{workers} workers are wanted")
        self.job = self.machine.state.job
        self.perform(self.machine.handle(Resized(workers), self.now))
        self.job = self.machine.state.job

    def forget(self) -> None:
        """The coordinator dies; another one takes its place and knows nothing."""
        if self.machine.state.over:
            return
        self.say("the coordinator loses its memory")
        self.forgotten += 1
        self.machine = Coordinator(self.job, self.settings, self.machine.state.generation + 1)
        self.machine.handle(Restored(survivors=True), self.now)
        actions = self.machine.handle(Started(), self.now)
        taken = [action for action in actions if isinstance(action, StartWorker) and action.worker in self.processes]
        self.perform([action for action in actions if action not in taken])  # a launcher starts none beside another

    # -- what the coordinator asks for -------------------------------------------------------------------------------

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Wake):
                for worker, event in self.news.items():
                    if action.workers is None or worker in action.workers:
                        event.set()
            elif isinstance(action, StartWorker):
                self._later(self.random.uniform(0.2, 3.0), lambda w=action.worker: self.start(w))  # type: ignore[misc]
            elif isinstance(action, StopWorker) and action.now:
                self._later(self.random.uniform(0.0, 20.0), lambda w=action.worker: self._end_silent(w))  # type: ignore[misc]
            elif isinstance(action, StopWorker) and not self.machine.state.over and action.worker in self.processes:
                self.evict(action.worker)
            elif isinstance(action, Note):
                self.say(f"note {action.reason}: {action.message}")

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay, call)

    def start(self, first: int) -> None:
        """first: of the pod's."""
        pod = range(first, first + self.shape.per_pod)
        if any(worker in self.processes for worker in pod) or self.machine.state.over or first >= self.job.workers:
            return
        self._number += 1
        for number, worker in enumerate(pod):
            self._start(worker, f"i{self._number}.{number}" if self.shape.per_pod > 1 else f"i{self._number}")

    def pod(self, process: Process) -> list[Process]:
        """The processes that run in the same one and have not ended, that one among them."""
        return [one for one in self.everyone if not one.task.done() and _pod(one) == _pod(process)] or [process]

    def _start(self, worker: int, incarnation: str) -> None:
        disk = Disk(self.random, self.faults.rot)
        membership = Membership(worker, incarnation)
        inbox = Inbox(membership, self._run_for(incarnation, 0.01), 1 << 16)
        send_budget = ByteBudget(400)

        def alive() -> bool:
            process = self.process(incarnation)
            return process is not None and not process.dead

        compute, aside = self._run_for(incarnation, 0.02), self._run_for(incarnation, 0.01)
        work = SimulatedWork(self.shape, self.objects, alive)

        def open_exchange(job: Job, summary: PlanSummary, groups: GroupMap) -> Exchange:
            if summary.method == "ObjectStore":
                files = ShardFiles(self.objects, "shards", self.shape.splits, groups.buckets(), 100, 4000)
                return ObjectExchange(files, compute)
            retained = None
            if job.retain_shards:
                retained = RetainedShards(DiskLog(disk), self.random.choice([0, 600, 1 << 20]), groups.group_of)
            sender = Sender("uid", membership, groups, inbox, Peers(self, incarnation), send_budget, 100)
            beside_writes = 100 * (self._number % 2)  # of half of the processes: it must change nothing
            return PeerExchange(sender, DiskStore(disk), aside, retained, beside_writes)

        agent = Agent(
            worker=worker,
            incarnation=incarnation,
            address=incarnation,
            slots=1,
            memory=1 << 29,
            control=Control(self, incarnation),
            membership=membership,
            choose=lambda _: work,
            open_exchange=open_exchange,
            compute=compute,
            aside=aside,
            finish=aside,
            settings=AgentSettings(heartbeat=1.0, poll=3.0, retry=1.0),
        )
        task = asyncio.create_task(agent.run())
        process = Process(agent, task, inbox, incarnation, disk, (send_budget, inbox._budget))
        self.processes[worker] = process
        self.everyone.append(process)
        self.say(f"start {worker} as {incarnation}")
        task.add_done_callback(lambda _: self._ended(worker, process))

    def _end_silent(self, worker: int) -> None:
        """The launcher removes a process that was declared lost; a zombie has lived until now."""
        process = self.processes.get(worker)
        member = self.machine.state.members.get(worker)
        if process is not None and (member is None or member.incarnation != process.incarnation):
            self.kill(worker)

    def _ended(self, worker: int, process: Process) -> None:
        if process.task.cancelled() or process.dead:
            return
        error = process.task.exception()
        if error is not None:
            self.say(f"{worker} ended: {error!r}")
        others = [one for one in self.pod(process) if one is not process]
        if error is None and others:
            return  # the last of the pod ends it
        for one in others:
            self._end(one)
        if self._removed(process):
            self.perform(
                self.machine.handle(WorkerGone(worker, process.incarnation, f"ended: {error}", False), self.now)
            )

    def _removed(self, process: Process) -> bool:
        """Its pod is gone: its slots are free. False where another one has them already."""
        mine = [worker for worker, one in self.processes.items() if _pod(one) == _pod(process)]
        for worker in mine:
            del self.processes[worker]
        return bool(mine)

    def _end(self, process: Process) -> None:
        process.dead = True
        process.task.cancel()
        for running in process.agent._running.values():
            running.task.cancel()

    def kill(self, worker: int, process: Process | None = None) -> None:
        """process: which one, if it is not whoever is there now; with it goes its pod. Every second one counts as a
        crash of its own."""
        if process is None:
            process = self.processes[worker]
        self._removed(process)
        for one in self.pod(process):
            self.losses += 1
            self.say(f"kill {one.agent.worker} ({one.incarnation})")
            self._end(one)
        incarnation, crashed = process.incarnation, self.losses % 2 == 0
        self._later(
            self.random.uniform(0.0, 8.0),
            lambda: self.perform(
                self.machine.handle(WorkerGone(worker, incarnation, "killed", crashed, crashed=crashed), self.now)
            ),
        )

    # -- time and network --------------------------------------------------------------------------------------------

    def process(self, incarnation: str) -> Process | None:
        return next((p for p in self.everyone if p.incarnation == incarnation), None)

    async def thaw(self, incarnation: str) -> None:
        """A frozen process does nothing until it is thawed."""
        process = self.process(incarnation)
        while process is not None and process.frozen_until > self.now:  # noqa: ASYNC110 - it may be frozen again
            await asyncio.sleep(process.frozen_until - self.now)

    def _run_for(self, incarnation: str, mean: float) -> Callable[..., Any]:
        async def run(function: Callable[..., Any], *arguments: Any) -> Any:
            process = self.process(incarnation)
            slowness = process.slowness if process is not None else 1.0
            left = self.random.expovariate(1 / mean) * slowness
            while left > 0 and not self.ended:
                await asyncio.sleep(min(left, 20.0))
                left -= 20.0
            await self.thaw(incarnation)
            return function(*arguments)

        return run

    async def travel(self, sender: str, receiver: str | None) -> None:
        """A message's way; raises Unreachable where it is lost."""
        await self.thaw(sender)
        await asyncio.sleep(self.random.expovariate(1 / self.faults.delay))
        if self.chance(self.faults.lose):
            await asyncio.sleep(1.0)
            raise Unreachable("lost")
        if receiver is not None:
            process = self.process(receiver)
            if process is None or process.dead or process.task.done():
                raise Unreachable("nobody there")
            await self.thaw(receiver)


def _pod(process: Process) -> str:
    return process.incarnation.partition(".")[0]
