"""Put the rows of a bucket in order: in memory where they fit, else through sorted runs on scratch.

The sort is stable: rows are given in the order of the input, and keep it where their keys are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from shuffle_worker.errors import OutOfMemory
from shuffle_worker.operations.external_sort import merged, write_runs
from shuffle_worker.partitioning.columns import concat, take
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.protocol.messages import SortKey


class Sorter:
    """keys: most significant first. scratch: a folder for runs, made when the first is written."""

    def __init__(self, keys: Sequence[SortKey], scratch: Path | None) -> None:
        self._keys = list(keys)
        self._scratch = scratch

    def in_memory(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows in order; needs as much memory again as they have."""
        return sorted_rows(rows, self._keys)

    def sorted(self, pieces: Iterator[list[pa.RecordBatch]], size: int, memory: int) -> Iterator[pa.RecordBatch]:
        """The rows of all pieces in order, in batches with memory of their own. Each piece is valid until the next.
        size: bytes of all pieces; where a quarter of `memory` does not hold them, they are sorted on scratch."""
        if size <= memory // 4:
            batches = [batch for piece in pieces for batch in piece]
            if batches:
                yield self.in_memory(concat(batches))
            return
        if self._scratch is None:
            raise OutOfMemory(
                f"{size} bytes are to be sorted together, which {memory} bytes of memory do not hold, and there is no "
                f"scratch folder to sort them on; give the workers scratch space or more memory"
            )
        with write_runs(pieces, self._keys, self._scratch, memory) as runs:
            yield from merged(runs, self._keys)


def sorted_rows(rows: pa.RecordBatch, keys: Sequence[SortKey]) -> pa.RecordBatch:
    return take(rows, sort_indices(rows, keys).astype("int32"))
