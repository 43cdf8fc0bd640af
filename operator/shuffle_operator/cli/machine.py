"""Defaults that fit the machine: how many workers, how much memory for each."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from shuffle_worker.units import counted, readable

MIB = 1 << 20
MOST_WORKERS = 16
MOST_MEMORY = 4096 * MIB
LEAST_MEMORY = 512 * MIB
CROWDED = 4
"""Workers for each core, from which on they are too many."""
SHARE = 0.6
"""Of the memory that is free: the rest is for the page cache, which scratch and output go through."""


def default_workers() -> int:
    """One for each core that this process may use, up to `MOST_WORKERS`."""
    return max(1, min(len(os.sched_getaffinity(0)), MOST_WORKERS))


def default_memory(workers: int) -> int:
    """Bytes for each of them: a share of what is free now, in whole MiB, between 512 MiB and 4 GiB."""
    each = int(_available() * SHARE) // workers
    return max(LEAST_MEMORY, min(each, MOST_MEMORY)) // MIB * MIB


def warnings(workers: int, memory: int) -> list[str]:
    """What this machine does not have, a sentence each. memory: bytes of each worker."""
    found = []
    cores, all_memory = len(os.sched_getaffinity(0)), _limit()
    if workers * memory > all_memory:
        found.append(
            f"{counted(workers, 'worker')} of {readable(memory)} may need {readable(workers * memory)}, and this "
            f"machine has {readable(all_memory)}: the system may end them; give less with --memory or --workers"
        )
    if workers > CROWDED * cores:
        found.append(
            f"{workers:,} workers share {counted(cores, 'core')}: each of them takes memory and time to start; "
            f"--workers {cores} is quicker"
        )
    return found


def _limit() -> int:
    """Bytes of memory that the machine, or the container, has in all."""
    most = psutil.virtual_memory().total
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            most = min(most, int(Path(limit).read_text()))
    return most


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
