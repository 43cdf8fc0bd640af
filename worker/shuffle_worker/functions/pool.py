"""The processes of one function: one for each lease at work, kept for the next lease.

Starting one and importing a module takes a second or more, so they outlive leases. Bounded by the leases that a worker
carries out at once (its slots); each has its share of the memory. They end with the worker's process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shuffle_worker.functions.host import Host, Setup


class Hosts:
    """Calls come from several threads."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._idle: list[Host] = []  # append and pop are atomic

    @contextmanager
    def host(self) -> Iterator[Host]:
        """A process for this thread alone, until the block ends."""
        try:
            host = self._idle.pop()
        except IndexError:
            host = Host(self.setup)
        try:
            yield host
        finally:
            self._idle.append(host)

    def close(self) -> None:
        """End the processes that are idle."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        self.close()
