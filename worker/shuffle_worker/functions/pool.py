"""The processes of one function: one for each lease at work, kept for the next lease.

Starting a process and importing a module takes a second or more, so processes outlive leases. There are at most as many
as the worker carries out leases at once (its slots), each with its share of the memory. They end with the worker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shuffle_protocol.jobs import Job
from shuffle_worker.functions.host import Host, Setup
from shuffle_worker.functions.sources import ImportPath, prepare

Prepared = Callable[[Sequence[ImportPath]], Setup]
"""What each process gets, by where the job's code is imported from."""


class Hosts:
    """The job's code is fetched when the first process is wanted. Several threads call it.

    scratch: a folder for the code. expected: its digests by the plan, none while that is being made."""

    def __init__(self, job: Job, scratch: Path, expected: Sequence[str], prepared: Prepared) -> None:
        self._sources = job.functions.sources
        self._scratch = scratch
        self._expected = expected
        self._prepared = prepared
        self._setup: Setup | None = None
        self._fetching = threading.Lock()
        self._idle: list[Host] = []  # append and pop are atomic

    @property
    def code(self) -> list[str]:
        """The digests of the code that was fetched, as `Plan.code`."""
        return [place.sha256 for place in self._setup.places] if self._setup is not None else []

    @contextmanager
    def host(self) -> Iterator[Host]:
        """A process for this thread alone, until the block ends."""
        try:
            host = self._idle.pop()
        except IndexError:
            host = Host(self._fetched())
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

    def _fetched(self) -> Setup:
        with self._fetching:
            if self._setup is None:
                self._setup = self._prepared(prepare(self._sources, self._scratch / "functions", self._expected))
            return self._setup
