"""Defaults that fit the machine: how many workers, how much memory for each."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

MIB = 1 << 20
MOST_WORKERS = 16
MOST_MEMORY = 4096 * MIB
LEAST_MEMORY = 512 * MIB
SHARE = 0.6
"""Of the memory that is free: the rest is for the page cache, which scratch and output go through."""


def default_workers() -> int:
    """One for each core that this process may use, up to `MOST_WORKERS`."""
    return max(1, min(len(os.sched_getaffinity(0)), MOST_WORKERS))


def default_memory(workers: int) -> int:
    """Bytes for each of them: a share of what is free now, in whole MiB, between 512 MiB and 4 GiB."""
    each = int(_available() * SHARE) // workers
    return max(LEAST_MEMORY, min(each, MOST_MEMORY)) // MIB * MIB


def _available() -> int:
    """Free memory, or what the container's limit leaves of it."""
    free = psutil.virtual_memory().available
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue
    return max(free, 0)
