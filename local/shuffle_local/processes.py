"""Workers as processes of this machine. Implements `launchers.launcher.Launcher`.

Each process finds its configuration on standard input, which stays open: when the launcher goes, however it goes, the
input ends and the worker leaves. Scratch is a folder of the launcher's, one below it for each process; the workers
remove both where the launcher cannot.

A process is forked from a warm one where there is one (`warm.py`), else started by itself. Either way it is a child of
this process and leads a session of its own: Ctrl-C is for the launcher, which stops its workers in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import msgspec

from shuffle_local.warm import ForkedWorker, WarmStart
from shuffle_operator.launchers.launcher import OnExit
from shuffle_protocol import trail
from shuffle_protocol.crashes import CRASHES, crash
from shuffle_worker.runtime.settings import WorkerConfig

GRACE = 5.0
"""Seconds that a worker that is to stop may take before it is killed."""

KEPT_LINES = 40
"""Lines of a worker's standard error that are kept to say why it failed."""


@dataclass(slots=True)
class WorkerProcess:
    incarnation: str
    scratch: Path
    process: asyncio.subprocess.Process | ForkedWorker | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    watcher: asyncio.Task[None] | None = None
    stopper: asyncio.Task[None] | None = None
    stopped: bool = False


class LocalLauncher:
    """template: the configuration of every worker, but for its slot, incarnation and scratch. log: where workers'
    standard error goes, beside the lines that are kept. keep: file descriptors that workers inherit. warm: what workers
    are forked from. `close` ends it."""

    def __init__(
        self,
        template: WorkerConfig,
        scratch: Path,
        on_exit: OnExit,
        log: TextIO | None = None,
        keep: Sequence[int] = (),
        warm: WarmStart | None = None,
    ) -> None:
        self._keep = tuple(keep)
        self._warm = warm
        self.on_exit = on_exit
        self._template = template
        self._scratch = scratch
        self._log = log
        self._children: dict[int, WorkerProcess] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closing = False

    def start(self, worker: int, epoch: int) -> None:  # noqa: ARG002 - names of processes need no epoch
        if worker in self._children or self._closing:
            return
        incarnation = secrets.token_hex(6)
        child = WorkerProcess(incarnation, self._scratch / f"w{worker}-{incarnation}")
        self._children[worker] = child
        child.watcher = asyncio.create_task(self._watch(worker, child))

    def stop(self, worker: int, *, now: bool) -> None:
        child = self._children.get(worker)
        if child is None:
            return
        child.stopped = True
        if now:
            self._signal(child, signal.SIGKILL)
            self._children.pop(worker)
            if child.watcher is not None:
                self._ending.add(child.watcher)
                child.watcher.add_done_callback(self._ending.discard)
        elif child.stopper is None:
            child.stopper = asyncio.create_task(self._stop_politely(child))

    def pids(self) -> dict[int, int]:
        """Slot -> process id of the workers that run."""
        return {w: c.process.pid for w, c in self._children.items() if c.process and c.process.returncode is None}

    async def all_gone(self, within: float) -> None:
        """Wait until every process has ended by itself, at most so many seconds."""
        waiting = [child.watcher for child in self._children.values() if child.watcher]
        if waiting:
            await asyncio.wait(waiting, timeout=within)

    async def close(self) -> None:
        self._closing = True
        for worker in list(self._children):
            self.stop(worker, now=False)
        waiting = [c.watcher for c in self._children.values() if c.watcher] + list(self._ending)
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=GRACE + 1)
            for child in self._children.values():
                self._signal(child, signal.SIGKILL)
            if late:
                await asyncio.wait(late, timeout=GRACE)
        if self._warm is not None:
            self._warm.end()
        shutil.rmtree(self._scratch, ignore_errors=True)

    async def _watch(self, worker: int, child: WorkerProcess) -> None:
        """The whole life of a process."""
        config = msgspec.structs.replace(
            self._template, worker=worker, incarnation=child.incarnation, scratch=str(child.scratch), watch_stdin=True
        )
        config = msgspec.structs.replace(config, trail=str(child.scratch / trail.NAME))
        try:
            code = await self._live(child, msgspec.json.encode(config) + b"\n")
            crashed = -code in CRASHES
            why, fault = _why(code, child), code > 0 or crashed
        except OSError as error:
            why, fault, crashed = f"its process could not be started: {error}", True, False
        shutil.rmtree(child.scratch, ignore_errors=True)
        if self._children.get(worker) is child:
            del self._children[worker]
        if not self._closing:
            self.on_exit(worker, child.incarnation, why, fault, crashed)

    async def _live(self, child: WorkerProcess, config: bytes) -> int:
        """From start to end; returns its exit code, or a signal's number negated.

        The configuration lies in the pipe before the process is there: a process whose launcher is killed at that very
        moment knows which scratch to remove."""
        reading, writing = os.pipe()
        try:
            try:
                os.write(writing, config)  # less than the 64 KiB that a pipe takes
                process = child.process = await self._forked(reading) or await self._started(reading)
            finally:
                os.close(reading)
            if child.stopped:
                self._signal(child, signal.SIGKILL)
            assert process.stderr is not None
            async for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                child.tail.append(text)
                self._write(text)
            return await process.wait()
        finally:
            os.close(writing)

    async def _forked(self, stdin: int) -> ForkedWorker | None:
        return None if self._warm is None else await self._warm.worker(stdin, self._keep)

    async def _started(self, stdin: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shuffle_worker",
            stdin=stdin,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=self._keep,
            start_new_session=True,
        )

    def _write(self, text: str) -> None:
        """Write to the log. A full disk ends the log, not the job."""
        if self._log is not None:
            try:
                print(text, file=self._log, flush=True)
            except OSError:
                self._log = None

    async def _stop_politely(self, child: WorkerProcess) -> None:
        """It stops because the coordinator ordered it to, or because of the signal; then it is killed."""
        for wait, then in ((1.0, signal.SIGTERM), (GRACE - 1.0, signal.SIGKILL)):
            if child.watcher is None or child.watcher.done():
                return
            await asyncio.wait([child.watcher], timeout=wait)
            if not child.watcher.done():
                self._signal(child, then)

    @staticmethod
    def _signal(child: WorkerProcess, number: signal.Signals) -> None:
        if child.process is not None and child.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(number)


def _why(code: int, child: WorkerProcess) -> str:
    """A sentence about how a process ended."""
    tail = child.tail
    if -code in CRASHES:
        return crash(-code, trail.read(child.scratch / trail.NAME), tail)
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (
            " (by the system, if it ran out of memory)" if name == "SIGKILL" else ""
        )
    if code == 0:
        return "its process ended"
    said = next((line for line in reversed(tail) if line.strip()), "")
    return f"its process ended with exit code {code}" + (f": {said[:500]}" if said else "")
