"""Memory for shards: a slab allocator that keeps the store's budget to the page.

One mapping, as large as the budget, is cut into blocks of one size. A page becomes resident when its block is first
used, and the block freed last is used next. Plain Python buffers would not do: an allocator rounds up, keeps freed
memory and fragments, so resident memory ends up well above what is held. It also faults every buffer in anew, and a
fresh page can cost ten times as much as copying it.

The store calls it under its lock; it is not thread-safe by itself.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from shuffle_protocol.shards import Buffer
from shuffle_worker.runtime.direct import PAGE

LARGEST_BLOCK = 256 << 10
LARGE_COPY = 32 << 10
"""Bytes from which on a copy is worth letting others have the interpreter."""

_MAP_NORESERVE = 0x4000  # Linux; not in the mmap module of this Python


def block_size(budget: int, buckets: int) -> int:
    """Bytes of a block, from 4 KiB to 256 KiB.

    The last block of each bucket is half empty. Blocks are so small that these halves together take at most a quarter
    of the budget. Above 256 KiB, copying and writing gain nothing."""
    return min(max(budget // (4 * max(buckets, 1)) // PAGE * PAGE, PAGE), LARGEST_BLOCK)


class Chain:
    """A stretch of a bucket's stream of bytes, in blocks of an arena.

    start: position of its first byte in the stream. pins: how many readers and writers use the blocks outside the
    lock. retired: the last of them frees the blocks. moving: a spill writes the chain to the log, and nothing is
    appended to it.
    """

    __slots__ = ("blocks", "length", "moving", "pins", "retired", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.length = 0
        self.blocks: list[int] = []
        self.pins = 0
        self.moving = False
        self.retired = False

    @property
    def end(self) -> int:
        return self.start + self.length


class Arena:
    """At least one block, `size // block` of them. Resident memory: the most blocks that were in use at once."""

    def __init__(self, size: int, block: int) -> None:
        self.block = block
        self.blocks = max(size // block, 1)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._memory = mmap.mmap(-1, self.blocks * block, flags=flags)
        self._view = memoryview(self._memory)
        self._bytes = np.frombuffer(self._memory, np.uint8)
        self._touched = 0  # blocks below this one have been used
        self._returned = array("I")

    @property
    def free(self) -> int:
        """Blocks that can be taken."""
        return self.blocks - self._touched + len(self._returned)

    @property
    def touched(self) -> int:
        """Bytes that may be resident."""
        return self._touched * self.block

    def room(self, chain: Chain) -> int:
        """Bytes that can be appended without taking a block."""
        return len(chain.blocks) * self.block - chain.length

    def append(self, chain: Chain, data: Buffer) -> None:
        """Copy `data` to the end. The caller has checked that there are enough blocks."""
        block = self.block
        room = len(chain.blocks) * block - chain.length
        if len(data) <= room and (type(data) is not memoryview or (data.format == "B" and data.ndim == 1)):
            to = chain.blocks[-1] * block + block - room if room else 0
            self._copy(to, data, len(data))
            chain.length += len(data)
            return
        source = memoryview(data)
        if source.format != "B" or source.ndim != 1:
            source = source.cast("B")
        size = len(source)
        at = 0
        while at < size:
            if not room:
                chain.blocks.append(self._take())
                room = block
            count = min(room, size - at)
            to = chain.blocks[-1] * block + block - room
            self._copy(to, source[at : at + count], count)
            at += count
            room -= count
        chain.length += size

    def _copy(self, to: int, data: Buffer, count: int) -> None:
        """NumPy lets other threads have the interpreter while it copies, and while pages are faulted in."""
        if count >= LARGE_COPY:
            self._bytes[to : to + count] = np.frombuffer(data, np.uint8)
        else:
            self._view[to : to + count] = data

    def views(self, chain: Chain, at: int, length: int) -> Iterator[memoryview]:
        """`length` bytes from `at` on, counted from the chain's first byte, in as few views as possible. They may reach
        beyond its end, to that of its last block."""
        block = self.block
        while length:
            first = at // block
            offset = at - first * block
            last = first
            reach = block - offset  # bytes from `at` to the end of block `last`
            while reach < length and chain.blocks[last + 1] == chain.blocks[last] + 1:
                last += 1
                reach += block
            count = min(reach, length)
            start = chain.blocks[first] * block + offset
            yield self._view[start : start + count]
            at += count
            length -= count

    def copy(self, chain: Chain, at: int, into: memoryview) -> None:
        """Fill `into` with what the chain holds from `at` on. The only call that needs no lock: the chain is pinned."""
        target = np.frombuffer(into, np.uint8)  # NumPy copies without the interpreter
        to = 0
        for source in self.views(chain, at, into.nbytes):
            target[to : to + source.nbytes] = np.frombuffer(source, np.uint8)
            to += source.nbytes

    def give_back(self, chain: Chain) -> None:
        """Free the chain's blocks. Its first block is used next, so that neighbours stay neighbours."""
        self._returned.extend(reversed(chain.blocks))
        chain.blocks.clear()

    def close(self) -> None:
        """Give the memory back now, or with the last view of it that somebody still holds."""
        self._bytes = np.empty(0, np.uint8)
        self._view.release()
        with suppress(BufferError):
            self._memory.close()

    def _take(self) -> int:
        if self._returned:
            return self._returned.pop()
        assert self._touched < self.blocks, "the caller made sure that there is room"
        self._touched += 1
        return self._touched - 1
