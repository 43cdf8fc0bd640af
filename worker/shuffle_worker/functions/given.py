"""A function's arguments: groups out of record batches, in the shape that the function asks for.

Data frames and arrays are the hard part. pandas takes most of a millisecond to convert a table, however small. So the
groups of a batch are converted together (`forms.py`), and each gets a slice of the whole. The slice must be what the
group alone would become:

    ints, booleans    become floats or objects if there is a null (in pandas and NumPy). So the batch is converted once
                      for each pattern of nulls among its groups, with the nulls of other groups filled
    lists, structs    the same holds for the values inside, so with nulls there each group is converted by itself
    anything else     is converted value by value

A function may change what it gets, because slices do not overlap. Memory: `MOST_PATTERNS` conversions of a load.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrays import concat
from shuffle_worker.functions.forms import GivenForm, NotGiven
from shuffle_worker.functions.shapes import Shape

MOST_PATTERNS = 4

_ALIKE = (
    pa.types.is_floating,
    pa.types.is_temporal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_decimal,
    pa.types.is_null,
)
_pc: Any = pc


def groups_of(
    shape: Shape,
    form: GivenForm | None,
    schema: pa.Schema,
    batches: Sequence[pa.RecordBatch],
    begins: list[int],
    ends: list[int],
) -> Iterator[Any]:
    """Each group in the shape that the function asks for. Several groups lie in one batch; a single one may lie in
    many."""
    if len(ends) == 1 and len(batches) != 1:
        yield shaped(shape, form, schema, batches)
        return
    (batch,) = batches
    given = GivenParts(form, batch, begins) if form is not None else None
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        part = given.of(number, begin, end) if given is not None else None
        yield shaped(shape, form, schema, [batch.slice(begin, end - begin)]) if part is None else part


def shaped(shape: Shape, form: GivenForm | None, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> Any:
    """One group by itself."""
    if shape is Shape.BATCH:
        return batches[0] if len(batches) == 1 else concat(batches)
    if shape is Shape.BATCHES:
        return iter(batches)
    if shape is Shape.READER:
        return pa.RecordBatchReader.from_batches(schema, batches)
    table = pa.Table.from_batches(batches, schema=schema)
    if form is None:
        return table
    return form.part(form.whole(table), 0, table.num_rows)


class GivenParts:
    """The groups of a batch in a form, converted together. begins: the first row of each group."""

    def __init__(self, form: GivenForm, batch: pa.RecordBatch, begins: Sequence[int]) -> None:
        self._form = form
        self._batch = batch
        changing = [at for at, column in enumerate(batch.columns) if column.null_count and _changes(column.type)]
        self._changing = changing if form.nulls_change else []
        self._together = not form.nulls_change or all(_together(column) for column in batch.columns)
        self._patterns = self._patterns_of(begins) if self._together and self._changing else None
        self._made: dict[bytes, Any] = {}

    def of(self, group: int, begin: int, end: int) -> Any | None:
        """A group's rows from `begin` to `end`; None if it must be converted by itself."""
        if not self._together:
            return None
        pattern = b"" if self._patterns is None else self._patterns[group].tobytes()
        whole = self._made.get(pattern)
        if whole is None:
            if len(self._made) == MOST_PATTERNS:
                return None
            try:
                whole = self._made[pattern] = self._converted(pattern)
            except (NotGiven, MemoryError):  # converting each by itself shows which group it is
                self._together = False
                self._made.clear()
                return None
        return self._form.part(whole, begin, end)

    def _patterns_of(self, begins: Sequence[int]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """For each group, which of the changing columns have a null."""
        nulls = [self._batch.column(at).is_null().to_numpy(zero_copy_only=False) for at in self._changing]
        return np.stack([np.logical_or.reduceat(one, begins) for one in nulls], axis=1)

    def _converted(self, pattern: bytes) -> Any:
        """The whole batch, converted as a group with this pattern of nulls is."""
        columns = list(self._batch.columns)
        for at, has_null in zip(self._changing, pattern, strict=False):
            if not has_null:
                columns[at] = _pc.fill_null(columns[at], pa.scalar(0).cast(columns[at].type))
        batch = pa.RecordBatch.from_arrays(columns, schema=_nullable(self._batch.schema))
        return self._form.whole(pa.Table.from_batches([batch]))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])


def _changes(kind: pa.DataType) -> bool:
    """Whether a null changes how pandas and NumPy convert the other values of a column."""
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _together(column: pa.Array[Any]) -> bool:
    return _changes(column.type) or any(test(column.type) for test in _ALIKE) or _whole(column)


def _whole(column: pa.Array[Any]) -> bool:
    """Whether a nested column has no null at any depth, so that each value's conversion is independent."""
    kind = column.type
    if column.null_count:
        return False
    if isinstance(column, pa.StructArray):
        return all(_whole(part) for part in column.flatten())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _whole(_pc.list_flatten(column))
    return not pa.types.is_nested(kind) and _together(column)
