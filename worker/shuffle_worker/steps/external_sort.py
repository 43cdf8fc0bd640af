"""Sort what does not fit: sorted runs on scratch, then a merge of them, block by block.

A run is what memory holds at once, sorted and written in blocks as an Arrow IPC file. The merge keeps one block of each
run, sorts all of them together, and yields the rows up to the first block's end in that order: no row that is still on
scratch can come before it. Each step uses up at least one block, and sorting blocks of sorted rows costs what the sort
in memory costs, so the whole is vectorised and needs no heap.

It is stable: runs are numbered in the order of the input, and rows with equal keys keep (run, row) order.

Memory, out of `memory`: a run is a quarter of it, sorted into a second quarter; the blocks of one merge together are at
most an eighth (and their joined and their sorted copy), or those of two runs where rows are so wide. More than `FAN_IN`
runs, or runs whose blocks are more than that, are merged in several rounds. Scratch: the rows once, and once more while
rounds are merged.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import OutOfDisk
from shuffle_worker.columns.arrays import concat, take
from shuffle_worker.columns.coded import as_text, text_bytes
from shuffle_worker.columns.widths import pieces_within
from shuffle_worker.partitioning.order import Order
from shuffle_worker.runtime.stopwatch import DISK, spending

FAN_IN = 32
"""Runs merged at once: with more, blocks would become too small to be worth a call each."""

LEAST_BLOCK_ROWS = 256

LEAST_BLOCK_BYTES = 32 << 10
"""Of `FAN_IN` blocks: less memory than they take is not worth keeping to."""


class SortedRun:
    """A sorted file of blocks. Reading goes from its first row to its last. block_rows: of each, or fewer.
    largest: bytes of the largest."""

    def __init__(self, path: Path, block_rows: int, largest: int) -> None:
        self.path = path
        self.block_rows = block_rows
        self.largest = largest
        self._file: pa.NativeFile | None = None
        self._reader: pa.RecordBatchFileReader | None = None
        self._next = 0

    def block(self) -> pa.RecordBatch | None:
        """The next block, None after the last."""
        if self._reader is None:
            self._file = pa.OSFile(str(self.path), "rb")
            self._reader = pa.ipc.open_file(self._file)
        if self._next == self._reader.num_record_batches:
            return None
        self._next += 1
        with spending(DISK):
            return self._reader.get_batch(self._next - 1)

    def remove(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._reader = None
        self.path.unlink(missing_ok=True)


class Runs:
    """The runs of one sort, in a folder of their own that is gone when it ends."""

    def __init__(self, scratch: Path, memory: int) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="sort-", dir=scratch))
        self.runs: list[SortedRun] = []
        self._count = 0
        self.blocks = max(memory // 8, FAN_IN * LEAST_BLOCK_BYTES)
        """Bytes of the blocks of one merge."""

    def write(self, batches: Iterator[pa.RecordBatch], block_rows: int) -> SortedRun:
        """A new run of these rows, which are in order. Coded columns become text: a file of batches has one dictionary
        a column, and those of rows that were merged may differ. A block ends before its rows where these are so wide
        that eight of it would fill a merge."""
        path = self.folder / f"run-{self._count:05d}"
        self._count += 1
        writer: pa.RecordBatchFileWriter | None = None
        largest = 0
        try:
            with pa.OSFile(str(path), "wb") as file:
                for batch in batches:
                    for block in _blocks(batch, block_rows, self.blocks // 8):
                        largest = max(largest, block.nbytes)
                        if writer is None:
                            writer = pa.ipc.new_file(file, block.schema)
                        with spending(DISK):
                            writer.write_batch(block)
                if writer is not None:
                    writer.close()
        except OSError as error:
            free = shutil.disk_usage(self.folder).free
            raise OutOfDisk(
                f"sorted rows could not be written to scratch ({self.folder.parent}, {free} bytes free): {error}; "
                f"give the workers more scratch space or more memory"
            ) from error
        return SortedRun(path, block_rows, largest)

    def close(self) -> None:
        for run in self.runs:
            run.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def write_run(runs: Runs, rows: pa.RecordBatch) -> None:
    """Add a run of rows that are in order and come after those of the runs before it in the input."""
    row_bytes = max(text_bytes(rows) / max(rows.num_rows, 1), 1.0)
    block_rows = max(LEAST_BLOCK_ROWS, int(runs.blocks / FAN_IN / row_bytes))
    runs.runs.append(runs.write(iter([rows]), block_rows))


def merged(runs: Runs, by: Order) -> Iterator[pa.RecordBatch]:
    """All rows in order, in batches with memory of their own. The runs are removed as they are used up."""
    while len(several := list(_at_once(runs.runs, runs.blocks))) > 1:
        runs.runs = []
        for some in several:
            runs.runs.append(some[0] if len(some) == 1 else runs.write(_merge(some, by), some[0].block_rows))
    yield from _merge(runs.runs, by)


def _at_once(runs: Sequence[SortedRun], most: int) -> Iterator[list[SortedRun]]:
    """Runs that are merged together, in their order: at least two, as long as their blocks are not more than so many
    bytes."""
    some: list[SortedRun] = []
    size = 0
    for run in runs:
        if len(some) == FAN_IN or (len(some) > 1 and size + run.largest > most):
            yield some
            some, size = [], 0
        some.append(run)
        size += run.largest
    if some:
        yield some


def _blocks(batch: pa.RecordBatch, rows: int, most: int) -> Iterator[pa.RecordBatch]:
    for at in range(0, batch.num_rows, rows):
        yield from pieces_within(as_text(batch.slice(at, rows)), most)


def _merge(runs: Sequence[SortedRun], by: Order) -> Iterator[pa.RecordBatch]:
    heads: list[tuple[SortedRun, pa.RecordBatch]] = []
    for run in runs:
        block = run.block()
        if block is not None:
            heads.append((run, block))
    while len(heads) > 1:
        together = concat([block for _, block in heads])
        order = by(together)
        ends = np.cumsum([block.num_rows for _, block in heads])
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        until = int(places[ends - 1].min()) + 1  # the first block that ends: nothing on scratch comes before its end
        yield take(together, order[:until].astype(np.int32))
        del together
        used = np.bincount(np.searchsorted(ends, order[:until], "right"), minlength=len(heads)).tolist()
        heads = list(_advanced(heads, used))
    if heads:
        run, block = heads[0]
        following: pa.RecordBatch | None = block
        while following is not None:
            yield following
            following = run.block()
        run.remove()


def _advanced(
    heads: list[tuple[SortedRun, pa.RecordBatch]], used: list[int]
) -> Iterator[tuple[SortedRun, pa.RecordBatch]]:
    """What is left of each block, the next one where nothing is; a run without another block is removed."""
    for (run, block), count in zip(heads, used, strict=True):
        left: pa.RecordBatch | None = block.slice(count)
        if count == block.num_rows:
            left = run.block()
        if left is None:
            run.remove()
        else:
            yield run, left
