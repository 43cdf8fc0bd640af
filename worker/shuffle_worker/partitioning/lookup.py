"""A small table, ready to be looked up in by rows of another: what a broadcast join does with the side that every
worker has whole. Made once, asked for every batch; the result is in the order of the rows that ask.

Memory: about 40 bytes a row of the small table, and 40 a row of the batch.
"""

from __future__ import annotations

import numpy as np

from shuffle_worker.columns.arrays import I64, U64
from shuffle_worker.partitioning.matching import (
    NONE,
    Matches,
    Side,
    Wanted,
    equal_keys,
    first_rows,
    found_in,
    kept_rows,
    numbered,
    order_of,
    uniform,
)


def every_pair(rows: int, others: int) -> Matches:
    """So many rows, each with all of so many others."""
    return Matches(
        np.arange(rows, dtype=np.int64),
        np.zeros(rows, np.int64),
        np.full(rows, others, np.int64),
        np.arange(others, dtype=np.int64),
        None,
    )


class Lookup:
    """`side`: the small table's. Safe for several threads."""

    def __init__(self, side: Side) -> None:
        self._side = side
        rows = kept_rows(side.keys)
        self._rows = rows
        order = rows[order_of(side.places[rows])]
        self._sound = side.exact or uniform(side, order)
        self._by_place = _Runs(side.places, order)

    def match(self, outer: Side, wanted: Wanted) -> Matches:
        """outer: the rows that ask; they are the left ones here."""
        runs = self._by_place
        found, hits = found_in(runs.distinct, outer.places)
        if outer.keys.matchable is not None:
            hits &= outer.keys.matchable
        if not (self._sound and (outer.exact or self._agree(outer, found, hits))):
            words, mine = numbered(outer.keys, self._side.keys)
            runs = _Runs(mine, self._rows[np.argsort(mine[self._rows], kind="stable")])
            found, hits = found_in(runs.distinct, words)
            if outer.keys.matchable is not None:
                hits &= outer.keys.matchable
        rows = np.arange(len(hits), dtype=np.int64)
        if not (wanted.left and wanted.pairs):
            rows = np.flatnonzero(hits) if wanted.pairs else np.flatnonzero(~hits)
            found, hits = found[rows], hits[rows]
        if not len(runs.distinct):
            return Matches(rows, np.full(len(rows), NONE, np.int64), np.ones(len(rows), np.int64), runs.order, None)
        first = np.where(hits, runs.firsts.take(found, mode="clip"), NONE)
        counts = np.where(hits & (not wanted.once), runs.lengths.take(found, mode="clip"), 1)
        return Matches(rows, first, counts, runs.order, None)

    def _agree(self, outer: Side, found: I64, hits: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> bool:
        """Whether the rows that found a place there have its key."""
        rows = np.flatnonzero(hits)
        runs = self._by_place
        return equal_keys(outer.keys, rows, self._side.keys, runs.order[runs.firsts[found[rows]]])


class _Runs:
    """order: rows by their words. distinct: the words; firsts, lengths: where in the order each one's rows are."""

    def __init__(self, words: U64, order: I64) -> None:
        ordered = words[order]
        self.order = order
        self.firsts = first_rows(ordered)
        self.distinct = ordered[self.firsts]
        self.lengths = np.diff(np.append(self.firsts, len(ordered)))
