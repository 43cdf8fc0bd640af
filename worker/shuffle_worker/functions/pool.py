"""The processes of one function: one for each lease at work, kept for the next lease.

Starting a process and importing a module takes a second or more, so processes outlive leases. There are at most as many
as the worker carries out leases at once (its slots), each with its share of the memory. They end with the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shuffle_worker.functions.host import Host, Setup


class Hosts:
    """Several threads call it."""

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
        """End the idle processes."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        self.close()
