"""The limits of a function's process, and what the worker sees of it without asking.

    progress page   when the current call began, and its group. The worker keeps the time limit by it, and knows the
                    group even if the process never answers again
    memory          an allocation beyond the limit fails, and the function gets a MemoryError; the worker ends a process
                    that gets around that
    life            the kernel ends the process with the worker

Both sides use it: `child.py` sets the limits and writes the page, `host.py` reads it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import struct
import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

PROGRESS = struct.Struct("<qq")
"""When the call began, in nanoseconds of the monotonic clock (0 between calls), and the number of the group."""

OUT_OF_MEMORY = 71
"""Exit code if memory runs out outside the function: while its rows are received or its results sent."""

_PR_SET_PDEATHSIG = 1


class Progress:
    """The child's side of the page."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)

    @property
    def group(self) -> int:
        return int(PROGRESS.unpack_from(self._page)[1])

    def begin(self, group: int) -> None:
        PROGRESS.pack_into(self._page, 0, time.monotonic_ns(), group)

    def end(self) -> None:
        PROGRESS.pack_into(self._page, 0, 0, -1)


def limit_memory(limit: int, hard: bool = True) -> int:
    """Make allocations fail beyond `limit` bytes of this process's own memory; 0: no limit. Returns the bytes left.
    Not hard: only the worker sees to it.

    Memory that the interpreter and the libraries have used so far counts; memory that they only reserved does not."""
    pa.default_memory_pool().release_unused()
    if not limit:
        return 1 << 62
    used, reserved = memory_of("self")
    free = max(limit - used, 0)
    if hard:
        resource.setrlimit(resource.RLIMIT_DATA, (reserved + free, resource.RLIM_INFINITY))
    return free


def memory_of(pid: int | str) -> tuple[int, int]:
    """Bytes of a process's own memory, and bytes that it has reserved; (0, 0) if it is gone."""
    used = reserved = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                used += int(line.split()[1]) * 1024
            elif line.startswith("VmData:"):
                reserved = int(line.split()[1]) * 1024
    return used, reserved


def end_with(parent: int) -> None:
    """Have the kernel end this process when the thread that started it ends (see `process._spawner`), or at once if it
    has ended."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def last_to_live() -> None:
    """If the machine runs out of memory, the kernel ends this process rather than the worker. It writes no core
    file."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
