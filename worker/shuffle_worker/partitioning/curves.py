"""Space-filling curves through a grid: points that follow one another on a curve are near each other in all dimensions.

Coordinates are unsigned integers below 2**bits, one array for each dimension; what comes out is a point's place on the
curve, below 2**(bits * dimensions), which must be 64 bits at most. Both curves visit every square (cube, ...) of the
grid whole before the next, for each power of two that its sides have.

    z_places         the bits of the coordinates in turn: after a square the curve may leap
    hilbert_places   the same after turns and reflections that make neighbours on the curve neighbours in the grid
                     (Skilling, "Programming the Hilbert curve", 2004)

Memory: a few arrays of `_BLOCK` words beside the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from shuffle_worker.columns.arrays import U64

_BLOCK = 8192
"""Points worked on at once: arrays of 64 KiB stay in the cache."""

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


def z_places(coordinates: Sequence[U64], bits: int) -> U64:
    """The place of each point on the Z curve; the first dimension has the highest bit."""
    return _in_blocks(coordinates, lambda block: _interleaved(block, bits))


def hilbert_places(coordinates: Sequence[U64], bits: int) -> U64:
    """The place of each point on the Hilbert curve."""
    return _in_blocks(coordinates, lambda block: _interleaved(_transposed(block, bits), bits))


def _in_blocks(coordinates: Sequence[U64], places: Callable[[list[U64]], U64]) -> U64:
    out = np.empty(len(coordinates[0]), np.uint64)
    for at in range(0, len(out), _BLOCK):
        out[at : at + _BLOCK] = places([column[at : at + _BLOCK].copy() for column in coordinates])
    return out


def _interleaved(columns: Sequence[U64], bits: int) -> U64:
    places = np.zeros(len(columns[0]), np.uint64)
    for bit in range(bits - 1, -1, -1):
        for column in columns:
            places <<= _ONE
            places |= (column >> np.uint64(bit)) & _ONE
    return places


def _transposed(columns: list[U64], bits: int) -> list[U64]:
    """Coordinates to the bits of the place, dealt out to as many words; in place."""
    first = columns[0]
    for bit in range(bits - 1, 0, -1):
        lower = np.uint64((1 << bit) - 1)
        for column in columns:
            turned = _ZERO - ((column >> np.uint64(bit)) & _ONE)  # all ones where the bit is set
            swapped = (first ^ column) & lower & ~turned
            first ^= turned & lower  # set: the lower bits of the first are inverted
            first ^= swapped  # else: exchanged with the column's
            if column is not first:
                column ^= swapped
    for column, before in zip(columns[1:], columns[:-1], strict=True):
        column ^= before
    gray = np.zeros(len(first), np.uint64)
    for bit in range(bits - 1, 0, -1):
        gray ^= (_ZERO - ((columns[-1] >> np.uint64(bit)) & _ONE)) & np.uint64((1 << bit) - 1)
    for column in columns:
        column ^= gray
    return columns
