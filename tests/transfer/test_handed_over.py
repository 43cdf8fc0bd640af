"""An owner that hands groups over sends what it has stored for them, and says so where it has nothing any more."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.simulation.disks import Disk, DiskStore
from tests.simulation.model import ObjectStore, Shape, SimulatedWork

from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import Frame
from shuffle_protocol.messages import Attempt, Lease, LeaseId, LeaseKind, Member, OwnedRun, View
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.carry import Carrier
from shuffle_worker.transfer.exchange import Absent
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.outbox import Sender
from shuffle_worker.transfer.peer_exchange import PeerExchange

GROUPS = 3
HANDED_OVER = Lease(LeaseId(LeaseKind.TRANSFER, 1, 0, 0), stored=Attempt(0, 0, 0))
"""Split 0 for tranche 1, which worker 0 owned when it was tranche 0."""


class Peers:
    def __init__(self) -> None:
        self.groups: list[int] = []

    async def send(self, member: Member, frame: Frame) -> Ack:
        assert member.worker == 1
        self.groups += [shard.bucket for shard in frame.shards]
        return Ack.ACCEPTED

    async def close(self) -> None:
        pass


def owner(peers: Peers) -> tuple[Carrier, Inbox]:
    """Worker 0, with a row of split 0 for each group, which are worker 1's by now."""
    chance = random.Random(0)
    work = SimulatedWork(Shape(workers=2, splits=1, rows=GROUPS * 4, groups=GROUPS), ObjectStore(chance))
    membership = Membership(0, "w0")
    members = [Member(0, "w0", "here"), Member(1, "w1", "there")]
    membership.update(View("plan", 1, GROUPS, members, [OwnedRun(0, GROUPS, 1, 1)], [(1, 0)]))
    store = DiskStore(Disk(chance))
    for step in work.read(0, None):
        store.append(Attempt(0, 0, 0), step.shards)
    inbox = Inbox(membership, asyncio.to_thread, 1 << 16)
    budget = ByteBudget(1 << 16)
    sender = Sender("job", membership, work, inbox, peers, budget, frame_bytes=1 << 12)
    exchange = PeerExchange(sender, store, asyncio.to_thread)
    return Carrier(exchange, work, asyncio.to_thread), inbox


async def test_what_is_stored_is_sent() -> None:
    peers = Peers()
    carrier, _ = owner(peers)
    done = await carrier.carry_out(HANDED_OVER, lambda: None)
    assert sorted(peers.groups) == list(range(GROUPS))
    assert done.rows_moved == GROUPS * 4


async def test_what_was_written_is_not_passed_off_as_empty() -> None:
    peers = Peers()
    carrier, inbox = owner(peers)
    inbox.seal(1)
    inbox.store.drop(carrier.work.buckets_of(1))
    inbox.unseal(1, written=True)
    with pytest.raises(Absent, match=r"groups \[1\] are written"):
        await carrier.carry_out(HANDED_OVER, lambda: None)
    assert peers.groups == []
