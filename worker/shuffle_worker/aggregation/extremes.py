"""The smallest and the largest value of columns whose values are numbers of at most 64 bits.

The order is the project's one order of values: NaN behind every other number, -0.0 equal to 0.0, and 0.0 the result.

Memory: 8 bytes a group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.aggregation.batches import BatchColumn, GroupedBatch, array_of, grown
from shuffle_worker.columns.arrays import I64, Array, Bools, values


def has_numbers(kind: pa.DataType) -> bool:
    """Whether the values of a type are numbers of at most 64 bits."""
    t = pa.types
    temporal = t.is_temporal(kind) and not t.is_interval(kind)
    return t.is_boolean(kind) or t.is_integer(kind) or t.is_floating(kind) or temporal


class Extreme:
    """largest: the largest value, otherwise the smallest. kind: the plain type of the column and the result."""

    def __init__(self, column: int, kind: pa.DataType, largest: bool) -> None:
        self._column = column
        self._kind = kind
        self._largest = largest
        self._floats = pa.types.is_floating(kind)
        self._unsigned = pa.types.is_uint64(kind)
        dtype = np.float64 if self._floats else np.uint64 if self._unsigned else np.int64
        self.types: list[pa.DataType] = [pa.float64() if self._floats else pa.int64()]
        self._found: npt.NDArray[Any] = np.empty(0, dtype)

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        self._add(piece.groups, column.codes, self._numbers(column))

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._add(piece.groups, piece.codes, values(columns[0], self._found.dtype))

    def give(self) -> list[Array]:
        return [array_of(self.types[0], self._found)]

    @property
    def nbytes(self) -> int:
        return self._found.nbytes

    def result(self, present: Bools) -> Array:
        """present: which groups have a value."""
        if pa.types.is_boolean(self._kind):
            return array_of(self._kind, self._found, present)
        letter = "f" if self._floats else "u" if pa.types.is_unsigned_integer(self._kind) else "i"
        with np.errstate(invalid="ignore"):
            found = self._found.astype(f"{letter}{self._kind.bit_width // 8}")
        if self._floats:
            found += 0.0
        return array_of(self._kind, found, present)

    def _numbers(self, column: BatchColumn) -> npt.NDArray[Any]:
        if self._floats:
            return column.floats
        found: I64 = column.integers
        return found.view(np.uint64) if self._unsigned else found

    def _add(self, groups: int, codes: I64, numbers: npt.NDArray[Any]) -> None:
        if self._floats:
            first: float | int = -np.inf if self._largest else np.nan
        else:
            limits = np.iinfo(self._found.dtype)
            first = limits.min if self._largest else limits.max
        self._found = grown(self._found, groups, first)
        with np.errstate(invalid="ignore"):
            if self._largest:
                np.maximum.at(self._found, codes, numbers)  # NaN wins
            else:
                (np.fmin if self._floats else np.minimum).at(self._found, codes, numbers)  # NaN only by itself
