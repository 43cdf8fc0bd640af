"""The project's one sort order: stable, over any types that can be ordered, any mix of directions and null placements.

`sort_indices` is used wherever rows are put in order (the local sort, the merge of sorted runs, the choice of
boundaries). It sorts by the words of the key (`sort_keys.py`) from the most significant on, and looks at the next word
only for rows that are still equal.

Integers are sorted by their bits (`stable_argsort`). Arrow counts numbers of a few bits, and NumPy those of sixteen, in
2 to 6 ns a row. Of wider ones the upper bits are put above the row number in a 64-bit word. No two such words are
equal, so NumPy's vectorised sort, which is not stable, gives the one stable order: 5 to 7 ns a row, where a sort of row
numbers by comparing takes 50 to 100. Where the bits that did not fit decide, which is rare, rows are counted sixteen
bits at a time. docs/decisions/0009 says why Arrow does no more of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import I64, U64, Array, Bools, buffer_of, values
from shuffle_worker.partitioning.hash import hash_rows
from shuffle_worker.partitioning.sort_keys import Ready, Word, can_order, key_words

__all__ = ["Order", "can_order", "hash_order", "key_columns", "order_of", "sort_indices", "stable_argsort"]

Order = Callable[[pa.RecordBatch], I64]
"""Row numbers of a batch in some order, stable, which depends on nothing but the rows."""

_SIGN = np.uint64(1 << 63)
_FEW = 2048
"""Rows up to which a comparison sort is as fast."""

_NARROW = 12
"""Bits up to which Arrow counts; it compares wider numbers."""

_MANY = 1 << 15
"""Rows from which Arrow's pass over narrow numbers is faster than NumPy's."""


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


def order_of(keys: Sequence[SortKey]) -> Order:
    """By keys, the most significant first."""
    wanted = list(keys)
    return lambda rows: sort_indices(rows, wanted)


def hash_order(names: Sequence[str], then: Sequence[SortKey] = ()) -> Order:
    """By the hash of some columns, and by these themselves where two hashes are the same, so that rows with equal keys
    stand together. Where a bucket is a range of hashes, this order does not depend on how many buckets there are. then:
    the order of rows with equal keys; without it they keep the one they have."""
    keys = [*(SortKey(name) for name in names), *then]

    def order(rows: pa.RecordBatch) -> I64:
        columns = key_columns(rows, keys)
        if not rows.num_rows:
            return np.zeros(0, np.int64)
        return order_by([Ready(hash_rows(columns[: len(names)])), *key_words(columns, keys)], rows.num_rows)

    return order


class _Undecided(NamedTuple):
    """Rows whose order the words so far do not decide."""

    places: I64 | None  # None: everywhere, one group
    """Where in the order rows stand that equal a neighbour so far."""
    groups: U64 | None
    """Which are equal, 0, 1, ..."""
    number: int  # of groups; 0: all is decided

    @property
    def bits(self) -> int:
        return (self.number - 1).bit_length()


def order_by(words: Sequence[Word], count: int) -> I64:
    """Row numbers by these words, then by row number."""
    order = np.arange(count, dtype=np.int64)
    if count < 2:
        return order
    undecided = _Undecided(None, None, 1)
    queue = list(words)
    kept: U64 | None = None  # a word that was computed for the undecided rows, but did not fit beside the one before
    while queue or kept is not None:
        rows = None if undecided.places is None else order[undecided.places]
        if kept is None and not queue[0].tells(rows):
            queue.pop(0)
            continue
        packed, width = _from_zero(kept if kept is not None else queue.pop(0).of(rows))
        kept = None
        room = 64 - undecided.bits
        while queue and queue[0].cheap and width < room:
            following, more = _from_zero(queue.pop(0).of(rows))
            if width + more > room:
                kept = following
                break
            packed <<= np.uint64(more)
            packed |= following
            width += more
        places, changes = _sorted_in_groups(packed, width, undecided)
        if undecided.places is None:
            order = places
        else:
            order[undecided.places] = rows[places]  # type: ignore[index]
        if kept is not None:
            kept = kept[places][_with_equals(changes)]
        undecided = _still_equal(undecided, changes)
        if not undecided.number:
            break
    return order


def _from_zero(words: U64) -> tuple[U64, int]:
    """The words less the smallest of them, and the bits that then hold them."""
    least = words.min()
    if least:
        words -= least
    return words, int(words.max()).bit_length()


def _sorted_in_groups(words: U64, width: int, undecided: _Undecided) -> tuple[I64, Bools]:
    """The places of the rows by (group, word, place), and where (group, word) changes from one to the next."""
    groups = undecided.groups
    if groups is None or width + undecided.bits <= 64:
        if groups is not None:
            words |= groups << np.uint64(width)
            width += undecided.bits
        places = stable_argsort(words, width)
        ordered = words.take(places)
        return places, ordered[1:] != ordered[:-1]
    places = stable_argsort(words, width)
    places = places.take(stable_argsort(groups.take(places), undecided.bits))
    ordered, grouped = words.take(places), groups.take(places)
    return places, (ordered[1:] != ordered[:-1]) | (grouped[1:] != grouped[:-1])


def stable_argsort(words: U64, width: int) -> I64:
    """The places of words of so many bits in rising order, equal ones in the order they had."""
    count = len(words)
    if count <= _FEW:
        return np.argsort(words, kind="stable")
    if width <= _NARROW and count >= _MANY:
        return counted(words.astype(np.uint16))
    if width > 16:
        place_bits = (count - 1).bit_length()
        spare = max(width + place_bits - 64, 0)
        packed = (words >> np.uint64(spare)) << np.uint64(place_bits)
        packed |= np.arange(count, dtype=np.uint64)
        packed.sort()
        packed &= np.uint64((1 << place_bits) - 1)
        found = packed.view(np.int64)
        if not spare or _rising(words.take(found)):
            return found
    places = np.argsort(words.astype(np.uint16), kind="stable")
    for shift in range(16, width, 16):
        digits = (words >> np.uint64(shift)).astype(np.uint16)
        places = places.take(np.argsort(digits.take(places), kind="stable"))
    return places


def _rising(words: U64) -> bool:
    return bool((words[1:] >= words[:-1]).all())


def counted(numbers: npt.NDArray[np.uint16]) -> I64:
    """The places of numbers in rising order, stable. Fast for numbers of up to `_NARROW` bits."""
    array = pa.Array.from_buffers(pa.uint16(), len(numbers), [None, buffer_of(numbers)])
    return values(pc.array_sort_indices(array), np.int64)


def _starts(changes: Bools) -> Bools:
    first = np.ones(len(changes) + 1, np.bool_)
    first[1:] = changes
    return first


def _with_equals(changes: Bools) -> Bools:
    """Which rows, in order, equal the one before or the one after."""
    first = _starts(changes)
    alone = first.copy()
    alone[:-1] &= first[1:]
    return ~alone


def _still_equal(before: _Undecided, changes: Bools) -> _Undecided:
    kept = _with_equals(changes)
    groups = np.cumsum(_starts(changes)[kept], dtype=np.uint64)
    if not len(groups):
        return _Undecided(None, None, 0)
    groups -= np.uint64(1)
    places = np.flatnonzero(kept)
    if before.places is not None:
        places = before.places[places]
    return _Undecided(places, groups, int(groups[-1]) + 1)
