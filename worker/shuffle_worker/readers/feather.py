"""Feather and Arrow IPC: record batches of the file format one by one, the stream format as it comes.

The file format's footer says where each batch lies, and a batch's own header how many rows it has: both are read from
their flatbuffers here (a few numbers), for Arrow's reader shows neither without reading the batch.

Memory: one decoded record batch; files with larger ones than fit are refused when the job is planned.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import NamedTuple, cast

import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_protocol.names import check_once
from shuffle_worker.columns.kinds import holds
from shuffle_worker.readers.arrow_file import ArrowFile, Decode
from shuffle_worker.readers.source import STREAM_SPAN
from shuffle_worker.storage.storage import Info, Storage

FILE_MAGIC = b"ARROW1"
V1_MAGIC = b"FEA1"
STREAM_MAGIC = b"\xff\xff\xff\xff"


class Batch(NamedTuple):
    """A record batch of the file format: its stored bytes, with its header, and its rows."""

    bytes: int
    rows: int


class FeatherSource(ArrowFile):
    """A `Source`."""

    CANNOT = "buffer_index"  # of a dictionary of dictionaries, which Arrow writes and does not read

    def __init__(self, storage: Storage, info: Info, footer: object = None) -> None:
        super().__init__(storage, info)
        try:
            with storage.open(info.path) as file:
                head = file.read(8)
                self._check(head, file)
                self._streamed = not head.startswith(FILE_MAGIC)
                self._batches: list[Batch] = []
                if isinstance(footer, list):
                    self._batches = footer
                elif not self._streamed:
                    self._batches = _batches(cast("io.RawIOBase", file), info)
            self.schema = self._reader(None).schema
            self._sample = 64.0 if not self._streamed else self._row_bytes()
        except BaseException as error:
            self.close()
            raise self._damaged(error, "its footer") from error
        self.counted = not self._streamed
        check_once(self.schema.names, self.path)

    @property
    def groups(self) -> int:
        return 1 if self._streamed else len(self._batches)

    @property
    def footer(self) -> object:
        return self._batches

    def rows(self, group: int) -> int:
        return max(int(self._size / self._sample), 1) if self._streamed else self._batches[group].rows

    def span(self, group: int) -> int:
        return STREAM_SPAN if self._streamed else self._batches[group].rows

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:
        """Shared out evenly among the columns, because the file does not say."""
        if self._streamed:
            return self._size
        known = sum(1 for name in names if name in self.schema.names)
        return -(-self._batches[group].bytes * known // max(len(self.schema), 1))

    def _decoder(self, wanted: list[str], rows: int) -> Decode:  # noqa: ARG002
        reader = self._reader(wanted)
        if isinstance(reader, pa.ipc.RecordBatchStreamReader):
            return lambda _: reader
        return lambda group: [reader.get_batch(group)]

    def _place(self, group: int) -> str:
        return "the stream" if self._streamed else f"record batch {group}"

    def _suspects(self, wanted: list[str]) -> list[str]:  # noqa: ARG002
        return [field.name for field in self.schema if holds(field.type, pa.types.is_dictionary)]

    def _reader(self, names: Sequence[str] | None) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
        file = self._native(buffered=self._streamed)
        if self._streamed:
            return pa.ipc.open_stream(file)
        options = None
        if names is not None:
            # Arrow takes an empty list of fields for all of them; `batches` leaves the others out
            fields = [self.schema.get_field_index(name) for name in names]
            options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        return pa.ipc.open_file(file, options=options)

    def _row_bytes(self) -> float:
        """Stored bytes of a row, by the first batch that has some."""
        for batch in cast("pa.ipc.RecordBatchStreamReader", self._reader(None)):
            if batch.num_rows:
                return float(max(batch.nbytes / batch.num_rows, 1.0))
        return 1.0

    def _check(self, head: bytes, file: object) -> None:
        if head.startswith(V1_MAGIC):
            raise DataError(
                f"{self.path}: Feather version 1, which is not read any more; write it again as version 2 "
                "(pyarrow.feather.write_feather does)"
            )
        if head.startswith(FILE_MAGIC):
            tail = cast("io.RawIOBase", file)
            tail.seek(-len(FILE_MAGIC), io.SEEK_END)
            if tail.read(len(FILE_MAGIC)) != FILE_MAGIC:
                raise DataError(
                    f"{self.path}: the file is truncated: it begins as Feather, but its end is no footer; write or "
                    "copy it again"
                )
        elif not head.startswith(STREAM_MAGIC) and not _begins_old_stream(head, self._size):
            raise DataError(
                f"{self.path}: not Feather (Arrow IPC), in spite of its name or folder (it begins with {head[:6]!r}); "
                "leave it out of `path`, or set `format`"
            )


# -- flatbuffers: tables of fields by number, each at an offset that the table's vtable says -------------------------


def _batches(file: io.RawIOBase, info: Info) -> list[Batch]:
    """The record batches that the footer lists."""
    file.seek(info.size - 10)
    length = struct.unpack("<i", _exactly(file, 4))[0]
    if not 0 < length <= info.size - 10:
        raise ValueError(f"a footer of {length} bytes")
    file.seek(info.size - 10 - length)
    footer = _exactly(file, length)
    place = _field(footer, _root(footer), 3)
    if place is None:
        return []
    vector = place + struct.unpack_from("<I", footer, place)[0]
    count = struct.unpack_from("<I", footer, vector)[0]
    found: list[Batch] = []
    for at in range(count):
        offset, header, body = struct.unpack_from("<qi4xq", footer, vector + 4 + 24 * at)
        if offset < 0 or header <= 8 or body < 0 or offset + header + body > info.size:
            raise ValueError(f"record batch {at} lies outside of the file")
        file.seek(offset)
        message = _exactly(file, header)
        message = message[8:] if message[:4] == STREAM_MAGIC else message[4:]
        table = _field(message, _root(message), 2)
        if table is None:
            raise ValueError(f"record batch {at} has no header")
        table += struct.unpack_from("<I", message, table)[0]
        rows = _field(message, table, 0)
        found.append(Batch(header + body, 0 if rows is None else struct.unpack_from("<q", message, rows)[0]))
    return found


def _begins_old_stream(head: bytes, size: int) -> bool:
    """Whether it is a stream as it was until Arrow 0.15, without a mark: the length of the schema's message, then
    where in the message its root is. head: the first 8 bytes."""
    length, root = struct.unpack("<iI", head) if len(head) == 8 else (0, 0)
    return bool(8 <= length <= size - 4 and 4 <= root < length)


def _root(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 0)[0])


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a table's field is; None where it has its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + at)[0] if at < size else 0
    return table + offset if offset else None


def _exactly(file: io.RawIOBase, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = file.read(size - len(data))
        if not part:
            raise ValueError("the file ends in the middle of it")
        data += part
    return data
