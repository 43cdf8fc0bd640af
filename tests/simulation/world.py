"""A whole job in one process: the real coordinator, real agents with their real inbox and outbox, over a made-up world.

Rows are numbers; a split is a run of them; a row's bucket is arithmetic. So the right output is known beforehand, and a
run shows at its end whether every row is in exactly one right place.

    ObjectStore   what survives every process
    World         network, clock, workers' lives; every choice drawn from one seeded generator
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash

from shuffle_operator.coordinator.events import Action, Note, StartWorker, StopWorker, Wake
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_worker.agent import Agent, AgentSettings
from shuffle_worker.operations.base import Shard, ShardSource, StoredShard
from shuffle_worker.protocol.frames import Frame, FrameHeader, Verdict, decode_header, encode
from shuffle_worker.protocol.messages import (
    Attempt,
    Input,
    Job,
    Member,
    Orders,
    Output,
    PlanSummary,
    Register,
    Registered,
    Repartition,
    Sync,
)
from shuffle_worker.storage.base import Range
from shuffle_worker.store.base import StoreStats
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.objects import SharedShards
from shuffle_worker.transfer.transport import Interrupted, Unreachable
from shuffle_worker.work import Committed, Step, Written

ROW = np.dtype("<u4")


@dataclass(frozen=True)
class Shape:
    """The job: how many workers, splits, rows in a split, buckets in a group, groups."""

    workers: int = 3
    splits: int = 8
    rows: int = 40
    groups: int = 6
    buckets_in_group: int = 1
    shared: bool = False  # method: ObjectStore

    @property
    def buckets(self) -> int:
        return self.groups * self.buckets_in_group

    def bucket(self, row: int) -> int:
        return row * 2654435761 % 4294967296 * self.buckets >> 32

    def expected(self, group: int) -> list[int]:
        rows = range(self.splits * self.rows)
        buckets = range(group * self.buckets_in_group, (group + 1) * self.buckets_in_group)
        return [row for bucket in buckets for row in rows if self.bucket(row) == bucket]


@dataclass
class ObjectStore:
    """Output that outlives workers; every write is recorded, so that a second one with other bytes shows."""

    groups: dict[int, list[int]] = field(default_factory=dict)
    planned: bool = False
    committed: bool = False
    aborted: int = 0
    rewritten: int = 0
    reads: int = 0
    files: dict[str, bytes] = field(default_factory=dict)

    def create(self, path: str) -> MemorySink:
        return MemorySink(self, path)

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        return [self.files[one.path][one.start : one.end] for one in ranges]


class MemorySink:
    """`storage.Sink`: nothing is seen before `commit`."""

    def __init__(self, objects: ObjectStore, path: str) -> None:
        self._objects = objects
        self._path = path
        self._data = bytearray()

    def write(self, data: bytes | memoryview) -> int:
        self._data += data
        return len(data)

    def commit(self) -> None:
        before = self._objects.files.setdefault(self._path, bytes(self._data))
        assert before == bytes(self._data), f"{self._path} was written twice"

    def abort(self) -> None:
        self._data.clear()

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def checksum(self) -> str:
        return xxhash.xxh3_64_hexdigest(bytes(self._data))


class SimulatedWork:
    """`work.Work` over rows that are numbers."""

    def __init__(self, shape: Shape, objects: ObjectStore) -> None:
        self.shape = shape
        self.objects = objects

    def plan(self, job: Job) -> PlanSummary:
        self.objects.planned = True
        return self._summary()

    def load(self, job: Job, fingerprint: str) -> PlanSummary:
        assert self.objects.planned
        return self._summary()

    def _summary(self) -> PlanSummary:
        s = self.shape
        return PlanSummary(
            "plan", [s.rows] * s.splits, [1] * s.groups, s.groups, 1, 0, s.rows * s.splits, 0, 0,
            method="ObjectStore" if s.shared else "PeerToPeer",
        )  # fmt: skip

    def shared(self) -> SharedShards | None:
        s = self.shape
        return SharedShards(self.objects, "shards", s.splits, s.buckets, 100, 4000) if s.shared else None

    def buckets(self) -> int:
        return self.shape.buckets

    def group_of(self, bucket: int) -> int:
        if not 0 <= bucket < self.shape.buckets:
            raise IndexError(bucket)
        return bucket // self.shape.buckets_in_group

    def buckets_of(self, group: int) -> range:
        each = self.shape.buckets_in_group
        return range(group * each, (group + 1) * each)

    def read(self, split: int, wanted: frozenset[int] | None) -> Iterator[Step]:
        s = self.shape
        self.objects.reads += 1
        sequence = 0
        for start in range(split * s.rows, (split + 1) * s.rows, 16):
            rows = range(start, min(start + 16, (split + 1) * s.rows))
            shards = []
            for bucket in range(s.buckets):
                mine = [row for row in rows if s.bucket(row) == bucket]
                if mine and (wanted is None or self.group_of(bucket) in wanted):
                    data = np.array(mine, ROW).tobytes()
                    digest = xxhash.xxh3_64_intdigest(data)
                    shards.append(Shard(bucket, sequence, len(mine), digest, [data], len(data)))
                sequence += 1
            yield Step(shards, len(rows), len(rows))

    def write(self, group: int, source: ShardSource) -> Written:
        out: list[int] = []
        for bucket in self.buckets_of(group):
            shards = source.shards(bucket)
            buffer = bytearray(sum(shard.length for shard in shards))
            source.read(bucket, shards, memoryview(buffer))
            out += np.frombuffer(buffer, ROW).tolist()
        if group in self.objects.groups:
            self.objects.rewritten += 1
            assert self.objects.groups[group] == out, (
                f"group {group} was written twice: {self.objects.groups[group]}, then {out}"
            )
        self.objects.groups[group] = out
        return Written(1, len(out), len(out), len(out))

    def commit(self, rows: int) -> Committed:
        written = sum(map(len, self.objects.groups.values()))
        assert rows in (-1, written), f"{rows} rows read, {written} written"
        assert len(self.objects.groups) == self.shape.groups
        self.objects.committed = True
        return Committed("manifest", self.shape.groups, written, written, 0, 0)

    def abort(self, job: Job) -> None:
        self.objects.aborted += 1
        self.objects.groups.clear()


class MemoryStore:
    """`store.base.Store` without a disk."""

    def __init__(self) -> None:
        self._shards: dict[int, list[tuple[Attempt, StoredShard, bytes]]] = {}
        self._next = 0

    def append(self, attempt: Attempt, shards: Sequence[Shard]) -> None:
        for shard in shards:
            data = b"".join(bytes(part) for part in shard.payload)
            stored = StoredShard(attempt.split, shard.sequence, shard.rows, shard.length, shard.checksum, self._next)
            self._next += 1
            self._shards.setdefault(shard.bucket, []).append((attempt, stored, data))

    def shards(self, bucket: int, void: Collection[Attempt] = ()) -> list[StoredShard]:
        return sorted(stored for attempt, stored, _ in self._shards.get(bucket, []) if attempt not in void)

    def read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        data = {stored.handle: found for _, stored, found in self._shards.get(bucket, [])}
        at = 0
        for shard in shards:
            into[at : at + shard.length] = data[shard.handle]
            at += shard.length

    def drop(self, buckets: Collection[int]) -> None:
        for bucket in buckets:
            self._shards.pop(bucket, None)

    def stats(self) -> StoreStats:
        return StoreStats(0, 0, 0)

    def close(self) -> None:
        self._shards.clear()


@dataclass
class Faults:
    """Chances, each for one message or one second. delay: the mean of a message's, seconds."""

    lose: float = 0.0
    double: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.005
    kill: float = 0.0  # a worker, each second
    freeze: float = 0.0  # a worker, each second, for up to a minute
    coordinator: float = 0.0  # loses its memory, each second
    most_kills: int = 20


@dataclass
class Process:
    agent: Agent
    task: asyncio.Task[None]
    inbox: Inbox
    incarnation: str
    frozen_until: float = 0.0
    dead: bool = False


class World:
    """Runs one job under faults. `trace` tells what happened, a line each."""

    def __init__(self, seed: int, shape: Shape, faults: Faults, settings: Settings | None = None) -> None:
        self.random = random.Random(seed)
        self.shape = shape
        self.faults = faults
        self.objects = ObjectStore()
        self.trace: list[str] = []
        self.job = Job("uid", "job", Repartition(), [Input(["in"])], Output("out"), shape.workers, 1 << 29)
        self.settings = settings or Settings(
            silence=6.0, patience=2.0, disruption_limit=10_000, backoff_limit=10_000, startup_deadline=300.0
        )
        self.machine = Coordinator(self.job, self.settings)
        self.processes: dict[int, Process] = {}
        self.everyone: list[Process] = []
        self._news: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kills = 0
        self._number = 0

    # -- the run -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        self.perform(self.machine.start(self.now))
        mischief = asyncio.create_task(self._mischief())
        try:
            while not self.machine.over:
                await asyncio.sleep(0.25)
                self.perform(self.machine.tick(self.now))
            self.say(f"over: {self.machine.phase} {self.machine.cause}")
            await asyncio.sleep(120.0)  # whoever still lives has time to do harm
        finally:
            mischief.cancel()
            for process in self.everyone:
                process.task.cancel()
            await asyncio.gather(*(p.task for p in self.everyone), return_exceptions=True)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def say(self, text: str) -> None:
        self.trace.append(f"{self.now:9.3f}  {text}")

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    async def _mischief(self) -> None:
        f = self.faults
        while not self.machine.over:
            await asyncio.sleep(self.random.expovariate(4.0))
            live = [w for w, p in self.processes.items() if not p.dead]
            if live and self._kills < f.most_kills and self.chance(f.kill / 4):
                self._kills += 1
                self.kill(self.random.choice(live))
            if live and self.chance(f.freeze / 4):
                process = self.processes[self.random.choice(live)]
                process.frozen_until = self.now + self.random.choice([1.0, 5.0, 15.0, 60.0])
                self.say(f"freeze {process.agent.worker} until {process.frozen_until:.1f}")
            if self.chance(f.coordinator / 4):
                self.forget()

    def forget(self) -> None:
        """The coordinator dies; another one takes its place and knows nothing."""
        if self.machine.over:
            return
        self.say("the coordinator loses its memory")
        self.machine = Coordinator(self.job, self.settings, self.machine.generation + 1)
        self.machine.expect_survivors(self.now)
        self.machine.started_at = self.now
        for worker in range(self.shape.workers):
            if worker not in self.processes:
                self.machine._start_worker(worker, self.now)
        self.perform(self.machine._drain())

    # -- what the coordinator asks for -------------------------------------------------------------------------------

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Wake):
                for worker, event in self._news.items():
                    if action.workers is None or worker in action.workers:
                        event.set()
            elif isinstance(action, StartWorker):
                self._later(self.random.uniform(0.2, 3.0), lambda w=action.worker: self.start(w))  # type: ignore[misc]
            elif isinstance(action, StopWorker) and action.now:
                self._later(self.random.uniform(0.0, 20.0), lambda w=action.worker: self._end_silent(w))  # type: ignore[misc]
            elif isinstance(action, Note):
                self.say(f"note {action.reason}: {action.message}")

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay, call)

    def start(self, worker: int) -> None:
        if worker in self.processes or self.machine.over:
            return
        self._number += 1
        incarnation = f"i{self._number}"
        membership = Membership(worker, incarnation)
        inbox = Inbox(membership, self._run_for(incarnation), 1 << 16)
        agent = Agent(
            job="uid",
            worker=worker,
            incarnation=incarnation,
            address=incarnation,
            slots=1,
            memory=1 << 29,
            control=Control(self, incarnation),
            peers=Peers(self, incarnation),
            open_store=lambda _: MemoryStore(),
            inbox=inbox,
            membership=membership,
            work=SimulatedWork(self.shape, self.objects),
            compute=self._run_for(incarnation),
            aside=self._run_for(incarnation),
            send_budget=ByteBudget(400),
            settings=AgentSettings(heartbeat=1.0, poll=3.0, retry=1.0, frame_bytes=100),
        )
        task = asyncio.create_task(agent.run())
        process = Process(agent, task, inbox, incarnation)
        self.processes[worker] = process
        self.everyone.append(process)
        self.say(f"start {worker} as {incarnation}")
        task.add_done_callback(lambda _: self._ended(worker, process))

    def _end_silent(self, worker: int) -> None:
        """The launcher removes a process that was declared lost; a zombie has lived until now."""
        process = self.processes.get(worker)
        member = self.machine.members.get(worker)
        if process is not None and (member is None or member.incarnation != process.incarnation):
            self.kill(worker)

    def _ended(self, worker: int, process: Process) -> None:
        if process.task.cancelled() or process.dead:
            return
        error = process.task.exception()
        if error is not None:
            self.say(f"{worker} ended: {error!r}")
        if self.processes.get(worker) is process:
            del self.processes[worker]
            self.perform(self.machine.worker_gone(worker, process.incarnation, f"ended: {error}", False, self.now))

    def kill(self, worker: int) -> None:
        process = self.processes.pop(worker)
        self.say(f"kill {worker} ({process.incarnation})")
        process.dead = True
        process.task.cancel()
        for running in process.agent._running.values():
            running.task.cancel()
        seen = self.random.uniform(0.0, 8.0)
        gone = lambda: self.perform(  # noqa: E731
            self.machine.worker_gone(worker, process.incarnation, "killed", False, self.now)
        )
        self._later(seen, gone)

    # -- time and network --------------------------------------------------------------------------------------------

    def process(self, incarnation: str) -> Process | None:
        return next((p for p in self.everyone if p.incarnation == incarnation), None)

    async def thaw(self, incarnation: str) -> None:
        """A frozen process does nothing until it is thawed."""
        process = self.process(incarnation)
        while process is not None and process.frozen_until > self.now:  # noqa: ASYNC110 - it may be frozen again
            await asyncio.sleep(process.frozen_until - self.now)

    def _run_for(self, incarnation: str) -> Callable[..., Any]:
        async def run(function: Callable[..., Any], *arguments: Any) -> Any:
            await asyncio.sleep(self.random.expovariate(1 / 0.02))
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


class Peers:
    """`PeerTransport` over the world's network; frames go through their real bytes."""

    def __init__(self, world: World, incarnation: str) -> None:
        self._world = world
        self._incarnation = incarnation

    async def send(self, member: Member, frame: Frame) -> Verdict:
        world = self._world
        if world.chance(world.faults.double):
            other = asyncio.create_task(self._once(member, frame))
            world._tasks.add(other)
            other.add_done_callback(lambda t: (world._tasks.discard(t), t.cancelled() or t.exception()))
        return await self._once(member, frame)

    async def _once(self, member: Member, frame: Frame) -> Verdict:
        world = self._world
        encoded = encode(frame)
        payload = b"".join(bytes(part) for part in encoded.buffers)
        if payload and world.chance(world.faults.corrupt):
            at = world.random.randrange(len(payload))
            payload = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        await world.travel(self._incarnation, member.address)
        process = world.process(member.address)
        assert process is not None
        header: FrameHeader = decode_header(encoded.header)

        async def body() -> AsyncIterator[bytes]:
            for start in range(0, len(payload), 64):
                await asyncio.sleep(0.0005)
                if process.dead:
                    raise Interrupted
                yield payload[start : start + 64]

        try:
            verdict = await process.inbox.receive(header, body())
        except Interrupted:
            raise Unreachable("the receiver died") from None
        if process.dead:
            raise Unreachable("the receiver died")
        await world.travel(member.address, self._incarnation)
        return verdict

    async def close(self) -> None:
        pass


class Control:
    """`ControlTransport` over the world's network."""

    def __init__(self, world: World, incarnation: str) -> None:
        self._world = world
        self._incarnation = incarnation

    async def register(self, message: Register) -> Registered:
        world = self._world
        await world.travel(self._incarnation, None)
        reply, actions = world.machine.register(message, world.now)
        world.perform(actions)
        await world.travel(self._incarnation, None)
        return reply

    async def sync(self, message: Sync) -> Orders:
        world = self._world
        await world.travel(self._incarnation, None)
        deadline = world.now + message.wait
        news = world._news[message.worker] = asyncio.Event()
        while True:
            orders, actions = world.machine.sync(message, world.now)
            world.perform(actions)
            left = deadline - world.now
            told = {lease.id for lease in orders.leases} != set(message.holding)
            if left <= 0 or told or orders.acknowledged or orders.view is not None or orders.stop or not orders.known:
                break
            news.clear()
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue
        await world.travel(self._incarnation, None)
        return orders

    async def close(self) -> None:
        pass
