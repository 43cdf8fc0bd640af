"""Range partitioning, which range a row falls in: the number of boundaries that are not above it.

Used by the map side of a sort (boundaries carry a position: equal keys may straddle files, split where the input was
split) and of a repartition by range (no position: equal keys stay together). It compares by the words of the key, like
`order.py`, and so agrees with it exactly.

The first word decides for nearly all rows, through a table (`_Table`): 6 ns a row, where a binary search among 64
boundaries takes 27. Rows that equal a boundary so far go on to the next word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_worker.columns.arrays import I64, U64, indices, plain, valid, values
from shuffle_worker.partitioning.order import key_columns
from shuffle_worker.partitioning.sort_keys import Ranked, Ready, Word, key_words, ranks, value_words

Cells = npt.NDArray[np.int32]

_LEAST_SLOTS = 1 << 12
_MOST_SLOTS = 1 << 16
_FINE_BITS = 8
_FINE_IN_ALL = 1 << 18
"""The tables of one set of boundaries stay below 2 MiB."""

_SIGN = np.uint64(1 << 63)


class Ranges:
    """boundaries: in order; the key columns in the order of the keys, then the position (null where it does not
    count)."""

    def __init__(self, boundaries: pa.RecordBatch, keys: Sequence[SortKey]) -> None:
        self._keys = list(keys)
        self.cells = boundaries.num_rows + 1
        columns = [plain(boundaries.column(at)) for at in range(len(self._keys))]
        positions = boundaries.column(boundaries.num_columns - 1)
        self.with_positions = bool(boundaries.num_rows) and not positions.null_count
        tail: list[Word] = key_words(columns[1:], self._keys[1:], null_flags=True)
        if self.with_positions:
            tail.append(_position_word(values(positions, np.int64)))
        head = columns[0]
        present = valid(head)
        count = boundaries.num_rows
        nulls = 0 if present is None else count - int(np.count_nonzero(present))
        first = self._keys[0].nulls_first
        # boundaries with a null first key stand together, before or after the others
        self._of_null = _Span(0 if first else count - nulls, nulls, tail) if nulls else None
        self._null_cell = 0 if first else count  # where no boundary is null
        self._of_value = _Span(nulls if first else 0, count - nulls, value_words(head, keys[0].descending) + tail)

    def cells_of(self, rows: pa.RecordBatch, positions: Callable[[], I64] | None = None) -> Cells:
        """The cell of every row. positions: gives the rows' positions in the input, where the boundaries have some."""
        cells = np.zeros(rows.num_rows, np.int32)
        if self.cells == 1 or not rows.num_rows:
            return cells
        columns = [plain(column) for column in key_columns(rows, self._keys)]
        tail: list[Word] = key_words(columns[1:], self._keys[1:], null_flags=True)
        if self.with_positions:
            assert positions is not None
            tail.append(_LazyPosition(positions))
        words = value_words(columns[0], self._keys[0].descending) + tail
        present = valid(columns[0])
        if present is None:
            return self._of_value.locate(words, None, rows.num_rows)
        with_value = np.flatnonzero(present)
        cells[with_value] = self._of_value.locate(words, with_value, len(with_value))
        without = np.flatnonzero(~present)
        if self._of_null is None:
            cells[without] = self._null_cell
        else:
            cells[without] = self._of_null.locate(tail, without, len(without))
        return cells


class _Span:
    """Boundaries `first` .. `first + count - 1`, looked up by the same words as the rows."""

    def __init__(self, first: int, count: int, words: Sequence[Word]) -> None:
        self._first = first
        self._count = count
        self._words = words
        self._rows = np.arange(first, first + count, dtype=np.int64)
        self._table: _Table | None = None
        if count and words:
            self._table = _Table(words[0].of(self._rows))

    def locate(self, words: Sequence[Word], rows: I64 | None, count: int) -> Cells:
        """first + the number of boundaries of this span that are not above each row."""
        if not self._count or not count:
            return np.full(count, self._first, np.int32)
        if self._table is None:  # nothing tells them apart
            return np.full(count, self._first + self._count, np.int32)
        low, high, open_rows = self._table.search(words[0].of(rows))
        runs = self._table.runs
        for mine, theirs in zip(self._words[1:], words[1:], strict=True):
            if not len(open_rows):
                break
            chosen = open_rows if rows is None else rows[open_rows]
            if not (mine.tells(self._rows) or theirs.tells(chosen)):
                continue
            if isinstance(mine, Ranked) and isinstance(theirs, Ranked):
                bound_words, row_words = _rank_together(mine, self._rows, theirs, chosen)
            else:
                bound_words, row_words = mine.of(self._rows), theirs.of(chosen)
            bounds, found = _composite(runs, bound_words, low[open_rows], row_words)
            below = np.searchsorted(bounds, found, "left").astype(np.int32)
            equal = bounds.take(below, mode="clip") == found
            low[open_rows] = high[open_rows] = below
            open_rows = open_rows[equal]
            high[open_rows] = np.searchsorted(bounds, bounds, "right").astype(np.int32)[below[equal]]
            runs = np.searchsorted(bounds, bounds, "left").astype(np.int64)
        high += self._first
        return high


class _Table:
    """Binary search among sorted words, most of it done beforehand.

    The span of the boundaries is cut into slots of one width, and every slot with a boundary in it into finer ones. In
    a slot or finer slot without a boundary all words have the same answer; the others are searched for. Two levels,
    because words are seldom even: those of floats crowd within a few exponents, those of texts within a few letters."""

    def __init__(self, bounds: U64) -> None:
        self._bounds = bounds
        self.runs: I64 = np.searchsorted(bounds, bounds, "left").astype(np.int64)
        self._ends = np.searchsorted(bounds, bounds, "right").astype(np.int32)
        self._least, self._most = bounds[0], bounds[-1]
        slots = min(max(_LEAST_SLOTS, 16 * len(bounds)), _MOST_SLOTS)
        span = int(self._most - self._least)
        self._shift = max(span.bit_length() - slots.bit_length() + 1, 0)
        taken = (bounds - self._least) >> np.uint64(self._shift)
        edges = np.arange((span >> self._shift) + 1, dtype=np.uint64)
        self._ranges = np.searchsorted(taken, edges, "left").astype(np.int32)
        split = np.unique(taken)
        fine_bits = min(_FINE_BITS, max(_FINE_IN_ALL.bit_length() - len(split).bit_length(), 0), self._shift)
        self._fine_shift = self._shift - fine_bits
        self._ranges[split.astype(np.int64)] = -1 - np.arange(len(split), dtype=np.int32)
        # fine slots of all split slots, one after the other
        per_slot = 1 << fine_bits
        number = np.arange(len(split) * per_slot, dtype=np.uint64)
        fine = (split[number // np.uint64(per_slot)] * np.uint64(per_slot)) + number % np.uint64(per_slot)
        taken = (bounds - self._least) >> np.uint64(self._fine_shift)
        self._fine = np.searchsorted(taken, fine, "left").astype(np.int32)
        self._fine[np.isin(fine, taken)] = -1
        self._per_slot = per_slot

    def search(self, words: U64) -> tuple[Cells, Cells, I64]:
        """How many boundaries are below each word, how many not above it, and which words equal one."""
        offsets = np.clip(words, self._least, self._most)
        offsets -= self._least
        low = self._ranges.take((offsets >> np.uint64(self._shift)).view(np.int64))
        split = np.flatnonzero(low < 0)
        if len(split):
            slot = (-1 - low[split]).astype(np.int64)
            within = (offsets[split] >> np.uint64(self._fine_shift)).view(np.int64) & (self._per_slot - 1)
            slot *= self._per_slot
            slot += within
            found = self._fine.take(slot)
            low[split] = found
            split = split[found < 0]
        some = words[split]
        below = np.searchsorted(self._bounds, some, "left").astype(np.int32)
        low[split] = below
        high = low.copy()
        equal = self._bounds.take(below, mode="clip") == some
        equals = split[equal]
        high[equals] = self._ends[below[equal]]
        return low, high, equals


def _composite(runs: I64, bounds: U64, low: Cells, words: U64) -> tuple[I64, I64]:
    """(run, word) of boundaries and rows as one integer each. A run is the boundaries that are equal so far; a row that
    equals them has their first one's number as `low`. Words become ranks among the boundaries' words: odd where equal
    to one, even between two."""
    known = np.unique(bounds)
    size = 2 * len(known) + 1

    def rank(of: U64) -> I64:
        ranked = np.searchsorted(known, of, "left").astype(np.int64)
        equal = known.take(ranked, mode="clip") == of
        ranked *= 2
        ranked += equal
        return ranked

    return runs * size + rank(bounds), low.astype(np.int64) * size + rank(words)


def _rank_together(mine: Ranked, rows: I64, theirs: Ranked, chosen: I64) -> tuple[U64, U64]:
    both = pa.concat_arrays(
        [
            mine.array.take(indices(rows)),
            theirs.array.take(indices(chosen)),
        ]
    )
    found = ranks(both, mine.flip)
    return found[: len(rows)], found[len(rows) :]


def _position_word(positions: I64) -> Word:
    return Ready(positions.view(np.uint64) ^ _SIGN)


class _LazyPosition:
    """Positions, asked for only where a row's key equals a boundary's."""

    cheap = False

    def __init__(self, positions: Callable[[], I64]) -> None:
        self._positions = positions

    def tells(self, rows: I64 | None) -> bool:  # noqa: ARG002
        return True

    def of(self, rows: I64 | None) -> U64:
        positions = self._positions()
        chosen = positions if rows is None else positions[rows]
        return chosen.view(np.uint64) ^ _SIGN
