"""`python -m shuffle_worker warm [arrays]`: imports what workers need, once, and becomes workers by forking.

Half of a small job's time would be importing, the same in each of its workers. So a launcher on one machine starts one
process for all of them (`shuffle_local/warm.py`), which does nothing but import. For each worker it gets a `Start` and
the descriptors of the worker's standard input and error, and answers with the worker's process id:

    launcher                        warm process                      worker
    Start, [stdin, stderr, ...] --> fork --> fork ------------------> a session of its own; reads its configuration
                            pid <-- (the one between ends)            from standard input, as one that was not forked

The process between ends at once, so that the worker becomes a child of the launcher, which has made itself the reaper
of its descendants: it sees each worker's exit code, whatever happens to the warm process.

A fork has one thread; locks that another thread held would stay held in it for ever. So nothing is forked where there
is a second thread, by a library that starts one when it is imported: the warm process ends, and its launcher starts
workers without it.
"""

from __future__ import annotations

import gc
import os
import select
import socket
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import msgspec
from msgspec import Struct

ARGUMENT = "warm"
STDIN, STDERR = 0, 2
MOST_DESCRIPTORS = 16
MOST_MESSAGE = 1 << 10

ARRAYS = ("shuffle_worker.arrays.work",)
TABLES = (
    "shuffle_worker.tables.work",
    "shuffle_worker.steps.assign",
    "shuffle_worker.steps.files",
    "shuffle_worker.steps.reduce",
    "shuffle_worker.readers.parquet_file",
    "shuffle_worker.writers.parquet",
    "numpy.ma",  # by Arrow, when it is given an array
)
"""What `works.py` imports, and the first leases of most jobs."""


class Start(Struct, frozen=True):
    """A worker is to be forked."""

    arrays: bool
    """Its job is one on arrays."""


class WarmProcess:
    """Standard input is a socket that keeps messages apart (SOCK_SEQPACKET). arrays: what its workers are for, as far
    as is known."""

    def __init__(self, *, arrays: bool) -> None:
        self._arrays = arrays
        self._line = socket.socket(fileno=os.dup(STDIN))

    def import_ahead(self) -> None:
        """What such jobs need, as long as nobody waits for a worker."""
        waiting, _, _ = select.select([self._line], [], [], 0)
        if not waiting:
            _import_work(arrays=self._arrays)

    def serve(self) -> bool:
        """Fork a worker for each message. True: this process is one of them now. False: the launcher is gone or wants
        no more, or this process cannot be forked."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._line, MOST_MESSAGE, MOST_DESCRIPTORS)
            if not message:
                return False
            _import_work(msgspec.json.decode(message, type=Start).arrays)
            gc.freeze()  # what the collector never looks at stays shared between the processes
            pid = _fork() if _threads() == 1 else -1
            if pid == 0:
                self._line.close()
                _become_worker(descriptors)
                return True
            for descriptor in descriptors:
                os.close(descriptor)
            if pid < 0:
                return False
            self._line.send(str(pid).encode())


def _import_work(arrays: bool) -> None:
    """What is missing is for the plan to say."""
    with suppress(ImportError):
        for name in ARRAYS if arrays else TABLES:
            import_module(name)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _fork() -> int:
    """0 in the new process; in this one its process id, or -1 where there is none. It is the launcher's child then."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        pid = -1
        try:
            os.close(reading)
            pid = os.fork()
            if pid > 0:
                os.write(writing, str(pid).encode())
        finally:
            if pid != 0:
                os._exit(0)
        os.close(writing)
        return 0
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    with suppress(ChildProcessError):  # where SIGCHLD is ignored
        os.waitpid(between, 0)
    return int(text) if text else -1


def _become_worker(descriptors: list[int]) -> None:
    """descriptors: standard input, standard error, and others that stay open as long as the worker lives."""
    os.setsid()
    for descriptor, number in zip(descriptors, (STDIN, STDERR), strict=False):
        os.dup2(descriptor, number)
        os.close(descriptor)
