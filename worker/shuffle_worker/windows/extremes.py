"""The smallest and largest value of any frame.

Rows are compared by numbers, the smaller the better: words of 64 bits where a type has them, else the places in the
order of the rows at hand. The smallest number of a frame is that of two ranges that cover it, each as long as a power
of two, and those are worked out one length after the other, for all rows together.

Where rows come in several batches each is a chunk by itself. Of a chunk is kept which row is the best one up to each
row, and from each row on; of a frame over several chunks the best row is one of three: of the end of its first chunk,
of the beginning of its last, of the whole chunks in between. Any type will do, because only rows are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_protocol.jobs import SortKey
from shuffle_worker.aggregation.batches import array_of
from shuffle_worker.columns.arrays import I64, U64, Array, Bools, plain, valid
from shuffle_worker.partitioning.hash import is_bytes
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.sort_keys import key_words, value_words
from shuffle_worker.windows.blocks import Block
from shuffle_worker.windows.counts import Present
from shuffle_worker.windows.stores import NONE, Space, by_chunk

_SIGN = np.uint64(1 << 63)
_ONES = np.uint64((1 << 64) - 1)


class FrameExtreme:
    """largest: else the smallest."""

    def __init__(self, space: Space, kind: pa.DataType, *, largest: bool) -> None:
        self._space = space
        self._kind = kind
        self._largest = largest
        self._present = Present(space)
        self._words: U64 | None = None  # where all rows came at once
        self._chunks: _Chunks | None = None

    def add(self, arguments: Sequence[Array], first: Bools) -> None:
        column = arguments[0]
        self._present.add(valid(column), len(first))
        if self._space.rows == len(column) and _has_word(column.type):
            self._words = _word(column, self._largest)
            return
        if self._chunks is None:
            self._chunks = _Chunks(self._space, self._kind, self._largest)
        self._chunks.add(column)

    def result(self, block: Block, low: I64, high: I64) -> Array:  # noqa: ARG002
        there = self._present.between(low, high) > 0
        if self._words is not None:
            found = least(self._words, low, high, there)
            return _from_words(found, self._kind, self._largest, there)
        assert self._chunks is not None
        best = self._chunks.values.at(self._chunks.best(low, high, there))
        if not _has_word(self._kind):
            return best
        # zeros of both signs are equal, and so are NaNs: as above one of them stands for all
        return _from_words(_word(best, self._largest), self._kind, self._largest, there)


class _Chunks:
    def __init__(self, space: Space, kind: pa.DataType, largest: bool) -> None:
        self.values = space.values(kind)
        self._key = SortKey("value", descending=largest)
        self._up_to = space.numbers(np.int64)
        self._from = space.numbers(np.int64)
        self._edges = [0]
        self._bests: list[int] = []
        self._ranks: I64 | None = None  # of the best rows of all chunks

    def add(self, column: Array) -> None:
        first = self._edges[-1]
        ranks, order = self._ranked(column)
        self.values.add(column)
        rows = np.append(order + first, NONE)
        self._up_to.add(rows[np.minimum.accumulate(ranks)])
        self._from.add(rows[np.minimum.accumulate(ranks[::-1])[::-1]])
        self._edges.append(first + len(column))
        self._bests.append(int(rows[ranks.min()]))

    def _ranked(self, column: Array) -> tuple[I64, I64]:
        """The place of each row among those with a value, or the number of all rows; and the rows by place."""
        count = len(column)
        order = order_by(key_words([column], [self._key]), count)
        ranks = np.empty(count, np.int64)
        ranks[order] = np.arange(count)
        there = valid(column)
        if there is not None:
            ranks[~there] = count
        return ranks, order

    def best(self, low: I64, high: I64, there: Bools) -> I64:
        """The row of each frame that is there; `NONE` else. Frames that are there have a value."""
        found = np.full(len(low), NONE, np.int64)
        edges = np.array(self._edges, np.int64)
        first = np.searchsorted(edges, low, "right") - 1
        end = np.searchsorted(edges, high - 1, "right") - 1
        inside = there & (first == end)
        for chunk, rows in by_chunk(np.where(inside, first, NONE)):
            if chunk != NONE:
                found[rows] = self._within(chunk, low[rows], high[rows])
        across = np.flatnonzero(there & (first < end))
        if len(across):
            several = [self._from.at(low[across]), self._up_to.at(high[across] - 1)]
            several.append(self._between(first[across] + 1, end[across]))
            found[across] = self._best_of(np.concatenate(several).reshape(3, -1))
        return found

    def _within(self, chunk: int, low: I64, high: I64) -> I64:
        first, end = self._edges[chunk], self._edges[chunk + 1]
        ranks, order = self._ranked(self.values.at(np.arange(first, end)))
        every = np.ones(len(low), np.bool_)
        found = least(ranks.view(np.uint64), low - first, high - first, every)
        return order[found.view(np.int64)] + first

    def _between(self, first: I64, end: I64) -> I64:
        """The best rows of chunks from `first` to before `end`."""
        bests = np.array(self._bests, np.int64)
        if self._ranks is None:
            self._ranks, _ = self._ranked(self.values.at(bests))
        order = np.argsort(self._ranks, kind="stable")
        there = first < end
        places = least(self._ranks.view(np.uint64), first, np.maximum(end, first + 1), there).view(np.int64)
        places = np.where(there, places, len(bests))
        return np.append(bests[order], NONE)[np.minimum(places, len(bests))]

    def _best_of(self, several: npt.NDArray[np.int64]) -> I64:
        """The best one of each column of rows."""
        wanted, back = np.unique(several, return_inverse=True)
        ranks, _ = self._ranked(self.values.at(wanted))
        ranks[wanted == NONE] = len(ranks)
        back = back.reshape(several.shape)
        chosen = np.argmin(ranks[back], axis=0)
        found: I64 = np.take_along_axis(several, chosen[None, :], axis=0)[0]
        return found


def least(numbers: U64, low: I64, high: I64, there: Bools) -> U64:
    """The smallest number from low to before high, of frames that are there and have a row."""
    found = np.full(len(low), _ONES, np.uint64)
    lengths = np.where(there, high - low, 0)
    levels = np.frexp(lengths.astype(np.float64))[1].astype(np.int64) - 1
    waiting = list(by_chunk(np.where(lengths > 0, levels, NONE)))
    table, level = numbers, 0
    for wanted, rows in waiting:
        if wanted == NONE:
            continue
        for _ in range(level, wanted):
            table = np.minimum(table[: -(1 << level)], table[1 << level :])
            level += 1
        found[rows] = np.minimum(table[low[rows]], table[high[rows] - (1 << level)])
    return found


def _has_word(kind: pa.DataType) -> bool:
    types = pa.types
    return not (is_bytes(kind) or types.is_decimal(kind) or types.is_null(kind) or types.is_nested(kind))


def _word(column: Array, largest: bool) -> U64:
    words = value_words(plain(column), largest)[0].of(None)
    there = valid(column)
    if there is not None:
        words[~there] = _ONES
    return words


def _from_words(words: U64, kind: pa.DataType, largest: bool, there: Bools) -> Array:
    if largest:
        words = ~words
    if pa.types.is_floating(kind):
        floats = np.where(words >= _SIGN, words ^ _SIGN, ~words).view(np.float64)
        return array_of(kind, floats.astype(f"f{kind.bit_width // 8}"), there)
    if pa.types.is_boolean(kind):
        return array_of(kind, words.astype(np.bool_), there)
    if pa.types.is_unsigned_integer(kind):
        return array_of(kind, words.astype(f"u{kind.bit_width // 8}"), there)
    return array_of(kind, (words ^ _SIGN).view(np.int64).astype(f"i{kind.bit_width // 8}"), there)
