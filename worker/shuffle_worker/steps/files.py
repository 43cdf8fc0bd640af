"""The output files of a partition, mostly one: batches in any size in, committed files and their record out.

Each operation's `write` ends here. The row groups are cut (`Cutter`), brought back to the output's schema and encoded;
the rows are counted against what was announced, and only then is the sink committed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_protocol.memory import Budgets
from shuffle_worker.columns.coded import as_dictionaries, in_order_of_rows
from shuffle_worker.columns.kinds import is_uuid, values_of
from shuffle_worker.columns.schema import meaning_schema, restore
from shuffle_worker.output.folders import check_name, file_schema
from shuffle_worker.output.manifest import FileResult
from shuffle_worker.output.storable import storable
from shuffle_worker.partitioning.cutter import Cutter
from shuffle_worker.partitioning.extremes import Extremes
from shuffle_worker.plan import sizing
from shuffle_worker.plan.record import Plan
from shuffle_worker.runtime.stopwatch import WRITE, spending
from shuffle_worker.steps.folders import in_folders
from shuffle_worker.steps.result import Counted, shape_of
from shuffle_worker.steps.sorting import Sorter
from shuffle_worker.storage import Sink
from shuffle_worker.writers.formats import output_format
from shuffle_worker.writers.writer import FileWriter, WriterOptions


def keeps(plan: Plan, name: str) -> bool:
    """Whether a column of the result is written as it is."""
    output = plan.job.output
    return name not in output.compute and (output.columns is None or name in output.columns)


def _check(partition: int, rows: int, written: int) -> None:
    if written != rows:
        raise ValueError(f"partition {partition} was to hold {rows} rows, but {written} were written")


class Files(Protocol):
    """Where a worker's output files are made."""

    def create(self, partition: int) -> tuple[str, Sink]:
        """The file's name, as the manifest will have it, and a sink for its bytes."""
        ...


@runtime_checkable
class FolderFiles(Protocol):
    """The same where a partition is several files, in folders."""

    scratch: Path | None
    """For sorting rows by folder."""

    def create_in(self, folder: str, partition: int) -> tuple[str, Sink]: ...


class PartitionFiles:
    """Writes the files of a job. keys: those whose smallest and largest value the manifest says, in this order."""

    def __init__(self, plan: Plan, files: Files, keys: Sequence[SortKey] = (), in_order: bool = False) -> None:
        output = plan.job.output
        self._files = files
        self._by = output.partition_by
        self._output = output.path
        declared = plan.output_schema()
        self._shape = shape_of(output, plan.arrow_schema())
        self._schema = file_schema(storable(declared, output.format), self._by)
        self._meaning = file_schema(meaning_schema(declared), self._by)
        self._uuids = [field.name for field in declared if field.name in self._by and is_uuid(values_of(field.type))]
        self._row_group_rows = plan.row_group_rows
        self._row_group_bytes = sizing.row_group_bytes(plan.row_group_rows, plan.row_bytes)
        self._open = output_format(output.format)
        self._coded = frozenset(plan.coded)
        self._meaning = as_dictionaries(self._meaning, self._coded)
        self._written = as_dictionaries(self._schema, self._coded)
        dictionary = [name for name in plan.dictionary if name not in self._by]
        self._options = WriterOptions(output.compression, dictionary, self._coded)
        self._keys = list(itertools.takewhile(lambda key: keeps(plan, key.column), keys))
        self._in_order = in_order
        self._memory = Budgets.for_limit(plan.job.memory).working // 2

    def write(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult:
        """Write one partition. batches: of the transport schema; None means that the memory of earlier batches is about
        to be used again. rows: how many there must be; None where that is not known beforehand."""
        if self._shape is None:
            return self._partition(partition, batches, rows)
        counted = Counted(self._shape)
        found = self._partition(partition, counted.through(batches), None)
        _check(partition, counted.rows if rows is None else rows, counted.rows)
        _check(partition, counted.kept, found.rows)
        return found._replace(left_out=counted.rows - counted.kept)

    def _partition(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult:
        if self._by:
            return self._in_folders(partition, batches, rows)
        name, sink = self._files.create(partition)
        return self._file(partition, name, sink, batches, rows)

    def _in_folders(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult:
        assert isinstance(self._files, FolderFiles)
        sorter = Sorter([SortKey(name) for name in self._by], self._files.scratch)
        found: list[FileResult] = []
        for folder, some in in_folders(batches, self._by, sorter, self._memory, self._uuids):
            check_name(folder, self._by, self._output)
            name, sink = self._files.create_in(folder, partition)
            found.append(self._file(partition, name, sink, some, None))
        written = sum(one.rows for one in found)
        _check(partition, written if rows is None else rows, written)
        return FileResult(partition, "", written, sum(one.bytes for one in found), "", None, found)

    def _file(
        self, partition: int, name: str, sink: Sink, batches: Iterable[pa.RecordBatch | None], rows: int | None
    ) -> FileResult:
        writer: FileWriter | None = None
        try:
            writer = self._open(sink, self._schema, self._options)
            cutter = Cutter(self._row_group_rows, self._row_group_bytes)
            extremes = Extremes(self._keys, self._in_order)
            written = 0
            for group in cutter.cut(batches):
                extremes.add(group)
                with spending(WRITE):
                    writer.write(self._stored(group))
                written += group.num_rows
                del group
            with spending(WRITE):
                writer.close()
            _check(partition, written if rows is None else rows, written)
            with spending(WRITE):
                sink.commit()
        except BaseException:
            if writer is not None:
                writer.abort()
            sink.abort()
            raise
        return FileResult(partition, name, written, sink.size, sink.checksum, extremes.found() if self._keys else None)

    def _stored(self, group: pa.RecordBatch) -> pa.RecordBatch:
        """A row group as the file holds it."""
        if self._by:
            group = group.select(self._schema.names)
        for at, field in enumerate(self._schema if self._coded else ()):
            if field.name in self._coded:
                group = group.set_column(at, field.name, in_order_of_rows(group.column(at)))
        return restore(restore(group, self._meaning), self._written)
