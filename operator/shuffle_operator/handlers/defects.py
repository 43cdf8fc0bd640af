"""When the operator gives a job up: an exception comes again and again.

An exception in a coordinator is a defect, or caused by a worker that sends false reports. It must not stop other jobs,
and it must not be tried again for ever: a machine that raised in the midst of an event may be of no use any more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MOST = 5
WITHIN = 300.0
"""Seconds within which so many exceptions give a coordinator up. One now and then is survived: every event can come
twice, so what it was about comes again."""


@dataclass(slots=True)
class Defects:
    """Bounded: the times of the last `MOST`."""

    said: str = ""
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))

    def add(self, error: BaseException, now: float) -> bool:
        """One more. Returns whether that is enough."""
        self.said = f"{type(error).__name__}: {error}"
        self._times.append(now)
        return self.enough(now)

    def enough(self, now: float) -> bool:
        return len(self._times) == MOST and now - self._times[0] < WITHIN

    def sentence(self, what: str) -> str:
        return f"{what} failed {MOST} times ({self.said}), which is a defect of the operator; its log has the details"
