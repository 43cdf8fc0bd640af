"""The receiving side: takes frames, once each, and stores their shards.

The inbox takes a frame only if this worker owns all of the frame's groups in its tranche, the sender is a member of the
view, and none of the groups is being written. Receiving is idempotent: (attempt, number) identifies a frame. The inbox
acknowledges a frame when the store holds it, so acknowledged shards are lost only with this worker. Shards of groups
that are written already are acknowledged and dropped.

Memory: bodies in flight take from `budget`. Each lies in a reused buffer (`buffers.py`) until the store has copied it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import FrameHeader, first_corrupt
from shuffle_protocol.measures import MOST_TILES, Received
from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.store.failures import memory_failure, scratch_failure
from shuffle_worker.store.store import Store
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.buffers import FrameBuffers
from shuffle_worker.transfer.exchange import GroupMap
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.source import StoredShardSource
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.transport import Payload

MAX_FRAMES = 1 << 20
"""Frames of one attempt to one receiver. No honest sender gets beyond this."""


class Inbox:
    """Implements `transport.FrameHandler`."""

    def __init__(self, membership: Membership, run: Run, budget: int) -> None:
        self.membership = membership
        self.groups: GroupMap | None = None
        self._store: Store | None = None
        self.refused = 0
        self.repeated = 0
        self.corrupt = 0
        self.payload: dict[int, int] = {}
        """Bytes of shards that were taken, by the worker that sent them: a number for each member."""
        self.full = ""
        """Why the store can take nothing more; "" while it can."""
        self.storing = 0
        """Calls under way that check and store shards."""
        self.stored_calls = 0
        """Such calls that are over."""
        self._make_room: Callable[[], int] = lambda: 0
        self._run = run
        self._budget = ByteBudget(budget)
        self._buffers = FrameBuffers(budget)
        self._taken: dict[Attempt, int] = {}  # a bit for each frame number that was taken
        self._taking: set[tuple[Attempt, int]] = set()
        self._sealed: set[int] = set()  # groups that are being written
        self._finished: set[int] = set()  # groups that are written

    def blocked(self, now: float) -> float:
        """Seconds in which frames waited because there was no memory for them. now: of the event loop's clock."""
        return self._budget.waited(now)

    @property
    def receiving(self) -> bool:
        """Whether frames are on their way in."""
        return self._budget.used > 0

    def narrow(self, limit: int) -> None:
        """Take no more than so many bytes at a time for a while, or one frame."""
        self._budget.narrow(limit)
        self._buffers.narrow(limit)

    def widen(self) -> None:
        """As at the start."""
        self._budget.widen()
        self._buffers.widen()

    def received(self) -> Received | None:
        """What was taken from others, in at most `MOST_TILES` numbers; None where nothing was."""
        if not self.payload:
            return None
        step, last = 1, max(self.payload)
        while last // step >= MOST_TILES:
            step *= 2
        tiles = [0] * (last // step + 1)
        for sender, size in self.payload.items():
            tiles[sender // step] += size
        return Received(step, tiles)

    def open(self, groups: GroupMap, store: Store, make_room: Callable[[], int]) -> None:
        """The plan is known: from now on the inbox takes frames. Until then it answers BEHIND.

        make_room: drops what scratch holds and the job can do without; returns the bytes that this frees."""
        self._store = store
        self._make_room = make_room
        self.groups = groups

    @property
    def store(self) -> Store:
        assert self._store is not None, "the inbox is open once the plan is known"
        return self._store

    # -- from peers --------------------------------------------------------------------------------------------------

    async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
        """Raises JobError if this worker has no memory for it."""
        ack = self._judge(header)
        if ack is not None:
            return self._count(ack)
        key = (header.attempt, header.number)
        self._taking.add(key)
        try:
            await self._budget.take(header.payload)
            try:
                return self._count(await self._take(header, payload))
            except MemoryError as error:
                raise memory_failure(self.membership.me, error) from error
            finally:
                self._budget.give(header.payload)
        finally:
            self._taking.discard(key)

    async def _take(self, header: FrameHeader, payload: Payload) -> Ack:
        buffer = self._buffers.take(header.payload)
        view = memoryview(buffer)[: header.payload]
        try:
            await payload.fill(view)
            shards = header.shards(view)
            if await self._aside(first_corrupt, shards) is not None:
                return Ack.CORRUPT
            ack = self._judge(header, again=True)
            if ack is None:
                ack = await self._append(header.attempt, header.number, shards)
            if ack is Ack.ACCEPTED:
                self.payload[header.sender] = self.payload.get(header.sender, 0) + header.payload
            del shards
            return ack
        finally:
            view.release()
            self._buffers.give(buffer)

    def _judge(self, header: FrameHeader, again: bool = False) -> Ack | None:
        """Why a frame is not taken; None if it is. again: its body has come, and it is judged a second time."""
        m = self.membership
        if m.epoch < 0 or self.groups is None or header.epoch > m.epoch:
            m.stale.set()
            return Ack.BEHIND
        if not m.is_member(header.sender, header.incarnation):
            return Ack.STALE
        if header.number >= MAX_FRAMES:
            return Ack.STALE
        refusal = self._refusal(np.unique(header.entries["bucket"]).tolist(), header.attempt.tranche)
        if refusal is not None:
            return refusal
        if self._taken.get(header.attempt, 0) >> header.number & 1:
            return Ack.REPEATED
        if not again and (header.attempt, header.number) in self._taking:
            return Ack.BUSY
        return None

    def _refusal(self, buckets: Iterable[int], tranche: int) -> Ack | None:
        """Why shards for these buckets cannot be taken now; None if they can."""
        m = self.membership
        assert self.groups is not None
        try:
            groups = {self.groups.group_of(bucket) for bucket in buckets}
            if any(m.owner_of(group) != m.me or m.tranche_of(group) != tranche for group in groups):
                return Ack.STALE
        except IndexError:
            return Ack.STALE
        return Ack.BUSY if groups & self._sealed else None

    def _count(self, ack: Ack) -> Ack:
        if ack is Ack.STALE:
            self.refused += 1
        elif ack is Ack.REPEATED:
            self.repeated += 1
        elif ack is Ack.CORRUPT:
            self.corrupt += 1
        return ack

    # -- from this worker itself -------------------------------------------------------------------------------------

    async def deliver(self, attempt: Attempt, number: int, shards: Sequence[Shard]) -> Ack:
        """Shards from this worker for groups that it owns: no network, the same rules."""
        refusal = self._refusal({shard.bucket for shard in shards}, attempt.tranche)
        if refusal is not None:
            return self._count(refusal)
        if self._taken.get(attempt, 0) >> number & 1:
            return self._count(Ack.REPEATED)
        return await self._append(attempt, number, shards)

    async def _append(self, attempt: Attempt, number: int, shards: Sequence[Shard]) -> Ack:
        if self._finished:
            assert self.groups is not None
            shards = [shard for shard in shards if self.groups.group_of(shard.bucket) not in self._finished]
        if self.full:
            return Ack.FULL
        self._taken.setdefault(attempt, 0)  # if it is superseded, a write that begins meanwhile must leave it out
        try:
            await self._aside(self._store_them, attempt, shards)
        except OSError as error:
            self.full = scratch_failure(self.membership.me, error).message
            self.membership.stale.set()  # the coordinator hears of it at once
            return Ack.FULL
        self._taken[attempt] = self._taken.get(attempt, 0) | 1 << number
        return Ack.ACCEPTED

    async def _aside(self, function: Callable[..., Any], *arguments: object) -> Any:
        self.storing += 1
        try:
            return await self._run(function, *arguments)
        finally:
            self.storing -= 1
            self.stored_calls += 1

    def _store_them(self, attempt: Attempt, shards: Sequence[Shard]) -> None:
        try:
            self.store.append(attempt, shards)
        except OSError:
            if not self._make_room():
                raise
            self.store.append(attempt, shards)  # nothing was taken the first time

    # -- the barrier was reached -------------------------------------------------------------------------------------

    def seal(self, group: int) -> None:
        """Take nothing for a group while it is written."""
        self._sealed.add(group)

    def unseal(self, group: int, *, written: bool) -> None:
        """The write is over. written: the group's files are there, and it needs no more shards. Otherwise shards that
        are here already may come again, because a new coordinator does not know of them."""
        self._sealed.discard(group)
        if written:
            self._finished.add(group)

    def dropped(self, groups: Collection[int]) -> list[int]:
        """Those of the groups whose shards are gone because they are written."""
        return sorted(self._finished.intersection(groups))

    def source(self, group: int, counted: Collection[Attempt], *, alone: bool = True) -> GroupSource:
        """The shards of a sealed group, of the attempts that count alone. alone: see `StoredShardSource`."""
        tranche = self.membership.tranche_of(group)
        exceptions = {(a.tranche, a.split): a.attempt for a in counted}
        superseded = {
            a for a in self._taken if a.tranche != tranche or a.attempt != exceptions.get((a.tranche, a.split), 0)
        }
        source = GroupSource(self.store, superseded, self.membership.me, self._next_buckets())
        source.alone = alone
        return source

    def _next_buckets(self) -> range:
        """Those of the group that will most likely be written next: a worker is given its groups in their order."""
        m, groups = self.membership, self.groups
        assert groups is not None
        for group in range(max(self._sealed, default=-1) + 1, m.groups):
            if m.owner_of(group) == m.me and group not in self._finished:
                return groups.buckets_of(group)
        return range(0)


class GroupSource(StoredShardSource):
    """Reads from this worker's store. ahead: buckets to be fetched from scratch as soon as there is something to do
    with what was read."""

    def __init__(self, store: Store, superseded: Collection[Attempt], worker: int, ahead: range = range(0)) -> None:
        super().__init__()
        self._ahead = ahead
        self._worker = worker
        self._store = store
        self._superseded = superseded

    def _look(self, bucket: int) -> list[StoredShard]:
        return self._store.shards(bucket, self._superseded)

    def _read(self, bucket: int, shards: Sequence[StoredShard], into: memoryview) -> None:
        try:
            self._store.read(bucket, shards, into)
        except OSError as error:
            raise scratch_failure(self._worker, error) from error
        if self._ahead:
            ahead, self._ahead = self._ahead, range(0)
            self._store.expect(ahead)
