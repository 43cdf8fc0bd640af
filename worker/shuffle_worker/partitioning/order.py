"""The project's one sort order: stable, over any types that can be ordered, any mix of directions and null placements.

`sort_indices` is used wherever rows are put in order (the local sort, the merge of sorted runs, the choice of
boundaries). It sorts by the words of the key (`words.py`) from the most significant on, and looks at the next word only
for rows that are still equal. A word, the group of equal rows it belongs to and the row's number are packed into one
64-bit integer where they fit, and integers are what numpy sorts fastest; where they don't, the words are replaced by
their ranks first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.partitioning.columns import I64, U64, Array, Bools
from shuffle_worker.partitioning.words import Ready, Word, can_order, key_words
from shuffle_worker.protocol.messages import SortKey

__all__ = ["can_order", "key_columns", "sort_indices"]

_SIGN = np.uint64(1 << 63)


def key_columns(rows: pa.RecordBatch | pa.Table, keys: Sequence[SortKey]) -> list[Array]:
    """The columns of some keys, each in one piece."""
    found = []
    for key in keys:
        column = rows.column(key.column)
        found.append(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    return found


def sort_indices(rows: pa.RecordBatch | pa.Table, keys: Sequence[SortKey], positions: I64 | None = None) -> I64:
    """Row numbers in the order of the keys. Equal rows come by `positions` where given, and then by row number."""
    words = key_words(key_columns(rows, keys), keys)
    if positions is not None:
        words.append(Ready(positions.astype(np.int64).view(np.uint64) ^ _SIGN))
    return order_by(words, rows.num_rows)


class _Undecided(NamedTuple):
    """places: where in the order rows stand that equal a neighbour so far; groups: which of them are equal, 0, 1,
    ..."""

    places: I64 | None  # None: everywhere, one group
    groups: U64 | None
    number: int  # of groups


def order_by(words: Sequence[Word], count: int) -> I64:
    """Row numbers by these words, then by row number."""
    order = np.arange(count, dtype=np.int64)
    if count < 2:
        return order
    row_bits = (count - 1).bit_length()
    undecided = _Undecided(None, None, 1)
    stable = True
    queue = list(words)
    kept: U64 | None = None  # a word that was computed for the undecided rows but did not fit
    while queue or kept is not None:
        rows = None if undecided.places is None else order[undecided.places]
        if kept is None and not queue[0].tells(rows):
            queue.pop(0)
            continue
        packed, width = _from_zero(kept if kept is not None else queue.pop(0).of(rows))
        kept = None
        room = 64 - row_bits - (undecided.number - 1).bit_length()
        while queue and queue[0].cheap and width < room:
            following, more = _from_zero(queue.pop(0).of(rows))
            if width + more > room:
                kept = following
                break
            packed <<= np.uint64(more)
            packed |= following
            width += more
        if width <= room:
            places, changes = _sort_packed(packed, width, undecided, row_bits)
        elif undecided.groups is None:
            places = np.argsort(packed)
            ordered = packed[places]
            changes = ordered[1:] != ordered[:-1]
            stable = False
        else:
            places, changes = _sort_ranked(packed, undecided, row_bits)
        before = undecided
        if before.places is None:
            order = places
        else:
            order[before.places] = order[before.places][places]
        undecided = _still_equal(before, changes)
        if not undecided.number:
            return order
        if kept is not None:
            kept = kept[places][_kept_rows(changes)]
    if not stable:  # equal rows lie in any order: put them back in that of their numbers
        assert undecided.places is not None and undecided.groups is not None
        rows = order[undecided.places]
        places, _ = _sort_packed(rows.view(np.uint64), row_bits, undecided, 0)
        order[undecided.places] = places
    return order


def _from_zero(words: U64) -> tuple[U64, int]:
    """The words less the smallest of them, and the bits that then hold them."""
    least = words.min()
    if least:
        words -= least
    return words, int(words.max()).bit_length()


def _sort_packed(words: U64, width: int, undecided: _Undecided, row_bits: int) -> tuple[I64, Bools]:
    """Sort (group, word, place) as one integer. Gives the places in order, and where (group, word) changes.

    With no row bits the words themselves come back in order (the word is a row number)."""
    count = len(words)
    packed = words
    if undecided.groups is not None:
        packed = packed | (undecided.groups << np.uint64(width))
    if not row_bits:
        packed = np.sort(packed)
        return (packed & np.uint64((1 << width) - 1)).view(np.int64), np.zeros(0, np.bool_)
    packed = packed << np.uint64(row_bits)
    packed |= np.arange(count, dtype=np.uint64)
    packed.sort()
    places = (packed & np.uint64((1 << row_bits) - 1)).view(np.int64)
    packed >>= np.uint64(row_bits)
    return places, packed[1:] != packed[:-1]


def _sort_ranked(words: U64, undecided: _Undecided, row_bits: int) -> tuple[I64, Bools]:
    """As `_sort_packed`, for words too wide to pack: by their ranks."""
    assert undecided.groups is not None
    by_word = np.argsort(words)
    ordered = words[by_word]
    rank = np.zeros(len(words), np.uint64)
    np.cumsum(ordered[1:] != ordered[:-1], out=rank[1:])
    ranks = np.empty(len(words), np.uint64)
    ranks[by_word] = rank
    width = int(rank[-1]).bit_length()
    if width + row_bits + (undecided.number - 1).bit_length() <= 64:
        return _sort_packed(ranks, width, undecided, row_bits)
    places = np.lexsort((ranks, undecided.groups))
    groups, found = undecided.groups[places], ranks[places]
    return places, (groups[1:] != groups[:-1]) | (found[1:] != found[:-1])


def _starts(changes: Bools) -> Bools:
    first = np.ones(len(changes) + 1, np.bool_)
    first[1:] = changes
    return first


def _kept_rows(changes: Bools) -> Bools:
    """Which rows, in order, equal the one before or the one after."""
    first = _starts(changes)
    alone = first.copy()
    alone[:-1] &= first[1:]
    return ~alone


def _still_equal(before: _Undecided, changes: Bools) -> _Undecided:
    kept = _kept_rows(changes)
    groups = np.cumsum(_starts(changes)[kept], dtype=np.uint64)
    if not len(groups):
        return _Undecided(None, None, 0)
    groups -= np.uint64(1)
    places = np.flatnonzero(kept)
    if before.places is not None:
        places = before.places[places]
    return _Undecided(places, groups, int(groups[-1]) + 1)
