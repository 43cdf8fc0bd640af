"""Sends a function's results to the worker, in the declared columns, with many small results in a frame.

A call for a small group takes some ten microseconds, and sending its result alone would take ten times as long. So
results are gathered and sent together. Each is copied, because a function may return the same array again with other
values.

Data frames and dicts of arrays with the same columns and types are kept as they are (`gathered.py`) and converted
together, in a hundredth of the time. If that fails they are converted one by one, so that the error names its group.

Memory: `SEND_BYTES` of results and one result more, in at most `MOST_HELD` results, because a table or data frame takes
some 3 KB beside its rows. There are two copies while they are joined and sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from shuffle_worker.columns.schema import convert, transport_schema
from shuffle_worker.functions.conform import held_to, pieces_of
from shuffle_worker.functions.gathered import Joining, KeptPart, joining_of, same_layout
from shuffle_worker.functions.returned import ResultKind, kind_of
from shuffle_worker.functions.wire import rows_pieces, schema_pieces
from shuffle_worker.partitioning.cutter import copied

SEND_BYTES = 2 << 20
"""Bytes up to which results are gathered, and to which larger ones are cut."""

FEW_ROWS = 64
"""Results of fewer rows are gathered as they are."""

MOST_HELD = 1024
"""The most results that wait, tables or others."""

Send = Callable[[list[memoryview]], None]


class ResultSender:
    """send: sends to the worker. wanted: the columns of the results; None: any."""

    def __init__(self, send: Send, wanted: pa.Schema | None) -> None:
        self._send = send
        self._wanted = wanted
        self._sent: pa.Schema | None = None
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._small = SmallResults(wanted) if wanted is not None else None

    @property
    def group(self) -> int | None:
        """The group whose result failed, if that is not the one that was added last."""
        return self._small.group if self._small is not None else None

    def add(self, result: object, group: int) -> None:
        """Add the result of the call for a group. Raises Differs, and the errors of the function's own iterator."""
        for piece, verb in pieces_of(result):
            if self._small is not None and self._keep(self._small, piece, group):
                continue
            self._settle()
            self._give(held_to(piece, self._wanted, verb))

    def _keep(self, small: SmallResults, piece: object, group: int) -> bool:
        """Keep a small result to be converted with others. False where it must be converted by itself."""
        kind = kind_of(piece)
        joining = small.joining(kind)
        if joining is None or rows_of(kind, piece) >= FEW_ROWS:
            return False
        part = joining.kept(piece)
        if part is None:
            return False
        if not small.alike(kind, part):
            self._settle()
        small.take(kind, part, group)
        if small.full:
            self._settle()
        return True

    def flush(self) -> None:
        """Send everything that waits."""
        self._settle()
        self._flush()

    def drop(self) -> None:
        """Drop everything that waits: the call failed."""
        self._held.clear()
        self._held_bytes = 0
        if self._small is not None:
            self._small.drop()

    def _settle(self) -> None:
        if self._small is not None and self._small.held:
            for table in self._small.converted():
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


class SmallResults:
    """Small results of one kind, with the same columns and types, in the order in which they came."""

    def __init__(self, wanted: pa.Schema) -> None:
        self._wanted = wanted
        self.held: list[KeptPart] = []
        self.group: int | None = None  # whose result is converted by itself
        self._groups: list[int] = []
        self._kind = ResultKind.OTHER
        self._bytes = 0
        self._known: dict[ResultKind, Joining | None] = {}

    def joining(self, kind: ResultKind) -> Joining | None:
        """How results of a kind are joined; None where they are not."""
        if kind not in self._known:
            self._known[kind] = joining_of(kind)
        return self._known[kind]

    def alike(self, kind: ResultKind, part: KeptPart) -> bool:
        """Whether it can be joined to those that wait."""
        return not self.held or (kind is self._kind and same_layout(part.layout, self.held[0].layout))

    def take(self, kind: ResultKind, part: KeptPart, group: int) -> None:
        self._kind = kind
        self.held.append(part)
        self._groups.append(group)
        self._bytes += part.bytes

    @property
    def full(self) -> bool:
        return len(self.held) >= MOST_HELD or self._bytes >= SEND_BYTES

    def drop(self) -> None:
        self.held, self._groups, self._bytes, self.group = [], [], 0, None

    def converted(self) -> list[pa.Table]:
        """The results as tables of the wanted columns. Raises Differs; then `group` is the group whose result
        failed."""
        parts, groups = self.held, self._groups
        joining = self.joining(self._kind)
        assert joining is not None
        self.drop()
        if len(parts) > 1:
            try:
                return [self._table(joining.joined(parts))]
            except MemoryError:
                raise
            except Exception:  # noqa: S110 - the loop below reports it with its group
                pass
        return [self._of_group(joining.joined([part]), group) for part, group in zip(parts, groups, strict=True)]

    def _of_group(self, result: Any, group: int) -> pa.Table:
        """Convert one result, so that an error belongs to this group."""
        self.group = group
        table = self._table(result)
        self.group = None
        return table

    def _table(self, result: Any) -> pa.Table:
        return held_to(result, self._wanted, "returned")


def rows_of(kind: ResultKind, result: Any) -> int:
    """Rows of a data frame, or of a dict of arrays; 0 where that holds a single value, which is no column."""
    if kind is not ResultKind.ARRAYS:
        return len(result)
    first = next(iter(result.values()))
    return len(first) if getattr(first, "ndim", 1) else 0


def _own(table: pa.Table) -> pa.Table:
    """A copy of the rows in memory of their own."""
    return pa.Table.from_batches([copied(table.to_batches())], schema=table.schema)


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of up to `SEND_BYTES`; a larger row is not cut. A few rows may hold most of the bytes."""
    if batch.num_rows > 1 and batch.nbytes > SEND_BYTES:
        half = batch.num_rows // 2
        yield from _cut(batch.slice(0, half))
        yield from _cut(batch.slice(half))
    else:
        yield batch
