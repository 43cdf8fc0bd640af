"""Newline-delimited JSON files: one object a row, every column in it, nulls written as such. A file without rows is
empty."""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.utf8 import check_text
from shuffle_worker.storage import Sink
from shuffle_worker.writers.json_text import lines
from shuffle_worker.writers.sinkfile import TextStream, data_of
from shuffle_worker.writers.writer import WriterOptions

ROWS = 16_384
"""Rows whose text is made at once."""


class JsonFile:
    """A `FileWriter`. Memory: the text of `ROWS` rows, twice."""

    def __init__(self, sink: Sink, schema: pa.Schema, options: WriterOptions) -> None:  # noqa: ARG002
        self._text = TextStream(sink, options.compression)

    def write(self, group: pa.RecordBatch) -> None:
        check_text(group, "JSON")
        for at in range(0, group.num_rows, ROWS):
            self._text.stream.write(data_of(lines(group.slice(at, ROWS))))

    def close(self) -> None:
        self._text.close()

    def abort(self) -> None:
        self._text.discard()
