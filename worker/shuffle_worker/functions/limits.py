"""What a function's process may take, and what the worker can see of it without asking.

    progress page   when the call that it is in began, and which group that is: the worker keeps the time limit by it,
                    and knows the group even if nothing else is ever heard again
    memory          an allocation beyond the limit fails, which a function sees as MemoryError; the worker ends the
                    process where that is got around
    life            the kernel ends the process with the worker

Used on both sides: `child.py` sets the limits and writes the page, `host.py` reads.
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
"""Nanoseconds of the monotonic clock when the call began, 0 between calls; the number of the group."""

OUT_OF_MEMORY = 71
"""Exit code where memory ended outside the function: while its rows were taken, or its results sent."""

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


def limit_memory(limit: int) -> int:
    """Let allocations fail that would bring this process beyond `limit` bytes of memory of its own, 0 for no limit;
    returns how many are left. What the interpreter and the libraries have taken so far counts, what they only reserved
    does not."""
    pa.default_memory_pool().release_unused()
    if not limit:
        return 1 << 62
    used, reserved = memory_of("self")
    free = max(limit - used, 0)
    resource.setrlimit(resource.RLIMIT_DATA, (reserved + free, resource.RLIM_INFINITY))
    return free


def memory_of(pid: int | str) -> tuple[int, int]:
    """Bytes of memory that a process has to itself, and bytes that it reserved; (0, 0) where it is gone."""
    used = reserved = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                used += int(line.split()[1]) * 1024
            elif line.startswith("VmData:"):
                reserved = int(line.split()[1]) * 1024
    return used, reserved


def end_with(parent: int) -> None:
    """The kernel ends this process when the thread that started it is gone (see `process._spawner`); at once where that
    is so already."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def last_to_live() -> None:
    """If memory runs out on the machine, this process goes first, not the worker; and it leaves no core file."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
