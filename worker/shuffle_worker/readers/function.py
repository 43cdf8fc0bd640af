"""A reader function of the user's own: `package.module:function`, (path, columns) -> Arrow or a data frame.

It is called in processes of its own (`functions/`), once for each file and reading, and may return a table, a record
batch, a data frame, a `RecordBatchReader`, or an iterator of them; with the last two a file of any size is read in
little memory. `columns` names what is wanted, None for all; more than that may be returned, and is left out.

What the function returns for one path must not change from call to call: a worker that is lost has its files read again
by others. Memory: the batch that came last; the process has the memory that the job gives to functions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from shuffle_protocol.errors import DataError, JobError, UserFunctionFailed
from shuffle_protocol.jobs import Job
from shuffle_worker.expressions.typed.statistics import ColumnRange
from shuffle_worker.functions.failures import failed_call
from shuffle_worker.functions.host import Setup, Trouble
from shuffle_worker.functions.pool import Hosts
from shuffle_worker.functions.sources import ImportPath
from shuffle_worker.readers.source import STREAM_SPAN, sliced
from shuffle_worker.storage.storage import Info

FEW = 8
"""Batches of about 2 MiB that are taken to the end of a file where no more are wanted."""

GUESS = 64.0
"""Bytes of a file that make a row, where the function was not called to see."""


class ReaderProcesses:
    """The processes of one input's reader function; they are started when they are wanted. expected: the digests of the
    job's code by the plan, none while it is being made. Safe for several threads."""

    def __init__(self, job: Job, number: int, memory: int, scratch: Path | None, expected: Sequence[str] = ()) -> None:
        self.name = job.inputs[number].reader
        self._field = f"inputs[{number}].reader"
        self._memory = memory
        name, gpu = self.name, job.gpu

        def prepared(places: Sequence[ImportPath]) -> Setup:
            return Setup(name, places, pa.schema([]), None, memory, 0, reader=True, gpu=gpu)

        self._hosts = Hosts(job, scratch or Path(), expected, prepared)

    @property
    def code(self) -> list[str]:
        """The digests of the code that it was imported from."""
        return self._hosts.code

    def read(self, path: str, columns: Sequence[str] | None, found: list[pa.Schema]) -> Iterator[pa.RecordBatch]:
        """What the function gives for a path, in plain types. found: gets the schema that it gave, before its rows."""
        with self._hosts.host() as host:
            results = host.read(path, columns, None)
            try:
                for batch in results:
                    if host.schema is not None:
                        found[:] = [host.schema]
                    yield batch
                if host.schema is not None:
                    found[:] = [host.schema]
            except GeneratorExit:
                # a process whose results nobody takes is ended, and the next must import everything again
                with contextlib.suppress(Trouble):
                    for _ in islice(results, FEW):
                        pass
                results.close()
                raise
            except Trouble as trouble:
                raise self._told(trouble, path) from trouble

    def close(self) -> None:
        self._hosts.close()

    def _told(self, trouble: Trouble, path: str) -> JobError:
        where = f"for {path}"
        if trouble.kind == "differs":
            first, _, _ = trouble.message.partition("\n")
            return UserFunctionFailed(f"{self._field}: {self.name}: {first}, or an iterator of them\n{where}")
        cure = "give functions more (spec.functions.memory), or have it yield record batches"
        return failed_call(trouble, self._field, self.name, lambda: where, self._memory, cure)


@contextmanager
def calls_of(job: Job, memory: int, scratch: Path | None) -> Iterator[list[ReaderProcesses | None]]:
    """For each input of a job that is being planned, its function's processes; None where it has no function."""
    with contextlib.ExitStack() as stack:
        found: list[ReaderProcesses | None] = []
        for number, source in enumerate(job.inputs):
            calls = ReaderProcesses(job, number, memory, scratch) if source.reader else None
            if calls is not None:
                stack.callback(calls.close)
            found.append(calls)
        yield found


class ReaderFunctionSource:
    """A `Source`: what the function returns for one file. schema: as the plan has it, None where the first batch shows
    it."""

    counted = False

    def __init__(self, info: Info, calls: ReaderProcesses, schema: pa.Schema | None) -> None:
        self.path = info.path
        self._size = info.size
        self._calls = calls
        self._row_bytes = GUESS
        self.schema: pa.Schema = schema if schema is not None else self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        return

    @property
    def groups(self) -> int:
        return 1

    @property
    def footer(self) -> object:
        return None

    @property
    def whole_groups(self) -> bool:
        return False

    def rows(self, group: int) -> int:  # noqa: ARG002
        return max(int(self._size / self._row_bytes), 1)

    def span(self, group: int) -> int:  # noqa: ARG002
        return STREAM_SPAN

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:  # noqa: ARG002
        return self._size

    def column_range(self, group: int, name: str) -> ColumnRange | None:  # noqa: ARG002
        return None

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        wanted = list(names)
        for _ in groups:
            for batch in self._calls.read(self.path, wanted, []):
                lacking = next((name for name in wanted if name not in batch.schema.names), None)
                if lacking is not None:
                    raise DataError(
                        f"{self.path}: {self._calls.name} returned no column {lacking!r}; it returned "
                        f"{', '.join(batch.schema.names) or 'no columns'}; where files differ declare inputs[].schema "
                        "and return nulls for what a file lacks"
                    )
                yield from sliced(batch.select(wanted), rows)

    def _look(self) -> pa.Schema:
        """The columns of what it returns; that is read no further than to its first rows."""
        found: list[pa.Schema] = []
        for batch in self._calls.read(self.path, None, found):
            self._row_bytes = max(batch.nbytes / max(batch.num_rows, 1), 1.0)
            break
        if not found:
            raise DataError(
                f"{self.path}: {self._calls.name} returned an iterator without a single batch, so its columns are not "
                "known; declare them in inputs[].schema, or return an empty batch"
            )
        return found[0]
