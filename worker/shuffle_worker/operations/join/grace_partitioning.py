"""Rows of several inputs that do not fit in memory together, partitioned once more on scratch, by ranges of their
places.

The ranges are cut where the places of the first rows seen are evenly spread; a place that many of them share (a skewed
key) gets a range of its own. What comes out is in the order of the places, so that a step that does one range after the
other gives what it would have given with enough memory. A range that still does not fit is partitioned again, until it
fits or is a single place: then it is given as streams, and the step must handle one key's rows piece by piece.

Memory: one batch that comes in, and its copy in the order of the ranges. Scratch: the rows once, and a range that is
partitioned once more.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import OutOfDisk, OutOfMemory
from shuffle_worker.columns.arrays import U64, concat
from shuffle_worker.partitioning.scatter import scatter
from shuffle_worker.runtime.stopwatch import DISK, each_in, spending
from shuffle_worker.steps.cells import ROW, Stream

RANGES = 32
"""Ranges of one pass: each has an open file for each input."""

PlacesOf = Callable[[int, pa.RecordBatch], U64]
"""The places of the rows of an input."""


class PlaceRange(NamedTuple):
    """A range of places."""

    rows: list[pa.RecordBatch] | None
    """The rows of each input, in memory of their own; None where they are of one place and do not fit, and are only in
    streams."""
    streams: list[Stream]
    sizes: list[int]
    """Bytes of each input's rows."""


class _Part:
    """The rows of one input that fell into one range, as an IPC stream on scratch."""

    def __init__(self, path: Path, row: int) -> None:
        self.path = path
        self._row = row
        self.load = self.rows = self.size = 0
        self.low, self.high = (1 << 64) - 1, 0
        self._file: pa.NativeFile | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, batch: pa.RecordBatch, low: int, high: int) -> None:
        try:
            if self._writer is None:
                self._file = pa.OSFile(str(self.path), "wb")
                self._writer = pa.ipc.new_stream(self._file, batch.schema)
            with spending(DISK):
                self._writer.write_batch(batch)
        except OSError as error:
            scratch = self.path.parent.parent
            raise OutOfDisk(
                f"rows that do not fit in memory could not be written to scratch ({scratch.parent}, "
                f"{shutil.disk_usage(scratch).free} bytes free): {error}; give the workers more scratch space or more "
                "memory"
            ) from error
        self.rows += batch.num_rows
        self.size += batch.nbytes
        self.load = self.size + self.rows * self._row
        self.low, self.high = min(self.low, low), max(self.high, high)

    def close(self) -> None:
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self._file.close()
            self._writer = self._file = None

    def read(self) -> Iterator[pa.RecordBatch]:
        if self.rows:
            with pa.OSFile(str(self.path), "rb") as file, pa.ipc.open_stream(file) as reader:
                yield from each_in(DISK, iter(reader))

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


def partitioned(
    streams: Sequence[Stream],
    schemas: Sequence[pa.Schema],
    places_of: PlacesOf,
    budget: int,
    scratch: Path | None,
    row: int = ROW,
) -> Iterator[PlaceRange]:
    """The rows of all streams by rising ranges of places, each range in no more than `budget` bytes where that is
    possible. row: bytes that a step needs for each row besides. What it gives is valid until the next."""
    if scratch is None:
        raise OutOfMemory(
            f"more rows belong together than {budget} bytes of memory hold, and there is no scratch folder to part "
            "them on; give the workers scratch space or more memory"
        )
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="parts-", dir=scratch))
    try:
        yield from _partitioned(streams, schemas, places_of, budget, folder / "r", row)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _partitioned(
    streams: Sequence[Stream],
    schemas: Sequence[pa.Schema],
    places_of: PlacesOf,
    budget: int,
    beginning: Path,
    row: int,
) -> Iterator[PlaceRange]:
    """beginning: of the names of files."""

    def path(at: int, *more: int) -> Path:
        return beginning.with_name("-".join([beginning.name, *map(str, (at, *more))]))

    edges = _edges(streams, places_of)
    count = len(edges) + 1
    parts = [[_Part(path(at, index), row) for index in range(len(streams))] for at in range(count)]
    try:
        for index, stream in enumerate(streams):
            for batch in stream():
                _deal(batch, places_of(index, batch), edges, [of[index] for of in parts])
        for part in itertools.chain.from_iterable(parts):
            part.close()
        for at, of in enumerate(parts):
            fits = sum(part.load for part in of) <= budget
            if not fits and max(part.high for part in of) != min(part.low for part in of):
                yield from _partitioned([part.read for part in of], schemas, places_of, budget, path(at), row)
            elif any(part.rows for part in of):
                yield _range(of, schemas, fits)
            for part in of:
                part.remove()
    finally:
        for part in itertools.chain.from_iterable(parts):
            part.remove()


def _range(parts: Sequence[_Part], schemas: Sequence[pa.Schema], fits: bool) -> PlaceRange:
    rows = [_loaded(part, schema) for part, schema in zip(parts, schemas, strict=True)] if fits else None
    return PlaceRange(rows, [part.read for part in parts], [part.size for part in parts])


def _edges(streams: Sequence[Stream], places_of: PlacesOf) -> U64:
    """Where the ranges begin, but for the first."""
    seen = []
    for index, stream in enumerate(streams):
        first = next((batch for batch in stream() if batch.num_rows), None)
        if first is not None:
            seen.append(places_of(index, first))
    places = np.sort(np.concatenate(seen))
    cuts = places[np.arange(1, RANGES) * len(places) // RANGES]
    skewed = cuts[1:][cuts[1:] == cuts[:-1]]
    after = skewed[skewed < np.uint64((1 << 64) - 1)] + np.uint64(1)
    edges = np.unique(np.concatenate([cuts, after]))
    return (
        edges[edges > places[0]]
        if int(places[0]) != int(places[-1])
        else np.unique(np.concatenate([edges, places[:1], after]))
    )


def _deal(batch: pa.RecordBatch, places: U64, edges: U64, parts: Sequence[_Part]) -> None:
    """Append each row to its range's part."""
    ranges = np.searchsorted(edges, places, "right").astype(np.int32)
    grouped, starts = scatter(batch, ranges, len(parts))
    low = np.full(len(parts), (1 << 64) - 1, np.uint64)
    high = np.zeros(len(parts), np.uint64)
    np.minimum.at(low, ranges, places)
    np.maximum.at(high, ranges, places)
    for at in np.flatnonzero(np.diff(starts)).tolist():
        rows = grouped.slice(int(starts[at]), int(starts[at + 1] - starts[at]))
        parts[at].add(rows, int(low[at]), int(high[at]))


def _loaded(part: _Part, schema: pa.Schema) -> pa.RecordBatch:
    batches = list(part.read())
    return concat(batches) if batches else pa.RecordBatch.from_pylist([], schema=schema)
