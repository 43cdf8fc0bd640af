"""Writes past the page cache (O_DIRECT): whole pages, from memory that begins with a page, to where a page begins.

The disk takes them from memory as they are. Otherwise the kernel copies every byte into a fresh page, which costs ten
times as much processor time, counts as memory of the container, and makes whoever needs a page next wait for the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable

import numpy as np

PAGE = 4096
"""Bytes that a file written past the page cache is written in: a multiple of every disk's blocks."""

SLOW = 100e6
"""Bytes a second below which a disk is slow to one writer among several. Then writes go through the page cache, which
takes in what fits."""

TRIED = 64 << 20
"""Bytes that are written before the disk is judged."""

LEAST = 1 << 20
"""Bytes of a file from which on it is worth it: below, what a write waits for is more than what a copy takes."""


REFUSALS = (errno.EINVAL, errno.EBADF)
"""What a file system that cannot do it says."""


def pages_of(length: int) -> int:
    """Bytes of the whole pages that so many bytes lie in."""
    return -(-length // PAGE) * PAGE


def taken(done: int) -> int:
    """Bytes that a write took. Raises OSError where it took none: the next one would not either."""
    if done == 0:
        raise OSError(errno.EIO, "nothing could be written")
    return done


class Pace:
    """How quickly one disk takes what is written past the page cache. Calls come from several threads; a number that
    is lost between two of them only makes the judgement later."""

    def __init__(self) -> None:
        self.passes = True
        """Whether it is worth it, as far as is known."""
        self.written = 0
        """Bytes that went past the page cache."""
        self._seconds = 0.0

    def refused(self) -> None:
        """The file system cannot do it."""
        self.passes = False

    def timed(self, write: Callable[..., int], *arguments: object) -> int:
        """Carry out a write, which returns how many bytes were written, and judge the disk by it."""
        started = time.perf_counter()
        done = write(*arguments)
        self.written += done
        self._seconds += time.perf_counter() - started
        if self.written > TRIED and self.written < SLOW * self._seconds:
            self.passes = False
        return done


def suits(data: memoryview, pace: Pace) -> bool:
    """Whether a file's bytes are written past the page cache: they are many, and begin with a page of memory."""
    if data.nbytes < LEAST or not pace.passes or not hasattr(os, "O_DIRECT"):
        return False
    return np.frombuffer(data, np.uint8).ctypes.data % PAGE == 0


def write_whole(file: int, data: memoryview, pace: Pace) -> None:
    """Write the bytes of a new file, those of whole pages past the page cache where they suit. Raises OSError."""
    at = 0
    if suits(data, pace):
        at = _write_pages(file, data[: data.nbytes // PAGE * PAGE], pace)
    while at < data.nbytes:
        at += taken(os.pwrite(file, data[at:], at))


def _write_pages(file: int, data: memoryview, pace: Pace) -> int:
    """Returns how many bytes were written: fewer where the file system takes no more in this way."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    at = 0
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_DIRECT)
        while at < data.nbytes and at % PAGE == 0:
            at += taken(pace.timed(os.pwrite, file, data[at:], at))
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        pace.refused()
    finally:
        fcntl.fcntl(file, fcntl.F_SETFL, flags)
    return at
