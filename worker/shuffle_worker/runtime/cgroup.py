"""The memory that a control group, as of a container, leaves this process: version 2's files, else version 1's."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""The limit and what is used, in bytes. A limit of version 2 may be the word max."""


def limit() -> int | None:
    """Bytes; None where there is none. Version 1 has a number larger than any machine's memory for none."""
    for most, _ in FILES:
        with suppress(OSError, ValueError):
            return int(Path(most).read_text())
    return None


def free() -> int | None:
    """Bytes below the limit that are not used, 0 at least; None where there is no limit, or it is not known."""
    for most, used in FILES:
        with suppress(OSError, ValueError):
            return max(0, int(Path(most).read_text()) - int(Path(used).read_text()))
    return None
