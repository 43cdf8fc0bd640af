"""Error messages about a worker's own memory and scratch. Used by the inbox and the agent."""

from __future__ import annotations

import errno

from shuffle_protocol.errors import OutOfDisk, OutOfMemory

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def scratch_failure(worker: int, error: OSError) -> OutOfDisk:
    """A store or an external sort could not write to scratch, or could not read it back."""
    where = f" in {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return OutOfDisk(
            f"scratch{where} has no room left on worker {worker} ({error.strerror}): give it more room, the workers "
            "more memory, or use more workers"
        )
    return OutOfDisk(f"scratch{where} cannot be used on worker {worker}: {error.strerror or error}")


def memory_failure(worker: int, error: MemoryError, given: int = 0) -> OutOfMemory:
    """The system gave a worker less memory than the job promised it. given: bytes promised, 0 if not known."""
    promised = f" before it had used the {given >> 20} MiB it was given" if given else ""
    said = f" ({error})" if str(error) else ""
    return OutOfMemory(f"worker {worker} got no more memory{promised}{said}: is the limit around it lower?")
