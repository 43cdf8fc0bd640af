"""What an agent measures for figures that people look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from shuffle_protocol.measures import Received
from shuffle_protocol.messages import Phase

RECEIVED_EVERY = 4
"""Reports of which one says what was received from whom: up to 32 numbers, which nobody waits for."""


@dataclass(slots=True)
class Holding:
    """Seconds with a lease, once for each, but no more than there are slots: one that only waits for its shards to
    arrive while another is computed counts once with it."""

    slots: int
    seconds: float = 0.0
    _since: float = 0.0

    def note(self, leases: int) -> float:
        """To be called before their number changes, with the number until now. Returns the seconds so far."""
        now = asyncio.get_running_loop().time()
        self.seconds += (now - self._since) * min(leases, self.slots)
        self._since = now
        return self.seconds


@dataclass(slots=True)
class ReceivedReports:
    """What was received from whom, with every few reports."""

    received: Callable[[], Received | None]
    _reports: int = 0
    _phase: Phase | None = None

    def now(self, phase: Phase) -> Received | None:
        """With every `RECEIVED_EVERY`th report, and soon after the phase has changed."""
        self._reports += 1
        if phase is self._phase and self._reports % RECEIVED_EVERY:
            return None
        self._phase = phase
        return self.received()
