"""While a group is written, the shards of the next one of this worker's come from scratch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

import pytest
from tests.simulation.disks import Disk, DiskStore
from tests.simulation.model import ObjectStore, Shape, SimulatedWork

from shuffle_protocol.messages import Attempt, Member, OwnedRun, View
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership

GROUPS = 6


class Expecting(DiskStore):
    """A store that notes what it is told to expect, and what is read."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(Disk(chance))
        self.calls: list[str] = []

    def expect(self, buckets: Collection[int]) -> None:
        self.calls += [f"expect {bucket}" for bucket in buckets]


@pytest.fixture
def inbox() -> Inbox:
    """Worker 0's, which owns groups 0, 1, 3 and 4 of 6, each one bucket."""
    chance = random.Random(0)
    work = SimulatedWork(Shape(workers=2, splits=1, rows=GROUPS * 4, groups=GROUPS), ObjectStore(chance))
    membership = Membership(0, "w0")
    members = [Member(0, "w0", "here"), Member(1, "w1", "there")]
    runs = [OwnedRun(0, 2, 0, 0), OwnedRun(2, 1, 1, 0), OwnedRun(3, 2, 0, 0), OwnedRun(5, 1, 1, 0)]
    membership.update(View("plan", 1, GROUPS, members, runs))
    store = Expecting(chance)
    for step in work.read(0, None):
        store.append(Attempt(0, 0, 0), step.shards)
    inbox = Inbox(membership, asyncio.to_thread, 1 << 16)
    inbox.open(work, store, lambda: 0)
    return inbox


@pytest.mark.parametrize(
    ("written", "sealed", "read", "expected"),
    [
        ([], [0], 0, ["expect 1"]),
        ([], [1], 1, ["expect 3"]),
        ([], [0, 1], 0, ["expect 3"]),
        ([3], [1], 1, ["expect 4"]),
        ([], [4], 4, []),
    ],
    ids=["the next", "another worker's is passed over", "two at once", "one that is written already", "the last"],
)
async def test_the_next_group_is_expected(
    inbox: Inbox, written: list[int], sealed: list[int], read: int, expected: list[str]
) -> None:
    for group in written:
        inbox.unseal(group, written=True)
    for group in sealed:
        inbox.seal(group)
    source = inbox.source(read, [])
    assert isinstance(inbox.store, Expecting)
    assert inbox.store.calls == [], "nothing before there is something to do with what was read"
    shards = source.shards(read)
    for _ in range(2):  # once is enough
        source.read(read, shards, memoryview(bytearray(sum(shard.length for shard in shards))))
    assert inbox.store.calls == expected
