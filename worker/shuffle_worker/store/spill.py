"""The log on scratch: one file a worker. Spills append to it, and writes of groups read from it.

There is one file for all buckets, because thousands of files cost more than their bytes. It is created for the first
byte and unlinked at once, so it vanishes with the process however the process ends. The store keeps track of what lies
where in it.

Calls block, and release the interpreter meanwhile. The store calls `reserve`, `give_back` and `close` under its lock,
`write` and `read` outside of it, from several threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

IOV_MAX = os.sysconf("SC_IOV_MAX")
"""Buffers in one readv or writev."""


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

    @property
    def created(self) -> bool:
        return self._file >= 0

    def reserve(self, length: int) -> int:
        """The offset of `length` bytes that no other call gets."""
        offset = self._end
        self._end += length
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

    def write(self, offset: int, buffers: Sequence[memoryview]) -> None:
        """Write all buffers one behind the other, or raise."""
        waiting = list(buffers)
        first = 0
        try:
            self._create()
            while first < len(waiting):
                done = self._pwritev(waiting[first : first + IOV_MAX], offset)
                if done == 0:
                    raise OSError(errno.EIO, "nothing could be written")
                offset += done
                first = _advance(waiting, first, done)
        except OSError as error:
            raise self._named(error) from None

    def read(self, pieces: Sequence[LogRead]) -> None:
        """Fill every piece. One call of the system reads pieces that lie one behind the other in the log."""
        at = 0
        while at < len(pieces):
            start = end = pieces[at].offset
            views: list[memoryview] = []
            while at < len(pieces) and pieces[at].offset == end:
                views.append(pieces[at].into)
                end += pieces[at].into.nbytes
                at += 1
            self._fill(start, views)

    def punch(self, offset: int, length: int) -> None:
        """Free bytes that nobody will read again: whole pages of them, on file systems that can punch holes."""
        if self.created:
            _punch(self._file, offset, length)

    def truncate(self) -> None:
        """Free all bytes. Offsets that were reserved stay valid."""
        if self.created:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

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
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            path.unlink()

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, str(self._folder))

    # The seam for faults: the tests' disks are full, fail, or take less than they were given.

    def _pwritev(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwritev(self._file, buffers, offset)

    def _preadv(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.preadv(self._file, buffers, offset)


_libc = ctypes.CDLL(None, use_errno=True)
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02


def _punch(file: int, offset: int, length: int) -> None:
    """Linux's fallocate, which this Python lacks. A file system without holes keeps the bytes."""
    fallocate = getattr(_libc, "fallocate", None)
    if fallocate is not None:
        fallocate(file, _KEEP_SIZE_AND_PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length))


def _advance(buffers: list[memoryview], first: int, done: int) -> int:
    """After `done` bytes of the buffers from `first` on: the index of the next one, of which the rest is kept."""
    while first < len(buffers) and done >= buffers[first].nbytes:
        done -= buffers[first].nbytes
        first += 1
    if done:
        buffers[first] = buffers[first][done:]
    return first
