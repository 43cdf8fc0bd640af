"""The rows of a join's result, put together of the rows of both sides."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrays import I64, Array, indices, indices_where, take
from shuffle_worker.columns.arrow import schema_of
from shuffle_worker.columns.widths import fitting, row_widths, widest
from shuffle_worker.operations.join.judged import Pairs, cut
from shuffle_worker.operations.join.shape import JoinShape
from shuffle_worker.operations.join.units import merged
from shuffle_worker.partitioning.matching import NONE

MOST_ROWS = 1 << 16
"""Rows of a piece of the result: it should still be in the cache when it is encoded."""


class Put:
    """Puts the rows of the result together. known: `widest` of a side, where it was measured before."""

    def __init__(
        self,
        shape: JoinShape,
        left: pa.RecordBatch,
        right: pa.RecordBatch,
        known: tuple[int | None, int | None] = (None, None),
    ) -> None:
        columns = shape.columns
        self._known = known
        self._columns = columns
        self._left = left.select([column.left for column in columns if column.source == "left"])
        self._right = right.select([column.right for column in columns if column.source == "right"])
        self._left_rows = left.num_rows
        self._output = self._coded(shape.output)
        self._either = [
            pa.concat_arrays(merged([left.column(column.left), right.column(column.right)], field, "operation.join.on"))
            for column, field in zip(columns, shape.output, strict=True)
            if column.source == "either"
        ]

    def _coded(self, schema: pa.Schema) -> pa.Schema:
        """The schema of the result, where columns of the sides are coded."""
        of = {"left": iter(self._left.schema.types), "right": iter(self._right.schema.types)}
        fields = list(schema)
        for at, column in enumerate(self._columns):
            kind = next(of[column.source]) if column.source != "either" else None
            if kind is not None and pa.types.is_dictionary(kind):
                fields[at] = fields[at].with_type(kind)
        return schema_of(fields, schema.metadata)

    def rows_at_once(self, memory: int) -> int:
        wide = [batch.nbytes / batch.num_rows for batch in (self._left, self._right) if batch.num_rows]
        return int(min(max(memory / max(sum(wide), 1.0), 1), MOST_ROWS))

    def widest(self, side: int) -> int:
        """Bytes that no row of a side has more of in the result."""
        known = self._known[side]
        if known is not None:
            return known
        merged = sum(widest(pa.RecordBatch.from_arrays([column], names=["key"])) for column in self._either)
        return widest((self._left, self._right)[side]) + merged

    @cached_property
    def _widths(self) -> tuple[I64, I64]:
        """Bytes that each row of either side has in the result; at the end 0, for NONE."""
        left, right = row_widths(self._left), row_widths(self._right)
        for column in self._either:
            both = row_widths(pa.RecordBatch.from_arrays([column], names=["key"]))
            left = left + both[: self._left_rows]
            right = right + both[self._left_rows :]
        return np.append(left, 0), np.append(right, 0)

    def within(self, pairs: Pairs, memory: int) -> Pairs:
        """The pairs, cut where what they give is more than so many bytes: `rows_at_once` knows only the mean."""
        most = self.widest(0) + self.widest(1)
        for rows, others in pairs:
            if len(rows) * most <= memory:
                yield rows, others
                continue
            left, right = self._widths
            ends = np.cumsum(left[rows] + right[others])
            at = 0
            while at < len(rows):
                end = max(fitting(ends, memory, at), at + 1)
                yield rows[at:end], others[at:end]
                at = end

    def together(self, rows: I64, others: I64) -> pa.RecordBatch:
        left, right = _taken(self._left, rows).columns, _taken(self._right, others).columns
        either: list[Array] = []
        if self._either:
            places = np.where(rows == NONE, others + self._left_rows, rows)
            either = [column.take(indices(places)) for column in self._either]
        of = {"left": iter(left), "right": iter(right), "either": iter(either)}
        arrays = [next(of[column.source]) for column in self._columns]
        return pa.RecordBatch.from_arrays(arrays, schema=self._output)

    def pieces(self, pairs: Pairs, memory: int) -> Iterator[pa.RecordBatch]:
        """All of these pairs, in pieces of so many bytes at most."""
        for rows, others in self.within(cut(pairs, self.rows_at_once(memory)), memory):
            yield self.together(rows, others)

    @staticmethod
    def right_alone(shape: JoinShape, right: pa.RecordBatch, rows: I64, memory: int) -> Iterator[pa.RecordBatch]:
        """Right rows by themselves, in pieces."""
        left = pa.RecordBatch.from_pylist([], schema=shape.schemas[0])
        put = Put(shape, left, right)
        yield from put.pieces(iter([(np.full(len(rows), NONE, np.int64), rows)]), memory)


def _taken(batch: pa.RecordBatch, rows: I64) -> pa.RecordBatch:
    """These rows of a batch; nulls for NONE."""
    if not batch.num_columns or not len(rows) or int(rows.min()) != NONE:
        return take(batch, rows) if batch.num_columns else batch
    there = rows != NONE
    if not batch.num_rows:
        batch = _one_null(batch.schema)
    taken: pa.RecordBatch = pc.take(batch, indices_where(there, rows), boundscheck=False)
    return taken


def _one_null(schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.nulls(1, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)
