"""An event loop on virtual time: whoever sleeps is woken at once, in order, and the clock says it took that long.

Nothing in it depends on the machine, so a run is decided by its seed alone.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(Exception):
    """Everybody waits for something that nobody will do."""


class OutOfTime(Exception):
    """The virtual time limit was reached."""


class _Selector(selectors.SelectSelector):
    """Never waits: moves the loop's clock on to the next thing that is due."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.limit = float("inf")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock(f"at {self.now:.3f} s nothing is due any more")
        self.now += max(0.0, timeout)
        if self.now > self.limit:
            raise OutOfTime(f"not over after {self.limit:.0f} s")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtual(main: Coroutine[Any, Any, T], limit: float) -> T:
    """Run to the end, at most `limit` seconds of virtual time."""
    loop = VirtualLoop()
    loop._virtual.limit = limit
    try:
        return loop.run_until_complete(main)
    finally:
        loop._virtual.limit = float("inf")
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()
