"""When a job waits for its store: noted once when that begins and once when it goes on, and no part of its working
time.

Workers say what they wait for with every report (`Sync.waiting_reason`). A store that answers now and then is one
outage: it is over when nobody has waited for `CALM` seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.members import Live
from shuffle_protocol.units import duration

CALM = 10.0
MOST = 20
"""Outages of which notes are made. Kubernetes keeps few events of a job, and how it ends must be among them."""


@dataclass(slots=True)
class Waits:
    """Workers that wait for a store."""

    why: str = ""
    """What is waited for, in the store's own words; "" where nobody waits."""
    outages: int = 0
    """So far, this one too."""
    seconds: float = 0.0
    """Seconds waited so far, each weighted by the share of the workers with work to do that waited then."""
    _since: float = 0.0
    _last: float = 0.0
    _looked: float | None = None
    _marks: dict[float, float] = field(default_factory=dict)  # a moment -> seconds that had been waited then

    def follow(self, members: Collection[Live], moments: Collection[float | None], now: float) -> list[Note]:
        """To be called about every second. moments: since which it will be asked what was waited."""
        waiting = [live for live in members if live.waiting_reason]
        if waiting and self._looked is not None:
            busy = sum(bool(live.holding or live.waiting_reason) for live in members)
            self.seconds += (now - self._looked) * len(waiting) / busy
        self._looked = now
        self._marks = {at: self._marks.get(at, self.seconds) for at in moments if at is not None}
        if waiting:
            self._last = now
            return [] if self.why else self._begin(waiting[0], now)
        return self._end() if self.why and now - self._last >= CALM else []

    def _begin(self, live: Live, now: float) -> list[Note]:
        self.why, self._since = live.waiting_reason, now
        self.outages += 1
        return self._note("WaitingForStorage", f"worker {live.worker} waits: {live.waiting_reason}", warning=True)

    def _end(self) -> list[Note]:
        self.why = ""
        took = duration(max(1.0, round(self._last - self._since)))
        return self._note("StorageAnswers", f"the store answers again after {took}, and the job goes on")

    def _note(self, reason: str, message: str, *, warning: bool = False) -> list[Note]:
        """With its number from the second on: the same words twice would be taken for the same event."""
        if self.outages > MOST:
            return []
        return [Note(reason, message if self.outages == 1 else f"{message} (outage {self.outages})", warning)]

    def between(self, start: float, end: float | None) -> float:
        """Seconds that were waited from one of the moments to another; end None: until now."""
        until = self.seconds if end is None else self._marks.get(end, self.seconds)
        return max(0.0, until - self._marks.get(start, self.seconds))
