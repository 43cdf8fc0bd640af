"""The grid that rows are clustered by: each column cut into ranges of as many rows each, and a curve through them.

Going by ranges of the sampled values, not by the values' bits, any type that can be ordered will do, a skewed column
fills its dimension as an even one does, and texts with one beginning are told apart. The n-th range of a column begins
with the n-th of its cuts. A column of few values has one range for each, spread over the whole dimension: it takes part
in the first turns of the curve only, as many as tell its values apart. Nulls are the last range.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import Cluster, SortKey
from shuffle_worker.columns.arrays import U64
from shuffle_worker.partitioning.curves import hilbert_places, z_places
from shuffle_worker.steps.assign import ranges_of

BITS = 10
"""Of a column: its ranges are 1,024 at most, fewer where many columns share 64 bits."""


def bits_of(columns: int) -> int:
    """The bits of each of so many columns."""
    return min(BITS, 64 // columns)


class Grid:
    """cuts: for each column the values where its ranges begin, but for the first; see `Plan.cuts`."""

    def __init__(self, asked: Cluster, cuts: Sequence[bytes]) -> None:
        self._ranges = [ranges_of(some, [SortKey(name)]) for name, some in zip(asked.by, cuts, strict=True)]
        self._places = z_places if asked.curve == "ZOrder" else hilbert_places
        self._bits = bits_of(len(asked.by))

    @property
    def ranges(self) -> list[int]:
        """How many each column has."""
        return [ranges.cells for ranges in self._ranges]

    def places(self, rows: pa.RecordBatch) -> U64:
        """Where each row stands on the curve."""
        coordinates: list[U64] = []
        for ranges in self._ranges:
            spread = self._bits - (ranges.cells - 1).bit_length()
            coordinates.append(ranges.cells_of(rows).astype(np.uint64) << np.uint64(spread))
        return self._places(coordinates, self._bits)
