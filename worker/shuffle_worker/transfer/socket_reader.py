"""Reads a connection for one task: what the task has a place for, the kernel copies there.

asyncio's streams and aiohttp's bodies give what comes as a new `bytes` for each read of the socket, of 64 to 256 KiB,
which is then copied to where it belongs. Here the place is known first: the buffer of a frame, so that a read takes
whatever has come, and no byte is touched twice. It is the same with TLS, which decrypts into that place.

Memory: `AHEAD` bytes a connection. No more than that is read before somebody asks for it, so a sender is held up where
nobody does.
"""

from __future__ import annotations

import asyncio
from typing import cast

from shuffle_worker.transfer.transport import Interrupted

AHEAD = 64 << 10
"""Bytes that are read before somebody asks for them."""

ENDED = "the connection was closed"


class SocketReader(asyncio.BufferedProtocol):
    """Its methods raise Interrupted when nothing more comes. received: bytes that have come."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = 0
        self._ahead = memoryview(bytearray(AHEAD))
        self._first = self._last = 0  # what has come and was not taken
        self._place: memoryview | None = None  # the rest of what `fill` waits for
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self.over = ""
        """Why nothing more comes; "" while it does."""

    @property
    def waiting(self) -> bool:
        """Whether the task waits for what comes next."""
        return self._waiter is not None

    @property
    def held(self) -> memoryview:
        """What has come and was not taken; valid until the next call."""
        return self._ahead[self._first : self._last]

    async def more(self) -> None:
        """Wait until `held` has become longer; only while it is shorter than `AHEAD`."""
        came = self.received
        while self.received == came:
            await self._come()

    async def take(self, count: int) -> bytearray:
        """The next bytes. Memory is taken as they come, whatever their number is said to be."""
        taken = bytearray()
        while True:
            piece = self.held[: count - len(taken)]
            taken += piece
            self._first += len(piece)
            if len(taken) == count:
                return taken
            await self.more()

    async def fill(self, into: memoryview) -> None:
        """Put the next bytes there, as many as it has."""
        held = self.held[: len(into)]
        into[: len(held)] = held
        self._first += len(held)
        self._place = into[len(held) :] or None
        try:
            while self._place is not None:
                await self._come()
        finally:
            self._place = None

    async def skip(self, count: int) -> None:
        while True:
            held = min(count, self._last - self._first)
            self._first += held
            count -= held
            if not count:
                return
            await self.more()

    def end(self, reason: str) -> None:
        """Nothing more comes."""
        self.over = self.over or reason
        self.wake()

    async def _come(self) -> None:
        """Until something has come: all of what `fill` waits for, else anything."""
        if self.over:
            raise Interrupted(self.over)
        assert self.transport is not None
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """What the task waits for may be there."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- called by the event loop ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        if self._place is not None:
            return self._place
        if self._first:
            self._ahead[: self._last - self._first] = bytes(self.held)
            self._first, self._last = 0, self._last - self._first
        return self._ahead[self._last :]

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        if self._place is not None:
            self._place = self._place[nbytes:] or None
            if self._place is None:
                self.wake()
            return
        self._last += nbytes
        if self._last - self._first == AHEAD and self.transport is not None:
            self._paused = True  # until somebody takes something: there is no room
            self.transport.pause_reading()
        self.wake()

    def eof_received(self) -> None:
        self.end(ENDED)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(str(exc or ENDED))
