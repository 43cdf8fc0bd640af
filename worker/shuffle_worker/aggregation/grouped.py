"""Groups and their states: rows and states in, states or results out. Both sides of a groupBy use it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_protocol.jobs import Aggregation
from shuffle_worker.aggregation.batches import GroupedBatch
from shuffle_worker.aggregation.functions import Aggregates
from shuffle_worker.aggregation.sizes import rows_bytes
from shuffle_worker.columns.arrays import I64, U64, Array, concat, take
from shuffle_worker.partitioning.codes import dense, dense_values, first_rows
from shuffle_worker.partitioning.hash_groups import numbered


class Groups:
    """The keys of all groups so far. Those that come in earlier have smaller numbers; among those that come in
    together, all are in the order of their first rows, or all in the order of their hashes, none of which are equal."""

    def __init__(self, schema: pa.Schema) -> None:
        self.keys = pa.RecordBatch.from_pylist([], schema=schema)

    @property
    def count(self) -> int:
        return self.keys.num_rows

    def codes(self, keys: pa.RecordBatch) -> I64:
        """The group of every row. New keys become groups."""
        known = self.count
        both = concat([self.keys, keys]) if known else keys
        by_hash = numbered(both.columns, known)
        if by_hash is not None:
            fresh = take(both, by_hash.fresh)
            self.keys = concat([self.keys, fresh]) if known else fresh
            return by_hash.codes[known:]
        if both.num_columns == 1:
            codes, count, distinct = dense_values(both.column(0))
        else:
            (codes, count), distinct = dense(both.columns), None
        if count > known:
            if distinct is not None:
                self.keys = pa.RecordBatch.from_arrays([distinct], schema=both.schema)
            else:
                self.keys = take(both, first_rows(codes, count))
        return codes[known:]


class Grouped:
    """keys, columns: the schemas of the key columns and of the columns to aggregate."""

    def __init__(self, keys: pa.Schema, columns: pa.Schema, aggregations: Sequence[Aggregation]) -> None:
        self._groups = Groups(keys)
        self._aggregates = Aggregates(aggregations, columns)

    @property
    def keys(self) -> pa.RecordBatch:
        """The keys of every group, in the order of their numbers."""
        return self._groups.keys

    @property
    def count(self) -> int:
        return self._groups.count

    @property
    def nbytes(self) -> int:
        """About how many bytes of memory keys and states hold."""
        return rows_bytes(self._groups.keys) + self._aggregates.nbytes

    def update(self, keys: pa.RecordBatch, columns: Sequence[Array], positions: U64 | None = None) -> None:
        codes = self._groups.codes(keys)
        self._aggregates.update(GroupedBatch(codes, self._groups.count, columns, positions))

    def merge(self, keys: pa.RecordBatch, states: Sequence[Array]) -> None:
        codes = self._groups.codes(keys)
        self._aggregates.merge(GroupedBatch(codes, self._groups.count, []), states)

    def states(self) -> list[Array]:
        return self._aggregates.give()

    def results(self) -> list[Array]:
        return self._aggregates.results(self.keys)
