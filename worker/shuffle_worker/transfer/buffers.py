"""Buffers for bodies of frames. They are used again, so that their pages are not faulted in anew for every frame."""

from __future__ import annotations


class FrameBuffers:
    """Memory: a buffer in use is up to a quarter larger than what was asked for. With those that wait for the next
    frame they are a quarter more than `limit` at the most, or one buffer if that is larger."""

    def __init__(self, limit: int) -> None:
        self._full = self._most = limit + limit // 4
        self._used = 0  # bytes of buffers that were taken
        self._idle: list[bytearray] = []  # those that were given back last are the last ones

    @property
    def held(self) -> int:
        """Bytes of all buffers."""
        return self._used + sum(map(len, self._idle))

    def narrow(self, limit: int) -> None:
        """Keep less for a while."""
        self._most = min(limit + limit // 4, self._full)
        self._trim()

    def widen(self) -> None:
        """As at the start."""
        self._most = self._full

    def take(self, size: int) -> bytearray:
        """A buffer of at least `size` bytes. A new one is an eighth larger, because frames differ by a little; a much
        larger one is not taken for a small frame, or the next large frame would need another."""
        for at in reversed(range(len(self._idle))):
            if size <= len(self._idle[at]) <= size + size // 4:
                buffer = self._idle.pop(at)
                self._used += len(buffer)
                return buffer
        self._trim(size + size // 8)
        buffer = bytearray(size + size // 8)
        self._used += len(buffer)
        return buffer

    def give(self, buffer: bytearray) -> None:
        self._used -= len(buffer)
        self._idle.append(buffer)
        self._trim()

    def _trim(self, more: int = 0) -> None:
        """Free the buffers that have waited longest. more: bytes that are wanted besides."""
        while self._idle and self.held + more > self._most and (self._used + more or len(self._idle) > 1):
            del self._idle[0]
