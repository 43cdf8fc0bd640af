"""The exchange of `method: PeerToPeer`: shards go from worker to worker, and wait in their owners' stores.

    read     an outbox for each tranche sends the shards of a split to the groups' owners
    again    the same, from what this worker retained when it read the split (`store/retained.py`)
    stored   the same, from what this worker has in its store for groups that it hands over

Memory: see `outbox.py` for what waits and is on its way, `inbox.py` for what comes in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from shuffle_protocol.messages import Attempt, Lease
from shuffle_protocol.shards import Shard
from shuffle_worker.store.retained import Record, RetainedShards
from shuffle_worker.store.store import CorruptBlock, Store
from shuffle_worker.transfer.exchange import UNKNOWN, Absent, Condition, GroupMap, Incomplete, Sent
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.outbox import Outbox, Sender
from shuffle_worker.transfer.source import StoredShardSource
from shuffle_worker.transfer.threads import Run


@dataclass(slots=True)
class PeerExchange:
    """Implements `exchange.Exchange`. Its inbox takes frames as soon as it exists."""

    sender: Sender
    store: Store
    aside: Run
    """Runs calls that only need the disk."""
    retained: RetainedShards | None = None
    """Copies of the shards that were sent, for jobs that ask for it."""
    beside_writes: int = 0
    """Bytes to which sending and receiving are each kept while groups are written that have the memory of the rest; 0:
    there are none."""
    steps: int = 0
    """Pieces that were sent again and outboxes that finished, of all leases."""
    _freeing: set[asyncio.Future[None]] = field(default_factory=set)
    _alone: int = 0
    """Writes under way that have the memory of what comes and goes."""

    def __post_init__(self) -> None:
        self.inbox.open(self.groups, self.store, self.make_room)

    @property
    def membership(self) -> Membership:
        return self.sender.membership

    @property
    def groups(self) -> GroupMap:
        return self.sender.groups

    @property
    def inbox(self) -> Inbox:
        return self.sender.inbox

    def outgoing(self, lease: Lease) -> PeerOutgoing:
        return PeerOutgoing(self, lease)

    @asynccontextmanager
    async def incoming(self, group: int, counted: Collection[Attempt]) -> AsyncIterator[StoredShardSource]:
        written = False
        self.inbox.seal(group)
        try:
            with self._narrowed() as alone:
                yield self.inbox.source(group, counted, alone=alone)
            written = True
        finally:
            self.inbox.unseal(group, written=written)
        await self._drop(self.groups.buckets_of(group))

    @contextmanager
    def _narrowed(self) -> Iterator[bool]:
        """Keep sending and receiving small, so that a write may have their memory. Whether it may: not where more is
        under way already, because a worker was lost or hands over its groups."""
        budget, inbox = self.sender.budget, self.inbox
        alone = self._alone > 0 or not (budget.used or inbox.receiving)
        if not (self.beside_writes and alone):
            yield alone
            return
        self._alone += 1
        budget.narrow(self.beside_writes)
        inbox.narrow(self.beside_writes)
        try:
            yield True
        finally:
            self._alone -= 1
            if not self._alone:
                budget.widen()
                inbox.widen()

    async def keep_only(self, groups: Collection[int]) -> None:
        mine = set(groups)
        others = [g for g in range(self.membership.groups) if g not in mine]
        gone = [bucket for g in others for bucket in self.groups.buckets_of(g)]
        if gone:
            await self._drop(gone)

    async def _drop(self, buckets: Collection[int]) -> None:
        """Scratch is freed while what comes next is done."""
        await self.aside(self.store.drop, buckets)
        freeing = asyncio.ensure_future(self.aside(self.store.free))
        self._freeing.add(freeing)
        freeing.add_done_callback(self._freeing.discard)

    async def forget(self, groups: Collection[int]) -> None:
        if self.retained is not None:
            await self.aside(self.retained.drop, groups)

    def splits_kept(self) -> list[int]:
        return self.retained.splits() if self.retained is not None else []

    def make_room(self) -> int:
        return self.retained.clear() if self.retained is not None else 0

    def condition(self) -> Condition:
        return Condition(
            full=self.inbox.full,
            steps=self.steps,
            retained=self.retained.used if self.retained is not None else 0,
            storing=self.inbox.storing,
            stored=self.inbox.stored_calls,
        )


class PeerOutgoing:
    """Implements `exchange.Outgoing`: an outbox for each tranche that the split is due for."""

    drains = True

    def __init__(self, exchange: PeerExchange, lease: Lease) -> None:
        membership = exchange.membership
        self._exchange = exchange
        self._lease = lease
        self._attempts = [Attempt(lease.id.tranche, lease.id.item, lease.id.attempt), *lease.piggybacked]
        self._wanted = [membership.wanted(attempt.tranche) for attempt in self._attempts]
        self._outboxes = [Outbox(attempt, exchange.sender, self._flush) for attempt in self._attempts]
        self._record = self._begin_keeping()

    @property
    def groups(self) -> frozenset[int] | None:
        found: frozenset[int] = frozenset()
        for groups in self._wanted:
            if groups is None:
                return None
            found |= groups
        return found

    @property
    def _all_groups(self) -> frozenset[int]:
        groups = self.groups
        return groups if groups is not None else frozenset(range(self._exchange.membership.groups))

    async def put(self, shards: Sequence[Shard]) -> None:
        await self._keep(shards)
        await self._put(shards)

    async def _put(self, shards: Sequence[Shard]) -> None:
        for outbox in self._outboxes:
            await outbox.put(shards)

    def _flush(self) -> None:
        for outbox in self._outboxes:
            outbox.flush()

    async def finish(self, rows: int) -> Sent:
        for outbox in self._outboxes:
            await outbox.finish()
            self._exchange.steps += 1
        kept = await self._finish_keeping(rows)
        for attempt, wanted, outbox in zip(self._attempts, self._wanted, self._outboxes, strict=True):
            if not outbox.complete(wanted):
                raise Incomplete(f"tranche {attempt.tranche} gained groups while split {attempt.split} was sent")
        return Sent(sum(outbox.rows for outbox in self._outboxes), sum(outbox.bytes for outbox in self._outboxes), kept)

    async def close(self) -> None:
        for outbox in self._outboxes:
            await outbox.cancel()
        if self._record is not None and self._exchange.retained is not None:
            self._exchange.retained.cancel(self._record)

    # -- what is kept of it ------------------------------------------------------------------------------------------

    def _begin_keeping(self) -> Record | None:
        """A record for all groups but this worker's own, whose shards would be lost together with it."""
        retained, membership = self._exchange.retained, self._exchange.membership
        if retained is None or self._lease.resend or self._lease.stored:
            return None
        others = [g for g in self._all_groups if membership.owner_of(g) != membership.me]
        return retained.begin(self._lease.id.item, others)

    async def _keep(self, shards: Sequence[Shard]) -> None:
        record, retained = self._record, self._exchange.retained
        if record is not None and retained is not None:
            group_of = self._exchange.groups.group_of
            theirs = [shard for shard in shards if group_of(shard.bucket) in record.groups]
            await self._exchange.aside(retained.keep, record, theirs)

    async def _finish_keeping(self, rows: int) -> bool:
        record, retained = self._record, self._exchange.retained
        if record is None or retained is None:
            return False
        whole: bool = await self._exchange.aside(retained.finish, record, rows)
        self._record = None
        return whole

    # -- from what is here -------------------------------------------------------------------------------------------

    async def resend(self) -> int:
        rows, pieces = self._at_hand()
        while (shards := await self._next_piece(pieces)) is not None:
            self._exchange.steps += 1
            await self._put(shards)
        return rows

    def _at_hand(self) -> tuple[int, Iterator[list[Shard]]]:
        """The split's rows, if known, and its shards for the lease's groups that are here."""
        exchange, lease, groups = self._exchange, self._lease, self._all_groups
        if lease.stored:
            dropped = exchange.inbox.dropped(groups)
            if dropped:  # the coordinator does not know yet that they are written
                raise Absent(f"groups {dropped[:10]} are written, and nothing is stored for them any more")
            buckets = [bucket for g in sorted(groups) for bucket in exchange.groups.buckets_of(g)]
            return UNKNOWN, _stored(exchange.store, buckets, lease.stored)
        split = lease.id.item
        record = exchange.retained.covering(split, groups) if exchange.retained is not None else None
        if record is None or exchange.retained is None:
            raise Absent(f"nothing was kept of split {split} for these groups")
        return record.rows, exchange.retained.read(record, groups)

    async def _next_piece(self, pieces: Iterator[list[Shard]]) -> list[Shard] | None:
        exchange, lease = self._exchange, self._lease
        try:
            found: list[Shard] | None = await exchange.aside(next, pieces, None)
        except (CorruptBlock, OSError, LookupError) as error:
            if isinstance(error, CorruptBlock):
                exchange.inbox.corrupt += 1
            if exchange.retained is not None and lease.resend:
                exchange.retained.discard(lease.id.item)
            raise Absent(f"split {lease.id.item} cannot be sent again: {error}") from error
        return found


def _stored(store: Store, buckets: Sequence[int], attempt: Attempt) -> Iterator[list[Shard]]:
    """The shards of an attempt in a store, bucket by bucket, verified."""
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
