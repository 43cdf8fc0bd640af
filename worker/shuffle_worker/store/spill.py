"""The log on scratch: one file a worker. Spills append to it, and writes of groups read from it.

There is one file for all buckets, because thousands of files cost more than their bytes. It is created for the first
byte and unlinked at once, so it vanishes with the process however the process ends. The store keeps track of what lies
where in it.

Whole pages are written past the page cache where the disk is quick and the file system can (`direct.py`): the disk
takes them from the arena as they are. What is read back goes through the page cache, so that the kernel reads ahead
(`expect`), and leaves it when it is dropped (`forget`), so that the same few pages are used again; or past it, too
(`past`), which takes a copy instead of a fresh page.

What is dropped is freed on the disk too, bit by bit while the job goes on: a file system takes a while to free a large
file, and one that is freed when the process ends is waited for by everybody.

Calls block, and release the interpreter meanwhile. The store calls `reserve`, `give_back` and `close` under its lock,
`write`, `read` and `forget` outside of it, from several threads.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from shuffle_worker.runtime.direct import PAGE, REFUSALS, Pace, pages_of, taken
from shuffle_worker.runtime.stopwatch import DISK, spending

IOV_MAX = os.sysconf("SC_IOV_MAX")
"""Buffers in one readv or writev."""

LEAST_PAST = 256 << 10
"""Bytes of a stretch from which on it is read past the page cache, where that is asked for."""

BOUNCE = 4 << 20
"""The most bytes that are read past it at once, into memory that each call has of its own."""

LEAST_FREED = 256 << 10
"""Bytes from which on a part that is forgotten is freed by itself. A call takes as long for few bytes as for many."""


class LogRead(NamedTuple):
    """Bytes of the log to be read: from `offset`, into `into`."""

    offset: int
    into: memoryview


class SpillLog:
    """Bytes that memory has no room for. Raises OSError with the folder's name. past: read past the page cache, too,
    for a caller that reads ahead itself, stretches of at least `least` bytes."""

    def __init__(self, folder: Path, *, past: bool = False, least: int = LEAST_PAST) -> None:
        self._folder = folder
        self._past = past
        self._least = least
        self._idle: list[mmap.mmap] = []  # append and pop are atomic
        self._file = -1
        self._end = 0
        self._creating = Lock()
        self._direct = -1
        self._pace = Pace()
        self._punches = True  # whether the file system frees parts of a file

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
        return self._pace.passes

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
                if pages and self._pace.passes and offset % PAGE == 0:
                    done = self._write_past(some, offset)
                else:
                    done = self._pwritev(some, offset)
                offset += taken(done)
                first = _advance(waiting, first, done)
        except OSError as error:
            raise self._named(error) from None

    def _write_past(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Write past the page cache. What a file system refuses, and what comes after a slow disk was found, goes
        through it."""
        try:
            return self._pace.timed(self._pwritev_direct, buffers, offset)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise
            self._pace.refused()
            return self._pwritev(buffers, offset)

    def expect(self, parts: Iterable[tuple[int, int]]) -> None:
        """Offsets and lengths that will be read soon: the kernel begins to read what it does not have."""
        if self._pace.written and not self._past:
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
            if self._pace.written:
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
            if self._past and end - start >= self._least and self._pace.written and self._pace.passes:
                self._fill_past(start, end, views)
            else:
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

    def _fill_past(self, start: int, end: int, views: list[memoryview]) -> None:
        """Read whole pages to memory that begins with a page, and copy what is wanted of them. What a file system
        refuses is read through the page cache."""
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = mmap.mmap(-1, BOUNCE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            whole, first, at = memoryview(memory), 0, start
            while at < end:
                begin = at // PAGE * PAGE
                done = self._preadv_direct([whole[: min(BOUNCE, pages_of(end - begin))]], begin)
                found = whole[at - begin : min(done, end - begin)]
                if not found:
                    raise OSError(errno.EIO, "the log of spilled shards ends before what was written to it")
                at += found.nbytes
                first = _scatter(found, views, first)
        except OSError as error:
            if error.errno not in REFUSALS:
                raise self._named(error) from None
            self._past = False
            self._fill(at, views[first:])
        finally:
            self._idle.append(memory)

    def _create(self) -> None:
        with self._creating:
            if self._file >= 0:
                return
            path = self._folder / f"shards-{os.getpid()}-{secrets.token_hex(4)}.log"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if hasattr(os, "O_DIRECT"):
                with suppress(OSError):
                    self._direct = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
            path.unlink()
            if self._direct < 0:
                self._pace.refused()
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

    def _preadv_direct(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.preadv(self._direct, buffers, offset)


_libc = ctypes.CDLL(None, use_errno=True)
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02


def _punch(file: int, offset: int, length: int) -> bool:
    """Linux's fallocate, which this Python lacks. A file system without holes keeps the bytes: False."""
    fallocate = getattr(_libc, "fallocate", None)
    if fallocate is None:
        return False
    done: int = fallocate(file, _KEEP_SIZE_AND_PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length))
    return done == 0


def _scatter(source: memoryview, into: list[memoryview], first: int) -> int:
    """Copy to the buffers from `first` on. The index of the next one, of which the rest is kept."""
    data = np.frombuffer(source, np.uint8)  # NumPy copies without the interpreter
    while len(data):
        count = min(len(data), into[first].nbytes)
        np.frombuffer(into[first], np.uint8)[:count] = data[:count]
        data = data[count:]
        first = _advance(into, first, count)
    return first


def _advance(buffers: list[memoryview], first: int, done: int) -> int:
    """After `done` bytes of the buffers from `first` on: the index of the next one, of which the rest is kept."""
    while first < len(buffers) and done >= buffers[first].nbytes:
        done -= buffers[first].nbytes
        first += 1
    if done:
        buffers[first] = buffers[first][done:]
    return first
