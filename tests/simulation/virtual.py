"""An event loop on virtual time: whoever sleeps is woken at once, in order, and the clock says it took that long.

Nothing in it depends on the machine, so a run is decided by its seed alone.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

RESOLUTION = 1e-9
"""Seconds: what is due within as much is due at once."""


class Deadlock(Exception):
    """Everybody waits for something that nobody will do."""


class OutOfTime(Exception):
    """The virtual time limit was reached."""


class _Nothing(selectors.SelectSelector):
    """There is neither a socket nor a file to wait for."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class _Call(asyncio.Handle):
    """What asyncio's own is, without its questions about debugging: a run makes thousands of them."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], loop: VirtualLoop, context: Context | None):
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._repr = self._source_traceback = None


class _Timer(asyncio.TimerHandle):
    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: Context | None,
    ):
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._scheduled = True
        self._repr = self._source_traceback = None


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's, with what a run spends its time in made short: calls, timers and the pass over both. Ties between
    timers are settled as asyncio settles them, so that a seed means the same run."""

    def __init__(self) -> None:
        self.now = 0.0
        self.limit = float("inf")
        super().__init__(_Nothing())
        self._timers: list[tuple[float, _Timer]] = []

    def time(self) -> float:
        return self.now

    def _call_soon(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None = None
    ) -> asyncio.Handle:
        call = _Call(callback, args, self, context)
        self._ready.append(call)
        return call

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        call = _Call(callback, args, self, context)
        self._ready.append(call)
        return call

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays where it is until its time comes."""

    def create_task(self, coro: Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
        return asyncio.Task(coro, loop=self, **options)

    def _run_once(self) -> None:
        """One pass: moves the clock on to the next thing that is due, and does what is due."""
        timers, ready = self._timers, self._ready
        while timers and timers[0][1]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:
            if not timers:
                raise Deadlock(f"at {self.now:.3f} s nothing is due any more")
            self.now += max(0.0, timers[0][0] - self.now)
        if self.now > self.limit:
            raise OutOfTime(f"not over after {self.limit:.0f} s")
        due = self.now + RESOLUTION
        while timers and timers[0][0] < due:
            ready.append(heapq.heappop(timers)[1])
        for _ in range(len(ready)):
            call = ready.popleft()
            if not call._cancelled:
                call._run()


def run_virtual(main: Coroutine[Any, Any, T], limit: float) -> T:
    """Run to the end, at most `limit` seconds of virtual time."""
    loop = VirtualLoop()
    loop.limit = limit
    try:
        return loop.run_until_complete(main)
    finally:
        loop.limit = float("inf")
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()
