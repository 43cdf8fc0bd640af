"""Bytes from anywhere in memory to the log in whole pages, so that they go past the page cache too.

Copying them together costs a tenth of what the page cache takes for them. The end, less than a page, is written as it
is. Memory: `SIZE` for each call at once.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

import numpy as np

from shuffle_worker.runtime.direct import PAGE
from shuffle_worker.store.spill import SpillLog

SIZE = 1 << 20
"""Bytes of one write: as quick as larger ones."""


class Bounce:
    """The buffers of one log, used again and again. Calls come from several threads."""

    def __init__(self, log: SpillLog) -> None:
        self._log = log
        self._idle: list[mmap.mmap] = []  # append and pop are atomic

    def write(self, offset: int, buffers: Iterable[memoryview]) -> None:
        """Write all buffers one behind the other, from the beginning of a page on. Raises OSError as the log does."""
        if not self._log.passes:
            self._log.write(offset, list(buffers))
            return
        memory = self._take()
        try:
            self._through(memory, offset, buffers)
        finally:
            self._idle.append(memory)

    def _through(self, memory: mmap.mmap, offset: int, buffers: Iterable[memoryview]) -> None:
        into = np.frombuffer(memory, np.uint8)
        held = 0
        for buffer in buffers:
            source = np.frombuffer(buffer, np.uint8)
            while len(source):
                count = min(SIZE - held, len(source))
                into[held : held + count] = source[:count]
                source = source[count:]
                held += count
                if held == SIZE:
                    self._log.write(offset, [memoryview(memory)], pages=True)
                    offset += SIZE
                    held = 0
        whole = held // PAGE * PAGE
        if whole:
            self._log.write(offset, [memoryview(memory)[:whole]], pages=True)
        if held > whole:
            self._log.write(offset + whole, [memoryview(memory)[whole:held]])

    def _take(self) -> mmap.mmap:
        try:
            return self._idle.pop()
        except IndexError:
            return mmap.mmap(-1, SIZE)
