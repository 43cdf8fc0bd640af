"""Which process a run belongs to, and whether that process is still there.

`shuffle run` writes it into the staging folder (`output/claim.py`), so that a later run knows a living run from one
that was killed. A process id alone would not do: ids are used again, every container has its own, and a machine
starts anew. What cannot be known for sure is unknown, never "gone".

Workers outlive the process that started them by a moment, or for longer where they are stopped or wait for a disk. So
the run holds an address (`hold`) that they inherit: it is free again when the last of them is gone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from pathlib import Path

from msgspec import Struct

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Fields of /proc/PID/stat behind the command's name: the state, and the start in ticks since boot."""


class Owner(Struct, frozen=True):
    """The process that a run is."""

    host: str
    """The machine's name, for messages."""
    boot: str
    """Identity of this run of the kernel."""
    space: str
    """The namespaces that process ids and addresses count in."""
    pid: int
    started: int
    """Ticks since boot."""
    machine: str = ""
    """What /etc/machine-id holds; "" where there is none."""
    held: bool = False
    """The run has an address (`hold`): it may be over although its process, a notebook for example, lives on."""


def this_process(held: bool = False) -> Owner:
    """The process that calls. held: for a run that holds its address."""
    return Owner(
        host=socket.gethostname(),
        boot=_text(_PROC / "sys/kernel/random/boot_id"),
        space=_space(),
        pid=os.getpid(),
        started=_started(os.getpid()) or 0,
        machine=_text(Path("/etc/machine-id")),
        held=held,
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


def hold(uid: str) -> socket.socket:
    """An address that is taken as long as this process lives, or one that inherited the socket. uid: of the run.
    Raises OSError where it is taken, or where there are no such addresses."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(_address(uid))
    except OSError:
        held.close()
        raise
    return held


def is_held(uid: str) -> bool:
    """Whether a process of that run is still there, on this machine."""
    try:
        hold(uid).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _address(uid: str) -> str:
    """In Linux's abstract namespace: no file is left by anybody."""
    return f"\0shuffle-run-{hashlib.sha256(uid.encode()).hexdigest()[:32]}"


def _started(pid: int) -> int | None:
    """When a process started, in ticks; None where there is none, or only one that waits to be collected."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    return None if fields[_STATE] in "ZX" else int(fields[_STARTED])


def _space() -> str:
    try:
        return f"{(_PROC / 'self/ns/pid').readlink()} {(_PROC / 'self/ns/net').readlink()}"
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
