"""Which rows of two tables belong together, and in which order: the core of a join, on numbers only.

Rows are matched by their places (`places.py`): sorted by place, the rows of one key stand together on both sides, and
one search over the distinct places finds each left row's partners as a range. Places are 64-bit hashes, so that equal
places are checked against the keys themselves: neighbours of one place with each other, and one of each side. Should
two keys ever share a place, all keys are numbered exactly, and the numbers take the places' part.

The order of the result is that of the places, then of the left rows, then of the right ones; rows without a left
partner come after the others of their place.

Memory: about 60 bytes a row of both sides, and 20 a row of the piece that is being given out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, U64, Array, Bools, indices, values
from shuffle_worker.columns.arrow import bools, call, scalar
from shuffle_worker.partitioning.order import stable_argsort
from shuffle_worker.partitioning.pairing import Keys

NONE = -1
"""In the place of a row's number: there is no such row."""


class Side(NamedTuple):
    """One side's rows."""

    places: U64
    keys: Keys
    exact: bool
    """Keys with one place are equal for certain, and need not be compared."""


class Wanted(NamedTuple):
    """Which rows come out."""

    pairs: bool
    """Those with a partner, once with each of them (else once: a semi join)."""
    left: bool
    right: bool
    once: bool = False


WANTED = {
    "Inner": Wanted(True, False, False),
    "Left": Wanted(True, True, False),
    "Right": Wanted(True, False, True),
    "Full": Wanted(True, True, True),
    "LeftSemi": Wanted(True, False, False, once=True),
    "LeftAnti": Wanted(False, True, False, once=True),
    "AsOf": Wanted(True, True, False),
    "Cross": Wanted(True, False, False),
}


def candidates(wanted: Wanted) -> Wanted:
    """What is needed of equal keys where a condition is still to be asked for."""
    return Wanted(True, wanted.left, False)


class Matches(NamedTuple):
    """The result as runs: run i is left row `left[i]` with the right rows `right[first[i] : first[i] + counts[i]]`."""

    left: I64
    """NONE for a right row by itself."""
    first: I64
    """NONE (and counts 1) for a left row by itself."""
    counts: I64
    right: I64
    hit: Bools | None
    """For each right row whether it has a partner; only where it is asked for."""

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def pieces(self, rows: int) -> Iterator[tuple[I64, I64]]:
        """The numbers of the left and of the right rows of the result, at most `rows` at a time."""
        ends = np.cumsum(self.counts)
        total = int(ends[-1]) if len(ends) else 0
        for start in range(0, total, rows):
            stop = min(start + rows, total)
            a, b = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(ends, stop, "left")) + 1
            left, first, count = self.left[a:b], self.first[a:b], self.counts[a:b]
            if int(count.max()) == 1:
                yield left, self._right(first)
                continue
            before = ends[a:b] - count
            skipped = np.maximum(start - before, 0)
            count = np.minimum(ends[a:b], stop) - before - skipped
            starts = np.cumsum(count) - count
            places = np.arange(stop - start, dtype=np.int64) + np.repeat(first + skipped - starts, count)
            places[np.repeat(first == NONE, count)] = NONE
            yield np.repeat(left, count), self._right(places)

    def _right(self, places: I64) -> I64:
        if not len(self.right):
            return np.full(len(places), NONE, np.int64)
        found = self.right.take(places, mode="clip")
        found[places == NONE] = NONE
        return found


def match(left: Side, right: Side, wanted: Wanted, among: Bools | None = None) -> Matches:
    """among: right rows that had a partner before, where the left side comes in portions: those, and no right row by
    itself, are in the result; `hit` is then to be given to the next call and to `alone`."""
    left_order = order_of(left.places)
    left_words, right_words = left.places, right.places
    right_rows = kept_rows(right.keys)
    right_order = right_rows[order_of(right_words[right_rows])]
    if not (left.exact and right.exact) and not _agree(left, right, left_order, right_order):
        left_words, right_words = numbered(left.keys, right.keys)
        right_order = right_rows[np.argsort(right_words[right_rows], kind="stable")]
    ordered = right_words[right_order]
    firsts = first_rows(ordered)
    distinct = ordered[firsts]
    lengths = np.diff(np.append(firsts, len(ordered)))
    words = left_words[left_order]
    runs = first_rows(words)
    sizes = np.diff(np.append(runs, len(words)))
    found, hits = found_in(distinct, words[runs])
    first = np.where(hits, firsts.take(found, mode="clip") if len(firsts) else NONE, NONE)
    counts = np.where(hits & (not wanted.once), lengths.take(found, mode="clip") if len(lengths) else 1, 1)
    result, first, counts = left_order, np.repeat(first, sizes), np.repeat(counts, sizes)
    if left.keys.matchable is not None:
        never = ~left.keys.matchable[left_order]
        first[never], counts[never] = NONE, 1
        hits = np.zeros(len(runs), np.bool_)
        hits[np.repeat(np.arange(len(runs)), sizes)[first != NONE]] = True
    hit: Bools | None = None
    if wanted.right:
        partners = np.zeros(len(distinct), np.bool_)
        partners[found[hits]] = True
        hit = np.zeros(len(right.places), np.bool_) if among is None else among
        hit[right_order[np.repeat(partners, lengths)]] = True
    if not (wanted.left and wanted.pairs):
        chosen = first != NONE if wanted.pairs else first == NONE
        if not chosen.all():
            result, first, counts = result[chosen], first[chosen], counts[chosen]
    matches = Matches(result, first, counts, right_order, hit)
    return _with_alone(matches, left.places, right.places) if wanted.right and among is None else matches


def words_of(left: Side, right: Side) -> tuple[U64, U64]:
    """A word for every row, the same on both sides for equal keys and for no others; that of a row that matches nothing
    is arbitrary."""
    if left.exact and right.exact:
        return left.places, right.places
    right_rows = kept_rows(right.keys)
    if _agree(left, right, order_of(left.places), right_rows[order_of(right.places[right_rows])]):
        return left.places, right.places
    return numbered(left.keys, right.keys)


def found_in(distinct: U64, words: U64) -> tuple[I64, Bools]:
    """Where words are among distinct, rising ones, and which of them are there."""
    if not len(distinct):
        return np.zeros(len(words), np.int64), np.zeros(len(words), np.bool_)
    found = np.searchsorted(distinct, words)
    return found, distinct.take(found, mode="clip") == words


def alone(right: Side, hit: Bools) -> I64:
    """The right rows without a partner, in the order of the result."""
    rows = np.flatnonzero(~hit)
    return rows[order_of(right.places[rows])]


def _with_alone(found: Matches, left_places: U64, right_places: U64) -> Matches:
    """The same, and the right rows without a partner, each after the others of its place."""
    assert found.hit is not None
    rows = np.flatnonzero(~found.hit)
    if not len(rows):
        return found
    rows = rows[order_of(right_places[rows])]
    where = np.searchsorted(left_places[found.left], right_places[rows], "right")
    right = np.concatenate([found.right, rows])
    return Matches(
        np.insert(found.left, where, NONE),
        np.insert(found.first, where, np.arange(len(found.right), len(right))),
        np.insert(found.counts, where, 1),
        right,
        found.hit,
    )


def kept_rows(keys: Keys) -> I64:
    if keys.matchable is None:
        return np.arange(keys.rows, dtype=np.int64)
    return np.flatnonzero(keys.matchable)


def first_rows(ordered: U64) -> I64:
    """Where a word differs from the one before."""
    if not len(ordered):
        return np.zeros(0, np.int64)
    changes = np.flatnonzero(ordered[1:] != ordered[:-1])
    return np.concatenate([np.zeros(1, np.int64), changes + 1])


def order_of(places: U64) -> I64:
    """Row numbers by place, then by number."""
    count = len(places)
    if count < 2:
        return np.arange(count, dtype=np.int64)
    words = places - places.min()
    return stable_argsort(words, int(words.max()).bit_length())


def _agree(left: Side, right: Side, left_order: I64, right_order: I64) -> bool:
    """Whether rows of one place have one key, within each side and over both."""
    if left.keys.matchable is not None:
        left_order = left_order[left.keys.matchable[left_order]]
    ends = []
    for side, order in ((left, left_order), (right, right_order)):
        if not uniform(side, order):
            return False
        ordered = side.places[order]
        ends.append((ordered[firsts := first_rows(ordered)], order[firsts]))
    (left_places, left_rows), (right_places, right_rows) = ends
    if not len(left_places) or not len(right_places):
        return True
    found = np.searchsorted(right_places, left_places)
    hits = np.flatnonzero(right_places.take(found, mode="clip") == left_places)
    return equal_keys(left.keys, left_rows[hits], right.keys, right_rows[found[hits]])


def uniform(side: Side, order: I64) -> bool:
    """Whether rows of one place have one key; order: of the rows, by place."""
    ordered = side.places[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    return not len(same) or equal_keys(side.keys, order[same], side.keys, order[same + 1])


def equal_keys(mine: Keys, rows: I64, theirs: Keys, others: I64) -> bool:
    for word, other in zip(mine.words, theirs.words, strict=True):
        if not np.array_equal(word[rows], other[others]):
            return False
    return all(
        bool(same_texts(text.take(indices(rows)), other.take(indices(others))).all())
        for text, other in zip(mine.texts, theirs.texts, strict=True)
    )


def same_texts(one: Array, other: Array) -> Bools:
    """Whether two columns of text or bytes agree, row by row; a separate word marks nulls."""
    if one.type != other.type:
        one, other = _binary(one), _binary(other)
    return bools(call("fill_null", call("equal", one, other), scalar(True, pa.bool_())))


def _binary(array: Array) -> Array:
    return array.cast(pa.large_binary())


def numbered(left: Keys, right: Keys) -> tuple[U64, U64]:
    """A number for every key, the same on both sides for equal keys and for no others."""
    count = left.rows
    codes = np.zeros(count + right.rows, np.int64)
    columns: list[U64] = [np.concatenate(both) for both in zip(left.words, right.words, strict=True)]
    for both in zip(left.texts, right.texts, strict=True):
        joined = pa.concat_arrays([_binary(text) for text in both])
        found = call("fill_null", call("dictionary_encode", joined).indices, scalar(-1, pa.int32()))
        columns.append(values(found, np.int32).astype(np.uint64))
    for column in columns:
        ranks = np.unique(column, return_inverse=True)[1]
        codes = np.unique(codes * (int(ranks.max(initial=0)) + 1) + ranks, return_inverse=True)[1]
    words = codes.astype(np.uint64)
    return words[:count], words[count:]
