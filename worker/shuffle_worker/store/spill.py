"""The log on scratch: one file a worker. Spills append to it, and writes of groups read from it.

There is one file for all buckets, because thousands of files cost more than their bytes. It is created for the first
byte and unlinked at once, so it vanishes with the process however the process ends. The store keeps track of what lies
where in it.

Whole pages are written past the page cache (O_DIRECT) where the disk is quick and the file system can: the disk takes
them from the arena as they are. Otherwise the kernel copies every byte into a fresh page, which costs ten times as much
processor time and counts as memory of the container. What is read back goes through the page cache, so that the kernel
reads ahead (`expect`), and leaves it when it is dropped (`forget`), so that the same few pages are used again.

What is dropped is freed on the disk too, bit by bit while the job goes on: a file system takes a while to free a large
file, and one that is freed when the process ends is waited for by everybody.

Calls block, and release the interpreter meanwhile. The store calls `reserve`, `give_back` and `close` under its lock,
`write`, `read` and `forget` outside of it, from several threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from shuffle_worker.runtime.stopwatch import DISK, spending

IOV_MAX = os.sysconf("SC_IOV_MAX")
"""Buffers in one readv or writev."""

PAGE = 4096
"""Bytes that a file written past the page cache is written in: a multiple of every disk's blocks."""

SLOW = 100e6
"""Bytes a second below which a disk is slow to one writer among several. Then writes go through the page cache, which
takes in what fits."""

TRIED = 64 << 20
"""Bytes that are written before the disk is judged."""

LEAST_FREED = 256 << 10
"""Bytes from which on a part that is forgotten is freed by itself. A call takes as long for few bytes as for many."""


def pages_of(length: int) -> int:
    """Bytes of the whole pages that so many bytes lie in."""
    return -(-length // PAGE) * PAGE


class LogRead(NamedTuple):
    """Bytes of the log to be read: from `offset`, into `into`."""

    offset: int
    into: memoryview


class SpillLog:
    """Bytes that memory has no room for. Raises OSError with the folder's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._end = 0
        self._creating = Lock()
        self._direct = -1
        self._passes = True  # whether writes go past the page cache
        self._punches = True  # whether the file system frees parts of a file
        self._written = 0  # bytes that did
        self._seconds = 0.0  # that these took

    @property
    def created(self) -> bool:
        return self._file >= 0

    @property
    def end(self) -> int:
        """Every byte that was reserved lies before it."""
        return self._end

    @property
    def passes(self) -> bool:
        """Whether whole pages go past the page cache, as far as is known."""
        return self._passes

    def reserve(self, length: int, *, pages: bool = False) -> int:
        """The offset of `length` bytes that no other call gets. pages: it is to be a page's."""
        offset = pages_of(self._end) if pages else self._end
        self._end = offset + length
        return offset

    def give_back(self, offset: int, length: int) -> None:
        """Return a reserved place whose write failed. Cuts the file off where it can, so that bytes which nobody reads
        do not keep a full disk full."""
        if offset + length != self._end:
            return
        self._end = offset
        if self.created:
            with suppress(OSError):
                os.ftruncate(self._file, offset)

    def write(self, offset: int, buffers: Sequence[memoryview], *, pages: bool = False) -> None:
        """Write all buffers one behind the other, or raise. pages: each of them is whole pages, and so is the place."""
        with spending(DISK):
            self._write(list(buffers), offset, pages)

    def _write(self, waiting: list[memoryview], offset: int, pages: bool) -> None:
        first = 0
        try:
            self._create()
            while first < len(waiting):
                some = waiting[first : first + IOV_MAX]
                if pages and self._passes and offset % PAGE == 0:
                    done = self._write_past(some, offset)
                else:
                    done = self._pwritev(some, offset)
                if done == 0:
                    raise OSError(errno.EIO, "nothing could be written")
                offset += done
                first = _advance(waiting, first, done)
        except OSError as error:
            raise self._named(error) from None

    def _write_past(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Write past the page cache. What a file system refuses, and what comes after a slow disk was found, goes
        through it."""
        started = time.perf_counter()
        try:
            done = self._pwritev_direct(buffers, offset)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
            self._passes = False
            return self._pwritev(buffers, offset)
        self._written += done
        self._seconds += time.perf_counter() - started
        if self._written > TRIED and self._written < SLOW * self._seconds:
            self._passes = False
        return done

    def expect(self, parts: Iterable[tuple[int, int]]) -> None:
        """Offsets and lengths that will be read soon: the kernel begins to read what it does not have."""
        if self._written:
            for offset, length in parts:
                self._advise(offset, length, "POSIX_FADV_WILLNEED")

    def forget(self, parts: Iterable[tuple[int, int]]) -> None:
        """Offsets and lengths that nobody will read again. Large ones are freed; of others the kernel need not remember
        what it read."""
        for offset, length in parts:
            if self._punches and length >= LEAST_FREED:
                first, behind = pages_of(offset), (offset + length) // PAGE * PAGE
                self._punches = self.punch(first, behind - first)
                if self._punches:
                    continue
            if self._written:
                self._advise(offset, length, "POSIX_FADV_DONTNEED")

    def _advise(self, offset: int, length: int, advice: str) -> None:
        if hasattr(os, "posix_fadvise") and self.created:
            with suppress(OSError):
                os.posix_fadvise(self._file, offset, length, getattr(os, advice))

    def read(self, pieces: Sequence[LogRead]) -> None:
        """Fill every piece. One call of the system reads pieces that lie one behind the other in the log."""
        self.expect((piece.offset, piece.into.nbytes) for piece in pieces)
        if pieces:
            with spending(DISK):
                self._read(pieces)

    def _read(self, pieces: Sequence[LogRead]) -> None:
        at = 0
        while at < len(pieces):
            start = end = pieces[at].offset
            views: list[memoryview] = []
            while at < len(pieces) and pieces[at].offset == end:
                views.append(pieces[at].into)
                end += pieces[at].into.nbytes
                at += 1
            self._fill(start, views)

    def punch(self, offset: int, length: int) -> bool:
        """Free bytes that nobody will read again: whole pages of them, on file systems that can punch holes. Returns
        whether this one can."""
        return not self.created or _punch(self._file, offset, length)

    def truncate(self) -> None:
        """Free all bytes. Offsets that were reserved stay valid."""
        if self.created:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        for file in (self._file, self._direct):
            if file >= 0:
                os.close(file)
        self._file = self._direct = -1

    def _fill(self, offset: int, views: list[memoryview]) -> None:
        first = 0
        try:
            while first < len(views):
                done = self._preadv(views[first : first + IOV_MAX], offset)
                if done == 0:
                    raise OSError(errno.EIO, "the log of spilled shards ends before what was written to it")
                offset += done
                first = _advance(views, first, done)
        except OSError as error:
            raise self._named(error) from None

    def _create(self) -> None:
        with self._creating:
            if self._file >= 0:
                return
            path = self._folder / f"shards-{os.getpid()}-{secrets.token_hex(4)}.log"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if hasattr(os, "O_DIRECT"):
                with suppress(OSError):
                    self._direct = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
            path.unlink()
            self._passes = self._direct >= 0
            self._file = file

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, str(self._folder))

    # The seam for faults: the tests' disks are full, fail, or take less than they were given.

    def _pwritev(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwritev(self._file, buffers, offset)

    def _pwritev_direct(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwritev(self._direct, buffers, offset)

    def _preadv(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.preadv(self._file, buffers, offset)


_libc = ctypes.CDLL(None, use_errno=True)
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02


def _punch(file: int, offset: int, length: int) -> bool:
    """Linux's fallocate, which this Python lacks. A file system without holes keeps the bytes: False."""
    fallocate = getattr(_libc, "fallocate", None)
    if fallocate is None:
        return False
    done: int = fallocate(file, _KEEP_SIZE_AND_PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length))
    return done == 0


def _advance(buffers: list[memoryview], first: int, done: int) -> int:
    """After `done` bytes of the buffers from `first` on: the index of the next one, of which the rest is kept."""
    while first < len(buffers) and done >= buffers[first].nbytes:
        done -= buffers[first].nbytes
        first += 1
    if done:
        buffers[first] = buffers[first][done:]
    return first
