"""A whole job on one machine: coordinator and launcher in this process, workers as its children.

The command line, the Python client and Flyte's local execution all call `run_local`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from shuffle_local.processes import LocalLauncher
from shuffle_local.warm import WarmStart
from shuffle_operator.coordinator.actions import Action, Note, StartWorker, StopWorker
from shuffle_operator.coordinator.events import Cancelled, Started, Tick, WorkerGone
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.status import Snapshot, snapshot
from shuffle_operator.history.recorder import HistoryRecorder
from shuffle_operator.server.http import CoordinatorServer
from shuffle_protocol.errors import REASONS, JobError, OutOfDisk
from shuffle_protocol.jobs import Job
from shuffle_worker.runtime.owner import hold, this_process
from shuffle_worker.runtime.settings import WorkerConfig

if TYPE_CHECKING:
    from shuffle_operator.history.document import JobHistory

TICK = 0.25

REDRAW = 0.2
"""Seconds between snapshots that are shown."""

GRACE = 4.0
"""Seconds that a worker may take when it is to go to hand over what it has; below what a launcher waits."""


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How a job runs on this machine."""

    scratch: Path | None = None
    """A folder under which a temporary one is made; None: the system's."""
    slots: int = 1
    """Leases a worker computes at once."""
    log: TextIO | None = None
    """Where workers' logs go."""
    log_level: str = "WARNING"
    settings: Settings = Settings(startup_deadline=60.0)  # noqa: RUF009 - frozen
    warm: WarmStart | None = None
    """What workers are forked from, for this run alone; None: each starts by itself."""


class LocalRun:
    """A job that runs. `cancel` and `give_up` may be called from a signal handler of the event loop, at any time."""

    def __init__(self, job: Job, options: LocalOptions, on_note: Callable[[Note], None] | None = None) -> None:
        self.recorder = HistoryRecorder()
        self.machine = Coordinator(job, options.settings, observer=self.recorder)
        self.launcher: LocalLauncher | None = None
        self._options = options
        self._on_note = on_note
        self._over = asyncio.Event()
        self._hosted_perform: Callable[[list[Action]], None] | None = None
        self._cancelled: str | None = None
        self._given_up = False

    def snapshot(self) -> Snapshot:
        return snapshot(self.machine.state, time.monotonic())

    def history(self) -> JobHistory:
        """What the job's page and its report show, as of now. What makes it is loaded where somebody asks for it."""
        from shuffle_operator.history.telling import history_of
        from shuffle_protocol.release import version

        now, wall = time.monotonic(), time.time()
        return history_of(self.machine.state, self.recorder, now=now, wall=wall, version=version())

    def cancel(self, message: str = "interrupted") -> None:
        """Stop the job and remove what it wrote."""
        self._cancelled = message
        if self._hosted_perform is not None:
            self._hosted_perform(self.machine.handle(Cancelled("Cancelled", message), time.monotonic()))

    def give_up(self) -> None:
        """Stop without removing anything: what was written so far stays where it is."""
        self.cancel()
        self._given_up = True
        self._over.set()

    async def run(self) -> Snapshot:
        """Wait until the job is over and only its output is left."""
        job, options = self.machine.state.job, self._options
        token = secrets.token_urlsafe(32)
        server = CoordinatorServer()
        address = await server.start("127.0.0.1")
        scratch = _scratch_folder(options.scratch)
        held = _held(job.uid)
        template = WorkerConfig(
            coordinator=address,
            job=job.uid,
            token=token,
            worker=0,
            incarnation="",
            memory=job.memory,
            functions=job.functions.memory,
            scratch="",
            slots=options.slots,
            scratch_share=job.workers,
            log_level=options.log_level,
            grace=GRACE,
            owner=this_process(held=held is not None),
        )
        keep = [held.fileno()] if held is not None else []
        launcher = self.launcher = LocalLauncher(template, scratch, self._exited, options.log, keep, options.warm)
        if options.warm is not None:
            options.warm.prepare(job)
        hosted = server.host(self.machine, token, self._act)
        self._hosted_perform = hosted.perform
        hosted.report = self._report
        try:
            if self._cancelled is not None:
                self.cancel(self._cancelled)
            else:
                hosted.perform(self.machine.handle(Started(), time.monotonic()))
            while not self.machine.state.over and not self._given_up:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), TICK)
                hosted.perform(self.machine.handle(Tick(), time.monotonic()))
            if self._given_up:
                for worker in launcher.pids():
                    launcher.stop(worker, now=True)
            else:
                await self._let_workers_read_the_end()
            return self.snapshot()
        finally:
            await launcher.close()
            await server.stop()
            if held is not None:
                held.close()

    def _report(self) -> bytes:
        """For beside the output."""
        from shuffle_operator.history.telling import when_committed
        from shuffle_operator.web.report import render

        return render(when_committed(self.history())).encode()

    async def _let_workers_read_the_end(self) -> None:
        """They exit by themselves once the coordinator has ordered it; waiting for that is shorter than a signal's
        grace."""
        assert self.launcher is not None
        await self.launcher.all_gone(within=2.0)

    def _act(self, action: Action) -> None:
        assert self.launcher is not None
        if isinstance(action, StartWorker):
            self.launcher.start(action.worker, action.epoch)
        elif isinstance(action, StopWorker):
            if not self.machine.state.over:
                self.launcher.stop(action.worker, now=action.now)
        elif isinstance(action, Note) and self._on_note is not None:
            self._on_note(action)
        if self.machine.state.over:
            self._over.set()

    def _exited(self, worker: int, incarnation: str | None, why: str, fault: bool, crashed: bool) -> None:
        if self._hosted_perform is not None:
            now = time.monotonic()
            self._hosted_perform(self.machine.handle(WorkerGone(worker, incarnation, why, fault, crashed=crashed), now))


async def run_shown(local: LocalRun, show: Callable[[Snapshot], None]) -> Snapshot:
    """Run a job, and show it several times a second. Where this is cancelled the job is stopped first, in order."""
    running = asyncio.create_task(local.run())
    try:
        while not running.done():
            show(local.snapshot())
            await asyncio.wait([running], timeout=REDRAW)
    except BaseException:
        local.cancel()
        await asyncio.wait([running])
        raise
    return running.result()


def error_of(end: Snapshot) -> JobError:
    """The error of a job that failed, with what was the cause. A reason that is of jobs alone (too many failures, for
    example) is a JobError of that name."""
    kind: type[JobError] = REASONS.get(end.reason) or type(end.reason, (JobError,), {"reason": end.reason})
    error = kind(end.cause)
    error.refusal = end.refusal
    return error


def _held(uid: str) -> socket.socket | None:
    """None where two runs have one uid, or where the system has no such addresses: the process id must do then."""
    try:
        return hold(uid)
    except OSError:
        return None


def _scratch_folder(parent: Path | None) -> Path:
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="shuffle-", dir=parent))
    except OSError as error:
        raise OutOfDisk(f"scratch cannot be made in {parent or tempfile.gettempdir()}: {error.strerror}") from error
