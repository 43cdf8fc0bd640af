"""A running job on a terminal: a bar, and below it what is going on; it fits any width and follows its changes.

    Transferring  ━━━━━━━━━━━━━━━━──────────────  42 %  0:01:12
    17 of 40 splits, 1.2 GiB of 2.9 GiB, 4 workers, about 40 s left
    12,000,000 rows in, 5,000,000 out, 310.0 MiB spilled

The bar goes first where there is little room, then the ends of the lines below it; phase, percent and time stay.
"""

from __future__ import annotations

import datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.units import readable

WIDEST, NARROWEST = 40, 8
"""Columns of the bar."""


class Bar:
    """A renderable for `rich.live.Live`; `now` is what it shows."""

    def __init__(self) -> None:
        self.now: Snapshot | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = self.now
        if now is None:
            yield Text("Starting", no_wrap=True)
            return
        elapsed = str(datetime.timedelta(seconds=int(now.seconds)))
        ends = f"{now.progress:3.0f} %  {elapsed}"
        room = options.max_width - len(str(now.phase)) - len(ends) - 5
        table = Table.grid(padding=(0, 2, 0, 0))
        cells: list[Text | ProgressBar] = [Text(str(now.phase), style="bold", no_wrap=True)]
        if room >= NARROWEST:
            width = min(room, WIDEST)
            bar = ProgressBar(total=100, completed=now.progress, width=width, complete_style="cyan")
            cells.append(bar)
        table.add_row(*cells, Text(ends, no_wrap=True))
        yield table
        for text in details(now):
            yield Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def details(now: Snapshot) -> list[str]:
    """The lines below the bar."""
    said = now.message.partition(": ")[2]
    rows = f"{now.rows_read:,} rows in, {now.rows_written:,} out" if now.rows_read else ""
    spilled = f"{readable(now.bytes_spilled)} spilled" if now.bytes_spilled else ""
    return [line for line in (said, ", ".join(part for part in (rows, spilled) if part)) if line]
