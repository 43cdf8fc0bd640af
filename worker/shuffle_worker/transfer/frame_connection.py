"""A connection to a worker's server: it answers the calls that bring frames itself, and leaves all others to aiohttp.

A call with a frame is HTTP/1.1 in its plainest form, one request line, a `Content-Length`, and no other way to say how
long the body is. Such a call's head is read here, and its body goes from the socket where its receiver wants it. At the
first call that is anything else, a probe or something malformed, the connection becomes aiohttp's for good.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import NamedTuple

from shuffle_protocol.connections import ConnectionGate
from shuffle_worker.transfer.socket_reader import SocketReader
from shuffle_worker.transfer.transport import Interrupted

log = logging.getLogger(__name__)

MOST_HEAD = 16 << 10
"""Bytes of a call's request line and fields."""

LINGER = 10.0
"""Seconds for a caller that was refused to send the rest of its body: it may not read the answer before."""

_BEGINNING = b"POST /v1/jobs/"
_LINE = re.compile(rb"POST /v1/jobs/([\w.~-]+)/shards HTTP/1\.1")  # wire.SHARDS
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_OURS = frozenset({b"authorization", b"connection", b"content-length"})
_ANOTHERS = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


class FrameCall(NamedTuple):
    """What the head of a call with a frame says."""

    job: str
    authorization: str
    length: int
    """Bytes of the body."""
    last: bool
    """The caller wants the connection to be closed."""


class Reply(NamedTuple):
    status: int
    body: bytes
    """JSON."""


def parsed(head: bytes) -> FrameCall | None:
    """head: without the empty line. None where it is not in the plain form."""
    line, *rest = head.split(b"\r\n")
    asked = _LINE.fullmatch(line)
    if asked is None:
        return None
    fields: dict[bytes, bytes] = {}
    for each in rest:
        found = _FIELD.fullmatch(each)
        if found is None:
            return None
        name = found[1].lower()
        if name in _ANOTHERS or (name in _OURS and name in fields):
            return None
        fields[name] = found[2].rstrip(b" \t")
    length = fields.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 18 or b"host" not in fields:
        return None
    authorization = fields.get(b"authorization", b"").decode(errors="surrogateescape")
    return FrameCall(asked[1].decode(), authorization, int(length), fields.get(b"connection", b"").lower() == b"close")


class FrameBody:
    """The body of one call. A clock looks now and then whether anything has come, instead of a timeout around each of
    the many waits."""

    def __init__(self, reader: SocketReader, size: int, stall: float) -> None:
        self.left = size
        """Bytes that were not taken yet."""
        self._reader = reader
        self._stall = stall
        self._seen = -1  # what had come when the timer last looked, and something was waited for
        self._timer = asyncio.get_running_loop().call_later(stall, self._look)

    async def take(self, count: int) -> bytearray:
        """The next bytes. Raises Interrupted where the body ends too soon, or nothing comes for too long."""
        with self._taken(count):
            return await self._reader.take(count)

    async def fill(self, into: memoryview) -> None:
        """Implements `transport.Payload`."""
        if len(into) > self.left:
            raise ValueError(f"{len(into)} bytes of a body of which {self.left} are left")
        with self._taken(len(into)):
            await self._reader.fill(into)

    async def skip(self) -> None:
        """Read to the end: a sender that is answered before it has sent everything takes it for a lost connection."""
        with self._taken(self.left):
            await self._reader.skip(self.left)

    @contextmanager
    def _taken(self, count: int) -> Iterator[None]:
        """So many bytes; where they were taken in part, nobody knows where the next call begins."""
        try:
            yield
        except BaseException:
            self._reader.end("a part of the body was lost")
            raise
        self.left -= count

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        """Every `stall` seconds: has anything come since, if something was waited for?"""
        reader = self._reader
        if reader.waiting and self._seen == reader.received:
            reader.end(f"nothing came for {self._stall:g} seconds")
            return
        self._seen = reader.received if reader.waiting else -1
        self._timer = asyncio.get_running_loop().call_later(self._stall, self._look)


class FrameConnection(SocketReader):
    """answer: carries out one call; it need not read the whole body. opened: has the connection as long as it is open
    and not aiohttp's. stall: seconds without a byte of a body after which its sender is given up. keepalive: seconds
    for which a connection that is not used stays."""

    def __init__(
        self,
        answer: Callable[[FrameConnection, FrameCall, FrameBody], Awaitable[Reply]],
        opened: set[FrameConnection],
        gate: ConnectionGate,
        stall: float,
        keepalive: float,
    ) -> None:
        super().__init__()
        self._task: asyncio.Task[None] | None = None
        self._busy = False  # a call is under way
        self._answer = answer
        self._opened = opened
        self._gate = gate
        self._stall = stall
        self._keepalive = keepalive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._gate.came(self)
        self._opened.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.left(self)
        self._opened.discard(self)
        super().connection_lost(exc)

    def authenticated(self) -> None:
        """The call carried the token."""
        self._gate.left(self)

    async def stop(self, grace: float) -> None:
        """Close it; a call that is under way has so many seconds to be carried out."""
        assert self._task is not None
        if self._busy:
            await asyncio.wait([self._task], timeout=grace)
        self._task.cancel()
        await asyncio.wait([self._task])
        self._transport.abort()

    async def _serve(self) -> None:
        ours = True
        try:
            while ours and not self._transport.is_closing():
                async with asyncio.timeout(self._keepalive):
                    call = await self._call()
                ours = call is not None
                if call is not None and not await self._carry_out(call):
                    break
        except (Interrupted, TimeoutError):
            pass
        finally:
            if ours:
                self._transport.close()
        if not ours:
            self._pass_on()

    async def _call(self) -> FrameCall | None:
        """The next call with a frame; None if it is anything else, and nothing was taken of it."""
        while True:
            head = bytes(self.held[:MOST_HEAD])
            if head[: len(_BEGINNING)] != _BEGINNING[: len(head)]:
                return None
            head, end, _ = head.partition(b"\r\n\r\n")
            if end:
                call = parsed(head)
                if call is not None:
                    await self.skip(len(head) + len(end))
                return call
            if len(head) == MOST_HEAD:
                return None
            await self.more()

    async def _carry_out(self, call: FrameCall) -> bool:
        """Whether another call may follow."""
        self._busy = True
        body = FrameBody(self, call.length, self._stall)
        try:
            self._write(await self._reply(call, body))
            async with asyncio.timeout(LINGER):
                await body.skip()
            return not call.last
        except (Interrupted, TimeoutError):
            return False
        finally:
            body.close()
            self._busy = False

    async def _reply(self, call: FrameCall, body: FrameBody) -> Reply:
        try:
            return await self._answer(self, call, body)
        except Exception:
            log.exception("a call with a frame failed")
            return Reply(500, b'{"error":"a defect of this worker, whose log has more"}')

    def _write(self, reply: Reply) -> None:
        self._transport.write(
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(reply.body)}\r\n\r\n".encode()
            + reply.body
        )

    def _pass_on(self) -> None:
        """From now on the connection is aiohttp's."""
        transport, held = self._transport, bytes(self.held)
        if transport.is_closing():
            return
        self._gate.left(self)
        self._opened.discard(self)
        http = self._gate.http(self._keepalive)
        transport.set_protocol(http)
        http.connection_made(transport)
        if held:
            http.data_received(held)
        transport.resume_reading()

    @property
    def _transport(self) -> asyncio.Transport:
        assert self.transport is not None, "the task begins when the connection is made"
        return self.transport
