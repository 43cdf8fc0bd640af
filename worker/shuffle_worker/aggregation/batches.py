"""A batch of rows to aggregate: their groups and columns. Each column is prepared once for all states that use it.

Memory: views of the rows' columns, 8 bytes a row for the group, and 8 for each column that has nulls or is not 64 bits
wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, U64, Array, Bools, bitmap, buffer_of, indices, plain, valid, values, view
from shuffle_worker.columns.arrow import parts
from shuffle_worker.partitioning.codes import integers


class BatchColumn:
    """One column of a batch in the forms that states need, without the rows that have no value."""

    def __init__(self, array: Array, codes: I64, counts: I64) -> None:
        self.array = array
        self._codes = codes
        self._counts = counts

    @cached_property
    def plain(self) -> Array:
        return plain(self.array)

    @cached_property
    def present(self) -> Bools | None:
        """Which rows have a value; None where all have."""
        return valid(self.plain)

    @cached_property
    def rows(self) -> I64:
        """The numbers of the rows that have a value."""
        return np.arange(len(self._codes)) if self.present is None else np.flatnonzero(self.present)

    @cached_property
    def codes(self) -> I64:
        """The groups of the rows that have a value."""
        return self._codes if self.present is None else self._codes[self.present]

    @cached_property
    def counts(self) -> I64:
        """How many rows with a value each group has."""
        return self._counts if self.present is None else np.bincount(self.codes, minlength=len(self._counts))

    @cached_property
    def valued(self) -> Array:
        """The values, without nulls."""
        return self.plain if self.present is None else self.plain.take(indices(self.rows))

    @cached_property
    def integers(self) -> I64:
        """The values of integer, boolean and temporal columns; for unsigned 64-bit integers their bits."""
        found = integers(self.plain)
        return found if self.present is None else found[self.present]

    @cached_property
    def floats(self) -> npt.NDArray[np.float64]:
        """The values of any numeric column as 64-bit floats."""
        kind = self.plain.type
        if pa.types.is_decimal(kind):
            return decimal_floats(self.valued)
        if pa.types.is_floating(kind):
            found = values(self.plain, f"f{kind.bit_width // 8}")
            found = found if self.present is None else found[self.present]
        elif pa.types.is_uint64(kind):
            found = self.integers.view(np.uint64)
        else:
            found = self.integers
        return found.astype(np.float64, copy=False)


class GroupedBatch:
    """codes: the group of every row. groups: how many groups there are so far. columns: the columns to aggregate.
    positions: the rows' positions in the input, if a state needs them."""

    def __init__(self, codes: I64, groups: int, columns: Sequence[Array], positions: U64 | None = None) -> None:
        self.codes = codes
        self.groups = groups
        self.positions = positions
        self.counts = np.bincount(codes, minlength=groups)
        self._columns = [BatchColumn(array, codes, self.counts) for array in columns]

    def column(self, at: int) -> BatchColumn:
        return self._columns[at]


def decimal_floats(array: Array) -> npt.NDArray[np.float64]:
    """Decimals without nulls as the nearest floats. Arrow's cast multiplies by an inexact power of ten, and would make
    -14.12 into -14.120000000000001. Digits beyond 53 bits are rounded first."""
    kind = array.type
    width, scale = kind.bit_width // 64, parts(kind).scale
    if width == 0:
        unscaled = values(array, np.int32).astype(np.float64)
    else:
        words = view(array.buffers()[1], np.uint64, len(array) * width, array.offset * width).reshape(-1, width)
        negative = words[:, -1].view(np.int64) < 0
        unscaled, carry = np.zeros(len(words)), negative
        for at in range(width):
            word = np.where(negative, ~words[:, at] + carry, words[:, at])
            carry = carry & (word == 0)
            unscaled += word * 2.0 ** (64 * at)
        np.negative(unscaled, where=negative, out=unscaled)
    found: npt.NDArray[np.float64] = unscaled / 10.0**scale if scale >= 0 else unscaled * 10.0**-scale
    return found


def array_of(kind: pa.DataType, numbers: npt.NDArray[Any], present: Bools | None = None) -> Array:
    """Numbers as a column, null where they are not present. They must be as wide as the type."""
    there = bitmap(present) if present is not None and not present.all() else None
    count = len(numbers)
    if pa.types.is_boolean(kind):
        return pa.Array.from_buffers(kind, count, [there, bitmap(numbers.astype(np.bool_))])
    return pa.Array.from_buffers(kind, count, [there, buffer_of(np.ascontiguousarray(numbers))])


def grown(state: npt.NDArray[Any], groups: int, fill: Any) -> npt.NDArray[Any]:
    """A state's array with an entry for each group."""
    if len(state) >= groups:
        return state
    more = np.full(groups - len(state), fill, state.dtype)
    return np.concatenate([state, more]) if len(state) else more
