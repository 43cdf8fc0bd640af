"""A reader whose rows go through a function of the user's, `inputs[].map`.

The function is called with batches of one size, which are cut anew in each part of a file (a row group, a stripe, a
range of bytes: see `source.py`): `Table.call_rows` rows that pass the filter, and what is left at the part's end. So
what it is given depends on the data alone, never on the reader's batches, workers or memory, and a function whose
results depend on what else is in its batch gives the same bytes all the same.

It may return any number of rows. The position of a row is its place among the results of its part, behind `first`, the
part's own position; the plan leaves room for so many (`MAPPED_SPAN`).

Memory: a batch of the reader's, one that the function is given, and one of results of the size asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from shuffle_worker.columns.arrow import nulls
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.functions.host import Host
from shuffle_worker.functions.mapping import MapProcesses
from shuffle_worker.functions.shapes import STREAMED
from shuffle_worker.partitioning.cutter import Cutter
from shuffle_worker.plan.record import Plan, Split
from shuffle_worker.plan.sizing import MOST_CALL_BYTES
from shuffle_worker.readers.reader import Reader, Rows
from shuffle_worker.readers.shape import ResultShaper


class Part(NamedTuple):
    """A part of a file."""

    path: str
    number: int
    """Which of the file's parts."""
    first: int
    """Its position."""


class MappedReader:
    """Safe for several threads, each with its own split. functions: memory of a process; scratch: where code is fetched
    to."""

    def __init__(self, reader: Reader, plan: Plan, index: int, functions: int, scratch: Path | None) -> None:
        table = plan.tables[index]
        self._reader = reader
        self._plan = plan
        self._rows = table.call_rows
        self._sent = transport_schema(table.arrow_schema())
        given, result = table.given_schema(), table.result_schema()
        assert given is not None
        assert result is not None
        self._shaper = ResultShaper(plan.job.inputs[index].map, result, self._sent)
        self._calls = MapProcesses(
            plan.job, index, transport_schema(given), transport_schema(result), functions, scratch or Path(), plan.code
        )

    def read(self, split: Split, batch_rows: int) -> Iterator[Rows]:
        with self._calls.host() as host:
            parts = self._parts(split)
            given = Taken(self._reader.read(split, batch_rows), list(parts))
            while given.next is not None:
                yield from self._part(host, given, parts, batch_rows)
            if given.fetched:
                columns = [nulls(0, field.type) for field in self._sent]
                yield Rows(pa.RecordBatch.from_arrays(columns, schema=self._sent), 0, None, given.fetched)

    def close(self) -> None:
        """End the processes. They end with this process too."""
        self._calls.close()

    def _parts(self, split: Split) -> dict[int, Part]:
        return {
            first: Part(self._plan.files[piece.file].path, group, first)
            for piece in split.pieces
            for group, first in zip(piece.row_groups, piece.first_rows, strict=True)
        }

    def _part(self, host: Host, given: Taken, parts: dict[int, Part], batch_rows: int) -> Iterator[Rows]:
        """The results for the rows of a part, from the next one on."""
        part = parts[given.place]
        batches = MapBatches(given, part, self._rows)
        cutter = Cutter(batch_rows)
        at = part.first
        for result in self._results(host, batches):
            for batch in cutter.add(self._shaper.shape(result)):
                yield Rows(batch, at, None, given.take_fetched())
                at += batch.num_rows
        for batch in cutter.rest():
            yield Rows(batch, at, None, given.take_fetched())
            at += batch.num_rows

    def _results(self, host: Host, batches: MapBatches) -> Iterator[pa.RecordBatch]:
        if host.shape in STREAMED:
            yield from self._calls.stream(host, iter(batches), batches.where)
            return
        for batch in batches:
            yield from self._calls.of(host, batch, batches.where)


class Taken:
    """The batches of a split, the next one known before it is taken. places: the positions of its parts. fetched: bytes
    read and not yet accounted for."""

    def __init__(self, stream: Iterator[Rows], places: Sequence[int]) -> None:
        self._stream = stream
        self._places = places
        self.fetched = 0
        self.next: Rows | None = None
        self._move()

    @property
    def place(self) -> int:
        """The position of the part that the next batch is of."""
        assert self.next is not None
        return self._places[bisect_right(self._places, self.next.first) - 1]

    def take(self) -> pa.RecordBatch:
        assert self.next is not None
        batch = self.next.batch
        self._move()
        return batch

    def take_fetched(self) -> int:
        found, self.fetched = self.fetched, 0
        return found

    def _move(self) -> None:
        self.next = None
        for rows in self._stream:
            self.fetched += rows.bytes_read
            if rows.batch.num_rows:
                self.next = rows
                return


class MapBatches:
    """What the function is given of a part: batches of `rows` rows, fewer where they are far wider than the mean."""

    def __init__(self, taken: Taken, part: Part, rows: int) -> None:
        self._taken = taken
        self._part = part
        self._rows = rows
        self._begin = self._end = 0  # of the rows that were given last

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        cutter = Cutter(self._rows, MOST_CALL_BYTES)
        taken = self._taken
        while taken.next is not None and taken.place == self._part.first:
            for batch in cutter.add(taken.take()):
                yield self._noted(batch)
        for batch in cutter.rest():
            yield self._noted(batch)

    def where(self) -> str:
        """The rows that were given last, for people."""
        part = self._part
        return f"{part.path}, part {part.number}, rows {self._begin:,} to {self._end - 1:,} of those that it is given"

    def _noted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self._begin, self._end = self._end, self._end + batch.num_rows
        return batch
