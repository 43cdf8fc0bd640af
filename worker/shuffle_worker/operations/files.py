"""One output file: batches in any size in, a committed file and the record of it out.

Each operation's `write` ends here. The row groups are cut (`Cutter`), brought back to the output's schema and encoded;
the rows are counted against what was announced, and only then is the sink committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import pyarrow as pa

from shuffle_worker.operations.base import FileResult
from shuffle_worker.operations.cutter import Cutter
from shuffle_worker.partitioning.extremes import Extremes
from shuffle_worker.plan.record import Plan
from shuffle_worker.plan.schema import restore
from shuffle_worker.protocol.messages import SortKey
from shuffle_worker.storage import Sink
from shuffle_worker.writers.base import FileWriter, WriterOptions, output_format


class Files(Protocol):
    """Where a worker's output files are made."""

    def create(self, partition: int) -> tuple[str, Sink]:
        """The file's name, as the manifest will have it, and a sink for its bytes."""
        ...


class PartitionFiles:
    """Writes the files of a job. keys: those whose smallest and largest value the manifest says, in this order."""

    def __init__(self, plan: Plan, files: Files, keys: Sequence[SortKey] = (), in_order: bool = False) -> None:
        output = plan.job.output
        self._files = files
        self._schema = plan.arrow_schema()
        self._row_group_rows = plan.row_group_rows
        self._open = output_format(output.format).open
        self._options = WriterOptions(output.compression, plan.dictionary)
        self._keys = list(keys)
        self._in_order = in_order

    def write(self, partition: int, batches: Iterable[pa.RecordBatch | None], rows: int | None) -> FileResult:
        """Write one file. batches: of the transport schema; None says that the memory of the batches before it is about
        to be used again. rows: how many there must be; None where that is not known beforehand."""
        name, sink = self._files.create(partition)
        writer: FileWriter | None = None
        try:
            writer = self._open(sink, self._schema, self._options)
            cutter = Cutter(self._row_group_rows)
            extremes = Extremes(self._keys, self._in_order)
            written = 0
            for batch in batches:
                if batch is None:
                    cutter.own()
                    continue
                for group in cutter.add(batch):
                    extremes.add(group)
                    writer.write(restore(group, self._schema))
                    written += group.num_rows
            last = cutter.rest()
            if last is not None:
                extremes.add(last)
                writer.write(restore(last, self._schema))
                written += last.num_rows
                del last
            writer.close()
            if rows is not None and written != rows:
                raise ValueError(f"partition {partition} was to hold {rows} rows, but {written} were written")
            sink.commit()
        except BaseException:
            if writer is not None:
                writer.abort()
            sink.abort()
            raise
        return FileResult(partition, name, written, sink.size, sink.checksum, extremes.found() if self._keys else None)
