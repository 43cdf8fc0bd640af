"""Files of records in text, CSV or JSON: cut into ranges of bytes where they are not compressed, else one stream.

A group of a file that is not compressed is the records that begin in a range of `PART` bytes. Where the first of them
begins is guessed from the bytes behind the range's edge (`records.py`) by the reader of either side; the reader of the
range before proves it, because it knows exactly where its records end. A guess that was wrong is refused with advice,
never read. Compressed files are read from their beginning to their end, once.

What each format does for itself is `Dialect`: the columns of a file's first records, records to a batch, what is wrong
with a record. The types of columns are not looked for again when a file is read: they are the plan's.

Memory: a block of `BLOCK` bytes of text (one record where that is longer, up to `MOST_RECORD`), the batch made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import pyarrow as pa

from shuffle_protocol.errors import DataError, JobError
from shuffle_protocol.units import readable
from shuffle_worker.expressions.typed.statistics import ColumnRange
from shuffle_worker.readers.codecs import ByteStream, check_beginning, codec_of
from shuffle_worker.readers.encodings import advice, wide_encoding
from shuffle_worker.readers.records import FAR, Breaks, Records, line_breaks
from shuffle_worker.readers.source import STREAM_SPAN, sliced
from shuffle_worker.storage.failures import failure, said
from shuffle_worker.storage.storage import Info, Storage

PART = 8 << 20
"""Bytes of a range of a file that is not compressed."""

BLOCK = 2 << 20
"""Bytes of text that are parsed at once."""

REMOTE_BLOCK = 4 << 20
"""The same for a remote file that is not compressed, where it is the size of one request."""

MOST_RECORD = 64 << 20
"""Bytes of one record; what is longer is taken for a quote that is never closed, or no text at all."""

LINES_COUNTED = 2 << 30
"""Bytes before an error that are read again to find its line; beyond that, the message has the place in the file."""

BOM = b"\xef\xbb\xbf"


class Fault(Exception):
    """Something is wrong with the text. at: the offset of the record in the block. message: what, for people."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


class Head(NamedTuple):
    """What the beginning of a file says."""

    begin: int
    """The offset of its first record (behind a header)."""
    schema: pa.Schema
    """Its columns, with the types of its first records."""
    row_bytes: float
    """Stored bytes of a record, on average of the first ones."""


class Dialect(Protocol):
    name: str

    @property
    def records(self) -> Records: ...

    def columns(self, head: bytes) -> tuple[int, list[str]]:
        """The length of the header at the beginning of a file, and the names of its columns (none where each record
        says its own). Raises Fault."""
        ...

    def schema(self, names: Sequence[str], block: bytes) -> pa.Schema:
        """The columns, with the types of these records. Raises Fault."""
        ...

    def typed(self, names: Sequence[str], types: pa.Schema) -> pa.Schema:
        """The columns, with the types that the plan gave those that it reads."""
        ...

    def parse(self, block: bytes, names: Sequence[str], types: pa.Schema, wanted: Sequence[str]) -> pa.RecordBatch:
        """Whole records to a batch of the columns `wanted`, of their types. Raises Fault."""
        ...


class TextSource:
    """A `Source`. types: the columns' types as the plan has them, None where they are still to be found from the first
    `look` bytes. budget: bytes that reading may hold."""

    counted = False

    def __init__(
        self,
        storage: Storage,
        info: Info,
        dialect: Dialect,
        *,
        types: pa.Schema | None,
        look: int,
        budget: int,
        footer: object = None,
    ) -> None:
        self.path = info.path
        self._size = info.size
        self._dialect = dialect
        self._records = dialect.records
        self._codec = codec_of(info.path)
        block = BLOCK if storage.native(info.path) is not None else REMOTE_BLOCK
        self._block = max(min(block, budget // 6), 64 << 10)
        self._types = types
        self._bytes = ByteStream(storage, info.path, self._codec)
        self._storage = storage
        try:
            self._head = footer if isinstance(footer, Head) else self._look(look)
        except BaseException:
            self.close()
            raise
        self.schema = self._head.schema

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._bytes.close()

    # -- groups ------------------------------------------------------------------------------------------------------

    @property
    def groups(self) -> int:
        whole = self._codec is not None or not self._records.splittable
        return 1 if whole else max(-(-self._size // PART), 1)

    @property
    def footer(self) -> object:
        return self._head

    def rows(self, group: int) -> int:
        if not self._stored(group) or (self._codec is None and self._head.begin >= self._size):
            return 0
        return max(int(self._stored(group) / self._head.row_bytes), 1)

    def span(self, group: int) -> int:
        return STREAM_SPAN if self._codec is not None else self._stored(group)

    @property
    def whole_groups(self) -> bool:
        return False

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:  # noqa: ARG002
        return self._stored(group)  # text is read whole, whatever columns are asked for

    def column_range(self, group: int, name: str) -> ColumnRange | None:  # noqa: ARG002
        return None

    def _stored(self, group: int) -> int:
        if self.groups == 1:
            return self._size
        return min(PART, self._size - group * PART)

    # -- reading -----------------------------------------------------------------------------------------------------

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        types = self._types if self._types is not None else self.schema
        try:
            for group in groups:
                for at, block in self._blocks(group):
                    try:
                        batch = self._dialect.parse(block, self.schema.names, types, names)
                    except Fault as fault:
                        raise self._said(at, block, fault) from fault
                    yield from sliced(batch, rows)
        except (JobError, MemoryError):
            raise
        except pa.ArrowException as error:
            raise DataError(f"{self.path}: cannot be read: {said(error)}") from error
        except OSError as error:
            raise failure(self.path, "reading", error) from error

    def _blocks(self, group: int) -> Iterator[tuple[int, bytes]]:
        """The records of a group, some whole ones at a time, with the place where they begin."""
        if self.groups == 1:
            begin, end = self._head.begin, self._size
            if self._codec is not None:
                self._bytes.close()
                self._bytes = ByteStream(self._storage, self.path, self._codec)
                self._bytes.read(begin)
                end = 1 << 62
            else:
                self._bytes.seek(begin)
        else:
            begin, end = self._edge(group * PART), self._edge((group + 1) * PART)
            self._bytes.seek(begin)
        at, waiting, size = begin, b"", self._block
        while True:
            data = self._bytes.read(min(size, end - at - len(waiting)))
            last = len(data) < size or at + len(waiting) + len(data) >= end
            waiting = waiting + data if waiting else data
            if last:
                break
            cut = self._records.last_end(waiting)
            if cut:
                yield at, waiting[:cut]
                at, waiting = at + cut, waiting[cut:]
                size = self._block
            elif len(waiting) > MOST_RECORD:
                raise self._endless(at)
            else:
                size = len(waiting)
        if not self._records.closed(waiting):
            raise self._unclosed(at, end)
        if waiting:
            yield at, waiting

    def _edge(self, place: int) -> int:
        """Where the first record begins that begins at `place` or behind it, as far as the bytes there can tell."""
        if place <= self._head.begin:
            return self._head.begin
        if place >= self._size:
            return self._size
        size = 64 << 10
        while True:
            self._bytes.seek(place - 1)
            data = self._bytes.read(size)
            whole = place - 1 + len(data) >= self._size
            found = self._records.guess(data, whole)
            if found is not None:
                return max(place - 1 + found, self._head.begin)
            if size > MOST_RECORD + FAR:
                raise self._endless(place)
            size *= 4

    # -- the beginning -----------------------------------------------------------------------------------------------

    def _look(self, look: int) -> Head:
        if self._codec is not None:
            with self._storage.open(self.path) as file:
                check_beginning(self.path, self._codec, file.read(8), self._dialect.name)
        try:
            head, whole = self._beginning(look)
            mark = len(BOM) if head.startswith(BOM) else 0
            head = head[mark:]
            try:
                header, names = self._dialect.columns(head)
            except Fault as fault:
                raise self._said(mark, head, fault) from fault
            block = head[header:]
            if not whole or not self._records.closed(block):
                block = block[: self._records.last_end(block)]
            begin = mark + header
            schema = self._schema(names, block, begin)
            count = max(len(self._records.ends(block)) if len(block) < 1 << 16 else line_breaks(block), 1)
            stored = self._bytes.stored() if self._codec is not None else begin + len(block)
            share = len(block) / max(len(head), 1) if self._codec is not None else 1.0
            return Head(begin, schema, max(stored * share / count, 1.0))
        except OSError as error:
            raise failure(self.path, "reading", error) from error

    def _beginning(self, look: int) -> tuple[bytes, bool]:
        """The first `look` bytes, more where these hold no whole record; whether that is all there is."""
        head = self._bytes.read(look)
        if self._codec is None:
            check_beginning(self.path, None, head, self._dialect.name)
        wide = wide_encoding(head)
        if wide is not None:
            raise DataError(f"{self.path}: {advice(wide)}")
        whole = len(head) < look
        while not whole and not self._records.last_end(head):
            more = self._bytes.read(len(head))
            whole = len(more) < len(head)
            head += more
            if len(head) > MOST_RECORD:
                raise self._endless(0)
        return head, whole

    def _schema(self, names: Sequence[str], block: bytes, begin: int) -> pa.Schema:
        """block: the first records, which begin at `begin`."""
        if self._types is not None:
            return self._dialect.typed(names, self._types)
        try:
            return self._dialect.schema(names, block)
        except Fault as fault:
            raise self._said(begin, block, fault) from fault

    # -- what is wrong -----------------------------------------------------------------------------------------------

    def _said(self, at: int, block: bytes, fault: Fault) -> DataError:
        return DataError(f"{self.path}: {self._place(at, block[: fault.at])}{fault.message}")

    def _place(self, at: int, before: bytes) -> str:
        """The line of a record, counted from 1, where counting them is bearable."""
        if at > LINES_COUNTED:
            return f"behind byte {at + len(before):,}: "
        source = ByteStream(self._storage, self.path, self._codec)
        try:
            breaks = Breaks()
            while at > 0:
                data = source.read(min(at, BLOCK))
                if not data:
                    break
                breaks.add(data)
                at -= len(data)
        finally:
            source.close()
        breaks.add(before)
        return f"line {1 + breaks.count:,}: "

    def _unclosed(self, at: int, end: int) -> DataError:
        if self.groups > 1 and end < self._size:
            return DataError(
                f"{self.path}: a quoted value reaches over byte {end:,}, where the file was to be cut in order to be "
                "read in parts, in a way that the text around it does not show; set csv.newlinesInValues: true, which "
                "reads each file in one piece"
            )
        return DataError(
            f"{self.path}: {self._place(at, b'')}a quote is opened here or in a later line and never closed"
        )

    def _endless(self, at: int) -> DataError:
        return DataError(
            f"{self.path}: {self._place(at, b'')}a record of more than {readable(MOST_RECORD)} begins here; is a quote "
            f"never closed, or is this no {self._dialect.name} at all?"
        )
