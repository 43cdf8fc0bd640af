"""What a format is to the plan and to the reader: an open file that can be read in parts, each by itself.

    plan     opens every file once for its schema and its groups, and some of them again for probes and samples
    reader   opens a file for each piece of a split, and reads only the groups that the piece names

A *group* is the smallest part that can be read without the rest: a row group of Parquet, a stripe of ORC, a record
batch of Feather, a range of bytes of CSV and JSON; the whole file where it is compressed as one stream. Which groups a
file has follows from the file alone, so plan and reader agree on them.

Positions: a group takes `span` positions of the input and its rows have the first of them, one after the other. Where
rows are counted by the format the span is their number; elsewhere it is a number that the rows cannot exceed (every
record takes a byte at least), so that nothing has to be read to know the positions of what follows.

Contract, run by tests/conformance/test_readers.py through the reader:
- `batches` gives the rows of the groups in their order, at most `rows` in a batch, the columns asked for and no others,
  by their exact names; it holds one decoded unit of the format at a time (a page, a block of text), or says with
  `whole_groups` that it must hold a group;
- a file that is not what its name says, damaged or cut off raises DataError that names it and, where there are lines,
  the line.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_worker.expressions.typed.statistics import ColumnRange
from shuffle_worker.storage.failures import said

STREAM_SPAN = 1 << 40
"""Positions of a group whose rows and bytes are both unknown: more rows than any file holds, and room for millions of
such files in the 63 bits of a position."""

MAPPED_SPAN = STREAM_SPAN
"""Positions of a group whose rows go through a function of the user's, which may make any number of them."""


class Source(Protocol):
    """An open file of some format. Close it, or use it in a `with`. Not for several threads at once."""

    path: str
    schema: pa.Schema
    """The columns of this file."""
    counted: bool
    """The number of rows of every group is known exactly, and is its span; else `rows` is an estimate."""

    @property
    def groups(self) -> int: ...

    @property
    def footer(self) -> object:
        """What the next opening of the same file needs not read again (a parsed footer, a header), or None."""
        ...

    def rows(self, group: int) -> int: ...

    def span(self, group: int) -> int: ...

    @property
    def whole_groups(self) -> bool:
        """Whether a group is decoded at once, however few of its rows are asked for."""
        ...

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:
        """Bytes that reading these columns of a group fetches; absent columns count nothing."""
        ...

    def column_range(self, group: int, name: str) -> ColumnRange | None:
        """What the file says of a column's values in a group, without reading them; None where it says nothing."""
        ...

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Measured(Protocol):
    """A source that knows beforehand how large its groups are."""

    def decoded_bytes(self, group: int, names: Sequence[str]) -> int:
        """Bytes of these columns of a group, as they are decoded; fewer where they have a dictionary."""
        ...


WIDE_PARTS = 16
"""Of a group whose rows are wider than the mean nobody knows which are, so it is read in so many times smaller batches
than their own mean says."""


def by_width(
    source: Source, groups: Sequence[int], names: Sequence[str], rows: int, most: int
) -> Iterator[tuple[list[int], int]]:
    """The groups, and how many of their rows to decode at once: `rows`, or fewer where these are more than `most`
    bytes."""

    def at_once(group: int) -> int:
        size = source.decoded_bytes(group, names) if isinstance(source, Measured) else 0
        each = size / max(source.rows(group), 1)
        return rows if rows * each <= most else max(int(most / each / WIDE_PARTS), 1)

    for count, some in itertools.groupby(groups, at_once):
        yield list(some), count


def bad_columns(error: Exception, words: str, names: Sequence[str], read: Callable[[str], object]) -> list[str]:
    """The columns whose types are to blame for an error; nothing where the file is, or its storage, and where all or
    none of them can be read alone. words: in what Arrow says of a type that it cannot read, where it raises no error of
    that kind."""
    if not _of_types(error, words):
        return []
    bad: list[str] = []
    for name in names:
        try:
            read(name)
        except (OSError, pa.ArrowException, ValueError) as alone:
            if _of_types(alone, words):
                bad.append(name)
    return bad if len(bad) < len(names) else []


def _of_types(error: Exception, words: str) -> bool:
    return isinstance(error, pa.ArrowNotImplementedError) or words in str(error)


def unreadable(path: str, where: str, names: Sequence[str], schema: pa.Schema, error: Exception) -> DataError:
    """The refusal of columns that Arrow cannot read. names: as `bad_columns` found them."""
    told = " and ".join(f"{name!r} ({schema.field(name).type})" for name in names) or "a column"
    return DataError(
        f"{path}: {where}: {told} cannot be read: {said(error)}; leave it out with `columns`, or write the file again "
        "with another type in its place"
    )


def sliced(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of at most `rows` rows, which share its memory."""
    for at in range(0, batch.num_rows, max(rows, 1)):
        yield batch.slice(at, rows)
