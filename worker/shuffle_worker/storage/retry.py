"""Which failures of a store another try may mend, and how long to wait before it.

Bounded twice: by the number of tries and by the time they take together. Until a store has answered once, the bounds
are tight, so that a wrong endpoint is said within seconds; afterwards they outlast a busy minute of a store.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from shuffle_worker.errors import StorageUnavailable

T = TypeVar("T")


class RetryPolicy(Struct, frozen=True):
    """tries: the most attempts. seconds: no new attempt after these. base, cap: the pause before attempt n is drawn
    between half of and all of min(cap, base * 2**n): jitter, so that many workers do not come back at once. weather:
    the store has answered before, so that what fails now is no mistake of the job's, and another worker may try."""

    tries: int
    seconds: float
    base: float = 0.2
    cap: float = 10.0
    weather: bool = False

    def pause(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        return min(self.cap, self.base * 2.0**attempt) * (0.5 + 0.5 * draw())


FIRST = RetryPolicy(tries=3, seconds=4.0, base=0.2)
"""Nothing was ever heard of this store."""

STEADY = RetryPolicy(tries=9, seconds=90.0, weather=True)
"""The store has answered before: 503, SlowDown and resets are weather."""


class Transient(Exception):
    """Raised inside `retried` for a failure worth another try; carries what to raise when the tries are spent."""

    def __init__(self, final: StorageUnavailable) -> None:
        super().__init__(final.message)
        self.final = final


def retried(
    call: Callable[[], T],
    policy: Callable[[], RetryPolicy],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call until it succeeds, fails for good, or the policy's bounds are reached."""
    start = clock()
    attempt = 0
    while True:
        try:
            return call()
        except Transient as error:
            bounds = policy()
            pause = bounds.pause(attempt)
            attempt += 1
            if attempt >= bounds.tries or clock() - start + pause > bounds.seconds:
                final = StorageUnavailable(f"{error.final.message} ({attempt} tries)")
                final.refusal = not bounds.weather
                raise final from error.__cause__
            sleep(pause)
