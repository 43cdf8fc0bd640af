"""Which process a run belongs to, and whether that process is still there.

`shuffle run` writes it into the staging folder (`writers/claim.py`), so that a later run knows a living run from one
that was killed. A process id alone would not do: ids are used again, every container has its own, and a machine starts
anew. What cannot be known for sure is unknown, never "gone".
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from msgspec import Struct

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Fields of /proc/PID/stat behind the command's name: the state, and the start in ticks since boot."""


class Owner(Struct, frozen=True):
    """host: for messages. boot: of this kernel's run. space: the namespace that process ids count in. started: ticks
    since boot. machine: /etc/machine-id; "" where there is none."""

    host: str
    boot: str
    space: str
    pid: int
    started: int
    machine: str = ""


def this_process() -> Owner:
    """The process that calls."""
    return Owner(
        host=socket.gethostname(),
        boot=_text(_PROC / "sys/kernel/random/boot_id"),
        space=_space(),
        pid=os.getpid(),
        started=_started(os.getpid()) or 0,
        machine=_text(Path("/etc/machine-id")),
    )


def is_alive(owner: Owner) -> bool | None:
    """None: this process cannot tell, because the other one ran on another machine or in another container."""
    here = this_process()
    if not owner.boot or not here.boot:
        return None
    if owner.boot != here.boot:
        restarted = owner.machine and (owner.machine, owner.host) == (here.machine, here.host)
        return False if restarted else None
    if owner.space != here.space:
        return None
    return _started(owner.pid) == owner.started


def _started(pid: int) -> int | None:
    """When a process started, in ticks; None where there is none, or only one that waits to be collected."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    return None if fields[_STATE] in "ZX" else int(fields[_STARTED])


def _space() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
