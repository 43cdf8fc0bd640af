"""Workers that are forked from one process, which has imported what they need: `python -m shuffle_worker warm`.

`shuffle_worker/worker/warm.py` is the other side. A launcher that has a `WarmStart` asks it for each worker, and starts
one by itself where it gets none: the warm process may be killed at any moment.

The process that has one makes itself the reaper of its descendants (PR_SET_CHILD_SUBREAPER), so that the workers become
its children. That is for programs of ours: in a notebook, orphans of others would become its children, too.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from collections.abc import Sequence

from shuffle_local.ahead import Warm, start_warm
from shuffle_protocol.jobs import Job, Rechunk

_PR_SET_CHILD_SUBREAPER = 36

PATIENCE = 30.0
"""Seconds for a worker to be there: for the imports, on a machine that is busy."""
UNKNOWN = 255
"""The exit code where nobody knows it; asyncio has the same."""
MOST_ANSWER = 32
MOST_LINE = 64 << 10
"""Bytes of a line of a worker's standard error."""


class WarmStart:
    """begun: a process that was started already (`ahead.py`). Raises OSError where this system cannot do that."""

    def __init__(self, begun: Warm | None = None) -> None:
        self._process, self._line = begun or start_warm()
        self._line.setblocking(False)
        self._turn = asyncio.Lock()
        self._arrays = False
        self._once = False
        try:
            os.close(os.pidfd_open(os.getpid()))  # Linux 5.3 has it, and some containers forbid it
            reaps = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        except (OSError, AttributeError):
            reaps = False
        if not reaps:
            self.end()
            raise OSError("this system does not let a process reap its descendants, or watch them")

    @property
    def pid(self) -> int:
        return self._process.pid

    def prepare(self, job: Job) -> None:
        """What the workers are for. A single one shares its memory with nobody, so nothing is kept for a second."""
        self._arrays = isinstance(job.operation, Rechunk)
        self._once = job.workers == 1

    async def worker(self, stdin: int, keep: Sequence[int]) -> ForkedWorker | None:
        """A new worker. stdin: its standard input. keep: file descriptors that it inherits. None: there is no warm
        process any more. Raises OSError where the system has no descriptors left."""
        reading, writing = os.pipe()
        pid = None
        try:
            async with self._turn:
                pid = await self._asked([stdin, writing, *keep])
                if pid is None:
                    return None
                if self._once:
                    self.end()
        finally:
            os.close(writing)
            if pid is None:
                os.close(reading)
        return await ForkedWorker.watched(pid, reading)

    async def _asked(self, descriptors: Sequence[int]) -> int | None:
        try:
            socket.send_fds(self._line, [b'{"arrays":true}' if self._arrays else b'{"arrays":false}'], descriptors)
            async with asyncio.timeout(PATIENCE):
                answer = await asyncio.get_running_loop().sock_recv(self._line, MOST_ANSWER)
        except OSError:  # TimeoutError, too
            answer = b""
        if not answer:
            self.end()
        return int(answer) if answer else None

    def end(self) -> None:
        """Its workers live on. Doing it twice is harmless."""
        self._line.close()
        self._process.kill()
        self._process.wait()


class ForkedWorker:
    """A process that was forked for this one: what `asyncio.subprocess.Process` is for one that was started."""

    def __init__(self, pid: int, stderr: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        """Its exit code, or a signal's number negated; None as long as it runs."""
        self.stderr: asyncio.StreamReader | None = stderr
        self._ended = asyncio.Event()
        self._handle = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._handle, self._end)

    @classmethod
    async def watched(cls, pid: int, stderr: int) -> ForkedWorker:
        """stderr: where its standard error can be read."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(MOST_LINE)
        made = cls(pid, reader)
        pipe = os.fdopen(stderr, "rb", 0)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return made

    def send_signal(self, number: int) -> None:
        if self.returncode is None:  # it is not collected yet, so its number is that of no other
            os.kill(self.pid, number)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        try:
            _, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        except ChildProcessError:  # this program was started so that it ignores how its children end (SIGCHLD)
            self.returncode = UNKNOWN
        self._ended.set()
