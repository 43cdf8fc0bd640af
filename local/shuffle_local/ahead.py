"""Processes that a command needs, started before it imports what it needs itself: both import beside each other.

    run      the warm process, which its workers are forked from (warm.py)
    explain  the process that makes the plan (cli/planning.py)

Each waits for what it is to do, and ends when its input does; `end` ends what is left of them.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple


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
            _warm = start_warm()
        elif arguments[0] == "explain":
            _planner = start_planner()
    except OSError:
        return  # the command will see by itself what is missing


def start_warm() -> Warm:
    """Raises OSError where a process cannot be started."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "shuffle_worker", "warm"],
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
