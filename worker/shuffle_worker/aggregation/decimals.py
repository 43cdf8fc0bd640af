"""Exact sums of decimals of more than 18 digits, as words of 32 bits; and decimals from such words.

Memory: 64 bytes a group.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch
from shuffle_worker.columns.arrays import I64, U64, Array, Bools, buffer_of, view

_LOW = np.int64((1 << 32) - 1)
_32 = np.int64(32)
_LIMBS = 8


class DecimalSum:
    """The sum of decimals of any precision, modulo 2**256."""

    def __init__(self, column: int) -> None:
        self.types = [pa.binary(32)]
        self._column = column
        self._limbs: list[I64] = [np.empty(0, np.int64) for _ in range(_LIMBS)]  # the last one signed

    def update(self, piece: GroupedBatch) -> None:
        column = piece.column(self._column)
        self._add(piece.groups, column.codes, limbs_of(column.valued))

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        self._add(piece.groups, piece.codes, limbs_of(columns[0]))

    def give(self) -> list[Array]:
        words = _words(self._limbs)
        return [pa.Array.from_buffers(self.types[0], len(words) // 4, [None, buffer_of(words)])]

    @property
    def nbytes(self) -> int:
        return sum(limb.nbytes for limb in self._limbs)

    def limbs(self) -> list[I64]:
        """The sums as 32-bit words, the least significant first, the last one signed."""
        return self._limbs

    def _add(self, groups: int, codes: I64, numbers: list[I64]) -> None:
        carry = np.zeros(groups, np.int64)
        for at in range(_LIMBS):
            limb = np.zeros(groups, np.int64)
            limb[: len(self._limbs[at])] = self._limbs[at]
            limb += carry
            if at < len(numbers):
                np.add.at(limb, codes, numbers[at])
            if at < _LIMBS - 1:
                carry = limb >> _32
                limb &= _LOW
            self._limbs[at] = limb


def decimals(limbs: list[I64], kind: pa.DataType) -> tuple[Array, Bools]:
    """Numbers (32-bit words of unscaled values) as a decimal type, and which of them have too many digits for it."""
    wide = [*limbs[:-1]]
    top = limbs[-1]
    while len(wide) < _LIMBS - 1:
        wide.append(top & _LOW)
        top = top >> _32
    wide.append(top)
    words = _words(wide).reshape(-1, 4)
    limit = 10**kind.precision  # type: ignore[attr-defined]
    past = _at_least(words, limit) | ~_at_least(words, 1 - limit)
    taken = np.ascontiguousarray(words[:, : kind.bit_width // 64])
    return pa.Array.from_buffers(kind, len(words), [None, buffer_of(taken)]), past


def _at_least(words: npt.NDArray[np.uint64], limit: int) -> Bools:
    """Which 256-bit numbers (rows of four words, the least significant first) are at least `limit`."""
    found = np.ones(len(words), np.bool_)
    for at in range(4):
        bound = np.uint64((limit >> (64 * at)) & ((1 << 64) - 1))
        mine = words[:, at]
        if at == 3:
            mine, bound = mine ^ np.uint64(1 << 63), bound ^ np.uint64(1 << 63)
        found = np.where(mine == bound, found, mine > bound)
    return found


def limbs_of(array: Array) -> list[I64]:
    """Decimals as 32-bit words of their unscaled values, the least significant first, the last one signed. Those of a
    null are arbitrary."""
    count = len(array)
    words = array.type.bit_width // 32
    flat = view(array.buffers()[1], np.uint32, count * words, array.offset * words).reshape(count, words)
    limbs = [flat[:, at].astype(np.int64) for at in range(words - 1)]
    top: I64 = flat[:, words - 1].view(np.int32).astype(np.int64)
    return [*limbs, top]


def _words(limbs: list[I64]) -> U64:
    """Eight 32-bit words as rows of four 64-bit ones."""
    found = np.empty((len(limbs[0]), _LIMBS // 2), np.uint64)
    for at in range(_LIMBS // 2):
        low, high = limbs[2 * at].view(np.uint64), limbs[2 * at + 1].view(np.uint64)
        found[:, at] = (low & np.uint64(_LOW)) | (high << np.uint64(32))
    return found.reshape(-1)
