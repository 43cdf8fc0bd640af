"""Put the rows of a bucket in order: in memory where they fit, else through sorted runs on scratch.

The sort is stable: rows are given in the order of the input, and keep it where their keys are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from shuffle_protocol.errors import OutOfMemory
from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import concat, take
from shuffle_worker.columns.coded import text_bytes
from shuffle_worker.columns.widths import bytes_of, pieces_within
from shuffle_worker.partitioning.cutter import copied
from shuffle_worker.partitioning.order import Order, order_of
from shuffle_worker.plan.record import Plan
from shuffle_worker.steps.external_sort import Runs, merged, write_run

Pieces = Iterator[list[pa.RecordBatch]]
"""Rows in input order, some batches at a time; each piece is valid until the next is asked for."""


class Sorter:
    """by: keys, most significant first, or any other stable order. scratch: a folder for runs, made when the first is
    written."""

    def __init__(self, by: Sequence[SortKey] | Order, scratch: Path | None) -> None:
        self._order = by if callable(by) else order_of(by)
        self._scratch = scratch

    def in_memory(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows in order; needs as much memory again as they have."""
        return take(rows, self._order(rows))

    def sorted(self, pieces: Pieces, memory: int) -> Iterator[pa.RecordBatch]:
        """The rows of all pieces in order, in batches with memory of their own. Those that a quarter of `memory` does
        not hold are sorted on scratch."""
        runs: Runs | None = None
        try:
            for rows, more in _loads(pieces, max(memory // 4, 1)):
                if runs is None and not more:
                    yield self.in_memory(rows)
                    return
                if runs is None:
                    runs = Runs(self._scratch_folder(memory), memory)
                write_run(runs, self.in_memory(rows))
                del rows
            if runs is not None:
                yield from merged(runs, self._order)
        finally:
            if runs is not None:
                runs.close()

    def _scratch_folder(self, memory: int) -> Path:
        if self._scratch is None:
            raise OutOfMemory(
                f"more rows are to be sorted together than {memory} bytes of memory hold, and there is no scratch "
                f"folder to sort them on; give the workers scratch space or more memory"
            )
        return self._scratch


def _loads(pieces: Pieces, budget: int) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Pieces in memory of their own, as many together as the budget holds (one row where that is larger), and whether
    more rows follow."""
    held: list[pa.RecordBatch] = []
    size = 0
    for piece in pieces:
        for filled in _within(piece, budget):
            if held and bytes_of(filled, budget - size) > budget - size:
                yield _one(held), True
                size = 0
            held.append(copied(filled))
            size += text_bytes(held[-1])
    if held:
        yield _one(held), False


def _within(piece: list[pa.RecordBatch], budget: int) -> Iterator[list[pa.RecordBatch]]:
    """The batches of a piece, cut where the budget does not hold them all."""
    filled = [batch for batch in piece if batch.num_rows]
    if bytes_of(filled, budget) <= budget:
        if filled:
            yield filled
        return
    for batch in filled:
        for part in pieces_within(batch, budget):
            yield [part]


def _one(held: list[pa.RecordBatch]) -> pa.RecordBatch:
    batch = concat(held)
    held.clear()
    return batch


def sorter_within(plan: Plan, scratch: Path | None) -> Sorter | None:
    """For the order within files that the job asks for; None where it asks for none. scratch: see `Sorter`."""
    within = plan.job.output.sort_within
    return Sorter(within, scratch) if within else None
