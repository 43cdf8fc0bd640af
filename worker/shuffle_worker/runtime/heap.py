"""One allocator for the whole process, the C library's, set up so that freed memory is used again.

    share_one_allocator   before anything is imported: Arrow takes its memory from the C library too
    keep_freed_memory     what is freed is not given back to the system at once, and asked for again a moment later

Arrow's own allocators keep what they freed for themselves; NumPy's arrays and HTTP's bodies come from the C library;
neither uses what the other one left: a plan that never held more than 28 MiB left 190 behind. With one allocator a
sort in 256 MiB a worker peaked at 218 MiB instead of 282 (docs/memory.md); what it costs or saves in processor time
was within the noise.

By default the C library maps every array above some size afresh and unmaps it when it is freed; each page of it must
then be touched for the first time again, which costs more than most of what is computed in it (a sort of 420,000 keys:
75 ns a row, with freed memory kept 27). And it gives threads arenas of their own, up to eight a core, each with its own
leftovers; two are enough where threads compute in few, large steps.

What is kept is bounded: `KEPT` bytes at the top of an arena, and no array above `MAPPED` bytes.
"""

from __future__ import annotations

import ctypes
import os

ALLOCATOR = "ARROW_DEFAULT_MEMORY_POOL"
KEPT = 64 << 20
MAPPED = 32 << 20
ARENAS = 2

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def share_one_allocator() -> None:
    """For this process, and those that it starts; a choice that the user made in the environment stays. To be called
    before Arrow is imported, which looks once."""
    os.environ.setdefault(ALLOCATOR, "system")
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Set the C library up so, in this process. False where it is not glibc. Doing it twice is harmless."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    set_up = [mallopt(_M_MMAP_THRESHOLD, MAPPED), mallopt(_M_TRIM_THRESHOLD, KEPT), mallopt(_M_ARENA_MAX, ARENAS)]
    return all(set_up)
