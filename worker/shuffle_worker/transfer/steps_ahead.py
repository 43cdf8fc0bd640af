"""The steps of a split, computed in a thread while the one before is sent.

    compute thread   step 1, step 2 ....... step 3, ...    goes on by itself as long as only one step waits
    event loop       .......... sends 1 ... sends 2, ...

A thread that had to be asked for each step would wait after every one of them for the event loop, which is busy with
frames.

Memory: two steps at any moment. One is sent, the other is computed or waits to be sent. Where the next lease begins as
soon as all are computed, the last of this one may wait beside its first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from threading import Lock

from shuffle_worker.runtime.stopwatch import COMPUTE, measured
from shuffle_worker.transfer.threads import Run
from shuffle_worker.transfer.work import Step

MOST = 2
"""Steps at any moment."""


class StepsAhead:
    """Of one lease. Used in one event loop: `next` until there are no more, `close` however that ends.

    computed: called in the event loop as soon as there is nothing left to compute; steps may still wait to be sent."""

    def __init__(self, steps: Iterator[Step], compute: Run, computed: Callable[[], None]) -> None:
        self._steps = steps
        self._compute = compute
        self._all_computed = computed
        self._run: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._sending = 0
        self._lock = Lock()  # the thread and the event loop both use what follows
        self._computed: deque[tuple[Step | None, list[float]]] = deque()
        self._there = 0  # steps that are computed and not sent
        self._computing = False
        self._over = False

    async def next(self) -> tuple[Step | None, list[float]]:
        """The next step, None at the end, and what making it took. The one before is sent. Raises what `steps`
        raises."""
        self._begin()
        while not self._computed:
            assert self._run is not None
            if self._run.done():
                self._run.result()
            self._news.clear()
            await self._news.wait()
        self._sending = 1
        return self._computed.popleft()

    async def close(self) -> None:
        """A thread cannot be stopped: this waits until it is done with its step."""
        with self._lock:
            self._over = True
        if self._run is not None:
            await asyncio.wait([self._run])
            if not self._run.cancelled():
                self._run.exception()  # already raised where it was awaited

    def _begin(self) -> None:
        """A step is sent: compute on, unless that goes on anyway."""
        with self._lock:
            self._there -= self._sending
            self._sending = 0
            begins = not self._computing and not self._over and self._there < MOST
            self._computing = self._computing or begins
        if begins:
            self._run = asyncio.ensure_future(self._compute(self._compute_on))
            self._run.add_done_callback(lambda _: self._news.set())

    def _compute_on(self) -> None:
        """In a thread."""
        while self._compute_one():
            pass

    def _compute_one(self) -> bool:
        """Returns whether to go on."""
        found = measured(COMPUTE, next, self._steps, None)
        with self._lock:
            self._computed.append(found)
            self._there += 1
            self._over = self._over or found[0] is None
            self._computing = goes_on = not self._over and self._there < MOST
        self._loop.call_soon_threadsafe(self._news.set)
        if found[0] is None:
            self._loop.call_soon_threadsafe(self._all_computed)
        return goes_on
