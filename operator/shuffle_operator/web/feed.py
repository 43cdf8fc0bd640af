"""One job's live document for all who look at it: made once a second, and only while somebody does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.updates import LiveDocument, NumberedUpdate

log = logging.getLogger("shuffle.web")

PERIOD = 1.0
"""Seconds between two looks at the job."""


@dataclass(slots=True)
class Feed:
    """history: of the job as it is now; None: it is gone."""

    history: Callable[[], JobHistory | None]
    period: float = PERIOD
    live: LiveDocument = field(default_factory=LiveDocument)
    listeners: int = 0
    over: bool = False
    """Nothing new will come."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _looking: asyncio.Task[None] | None = None
    _broken: bool = False
    """The last look raised, which the log says once."""

    async def listen(self, seen: str, heartbeat: float) -> AsyncGenerator[NumberedUpdate | None]:
        """What a page lacks that has seen up to an id, then what is new; None where there was nothing for `heartbeat`
        seconds. Ends when the job is over and all was given."""
        self.listeners += 1
        try:
            if self._looking is None:
                self.look()
                self._looking = asyncio.create_task(self._watch())
            while True:
                changed, over, number = self._changed, self.over, self.live.number
                for update in self.live.since(seen):
                    seen = update.id
                    yield update
                if number != self.live.number:
                    continue  # more came while that was sent
                if over:
                    return
                try:
                    await asyncio.wait_for(changed.wait(), heartbeat)
                except TimeoutError:
                    yield None
        finally:
            self.listeners -= 1
            if not self.listeners:
                self.stop()

    def stop(self) -> None:
        """Look at the job no longer, until somebody listens again."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _watch(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while not self.over:
                await asyncio.sleep(self.period)
                self.look()

    def look(self) -> None:
        """At the job as it is now. Pages say by themselves that nothing new comes."""
        try:
            history = self.history()
            changed = history is not None and self.live.show(history)
        except Exception as error:
            if not self._broken:
                log.error("a job cannot be shown", exc_info=error)
            self._broken = True
            return
        self._broken = False
        self.over = history is None or history.progress.over
        if changed or self.over:
            self._changed.set()
            self._changed = asyncio.Event()
