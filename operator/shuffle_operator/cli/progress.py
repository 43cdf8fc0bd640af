"""What a person sees while a job runs: bars on a terminal, a line now and then elsewhere; a summary at the end.

Everything goes to standard error, so that standard output is free for `--json`.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from shuffle_operator.coordinator.events import Note
from shuffle_operator.coordinator.status import Snapshot
from shuffle_worker.protocol.messages import Phase
from shuffle_worker.units import readable

LINE_EVERY = 5.0
"""Seconds between lines where there is no terminal."""


class Display:
    """Use as a context manager; call `show` several times a second, `note` when something happens."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._last_line = 0.0
        self._last_phase: Phase | None = None
        self._progress: Progress | None = None
        if self._console.is_terminal and not quiet:
            self._progress = Progress(
                TextColumn("{task.description:<12}"),
                BarColumn(bar_width=30),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[detail]}", style="dim"),
                console=self._console,
                transient=True,
            )
            self._task = self._progress.add_task("Starting", total=100.0, detail="")

    def __enter__(self) -> Display:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, now: Snapshot) -> None:
        if self._progress is not None:
            detail = now.message.partition(": ")[2] if ": " in now.message else ""
            if now.bytes_spilled:
                detail += f", {readable(now.bytes_spilled)} spilled"
            self._progress.update(self._task, completed=now.progress, description=str(now.phase), detail=detail)
        elif not self._quiet:
            due = time.monotonic() - self._last_line >= LINE_EVERY
            if now.phase is not self._last_phase or due:
                self._console.print(f"{now.progress:3.0f} %  {now.message}", soft_wrap=True, markup=False)
                self._last_line = time.monotonic()
        self._last_phase = now.phase

    def note(self, note: Note) -> None:
        if note.warning and not self._quiet:
            self._console.print(f"{note.reason}: {note.message}", style="yellow", soft_wrap=True, markup=False)

    def summary(self, end: Snapshot) -> None:
        if self._quiet or end.phase is not Phase.COMPLETE:
            return
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold")
        table.add_column()
        rate = end.rows_written / end.seconds if end.seconds else 0.0
        unit = "Elements" if _of_arrays(end) else "Rows"
        table.add_row(unit, f"{end.rows_written:,} ({rate:,.0f} a second)")
        table.add_row("Read", f"{readable(end.bytes_read)} in {end.splits:,} splits")
        table.add_row("Written", f"{readable(end.bytes_written)} in {end.files:,} files")
        table.add_row("Time", f"{end.seconds:.1f} s, {end.cpu_seconds:.1f} s of processor time")
        table.add_row("Peak memory", f"{readable(end.memory_peak)} in the largest of {end.workers_desired} workers")
        table.add_row("Spilled", readable(end.bytes_spilled) if end.bytes_spilled else "nothing: it fitted")
        table.add_row("Skew", skew(end))
        if end.workers_lost:
            table.add_row("Lost", f"{end.workers_lost} workers; {_redone(end)}")
        table.add_row("Output", end.output)
        self._console.print(f"[bold green]Complete[/] {end.name}")
        self._console.print(table)


def skew(end: Snapshot) -> str:
    """How far the largest file is from the median one."""
    if not end.median:
        return f"largest file {readable(end.largest)}"
    return f"largest file {readable(end.largest)}, {end.largest / end.median:.1f} times the median"


def _redone(end: Snapshot) -> str:
    """What lost workers cost."""
    read, resent = end.splits_redone - end.splits_resent, end.splits_resent
    text = f"{read:,} splits were read again for it"
    return f"{text}, {resent:,} sent again from scratch" if resent else text


def _of_arrays(end: Snapshot) -> bool:
    """What is counted are elements, not rows."""
    return end.tree is not None and any(node.step == "Rechunk" for node in end.tree.inputs)
