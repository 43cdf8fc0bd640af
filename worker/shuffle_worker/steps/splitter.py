"""The map side: rows of one split in, shards out.

A split's rows are gathered in batches large enough that a bucket's slice of them is worth a message (`batch_rows`), put
in bucket order by one gather, and serialised slice by slice. Rows come out of a bucket in input order, whatever the
batches were, so that the batch size (which depends on memory) never shows in the output.

Memory: at most `batch_bytes` of waiting rows (one batch of the reader's more), their gathered copy and their serialised
shards, which the caller takes away: three times `batch_bytes`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_protocol.shards import Shard
from shuffle_worker.columns.arrays import concat
from shuffle_worker.columns.coded import CodedColumns
from shuffle_worker.partitioning.scatter import scatter
from shuffle_worker.plan.layout import Layout
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.shards import encode

Cells = npt.NDArray[np.int32]

LEAST_ROWS = 1 << 17
"""Half as many take a tenth more to be gathered and stored, and make twice as many shards, each of which costs every
step behind. A batch of 5 to 10 MB still lies in the cache while it is gathered; much larger ones may take twice the
time."""

MOST_ROWS = 1 << 20
ROWS_A_BUCKET = 1024
"""Slices shorter than this cost more in calls than in bytes."""


class Assign(Protocol):
    """Gives every row its cell. One instance a split, called with its batches in order (round robin counts)."""

    def __call__(self, rows: Rows) -> Cells: ...


def batch_rows(buckets: int, row_bytes: float, batch_bytes: int) -> int:
    """Rows to gather at once for so many buckets, within so many bytes; also a good size for the reader's batches."""
    rows = min(max(LEAST_ROWS, buckets * ROWS_A_BUCKET), MOST_ROWS)
    return max(1024, min(rows, int(batch_bytes / max(row_bytes, 1.0))))


class BatchSplitter:
    """`Splitter` for every operation that sends whole rows. wanted: groups, None for all. drops: rows may be in the
    cell behind the last one, and are not sent then. coded: the columns that travel as codes, None where there are
    none."""

    def __init__(
        self,
        layout: Layout,
        assign: Assign,
        wanted: frozenset[int] | None,
        row_bytes: float,
        batch_bytes: int,
        *,
        drops: bool = False,
        coded: CodedColumns | None = None,
    ) -> None:
        self._assign = assign
        self._coded = coded
        self._cells = layout.cells
        self._edges = np.array(layout.bucket_starts, np.int64)
        self._several = layout.cells > layout.buckets
        self._wanted: npt.NDArray[np.bool_] | None = None
        buckets = layout.buckets
        if wanted is not None and len(wanted) < layout.groups:
            by_bucket = np.zeros(layout.buckets, np.bool_)
            for group in wanted:
                chosen = layout.group_buckets(group)
                by_bucket[chosen.start : chosen.stop] = True
            self._wanted = np.repeat(by_bucket, np.diff(self._edges))
            buckets = int(np.count_nonzero(by_bucket))
        if drops:
            sent = np.ones(self._cells, np.bool_) if self._wanted is None else self._wanted
            self._wanted = np.append(sent, False)
            self._cells += 1
        self._target_rows = batch_rows(buckets, row_bytes, batch_bytes)
        self._target_bytes = batch_bytes
        self._batches: list[pa.RecordBatch] = []
        self._ids: list[Cells] = []
        self._rows = 0
        self._bytes = 0
        self._sequence = 0

    def add(self, rows: Rows) -> list[Shard]:
        return self.put(rows.batch, self._assign(rows)) if rows.batch.num_rows else []

    def put(self, batch: pa.RecordBatch, cells: Cells) -> list[Shard]:
        """Rows whose cells are known."""
        if not batch.num_rows:
            return []
        if self._coded is not None:
            batch = self._coded.coded(batch)
        shards: list[Shard] = []
        if self._rows * 4 >= self._target_rows and self._rows + batch.num_rows > self._target_rows * 5 // 4:
            shards = self.flush()  # enough waits already: joining it to a full batch would only copy both
        elif self._bytes and self._bytes + batch.nbytes > self._target_bytes * 5 // 4:
            shards = self.flush()  # rows are wider than the mean
        self._batches.append(batch)
        self._ids.append(cells)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows * 8 >= self._target_rows * 7 or self._bytes >= self._target_bytes:
            shards += self.flush()
        return shards

    def flush(self) -> list[Shard]:
        if not self._rows:
            return []
        batch = self._batches[0] if len(self._batches) == 1 else concat(self._batches)
        ids = self._ids[0] if len(self._ids) == 1 else np.concatenate(self._ids)
        self._batches, self._ids, self._rows, self._bytes = [], [], 0, 0
        grouped, starts = scatter(batch, ids, self._cells, self._wanted)
        del batch
        message_of = pa.RecordBatch.serialize if self._coded is None else self._coded.messages_of(grouped)
        edges = starts[self._edges]
        shards: list[Shard] = []
        for bucket in np.flatnonzero(np.diff(edges)).tolist():
            first, last = int(edges[bucket]), int(edges[bucket + 1])
            counts = None
            if self._several:
                cells = starts[self._edges[bucket] : self._edges[bucket + 1] + 1]
                counts = np.diff(cells) if len(cells) > 2 else None
            shards.append(encode(bucket, self._sequence, grouped.slice(first, last - first), counts, message_of))
            self._sequence += 1
        return shards
