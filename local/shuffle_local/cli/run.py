"""`shuffle run FILE`: the whole job on this machine, without a cluster.

Exit codes: 0 complete, 1 failed while it ran, 2 refused before anything was moved, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TextIO

import msgspec
import typer
from rich.console import Console

from shuffle_local import ahead
from shuffle_local.cli import say
from shuffle_local.cli.exits import COMPLETE, FAILED, INTERRUPTED, INVALID
from shuffle_local.cli.local_job import local_job
from shuffle_local.cli.machine import warnings
from shuffle_local.cli.options import FileArgument, MemoryOption, WorkersOption
from shuffle_local.cli.plan_tree import actual_of, show
from shuffle_local.cli.progress import Display
from shuffle_local.cli.report_file import ReportFile
from shuffle_local.warm import WarmStart
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.authorities import read_late
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Phase

if TYPE_CHECKING:
    from shuffle_local.dashboard import LocalDashboard

with read_late():
    from shuffle_local.run import LocalOptions, LocalRun, run_shown

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Ctrl-C, a system that goes down, a terminal that is closed, Ctrl-\\: each of them stops the run in order."""


class Looks(NamedTuple):
    """How the run is to be looked at, beside the terminal."""

    dashboard: int | None
    """The port of its page, 0 for any; None: no page."""
    report: ReportFile | None


def run(  # noqa: PLR0913 - typer makes an argument or an option of each
    file: FileArgument,
    workers: WorkersOption = None,
    memory: MemoryOption = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="DIR",
            exists=True,
            file_okay=False,
            writable=True,
            help="A folder that exists, for what does not fit in memory [default: the system's].",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a summary as one JSON object on standard output.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the plan at the end, with what was done beside what was expected.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="FILE",
            dir_okay=False,
            writable=True,
            help="Write the workers' logs (a JSON object a line) to this file.",
        ),
    ] = None,
    dashboard: Annotated[
        int | None,
        typer.Option(
            "--dashboard",
            metavar="[PORT]",
            min=0,
            max=65535,
            help="Serve the job's page on this machine while it runs [default port: any that is free].",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            dir_okay=False,
            writable=True,
            help="Write the job's page, as it is at the end, to this file (HTML).",
        ),
    ] = None,
) -> None:
    """Run a job on this machine."""
    report_file = ReportFile.planned(report) if report is not None else None
    looks = Looks(dashboard, report_file)
    end = asyncio.run(_run(local_job(file, workers, memory), scratch, log, quiet, looks))
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(end) + b"\n")
        sys.stdout.buffer.flush()
    elif explain and end.tree is not None and end.phase is Phase.COMPLETE:
        show(Console(highlight=False), end.tree, actual_of(end))
    raise typer.Exit(_report(end))


async def _run(job: Job, scratch: Path | None, log: Path | None, quiet: bool, looks: Looks) -> Snapshot:
    stream = _opened(log) if log is not None else None
    try:
        with Display(quiet) as display:
            for warning in warnings(job.workers, job.memory):
                display.warn(warning)
            level = "INFO" if log is not None else "WARNING"
            options = LocalOptions(scratch=scratch, log=stream, log_level=level, warm=_warm())
            local = LocalRun(job, options, display.note)
            loop = asyncio.get_running_loop()
            interrupt = Interrupt(local)
            for number in STOPS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background job
                    loop.add_signal_handler(number, interrupt.signal)
            page = await _opened_page(local, looks.dashboard, display)
            try:
                end = await run_shown(local, display.show)
            finally:
                if page is not None:
                    await page.close()
        display.summary(end)
        if looks.report is not None:
            looks.report.write(local.history, display.warn)
        return end
    finally:
        if stream is not None:
            _close(stream)


async def _opened_page(local: LocalRun, port: int | None, display: Display) -> LocalDashboard | None:
    """Before anything is started: a port that cannot be had refuses the run."""
    if port is None:
        return None
    from shuffle_local.dashboard import LocalDashboard, PortTaken, show_in_browser

    try:
        page = await LocalDashboard.open(local, port)
    except PortTaken as error:
        raise typer.BadParameter(str(error), param_hint="--dashboard") from None
    opened = show_in_browser(page.address)
    display.tell(f"Dashboard: {page.address}{'' if opened else ' (open it in a browser)'}")
    return page


def _warm() -> WarmStart | None:
    """Of the process that was begun before all else; None where there is none, or nothing can be done with it."""
    begun = ahead.warm()
    try:
        return WarmStart(begun) if begun is not None else None
    except OSError:
        return None


def _opened(log: Path) -> TextIO:
    try:
        return log.open("w", encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{log} cannot be written: {error.strerror}", param_hint="--log") from None


def _close(log: TextIO) -> None:
    try:
        log.close()
    except OSError as error:
        say.line(f"Warning: {log.name} could not be written: {error.strerror}", "yellow")


class Interrupt:
    """The first signal stops the job in order. A second one does not wait for that (the store that holds the output may
    be away)."""

    def __init__(self, local: LocalRun) -> None:
        self._local = local
        self._times = 0

    def signal(self) -> None:
        self._times += 1
        if self._times == 1:
            self._local.cancel()
        else:
            self._local.give_up()


def _report(end: Snapshot) -> int:
    """Say why the job is not complete; returns the exit code."""
    if end.phase is Phase.COMPLETE:
        return COMPLETE
    if end.reason == "Cancelled":
        if end.phase is Phase.FAILED and not end.left_behind:
            say.error("Interrupted", "workers stopped, nothing half-written was left.")
        else:
            say.error("Interrupted", f"workers stopped, but what was written is still in {end.output}.")
        return INTERRUPTED
    say.error(end.reason, end.cause)
    return INVALID if end.refusal else FAILED
