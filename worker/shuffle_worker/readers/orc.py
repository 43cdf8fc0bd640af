"""ORC: stripes one by one where they are small, the whole file as one stream of batches where they are large.

Arrow decodes a stripe at once, so stripes of more than `MOST_STRIPE` stored bytes are not read so: their file is one
group, streamed in batches, which costs parallel reading within the file and nothing else. Arrow says how many rows a
file has but not how many each stripe: every stripe takes as many positions as the file has rows.

Memory: one decoded stripe of up to `MOST_STRIPE` stored bytes, or the streams of the columns read and one batch.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, cast

import pyarrow as pa
import pyarrow.orc as po

from shuffle_protocol.errors import DataError, JobError
from shuffle_protocol.names import check_once
from shuffle_worker.columns.kinds import holds
from shuffle_worker.expressions.statistics import ColumnRange
from shuffle_worker.readers.source import bad_columns, sliced, unreadable
from shuffle_worker.storage.failures import failure, said
from shuffle_worker.storage.storage import Info, Storage

MOST_STRIPE = 16 << 20
"""Stored bytes of a stripe, on average over a file, up to which stripes are read one by one."""

BEYOND = "out of range for nanosecond"
"""In what Arrow says of a time outside of 1677 to 2262, which ORC holds and its reader does not."""

MAGIC = b"ORC"
BUFFER = 1 << 20


class OrcSource:
    """A `Source`."""

    def __init__(self, storage: Storage, info: Info) -> None:
        self.path = info.path
        self._storage = storage
        self._size = info.size
        self._open: list[pa.NativeFile] = []
        try:
            with storage.open(info.path) as file:
                head = file.read(3)
            if head != MAGIC:
                raise DataError(
                    f"{self.path}: not ORC, in spite of its name or folder (it begins with {head!r}); leave it out of "
                    "`path`, or set `format`"
                )
            self._file = po.ORCFile(self._native())
            self.schema: pa.Schema = self._file.schema
        except (JobError, MemoryError):
            self.close()
            raise
        except pa.ArrowNotImplementedError as error:
            self.close()
            raise self._not_a_table(error) from error
        except BaseException as error:
            self.close()
            raise self._damaged(error, "its footer") from error
        self._rows = int(self._file.nrows)
        self._stripes = int(self._file.nstripes)
        self._streamed = self._stripes > 0 and self._size / self._stripes > MOST_STRIPE
        self.counted = self.groups <= 1
        check_once(self.schema.names, self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for file in self._open:
            file.close()
        self._open.clear()

    @property
    def groups(self) -> int:
        return min(self._stripes, 1) if self._streamed else self._stripes

    @property
    def footer(self) -> object:
        return None

    def rows(self, group: int) -> int:
        if self.groups == 1:
            return self._rows
        share, rest = divmod(self._rows, self.groups)
        return share + (group < rest)

    def span(self, group: int) -> int:  # noqa: ARG002
        return self._rows

    @property
    def whole_groups(self) -> bool:
        return not self._streamed

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:
        """Shared out evenly among stripes and columns, for Arrow does not say more."""
        known = sum(1 for name in names if name in self.schema.names)
        of_group = self._size // self.groups + (group < self._size % self.groups)
        return -(-of_group * known // max(len(self.schema), 1))

    def column_range(self, group: int, name: str) -> ColumnRange | None:  # noqa: ARG002
        return None

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        wanted = [name for name in self.schema.names if name in set(names)]
        which, stripe = "", 0
        try:
            if self._streamed:
                which = "a stripe"
                yield from self._stream(wanted, rows)
                return
            for stripe in groups:
                which = f"stripe {stripe}"
                batch = self._file.read_stripe(stripe, columns=self._asked(wanted))
                yield from sliced(batch.select(wanted), rows)
        except (JobError, MemoryError):
            raise
        except (OSError, pa.ArrowException, ValueError) as error:
            bad = self._unreadable(wanted, stripe, error)
            if bad:
                raise unreadable(self.path, which, bad, self.schema, error) from error
            raise self._damaged(error, which) from error

    def _unreadable(self, wanted: list[str], stripe: int, error: Exception) -> list[str]:
        """The columns to blame for the error, where it is not the file."""
        bad: list[str] = []
        if not self._streamed:
            bad = bad_columns(
                error, BEYOND, wanted, lambda name: self._file.read_stripe(stripe, columns=self._asked([name]))
            )
        if not bad and BEYOND in str(error):
            bad = [name for name in wanted if holds(self.schema.field(name).type, pa.types.is_timestamp)]
        return bad

    def _stream(self, wanted: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        import pyarrow.dataset as ds  # only where it is needed: it takes 50 ms to load

        fragment = ds.OrcFileFormat().make_fragment(self._native())  # type: ignore[arg-type]
        for batch in fragment.to_batches(columns=self._asked(wanted), batch_size=rows, use_threads=False):
            yield batch.select(wanted)

    def _asked(self, wanted: list[str]) -> list[str] | None:
        """What the library is asked for, which takes a dot in a name for a path into a struct: then for everything."""
        return None if any("." in name for name in wanted) else wanted or self.schema.names[:1]

    def _native(self) -> pa.NativeFile:
        native = self._storage.native(self.path)
        if native is not None:
            file: pa.NativeFile = pa.OSFile(native, "rb")
        else:
            raw = io.BufferedReader(cast("io.RawIOBase", self._storage.open(self.path)), BUFFER)
            file = pa.PythonFile(cast("io.IOBase", raw), mode="r")
        self._open.append(file)
        return file

    def _not_a_table(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path}: its type cannot be read as a table ({said(error)}); write it again with columns, which in "
            "ORC is a struct at the top, or leave it out of `path`"
        )

    def _damaged(self, error: BaseException, what: str) -> BaseException:
        if isinstance(error, OSError) and error.errno is not None:
            return failure(self.path, "reading", error)
        if isinstance(error, OSError | pa.ArrowException | ValueError):
            return DataError(
                f"{self.path}: {what} cannot be read: {said(error)}; the file is damaged or cut off, write it again"
            )
        return error
