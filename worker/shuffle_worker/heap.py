"""Keep the C library from giving freed memory back to the system at once, and asking for it again a moment later.

numpy takes its arrays from the C library, which by default maps every array above some size afresh and unmaps it when
it is freed; each page of it must then be touched for the first time again, which costs more than most of what is
computed in it (a sort of 420,000 keys: 75 ns a row, with freed memory kept 27). Arrow's allocator keeps more by itself.

What is kept is bounded: `KEPT` bytes at the top of the heap, and no array above `MAPPED` bytes.
"""

from __future__ import annotations

import ctypes

KEPT = 64 << 20
MAPPED = 32 << 20

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> bool:
    """Tell the C library so, for this process; False where it is not glibc. Doing it twice is harmless."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MAPPED)) and bool(mallopt(_M_TRIM_THRESHOLD, KEPT))
