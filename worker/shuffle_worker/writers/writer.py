"""What an output format is: row groups in, the bytes of one file out, into a sink.

Contract, run by the conformance suite in tests/conformance/test_writers.py:
- reading the file gives the rows that were written, in order, and as much of the schema as the format holds (Parquet
  and Feather all of it, CSV and JSON names alone); only schemas that `storable` gave are written;
- the bytes depend on the schema, the options and the row groups, on nothing else;
- a file without rows is a valid file, with the schema where the format has one;
- each call of `write` is one row group, its memory is free again when the call returns;
- `close` completes the file but does not commit the sink: whether it is to be seen is the caller's to decide.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import pyarrow as pa


class WriterOptions(NamedTuple):
    """How files are written."""

    compression: str | None
    """A name of the API (Snappy, Zstd ...) or None."""
    dictionary: list[str]
    """Columns worth a dictionary."""
    coded: frozenset[str] = frozenset()
    """Text columns, of those with a dictionary, that are given as dictionary arrays, their values in the order of the
    rows. The file is as if they were text; of Parquet alone."""


class FileWriter(Protocol):
    def write(self, group: pa.RecordBatch) -> None:
        """One row group, with exactly the schema that the writer was opened with but for `WriterOptions.coded`."""
        ...

    def close(self) -> None: ...

    def abort(self) -> None:
        """Let go of the file as it is: nothing more is written to the sink, now or when the writer is collected."""
        ...
