"""The local step of a join: the rows of both sides that may belong together in, the joined rows out.

Called for each cell by `rows.py`. Rows are matched by `partitioning/matching.py`, and the result is put together by one
take of each side, in pieces: the product of a frequent key may be any number of rows.

A cell that does not fit in memory is partitioned on scratch (`grace_partitioning.py`). What is left then is one key
with too many rows for memory, on one side or on both: the left rows pass by in portions, before all right rows if these
fit, else each before all right rows as they are read from scratch, which is read no more often than the result is long.

Memory, out of `memory`: half for the rows of both sides (`Cells.budget`), an eighth for a piece of the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_protocol.jobs import Join
from shuffle_worker.columns.arrays import I64, U64, Array, Bools, buffer_of, concat, indices, take
from shuffle_worker.columns.schema import transport_schema
from shuffle_worker.operations.join.grace_partitioning import PlaceRange, partitioned
from shuffle_worker.operations.join.plan import OutputColumn, keys_of, output_columns
from shuffle_worker.operations.join.units import merged
from shuffle_worker.partitioning.matching import NONE, WANTED, Matches, Side, Wanted, alone, match, numbered
from shuffle_worker.partitioning.pairing import Keys
from shuffle_worker.partitioning.places import places
from shuffle_worker.plan.record import Plan
from shuffle_worker.runtime.pressure import relieve
from shuffle_worker.steps.cells import ROW, Cell, Stream

MOST_ROWS = 1 << 16
"""Bytes of a piece of the result: it should still be in the cache when it is encoded."""


class JoinStep:
    row = ROW
    """Bytes for each row of both sides, besides the row."""

    def __init__(self, plan: Plan, scratch: Path | None) -> None:
        join = plan.job.operation
        assert isinstance(join, Join)
        self.join_asked = join
        schemas = [table.arrow_schema() for table in plan.inputs]
        left, right = schemas[join.left], schemas[join.right]
        self.keys = keys_of(join, schemas)
        self._moved = bool(plan.skewed)
        self._inputs = (join.left, join.right)
        self.schemas = (transport_schema(left), transport_schema(right))
        self._wanted = WANTED[join.how]
        self._partitions = plan.layout.partitions
        self._scratch = scratch
        self.output = transport_schema(plan.arrow_schema())
        self.columns = output_columns(join, left, right)

    def join(self, cell: Cell, budget: int) -> Iterator[pa.RecordBatch]:
        """The joined rows of a cell, in the order of the output, in memory of their own."""
        left, right = self._inputs
        if cell.rows is not None:
            yield from self.in_memory(cell.rows[left], cell.rows[right], budget)
            return
        streams = [cell.streams[left], cell.streams[right]]
        for part in partitioned(streams, self.schemas, self.places_of, budget, self._scratch, self.row):
            relieve()
            if part.rows is not None:
                yield from self.in_memory(part.rows[0], part.rows[1], budget)
            else:
                yield from self.one_place(part, budget)

    def places_of(self, side: int, rows: pa.RecordBatch) -> U64:
        return places(self.keys[side].hashes(rows), self._partitions)

    def side(self, side: int, rows: pa.RecordBatch) -> Side:
        return self.keys[side].side(rows, self._partitions, self._moved)

    def in_memory(self, left: pa.RecordBatch, right: pa.RecordBatch, budget: int) -> Iterator[pa.RecordBatch]:
        if not left.num_rows and not self._wanted.right:
            return
        if not right.num_rows and not self._wanted.left:
            return
        found = match(self.side(0, left), self.side(1, right), self._wanted)
        yield from self.pieces(found, left, right, budget)

    def pieces(
        self, found: Matches, left: pa.RecordBatch, right: pa.RecordBatch, budget: int
    ) -> Iterator[pa.RecordBatch]:
        put = Put(self.columns, self.output, left, right)
        for rows, others in found.pieces(put.rows_at_once(budget // 4)):
            yield put.together(rows, others)

    # -- one key, or several of one place, that memory does not hold -------------------------------------------------

    def one_place(self, part: PlaceRange, budget: int) -> Iterator[pa.RecordBatch]:
        if self._wanted.once:
            right = self._distinct(part.streams[1])
        elif part.sizes[1] <= budget // 2:
            right = _whole(part.streams[1], self.schemas[1])
        else:
            yield from self._row_by_row(part, budget)
            return
        side = self.side(1, right)
        hit = np.zeros(right.num_rows, np.bool_)
        among = hit if self._wanted.right else None
        for left in portions(part.streams[0], budget // 4):
            yield from self.pieces(match(self.side(0, left), side, self._wanted, among), left, right, budget)
        if self._wanted.right:
            yield from self._right_alone(right, alone(side, hit), budget)

    def _row_by_row(self, part: PlaceRange, budget: int) -> Iterator[pa.RecordBatch]:
        """The right rows are read again for every left row: as often as they are in the result."""
        total = sum(batch.num_rows for batch in part.streams[1]())
        hit = np.zeros(total, np.bool_)
        for left in part.streams[0]():
            for at in range(left.num_rows):
                yield from self._one_row(left.slice(at, 1), part.streams[1], hit, budget)
        if self._wanted.right:
            for right, mine in _blocks(part.streams[1], budget // 4, hit):
                yield from self._right_alone(right, np.flatnonzero(~mine), budget)

    def _one_row(self, left: pa.RecordBatch, stream: Stream, hit: Bools, budget: int) -> Iterator[pa.RecordBatch]:
        side = self.side(0, left)
        pairs = Wanted(pairs=True, left=False, right=self._wanted.right)
        found = False
        for right, mine in _blocks(stream, budget // 4, hit):
            matches = match(side, self.side(1, right), pairs, mine if pairs.right else None)
            found = found or bool(len(matches.left))
            yield from self.pieces(matches, left, right, budget)
        if not found and self._wanted.left:
            none = self.schemas[1].empty_table().to_batches()
            right = none[0] if none else pa.RecordBatch.from_pylist([], schema=self.schemas[1])
            yield Put(self.columns, self.output, left, right).together(
                np.zeros(1, np.int64), np.full(1, NONE, np.int64)
            )

    def _right_alone(self, right: pa.RecordBatch, rows: I64, budget: int) -> Iterator[pa.RecordBatch]:
        left = pa.RecordBatch.from_pylist([], schema=self.schemas[0])
        put = Put(self.columns, self.output, left, right)
        step = put.rows_at_once(budget // 4)
        for at in range(0, len(rows), step):
            some = rows[at : at + step]
            yield put.together(np.full(len(some), NONE, np.int64), some)

    def _distinct(self, stream: Stream) -> pa.RecordBatch:
        """One row of each key."""
        kept = pa.RecordBatch.from_pylist([], schema=self.schemas[1])
        for batch in stream():
            both = concat([kept, batch])
            kept = take(both, first_of_each(self.keys[1].of(both)))
        return kept


class Put:
    """Puts the rows of the result together."""

    def __init__(
        self, columns: Sequence[OutputColumn], output: pa.Schema, left: pa.RecordBatch, right: pa.RecordBatch
    ) -> None:
        self._output = output
        self._columns = columns
        self._left = left.select([column.left for column in columns if column.source == "left"])
        self._right = right.select([column.right for column in columns if column.source == "right"])
        self._left_rows = left.num_rows
        self._either = [
            pa.concat_arrays(merged([left.column(column.left), right.column(column.right)], field, "operation.join.on"))
            for column, field in zip(columns, output, strict=True)
            if column.source == "either"
        ]

    def rows_at_once(self, memory: int) -> int:
        wide = [batch.nbytes / batch.num_rows for batch in (self._left, self._right) if batch.num_rows]
        return int(min(max(memory / max(sum(wide), 1.0), 1), MOST_ROWS))

    def together(self, rows: I64, others: I64) -> pa.RecordBatch:
        left, right = _taken(self._left, rows).columns, _taken(self._right, others).columns
        either: list[Array] = []
        if self._either:
            places = np.where(rows == NONE, others + self._left_rows, rows)
            either = [column.take(indices(places)) for column in self._either]
        of = {"left": iter(left), "right": iter(right), "either": iter(either)}
        arrays = [next(of[column.source]) for column in self._columns]
        return pa.RecordBatch.from_arrays(arrays, schema=self._output)


def _taken(batch: pa.RecordBatch, rows: I64) -> pa.RecordBatch:
    """These rows of a batch; nulls for NONE."""
    if not batch.num_columns or not len(rows) or int(rows.min()) != NONE:
        return take(batch, rows) if batch.num_columns else batch
    there = rows != NONE
    mask = buffer_of(np.packbits(there, bitorder="little"))
    found = pa.Array.from_buffers(pa.int64(), len(rows), [mask, buffer_of(np.where(there, rows, 0))])
    if not batch.num_rows:
        batch = _one_null(batch.schema)
    taken: pa.RecordBatch = pc.take(batch, found, boundscheck=False)
    return taken


def _one_null(schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.nulls(1, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


def first_of_each(keys: Keys) -> I64:
    """The first row of every key, rising."""
    empty = Keys([], [], False)
    empty.words = [word[:0] for word in keys.words]
    empty.texts = [text.slice(0, 0) for text in keys.texts]
    numbers = numbered(keys, empty)[0]
    return np.sort(np.unique(numbers, return_index=True)[1])


def _whole(stream: Stream, schema: pa.Schema) -> pa.RecordBatch:
    batches = list(stream())
    return concat(batches) if batches else pa.RecordBatch.from_pylist([], schema=schema)


def portions(stream: Stream, budget: int) -> Iterator[pa.RecordBatch]:
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in stream():
        if held and size + batch.nbytes > budget:
            yield concat(held)
            held, size = [], 0
        held.append(batch)
        size += batch.nbytes
    if held:
        yield concat(held)


def _blocks(stream: Stream, budget: int, hit: Bools) -> Iterator[tuple[pa.RecordBatch, Bools]]:
    """Portions, each with its part of `hit`."""
    at = 0
    for block in portions(stream, budget):
        yield block, hit[at : at + block.num_rows]
        at += block.num_rows
