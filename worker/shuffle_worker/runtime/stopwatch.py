"""What a worker spends its time on: a stopwatch that any thread may use, for figures that people look at.

    with spending(READ):          from here on this thread's time is spent on reading
        with spending(STORE):     but for this, which counts as waiting for the store alone

Two readings of the clock and some additions for each block: a microsecond, so blocks are to be as long as a batch.
Memory: a few numbers for each thread that lives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from shuffle_protocol.measures import Spent

T = TypeVar("T")

READ: Final = 0
COMPUTE: Final = 1
DISK: Final = 2
WRITE: Final = 3
STORE: Final = 4
JOB: Final = 5
_ALL = 6

clock = time.perf_counter


class _Watch:
    """One thread's. Only that thread changes it."""

    __slots__ = ("on", "seconds", "since", "thread")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.seconds = [0.0] * _ALL
        self.on = -1
        """What it is spending its time on; -1: nothing that counts."""
        self.since = 0.0

    def switch(self, to: int) -> int:
        """Returns what it was spending its time on."""
        now, before = clock(), self.on
        if before >= 0:
            self.seconds[before] += now - self.since
        self.on, self.since = to, now
        return before

    def so_far(self) -> list[float]:
        """With what is under way; another thread may ask, and then it is about that."""
        found, on, since = list(self.seconds), self.on, self.since
        if on >= 0:
            found[on] += max(0.0, clock() - since)
        return found


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.watch = _Watch()
        with _lock:
            _watches.append(self.watch)


_lock = threading.Lock()
_watches: list[_Watch] = []
_ended = [0.0] * _ALL
"""Of threads that are no more."""
_mine = _OfThread()


@contextmanager
def spending(what: int) -> Iterator[None]:
    """This thread's time counts as spent on that. Around no `yield` of a generator: its caller's time would count."""
    watch = _mine.watch
    before = watch.switch(what)
    try:
        yield
    finally:
        watch.switch(before)


def spent() -> Spent:
    """By all threads of this process so far."""
    with _lock:
        for watch in [watch for watch in _watches if not watch.thread.is_alive()]:
            _watches.remove(watch)
            _ended[:] = [before + more for before, more in zip(_ended, watch.seconds, strict=True)]
        found = [_ended, *(watch.so_far() for watch in _watches)]
    return Spent(*(sum(each) for each in zip(*found, strict=True)))


def measured(what: int, call: Callable[..., T], *arguments: object) -> tuple[T, list[float]]:
    """Call, counting the time as spent on `what` where nothing in it says otherwise. Returns what the call spent its
    time on, as well."""
    watch = _mine.watch
    before = watch.so_far()
    with spending(what):
        result = call(*arguments)
    return result, [now - then for now, then in zip(watch.so_far(), before, strict=True)]


def added(one: Spent | None, more: list[float]) -> Spent:
    """one: None for nothing so far."""
    if one is None:
        return Spent(*more)
    read, compute, disk, write, store, job = more
    return Spent(
        one.read + read,
        one.compute + compute,
        one.disk + disk,
        one.write + write,
        one.store + store,
        one.job + job,
        one.blocked,
        one.held,
    )


def each_in(what: int, some: Iterator[T]) -> Iterator[T]:
    """The same items; what it takes to make each counts as spent on `what`."""
    while True:
        with spending(what):
            item = next(some, _END)
        if item is _END:
            return
        yield item  # type: ignore[misc]


_END: Final = object()
