"""ORC: stripes one by one where they are small, the whole file as one stream of batches where they are large.

Arrow decodes a stripe at once, so stripes of more than `MOST_STRIPE` stored bytes are not read so: their file is one
group, streamed in batches, which costs parallel reading within the file and nothing else. Arrow says how many rows a
file has but not how many each stripe: every stripe takes as many positions as the file has rows.

Memory: one decoded stripe of up to `MOST_STRIPE` stored bytes, or the streams of the columns read and one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.orc as po

from shuffle_protocol.errors import DataError, JobError
from shuffle_protocol.names import check_once
from shuffle_worker.columns.kinds import holds
from shuffle_worker.readers.arrow_file import ArrowFile, Decode
from shuffle_worker.storage.failures import said
from shuffle_worker.storage.storage import Info, Storage

MOST_STRIPE = 16 << 20
"""Stored bytes of a stripe, on average over a file, up to which stripes are read one by one."""

MAGIC = b"ORC"


class OrcSource(ArrowFile):
    """A `Source`."""

    CANNOT = "out of range for nanosecond"  # of a time outside of 1677 to 2262, which ORC holds and its reader does not

    def __init__(self, storage: Storage, info: Info) -> None:
        super().__init__(storage, info)
        try:
            with storage.open(info.path) as file:
                head = file.read(3)
            if head != MAGIC:
                raise DataError(
                    f"{self.path}: not ORC, in spite of its name or folder (it begins with {head!r}); leave it out of "
                    "`path`, or set `format`"
                )
            self._file = po.ORCFile(self._native(buffered=True))
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

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:
        """Shared out evenly among stripes and columns, because Arrow does not say more."""
        known = sum(1 for name in names if name in self.schema.names)
        of_group = self._size // self.groups + (group < self._size % self.groups)
        return -(-of_group * known // max(len(self.schema), 1))

    def _decoder(self, wanted: list[str], rows: int) -> Decode:
        asked = self._asked(wanted)
        if self._streamed:
            return lambda _: self._stream(asked, rows)
        return lambda stripe: [self._file.read_stripe(stripe, columns=asked)]

    def _place(self, group: int) -> str:
        return "a stripe" if self._streamed else f"stripe {group}"

    def _suspects(self, wanted: list[str]) -> list[str]:
        return [name for name in wanted if holds(self.schema.field(name).type, pa.types.is_timestamp)]

    def _stream(self, asked: list[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        import pyarrow.dataset as ds  # only where it is needed: it takes 50 ms to load

        fragment = ds.OrcFileFormat().make_fragment(self._native(buffered=True))  # type: ignore[arg-type]
        return fragment.to_batches(columns=asked, batch_size=rows, use_threads=False)

    def _asked(self, wanted: list[str]) -> list[str] | None:
        """What the library is asked for, which takes a dot in a name for a path into a struct: then for everything."""
        return None if any("." in name for name in wanted) else wanted or self.schema.names[:1]

    def _not_a_table(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path}: its type cannot be read as a table ({said(error)}); write it again with columns, which in "
            "ORC is a struct at the top, or leave it out of `path`"
        )
