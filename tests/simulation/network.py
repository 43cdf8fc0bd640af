"""The made-up network: messages that are lost, delayed, doubled and damaged, between processes that may be dead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import Frame, FrameHeader, decode_header, encode
from shuffle_protocol.messages import Member, Orders, Register, Registered, Sync
from shuffle_worker.transfer.transport import Interrupted, Unreachable

if TYPE_CHECKING:
    from tests.simulation.world import Process, World


class Peers:
    """`PeerTransport` over the world's network; frames go through their real bytes."""

    def __init__(self, world: World, incarnation: str) -> None:
        self._world = world
        self._incarnation = incarnation

    async def send(self, member: Member, frame: Frame) -> Ack:
        world = self._world
        if world.chance(world.faults.double):
            world.say(f"twice: {self._name(member, frame)}")
            world.aside(self._once(member, frame))
        return await self._once(member, frame)

    async def _once(self, member: Member, frame: Frame) -> Ack:
        world = self._world
        encoded = encode(frame)
        payload = b"".join(bytes(part) for part in encoded.buffers)
        if payload and world.chance(world.faults.corrupt):
            at = world.random.randrange(len(payload))
            payload = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
            world.say(f"damaged: {self._name(member, frame)}")
        await world.travel(self._incarnation, member.address)
        process = world.process(member.address)
        assert process is not None
        header: FrameHeader = decode_header(encoded.header)

        try:
            ack = await process.inbox.receive(header, Arriving(payload, process))
        except Interrupted:
            raise Unreachable("the receiver died") from None
        if process.dead:
            raise Unreachable("the receiver died")
        if ack not in (Ack.ACCEPTED, Ack.BEHIND):
            world.say(f"{ack.name.lower()}: {self._name(member, frame)}")
        await world.travel(member.address, self._incarnation)
        return ack

    def _name(self, member: Member, frame: Frame) -> str:
        attempt = frame.attempt
        which = f"frame {frame.number} of transfer {attempt.tranche}/{attempt.split} attempt {attempt.attempt}"
        return f"{which}, {frame.sender} ({self._incarnation}) to {member.worker} ({member.address})"

    async def close(self) -> None:
        pass


class Arriving:
    """`Payload`: 64 bytes at a time, as long as the receiver lives."""

    def __init__(self, payload: bytes, receiver: Process) -> None:
        self._payload = payload
        self._receiver = receiver
        self._at = 0

    async def fill(self, into: memoryview) -> None:
        end = self._at + len(into)
        assert end <= len(self._payload)
        for start in range(self._at, end, 64):
            await asyncio.sleep(0.0005)
            if self._receiver.dead:
                raise Interrupted
            piece = self._payload[start : min(start + 64, end)]
            into[start - self._at : start - self._at + len(piece)] = piece
        self._at = end


class Control:
    """`ControlTransport` over the world's network."""

    def __init__(self, world: World, incarnation: str) -> None:
        self._world = world
        self._incarnation = incarnation

    async def register(self, message: Register) -> Registered:
        world = self._world
        await world.travel(self._incarnation, None)
        reply, actions = world.machine.register(message, world.now)
        world.perform(actions)
        await world.travel(self._incarnation, None)
        return msgspec.json.decode(msgspec.json.encode(reply), type=Registered)

    async def sync(self, message: Sync) -> Orders:
        world = self._world
        await world.travel(self._incarnation, None)
        self._tell(message)
        deadline = world.now + message.wait
        news = world.news[message.worker] = asyncio.Event()
        while True:
            orders, actions = world.machine.sync(message, world.now)
            world.perform(actions)
            left = deadline - world.now
            told = {lease.id for lease in orders.leases} != set(message.holding)
            if left <= 0 or told or orders.acknowledged or orders.view is not None or orders.stop or not orders.known:
                break
            news.clear()
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue
        await world.travel(self._incarnation, None)
        return msgspec.json.decode(msgspec.json.encode(orders), type=Orders)

    def _tell(self, message: Sync) -> None:
        for done in message.done:
            self._world.say(f"{message.worker} ({self._incarnation}) did {_name(done.id)}")
        for failure in message.failed:
            self._world.say(f"{message.worker} ({self._incarnation}) failed {_name(failure.id)}: {failure.message}")

    async def close(self) -> None:
        pass


def _name(lease: object) -> str:
    from shuffle_protocol.messages import LeaseId

    assert isinstance(lease, LeaseId)
    return f"{lease.kind} {lease.tranche}/{lease.item} attempt {lease.attempt}"
