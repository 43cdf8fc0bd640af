"""Which failures of a store another try may mend, and the backoff before it.

Bounded twice: by the number of tries and by the time they take together. Until a store has answered once, the bounds
are tight, so that a wrong endpoint is reported within seconds; afterwards they outlast a busy minute of a store. A job
may say how long its store may be away (`storageRetrySeconds`), which then holds from the first request on, unless the
store's very name is unknown. While a store is waited for, `OUTAGE` says so.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from shuffle_protocol.errors import StorageUnavailable

T = TypeVar("T")


class RetryPolicy(Struct, frozen=True):
    """How often, and for how long, a call to a store is tried."""

    tries: int
    """Attempts at most."""
    seconds: float
    """No new attempt is made after this many seconds."""
    base: float = 0.2
    cap: float = 10.0
    """`base`, `cap`: the pause before attempt n is drawn between half of and all of min(cap, base * 2**n): jitter, so
    that many workers do not come back at once."""
    answered: bool = False
    """The store has answered before, so that what fails now is no mistake of the job's, and another worker may try."""

    def pause(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        return min(self.cap, self.base * 2.0 ** min(attempt, 30)) * (0.5 + 0.5 * draw())


FIRST = RetryPolicy(tries=3, seconds=4.0, base=0.2)
"""Nothing was ever heard of this store."""

STEADY = RetryPolicy(tries=9, seconds=90.0, answered=True)
"""The store has answered before: 503, SlowDown and resets are transient."""


class Patience:
    """How long this process waits for a store."""

    seconds: float = 0.0
    """Seconds, where the job does not say; 0: as `FIRST` and `STEADY` have it. More in a cluster: nobody watches there,
    and an outage of minutes should cost no job."""


PATIENCE = Patience()


def bounds(patience: float, usual: RetryPolicy) -> RetryPolicy:
    """patience: seconds that the job gives its store; 0: it says nothing. usual: what holds where nobody says more."""
    patience = patience or PATIENCE.seconds
    return RetryPolicy(tries=MANY, seconds=patience, answered=usual.answered) if patience > 0 else usual


MANY = 1 << 20
"""Tries where the time alone is the bound."""
TOLD_AFTER = 3.0
"""Seconds of trouble before it is worth telling."""


class Outage:
    """What a process waits for: which of its threads try again, since when, and why. Used by any thread.

    Memory: an entry for each thread that waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[int, tuple[float, str]] = {}

    def began(self, since: float, why: str) -> None:
        self._waiting[threading.get_ident()] = (since, why)

    def ended(self) -> None:
        self._waiting.pop(threading.get_ident(), None)

    @property
    def said(self) -> str:
        """A sentence about the longest wait, "" where there is none to speak of. Its seconds are round, so that it does
        not change with every look."""
        waiting = min(list(self._waiting.values()), default=None)
        if waiting is None or self._clock() - waiting[0] < TOLD_AFTER:
            return ""
        since = self._clock() - waiting[0]
        return f"{waiting[1]} (tried again for {since // 10 * 10:.0f} s)" if since >= 10 else waiting[1]


OUTAGE = Outage()
"""Of this process."""


class Transient(Exception):
    """Raised inside `retried` for a failure worth another try; carries what to raise when the tries are spent.
    unknown: the store's name is not known at all, which is a mistake rather than an outage until it has answered
    once."""

    def __init__(self, final: StorageUnavailable, *, unknown: bool = False) -> None:
        super().__init__(final.message)
        self.final = final
        self.unknown = unknown


def retried(
    call: Callable[[], T],
    policy: Callable[[], RetryPolicy],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call until it succeeds, fails for good, or the policy's bounds are reached."""
    start = clock()
    attempt = 0
    try:
        while True:
            try:
                return call()
            except Transient as error:
                limits = policy()
                if error.unknown and not limits.answered:
                    limits = FIRST
                pause = limits.pause(attempt)
                attempt += 1
                if attempt >= limits.tries or clock() - start + pause > limits.seconds:
                    final = StorageUnavailable(f"{error.final.message} ({attempt} tries)")
                    final.refusal = not limits.answered
                    raise final from error.__cause__
                OUTAGE.began(start, error.final.message)
                sleep(pause)
    finally:
        if attempt:
            OUTAGE.ended()
