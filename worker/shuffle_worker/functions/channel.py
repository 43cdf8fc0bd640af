"""The child's end of the socket: blocking, frames of `wire.py` in turns.

Memory: one frame.
"""

from __future__ import annotations

import os
import socket

import pyarrow as pa

from shuffle_worker.functions.wire import HEAD, Message, sizes_in


class Gone(Exception):
    """The worker is gone."""


class Channel:
    """Blocks. Raises Gone; Garbled if it receives bytes that are no frame."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._process = os.getpid()

    def send(self, parts: list[memoryview]) -> None:
        self.end_forked()
        try:
            for part in parts:
                self._socket.sendall(part)
        except OSError as error:
            raise Gone from error

    def end_forked(self) -> None:
        """End a process that the function forked and that returned from the function, or two processes would answer."""
        if os.getpid() != self._process:
            os._exit(1)

    def receive(self) -> Message:
        sizes = sizes_in(self._exactly(HEAD.size))
        head = self._exactly(sizes.head)
        body = pa.allocate_buffer(sizes.body)
        view = memoryview(body).cast("B")
        at = 0
        while at < sizes.body:
            got = self._socket.recv_into(view[at:])
            if not got:
                raise Gone
            at += got
        return Message(sizes.kind, head, view)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise Gone
            data += more
        return data
