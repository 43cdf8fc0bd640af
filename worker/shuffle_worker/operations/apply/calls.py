"""What calling a function of the user's will cost: how many calls, of how many rows, of how many seconds each.

A plan is the same whenever it is made, so its own estimate uses what such functions usually take. `shuffle explain`
makes a plan that is not carried out, and uses the time of the calls for a sample, where there were any.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from shuffle_protocol.units import counted, duration
from shuffle_worker.functions.shapes import Shape

FRAME_SECONDS = 1e-3
ARROW_SECONDS = 1e-4
"""Seconds of a call that does a few things to a small group, with a data frame or an Arrow table."""

ROW_SECONDS = 0.5e-6
"""More of that for each row of a large group."""

SLOW = 20.0
"""Seconds of calls from which on `explain` points to a quicker way."""

SMALL = 1000
"""Rows of a group in which a call costs more than what is done with the rows."""


class Sampled(NamedTuple):
    """A call for a group of a sample."""

    rows: int
    seconds: float


class Calls(NamedTuple):
    """The calls of a function that a job makes."""

    number: float
    """How many calls."""
    rows: float
    """Rows of each call, on average."""
    seconds: float
    """Seconds of each call, on average."""
    sampled: bool
    """They were measured on a sample."""

    @property
    def total(self) -> float:
        return self.number * self.seconds

    def told(self, shape: str, per: str) -> list[str]:
        """Sentences for `explain`."""
        count, rows = max(round(self.number), 1), max(round(self.rows), 1)
        by = "as it did for a sample" if self.sampled else "as such functions usually do"
        lines = [
            f"about {counted(count, 'call')} of {counted(rows, 'row')} each; if each takes "
            f"{duration(self.seconds)}, {by}, that is {duration(self.total)} of processor time"
        ]
        if per == "Group" and self.total > SLOW and rows < SMALL:
            lines.append(
                f"{counted(count, 'group')} of {counted(rows, 'row')}: a function that takes all groups of a file at "
                f"once, as {shape}, is far quicker: write it so, and set per: Partition"
            )
        return lines


@dataclass
class Timed:
    """The calls for a sample. Used only where `wanted`."""

    wanted: bool = False
    calls: list[Sampled] = field(default_factory=list)

    @contextmanager
    def call(self, rows: int) -> Iterator[None]:
        before = time.perf_counter()
        yield
        if self.wanted:
            self.calls.append(Sampled(rows, time.perf_counter() - before))


def calls_of_groups(shape: Shape, rows: float, groups: float, timed: Timed) -> Calls:
    each = rows / max(groups, 1.0)
    if timed.calls:
        quickest = min(
            timed.calls, key=lambda call: call.seconds
        )  # the first call imports, and other processes may slow it down
        more = max(each - quickest.rows, 0.0)
        return Calls(groups, each, quickest.seconds + more * ROW_SECONDS, True)
    usual = FRAME_SECONDS if shape is Shape.FRAME else ARROW_SECONDS
    return Calls(groups, each, usual + each * ROW_SECONDS, False)


def calls_of_partitions(shape: Shape, rows: float, partitions: int, timed: Timed) -> Calls:
    """From this many rows on, a function's time depends on the rows, not on the call."""
    each = rows / max(partitions, 1)
    usual = FRAME_SECONDS if shape is Shape.FRAME else ARROW_SECONDS
    if timed.calls and timed.calls[0].rows:
        slope = max(timed.calls[0].seconds - usual, 0.0) / timed.calls[0].rows
        return Calls(partitions, each, usual + each * slope, True)
    return Calls(partitions, each, usual + each * ROW_SECONDS, False)
