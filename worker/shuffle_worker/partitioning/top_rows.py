"""Which rows are kept of each group: the first or the last few (top N per group), in an order that may be asked for.

`distinct` calls it with groups numbered by `codes.py`. Choosing again from what was chosen of some rows and from rows
that come after them is choosing from all of them, because the order is stable; so rows can be given up early, split by
split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import I64
from shuffle_worker.partitioning.codes import first_rows, last_rows
from shuffle_worker.partitioning.order import key_columns, order_by
from shuffle_worker.partitioning.sort_keys import Ready, key_words

_SORTING = 40
"""Bytes that sorting takes for each row: its words, and its place in the order."""


class TopRows:
    """order: what the rows of a group are ordered by, ties as they come; nothing: as they come. most: rows to keep of a
    group. last: the last ones in that order."""

    def __init__(self, order: Sequence[SortKey], most: int, last: bool) -> None:
        self._order = list(order)
        self._most = most
        self._last = last
        self._one = most == 1 and not order
        self.row_bytes = 0 if self._one else _SORTING
        """Bytes beside a row itself while it is chosen from."""

    def of(self, rows: pa.RecordBatch, codes: I64, count: int) -> tuple[I64, I64]:
        """codes: the group of each row, 0 .. count-1, none without a row. Returns the rows that are kept, group by
        group, those of a group in order; and where the rows of each group begin among them."""
        if self._one:
            return last_rows(codes, count) if self._last else first_rows(codes, count), np.arange(count)
        words = [Ready(codes.view(np.uint64)), *key_words(key_columns(rows, self._order), self._order)]
        ordered = order_by(words, len(codes))
        sizes = np.bincount(codes, minlength=count)
        starts = np.cumsum(sizes) - sizes
        kept = np.minimum(sizes, self._most)
        if self._last:
            starts = starts + sizes - kept
        firsts = np.cumsum(kept) - kept
        return ordered[np.arange(int(kept.sum())) + np.repeat(starts - firsts, kept)], firsts
