"""All values of each group: for lists, exact quantiles, and counts of distinct values.

They travel as lists. Memory: the values, 8 bytes for each, and as much again while they are sorted at the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch
from shuffle_worker.aggregation.sizes import content_bytes
from shuffle_worker.columns.arrays import I64, Array, buffer_of, indices, view
from shuffle_worker.columns.arrow import nulls
from shuffle_worker.partitioning.codes import as_int64, dense, first_rows
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.scatter import stable_order
from shuffle_worker.partitioning.sort_keys import Ready, value_words

F64 = npt.NDArray[np.float64]
WORK = 24
"""Bytes for each value: its group's number, and what sorting it takes at the end."""


class Everything:
    """Every value, in the order of the input. nulls: keep nulls too."""

    def __init__(self, column: int, kind: pa.DataType, nulls: bool) -> None:
        self.types: list[pa.DataType] = [pa.large_list(kind)]
        self._kind = kind
        self._column = column
        self._nulls = nulls
        self._groups = 0
        self._codes: list[I64] = []
        self._values: list[Array] = []

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        if self._nulls:
            self._add(piece.groups, piece.codes, column.array)
        else:
            self._add(piece.groups, column.codes, column.valued)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        codes, array = flattened(piece.codes, columns[0])
        self._add(piece.groups, codes, array)

    def give(self) -> list[Array]:
        return [self.lists(self.types[0])]

    @property
    def nbytes(self) -> int:
        return sum(content_bytes(array) + WORK * len(array) for array in self._values)

    def lists(self, kind: pa.DataType) -> Array:
        """A list for each group. kind: a list or large list type."""
        codes, array = self._joined()
        order = stable_order(codes.astype(np.int32), max(self._groups, 1))
        return listed(array.take(order), self.counts(), kind)

    def counts(self) -> I64:
        """How many values each group has."""
        return np.bincount(self._joined()[0], minlength=self._groups)

    def quantile(self, at: float) -> F64:
        """The quantile of numeric columns, by linear interpolation between the two nearest values. Undefined for groups
        without values."""
        codes, array = self._joined()
        order = order_by([Ready(codes.astype(np.uint64)), *value_words(array, False)], len(codes))
        numbers = floats_of(array)[order] if len(codes) else np.zeros(1)
        counts = self.counts()
        ends = np.cumsum(counts)
        return interpolated(numbers, ends - counts, counts, at)

    def _joined(self) -> tuple[I64, Array]:
        if len(self._codes) != 1:
            codes, array = joined(self._codes, self._values, self._kind)
            self._codes, self._values = [codes], [array]
        return self._codes[0], self._values[0]

    def _add(self, groups: int, codes: I64, array: Array) -> None:
        self._groups = groups
        if len(codes):
            self._codes.append(codes)
            self._values.append(owned(array))


class DistinctValues:
    """The distinct values, in any order; without nulls."""

    def __init__(self, column: int, kind: pa.DataType) -> None:
        self.types: list[pa.DataType] = [pa.large_list(kind)]
        self._kind = kind
        self._column = column
        self._groups = 0
        self._codes: list[I64] = []
        self._values: list[Array] = []
        self._settled = 0  # pairs that were left when all were last compared
        self._pending = 0

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        self._add(piece.groups, column.codes, column.valued)

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        codes, array = flattened(piece.codes, columns[0])
        self._add(piece.groups, codes, array)

    def give(self) -> list[Array]:
        self._settle()
        codes, array = joined(self._codes, self._values, self._kind)
        order = stable_order(codes.astype(np.int32), max(self._groups, 1))
        return [listed(array.take(order), self.counts(), self.types[0])]

    @property
    def nbytes(self) -> int:
        return sum(content_bytes(array) + WORK * len(array) for array in self._values)

    def counts(self) -> I64:
        self._settle()
        codes = self._codes[0] if self._codes else np.empty(0, np.int64)
        return np.bincount(codes, minlength=self._groups)

    def _add(self, groups: int, codes: I64, array: Array) -> None:
        self._groups = groups
        if not len(codes):
            return
        codes, array = _different(codes, array)
        self._codes.append(codes)
        self._values.append(array)
        self._pending += len(codes)
        if self._pending > self._settled:
            self._settle()

    def _settle(self) -> None:
        """Drop duplicates. Called when the values have doubled, and at the end."""
        if len(self._codes) > 1:
            codes, array = _different(*joined(self._codes, self._values, self._kind))
            self._codes, self._values = [codes], [array]
        self._settled = len(self._codes[0]) if self._codes else 0
        self._pending = 0


def _different(codes: I64, array: Array) -> tuple[I64, Array]:
    """The first of equal pairs."""
    pairs, count = dense([as_int64(codes), array])
    rows = first_rows(pairs, count)
    return codes[rows], array.take(indices(rows))


def joined(codes: list[I64], arrays: list[Array], kind: pa.DataType) -> tuple[I64, Array]:
    if not codes:
        return np.empty(0, np.int64), nulls(0, kind)
    return np.concatenate(codes), pa.concat_arrays(arrays)


def owned(array: Array) -> Array:
    """A copy of the array: the buffer that it lies in will be reused."""
    return pa.concat_arrays([array, array.slice(0, 0)])


def listed(values: Array, counts: I64, kind: pa.DataType) -> Array:
    """One list a group, from values in the order of their groups."""
    ends = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ends[1:])
    wide = pa.types.is_large_list(kind)
    offsets = buffer_of(ends if wide else ends.astype(np.int32))
    return pa.Array.from_buffers(kind, len(counts), [None, offsets], children=[values])


def flattened(codes: I64, lists: Array) -> tuple[I64, Array]:
    """The values of large lists, each with its list's group."""
    ends = view(lists.buffers()[1], np.int64, len(lists) + 1, lists.offset)
    values: Array = lists.values  # type: ignore[attr-defined]
    return np.repeat(codes, np.diff(ends)), values.slice(int(ends[0]), int(ends[-1] - ends[0]))


def floats_of(array: Array) -> F64:
    """The values of a numeric column without nulls."""
    zeros = np.zeros(len(array), np.int64)
    return GroupedBatch(zeros, 1, [array]).column(0).floats


def interpolated(numbers: F64, starts: I64, counts: I64, at: float) -> F64:
    """The quantile of each run of sorted numbers."""
    place = at * np.maximum(counts - 1, 0)
    low = np.floor(place)
    first = np.minimum(starts + low.astype(np.int64), len(numbers) - 1)
    second = np.minimum(starts + np.ceil(place).astype(np.int64), len(numbers) - 1)
    below, above = numbers[first], numbers[second]
    with np.errstate(invalid="ignore"):
        between = below * (1 - (place - low)) + above * (place - low)  # rounds as DuckDB does
    return np.where((first == second) | (below == above), below, between)
