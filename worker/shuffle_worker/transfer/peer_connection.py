"""The calling side of a connection between workers: a call's bytes out, its answer in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple

from shuffle_protocol.shards import Buffer
from shuffle_worker.transfer.socket_reader import SocketReader
from shuffle_worker.transfer.transport import Interrupted

MOST_HEAD = 32 << 10
"""Bytes of an answer's status line and fields; a worker's has a hundred."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?=\r\n)")
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*(?=\r\n)")


class PeerAnswer(NamedTuple):
    status: int
    body: bytes
    """Its beginning, if it is long."""


class PeerConnection(SocketReader):
    """One call at a time. What it raises when the connection is lost is Interrupted; then, and when a call was not
    carried out to its end, no other can follow."""

    def __init__(self) -> None:
        super().__init__()
        self._room: asyncio.Future[None] | None = None  # what `write` waits for
        self._full = False
        self._calling = False  # a call has begun, and was not carried out
        self._cut = False  # not all of it was sent

    @property
    def usable(self) -> bool:
        """Whether a call may begin."""
        return not (self._calling or self.over or self.held or self.transport is None or self.transport.is_closing())

    async def write(self, buffers: Sequence[Buffer]) -> bool:
        """Returns when there is room for more. False: the answer has come already, and nobody reads the rest."""
        assert self.transport is not None
        self._calling = True
        if self.held:
            self._cut = True
            return False
        if len(buffers) == 1:
            self.transport.write(buffers[0])  # `writelines` would copy it, where it joins
        else:
            self.transport.writelines(buffers)
        if self._full and not self.over:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None
        if self.over and not self.held:
            raise Interrupted(self.over)
        return True

    async def answer(self, limit: int) -> PeerAnswer:
        """limit: the most bytes of a body that are read."""
        head = await self._head()
        status = _STATUS.match(head)
        if status is None:
            raise Interrupted(f"an answer that is no HTTP: {head[:40]!r}")
        fields = head.lower() + b"\r\n"
        length = _LENGTH.search(fields)
        if length is None:  # not a worker's
            return PeerAnswer(int(status[1]), bytes(self.held[:limit]))
        size = int(length[1])
        body = bytes(await self.take(min(size, limit)))
        self._calling = self._calling and (size > limit or self._cut or _CLOSE.search(fields) is not None)
        return PeerAnswer(int(status[1]), body)

    async def _head(self) -> bytes:
        while True:
            head, end, _ = bytes(self.held[:MOST_HEAD]).partition(b"\r\n\r\n")
            if end:
                await self.skip(len(head) + len(end))
                return head
            if len(head) == MOST_HEAD or head[:5] != b"HTTP/"[: len(head)]:
                raise Interrupted(f"an answer that is no HTTP: {head[:40]!r}")
            await self.more()

    def close(self) -> None:
        """What was not sent is dropped."""
        if self.transport is not None and self._calling:
            self.transport.abort()
        elif self.transport is not None:
            self.transport.close()

    # -- called by the event loop ------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    def wake(self) -> None:
        super().wake()
        self._go_on()

    def _go_on(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
