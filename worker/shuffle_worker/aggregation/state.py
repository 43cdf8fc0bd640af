"""What a state is. See the package's docstring for what all of them promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch
from shuffle_worker.columns.arrays import Array


class State(Protocol):
    """Something that is kept of every group. Rows and states of groups come in the order of the input, in pieces of any
    size; what comes out is the same for any way to cut them."""

    @property
    def types(self) -> Sequence[pa.DataType]:
        """Of the columns that a state travels as."""
        ...

    def update(self, piece: GroupedBatch) -> None:
        """Take in the rows of a piece."""
        ...

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        """Take in states: `columns` are what `give` of another one gave, each row for the group that the piece says."""
        ...

    def give(self) -> list[Array]:
        """The state of every group, as columns that travel."""
        ...

    @property
    def nbytes(self) -> int:
        """About what it holds in memory."""
        ...
