"""What happens when a worker comes near its limit: memory that the allocator keeps goes back to the system.

Allocators keep freed pages because they are dear to get again (a fresh page costs several times what filling it does),
and a worker well below its limit lets them. Near it they are given back, between two pieces of work, in the thread that
allocated them: `relieve` is called there. It costs some microseconds where there is no need. Arrow's pool being the C
library's (`heap.py`), what NumPy and others have freed goes back with it.
"""

from __future__ import annotations

import os

import pyarrow as pa

NEAR = 0.75
"""Of the limit, where nobody says more. Between two calls of `relieve` a worker takes at most a piece of work's memory
anew."""

_STATM = "/proc/self/statm"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_limit = 0
_near = 0.0


def keep_below(limit: int) -> None:
    """Bytes that this process may use; 0: no limit, `relieve` does nothing."""
    global _limit, _near
    _limit, _near = limit, NEAR * limit


def keep_free(size: int) -> None:
    """The limit is near where less than this is free, if that is less than a quarter of it. size: what leases may take
    that are at work from now on."""
    global _near
    _near = max(NEAR * _limit, _limit - size)


def resident() -> int:
    """Bytes of memory of this process, with its libraries."""
    file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)  # with a path and a text file it takes six times as long
    try:
        return int(os.read(file, 128).split()[1]) * _PAGE
    finally:
        os.close(file)


def relieve() -> None:
    """Give back what is kept, if the limit is near."""
    if _limit and resident() > _near:
        give_back()


def give_back() -> None:
    """Give back what is kept; after work that needed other memory than what comes next."""
    pa.default_memory_pool().release_unused()


def limit() -> int:
    """Bytes that this process may use; 0 where nobody said."""
    return _limit
