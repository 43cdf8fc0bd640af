"""A write has the memory of shards that come and go, unless they do; then it has less, and they go on as before."""

from __future__ import annotations

import asyncio
import random

from tests.simulation.disks import Disk, DiskStore
from tests.simulation.model import ObjectStore, Shape, SimulatedWork

from shuffle_protocol.acks import Ack
from shuffle_protocol.checksum import checksum
from shuffle_protocol.frames import Frame, decode_header, encode
from shuffle_protocol.messages import Attempt, Member, OwnedRun, View
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.outbox import Sender
from shuffle_worker.transfer.peer_exchange import PeerExchange

FULL, FRAME = 1 << 16, 1 << 12
GROUPS = 4


class Nobody:
    """Peers to which nothing is sent."""

    async def send(self, member: Member, frame: Frame) -> Ack:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


class Late:
    """A payload that comes when `until` is set."""

    def __init__(self, data: bytes, until: asyncio.Event) -> None:
        self._data, self._until = data, until

    async def fill(self, into: memoryview) -> None:
        await self._until.wait()
        into[:] = self._data


class Owner:
    """Worker 0 of two, which owns all groups."""

    def __init__(self, beside: int = FRAME) -> None:
        chance = random.Random(0)
        work = SimulatedWork(Shape(workers=2, splits=1, rows=GROUPS, groups=GROUPS), ObjectStore(chance))
        membership = Membership(0, "w0")
        members = [Member(0, "w0", "here"), Member(1, "w1", "there")]
        membership.update(View("plan", 1, GROUPS, members, [OwnedRun(0, GROUPS, 0, 0)]))
        self.inbox = Inbox(membership, asyncio.to_thread, FULL)
        self.budget = ByteBudget(FULL)
        sender = Sender("job", membership, work, self.inbox, Nobody(), self.budget, FRAME)
        self.exchange = PeerExchange(sender, DiskStore(Disk(chance)), asyncio.to_thread, beside_writes=beside)

    @property
    def limits(self) -> tuple[int, int]:
        return self.budget.limit, self.inbox._budget.limit

    async def receive(self, number: int, size: int, until: asyncio.Event) -> Ack:
        """A frame of `size` bytes."""
        data = bytes(size)
        shard = Shard(0, number, 1, checksum([data]), [data], size)
        encoded = encode(Frame("job", 1, 1, "w1", Attempt(0, 0, 0), number, [shard]))

        payload = b"".join(bytes(buffer) for buffer in encoded.buffers)
        return await self.inbox.receive(decode_header(encoded.header), Late(payload, until))


async def test_a_write_leaves_a_frame_each_way() -> None:
    owner = Owner()
    async with owner.exchange.incoming(1, []) as source:
        assert source.alone
        assert owner.limits == (FRAME, FRAME)
        await owner.budget.take(FRAME)
        async with owner.exchange.incoming(2, []) as beside:
            assert beside.alone, "a frame each way is all that may be under way"
        assert owner.limits == (FRAME, FRAME), "the first goes on"
        owner.budget.give(FRAME)
    assert owner.limits == (FULL, FULL)


async def test_frames_come_one_at_a_time_while_a_group_is_written() -> None:
    owner, come = Owner(), asyncio.Event()
    async with owner.exchange.incoming(1, []):
        frames = [asyncio.create_task(owner.receive(number, FRAME, come)) for number in range(3)]
        await asyncio.sleep(0)
        assert owner.inbox._budget.used == FRAME
        come.set()
        assert await asyncio.gather(*frames) == [Ack.ACCEPTED] * 3
    assert not owner.inbox.receiving


async def test_a_write_has_less_where_frames_are_under_way() -> None:
    owner, come = Owner(), asyncio.Event()
    frames = [asyncio.create_task(owner.receive(number, FRAME, come)) for number in range(3)]
    await asyncio.sleep(0)
    assert owner.inbox.receiving
    async with owner.exchange.incoming(1, []) as source:
        assert not source.alone
        assert owner.limits == (FULL, FULL)
        come.set()
        assert await asyncio.gather(*frames) == [Ack.ACCEPTED] * 3
    await owner.budget.take(1)
    async with owner.exchange.incoming(2, []) as source:
        assert not source.alone, "shards that wait to be sent"


async def test_nothing_is_narrowed_where_writes_need_no_more_than_reads() -> None:
    owner = Owner(beside=0)
    async with owner.exchange.incoming(1, []) as source:
        assert source.alone
        assert owner.limits == (FULL, FULL)


async def test_a_write_that_fails_gives_back_what_it_had() -> None:
    owner = Owner()
    try:
        async with owner.exchange.incoming(1, []):
            raise OSError("the store is away")
    except OSError:
        assert owner.limits == (FULL, FULL)
