"""The pause before a refused request is made again: it doubles up to a limit, with jitter, and begins anew after a
success. Wherever the operator waits for somebody else to change something."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST = 0.5
LONGEST = 30.0


@dataclass(slots=True)
class Pauses:
    """Seconds."""

    first: float = FIRST
    longest: float = LONGEST
    failures: int = 0
    """Failures in a row."""
    until: float = 0.0
    draw: Callable[[float, float], float] = random.uniform

    def failed(self, now: float) -> float:
        """Returns the pause that begins."""
        pause = min(self.longest, self.first * 2.0 ** min(self.failures, 16)) * self.draw(0.75, 1.25)
        self.failures += 1
        self.until = now + pause
        return pause

    def worked(self) -> None:
        self.failures, self.until = 0, 0.0

    def left(self, now: float) -> float:
        """Seconds that are left of the pause."""
        return max(0.0, self.until - now)
