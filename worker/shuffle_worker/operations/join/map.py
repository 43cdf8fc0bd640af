"""The map side of a join: rows go to the file that the hash of their keys says, but for skewed keys.

The rows of a skewed key would make one huge file, and keep one worker busy. The plan found such keys (`strategy.py`):
on the side where a key is frequent its rows are spread over several files, by their positions; the other side's rows
with that key go to each of these files. So every pair meets once. In each file such rows stand at the place of their
key.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, U64, concat, take
from shuffle_worker.partitioning.join_keys import JoinKeys
from shuffle_worker.plan.record import Plan, SkewedKey
from shuffle_worker.readers.reader import Rows
from shuffle_worker.steps.splitter import Cells

RUN = 64
"""Neighbouring input rows of a skewed key that stay together."""

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Destinations:
    """For the rows of one input. One instance serves any number of splits."""

    def __init__(self, plan: Plan, keys: JoinKeys, index: int) -> None:
        self.keys = keys
        self._partitions = plan.layout.partitions
        self._each = max(plan.layout.cells // plan.layout.partitions, 1)
        self._dealt = _Table([skewed for skewed in plan.skewed if skewed.input == index])
        self._copied = _Table([skewed for skewed in plan.skewed if skewed.input != index])

    @property
    def moves(self) -> bool:
        """Whether rows may come several times, or go elsewhere than their keys say."""
        return bool(self._dealt or self._copied)

    def __call__(self, rows: Rows) -> Cells:
        return self.of(rows, self.keys.hashes(rows.batch))[1]

    def of(self, rows: Rows, hashes: U64) -> tuple[pa.RecordBatch, Cells]:
        """The rows, some of them several times, and the cell of each. hashes: of their keys; they are used up."""
        if not self.moves:
            hashes >>= _HALF
            hashes *= np.uint64(self._partitions * self._each)
            hashes >>= _HALF
            return rows.batch, hashes.astype(np.int32)
        turns = np.zeros(len(hashes), np.int64)
        pieces = np.ones(len(hashes), np.int64)
        batch = rows.batch
        if self._dealt:
            skewed, sizes = self._dealt.find(hashes)
            turns[skewed] = rows.all_positions()[skewed] // RUN % sizes
            pieces[skewed] = sizes
        if self._copied:
            skewed, sizes = self._copied.find(hashes)
            if len(skewed):
                pieces[skewed] = sizes
                more = np.repeat(skewed, sizes - 1)
                starts = np.cumsum(sizes - 1) - (sizes - 1)
                following = np.arange(len(more), dtype=np.int64) - np.repeat(starts, sizes - 1) + 1
                batch = concat([batch, take(batch, more)])
                hashes = np.concatenate([hashes, hashes[more]])
                turns = np.concatenate([turns, following])
                pieces = np.concatenate([pieces, pieces[more]])
        return batch, self._cells(hashes, turns, pieces)

    def _cells(self, hashes: U64, turns: I64, pieces: I64) -> Cells:
        """turns: which of a key's `pieces` files, counted from the one that its hash says."""
        product = (hashes >> _HALF) * np.uint64(self._partitions)
        files = (product >> _HALF).astype(np.int64)
        files += turns * self._partitions // pieces
        files %= self._partitions
        within = ((product & _LOW) * np.uint64(self._each)) >> _HALF
        cells: Cells = (files * self._each + within.astype(np.int64)).astype(np.int32)
        return cells


class _Table:
    """Skewed keys by their hashes."""

    def __init__(self, skewed: list[SkewedKey]) -> None:
        ordered = sorted(skewed, key=lambda one: one.hash)
        self._hashes = np.array([one.hash for one in ordered], np.uint64)
        self._pieces = np.array([one.pieces for one in ordered], np.int64)

    def __bool__(self) -> bool:
        return bool(len(self._hashes))

    def find(self, hashes: U64) -> tuple[I64, I64]:
        """The rows that have a skewed key, and over how many files each of these is spread."""
        places = np.searchsorted(self._hashes, hashes)
        rows = np.flatnonzero(self._hashes.take(places, mode="clip") == hashes)
        return rows, self._pieces[places[rows]]
