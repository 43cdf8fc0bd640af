"""What a person sees while a job runs: a bar on a terminal, a line now and then elsewhere; a summary at the end.

Everything goes to standard error, so that standard output is free for `--json`. Where standard error is gone (the
terminal was closed, the reader of a pipe has ended), the job goes on in silence.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.live import Live
from rich.table import Table

from shuffle_local.cli.bar import Bar
from shuffle_local.cli.console import ErrorConsole
from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.messages import Phase
from shuffle_protocol.units import counted, readable

LINE_AFTER, LINE_AT_MOST = 5.0, 600.0
"""Seconds between lines where there is no terminal: at first, and in the end; each wait is twice the one before."""


class Display:
    """Use as a context manager; call `show` several times a second, `note` when something happens."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = ErrorConsole()
        self._quiet = quiet
        self._wait, self._last_line = LINE_AFTER, 0.0
        self._last_phase: Phase | None = None
        self._said: set[str] = set()
        self._bar = Bar()
        self._live: Live | None = None
        if self._console.is_screen and not quiet:
            self._live = Live(self._bar, console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Display:
        if self._live is not None:
            with self._silent_when_gone():
                self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            with self._silent_when_gone():
                self._live.stop()

    def show(self, now: Snapshot) -> None:
        if self._quiet:
            return
        with self._silent_when_gone():
            for text in now.notes:
                self._once(f"Note: {text}")
            if self._live is not None:
                self._bar.now = now
                self._live.refresh()
            else:
                self._line(now)
        self._last_phase = now.phase

    def _line(self, now: Snapshot) -> None:
        since = time.monotonic() - self._last_line
        if now.reason or (now.phase is self._last_phase and since < self._wait):
            return  # why it failed is said at the end
        self._wait = LINE_AFTER if now.phase is not self._last_phase else min(2 * self._wait, LINE_AT_MOST)
        self._console.print(f"{now.progress:3.0f} %  {now.message}", soft_wrap=True, markup=False)
        self._last_line = time.monotonic()

    def _once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._print(text, "yellow")

    def note(self, note: Note) -> None:
        if note.warning and not self._quiet:
            with self._silent_when_gone():
                self._print(f"{note.reason}: {note.message}", "yellow")

    def warn(self, text: str) -> None:
        """A warning that is shown before the job starts."""
        if not self._quiet:
            with self._silent_when_gone():
                self._once(f"Warning: {text}")

    def tell(self, text: str) -> None:
        """What was asked for, however quiet it is to be."""
        with self._silent_when_gone():
            self._print(text, "bold")

    def _print(self, text: str, style: str) -> None:
        self._console.print(text, style=style, soft_wrap=not self._console.is_screen, markup=False)

    def summary(self, end: Snapshot) -> None:
        if self._quiet or end.phase is not Phase.COMPLETE:
            return
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        with self._silent_when_gone():
            self._console.print(f"[bold green]Complete[/] {end.name}")
            for label, text in facts(end):
                if self._console.is_screen:
                    table.add_row(label, text)
                else:
                    self._console.print(f"{label:<12} {text}", markup=False, soft_wrap=True)
            self._console.print(table, end="")

    @contextmanager
    def _silent_when_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._quiet, self._live = True, None


def facts(end: Snapshot) -> list[tuple[str, str]]:
    """The summary: labels and values. What is not known (the memory of a job in a cluster) is left out."""
    rate = end.rows_read / end.seconds if end.seconds else 0.0
    speed = f" ({rate:,.0f} a second)" if rate >= 1 else ""
    unit = "Elements" if _of_arrays(end) else "Rows"
    time_taken = f"{end.seconds:.1f} s" + (f", {end.cpu_seconds:.1f} s of processor time" if end.cpu_seconds else "")
    lines: list[tuple[str, str]] = [(unit, f"{end.rows_read:,} in, {end.rows_written:,} out{speed}")]
    if end.splits:
        lines.append(("Read", f"{readable(end.bytes_read)} in {counted(end.splits, 'split')}"))
    lines.append(("Written", f"{readable(end.bytes_written)} in {counted(end.files, 'file')}"))
    if end.seconds:
        lines.append(("Time", time_taken))
    if end.memory_peak:
        many = f"the largest of {end.workers_desired} workers" if end.workers_desired > 1 else "the one worker"
        lines.append(("Peak memory", f"{readable(end.memory_peak)} in {many}"))
    lines.append(("Spilled", readable(end.bytes_spilled) if end.bytes_spilled else "nothing"))
    if end.largest:
        lines.append(("Skew", skew(end)))
    if end.workers_lost:
        lines.append(("Lost", f"{counted(end.workers_lost, 'worker')}; {_redone(end)}"))
    return [*lines, ("Output", end.output)]


def skew(end: Snapshot) -> str:
    """How far the largest file is from the median one."""
    if not end.median:
        return f"largest file {readable(end.largest)}"
    return f"largest file {readable(end.largest)}, {end.largest / end.median:.1f} times the median"


def _redone(end: Snapshot) -> str:
    """What lost workers cost."""
    read, resent = end.splits_redone - end.splits_resent, end.splits_resent
    text = f"{counted(read, 'split')} {'was' if read == 1 else 'were'} read again"
    return f"{text}, {resent:,} sent again from scratch" if resent else text


def _of_arrays(end: Snapshot) -> bool:
    """Whether the job counts elements, not rows."""
    return end.tree is not None and any(node.step == "Rechunk" for node in end.tree.inputs)
