"""One Parquet file, open: columns by their exact names, batches with bounded memory, errors that name the file.

Used by the reader, and by the plan for footers, probes and samples. pyarrow's own column selection takes a dot in a
name for a path into a struct; here columns are chosen by leaf index, so `a.b` is just a name.

Memory of one open file: column streams are buffered (`STREAM` bytes each, less where there are very many columns), so
a row group of any size costs its columns' buffers and one decoded batch. Files that Arrow cannot open itself (remote
ones) fetch a whole run of row groups ahead while its stored bytes are within `budget`, and are streamed beyond.
"""

from __future__ import annotations

import io
from collections.abc import Container, Iterator, Sequence
from types import TracebackType
from typing import Self, cast

import pyarrow as pa
import pyarrow.parquet as pq

from shuffle_protocol.errors import DataError, JobError
from shuffle_protocol.memory import LEAST_STREAM
from shuffle_worker.columns.arrow import children, parts
from shuffle_worker.columns.kinds import is_extension
from shuffle_worker.expressions.typed.statistics import ColumnRange, column_range
from shuffle_worker.readers.encryption import Encrypted, TailKept
from shuffle_worker.readers.int96 import FINE, WIDE, Int96, finer_columns, int96_columns, wants_fine
from shuffle_worker.storage.failures import failure, said
from shuffle_worker.storage.storage import Storage

STREAM = 1 << 20
"""Bytes of buffer of one column stream."""

BUDGET = 32 << 20
"""Stored bytes that may be held for one open file where the caller does not say."""

MAGIC = b"PAR1"


class ParquetSource:
    """An open Parquet file: a `Source` whose groups are row groups."""

    counted = True

    def __init__(
        self,
        storage: Storage,
        path: str,
        *,
        metadata: pq.FileMetaData | None = None,
        budget: int = BUDGET,
        types: pa.Schema | None = None,
        wanted: Container[str] | None = None,
    ) -> None:
        """types: what the columns are by the plan, None while it is being made; it decides the unit of INT96, and text
        that is a dictionary there is decoded as one. Without types the first values of INT96 are looked at; wanted:
        only of these columns, None for all."""
        self.path = path
        self._storage = storage
        self._budget = budget
        self._native = storage.native(path)
        self._sources: list[pa.NativeFile] = []
        self._dictionaries: list[int] = []
        self._kept: TailKept | None = None
        self._ahead: dict[str, pq.ParquetFile] = {}
        self._streamed: dict[str, tuple[pq.ParquetFile, int]] = {}
        try:
            first = self._first(metadata)
            self.metadata: pq.FileMetaData = first.metadata
            self.schema: pa.Schema = first.schema_arrow
            self._leaves = self._leaf_columns()
            # Of a footer that is handed over this is known: the plan has asked for the columns that are read
            self._encrypted = self._encrypted_columns() if metadata is None else Encrypted(path)
            # Arrow cannot read a dictionary inside of a nested column over the end of a row group
            self._alone = {field.name for field in self.schema if _dictionary_inside(field.type)}
            self._int96 = self._int96_of(types, wanted)
            self._dictionaries = self._text_as_dictionaries(types)
            if self._dictionaries:  # which Arrow is told when it opens a file
                self._first(self.metadata, self._sources[0])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._ahead.clear()
        self._streamed.clear()
        for source in self._sources:
            source.close()
        self._sources.clear()

    def leaves(self, names: Sequence[str]) -> list[int]:
        """The leaf columns of these top-level columns; absent ones are left out."""
        return [leaf for name in dict.fromkeys(names) for leaf in self._leaves.get(name, range(0))]

    @property
    def groups(self) -> int:
        return self.metadata.num_row_groups

    @property
    def footer(self) -> object:
        return self.metadata

    @property
    def whole_groups(self) -> bool:
        return False

    def rows(self, group: int) -> int:
        return self.metadata.row_group(group).num_rows

    def span(self, group: int) -> int:
        return self.rows(group)

    def stored_bytes(self, group: int, names: Sequence[str]) -> int:
        self._encrypted.check(names)
        return self._stored(group, self.leaves(names))

    def decoded_bytes(self, group: int, names: Sequence[str]) -> int:
        held = self.metadata.row_group(group)
        return sum(held.column(leaf).total_uncompressed_size for leaf in self.leaves(names))

    def column_range(self, group: int, name: str) -> ColumnRange | None:
        if name not in self._leaves:
            return None
        self._encrypted.check([name])
        kind = self.schema.field(name).type
        return column_range(self.metadata.row_group(group), self.leaves([name]), kind)

    def _stored(self, row_group: int, leaves: Sequence[int]) -> int:
        group = self.metadata.row_group(row_group)
        return sum(group.column(leaf).total_compressed_size for leaf in leaves)

    def batches(self, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Batches of at most `rows` rows of these columns (in the file's order) of consecutive row groups."""
        if self._int96 is not None and self._int96.among(names):
            yield from self._int96.batches(groups, names, rows)
        else:
            yield from self._decoded(WIDE, groups, names, rows)

    def _decoded(self, unit: str, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """unit: that INT96 is decoded to."""
        leaves = self.leaves(names)
        alone = any(name in self._alone for name in names)
        for run in [[group] for group in groups] if alone else [list(groups)]:
            stored = sum(self._stored(group, leaves) for group in run)
            yield from self._run(self._reader(stored, len(leaves), unit), run, names, rows)

    def _run(
        self, file: pq.ParquetFile, groups: Sequence[int], names: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        leaves = self.leaves(names)
        try:
            yield from file.reader.iter_batches(rows, row_groups=groups, column_indices=leaves, use_threads=False)  # type: ignore[arg-type]
        except (JobError, MemoryError):
            raise
        except pa.ArrowNotImplementedError as error:
            raise self._unreadable(error, names) from error
        except (OSError, pa.ArrowException, ValueError) as error:
            raise self._corrupt(error, groups) from error

    # -- opening -----------------------------------------------------------------------------------------------------

    def _first(self, metadata: pq.FileMetaData | None, source: pa.NativeFile | None = None) -> pq.ParquetFile:
        file = self._open(metadata, ahead=self._native is None, leaves=1, source=source)
        if self._native is None:
            self._ahead[WIDE] = file
        else:
            self._streamed[WIDE] = (file, 16)  # enough columns to share `BUDGET` at full buffers
        return file

    def _reader(self, stored: int, leaves: int, unit: str) -> pq.ParquetFile:
        if self._native is None and stored <= self._budget:
            if unit not in self._ahead:
                self._ahead[unit] = self._open(self.metadata, ahead=True, leaves=leaves, unit=unit)
            return self._ahead[unit]
        file, room = self._streamed.get(unit, (None, 0))
        if file is None or leaves > room:
            file = self._open(self.metadata, ahead=False, leaves=leaves, unit=unit)
            self._streamed[unit] = (file, leaves)
        return file

    def _text_as_dictionaries(self, types: pa.Schema | None) -> list[int]:
        """The leaf columns of text that the plan has as dictionaries."""
        return [
            self._leaves[field.name].start
            for field in types or ()
            if pa.types.is_dictionary(field.type)
            and field.name in self._leaves
            and self.schema.field(field.name).type == field.type.value_type
        ]

    def _int96_of(self, types: pa.Schema | None, wanted: Container[str] | None) -> Int96 | None:
        """How INT96 columns are read, which gives them their types; None where there are none."""
        names = self._encrypted.without(int96_columns(self.metadata, self.schema, self._leaves))
        if not names:
            return None
        if types is None:
            fine = self._finer([name for name in names if wanted is None or name in wanted])
        else:
            known = [name for name in names if types.get_field_index(name) >= 0]
            fine = {name for name in known if wants_fine(self.schema.field(name).type, types.field(name).type)}
        if fine:
            finest = self._reader(0, len(fine), FINE).schema_arrow
            for name in fine:
                self.schema = self.schema.set(self.schema.get_field_index(name), finest.field(name))
        return Int96(self.path, names, fine, self._decoded)

    def _finer(self, names: Sequence[str]) -> set[str]:
        """Looks at a page of each of these columns at a time, however large their row groups are: many files are looked
        at at once."""
        if not names:
            return set()
        least = self._budget // LEAST_STREAM
        files = {unit: self._open(self.metadata, ahead=False, leaves=least, unit=unit) for unit in (WIDE, FINE)}

        def decoded(unit: str, groups: Sequence[int], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
            return self._run(files[unit], groups, names, rows)

        return finer_columns(decoded, names, self.groups)

    def _open(
        self,
        metadata: pq.FileMetaData | None,
        *,
        ahead: bool,
        leaves: int,
        unit: str = WIDE,
        source: pa.NativeFile | None = None,
    ) -> pq.ParquetFile:
        """source: the file's bytes, where they were opened before."""
        stream = max(LEAST_STREAM, min(STREAM, self._budget // max(leaves, 1)))
        try:
            if source is None:
                source = self._opened(footer=metadata is None)
                self._sources.append(source)
            return pq.ParquetFile(
                source,
                metadata=metadata,
                pre_buffer=ahead,
                buffer_size=0 if ahead else stream,
                coerce_int96_timestamp_unit=unit,
                read_dictionary=self._dictionaries,  # type: ignore[arg-type]
                page_checksum_verification=True,  # where the file has them; costs nothing where it has none
            )
        except JobError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise failure(self.path, "reading", error) from error
            raise self._not_parquet(error) from error
        except (pa.ArrowException, ValueError) as error:
            raise self._not_parquet(error) from error

    def _opened(self, *, footer: bool) -> pa.NativeFile:
        if self._native is not None:
            return pa.OSFile(self._native, "rb")
        return pa.PythonFile(self._remote(footer=footer), mode="r")

    def _remote(self, *, footer: bool) -> io.IOBase:
        """footer: it is about to be read, so the end of the file is remembered."""
        file = self._storage.open(self.path)
        if not footer:
            return cast("io.IOBase", file)
        size = file.seek(0, 2)
        file.seek(0)
        self._kept = TailKept(file, size)
        return self._kept

    def _encrypted_columns(self) -> Encrypted:
        tail = self._kept.tail if self._kept is not None else b""
        return Encrypted.of(self.path, self._storage, self.metadata.serialized_size, self._leaves, tail)

    def _not_parquet(self, error: Exception) -> DataError:
        """Why the footer could not be read: empty, cut off, something else altogether, or damaged."""
        with self._storage.open(self.path) as file:
            head = file.read(4)
            size = file.seek(0, 2)
            file.seek(max(size - 4, 0))
            tail = file.read(4)
        if size == 0:
            return DataError(f"{self.path}: the file is empty (zero bytes); remove it, or leave it out of `path`")
        if b"PARE" in (head, tail):
            return DataError(
                f"{self.path}: the file's footer is encrypted, which is not supported; write it decrypted, or leave it "
                "out of `path`"
            )
        if head == MAGIC and tail != MAGIC:
            return DataError(
                f"{self.path}: the file is truncated: it begins as Parquet, but its end ({size} bytes) is no footer; "
                "write or copy it again"
            )
        if head != MAGIC:
            return DataError(
                f"{self.path}: not a Parquet file, in spite of its name or folder (it begins with {head!r}); "
                "leave it out of `path` with a glob such as *.parquet, or set `format`"
            )
        return DataError(f"{self.path}: the Parquet footer is damaged: {said(error)}")

    def _unreadable(self, error: Exception, names: Sequence[str]) -> DataError:
        return DataError(
            f"{self.path}: one of the columns {', '.join(names)} is stored in a way that cannot be read "
            f"({said(error)}); leave it out with `columns`"
        )

    def _corrupt(self, error: Exception, row_groups: Sequence[int]) -> JobError:
        if isinstance(error, OSError) and error.errno is not None:
            return failure(self.path, "reading", error)
        one = f"row group {row_groups[0]}"
        where = one if len(row_groups) == 1 else f"row groups {row_groups[0]} to {row_groups[-1]}"
        return DataError(f"{self.path}: {where} cannot be read: {said(error)}; the file is damaged, write it again")

    def _leaf_columns(self) -> dict[str, range]:
        out: dict[str, range] = {}
        at = 0
        for field in self.schema:
            if field.name in out:
                raise DataError(f"{self.path}: two columns are called {field.name!r}; rename one of them")
            count = _leaf_count(field.type)
            out[field.name] = range(at, at + count)
            at += count
        if at != self.metadata.num_columns:
            raise DataError(
                f"{self.path}: its footer lists {self.metadata.num_columns} columns where its schema has {at}; "
                "the file is damaged, or written by something that this reader does not know"
            )
        return out


def _leaf_count(kind: pa.DataType) -> int:
    """Parquet columns that one Arrow column is stored in."""
    if is_extension(kind):
        return _leaf_count(parts(kind).storage_type)
    if pa.types.is_dictionary(kind):
        return 1
    if pa.types.is_nested(kind):
        return sum(_leaf_count(field.type) for field in children(kind))
    return 1


def _dictionary_inside(kind: pa.DataType) -> bool:
    return pa.types.is_nested(kind) and any(
        pa.types.is_dictionary(field.type) or _dictionary_inside(field.type) for field in children(kind)
    )
