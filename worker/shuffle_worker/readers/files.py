"""Pieces of files of any format to record batches of the plan's transport schema: projection and filter pushed down,
types brought to the plan's, changes under the job found. What a format does by itself is its `Source`.

Memory: that of the source; plus one decoded batch and, where something is cast or filtered, its copy.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from msgspec import structs

from shuffle_protocol import trail
from shuffle_protocol.errors import DataError, InputNotFound
from shuffle_protocol.memory import Budgets
from shuffle_worker.columns.arrow import nulls, true_rows
from shuffle_worker.columns.coded import as_dictionaries
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.expressions.computed import compile_computed
from shuffle_worker.plan.record import File, FilePiece, Plan, Split
from shuffle_worker.readers.formats import opening_of_plan
from shuffle_worker.readers.reader import Reader, Rows
from shuffle_worker.readers.shape import Shaper
from shuffle_worker.readers.source import Source, by_width
from shuffle_worker.storage.storage import Info, Storage

if TYPE_CHECKING:
    from shuffle_worker.expressions.filter import Filter

RUN = 8 << 20
"""Stored bytes of consecutive small row groups that are read in one go, so that their rows come in whole batches."""

KEPT_FOOTERS = 8
"""Parsed footers kept for files that several splits read: the most recent ones."""


class FileReader:
    """Reads pieces of the files of one of a job's inputs. Safe for several threads, each with its own split.

    budget: stored bytes of a remote file held at once, and bytes of rows that are decoded at once; 0: a third of the
    worker's working memory. functions, scratch: memory of a process of a reader function, and where its code is
    fetched to."""

    def __init__(
        self,
        plan: Plan,
        storage: Storage,
        index: int = 0,
        *,
        budget: int = 0,
        functions: int = 0,
        scratch: Path | None = None,
    ) -> None:
        self._plan = plan
        self._storage = storage
        self._budget = budget or Budgets.for_limit(plan.job.memory).working // 3
        table = plan.tables[index]
        self._absent = frozenset(table.absent)
        kept = table.kept_schema()
        self._output = as_dictionaries(transport_schema(kept), plan.coded_of(index))
        self._target = self._output
        self._filter: Filter | None = None
        source = plan.job.inputs[index]
        extra = table.filter_schema()
        self._target = pa.schema([*self._output, *transport_schema(extra)])
        self._computed = compile_computed(
            source.compute, table.computed_from(), f"inputs[{index}].compute", self._target.names
        )
        if source.filter:
            from shuffle_worker.expressions.filter import (
                compile_filter,  # the parser is only loaded where there is a filter
            )

            made = self._computed.names if self._computed is not None else ()
            self._filter = compile_filter(source.filter, pa.schema([*kept, *extra]), index, made)
        self._read = self._target if self._computed is None else self._computed.read_schema(self._target)
        self._opening = opening_of_plan(plan, index, functions, scratch)
        self._footers: OrderedDict[int, object] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, split: Split, batch_rows: int) -> Iterator[Rows]:
        for piece in split.pieces:
            yield from self._piece(piece, batch_rows)

    def _piece(self, piece: FilePiece, batch_rows: int) -> Iterator[Rows]:
        file = self._plan.files[piece.file]
        self._verify(file)
        with trail.at(f"reading {file.path}", moves=True), self._opened(piece.file, file) as source:
            if source.counted and sum(source.rows(group) for group in range(source.groups)) != file.rows:
                raise _changed(file)
            shaper = Shaper(file.path, source.schema, self._target, file.hive, self._computed, self._absent)
            fetched = 0
            try:
                for run, first in _runs(source, piece, shaper.wanted):
                    fetched += sum(source.stored_bytes(group, shaper.wanted) for group in run)
                    for batch in self._decoded(source, run, shaper.wanted, batch_rows):
                        rows = self._rows(shaper.shape(batch), first, fetched, file.path)
                        first += batch.num_rows
                        if rows is not None:
                            fetched = 0
                            yield rows
            except DataError:
                self._verify(file)  # damaged, or replaced while it was read? the second explains the first
                raise
        self._verify(file)
        if fetched:
            yield Rows(_empty(self._output), 0, None, fetched)

    def _decoded(self, source: Source, run: list[int], names: list[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        for groups, rows in by_width(source, run, names, batch_rows, self._budget):
            yield from source.batches(groups, names, rows)

    def _rows(self, batch: pa.RecordBatch, first: int, fetched: int, path: str) -> Rows | None:
        """The rows that pass the filter, without the columns that only it needed; None where there are none."""
        if self._filter is None:
            return Rows(batch, first, None, fetched) if batch.num_rows else None
        kept = self._filter.mask(batch, path)
        batch = batch.select(self._output.names)
        count = kept.true_count
        if count == 0:
            return None
        if count == batch.num_rows:
            return Rows(batch, first, None, fetched)
        return Rows(batch.filter(kept), first, true_rows(kept) + first, fetched)

    def _verify(self, file: File) -> None:
        try:
            now = self._storage.info(file.path)
        except InputNotFound as error:
            raise InputNotFound(
                f"{file.path}: was there when the job was planned, and was removed while the job ran"
            ) from error
        if now.tag != file.tag:
            raise _changed(file)

    def _opened(self, number: int, file: File) -> Source:
        with self._lock:
            footer = self._footers.get(number)
        info = Info(file.path, file.size, file.tag)
        source = self._opening.open(
            self._storage, info, types=self._read, hive=file.hive, budget=self._budget, footer=footer
        )
        with self._lock:
            self._footers[number] = source.footer
            self._footers.move_to_end(number)
            while len(self._footers) > KEPT_FOOTERS:
                self._footers.popitem(last=False)
        return source


class UnionReader:
    """Reads the splits of a union. readers: of each of its inputs."""

    def __init__(self, plan: Plan, readers: Sequence[Reader]) -> None:
        self._files = plan.files
        self._readers = readers

    def read(self, split: Split, batch_rows: int) -> Iterator[Rows]:
        for number, pieces in itertools.groupby(split.pieces, key=lambda piece: self._files[piece.file].input):
            yield from self._readers[number].read(structs.replace(split, pieces=list(pieces)), batch_rows)


def _changed(file: File) -> DataError:
    return DataError(
        f"{file.path}: the file changed while the job ran; run the job again when nothing writes to its input"
    )


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([nulls(0, field.type) for field in schema], schema=schema)


def _runs(source: Source, piece: FilePiece, names: list[str]) -> Iterator[tuple[list[int], int]]:
    """The piece's groups in runs that can be read in one go, each with the position of its first row: neighbours in the
    file whose rows are counted, and together no more than `RUN` stored bytes (a larger group is a run of its own)."""
    run: list[int] = []
    first = size = end = 0
    for group, position in zip(piece.row_groups, piece.first_rows, strict=True):
        stored = source.stored_bytes(group, names)
        if run and (not source.counted or position != end or group != run[-1] + 1 or size + stored > RUN):
            yield run, first
            run, size = [], 0
        if not run:
            first = position
        run.append(group)
        size += stored
        end = position + source.rows(group)
    if run:
        yield run, first
