"""The calls of an input's `map`: batches of its rows through a function of the user's, in processes of its own.

    readers/mapped.py   calls it for all rows, while they are read
    inputs/mapped.py    calls it for samples, while the job is planned

Memory: what the process sends at a time (`results.SEND_BYTES`); the process has its share of what the job gives to
functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from shuffle_protocol.jobs import Job
from shuffle_worker.functions.failures import called_by_map, told_to_people
from shuffle_worker.functions.host import Host, Setup, Trouble
from shuffle_worker.functions.pool import Hosts
from shuffle_worker.functions.sources import ImportPath


class MapProcesses:
    """The processes of one input's function; they are started when they are wanted. Safe for several threads.

    given: the schema of its rows (a transport schema). wanted: of its results (a transport schema), None for any.
    expected: the digests of the job's code by the plan, none while it is being made."""

    def __init__(
        self,
        job: Job,
        number: int,
        given: pa.Schema,
        wanted: pa.Schema | None,
        memory: int,
        scratch: Path,
        expected: Sequence[str] = (),
    ) -> None:
        self._called = called = called_by_map(job, number)
        self._memory = memory

        def prepared(places: Sequence[ImportPath]) -> Setup:
            return Setup(called.function, places, given, wanted, memory, job.functions.seconds, gpu=job.gpu)

        self._hosts = Hosts(job, scratch, expected, prepared)

    @property
    def code(self) -> list[str]:
        """The digests of the code that it was imported from."""
        return self._hosts.code

    @contextmanager
    def host(self) -> Iterator[Host]:
        """A process that has imported the function, for this thread alone."""
        with self._hosts.host() as host:
            with self._told(lambda: ""):
                host.start()
            yield host

    def of(self, host: Host, batch: pa.RecordBatch, where: Callable[[], str]) -> Iterator[pa.RecordBatch]:
        """What the function returns for a batch, in pieces. where: its rows, for people. Raises the JobErrors of
        functions. A process whose results are not taken to the end is ended."""
        yield from self._whole(host.call(iter([batch]), [batch.num_rows], None), where)

    def stream(
        self, host: Host, batches: Iterator[pa.RecordBatch], where: Callable[[], str]
    ) -> Iterator[pa.RecordBatch]:
        """The same of a function that takes the batches one by one."""
        yield from self._whole(host.stream(batches, None), where)

    def close(self) -> None:
        self._hosts.close()

    def _whole(self, results: Iterator[pa.RecordBatch], where: Callable[[], str]) -> Iterator[pa.RecordBatch]:
        """The results, or the error for people."""
        with self._told(where):
            yield from results

    @contextmanager
    def _told(self, where: Callable[[], str]) -> Iterator[None]:
        try:
            yield
        except Trouble as trouble:
            raise told_to_people(trouble, lambda _: where(), self._called, self._memory) from trouble
