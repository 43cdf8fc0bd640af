"""The log on scratch: one file a worker, appended to when memory is full, read from when a bucket is written.

One file whatever the number of buckets: thousands of files cost more than their bytes (see docs/architecture.md). The
file is made when the first byte must go there, and unlinked at once, so that it vanishes with the process however the
process ends. Where things lie in it is the store's business.

Calls block, and release the interpreter while they do. `reserve`, `give_back` and `close` are called under the store's
lock; `write` and `read` outside it, from several threads.
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
    """Where bytes go that memory has no room for. Errors are OSErrors that carry the folder's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._end = 0
        self._creating = Lock()

    @property
    def created(self) -> bool:
        return self._file >= 0

    def reserve(self, length: int) -> int:
        """A place for `length` bytes that nobody else gets."""
        offset = self._end
        self._end += length
        return offset

    def give_back(self, offset: int, length: int) -> None:
        """The place is not used after all (its write failed): what was written of it is cut off where that can be done,
        so that a full disk is not kept full by bytes that nobody will read."""
        if offset + length != self._end:
            return
        self._end = offset
        if self.created:
            with suppress(OSError):
                os.ftruncate(self._file, offset)

    def write(self, offset: int, buffers: Sequence[memoryview]) -> None:
        """Write all of the buffers one after the other, or raise."""
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
        """Fill every piece. Neighbours that lie one behind the other in the log are fetched by one call."""
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
        """These bytes will not be read again: the whole pages among them go back to the disk, where it can do that."""
        if self.created:
            _punch(self._file, offset, length)

    def truncate(self) -> None:
        """None of the bytes will be read again. Places that were reserved keep their numbers."""
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
    """Linux's fallocate, which this Python does not have; a file system that knows no holes keeps the bytes."""
    fallocate = getattr(_libc, "fallocate", None)
    if fallocate is not None:
        fallocate(file, _KEEP_SIZE_AND_PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length))


def _advance(buffers: list[memoryview], first: int, done: int) -> int:
    """`done` bytes of the buffers from `first` on are dealt with: the next one to do, cut where it was begun."""
    while first < len(buffers) and done >= buffers[first].nbytes:
        done -= buffers[first].nbytes
        first += 1
    if done:
        buffers[first] = buffers[first][done:]
    return first
