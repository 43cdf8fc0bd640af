"""CSV files: a header, text in quotes, nulls as nothing at all (so that a null and an empty text are told apart)."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pyarrow.csv as pc

from shuffle_worker.storage import Sink
from shuffle_worker.writers.base import WriterOptions
from shuffle_worker.writers.sinkfile import TextStream


class CsvFile:
    """A `FileWriter`. Memory: the text of some rows of the batch that is being written."""

    def __init__(self, sink: Sink, schema: pa.Schema, options: WriterOptions) -> None:
        self._text = TextStream(sink, options.compression)
        self._writer = pc.CSVWriter(
            self._text.stream,  # type: ignore[arg-type]
            schema,
            write_options=pc.WriteOptions(include_header=True, quoting_style="needed"),
        )

    def write(self, group: pa.RecordBatch) -> None:
        self._writer.write_batch(group)

    def close(self) -> None:
        self._writer.close()
        self._text.close()

    def abort(self) -> None:
        self._text.discard()
        with contextlib.suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()
