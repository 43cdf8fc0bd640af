"""What window functions keep of rows between taking them in and giving results: columns, read by row number.

Where whole windows fit in memory that is an array. For a window that does not fit it is a file on scratch, written in
the order of the rows; of it some chunks are read at a time, for the rows that are asked for lie near each other.

Memory of what lies on scratch: four chunks, or four times the rows that are asked for, whichever is more.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_protocol.errors import OutOfDisk, OutOfMemory
from shuffle_protocol.units import readable
from shuffle_worker.columns.arrays import I64, Array, indices, indices_where
from shuffle_worker.columns.arrow import nulls

Numeric = npt.NDArray[Any]

NONE = -1
"""No row."""


class Numbers(Protocol):
    """A number for each row, or for each of whatever is counted."""

    def add(self, numbers: Numeric) -> None: ...

    def at(self, places: I64) -> Numeric:
        """Those at some places, which must be there."""
        ...

    def __len__(self) -> int: ...


class KeptColumn(Protocol):
    """A column."""

    def add(self, array: Array) -> None: ...

    def at(self, places: I64) -> Array:
        """The values of some rows; null for `NONE`."""
        ...


class Space(Protocol):
    """Where to keep them."""

    rows: int | None
    """How many rows will come; None where that is not known yet."""

    def numbers(self, dtype: npt.DTypeLike = np.int64) -> Numbers: ...

    def values(self, kind: pa.DataType) -> KeptColumn: ...


class MemorySpace:
    def __init__(self, rows: int | None) -> None:
        self.rows = rows
        self._made: list[_MemoryNumbers | _MemoryColumn] = []

    def numbers(self, dtype: npt.DTypeLike = np.int64) -> Numbers:
        made = _MemoryNumbers(dtype)
        self._made.append(made)
        return made

    def values(self, kind: pa.DataType) -> KeptColumn:
        made = _MemoryColumn(kind)
        self._made.append(made)
        return made

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self._made)


class _MemoryNumbers:
    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._held: list[Numeric] = []
        self._count = 0

    def add(self, numbers: Numeric) -> None:
        self._held.append(numbers.astype(self._dtype, copy=False))
        self._count += len(numbers)

    def at(self, places: I64) -> Numeric:
        if len(self._held) != 1:
            self._held = [np.concatenate(self._held) if self._held else np.empty(0, self._dtype)]
        return self._held[0].take(places)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return self._count * self._dtype.itemsize


class _MemoryColumn:
    """In pieces as they came: in one piece text may have no more than 2 GiB, and putting it together takes as much
    again."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._held: list[Array] = []
        self._starts = [0]
        self.nbytes = 0

    def add(self, array: Array) -> None:
        self._held.append(array)
        self._starts.append(self._starts[-1] + len(array))
        self.nbytes += array.nbytes

    def at(self, places: I64) -> Array:
        if len(self._held) == 1:
            return _picked(self._held[0], places)
        return _gathered(self._held.__getitem__, self._starts, places, self._kind)


def _gathered(chunk: Callable[[int], Array], starts: list[int], places: I64, kind: pa.DataType) -> Array:
    """The values of some rows of a column in chunks. starts: the first row of each, and the row after all."""
    numbers = np.where(places == NONE, NONE, np.searchsorted(np.array(starts, np.int64), places, "right") - 1)
    taken: list[Array] = []
    order = np.full(len(places), NONE, np.int64)
    count = 0
    for number, rows in by_chunk(numbers):
        if number == NONE:
            continue
        wanted, back = np.unique(places[rows] - starts[number], return_inverse=True)
        taken.append(pc.take(chunk(number), indices(wanted), boundscheck=False))
        order[rows] = back + count
        count += len(wanted)
    if not taken:
        return nulls(len(places), kind)
    return _picked(pa.concat_arrays(taken), order)


def _picked(array: Array, places: I64) -> Array:
    absent = places == NONE
    if not absent.any():
        found: Array = pc.take(array, indices(places), boundscheck=False)
        return found
    if not len(array):
        return nulls(len(places), array.type)
    taken: Array = pc.take(array, indices_where(~absent, places), boundscheck=False)
    return taken


class ScratchSpace:
    """scratch: a folder in which one is made for these files, None where there is none. rows: numbers that are read at
    once. memory: for the error. Close it."""

    rows: int | None = None

    def __init__(self, scratch: Path | None, rows: int, memory: int) -> None:
        if scratch is None:
            raise OutOfMemory(
                f"a window has more rows than {readable(memory)} of memory hold, and there is no scratch folder for "
                "them; give the workers scratch space or more memory"
            )
        scratch.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="window-", dir=scratch))
        self._chunk = rows
        self._open: list[Batches] = []
        self._files = 0

    def numbers(self, dtype: npt.DTypeLike = np.int64) -> Numbers:
        return _ScratchNumbers(self._path(), np.dtype(dtype), self._chunk)

    def values(self, kind: pa.DataType) -> KeptColumn:
        return _ScratchColumn(self.batches(), kind)

    def batches(self) -> Batches:
        """For whole rows."""
        made = Batches(self._path())
        self._open.append(made)
        return made

    def close(self) -> None:
        for one in self._open:
            one.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self) -> Path:
        self._files += 1
        return self.folder / f"{self._files:04d}"


class _ScratchNumbers:
    """A file that is open only while it is used: there may be hundreds, 67 for a sum of floats of all sizes."""

    def __init__(self, path: Path, dtype: np.dtype[Any], chunk: int) -> None:
        self._path = path
        self._dtype = dtype
        self._chunk = chunk
        self._count = 0

    def add(self, numbers: Numeric) -> None:
        data = memoryview(np.ascontiguousarray(numbers, self._dtype)).cast("B")  # type: ignore[arg-type]
        try:
            with self._path.open("ab", buffering=0) as file:
                while len(data):
                    data = data[file.write(data) :]
        except OSError as error:
            raise _full(self._path, error) from error
        self._count += len(numbers)

    def at(self, places: I64) -> Numeric:
        if not len(places):
            return np.empty(0, self._dtype)
        with self._path.open("rb", buffering=0) as file:
            return self._from(file.fileno(), places)

    def _from(self, file: int, places: I64) -> Numeric:
        first, end = int(places.min()), int(places.max()) + 1
        if end - first <= 4 * max(self._chunk, len(places)):
            return self._read(file, first, end)[places - first]
        found = np.empty(len(places), self._dtype)
        for chunk, rows in by_chunk(places // self._chunk):
            first = chunk * self._chunk
            some = self._read(file, first, min(first + self._chunk, self._count))
            found[rows] = some[places[rows] - first]
        return found

    def _read(self, file: int, first: int, end: int) -> Numeric:
        size = self._dtype.itemsize
        return np.frombuffer(os.pread(file, (end - first) * size, first * size), self._dtype)

    def __len__(self) -> int:
        return self._count


class Batches:
    """Rows on scratch, read back as they were added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink: pa.NativeFile | None = None
        self._writer: pa.RecordBatchFileWriter | None = None
        self._reader: pa.RecordBatchFileReader | None = None
        self.starts = [0]
        """The number of the first row of each, and of all."""

    def add(self, batch: pa.RecordBatch) -> None:
        try:
            if self._writer is None:
                self._sink = pa.OSFile(str(self._path), "wb")
                self._writer = pa.ipc.new_file(self._sink, batch.schema)
            self._writer.write_batch(batch)
        except OSError as error:
            raise _full(self._path, error) from error
        self.starts.append(self.starts[-1] + batch.num_rows)

    def batch(self, number: int) -> pa.RecordBatch:
        """After the last was added."""
        if self._reader is None:
            self._finish()
            self._sink = pa.OSFile(str(self._path), "rb")
            self._reader = pa.ipc.open_file(self._sink)
        return self._reader.get_batch(number)

    def _finish(self) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            if self._sink is not None:
                self._sink.close()
        except OSError as error:
            raise _full(self._path, error) from error
        self._writer = self._sink = None

    def close(self) -> None:
        self._reader = None
        if self._sink is not None:
            self._sink.close()
        self._sink = self._writer = None


class _ScratchColumn:
    def __init__(self, batches: Batches, kind: pa.DataType) -> None:
        self._batches = batches
        self._kind = kind

    def add(self, array: Array) -> None:
        self._batches.add(pa.RecordBatch.from_arrays([array], names=["value"]))

    def at(self, places: I64) -> Array:
        return _gathered(self._chunk, self._batches.starts, places, self._kind)

    def _chunk(self, number: int) -> Array:
        return self._batches.batch(number).column(0)


def by_chunk(numbers: I64) -> Iterator[tuple[int, I64]]:
    """Each number that is there, and where it is."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else order
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        yield int(ordered[first]), order[first:end]


def _full(path: Path, error: OSError) -> OutOfDisk:
    free = shutil.disk_usage(path.parent).free
    return OutOfDisk(
        f"the rows of a window could not be written to scratch ({path.parent.parent}, {free} bytes free): {error}; "
        "give the workers more scratch space or more memory"
    )
