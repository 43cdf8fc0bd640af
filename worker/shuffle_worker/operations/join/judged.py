"""The matches of a join with a condition: of the candidates, which are rows with equal keys, those that pass.

Candidates come as runs (`Matches`), one left row after the other, and are judged some at a time, so that the product of
a frequent key is never held. What comes out has the order that it has without a condition.

Memory: 40 bytes for each candidate that is judged at once, besides the columns that the condition reads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from shuffle_worker.columns.arrays import I64, U64, Bools
from shuffle_worker.operations.join.condition import Judge
from shuffle_worker.partitioning.matching import NONE, Matches, Wanted, order_of

Pairs = Iterator[tuple[I64, I64]]
"""Numbers of left and of right rows; NONE for a row by itself."""


def judged(found: Matches, wanted: Wanted, judge: Judge, at_once: int, hit: Bools | None = None) -> Pairs:
    """found: the candidates, and left rows without any. at_once: how many are judged together. hit: of the right rows,
    is set for those that match."""
    if wanted.once:
        passed = passing(found, judge, at_once)
        chosen = found.left[passed if wanted.pairs else ~passed]
        yield from cut(iter([(chosen, np.full(len(chosen), NONE, np.int64))]), at_once)
        return
    open_row, open_hit = NONE, True
    for rows, others in found.pieces(at_once):
        passed = _passed(judge, rows, others)
        if hit is not None:
            hit[others[passed]] = True
        starts = np.concatenate([[0], np.flatnonzero(rows[1:] != rows[:-1]) + 1])
        hits = np.logical_or.reduceat(passed, starts)
        if rows[0] == open_row:
            hits[0] |= open_hit
        elif wanted.left and not open_hit:
            yield np.array([open_row], np.int64), np.full(1, NONE, np.int64)
        open_row, open_hit = int(rows[-1]), bool(hits[-1])  # its other candidates may be in the next piece
        others = np.where(passed, others, NONE)
        if wanted.left:
            passed[(starts[1:] - 1)[~hits[:-1]]] = True  # the last candidate's place is that of the row by itself
        kept = np.flatnonzero(passed)
        if len(kept):
            yield rows[kept], others[kept]
    if wanted.left and not open_hit:
        yield np.array([open_row], np.int64), np.full(1, NONE, np.int64)


def _passed(judge: Judge, rows: I64, others: I64) -> Bools:
    """Which of some candidates pass; not the rows by themselves among them."""
    some = np.flatnonzero(others != NONE)
    if len(some) == len(rows):
        return judge.holds(rows, others)
    passed = np.zeros(len(rows), np.bool_)
    if len(some):
        passed[some] = judge.holds(rows[some], others[some])
    return passed


def passing(found: Matches, judge: Judge, at_once: int) -> Bools:
    """For each run whether one of its candidates passes. Rows are not judged further once one does."""
    passed = np.zeros(len(found.left), np.bool_)
    runs = np.flatnonzero(found.first != NONE)
    done, step = 0, 1
    while len(runs):
        counts = np.minimum(found.counts[runs] - done, step)
        some = Matches(runs, found.first[runs] + done, counts, found.right, None)
        for numbers, others in some.pieces(at_once):
            passed[numbers[judge.holds(found.left[numbers], others)]] = True
        done += step
        step *= 4
        runs = runs[~passed[runs] & (found.counts[runs] > done)]
    return passed


def with_right_alone(pairs: Pairs, left_places: U64, right_places: U64, hit: Bools) -> Pairs:
    """The same, and the right rows that match nothing, each after the others of its place. hit: of the right rows, is
    set while `pairs` are given out."""
    order = order_of(right_places)
    ordered = right_places[order]
    done = 0
    for rows, others in pairs:
        places = left_places[rows]
        upto = int(np.searchsorted(ordered, places[-1], "left"))  # more may match those of the last one's place
        lone = order[done:upto][~hit[order[done:upto]]]
        done = max(done, upto)
        if len(lone):
            where = np.searchsorted(places, right_places[lone], "right")
            rows, others = np.insert(rows, where, NONE), np.insert(others, where, lone)
        yield rows, others
    lone = order[done:][~hit[order[done:]]]
    if len(lone):
        yield np.full(len(lone), NONE, np.int64), lone


def cut(pairs: Pairs, most: int) -> Pairs:
    """In pieces of so many at most."""
    for rows, others in pairs:
        for at in range(0, len(rows), most):
            yield rows[at : at + most], others[at : at + most]
