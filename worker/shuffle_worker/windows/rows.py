"""Rows in the order of their windows, with the columns that are computed of them.

Windows that are small are worked on together, and one of up to a budget of memory by itself, both in memory. A window
that is larger goes to scratch once more, with what its functions keep of it; then its rows are read again and get their
results block by block. So nothing about a window's size is refused, and only the scratch bounds it.

Memory, out of the `memory` given: half for the rows of a window and what functions keep of them, which is counted as it
comes; for a window on scratch, a block's rows, its results, and the chunks that `stores.py` reads. What functions work
with besides grows with a block: `WORK` bytes a row, and `KEPT` for each call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import SortKey
from shuffle_worker.aggregation.keys import said_key
from shuffle_worker.columns.arrays import I64, Array, Bools, plain
from shuffle_worker.columns.convert import convert
from shuffle_worker.windows.blocks import Block, Peers
from shuffle_worker.windows.frames import OrderKeys, bounds
from shuffle_worker.windows.functions import DoesNotFit
from shuffle_worker.windows.stores import Batches, MemorySpace, ScratchSpace, Space
from shuffle_worker.windows.typed import WHERE, Compiled, WindowCall

BLOCK_ROWS = 1 << 16
"""Rows that results are worked out of at once: arrays of them stay in the cache."""

LEAST_ROWS = 256

KEPT = 64
"""Bytes that a function keeps of a row: a sum of floats has a few words of eight bytes, others have less. (Floats of
all sizes that there are have 67.)"""

WORK = 200
"""Bytes of a row while results are worked out, for one call at a time: the frame, words, orders."""


class WindowRows:
    """by: what makes a window. order: of its rows, ties as they come. out: the transport schema of the result. path:
    for errors. scratch: a folder, None for any. Safe for several threads."""

    def __init__(
        self,
        compiled: Compiled,
        by: Sequence[str],
        order: Sequence[SortKey],
        out: pa.Schema,
        path: str,
        scratch: Path | None,
    ) -> None:
        self._compiled = compiled
        self._by = list(by)
        self._order = list(order)
        self._out = out
        self._path = path
        self._scratch = scratch

    def block_rows(self, row_bytes: float, memory: int) -> int:
        """Rows that are worked on at once, for rows of so many bytes."""
        each = row_bytes + WORK + KEPT * len(self._compiled.calls)
        return int(min(max(memory / 2 / each, LEAST_ROWS), BLOCK_ROWS))

    def together(self, rows: pa.RecordBatch, ends: I64) -> pa.RecordBatch:
        """Whole windows one after the other. ends: the row after each."""
        sizes = np.diff(ends, prepend=0)
        begin = ends - sizes
        first = np.zeros(rows.num_rows, np.bool_)
        first[begin] = True
        work = self._work(MemorySpace(rows.num_rows))
        work.add(rows, first)
        work.finish()
        block = Block(0, np.repeat(begin, sizes), np.repeat(ends, sizes), work.peers)
        return self._with_results(rows, work, block)

    def alone(self, batches: Iterator[pa.RecordBatch], memory: int) -> Iterator[pa.RecordBatch]:
        """One window, in its order. batches: of `BLOCK_ROWS` rows at most; of `memory` each is a part."""
        held: list[pa.RecordBatch] = []
        size = 0
        space = MemorySpace(None)
        work = self._work(space)
        for batch in batches:
            work.add(batch, _first_of(batch, len(held)))
            held.append(batch)
            size += batch.nbytes
            if size + space.nbytes > memory // 2:
                del work, space
                yield from self._spilled(held, batches, memory)
                return
        work.finish()
        at = 0
        held.reverse()
        while held:
            batch = held.pop()
            yield self._with_results(batch, work, work.block(at, batch.num_rows))
            at += batch.num_rows

    def _spilled(
        self, held: list[pa.RecordBatch], more: Iterator[pa.RecordBatch], memory: int
    ) -> Iterator[pa.RecordBatch]:
        space = ScratchSpace(self._scratch, max(held[0].num_rows, LEAST_ROWS), memory // 2)
        try:
            work, rows = self._work(space), space.batches()
            at = 0
            held.reverse()
            while held:
                self._spill(held.pop(), work, rows, at)
                at += 1
            for batch in more:
                self._spill(batch, work, rows, at)
                at += 1
            work.finish()
            for number in range(at):
                batch = rows.batch(number)
                yield self._with_results(batch, work, work.block(rows.starts[number], batch.num_rows))
        finally:
            space.close()

    @staticmethod
    def _spill(batch: pa.RecordBatch, work: _Work, rows: Batches, at: int) -> None:
        rows.add(batch)
        work.add(batch, _first_of(batch, at))

    def _work(self, space: Space) -> _Work:
        return _Work(space, self._compiled, self._order, self._path)

    def _with_results(self, rows: pa.RecordBatch, work: _Work, block: Block) -> pa.RecordBatch:
        try:
            wide = work.results(rows, block)
        except _Unfit as error:
            raise DataError(
                f"{WHERE}: {error.call.said} does not fit {error.call.kind} for a row of "
                f"{said_key(rows.select(self._by), error.row)}; use a float, as in CAST(... AS DOUBLE), or avg"
            ) from error
        made: dict[str, Array] = {}
        for result in self._compiled.results:
            found = wide.column(result.call) if result.value is None else result.value.of(wide, self._path)
            made[result.name] = convert(found, self._out.field(result.name).type)
        columns = [made[name] if name in made else rows.column(name) for name in self._out.names]
        return pa.RecordBatch.from_arrays(columns, schema=self._out)


def _first_of(batch: pa.RecordBatch, at: int) -> Bools:
    first = np.zeros(batch.num_rows, np.bool_)
    if not at:
        first[0] = True
    return first


class _Unfit(Exception):
    def __init__(self, call: WindowCall, row: int) -> None:
        super().__init__()
        self.call = call
        self.row = row


class _Work:
    """The functions of some windows."""

    def __init__(self, space: Space, compiled: Compiled, order: Sequence[SortKey], path: str) -> None:
        self._calls = compiled.calls
        self._path = path
        self._key = order[0] if any(call.frame and call.frame.distances for call in compiled.calls) else None
        self._keys = None if self._key is None else OrderKeys(space, self._key)
        self._with_peers = any(call.peers for call in compiled.calls)
        self.peers = Peers(space, [key.column for key in order])
        self._functions = [call.make(space) for call in compiled.calls]
        self._rows = 0

    def add(self, rows: pa.RecordBatch, first: Bools) -> None:
        if self._with_peers:
            self.peers.add(rows, first)
        if self._keys is not None:
            self._keys.add(self._ordered(rows))
        self._rows += rows.num_rows
        for call, function in zip(self._calls, self._functions, strict=True):
            function.add([value.of(rows, self._path) for value in call.arguments], first)

    def finish(self) -> None:
        if self._with_peers:
            self.peers.finish()

    def block(self, first: int, count: int) -> Block:
        """Some rows of one window, which has all that came."""
        return Block(first, np.zeros(count, np.int64), np.full(count, self._rows, np.int64), self.peers)

    def results(self, rows: pa.RecordBatch, block: Block) -> pa.RecordBatch:
        """The rows with the result of each call. Raises _Unfit."""
        column = None if self._keys is None else self._ordered(rows)
        found: dict[object, tuple[I64, I64]] = {None: (block.rows, block.rows)}
        for call, function in zip(self._calls, self._functions, strict=True):
            if call.frame is not None and call.frame not in found:
                found[call.frame] = bounds(call.frame, block, self._keys, column)
            low, high = found[call.frame]
            try:
                rows = rows.append_column(call.column, function.result(block, low, high))
            except DoesNotFit as past:
                raise _Unfit(call, past.row) from past
        return rows

    def _ordered(self, rows: pa.RecordBatch) -> Array:
        assert self._key is not None
        return plain(rows.column(self._key.column))
