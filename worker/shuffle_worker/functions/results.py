"""Sends a function's results to the worker, in the declared columns, with many small results in a frame.

A call for a small group takes some ten microseconds, and sending its result alone would take ten times as long. So
results are gathered and sent together. Each is copied, because a function may return the same array again with other
values.

Data frames with the same columns and types are gathered as they are and converted together, in a hundredth of the time.
If that fails they are converted one by one, so that the error names its group.

Memory: `SEND_BYTES` of results and one result more, in at most `MOST_HELD` results, because a table or data frame takes
some 3 KB beside its rows. There are two copies while they are joined and sent.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.schema import convert, transport_schema
from shuffle_worker.functions.conform import held_to, pieces_of
from shuffle_worker.functions.returned import is_frame
from shuffle_worker.functions.wire import rows_pieces, schema_pieces
from shuffle_worker.partitioning.cutter import copied

SEND_BYTES = 2 << 20
"""Bytes up to which results are gathered, and to which larger ones are cut."""

FEW_ROWS = 64
"""Data frames of fewer rows are gathered as they are."""

MOST_HELD = 1024
"""The most results that wait, tables or data frames."""

_OBJECT = np.dtype(object)

Send = Callable[[list[memoryview]], None]


class ResultSender:
    """send: sends to the worker. wanted: the columns of the results; None: any."""

    def __init__(self, send: Send, wanted: pa.Schema | None) -> None:
        self._send = send
        self._wanted = wanted
        self._sent: pa.Schema | None = None
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._frames = ResultFrames(wanted) if wanted is not None else None

    @property
    def group(self) -> int | None:
        """The group whose result failed, if that is not the one that was added last."""
        return self._frames.group if self._frames is not None else None

    def add(self, result: object, group: int) -> None:
        """Add the result of the call for a group. Raises Differs, and the errors of the function's own iterator."""
        for piece, verb in pieces_of(result):
            if self._frames is not None and is_small_frame(piece):
                if not self._frames.take(piece, group):
                    self._settle()
                    self._frames.take(piece, group)
                if self._frames.full:
                    self._settle()
                continue
            self._settle()
            self._give(held_to(piece, self._wanted, verb))

    def flush(self) -> None:
        """Send everything that waits."""
        self._settle()
        self._flush()

    def drop(self) -> None:
        """Drop everything that waits: the call failed."""
        self._held.clear()
        self._held_bytes = 0
        if self._frames is not None:
            self._frames.drop()

    def _settle(self) -> None:
        if self._frames is not None and self._frames.held:
            for table in self._frames.converted():
                self._give(table)

    def _give(self, table: pa.Table) -> None:
        if self._sent is None or not table.schema.equals(self._sent):
            self._flush()
            self._sent = table.schema
            self._send(schema_pieces(table.schema))
        if not table.num_rows:
            return
        if table.num_rows >= FEW_ROWS and self._held_bytes + table.nbytes >= SEND_BYTES:
            self._held.append(table)
            self._flush()
            return
        try:
            table = _own(table)
        except pa.ArrowNotImplementedError:  # Arrow cannot concatenate this type, so send before the next call
            self._held.append(table)
            self._flush()
            return
        self._held.append(table)
        self._held_bytes += table.get_total_buffer_size()
        if self._held_bytes >= SEND_BYTES or len(self._held) >= MOST_HELD:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held.clear()
        self._held_bytes = 0
        rows = max(1, int(SEND_BYTES * table.num_rows / max(table.nbytes, 1)))
        plain = transport_schema(table.schema)
        for at in range(0, table.num_rows, rows):
            part = table.slice(at, rows).combine_chunks()
            for batch in part.to_batches():
                columns = [convert(column, field.type) for column, field in zip(batch.columns, plain, strict=True)]
                for piece in _cut(pa.RecordBatch.from_arrays(columns, schema=plain)):
                    self._send(rows_pieces(piece))


class ResultFrames:
    """Small data frames of the same columns and types, in the order in which they came."""

    def __init__(self, wanted: pa.Schema) -> None:
        self._wanted = wanted
        self.held: list[Any] = []
        self.group: int | None = None  # whose frame is converted by itself
        self._groups: list[int] = []
        self._types: tuple[Any, ...] = ()
        self._row_bytes = 0  # of the columns of one width
        self._measured: list[Any] = []  # the columns whose values differ in width
        self._bytes = 0

    def take(self, frame: Any, group: int) -> bool:
        """Take a frame. Returns False if its columns or types differ from those that wait."""
        types = tuple(frame.dtypes.array)
        if self.held and not (types == self._types and frame.columns.equals(self.held[0].columns)):
            return False
        if not self.held:
            self._types = types
            widths = [_width(kind) for kind in types]
            self._row_bytes = sum(width or 0 for width in widths)
            self._measured = [name for name, width in zip(frame.columns, widths, strict=True) if width is None]
        self.held.append(frame.copy())
        self._groups.append(group)
        self._bytes += len(frame) * self._row_bytes + sum(_bytes_of(frame[name]) for name in self._measured)
        return True

    @property
    def full(self) -> bool:
        return len(self.held) >= MOST_HELD or self._bytes >= SEND_BYTES

    def drop(self) -> None:
        self.held, self._groups, self._bytes, self.group = [], [], 0, None

    def converted(self) -> list[pa.Table]:
        """The frames as tables of the wanted columns. Raises Differs; then `group` is the group whose frame failed."""
        frames, groups = self.held, self._groups
        self.drop()
        if len(frames) > 1:
            try:
                return [self._table(importlib.import_module("pandas").concat(frames, ignore_index=True))]
            except MemoryError:
                raise
            except Exception:  # noqa: S110 - the loop below reports it with its group
                pass
        return [self._of_group(frame, group) for frame, group in zip(frames, groups, strict=True)]

    def _of_group(self, frame: Any, group: int) -> pa.Table:
        """Convert one frame, so that an error belongs to this group."""
        self.group = group
        table = self._table(frame)
        self.group = None
        return table

    def _table(self, frame: Any) -> pa.Table:
        return held_to(frame, self._wanted, "returned")


def _own(table: pa.Table) -> pa.Table:
    """A copy of the rows in memory of their own."""
    return pa.Table.from_batches([copied(table.to_batches())], schema=table.schema)


def is_small_frame(result: Any) -> bool:
    """Whether it is a data frame of few rows, and no two columns have the same name."""
    return is_frame(result) and len(result) < FEW_ROWS and result.columns.is_unique


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of up to `SEND_BYTES`; a larger row is not cut. A few rows may hold most of the bytes."""
    if batch.num_rows > 1 and batch.nbytes > SEND_BYTES:
        half = batch.num_rows // 2
        yield from _cut(batch.slice(0, half))
        yield from _cut(batch.slice(half))
    else:
        yield batch


def _width(kind: Any) -> int | None:
    """Bytes of each value of a pandas or NumPy type; None if values differ in size."""
    return int(kind.itemsize) if isinstance(kind, np.dtype) and kind != _OBJECT else None


def _bytes_of(values: Any) -> int:
    """About how many bytes a column or an object holds."""
    kind = getattr(values, "dtype", None)
    if kind is not None and kind != _OBJECT:
        return int(values.nbytes)
    if isinstance(values, Mapping):
        return sys.getsizeof(values) + sum(map(_bytes_of, values.keys())) + sum(map(_bytes_of, values.values()))
    if kind is not None or isinstance(values, list | tuple | set | frozenset):
        inside = values.ravel() if isinstance(values, np.ndarray) else values
        return 8 * len(inside) + sum(map(_bytes_of, inside))
    return sys.getsizeof(values)
