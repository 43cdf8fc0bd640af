"""A split that is due for several tranches is read once and sent by an outbox for each; they share one budget."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.simulation.disks import Disk, DiskStore
from tests.simulation.model import ObjectStore, Shape, SimulatedWork

from shuffle_protocol.acks import Ack
from shuffle_protocol.checksum import checksum
from shuffle_protocol.frames import Frame
from shuffle_protocol.messages import Attempt, Lease, LeaseId, LeaseKind, Member, OwnedRun, View
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.outbox import Sender
from shuffle_worker.transfer.peer_exchange import PeerExchange, PeerOutgoing

BUDGET, FRAME = 1000, 1000
OWNERS = 4


class Takers:
    """Peers that take every frame."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []  # of each frame, the group and its bytes

    async def send(self, member: Member, frame: Frame) -> Ack:
        self.taken += [(shard.bucket, shard.length) for shard in frame.shards]
        return Ack.ACCEPTED

    async def close(self) -> None:
        """Nothing is open."""


def outgoing(takers: Takers) -> PeerOutgoing:
    """By worker 0; of groups 0 to 3, group g is of tranche g + 1 and belongs to worker g + 1."""
    chance = random.Random(0)
    work = SimulatedWork(Shape(workers=OWNERS + 1, splits=1, rows=OWNERS, groups=OWNERS), ObjectStore(chance))
    membership = Membership(0, "w0")
    members = [Member(worker, f"w{worker}", "there") for worker in range(OWNERS + 1)]
    runs = [OwnedRun(group, 1, group + 1, group + 1) for group in range(OWNERS)]
    membership.update(View("plan", 1, OWNERS, members, runs))
    inbox = Inbox(membership, asyncio.to_thread, BUDGET)
    sender = Sender("job", membership, work, inbox, takers, ByteBudget(BUDGET), FRAME)
    exchange = PeerExchange(sender, DiskStore(Disk(chance)), asyncio.to_thread)
    along = [Attempt(tranche, 0, 0) for tranche in range(2, OWNERS + 1)]
    return exchange.outgoing(Lease(LeaseId(LeaseKind.TRANSFER, 1, 0, 0), piggybacked=along))


def shard(group: int, sequence: int, size: int) -> Shard:
    data = bytes(size)
    return Shard(group, sequence, 1, checksum([data]), [data], size)


@pytest.mark.parametrize(
    "pieces",
    [
        [[600, 600, 0, 0]],  # what the first outbox has gathered leaves the second too little
        [[0, 600, 0, 0], [600, 0, 0, 0]],  # what the second has, the first
        [[250, 250, 250, 250], [250, 250, 250, 250]],
        [[300, 0, 0, 300], [0, 300, 300, 0], [1500, 300, 300, 300]],
    ],
)
async def test_no_outbox_waits_for_what_another_of_the_lease_holds(pieces: list[list[int]]) -> None:
    takers = Takers()
    sending = outgoing(takers)
    async with asyncio.timeout(30):
        for sequence, piece in enumerate(pieces):
            await sending.put([shard(group, sequence, size) for group, size in enumerate(piece) if size])
        sent = await sending.finish(1)
    expected = sorted((group, size) for piece in pieces for group, size in enumerate(piece) if size)
    assert sorted(takers.taken) == expected
    assert sent.bytes == sum(size for _, size in expected)
