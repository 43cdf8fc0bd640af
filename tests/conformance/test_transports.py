"""What any transport must do, run against each implementation; the contract is in `shuffle_worker.transfer.transport`.

A transport is given as a way to open a pair of it around a handler; add one to `PEERS` and it runs all of this.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from shuffle_protocol.acks import Ack
from shuffle_protocol.checksum import checksum
from shuffle_protocol.errors import OutOfDisk
from shuffle_protocol.frames import Frame, FrameHeader, first_corrupt
from shuffle_protocol.messages import Attempt, Member
from shuffle_protocol.shards import Shard
from shuffle_worker.transfer.http import HttpSettings
from shuffle_worker.transfer.http_peers import HttpPeers
from shuffle_worker.transfer.http_server import PeerServer
from shuffle_worker.transfer.transport import FrameHandler, Interrupted, Payload, PeerTransport, Unreachable

JOB = "1f0c7a52-job"
Pair = tuple[PeerTransport, Member]
Open = Callable[[FrameHandler], AbstractAsyncContextManager[Pair]]


@asynccontextmanager
async def over_http(handler: FrameHandler) -> AsyncIterator[Pair]:
    settings = HttpSettings(connect=5.0, stall=10.0)
    server = PeerServer(JOB, "secret", handler, "127.0.0.1", settings=settings)
    peers = HttpPeers("secret", settings)
    member = Member(1, "first", await server.start())
    try:
        yield peers, member
    finally:
        await peers.close()
        await server.stop()


PEERS: dict[str, Open] = {"http": over_http}


@pytest.fixture(params=PEERS)
def pair(request: pytest.FixtureRequest) -> Open:
    return PEERS[request.param]


def shards(sizes: Sequence[int], seed: int = 0) -> list[Shard]:
    chance = random.Random(seed)
    found = []
    for number, size in enumerate(sizes):
        data = chance.randbytes(size)
        cut = chance.randrange(size + 1)
        payload = [data[:cut], memoryview(bytearray(data))[cut:]]
        found.append(Shard(number % 7, number, number + 1, checksum([data]), payload, size))
    return found


def frame(sizes: Sequence[int], number: int = 0) -> Frame:
    return Frame(JOB, 3, 0, "sender", Attempt(1, 22, 3), number, shards(sizes, number))


class Keeper:
    """Takes everything, and remembers it."""

    def __init__(self, ack: Ack = Ack.ACCEPTED) -> None:
        self.ack = ack
        self.frames: list[tuple[FrameHeader, bytes]] = []

    async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
        taken = bytearray(header.payload)
        await payload.fill(memoryview(taken))
        self.frames.append((header, bytes(taken)))
        return self.ack


@pytest.mark.parametrize(
    "sizes",
    [[], [0], [5], [0, 1, 0], [100] * 300, [1 << 20], [(1 << 20) + 1, 3, (2 << 20) - 1, 0], [60_000] * 40],
    ids=["none", "empty", "one", "empty ones", "many", "a piece", "around a piece", "some"],
)
async def test_a_frame_arrives_as_it_was_sent(pair: Open, sizes: list[int]) -> None:
    keeper = Keeper()
    sent = frame(sizes, number=5)
    async with pair(keeper) as (peers, member):
        assert await peers.send(member, sent) is Ack.ACCEPTED
    ((header, payload),) = keeper.frames
    assert (header.job, header.epoch, header.sender, header.incarnation) == (JOB, 3, 0, "sender")
    assert (header.attempt, header.number, header.payload) == (sent.attempt, 5, sum(sizes))
    got = header.shards(memoryview(payload))
    assert first_corrupt(got) is None
    assert [s[:4] for s in got] == [s[:4] for s in sent.shards]
    assert payload == b"".join(bytes(buffer) for shard in sent.shards for buffer in shard.payload)


@pytest.mark.parametrize("ack", list(Ack))
async def test_the_ack_comes_back(pair: Open, ack: Ack) -> None:
    async with pair(Keeper(ack)) as (peers, member):
        assert await peers.send(member, frame([10])) is ack


async def test_what_stops_the_receiver_is_told_to_the_sender(pair: Open) -> None:
    class Full:
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            if header.number:
                await payload.fill(memoryview(bytearray(header.payload)))
            raise OutOfDisk("no room in /scratch")

    async with pair(Full()) as (peers, member):
        for number in range(3):
            with pytest.raises(OutOfDisk, match="no room in /scratch"):
                await peers.send(member, frame([900_000] * 4, number))


async def test_a_receiver_may_answer_before_it_has_taken_the_payload(pair: Open) -> None:
    class Impatient:
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            if header.number % 3 == 1:
                await payload.fill(memoryview(bytearray(1000)))
            return Ack.BUSY

    async with pair(Impatient()) as (peers, member):
        for number in range(6):
            assert await peers.send(member, frame([900_000] * 4, number)) is Ack.BUSY


async def test_several_frames_at_once(pair: Open) -> None:
    keeper = Keeper()
    frames = [frame([1000 * number, 300_000], number) for number in range(12)]
    async with pair(keeper) as (peers, member):
        acks = await asyncio.gather(*(peers.send(member, each) for each in frames))
    assert acks == [Ack.ACCEPTED] * 12
    assert sorted(header.number for header, _ in keeper.frames) == list(range(12))
    assert all(first_corrupt(header.shards(memoryview(payload))) is None for header, payload in keeper.frames)


async def test_a_receiver_that_does_not_take_pieces_holds_the_sender_up(pair: Open) -> None:
    """The sender of a large frame cannot be done, nor can all of the frame be on its way."""
    wait, seen = asyncio.Event(), 0

    class Slow:
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            nonlocal seen
            await wait.wait()
            for _ in range(8):
                await payload.fill(memoryview(bytearray(1 << 20)))
                seen += 1 << 20
            return Ack.ACCEPTED

    async with pair(Slow()) as (peers, member):
        sending = asyncio.create_task(peers.send(member, frame([8 << 20])))
        await asyncio.sleep(0.05)
        assert not sending.done()
        wait.set()
        assert await sending is Ack.ACCEPTED
    assert seen == 8 << 20


async def test_a_handler_that_raises_is_unreachable_and_the_next_frame_is_not(pair: Open) -> None:
    class Broken(Keeper):
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            if header.number == 0:
                raise RuntimeError("a defect")
            return await super().receive(header, payload)

    async with pair(Broken()) as (peers, member):
        with pytest.raises(Unreachable):
            await peers.send(member, frame([200_000], 0))
        assert await peers.send(member, frame([200_000], 1)) is Ack.ACCEPTED


async def test_a_sender_that_is_cancelled_interrupts_the_receiver(pair: Open) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    class Watching:
        async def receive(self, header: FrameHeader, payload: Payload) -> Ack:
            try:
                for _ in range(64):
                    await payload.fill(memoryview(bytearray(1 << 20)))
                    begun.set()
                    await asyncio.sleep(0.01)
            except Interrupted:
                outcome.set_result("interrupted")
                raise
            outcome.set_result("whole")
            return Ack.ACCEPTED

    async with pair(Watching()) as (peers, member):
        sending = asyncio.create_task(peers.send(member, frame([64 << 20])))
        await begun.wait()
        sending.cancel()
        assert await asyncio.wait_for(outcome, 5) == "interrupted"
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_nobody_there_is_unreachable(pair: Open) -> None:
    async with pair(Keeper()) as (peers, member):
        gone = Member(2, "gone", "127.0.0.1:9")
        with pytest.raises(Unreachable, match="worker 2"):
            await peers.send(gone, frame([10]))
        assert await peers.send(member, frame([10])) is Ack.ACCEPTED


async def test_frames_of_another_job_never_reach_the_handler(pair: Open) -> None:
    keeper = Keeper()
    async with pair(keeper) as (peers, member):
        with pytest.raises(Unreachable):
            await peers.send(member, frame([10])._replace(job="another"))
    assert not keeper.frames
