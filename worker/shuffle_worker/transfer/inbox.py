"""The receiving side: which frames are taken, once each, and into the store.

A frame is taken only if this worker owns all of its groups in the frame's tranche, its sender is a member of the view,
and none of the groups is being written just now. Receiving is idempotent: a frame is known by (attempt, number). It is
acknowledged when the store holds it, so what was acknowledged is lost only with this worker. Shards of groups whose
files are there already are acknowledged and thrown away.

Memory: bodies in flight take from `budget`; each lies in one reused buffer until the store has copied it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import FrameHeader, first_corrupt
from shuffle_protocol.messages import Attempt
from shuffle_protocol.shards import Shard, StoredShard
from shuffle_worker.store.failures import memory_failure, scratch_failure
from shuffle_worker.store.store import Store
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.exchange import GroupMap
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.source import StoredShardSource
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.transport import Interrupted

MAX_FRAMES = 1 << 20
"""Frames of one attempt to one receiver; a number beyond it is no honest sender's."""


class Inbox:
    """Implements `transport.FrameHandler`."""

    def __init__(self, membership: Membership, run: Run, budget: int) -> None:
        self.membership = membership
        self.groups: GroupMap | None = None
        self._store: Store | None = None
        self.refused = 0
        self.repeated = 0
        self.corrupt = 0
        self.full = ""
        """Why the store can take nothing more; "" where it can."""
        self.storing = 0
        """Calls that check and store what has come, under way."""
        self.stored_calls = 0
        """Those that are over."""
        self._make_room: Callable[[], int] = lambda: 0
        self._run = run
        self._budget = ByteBudget(budget)
        self._buffers: list[bytearray] = []
        self._taken: dict[Attempt, int] = {}  # a bit for each frame number that was taken
        self._taking: set[tuple[Attempt, int]] = set()
        self._sealed: set[int] = set()  # groups that are being written
        self._finished: set[int] = set()  # groups that are written

    def open(self, groups: GroupMap, store: Store, make_room: Callable[[], int]) -> None:
        """The plan is known: from now on frames can be judged and kept. Until then they are answered with BEHIND.

        make_room: throws away what scratch holds and nobody must have; returns the bytes that it was."""
        self._store = store
        self._make_room = make_room
        self.groups = groups

    @property
    def store(self) -> Store:
        assert self._store is not None, "the inbox is open once the plan is known"
        return self._store

    # -- from peers --------------------------------------------------------------------------------------------------

    async def receive(self, header: FrameHeader, body: AsyncIterator[bytes]) -> Ack:
        """Raises JobError where this worker has no room for it in memory."""
        ack = self._judge(header)
        if ack is not None:
            return self._count(ack)
        key = (header.attempt, header.number)
        self._taking.add(key)
        try:
            await self._budget.take(header.payload)
            try:
                return self._count(await self._take(header, body))
            except MemoryError as error:
                raise memory_failure(self.membership.me, error) from error
            finally:
                self._budget.give(header.payload)
        finally:
            self._taking.discard(key)

    async def _take(self, header: FrameHeader, body: AsyncIterator[bytes]) -> Ack:
        buffer = self._buffer(header.payload)
        view = memoryview(buffer)
        try:
            at = 0
            async for piece in body:
                view[at : at + len(piece)] = piece
                at += len(piece)
            if at != header.payload:
                raise Interrupted
            shards = header.shards(view[:at])
            if await self._aside(first_corrupt, shards) is not None:
                return Ack.CORRUPT
            ack = self._judge(header, again=True)
            if ack is None:
                ack = await self._append(header.attempt, header.number, shards)
            del shards
            return ack
        finally:
            view.release()
            self._buffers.append(buffer)

    def _buffer(self, size: int) -> bytearray:
        """A buffer that is large enough, reused so that its pages are not faulted in again for every frame."""
        for i, buffer in enumerate(self._buffers):
            if len(buffer) >= size:
                return self._buffers.pop(i)
        if self._buffers:
            self._buffers.pop()
        return bytearray(size)

    def _judge(self, header: FrameHeader, again: bool = False) -> Ack | None:
        """Why a frame is not taken; None if it is. again: judged a second time, after its body has come."""
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
        """Shards of this worker's own, for groups that it owns: no network, the same rules."""
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
        self._taken.setdefault(attempt, 0)  # should it be superseded, a write that begins meanwhile must know of it
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
        """Take nothing for a group while it is being written."""
        self._sealed.add(group)

    def unseal(self, group: int, *, written: bool) -> None:
        """The writing is over. written: its files are there, nothing more is needed for it; else it may be that a
        coordinator that lost its memory has shards sent again that are here already."""
        self._sealed.discard(group)
        if written:
            self._finished.add(group)

    def dropped(self, groups: Collection[int]) -> list[int]:
        """Those of which nothing is here, because they are written."""
        return sorted(self._finished.intersection(groups))

    def source(self, group: int, counted: Collection[Attempt]) -> GroupSource:
        """The shards of a sealed group, of the attempts that count and no others."""
        tranche = self.membership.tranche_of(group)
        exceptions = {(a.tranche, a.split): a.attempt for a in counted}
        superseded = {
            a for a in self._taken if a.tranche != tranche or a.attempt != exceptions.get((a.tranche, a.split), 0)
        }
        return GroupSource(self.store, superseded, self.membership.me)


class GroupSource(StoredShardSource):
    """Over the store of this worker."""

    def __init__(self, store: Store, superseded: Collection[Attempt], worker: int) -> None:
        super().__init__()
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
