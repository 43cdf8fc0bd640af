"""The interface of a state. The package's docstring has the promise that all of them keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from shuffle_worker.aggregation.batches import GroupedBatch
from shuffle_worker.columns.arrays import Array


class State(Protocol):
    """What is kept of every group. Rows and states come in the order of the input, in batches of any size, and the
    result is the same for any size."""

    @property
    def types(self) -> Sequence[pa.DataType]:
        """Types of the columns as which a state travels."""
        ...

    def update(self, piece: GroupedBatch) -> None:
        """Take in the rows of a batch."""
        ...

    def merge(self, piece: GroupedBatch, columns: list[Array]) -> None:
        """Take in states. columns: what `give` of another state returned; the batch has the group of each row."""
        ...

    def give(self) -> list[Array]:
        """The state of every group, as columns."""
        ...

    @property
    def nbytes(self) -> int:
        """About how many bytes of memory it holds."""
        ...
