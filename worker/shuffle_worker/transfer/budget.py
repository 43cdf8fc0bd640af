"""A number of bytes that several tasks share: take some, wait while there are none left.

This is the backpressure between workers. A receiver whose budget is used up stops reading from the network, and so its
senders wait too.
"""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """At most `limit` bytes are out at a time. A larger item gets through alone, so a single item may overshoot the
    budget. First come, first served, so that small items do not starve a large one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._full = limit
        self.used = 0
        self._waited, self._since = 0.0, 0.0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def waited(self, now: float) -> float:
        """Seconds in which somebody waited. now: of the event loop's clock."""
        return self._waited + (now - self._since if self._waiting else 0.0)

    def take_now(self, size: int) -> bool:
        """Take it if nobody has to wait."""
        if self._waiting or (self.used and self.used + size > self.limit):
            return False
        self.used += size
        return True

    async def take(self, size: int) -> None:
        if self.take_now(size):
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        entry = (size, turn)
        if not self._waiting:
            self._since = loop.time()
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                self._admit(without=entry)
            raise

    def narrow(self, limit: int) -> None:
        """Let less out for a while; what is out stays so."""
        self.limit = min(limit, self._full)

    def widen(self) -> None:
        """As at the start."""
        self.limit = self._full
        self._admit()

    def give(self, size: int) -> None:
        self.used -= size
        self._admit()

    def _admit(self, without: tuple[int, asyncio.Future[None]] | None = None) -> None:
        """without: one that waits no more, and that may have been passed over already."""
        if not self._waiting:
            return
        if without is not None and without in self._waiting:
            self._waiting.remove(without)
        self._let_in()
        if not self._waiting:
            self._waited += asyncio.get_running_loop().time() - self._since

    def _let_in(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
                continue
            if self.used and self.used + size > self.limit:
                return
            self._waiting.popleft()
            self.used += size
            turn.set_result(None)
