"""What any exchange must do, run against each; the contract is in `shuffle_worker.transfer.exchange`.

An exchange is given as a way to open it for two workers of one job, of whom worker `group % 2` writes a group; add one
to `TEAMS` and it runs all of this.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.simulation.disks import Disk, DiskLog, DiskStore

from shuffle_protocol.acks import Ack
from shuffle_protocol.checksum import checksum
from shuffle_protocol.frames import Frame, decode_header, encode
from shuffle_protocol.messages import Attempt, Lease, LeaseId, LeaseKind, Member, OwnedRun, View
from shuffle_protocol.shards import Shard
from shuffle_worker.storage import LocalStorage
from shuffle_worker.store.retained import RetainedShards
from shuffle_worker.store.store import CorruptBlock
from shuffle_worker.transfer.budget import ByteBudget
from shuffle_worker.transfer.exchange import Absent, Condition, Exchange, Sent
from shuffle_worker.transfer.inbox import Inbox
from shuffle_worker.transfer.membership import Membership
from shuffle_worker.transfer.object_exchange import ObjectExchange
from shuffle_worker.transfer.objects import ShardFiles
from shuffle_worker.transfer.outbox import Sender
from shuffle_worker.transfer.peer_exchange import PeerExchange
from shuffle_worker.transfer.source import Revoked, StoredShardSource

SPLITS, GROUPS, EACH = 5, 4, 3
Found = list[tuple[int, int, int, bytes]]
"""(split, sequence, rows, payload) of every shard, in the order of the source."""


class Groups:
    """`GroupMap`: group 0 has buckets 0, 1, 2, and so on."""

    def buckets(self) -> int:
        return GROUPS * EACH

    def group_of(self, bucket: int) -> int:
        if not 0 <= bucket < self.buckets():
            raise IndexError(bucket)
        return bucket // EACH

    def buckets_of(self, group: int) -> range:
        return range(group * EACH, (group + 1) * EACH)


@dataclass
class Team:
    workers: list[Exchange]
    held: Callable[[], int]
    """Bytes of shards that the two workers hold."""
    reserved: Callable[[], int]
    """Bytes of their budgets that are taken, or files that were begun."""
    damage: Callable[[], None]
    """Spoils what is stored."""

    def writer(self, group: int) -> Exchange:
        return self.workers[group % 2]


Open = Callable[[Path], Team]


class Whole:
    """The payload of a frame that is here already."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    async def fill(self, into: memoryview) -> None:
        assert len(into) == len(self._payload)
        into[:] = self._payload


class Loopback:
    """`PeerTransport` between the inboxes of one process; frames go through their real bytes."""

    def __init__(self, inboxes: list[Inbox]) -> None:
        self._inboxes = inboxes

    async def send(self, member: Member, frame: Frame) -> Ack:
        encoded = encode(frame)
        payload = b"".join(bytes(part) for part in encoded.buffers)
        return await self._inboxes[member.worker].receive(decode_header(encoded.header), Whole(payload))

    async def close(self) -> None:
        """Nothing is open."""


def peers(*, keeping: bool) -> Open:
    def open_team(_folder: Path) -> Team:
        members = [Member(worker, f"w{worker}", "here") for worker in range(2)]
        view = View("plan", 1, GROUPS, members, [OwnedRun(group, 1, group % 2, 0) for group in range(GROUPS)])
        disks = [Disk(random.Random(worker)) for worker in range(2)]
        stores = [DiskStore(disk) for disk in disks]
        budgets = [ByteBudget(400) for _ in range(2)]
        inboxes: list[Inbox] = []
        workers: list[Exchange] = []
        for worker in range(2):
            membership = Membership(worker, f"w{worker}")
            membership.update(view)
            inboxes.append(Inbox(membership, asyncio.to_thread, 300))
            retained = RetainedShards(DiskLog(disks[worker]), 1 << 20, Groups().group_of) if keeping else None
            sender = Sender("job", membership, Groups(), inboxes[worker], Loopback(inboxes), budgets[worker], 100)
            workers.append(PeerExchange(sender, stores[worker], asyncio.to_thread, retained))

        def damage() -> None:
            for disk in disks:
                disk.rot = 1.0

        return Team(
            workers,
            held=lambda: sum(store.stats().held for store in stores),
            reserved=lambda: sum(budget.used for budget in budgets) + sum(inbox.storing for inbox in inboxes),
            damage=damage,
        )

    return open_team


def objects(folder: Path) -> Team:
    def files() -> ShardFiles:
        return ShardFiles(LocalStorage(), str(folder), SPLITS, GROUPS * EACH, hold=300, index=4000)

    def damage() -> None:
        for path in folder.iterdir():
            if path.suffix != ".index":
                path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))

    workers: list[Exchange] = [ObjectExchange(files(), asyncio.to_thread) for _ in range(2)]

    def unfinished() -> int:
        names = {path.name for path in folder.iterdir()}
        return sum(not name.endswith(".index") and f"{name}.index" not in names for name in names)

    return Team(workers, held=lambda: 0, reserved=unfinished, damage=damage)


TEAMS: dict[str, Open] = {
    "peers": peers(keeping=False),
    "peers that keep what they send": peers(keeping=True),
    "object storage": objects,
}


@pytest.fixture(params=TEAMS)
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Team:
    return TEAMS[request.param](tmp_path)


def shard(bucket: int, sequence: int, data: bytes) -> Shard:
    middle = len(data) // 2
    return Shard(bucket, sequence, sequence + 1, checksum([data]), [data[:middle], data[middle:]], len(data))


def shards(split: int, seed: int = 0, most: int = 90) -> list[Shard]:
    """For every bucket several, none of them the same as another split's or seed's."""
    chance = random.Random(split * 1000 + seed)
    buckets = [bucket for bucket in range(GROUPS * EACH) for _ in range(3)]
    chance.shuffle(buckets)
    return [shard(bucket, at, chance.randbytes(chance.randrange(most))) for at, bucket in enumerate(buckets)]


def lease(split: int, attempt: int = 0) -> Lease:
    return Lease(LeaseId(LeaseKind.TRANSFER, 0, split, attempt))


async def send(exchange: Exchange, which: Lease, of: Sequence[Shard]) -> Sent:
    out = exchange.outgoing(which)
    try:
        for at in range(0, len(of), 5):
            await out.put(of[at : at + 5])
        return await out.finish(sum(one.rows for one in of))
    finally:
        await out.close()


async def send_everything(team: Team, seed: int = 0) -> None:
    await asyncio.gather(*(send(team.workers[s % 2], lease(s), shards(s, seed)) for s in range(SPLITS)))


def read(source: StoredShardSource, bucket: int) -> Found:
    stored = source.shards(bucket)
    into = bytearray(sum(one.length for one in stored))
    source.read(bucket, stored, memoryview(into))
    found, at = [], 0
    for one in stored:
        found.append((one.split, one.sequence, one.rows, bytes(into[at : at + one.length])))
        at += one.length
    return found


async def written(team: Team, group: int, counted: Sequence[Attempt] = ()) -> dict[int, Found]:
    """Write the group: what its worker found for each of its buckets."""
    async with team.writer(group).incoming(group, counted) as source:
        return {bucket: await asyncio.to_thread(read, source, bucket) for bucket in Groups().buckets_of(group)}


def expected(group: int, seeds: Sequence[int] = (0,) * SPLITS) -> dict[int, Found]:
    found: dict[int, Found] = {bucket: [] for bucket in Groups().buckets_of(group)}
    for split, seed in enumerate(seeds):
        for one in shards(split, seed):
            if one.bucket in found:
                payload = b"".join(bytes(part) for part in one.payload)
                found[one.bucket].append((split, one.sequence, one.rows, payload))
    return found


async def test_every_group_finds_what_was_put_for_it(team: Team) -> None:
    await send_everything(team)
    for group in range(GROUPS):
        assert await written(team, group) == expected(group)


async def test_it_says_what_arrived(team: Team) -> None:
    of = shards(0)
    sent = await send(team.workers[0], lease(0), of)
    assert sent.rows == sum(one.rows for one in of)
    assert 0 < sent.bytes <= sum(one.length for one in of)
    assert sent.kept == (0 in team.workers[0].splits_kept())


async def test_a_split_without_rows(team: Team) -> None:
    for split in range(SPLITS):
        assert await send(team.workers[0], lease(split), []) == Sent(0, 0, kept=0 in team.workers[0].splits_kept())
    assert await written(team, 1) == {bucket: [] for bucket in Groups().buckets_of(1)}


async def test_only_the_attempt_that_counts(team: Team) -> None:
    """One attempt of split 2 breaks off, one comes to its end and is not counted after all, one counts."""
    out = team.workers[1].outgoing(lease(2, attempt=1))
    await out.put(shards(2, seed=7))
    await out.close()
    await send(team.workers[0], lease(2, attempt=2), shards(2, seed=8))
    await send_everything(team)
    await send(team.workers[1], lease(2, attempt=3), shards(2, seed=9))
    counted = [Attempt(0, 2, 3)]
    for group in range(GROUPS):
        assert await written(team, group, counted) == expected(group, [0, 0, 9, 0, 0])


async def test_two_attempts_at_once(team: Team) -> None:
    await send_everything(team)
    await asyncio.gather(*(send(team.workers[w], lease(4, attempt=w + 1), shards(4, seed=w + 1)) for w in range(2)))
    assert await written(team, 3, [Attempt(0, 4, 2)]) == expected(3, [0, 0, 0, 0, 2])


async def test_a_lease_that_is_taken_away_leaves_nothing_behind(team: Team) -> None:
    others = asyncio.all_tasks()
    for turns in range(1, 40, 3):
        task = asyncio.create_task(send(team.workers[0], lease(0, attempt=turns), shards(0)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.all_tasks() == others
    await send_everything(team, seed=1)  # where something were still reserved, this would wait for ever
    assert team.reserved() == 0
    assert [worker.condition().full for worker in team.workers] == ["", ""]
    assert await written(team, 0) == expected(0, [1] * SPLITS)


async def test_what_is_not_here_is_not_sent_again(team: Team) -> None:
    out = team.workers[0].outgoing(Lease(LeaseId(LeaseKind.TRANSFER, 0, 3, 1), resend=True))
    with pytest.raises(Absent):
        await out.resend()
    await out.close()


async def test_damage_is_found(team: Team) -> None:
    await send_everything(team)
    team.damage()
    async with team.writer(0).incoming(0, []) as source:
        with pytest.raises(CorruptBlock):
            for bucket in Groups().buckets_of(0):
                read(source, bucket)


async def test_a_revoked_write_stops(team: Team) -> None:
    await send_everything(team)
    with pytest.raises(Revoked):
        async with team.writer(0).incoming(0, []) as source:
            found = source.shards(0)
            source.revoke()
            source.read(0, found, memoryview(bytearray(sum(one.length for one in found))))


async def test_a_group_whose_write_failed_is_written_again(team: Team) -> None:
    await send_everything(team)
    with pytest.raises(OSError, match="away"):
        async with team.writer(2).incoming(2, []) as source:
            read(source, Groups().buckets_of(2).start)
            raise OSError("the store is away")
    assert await written(team, 2) == expected(2)


async def test_what_is_written_gives_its_memory_back(team: Team) -> None:
    await send_everything(team)
    for group in range(GROUPS):
        await written(team, group)
    assert team.held() == 0


async def test_what_others_write_is_given_back(team: Team) -> None:
    await send_everything(team)
    for worker in team.workers:
        await worker.keep_only([])
    assert team.held() == 0


async def test_what_only_helps_gives_way(team: Team) -> None:
    await send_everything(team)
    for worker in team.workers:
        before = worker.condition().retained
        assert worker.make_room() == before
        assert worker.condition().retained == 0
        assert worker.splits_kept() == []
    assert await written(team, 1) == expected(1)


async def test_what_is_written_is_not_kept_to_be_sent_again(team: Team) -> None:
    await send_everything(team)
    for worker in team.workers:
        await worker.forget(range(GROUPS))
        condition = worker.condition()
        assert condition == Condition(steps=condition.steps, stored=condition.stored)
    assert await written(team, 1) == expected(1)
