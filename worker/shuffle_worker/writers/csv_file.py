"""CSV files: a header, text in quotes, nulls as nothing at all (so that a null differs from an empty text).

A null in a file of one column would be an empty line, which pandas, Arrow and others skip. So it is `""` there, which
they all take for a null; and an empty text, for which nothing is left, is refused.
"""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pyarrow.csv as pc

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import Array, call, scalar
from shuffle_worker.columns.utf8 import check_text
from shuffle_worker.storage import Sink
from shuffle_worker.writers.sinkfile import TextStream, data_of
from shuffle_worker.writers.writer import FileWriter, WriterOptions

ROWS = 16_384
"""Rows whose text is made at once, in a file of one column."""


def csv_file(sink: Sink, schema: pa.Schema, options: WriterOptions) -> FileWriter:
    return OneColumn(sink, schema, options) if len(schema) == 1 else CsvFile(sink, schema, options)


class OneColumn:
    """A `FileWriter`. Memory: the text of `ROWS` rows, twice."""

    def __init__(self, sink: Sink, schema: pa.Schema, options: WriterOptions) -> None:
        self._text = TextStream(sink, options.compression)
        self._name = schema.names[0]
        self._quoted = pa.types.is_string(schema.types[0]) or pa.types.is_large_string(schema.types[0])
        self._text.stream.write(('"' + self._name.replace('"', '""') + '"\n').encode())

    def write(self, group: pa.RecordBatch) -> None:
        check_text(group, "CSV")
        for at in range(0, group.num_rows, ROWS):
            self._text.stream.write(data_of(self._lines(group.column(0).slice(at, ROWS))))

    def _lines(self, column: Array) -> Array:
        text: Array = column.cast(pa.string())
        if self._quoted:
            if call("any", call("equal", text, scalar("", pa.string()))).as_py() is True:
                raise DataError(
                    f"the column {self._name!r} has an empty text, which a CSV of one column cannot tell from null; "
                    "write JSON or Parquet, or keep a second column"
                )
            text = call("replace_substring", text, pattern='"', replacement='""')
            text = _joined('"', text, '"')
        return _joined("", call("fill_null", text, scalar('""', pa.string())), "\n")

    def close(self) -> None:
        self._text.close()

    def abort(self) -> None:
        self._text.discard()


def _joined(before: str, text: Array, behind: str) -> Array:
    ends = scalar(before, pa.string()), text, scalar(behind, pa.string())
    found: Array = call("binary_join_element_wise", *ends, scalar("", pa.string()))
    return found


class CsvFile:
    """A `FileWriter` for several columns. Memory: the text of some rows of the batch that is being written."""

    def __init__(self, sink: Sink, schema: pa.Schema, options: WriterOptions) -> None:
        self._text = TextStream(sink, options.compression)
        self._writer = pc.CSVWriter(
            self._text.stream,  # type: ignore[arg-type]
            schema,
            write_options=pc.WriteOptions(include_header=True, quoting_style="needed"),
        )

    def write(self, group: pa.RecordBatch) -> None:
        check_text(group, "CSV")
        self._writer.write_batch(group)

    def close(self) -> None:
        self._writer.close()
        self._text.close()

    def abort(self) -> None:
        self._text.discard()
        with contextlib.suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()
