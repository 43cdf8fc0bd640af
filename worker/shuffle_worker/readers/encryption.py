"""Which columns of a Parquet file are encrypted, where its footer is not.

Such a footer is signed: it is 28 bytes longer than the metadata in it, which distinguishes it from all others at no
cost. What it says of encrypted columns Arrow cannot be asked without a key: that ends the process. So this module reads
the footer itself: it is Thrift's compact protocol, of which only what leads to the columns is looked at.

Called by the Parquet source, for signed footers alone. Memory: the footer, which its caller has read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

from shuffle_protocol.errors import DataError
from shuffle_worker.storage.storage import Storage

SIGNATURE = 28
"""Bytes of a signed footer's signature: a nonce of 12 and a tag of 16."""

TAIL = 8
"""Bytes at the end of a file: the footer's length and the magic word."""

ROW_GROUPS = 4
COLUMNS = 1
CRYPTO_METADATA = 8
"""Numbers of fields in FileMetaData, RowGroup and ColumnChunk."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class TailKept(io.RawIOBase):
    """A file that remembers the last `TAIL` bytes of what was read at its end: from a store every read is a request."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file = file
        self._size = size
        self.tail = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = -1) -> bytes:
        data = self._file.read(-1 if size is None else size)
        if len(data) >= TAIL and self._file.tell() == self._size:
            self.tail = data[-TAIL:]
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


class Encrypted:
    """The top-level columns of a file that are encrypted. Arrow must not be asked for anything of them."""

    def __init__(self, path: str, names: Iterable[str] = ()) -> None:
        self._path = path
        self._names = frozenset(names)

    @classmethod
    def of(cls, path: str, storage: Storage, size: int, leaves: Mapping[str, range], tail: bytes) -> Encrypted:
        """size: of the metadata in the footer, in bytes. leaves: of each column. tail: its last bytes, empty where they
        must be read. Raises DataError where a signed footer is damaged."""
        length = footer_length(tail or _ending(storage, path, TAIL, 0))
        if length != size + SIGNATURE:
            return cls(path)
        try:
            found = encrypted_leaves(_ending(storage, path, length, TAIL))
        except ValueError as error:
            raise DataError(f"{path}: the Parquet footer is damaged: {error}") from error
        return cls(path, [name for name, mine in leaves.items() if not found.isdisjoint(mine)])

    def without(self, names: Iterable[str]) -> list[str]:
        """Those that are not encrypted."""
        return [name for name in names if name not in self._names]

    def check(self, names: Sequence[str]) -> None:
        """Raises DataError where any of these is encrypted."""
        wrong = [repr(name) for name in names if name in self._names] if self._names else []
        if wrong:
            columns = f"column {wrong[0]} is" if len(wrong) == 1 else f"columns {', '.join(wrong)} are"
            raise DataError(
                f"{self._path}: {columns} encrypted, which is not supported; name the other columns in `columns`"
            )


def _ending(storage: Storage, path: str, length: int, before: int) -> bytes:
    """Some bytes of a file, at a distance from its end."""
    with storage.open(path) as file:
        file.seek(-length - before, io.SEEK_END)
        return file.read(length)


def footer_length(tail: bytes) -> int:
    """tail: the last `TAIL` bytes of a file."""
    return int.from_bytes(tail[:4], "little")


def encrypted_leaves(footer: bytes) -> frozenset[int]:
    """The leaf columns, by their place in the schema, that are encrypted in any row group. Raises ValueError where the
    bytes are no footer."""
    found: set[int] = set()
    compact = _Compact(footer)

    def row_group() -> None:
        numbers = iter(range(1 << 31))
        compact.struct({COLUMNS: lambda: compact.sequence(lambda: column(next(numbers)))})

    def column(leaf: int) -> None:
        if CRYPTO_METADATA in compact.struct({}):
            found.add(leaf)

    try:
        compact.struct({ROW_GROUPS: lambda: compact.sequence(row_group)})
    except (IndexError, RecursionError) as error:
        raise ValueError("no Parquet footer") from error
    return frozenset(found)


class _Compact:
    """Thrift's compact protocol; fields that are not asked for are skipped."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, wanted: dict[int, Callable[[], None]]) -> set[int]:
        """wanted: what reads the fields of these numbers. Returns the numbers of all fields."""
        seen: set[int] = set()
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            seen.add(number)
            read = wanted.get(number)
            if read is not None:
                read()
            else:
                self._skip(head & 15, inside=False)
        return seen

    def sequence(self, each: Callable[[], object]) -> None:
        for _ in range(self._sequence_head()[0]):
            each()

    def _sequence_head(self) -> tuple[int, int]:
        """How many, and of which type."""
        head = self._byte()
        return (head >> 4 if head >> 4 < 15 else self._varint()), head & 15

    def _skip(self, kind: int, *, inside: bool) -> None:
        """inside: of a list or map, where a boolean takes a byte."""
        if kind in (_TRUE, _FALSE):
            self._at += inside
        elif kind == _BYTE:
            self._at += 1
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            length = self._varint()
            self._at += length
        elif kind in (_LIST, _SET):
            count, each = self._sequence_head()
            for _ in range(count):
                self._skip(each, inside=True)
        elif kind == _MAP:
            self._skip_map()
        elif kind == _STRUCT:
            self.struct({})
        else:
            raise ValueError(f"no Parquet footer: a field of type {kind}")

    def _skip_map(self) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._skip(kinds >> 4, inside=True)
            self._skip(kinds & 15, inside=True)

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
