"""One pass a job at a time, level-triggered: what is asked for while a pass runs makes one more pass after it.

A pass that fails is tried again after a pause that doubles, with jitter; one that returns a number of seconds is run
again after so long. Jobs do not wait for each other, but for `at_once` passes in all, so that a burst of hundreds of
jobs does not open hundreds of connections. Nothing is kept of a job for which nothing is due.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from shuffle_operator.launchers.pauses import Pauses

log = logging.getLogger("shuffle.operator")

LONGEST_PASS = 900.0
"""Seconds after which a pass is broken off and tried again: each of its requests has a limit of its own, so this takes
a defect, or a webhook that is slow for hundreds of pods."""


class Watcher(Protocol):
    """Hears what happens, for the metrics."""

    def added(self) -> None: ...

    def began(self, waited: float) -> None: ...

    def ended(self, took: float, failed: bool) -> None: ...


@dataclass(slots=True)
class _Entry:
    """One job in the queue."""

    due: float | None = None
    """When the next pass may begin (None: nothing is asked for)."""
    asked: float = 0.0
    pauses: Pauses = field(default_factory=Pauses)
    running: bool = False
    """A pass waits for room or is at work."""
    working: bool = False
    """It is at work."""
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class WorkQueue:
    """A queue of jobs to look at, one pass a job at a time."""

    work: Callable[[str], Awaitable[float | None]]
    """One pass. Returns the seconds until the next one, None for no other; an exception is a failure."""
    at_once: int = 32
    watcher: Watcher | None = None
    longest: float = LONGEST_PASS
    clock: Callable[[], float] = time.monotonic
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _room: asyncio.Semaphore | None = None
    _closed: bool = False

    def wake(self, key: str, after: float = 0.0) -> None:
        """A pass is due, in `after` seconds at the latest. May be called at any time in the event loop's thread."""
        if self._closed:
            return
        entry = self._entries.setdefault(key, _Entry())
        now = self.clock()
        if entry.due is None and self.watcher is not None:
            self.watcher.added()
        if entry.due is None or now + after < entry.due:
            entry.due = now + after
            entry.asked = entry.due
            if not entry.running:
                self._arm(key, entry)

    def _arm(self, key: str, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        assert entry.due is not None
        delay = max(0.0, entry.due - self.clock())
        entry.timer = asyncio.get_running_loop().call_later(delay, self._begin, key, entry)

    def _begin(self, key: str, entry: _Entry) -> None:
        entry.timer = None
        entry.running = True
        task = asyncio.get_running_loop().create_task(self._pass(key, entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, key: str, entry: _Entry) -> None:
        if self._room is None:
            self._room = asyncio.Semaphore(self.at_once)
        again: float | None = None
        failed = False
        async with self._room:
            began = self.clock()
            if self.watcher is not None:
                self.watcher.began(began - entry.asked)
            entry.due, entry.working = None, True
            try:
                async with asyncio.timeout(self.longest):
                    again = await self.work(key)
            except Exception as error:
                failed = True
                log.log(_level(error), "a pass over job %s failed: %s", key, error, exc_info=_is_defect(error))
            took = self.clock() - began
        entry.running = entry.working = False
        if self.watcher is not None:
            self.watcher.ended(took, failed)
        if failed:
            due = self.clock() + entry.pauses.failed(self.clock())
            entry.due = due  # what was asked for meanwhile waits as well: it would fail as well
            entry.asked = due
        else:
            entry.pauses.worked()
            if again is not None and (entry.due is None or self.clock() + again < entry.due):
                entry.due = entry.asked = self.clock() + again
        if self._closed:
            return
        if entry.due is not None:
            self._arm(key, entry)
        elif self._entries.get(key) is entry:
            del self._entries[key]

    @property
    def depth(self) -> int:
        """Passes that are due now and have not begun."""
        now = self.clock()
        return sum(1 for e in self._entries.values() if e.due is not None and e.due <= now and not e.running)

    @property
    def oldest(self) -> float:
        """Seconds that the pass which is due for longest has been waiting; one that is at work waits no longer."""
        now = self.clock()
        waiting = (now - e.due for e in self._entries.values() if e.due is not None and not e.working)
        return max(0.0, max(waiting, default=0.0))

    async def close(self) -> None:
        """No further passes; those that run are broken off."""
        self._closed = True
        for entry in self._entries.values():
            if entry.timer is not None:
                entry.timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _level(error: Exception) -> int:
    """A failed pass; a job that changed while its status was written is no reason for concern."""
    return logging.INFO if getattr(error, "reason", "") == "Conflict" else logging.WARNING


def _is_defect(error: Exception) -> bool:
    from shuffle_operator.kube.api import KubeError

    return not isinstance(error, KubeError)
