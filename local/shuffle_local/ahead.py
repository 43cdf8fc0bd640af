"""Processes that a command needs, started before it imports what it needs itself: both import beside each other.

    run      the warm process, which its workers are forked from (warm.py)
    explain  the process that makes the plan (cli/planning.py)

Each waits for what it is to do, and ends when its input does; `end` ends what is left of them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

MOST_LOOKED_AT = 64 << 10
"""Bytes of a job's file that are looked at for what it is about."""


class Warm(NamedTuple):
    """A warm process, and this end of the socket by which it is asked for workers."""

    process: subprocess.Popen[bytes]
    line: socket.socket


_warm: Warm | None = None
_planner: subprocess.Popen[bytes] | None = None


def begin(arguments: Sequence[str]) -> None:
    """arguments: the command line. A command that cannot be carried out has started a process in vain."""
    global _warm, _planner
    if not arguments or {"-h", "--help"} & set(arguments):
        return
    try:
        if arguments[0] == "run":
            _warm = start_warm(arrays=_about_arrays(arguments[1:]))
        elif arguments[0] == "explain":
            _planner = start_planner()
    except OSError:
        return  # the command will see by itself what is missing


def _about_arrays(arguments: Sequence[str]) -> bool:
    """Whether the job seems to be one on arrays. Nothing is parsed yet; a wrong guess costs some imports."""
    for name in arguments:
        if name.endswith((".yaml", ".yml", ".json")) and os.path.isfile(name):  # noqa: PTH113 - pathlib is an import
            with open(name, "rb") as file:  # noqa: PTH123
                if b"rechunk" in file.read(MOST_LOOKED_AT):
                    return True
    return False


def start_warm(*, arrays: bool = False) -> Warm:
    """arrays: it imports what jobs on arrays need. Raises OSError where a process cannot be started."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "shuffle_worker", "warm", *(["arrays"] if arrays else [])],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # what fails there fails in a worker that starts by itself, which says why
            start_new_session=True,
        )
    return Warm(process, ours)


def start_planner() -> subprocess.Popen[bytes]:
    """Raises OSError where a process cannot be started."""
    return subprocess.Popen(
        [sys.executable, "-m", "shuffle_worker.worker.explaining"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def warm() -> Warm | None:
    """The process that was begun; for the caller alone."""
    global _warm
    found, _warm = _warm, None
    return found


def planner() -> subprocess.Popen[bytes] | None:
    """The process that was begun; for the caller alone."""
    global _planner
    found, _planner = _planner, None
    return found


def end() -> None:
    """End what nobody asked for."""
    for process in (found.process if (found := warm()) is not None else None, planner()):
        if process is not None:
            process.kill()
            process.wait()
