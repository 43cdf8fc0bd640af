"""One transfer lease carried out: where its shards come from, to whom they go, what is kept of them.

    read     the split is read from the input (`work.Work`), once for every tranche that it is due for
    again    what this worker kept when it read the split (`store/retained.py`)
    stored   what this worker has stored, as the owner of groups that it hands over

Each way gives steps of shards; an outbox for each tranche brings them to the groups' owners. Sending again is an offer:
where the shards are not here, or damaged, `Absent` is raised, and the coordinator has the split read.

Memory: one step is sent while the next is made; see `outbox.py` for what waits and is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shuffle_protocol.messages import Attempt, Done, Lease
from shuffle_protocol.shards import Shard
from shuffle_worker.store.retained import Record, RetainedShards
from shuffle_worker.store.store import CorruptBlock, Store
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.inbox import Inbox, Run
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.objects import ShardWriter
from shuffle_worker.transfer.outbox import Outbox
from shuffle_worker.transfer.transport import PeerTransport
from shuffle_worker.transfer.work import Step, Work

T = TypeVar("T")

UNKNOWN = -1
"""Rows of a split that was not read."""


class Incomplete(Exception):
    """A transfer whose shards did not all go where they should by the view that is valid now."""


class Absent(Exception):
    """What was to be sent again is not here, or not any more, or damaged."""


@dataclass(slots=True)
class Carrier:
    """compute: runs the steps of reading; aside: runs what only needs the disk."""

    job: str
    membership: Membership
    inbox: Inbox
    peers: PeerTransport
    send_budget: ByteBudget
    frame_bytes: int
    work: Work
    compute: Run
    aside: Run
    retained: RetainedShards | None = None
    steps: int = 0
    """Made so far by all leases: what shows that none of them is stuck."""

    @property
    def retained_bytes(self) -> int:
        return self.retained.used if self.retained is not None else 0

    async def carry_out(self, lease: Lease, drained: Callable[[], None]) -> Done:
        """drained: called when there is nothing left to compute, while shards may still be on their way."""
        shared = self.work.shared()
        attempts = [Attempt(lease.id.tranche, lease.id.item, lease.id.attempt), *lease.along]
        if shared is not None:
            return await self._put_in_store(lease, shared.writer(attempts[0]))
        wanted = {a.tranche: self.membership.wanted(a.tranche) for a in attempts}
        groups = self._union(list(wanted.values()))
        outboxes = [self._outbox(attempt) for attempt in attempts]
        if lease.again or lease.stored:
            rows, bytes_read, kept = await self._send_again(lease, groups, outboxes), 0, False
        else:
            rows, bytes_read, kept = await self._read(lease, groups, outboxes, drained)
        for attempt, outbox in zip(attempts, outboxes, strict=True):
            if not outbox.complete(wanted[attempt.tranche]):
                raise Incomplete(f"tranche {attempt.tranche} gained groups while split {attempt.split} was sent")
        return Done(
            lease.id,
            rows_read=rows,
            bytes_read=bytes_read,
            rows_moved=sum(outbox.rows for outbox in outboxes),
            bytes_moved=sum(outbox.bytes for outbox in outboxes),
            kept=kept,
        )

    def _outbox(self, attempt: Attempt) -> Outbox:
        return Outbox(self.job, attempt, self.membership, self.inbox, self.peers, self.send_budget, self.frame_bytes)

    @staticmethod
    def _union(sets: Sequence[frozenset[int] | None]) -> frozenset[int] | None:
        found: frozenset[int] = frozenset()
        for groups in sets:
            if groups is None:
                return None
            found |= groups
        return found

    # -- from the input ----------------------------------------------------------------------------------------------

    async def _read(
        self,
        lease: Lease,
        groups: frozenset[int] | None,
        outboxes: list[Outbox],
        drained: Callable[[], None],
    ) -> tuple[int, int, bool]:
        """Rows and bytes read, and whether what was sent was kept."""
        rows = bytes_read = 0
        split = lease.id.item
        record = self._begin(split, groups)
        steps = self.work.read(split, groups)
        ahead: asyncio.Future[Step | None] = asyncio.ensure_future(self.compute(_next, steps))
        try:
            while (step := await ahead) is not None:
                ahead = asyncio.ensure_future(self.compute(_next, steps))  # reads on while this step is sent
                rows += step.rows
                bytes_read += step.bytes_read
                self.steps += 1
                await self._keep(record, step.shards)
                await self._put(outboxes, step.shards)
            drained()
            await self._finish(outboxes)
            kept = record is not None and await self._finish_keeping(record, rows)
            record = None
            return rows, bytes_read, kept
        finally:
            await asyncio.wait([ahead])  # a thread cannot be stopped: the lease is held until its step is over
            if not ahead.cancelled():
                ahead.exception()  # told already where it was awaited
            for outbox in outboxes:
                await outbox.cancel()
            if record is not None and self.retained is not None:
                self.retained.cancel(record)

    async def _put(self, outboxes: list[Outbox], shards: Sequence[Shard]) -> None:
        for outbox in outboxes:
            await outbox.put(shards)

    async def _finish(self, outboxes: list[Outbox]) -> None:
        for outbox in outboxes:
            await outbox.finish()
            self.steps += 1

    def _begin(self, split: int, groups: frozenset[int] | None) -> Record | None:
        """A record for all groups that are sent for, but this worker's own: with it they are lost anyway."""
        if self.retained is None:
            return None
        every = groups if groups is not None else range(self.membership.groups)
        return self.retained.begin(split, [g for g in every if self.membership.owner_of(g) != self.membership.me])

    async def _keep(self, record: Record | None, shards: Sequence[Shard]) -> None:
        if record is None or self.retained is None:
            return
        assert self.inbox.groups is not None
        group_of = self.inbox.groups.group_of
        await self.aside(self.retained.keep, record, [s for s in shards if group_of(s.bucket) in record.groups])

    async def _finish_keeping(self, record: Record, rows: int) -> bool:
        assert self.retained is not None
        kept: bool = await self.aside(self.retained.finish, record, rows)
        return kept

    # -- by way of object storage ------------------------------------------------------------------------------------

    async def _put_in_store(self, lease: Lease, writer: ShardWriter) -> Done:
        """Every group's rows, whoever owns it: what is in the store is there for all."""
        rows = bytes_read = 0
        steps = self.work.read(lease.id.item, None)

        def step() -> Step | None:
            found = next(steps, None)
            if found is None:
                writer.finish()
            else:
                writer.add(found.shards)
            return found

        try:
            while (found := await to_its_end(self.compute(step))) is not None:
                rows += found.rows
                bytes_read += found.bytes_read
                self.steps += 1
        except BaseException:
            await to_its_end(self.compute(writer.abort))
            raise
        moved, size = writer.rows, writer.bytes
        return Done(lease.id, rows_read=rows, bytes_read=bytes_read, rows_moved=moved, bytes_moved=size)

    # -- from what is here -------------------------------------------------------------------------------------------

    async def _send_again(self, lease: Lease, groups: frozenset[int] | None, outboxes: list[Outbox]) -> int:
        """Rows of the split, where they are known."""
        wanted = groups if groups is not None else frozenset(range(self.membership.groups))
        rows, pieces = self._at_hand(lease, wanted)
        try:
            while (shards := await self._next_piece(lease, pieces)) is not None:
                self.steps += 1
                await self._put(outboxes, shards)
            await self._finish(outboxes)
            return rows
        finally:
            for outbox in outboxes:
                await outbox.cancel()

    def _at_hand(self, lease: Lease, groups: frozenset[int]) -> tuple[int, Iterator[list[Shard]]]:
        split = lease.id.item
        if lease.stored:
            assert self.inbox.groups is not None
            dropped = self.inbox.dropped(groups)
            if dropped:  # for a coordinator that does not know that they are written
                raise Absent(f"groups {dropped[:10]} are written, and nothing is stored for them any more")
            buckets = [bucket for g in sorted(groups) for bucket in self.inbox.groups.buckets_of(g)]
            return UNKNOWN, _stored(self.inbox.store, buckets, lease.stored)
        record = self.retained.covering(split, groups) if self.retained is not None else None
        if record is None or self.retained is None:
            raise Absent(f"nothing was kept of split {split} for these groups")
        return record.rows, self.retained.read(record, groups)

    async def _next_piece(self, lease: Lease, pieces: Iterator[list[Shard]]) -> list[Shard] | None:
        try:
            found: list[Shard] | None = await self.aside(next, pieces, None)
        except (CorruptBlock, OSError, LookupError) as error:
            if isinstance(error, CorruptBlock):
                self.inbox.corrupt += 1
            if self.retained is not None and lease.again:
                self.retained.discard(lease.id.item)
            raise Absent(f"split {lease.id.item} cannot be sent again: {error}") from error
        return found


def _stored(store: Store, buckets: Sequence[int], attempt: Attempt) -> Iterator[list[Shard]]:
    """What a store has of an attempt, bucket by bucket, verified."""
    for bucket in buckets:
        found = store.shards_of(bucket, [attempt])
        if not found:
            continue
        view = memoryview(bytearray(sum(shard.length for shard in found)))
        store.read(bucket, found, view)
        shards: list[Shard] = []
        at = 0
        for shard in found:
            payload = view[at : at + shard.length]
            shards.append(Shard(bucket, shard.sequence, shard.rows, shard.checksum, [payload], shard.length))
            at += shard.length
        yield shards


async def to_its_end(work: Awaitable[T]) -> T:
    """A thread cannot be stopped: a lease that touches the output is held until its thread is through."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    finally:
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()


def _next(steps: Iterator[Step]) -> Step | None:
    """The next step, or None at the end (StopIteration does not cross a future)."""
    return next(steps, None)
