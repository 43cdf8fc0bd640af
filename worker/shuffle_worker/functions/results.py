"""What a function returned, on its way to the worker: held to the declared columns, small results many in a frame.

A call for a small group costs some ten microseconds, and sending what came of it alone would cost ten times that. So
results are gathered and sent together. What is held is a copy: a function may give the same array again and again, with
other values in it.

Data frames of the same columns and types are gathered as they are and converted together, which takes a hundredth of
the time. If that fails they are converted one by one, so that an error names its group.

Memory: `SEND_BYTES` of results, one result where that is larger, and up to `MOST_FRAMES` small data frames (about 3 KB
each beside their rows).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from shuffle_worker.functions.conform import Differs, held_to, pieces_of
from shuffle_worker.functions.returned import is_frame
from shuffle_worker.functions.wire import rows_pieces, schema_pieces
from shuffle_worker.operations.cutter import copied
from shuffle_worker.plan.schema import convert, transport_schema

SEND_BYTES = 2 << 20
"""Results are gathered up to this size, and larger ones cut to it."""

FEW_ROWS = 64
"""Results of fewer rows are taken to be as wide as those before: to measure each would cost more than all the rest."""

MOST_FRAMES = 1024
FIRST_FRAMES = 16
"""Of the first ones, whose width is not known yet."""

Send = Callable[[list[memoryview]], None]


class Results:
    """send: to the worker. wanted: the columns of the results, None where whatever comes is taken."""

    def __init__(self, send: Send, wanted: pa.Schema | None) -> None:
        self._send = send
        self._wanted = wanted
        self._sent: pa.Schema | None = None
        self._held: list[pa.Table] = []
        self._held_bytes = 0.0
        self._row_bytes = 256.0  # of the results that were sent last
        self._frames = Frames(wanted) if wanted is not None else None

    def add(self, result: object, group: int) -> None:
        """What the call for a group returned. Raises Differs, and whatever an iterator of the function's does."""
        for piece, verb in pieces_of(result):
            if self._frames is not None and is_frame(piece) and len(piece) < FEW_ROWS:  # type: ignore[arg-type]
                if not self._frames.take(piece, group):
                    self._settle()
                    self._frames.take(piece, group)
                if self._frames.full(self._row_bytes):
                    self._settle()
                continue
            self._settle()
            self._give(held_to(piece, self._wanted, verb))

    def flush(self) -> None:
        """Send all that is held."""
        self._settle()
        self._flush()

    def drop(self) -> None:
        """Forget it: the call failed."""
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
        few = table.num_rows < FEW_ROWS
        self._held_bytes += table.num_rows * self._row_bytes if few else table.nbytes
        if self._held_bytes < SEND_BYTES:
            try:
                self._held.append(_own(table))
                return
            except pa.ArrowNotImplementedError:  # a type that Arrow does not concatenate: sent before the next call
                pass
        self._held.append(table)
        self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held.clear()
        self._held_bytes = 0
        self._row_bytes = table.nbytes / table.num_rows
        rows = max(1, int(SEND_BYTES / max(self._row_bytes, 1)))
        plain = transport_schema(table.schema)
        for at in range(0, table.num_rows, rows):
            part = table.slice(at, rows).combine_chunks()
            for batch in part.to_batches():
                columns = [convert(column, field.type) for column, field in zip(batch.columns, plain, strict=True)]
                self._send(rows_pieces(pa.RecordBatch.from_arrays(columns, schema=plain)))


class Frames:
    """Small data frames of the same columns and types, in the order in which they came."""

    def __init__(self, wanted: pa.Schema) -> None:
        self._wanted = wanted
        self.held: list[Any] = []
        self._groups: list[int] = []
        self._types: tuple[Any, ...] = ()
        self._rows = 0
        self._most = FIRST_FRAMES

    def take(self, frame: Any, group: int) -> bool:
        """False where it is of another kind than those that are held."""
        types = tuple(frame.dtypes.array)
        if self.held and not (types == self._types and frame.columns.equals(self.held[0].columns)):
            return False
        self._types = types
        self.held.append(frame.copy())
        self._groups.append(group)
        self._rows += len(frame)
        return True

    def full(self, row_bytes: float) -> bool:
        return len(self.held) >= self._most or self._rows * row_bytes >= SEND_BYTES

    def drop(self) -> None:
        self.held, self._groups, self._rows = [], [], 0

    def converted(self) -> list[pa.Table]:
        """What is held, as tables of the wanted columns. Raises Differs with the group whose frame it is."""
        frames, groups = self.held, self._groups
        self.drop()
        self._most = MOST_FRAMES
        if len(frames) > 1:
            try:
                return [self._table(importlib.import_module("pandas").concat(frames, ignore_index=True))]
            except MemoryError:
                raise
            except Exception:  # noqa: S110 - whichever it is, it is said below, of its group
                pass
        return [self._of_group(frame, group) for frame, group in zip(frames, groups, strict=True)]

    def _of_group(self, frame: Any, group: int) -> pa.Table:
        try:
            return self._table(frame)
        except Differs as error:
            error.group = group
            raise

    def _table(self, frame: Any) -> pa.Table:
        return held_to(frame, self._wanted, "returned")


def _own(table: pa.Table) -> pa.Table:
    """The rows in memory that nobody else has."""
    return pa.Table.from_batches([copied(table.to_batches())], schema=table.schema)
