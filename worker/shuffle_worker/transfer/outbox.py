"""The sending side of one transfer lease: shards in, frames to their owners, an ack for each of them.

    put(shards)  ->  own groups: straight to the inbox
                 ->  others: gathered by owner, a frame when there is enough, several frames on their way at once
    finish()     ->  returns when every shard is with its owner, or not needed because its group left the tranche

Memory: every shard that waits or is on its way counts in `budget`, which all leases of a worker share. When it is used
up, `put` has sent what the lease has gathered, in all of its outboxes, and waits, and so holds up the reader.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shuffle_protocol.acks import Ack
from shuffle_protocol.errors import Internal
from shuffle_protocol.frames import Frame
from shuffle_protocol.messages import Attempt, Member
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.exchange import GroupMap
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.transport import PeerTransport, Unreachable

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds between tries, doubling, with jitter. So a sender soon finds a peer that restarts, and does not hammer a dead
one until the coordinator declares it lost (`Settings.silence`)."""

MAX_CORRUPT = 5
"""A frame that arrives corrupt so often in a row is corrupt here. A frame that is sent for minutes, to a full worker,
may be damaged on its way now and then."""


PATIENCE = 120.0
"""Seconds to try to reach a member that the coordinator can reach. Then the lease fails with the reason; another worker
may get through."""


@dataclass(slots=True)
class Tries:
    """Since when a member cannot be reached."""

    since: float = -1.0
    incarnation: str = ""

    def reached(self) -> None:
        self.since = -1.0

    def failed(self, member: Member | None, error: Unreachable) -> None:
        """Raises Unreachable after `PATIENCE` seconds."""
        now = asyncio.get_running_loop().time()
        incarnation = member.incarnation if member is not None else ""
        if self.since < 0 or self.incarnation != incarnation:
            self.since, self.incarnation = now, incarnation
        elif now - self.since > PATIENCE:
            raise Unreachable(f"a peer could not be reached for {now - self.since:.0f} s: {error}") from error


@dataclass(slots=True)
class Gathered:
    shards: list[Shard] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Sender:
    """What all outboxes of a worker share."""

    job: str
    membership: Membership
    groups: GroupMap
    inbox: Inbox
    """The worker's own, for the groups that it owns."""
    peers: PeerTransport
    budget: ByteBudget
    """Bytes that wait or are on their way."""
    frame_bytes: int
    """The size from which a frame is sent."""


class Outbox:
    """One for each attempt of a transfer lease. rows: rows that owners have taken. bytes: bytes that other workers have
    taken, so over the network. send_all: sends what the outboxes of the lease have gathered; while one of them waits
    for the budget, none of the others comes to send what it holds of it."""

    def __init__(self, attempt: Attempt, sender: Sender, send_all: Callable[[], None]) -> None:
        self.rows = 0
        self.bytes = 0
        self._attempt = attempt
        self._send_all = send_all
        self._job = sender.job
        self._membership = sender.membership
        self._groups = sender.groups
        self._inbox = sender.inbox
        self._peers = sender.peers
        self._budget = sender.budget
        self._frame_bytes = sender.frame_bytes
        self._dropped: set[int] = set()  # groups that were not in the tranche when their shards were looked at
        self._owners: dict[int, int | None] = {}  # what `_owner_of` found
        self._routed = -1  # by the view of this epoch
        self._gathered: dict[int, Gathered] = {}
        self._numbers: dict[int, int] = {}
        self._sending: dict[asyncio.Task[None], None] = {}  # ordered, so that the simulation can repeat a run
        self._error: BaseException | None = None

    async def put(self, shards: Sequence[Shard]) -> None:
        """Raises the error of an earlier frame of this lease."""
        me, budget = self._membership.me, self._budget
        mine: list[Shard] = []
        for shard in shards:
            owner = self._owner_of(shard.bucket)
            if owner is None:
                continue
            if owner == me:
                mine.append(shard)
                continue
            if not budget.take_now(shard.length):
                self._send_all()
                await budget.take(shard.length)
            gathered = self._gathered.get(owner)
            if gathered is None:
                gathered = self._gathered[owner] = Gathered()
            gathered.shards.append(shard)
            gathered.size += shard.length
            if gathered.size >= self._frame_bytes:
                self._send(owner)
            self._raise()
        if mine:
            await self._keep(mine)

    async def finish(self) -> None:
        self.flush()
        while self._sending:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_EXCEPTION)
            self._raise()
        self._raise()

    def complete(self, wanted: frozenset[int] | None) -> bool:
        """Whether all that the tranche needs by now was sent. wanted: the groups for which the split was read."""
        now = self._membership.wanted(self._attempt.tranche)
        if now is None:
            return wanted is None and not self._dropped
        return (wanted is None or now <= wanted) and not now & self._dropped

    def _owner_of(self, bucket: int) -> int | None:
        """Who gets the shards of a bucket by the newest view; None where its group has left the tranche."""
        m = self._membership
        if self._routed != m.epoch:
            self._routed = m.epoch
            self._owners.clear()
        if bucket not in self._owners:
            group = self._groups.group_of(bucket)
            self._owners[bucket] = m.owner_of(group) if self._wanted(group) else None
        return self._owners[bucket]

    def _wanted(self, group: int) -> bool:
        if self._membership.tranche_of(group) == self._attempt.tranche:
            return True
        self._dropped.add(group)
        return False

    async def cancel(self) -> None:
        """Release everything. What was delivered stays with its owners, who will not use it."""
        for gathered in self._gathered.values():
            self._budget.give(gathered.size)
        self._gathered.clear()
        for task in list(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def _keep(self, shards: list[Shard]) -> None:
        """Store shards of this worker's own groups. They do not count in the budget: the caller waits for the store."""
        await self._until_delivered(self._membership.me, self._next_number(self._membership.me), shards)

    def _next_number(self, owner: int) -> int:
        number = self._numbers.get(owner, 0)
        self._numbers[owner] = number + 1
        return number

    def flush(self) -> None:
        """Send what is gathered, in frames however small."""
        for owner in list(self._gathered):
            self._send(owner)

    def _send(self, owner: int) -> None:
        gathered = self._gathered.pop(owner)
        task = asyncio.create_task(self._until_delivered(owner, self._next_number(owner), gathered.shards))
        self._sending[task] = None
        task.add_done_callback(lambda done: self._sent(done, gathered.size))

    def _sent(self, task: asyncio.Task[None], size: int) -> None:
        """However the task ended, even before it began."""
        self._budget.give(size)
        self._sending.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            self._error = self._error or task.exception()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _delivered(self, owner: int, shards: Sequence[Shard]) -> None:
        self.rows += sum(shard.rows for shard in shards)
        if owner != self._membership.me:
            self.bytes += sum(shard.length for shard in shards)

    async def _until_delivered(self, owner: int, number: int, shards: list[Shard]) -> None:
        """Try until the owner has the shards, or their groups have left the tranche."""
        m = self._membership
        pause = FIRST_PAUSE
        corrupt = 0
        tries = Tries()
        while True:
            epoch = m.epoch
            shards = [shard for shard in shards if self._wanted(self._groups.group_of(shard.bucket))]
            if not shards:
                return
            member = m.member(owner)
            ack = await self._deliver(owner, member, number, shards, tries)
            if ack is not None and ack.delivered:
                self._delivered(owner, shards)
                return
            if ack is Ack.CORRUPT:
                corrupt += 1
                if corrupt >= MAX_CORRUPT:
                    raise Internal(f"a frame for worker {owner} arrived corrupt {corrupt} times")
                continue
            corrupt = 0
            if ack in (Ack.STALE, Ack.FULL):
                m.stale.set()
            if ack is Ack.FULL:
                tries.failed(member, Unreachable(f"worker {owner} can store nothing more, and nobody takes its groups"))
            await m.newer(epoch, pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _deliver(
        self, owner: int, member: Member | None, number: int, shards: list[Shard], tries: Tries
    ) -> Ack | None:
        """Try once. None: the owner is no member, or cannot be reached."""
        m = self._membership
        if owner == m.me:
            return await self._inbox.deliver(self._attempt, number, shards)
        if member is None:
            return None
        frame = Frame(self._job, m.epoch, m.me, m.incarnation, self._attempt, number, shards)
        try:
            ack = await self._peers.send(member, frame)
        except Unreachable as error:
            m.stale.set()
            tries.failed(member, error)
            return None
        if ack is not Ack.FULL:
            tries.reached()
        return ack
