"""The keys of one side of a join, from its rows: their hashes, and what matching needs of them.

Used by the map side (which file), by the local step (which rows match) and by the plan (which keys are frequent), so
that all three agree on what a key is.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_worker.columns.arrays import U64, Array
from shuffle_worker.partitioning.hash import hash_rows
from shuffle_worker.partitioning.matching import Side
from shuffle_worker.partitioning.pairing import Keys, Pairing
from shuffle_worker.partitioning.places import places


class JoinKeys:
    """The keys of one side of a join. names: its columns. at: 0 for the left side, 1 for the right one."""

    def __init__(self, names: Sequence[str], pairs: Sequence[Pairing], at: int, nulls_equal: bool) -> None:
        self.names = list(names)
        self._pairs = list(pairs)
        self._at = at
        self._nulls_equal = nulls_equal
        self._one_word = len(pairs) == 1 and pairs[0].one_word

    def hashes(self, rows: pa.RecordBatch) -> U64:
        return hash_rows(
            [
                column if pair.hashed[self._at] is None else column.cast(pair.hashed[self._at], safe=False)
                for column, pair in zip(self._columns(rows), self._pairs, strict=True)
            ]
        )

    def side(self, rows: pa.RecordBatch, partitions: int, moved: bool = False) -> Side:
        """moved: some rows may be of another file, whose keys have the same places."""
        columns = self._columns(rows)
        exact = self._one_word and not moved and not (self._nulls_equal and columns[0].null_count)
        return Side(places(self.hashes(rows), partitions), self.of(rows), exact)

    def of(self, rows: pa.RecordBatch) -> Keys:
        return Keys(self._columns(rows), self._pairs, self._nulls_equal)

    def _columns(self, rows: pa.RecordBatch) -> list[Array]:
        return [rows.column(name) for name in self.names]
