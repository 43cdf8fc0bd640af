"""Which failures of a store another try may mend, and the backoff before it.

The number of tries and the time that they take together bound the retries. Until a store has answered once the bounds
are tight, so that a wrong endpoint is reported within seconds. Afterwards they outlast a busy minute of a store. A job
can say how long its store may be away (`storageRetrySeconds`). That holds from the first request on, unless the store's
name is unknown. `OUTAGE` says that the process waits for a store.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec import Struct

from shuffle_protocol.errors import StorageUnavailable
from shuffle_worker.runtime.stopwatch import STORE, spending

T = TypeVar("T")


class RetryPolicy(Struct, frozen=True):
    """How often and how long to try a call to a store."""

    tries: int
    """The most attempts."""
    seconds: float
    """No attempt begins after this many seconds."""
    base: float = 0.2
    cap: float = 10.0
    """`base`, `cap`: the pause before attempt n is random, from half of min(cap, base * 2**n) to all of it, so that
    many workers do not come back at once."""
    answered: bool = False
    """The store has answered before. So a failure now is no mistake in the job, and another worker may try."""

    def pause(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        return min(self.cap, self.base * 2.0 ** min(attempt, 30)) * (0.5 + 0.5 * draw())


FIRST = RetryPolicy(tries=3, seconds=4.0, base=0.2)
"""For a store that has never answered."""

STEADY = RetryPolicy(tries=9, seconds=90.0, answered=True)
"""For a store that has answered before: 503, SlowDown and resets are transient."""


class Patience:
    """How long this process waits for a store."""

    seconds: float = 0.0
    """Seconds if the job does not say; 0: those of `FIRST` and `STEADY`. Longer in a cluster, where nobody watches and
    an outage of minutes should not fail a job."""


PATIENCE = Patience()


def bounds(patience: float, usual: RetryPolicy) -> RetryPolicy:
    """patience: seconds that the job gives its store; 0: it does not say. usual: the policy if it does not say."""
    patience = patience or PATIENCE.seconds
    return RetryPolicy(tries=MANY, seconds=patience, answered=usual.answered) if patience > 0 else usual


MANY = 1 << 20
"""Tries if only the time is to bound them."""
TOLD_AFTER = 3.0
"""Seconds of trouble before `Outage.said` mentions it."""


class _Calls(threading.local):
    """Those of a thread."""

    seconds: float | None = None
    """For which they may be tried again; None: as long as the policy says."""


_calls = _Calls()


@contextlib.contextmanager
def tried_for(seconds: float) -> Iterator[None]:
    """No call of this thread is tried again after so many seconds of trouble, however long the job waits for its
    store: for what the job can do without."""
    _calls.seconds = seconds
    try:
        yield
    finally:
        _calls.seconds = None


class Outage:
    """The stores that a process waits for: which threads are retrying, since when, and why. Any thread may use it.

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
        """A sentence about the longest wait; "" if there is none worth mentioning. It rounds the seconds, so that it
        does not change all the time."""
        waiting = min(list(self._waiting.values()), default=None)
        if waiting is None or self._clock() - waiting[0] < TOLD_AFTER:
            return ""
        since = self._clock() - waiting[0]
        return f"{waiting[1]} (tried again for {since // 10 * 10:.0f} s)" if since >= 10 else waiting[1]


OUTAGE = Outage()
"""The outages of this process."""


class Transient(Exception):
    """Raised inside `retried` for a failure that is worth another try. final: the error to raise after the last one.
    unknown: nobody knows the store's name, which is a mistake rather than an outage until the store has answered."""

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
    """Call until the call succeeds or fails for good, or the policy's bounds are reached."""
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
                seconds = limits.seconds if _calls.seconds is None else min(limits.seconds, _calls.seconds)
                pause = limits.pause(attempt)
                attempt += 1
                if attempt >= limits.tries or clock() - start + pause > seconds:
                    final = StorageUnavailable(f"{error.final.message} ({attempt} tries)")
                    final.refusal = not limits.answered
                    raise final from error.__cause__
                OUTAGE.began(start, error.final.message)
                with spending(STORE):
                    sleep(pause)
    finally:
        if attempt:
            OUTAGE.ended()
