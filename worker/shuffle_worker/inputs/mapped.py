"""An input whose rows go through a function of the user's, `inputs[].map`: what it returns, while the job is planned.

It is called for a sample before anything else is decided, so a function that is not there, raises, or returns something
else than was declared is refused in the plan. What it returned says how many rows it makes of one, how large they are
and, where the job declares no columns, which columns there are. Later looks at the input's rows call it again (`of`).

One process, for one caller at a time. Memory: a sample, and what the function makes of it.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.errors import InvalidSpec, JobError
from shuffle_protocol.jobs import Job
from shuffle_worker.columns.kinds import is_carried
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.columns.type_names import schema_of_names
from shuffle_worker.functions.conform import conformed
from shuffle_worker.functions.differs import Differs
from shuffle_worker.functions.failures import CalledFunction, called_by_map, told_to_people
from shuffle_worker.functions.host import Trouble
from shuffle_worker.functions.inferred import common_schema, unknown
from shuffle_worker.functions.mapping import MapProcesses
from shuffle_worker.functions.shapes import STREAMED, Shape
from shuffle_worker.inputs.probe import GROUPS, MAPPED_ROWS, RowGroupRef, first_kept, guessed_bytes, spread
from shuffle_worker.inputs.reading import FoundFile
from shuffle_worker.plan import sizing
from shuffle_worker.readers.shape import ResultShaper

CALL_SECONDS = 2e-3
ROW_SECONDS = 0.5e-6
"""Of a function that does a few things to each column."""


class MapSample(NamedTuple):
    """What the function made of a sample."""

    given: int
    """Rows."""
    rows: pa.Table
    """Its results, of the transport schema of all its columns."""
    seconds: float
    """Of its calls."""


class MappedTable:
    """What the function makes of an input."""

    def __init__(
        self,
        given: pa.Schema,
        result: pa.Schema,
        calls: PlannedMap,
        rows: int,
        sample: MapSample,
        sent: pa.Schema | None = None,
    ) -> None:
        self.given = given
        """The columns that it is given, as they are declared."""
        self.result = result
        self.sent = transport_schema(result) if sent is None else sent
        """The transport schema of what comes to the operation."""
        self.shape = calls.shape
        self.rows = rows
        self.sample = sample
        """Its rows are of the schema of what comes to the operation."""
        self._calls = calls
        self._shaper = ResultShaper(calls.function, result, self.sent)

    def in_union(self, sent: pa.Schema) -> MappedTable:
        """The same in the columns of a union. sent: the transport schema of those that are needed."""
        shaper = ResultShaper(self._calls.function, self.result, sent)
        (batch,) = self.sample.rows.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], self.sent)]
        rows = pa.Table.from_batches([shaper.shape(batch)])
        return MappedTable(self.given, self.result, self._calls, self.rows, self.sample._replace(rows=rows), sent)

    @property
    def given_names(self) -> list[str]:
        return list(self.given.names)

    @property
    def growth(self) -> float:
        """Rows that it makes of one."""
        return self.sample.rows.num_rows / self.sample.given if self.sample.given else 1.0

    def seconds(self, rows: float, timed: bool) -> float:
        """Processor time for so many rows. timed: by the calls for the sample; else as such functions usually take,
        because a plan is the same whenever it is made."""
        if timed and self.sample.given:
            return self.sample.seconds / self.sample.given * rows
        return rows * ROW_SECONDS + rows / max(self.rows, 1) * CALL_SECONDS

    def of(self, batch: pa.RecordBatch, path: str) -> pa.RecordBatch:
        return self._shaper.shape(self._calls.of(batch, path, self.rows, transport_schema(self.result)))


class PlannedMap:
    """The function of an input of a job that is being planned. scratch: a folder for its code."""

    def __init__(self, job: Job, number: int, memory: int, scratch: Path) -> None:
        self._job = job
        self._number = number
        self._memory = memory
        self._scratch = scratch
        self._called: CalledFunction = called_by_map(job, number)
        self._calls: MapProcesses | None = None
        self._given = pa.schema([])
        self._lock = threading.Lock()
        self.shape = Shape.TABLE

    @property
    def function(self) -> str:
        return self._called.function

    @property
    def code(self) -> list[str]:
        """The digests of the code that it was imported from."""
        return self._calls.code if self._calls is not None else []

    def table(self, files: list[FoundFile], groups: list[RowGroupRef], given: pa.Schema) -> MappedTable:
        """files: of the input, as they are read. groups: those that may have rows. given: the columns that the function
        gets. Raises the JobErrors of bad functions."""
        self._given = transport_schema(given)
        declared = self._declared()
        self._start(None if declared is None else transport_schema(declared))
        seen = [batch for at in spread(groups, GROUPS) for batch in self._seen(files[at.file], at, len(groups))]
        size, rows = sum(one.nbytes for one, _ in seen), sum(one.num_rows for one, _ in seen)
        each = sizing.call_rows(size / rows if rows else guessed_bytes(self._given))
        began = time.perf_counter()
        results = [table for batch, path in seen for table in self._returned(batch, path, each)]
        taken = time.perf_counter() - began
        if declared is None and not results:
            results = self._of_nothing()
        result = declared if declared is not None else common_schema([one.schema for one in results], self._called)
        self._check(result)
        sent = transport_schema(result)
        whole = pa.concat_tables([sent.empty_table(), *results], promote_options="permissive") if results else None
        sample = MapSample(rows, sent.empty_table() if whole is None else whole, taken)
        return MappedTable(given, result, self, each, sample)

    def of(self, batch: pa.RecordBatch, path: str, rows: int, sent: pa.Schema) -> pa.RecordBatch:
        """What it returns for some rows. rows: of each call."""
        with self._lock:
            try:
                found = [conformed(table, sent) for table in self._returned(batch, path, rows)]
            except Differs as error:
                trouble = Trouble("differs", str(error))
                where = _in_sample(path, batch.num_rows)
                raise told_to_people(trouble, lambda _: where(), self._called, self._memory) from error
        whole = pa.concat_tables([sent.empty_table(), *found]).combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=sent)

    def close(self) -> None:
        if self._calls is not None:
            self._calls.close()

    def _declared(self) -> pa.Schema | None:
        columns = self._job.inputs[self._number].map_schema
        if columns is None:
            return None
        return schema_of_names([(one.name, one.type) for one in columns], self._called.schema_field)

    def _start(self, wanted: pa.Schema | None) -> None:
        self._calls = MapProcesses(self._job, self._number, self._given, wanted, self._memory, self._scratch)
        with self._calls.host() as host:
            self.shape = host.shape

    def _seen(self, file: FoundFile, at: RowGroupRef, groups: int) -> Iterator[tuple[pa.RecordBatch, str]]:
        for batch in first_kept(file, at.group, self._given.names, MAPPED_ROWS // min(groups, GROUPS)):
            if batch.num_rows:
                yield batch, file.info.path

    def _returned(self, batch: pa.RecordBatch, path: str, rows: int) -> Iterator[pa.Table]:
        """What the function returns, in plain types, of the schema that it gave."""
        assert self._calls is not None
        with self._calls.host() as host:
            for at in range(0, batch.num_rows, rows):
                part = batch.slice(at, rows)
                where = _in_sample(path, part.num_rows)
                if host.shape in STREAMED:
                    batches = list(self._calls.stream(host, iter([part]), where))
                else:
                    batches = list(self._calls.of(host, part, where))
                if host.schema is not None:
                    plain = transport_schema(host.schema)
                    yield pa.Table.from_batches(batches, schema=plain).cast(plain).replace_schema_metadata()

    def _of_nothing(self) -> list[pa.Table]:
        """What it returns for no rows, where there are none to call it with."""
        assert self._calls is not None
        nothing = pa.RecordBatch.from_pylist([], schema=self._given)
        try:
            with self._calls.host() as host:
                batches = list(self._calls.of(host, nothing, lambda: "for no rows, while planning"))
                schema = host.schema
        except JobError as error:
            why = f"there are no rows to call it with, and without any {error.message}"
            raise unknown(self._called, why) from error
        return [] if schema is None else [pa.Table.from_batches(batches, schema=transport_schema(schema))]

    def _check(self, result: pa.Schema) -> None:
        if not result.names:
            raise InvalidSpec(f"{self._called.field}: {self._called.function} returns a table without columns")
        for field in result:
            if not is_carried(field.type):
                raise InvalidSpec(
                    f"{self._called.field}: {self._called.function} returned {field.name!r} as {field.type}, which "
                    "cannot be carried; return it in another type, such as a struct of its parts"
                )


def _in_sample(path: str, rows: int) -> Callable[[], str]:
    return lambda: f"{path}, {rows:,} row{'s' if rows != 1 else ''} in a sample, while planning"


@contextmanager
def maps_of(job: Job, memory: int, scratch: Path | None) -> Iterator[list[PlannedMap | None]]:
    """For each input of a job that is being planned, its function; None where it has none."""
    with contextlib.ExitStack() as stack:
        found: list[PlannedMap | None] = []
        for number, source in enumerate(job.inputs):
            made: PlannedMap | None = None
            if source.map:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="plan-", dir=scratch))
                made = PlannedMap(job, number, memory, Path(folder))
                stack.callback(made.close)
            found.append(made)
        yield found
