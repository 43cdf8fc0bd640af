"""What sources of Feather and ORC have in common: the file as Arrow opens it, its groups decoded one by one or streamed
as one, and which columns are to blame where Arrow cannot read them."""

from __future__ import annotations

import io
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import ClassVar, Self, cast

import pyarrow as pa

from shuffle_protocol.errors import DataError, JobError
from shuffle_worker.expressions.typed.statistics import ColumnRange
from shuffle_worker.readers.source import bad_columns, sliced, unreadable
from shuffle_worker.storage.failures import failure, said
from shuffle_worker.storage.storage import Info, Storage

BUFFER = 1 << 20
"""Bytes asked of storage at once where a file is read from its beginning to its end."""

Decode = Callable[[int], Iterable[pa.RecordBatch]]
"""The batches of a group, with the columns asked for and perhaps others."""


class ArrowFile(ABC):
    """A `Source`, but for what the format knows of its groups. streamed: the file is one group, which is not decoded at
    once."""

    CANNOT: ClassVar[str]
    """In what Arrow says of a column that it cannot read, where it raises no error of that kind."""

    schema: pa.Schema
    counted: bool
    _streamed: bool

    def __init__(self, storage: Storage, info: Info) -> None:
        self.path = info.path
        self._storage = storage
        self._size = info.size
        self._open: list[pa.NativeFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for file in self._open:
            file.close()
        self._open.clear()

    @property
    def whole_groups(self) -> bool:
        return not self._streamed

    def column_range(self, group: int, name: str) -> ColumnRange | None:  # noqa: ARG002
        return None

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        wanted = [name for name in self.schema.names if name in set(names)]
        group = groups[0] if groups else 0
        try:
            decode = self._decoder(wanted, rows)
            for group in groups:
                for batch in decode(group):
                    yield from sliced(batch.select(wanted), rows)
        except (JobError, MemoryError):
            raise
        except (OSError, pa.ArrowException, ValueError) as error:
            place, bad = self._place(group), self._unreadable(wanted, group, rows, error)
            if bad:
                raise unreadable(self.path, place, bad, self.schema, error) from error
            raise self._damaged(error, place) from error

    @abstractmethod
    def _decoder(self, wanted: list[str], rows: int) -> Decode:
        """For some of the columns; rows: of a batch, where the format can choose."""

    @abstractmethod
    def _place(self, group: int) -> str:
        """What a group is called."""

    @abstractmethod
    def _suspects(self, wanted: list[str]) -> list[str]:
        """The columns that Arrow's words are about, where it cannot be found out by reading each alone."""

    def _unreadable(self, wanted: list[str], group: int, rows: int, error: Exception) -> list[str]:
        """The columns to blame for the error, where it is not the file."""

        def alone(name: str) -> None:
            for _ in self._decoder([name], rows)(group):
                pass

        bad = [] if self._streamed else bad_columns(error, self.CANNOT, wanted, alone)
        return bad or (self._suspects(wanted) if self.CANNOT in str(error) else [])

    def _native(self, *, buffered: bool) -> pa.NativeFile:
        """The file, open until this is closed. buffered: it is read from its beginning to its end."""
        native = self._storage.native(self.path)
        if native is not None:
            file: pa.NativeFile = pa.OSFile(native, "rb")
        else:
            raw = cast("io.RawIOBase", self._storage.open(self.path))
            file = pa.PythonFile(cast("io.IOBase", io.BufferedReader(raw, BUFFER) if buffered else raw), mode="r")
        self._open.append(file)
        return file

    def _damaged(self, error: BaseException, what: str) -> BaseException:
        if isinstance(error, OSError) and error.errno is not None:
            return failure(self.path, "reading", error)
        if isinstance(error, OSError | pa.ArrowException | ValueError | struct.error | IndexError):
            return DataError(
                f"{self.path}: {what} cannot be read: {said(error)}; the file is damaged or cut off, write it again"
            )
        return error
