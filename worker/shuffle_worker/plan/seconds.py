"""How long a job may take: arithmetic on rates that were measured (docs/performance.md), for `explain` and progress.

Only what people see depends on it, such as the progress bar. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

KEPT_ROWS_RATE = 88e6
SORTED_RATE = 58e6
"""Arrow bytes that a worker moves from input to output in a second: whole rows as they come, and rows put in order."""

START_SECONDS = 1.5
READ_SHARE = 0.55
"""Of the time without the start and without calls: reading and sending; the rest is writing."""


class Seconds(NamedTuple):
    """How long the parts of a job may take."""

    starting: float
    """Until all workers are there, and the commit."""
    reading: float
    """Reading, with functions that rows go through, and sending."""
    writing: float
    """Writing, with what is done before it, but for `calling` functions of the user's."""
    calling: float

    @property
    def total(self) -> float:
        return sum(self)

    @property
    def after(self) -> float:
        """Those that come when every row has arrived."""
        return self.writing + self.calling

    @property
    def write_share(self) -> float:
        """Of the time without the start."""
        return self.after / (self.reading + self.after) if self.after else 1 - READ_SHARE


def expected_seconds(
    moved: float, called: float, *, mapped: float = 0.0, workers: int, groups: int, in_order: bool
) -> Seconds:
    """On cores and disks like those it was measured on; the store's speed is not in it. moved: Arrow bytes. called:
    processor time of functions that are called where rows are written. mapped: of those that rows go through where they
    are read. groups: what is written at once, each by one worker."""
    each = moved / (SORTED_RATE if in_order else KEPT_ROWS_RATE)
    writers = max(min(workers, groups), 1)
    reading = (READ_SHARE * each + mapped) / max(workers, 1)
    return Seconds(START_SECONDS, reading, (1 - READ_SHARE) * each / writers, called / writers)
