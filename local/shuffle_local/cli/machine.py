"""Defaults that fit the machine: how many workers, how much memory for each."""

from __future__ import annotations

import os
from pathlib import Path

from shuffle_protocol.units import counted, readable
from shuffle_worker.runtime import cgroup

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
            f"machine has {readable(all_memory)}: the system may end them; take fewer workers, or less memory for each"
        )
    if workers > CROWDED * cores:
        found.append(
            f"{workers:,} workers share {counted(cores, 'core')}: each of them takes memory and time to start; "
            f"{counted(cores, 'worker')} would be quicker"
        )
    return found


def _limit() -> int:
    """Bytes of memory that the machine, or the container, has in all."""
    whole, limit = _memory("MemTotal"), cgroup.limit()
    return whole if limit is None else min(whole, limit)


def _available() -> int:
    """Bytes of memory that are free, or what the container's limit leaves of them."""
    whole, free = _memory("MemAvailable"), cgroup.free()
    return whole if free is None else min(whole, free)


def _memory(name: str) -> int:
    """Bytes, of a line such as `MemTotal:  24589132 kB`."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        field, _, value = line.partition(":")
        if field == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"/proc/meminfo does not say {name}")
