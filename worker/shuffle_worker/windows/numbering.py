"""Numbers of rows in their window: by their place, by their peers, in parts of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from shuffle_worker.aggregation.batches import array_of
from shuffle_worker.columns.arrays import I64, Array, Bools
from shuffle_worker.windows.blocks import Block


def row_number(block: Block) -> Array:
    return array_of(pa.int64(), block.rows - block.start + 1)


def rank(block: Block) -> Array:
    return array_of(pa.int64(), block.peer_start - block.start + 1)


def dense_rank(block: Block) -> Array:
    return array_of(pa.int64(), block.peers + 1)


def percent_rank(block: Block) -> Array:
    """The share of the other rows that come before a row's peers; 0 where there are no others."""
    others = block.end - block.start - 1
    return array_of(pa.float64(), (block.peer_start - block.start) / np.maximum(others, 1))


def cume_dist(block: Block) -> Array:
    """The share of the rows up to a row's last peer."""
    return array_of(pa.float64(), (block.peer_end - block.start) / (block.end - block.start))


def ntile(parts: int) -> Callable[[Block], Array]:
    """Numbers of parts, of which the first ones have a row more where rows cannot be shared evenly."""

    def numbers(block: Block) -> Array:
        rows, row = block.end - block.start, block.rows - block.start
        size, larger = rows // parts, rows % parts
        edge = larger * (size + 1)
        late = larger + (row - edge) // np.maximum(size, 1)
        return array_of(pa.int64(), np.where(row < edge, row // (size + 1), late) + 1)

    return numbers


class Numbering:
    """A function of rows' places alone."""

    def __init__(self, numbers: Callable[[Block], Array]) -> None:
        self._numbers = numbers

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        pass

    def result(self, block: Block, low: I64, high: I64) -> Array:  # noqa: ARG002
        return self._numbers(block)
