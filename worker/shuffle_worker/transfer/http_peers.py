"""Frames to other workers: one POST a frame, over a few connections to each.

A body goes to the socket in batches of the frame's own buffers. Where the event loop can (uvloop, and asyncio from
Python 3.12 on), the kernel gathers them; elsewhere they are joined, a batch at a time. With a `Tls` everything is
encrypted, and there is no way back to plain text. `http_server.py` is the other side.

Memory: a batch beside the shards themselves, for each frame on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from shuffle_protocol import wire
from shuffle_protocol.acks import Ack
from shuffle_protocol.frames import Encoded, Frame, encode
from shuffle_protocol.messages import Member
from shuffle_protocol.shards import Buffer
from shuffle_protocol.tls import Tls
from shuffle_worker.transfer.http import HttpSettings
from shuffle_worker.transfer.peer_connection import PeerAnswer, PeerConnection
from shuffle_worker.transfer.transport import Interrupted, Unreachable

SMALL = 128 << 10
"""Smaller buffers are not worth a call of the socket each: shards of 72 KiB that go together cost a sixth less on both
sides, even where they are joined first."""

BATCH = 512 << 10
"""Bytes of small buffers that go together. More would leave the processor's cache where they are joined."""

PIECE = 1 << 20
"""The most bytes that a socket is given at once."""


@dataclass(slots=True)
class _Peer:
    """What there is for one address. free: how many more frames may be on their way."""

    free: asyncio.Semaphore
    idle: list[PeerConnection] = field(default_factory=list)


class HttpPeers:
    """Implements `transport.PeerTransport`. Used in one event loop. A member's address is `host:port`."""

    def __init__(self, token: str, settings: HttpSettings | None = None, tls: Tls | None = None) -> None:
        self._token = token
        self._settings = settings or HttpSettings()
        self._tls = tls
        self._peers: dict[str, _Peer] = {}
        self._closed = False

    async def send(self, member: Member, frame: Frame) -> Ack:
        encoded = encode(frame)
        who = f"worker {member.worker} at {member.address}"
        try:
            answer = await self._post(member.address, frame.job, encoded)
        except (Interrupted, OSError, ValueError, OverflowError) as error:  # a TimeoutError is an OSError
            raise Unreachable(f"{who}: {error or type(error).__name__}") from None
        if answer.status == wire.GAVE_UP:
            raise wire.gave_up(answer.body)
        if answer.status != 200:
            raise Unreachable(f"{who} answered {answer.status}: {wire.problem(answer.body)}")
        try:
            return wire.decode(answer.body, wire.Answer).ack
        except wire.WireError as error:
            raise Unreachable(f"{who}: {error}") from None

    async def close(self) -> None:
        self._closed = True
        for peer in self._peers.values():
            for connection in peer.idle:
                connection.close()
        self._peers.clear()

    async def _post(self, address: str, job: str, encoded: Encoded) -> PeerAnswer:
        head = (
            f"POST {wire.SHARDS.format(job=job)} HTTP/1.1\r\nHost: {address}\r\n"
            f"Authorization: {wire.bearer(self._token)}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {encoded.length}\r\n\r\n"
        ).encode()
        stall, loop = self._settings.stall, asyncio.get_running_loop()
        async with self._connection(address) as connection:
            try:
                async with asyncio.timeout(stall) as limit:
                    for batch in batches([head, encoded.header, *encoded.buffers]):
                        if not await connection.write(batch):
                            break
                        with suppress(RuntimeError):  # it gave up already
                            limit.reschedule(loop.time() + stall)
                    return await connection.answer(wire.MAX_ANSWER)
            except TimeoutError:
                raise TimeoutError(f"no progress for {stall:g} seconds") from None

    @asynccontextmanager
    async def _connection(self, address: str) -> AsyncIterator[PeerConnection]:
        """One that nobody else uses meanwhile."""
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = _Peer(asyncio.Semaphore(self._settings.connections))
        async with peer.free:
            while peer.idle and not peer.idle[-1].usable:
                peer.idle.pop()
            connection = peer.idle.pop() if peer.idle else await self._connect(address)
            try:
                yield connection
            finally:
                if connection.usable and not self._closed:
                    peer.idle.append(connection)
                else:
                    connection.close()

    async def _connect(self, address: str) -> PeerConnection:
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal():
            raise ValueError(f"{address!r} is no host:port")
        within, name = self._settings.connect, None if self._tls is None else self._tls.worker
        try:
            async with asyncio.timeout(within):
                _, connection = await asyncio.get_running_loop().create_connection(
                    PeerConnection, host, int(port), ssl=None if self._tls is None else self._tls.client,
                    server_hostname=name,
                )  # fmt: skip
        except TimeoutError:
            raise TimeoutError(f"no connection within {within:g} seconds") from None
        return connection


def batches(buffers: Iterable[Buffer]) -> Iterator[list[Buffer]]:
    """The buffers in order: small ones together, up to `BATCH` bytes; large ones by themselves, in pieces."""
    waiting: list[Buffer] = []
    size = 0
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        small = len(view) < SMALL
        if size and (not small or size + len(view) > BATCH):
            yield waiting
            waiting, size = [], 0
        if small:
            waiting.append(view)
            size += len(view)
        else:
            for at in range(0, len(view), PIECE):
                yield [view[at : at + PIECE]]
    if size:
        yield waiting
