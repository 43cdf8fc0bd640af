"""A job of this machine, run with the engine of `shuffle run` in a thread of its own. Called by `ShuffleJob.run`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from shuffle_local.cli.machine import warnings
from shuffle_local.cli.report_file import ReportFile
from shuffle_local.python.background import Background, Show, Showing, in_foreground, in_loop
from shuffle_local.python.display import Progress, showing
from shuffle_local.python.result import JobResult, result_of
from shuffle_local.run import LocalOptions, LocalRun, error_of, run_shown
from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.jobs import Job, Rechunk
from shuffle_protocol.messages import Phase

AnyPath = str | os.PathLike[str]


class RunFiles(NamedTuple):
    """Where a run puts what is not its output."""

    scratch: AnyPath | None
    log: AnyPath | None
    report: AnyPath | None


def run_here(job: Job, files: RunFiles, progress: Progress) -> JobResult:
    """Raises JobError, KeyboardInterrupt."""
    with _opened(files.log) as stream, _naming_what_is_left() as work:
        shown = showing(progress, warnings(job.workers, job.memory))
        work.append(_background(job, files, stream, shown))
        return _result(in_foreground(work[0], shown), job)


async def run_here_async(job: Job, files: RunFiles, progress: Progress) -> JobResult:
    """Raises JobError, CancelledError."""
    with _opened(files.log) as stream, _naming_what_is_left() as work:
        shown = showing(progress, warnings(job.workers, job.memory))
        work.append(_background(job, files, stream, shown))
        return _result(await in_loop(work[0], shown), job)


def _background(job: Job, files: RunFiles, log: TextIO | None, shown: Showing) -> Background[Snapshot]:
    """Raises OSError where the report cannot be written: before anything is started."""
    level = "WARNING" if log is None else "INFO"
    scratch = Path(files.scratch) if files.scratch is not None else None
    options = LocalOptions(scratch=scratch, log=log, log_level=level)
    report = ReportFile(Path(files.report)) if files.report is not None else None
    if report is not None:
        report.check()
    local = LocalRun(job, options, shown.note)

    async def work(show: Show) -> Snapshot:
        end = await run_shown(local, show)
        show(end)
        if report is not None:
            report.write(local.history, lambda text: shown.note(Note("NoReport", text, warning=True)))
        return end

    return Background(work, local.cancel, local.give_up)


def _result(end: Snapshot, job: Job) -> JobResult:
    if end.phase is not Phase.COMPLETE:
        raise error_of(end)
    name = "Zarr" if isinstance(job.operation, Rechunk) else job.output.format
    return result_of(end, job.output.path, name, job.output.storage)


@contextmanager
def _naming_what_is_left() -> Iterator[list[Background[Snapshot]]]:
    """An error that ends a job says where the job could not remove what it had written."""
    work: list[Background[Snapshot]] = []
    try:
        yield work
    except BaseException as error:
        with contextlib.suppress(Exception):
            end = work[0].result() if work and work[0].ended else None
            if (
                end is not None
                and end.phase is not Phase.COMPLETE
                and (end.left_behind or end.phase is not Phase.FAILED)
            ):
                error.add_note(f"what the job had written is still in {end.output}")
        raise


@contextmanager
def _opened(log: AnyPath | None) -> Iterator[TextIO | None]:
    """Raises OSError where it cannot be written."""
    if log is None:
        yield None
        return
    with Path(log).open("w", encoding="utf-8") as stream:
        yield stream
