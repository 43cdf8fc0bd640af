"""The counters of a job at the end of each column of its timeline.

Memory: `COLUMNS` records of ten numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from shuffle_operator.coordinator.state import JobState
from shuffle_operator.history.figures import TimelineSample
from shuffle_operator.history.lanes import NARROWEST
from shuffle_operator.history.workers import Slot

NOTHING = TimelineSample(0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0)


@dataclass(slots=True)
class Samples:
    """width: of the timeline's columns."""

    width: float = NARROWEST
    samples: list[TimelineSample] = field(default_factory=list)
    last: TimelineSample | None = None
    """The newest, which may be of a column that is not over."""

    def due(self, at: float) -> bool:
        return at >= (len(self.samples) + 1) * self.width

    def widen(self, width: float) -> None:
        """Columns became wider: those that end with a new one stay."""
        while self.width < width:
            self.samples = self.samples[1::2]
            self.width *= 2

    def add(self, state: JobState, slots: Iterable[Slot], at: float) -> None:
        """Where nothing was heard for several columns, counters rose evenly."""
        now = sample(state, slots)
        missing = int(at / self.width) - len(self.samples)
        before = self.samples[-1] if self.samples else NOTHING
        for n in range(1, missing + 1):
            self.samples.append(now if n == missing else between(before, now, n / missing))
        self.last = now

    def told(self, count: int, now: TimelineSample) -> list[TimelineSample]:
        """So many; the columns that have none yet are as it is now."""
        return [*self.samples[:count], *[now] * (count - len(self.samples))]


def sample(state: JobState, slots: Iterable[Slot]) -> TimelineSample:
    totals = state.ledger.facts.totals if state.ledger is not None else None
    spilled = resident = 0
    most = 0.0
    for slot in slots:
        spilled += slot.spilled
        resident += slot.resident
        if slot.budget:
            most = max(most, slot.resident / slot.budget)
    return TimelineSample(
        percent=round(state.percent, 1),
        rows_read=totals.rows_read if totals is not None else 0,
        bytes_read=totals.bytes_read if totals is not None else 0,
        bytes_sent=totals.bytes_sent if totals is not None else 0,
        bytes_spilled=spilled,
        rows_written=totals.rows_written if totals is not None else 0,
        bytes_written=totals.bytes_written if totals is not None else 0,
        workers=len(state.members),
        memory=resident,
        memory_most=round(most, 2),
    )


def between(one: TimelineSample, other: TimelineSample, share: float) -> TimelineSample:
    """Part of the way from one to the other."""

    def way(a: int, b: int) -> int:
        return int(a + (b - a) * share)

    return TimelineSample(
        percent=round(one.percent + (other.percent - one.percent) * share, 1),
        rows_read=way(one.rows_read, other.rows_read),
        bytes_read=way(one.bytes_read, other.bytes_read),
        bytes_sent=way(one.bytes_sent, other.bytes_sent),
        bytes_spilled=way(one.bytes_spilled, other.bytes_spilled),
        rows_written=way(one.rows_written, other.rows_written),
        bytes_written=way(one.bytes_written, other.bytes_written),
        workers=other.workers,
        memory=way(one.memory, other.memory),
        memory_most=other.memory_most,
    )
