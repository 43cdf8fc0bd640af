"""Which right row is nearest in time to each left row, among those with its keys: the core of an as-of join.

Times are words of 64 bits that compare as the times do. Both sides are put in one order, by key, time and side; then
the right row before a left one is the last that came by, and the one after it the first that comes. The right rows may
be looked at in portions; what was found in one is compared with what others have.

Ties follow from the positions alone: of right rows at one time the last one is before, and the first one after; of two
that are equally near the one before is nearest.

Memory: about 60 bytes a row of both sides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, U64, Array, Bools, plain, valid, values
from shuffle_worker.columns.arrow import NANOS
from shuffle_worker.partitioning.matching import NONE, Side, words_of
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.sort_keys import Ready

_SIGN = np.uint64(1 << 63)
_DAY = 86_400 * 10**9


class Scale(NamedTuple):
    """How two columns of time are compared."""

    common: pa.DataType
    """The type that both are brought to."""
    nanos: int
    """Nanoseconds of one unit; 0 where the columns are numbers."""

    @property
    def floats(self) -> bool:
        return pa.types.is_floating(self.common)


class Rule(NamedTuple):
    """Which right row counts."""

    backward: bool
    forward: bool
    exact: bool
    """One at the very time counts."""
    scale: Scale
    limit: float | None
    """How far off it may be, in the scale's units; whole where these are. None: any distance."""


class Times(NamedTuple):
    """The times of some rows."""

    words: U64
    there: Bools | None
    """Rows that have one; None for all."""


def scale_of(left: pa.DataType, right: pa.DataType) -> Scale | None:
    """How columns of these types are compared; None where there is no distance between them."""
    t = pa.types
    if t.is_null(left) or t.is_null(right):
        other = right if t.is_null(left) else left
        return Scale(pa.int64(), 0) if t.is_null(other) else scale_of(other, other)
    if t.is_integer(left) and t.is_integer(right):
        wide = [kind for kind in (left, right) if t.is_uint64(kind)]
        if wide and any(t.is_signed_integer(kind) for kind in (left, right)):
            return None
        return Scale(wide[0] if wide else pa.int64(), 0)
    if all(t.is_floating(kind) or (t.is_integer(kind) and kind.bit_width <= 32) for kind in (left, right)):
        return Scale(pa.float64(), 0)
    if t.is_date(left) and t.is_date(right):
        return Scale(pa.date32(), _DAY)
    if t.is_timestamp(left) and t.is_timestamp(right):
        if (left.tz is None) != (right.tz is None):
            return None
    elif not ((t.is_time(left) and t.is_time(right)) or (t.is_duration(left) and t.is_duration(right))):
        return None
    finer = left if NANOS[left.unit] <= NANOS[right.unit] else right
    return Scale(finer, NANOS[finer.unit])


def times_of(column: Array, scale: Scale) -> Times:
    """Raises pa.ArrowInvalid where the common type does not hold a value."""
    array = plain(column)
    if array.type != scale.common:
        array = array.cast(scale.common)
    there = valid(array)
    if scale.floats:
        floats = values(array, "f8") + 0.0  # -0.0 + 0.0 = 0.0
        bits = floats.view(np.uint64)
        words: U64 = np.where(bits & _SIGN, ~bits, bits | _SIGN)
        numbers = floats == floats
        if not numbers.all():
            there = numbers if there is None else there & numbers
        return Times(words, there)
    signed = not pa.types.is_uint64(scale.common)
    found = values(array, f"{'i' if signed else 'u'}{scale.common.bit_width // 8}")
    return Times(found.astype(np.int64).view(np.uint64) ^ _SIGN if signed else found.copy(), there)


class NearestRows:
    """For the left rows of one side: `look` at all right rows in their order, in any portions, then ask for `found`."""

    def __init__(self, left: Side, times: Times, rule: Rule) -> None:
        self._left = left
        self._times = times
        self._rule = rule
        count = len(times.words)
        self._rows = [np.full(count, NONE, np.int64) for _ in range(2)]
        self._words = [np.zeros(count, np.uint64) for _ in range(2)]
        """`_rows`, `_words`: the right row before each left one and its time; then those after."""

    def look(self, right: Side, times: Times, first: int = 0) -> None:
        """Right rows that are numbered from `first` on."""
        left_words, right_words = words_of(self._left, right)
        mine, theirs = _usable(self._left, self._times), _usable(right, times)
        if not len(mine) or not len(theirs):
            return
        keys = np.concatenate([left_words[mine], right_words[theirs]])
        at = np.concatenate([self._times.words[mine], times.words[theirs]])
        for after in (False, True):
            if not (self._rule.forward if after else self._rule.backward):
                continue
            chosen = _beside(keys, at, len(mine), after=after, exact=self._rule.exact)
            hit = np.flatnonzero(chosen != NONE)
            rows, new = mine[hit], theirs[chosen[hit]]
            held, held_words = self._rows[after], self._words[after]
            words = times.words[new]
            better = words < held_words[rows] if after else words >= held_words[rows]
            better |= held[rows] == NONE
            held[rows[better]] = new[better] + first
            held_words[rows[better]] = words[better]

    def found(self) -> I64:
        """The right row of each left one, NONE where there is none."""
        before, after = self._rows
        near = [self._distances(side) for side in range(2)]
        if self._rule.limit is not None:
            for rows, distances in zip((before, after), near, strict=True):
                rows[distances > self._rule.limit] = NONE
        use_after = (after != NONE) & ((before == NONE) | (near[1] < near[0]))
        return np.where(use_after, after, before)

    def _distances(self, side: int) -> np.ndarray[tuple[int], np.dtype[np.uint64] | np.dtype[np.float64]]:
        """Arbitrary where there is no row."""
        mine, theirs = self._times.words, self._words[side]
        if not self._rule.scale.floats:
            return np.where(mine > theirs, mine - theirs, theirs - mine)
        with np.errstate(invalid="ignore"):
            distances = np.abs(_floats(mine) - _floats(theirs))
        distances[mine == theirs] = 0.0  # two infinities
        return distances


def _beside(keys: U64, times: U64, count: int, *, after: bool, exact: bool) -> I64:
    """For each of the first `count` rows, the left ones, the number of the right row that is next to it in time among
    those of its key; NONE where there is none. after: the next, not the one before."""
    right_first = exact != after
    sides = np.full(len(keys), 0 if right_first else 1, np.uint64)
    sides[:count] = 1 if right_first else 0
    order = order_by([Ready(keys), Ready(times), Ready(sides)], len(keys))
    right = order >= count
    places = np.arange(len(order), dtype=np.int64)
    if after:
        beside = np.minimum.accumulate(np.where(right, places, len(order))[::-1])[::-1]
        beyond = beside == len(order)
    else:
        beside = np.maximum.accumulate(np.where(right, places, NONE))
        beyond = beside == NONE
    rows = order[~right]
    candidates = order.take(beside[~right], mode="clip")
    there = ~beyond[~right] & (keys[candidates] == keys[rows])
    found = np.full(count, NONE, np.int64)
    found[rows[there]] = candidates[there] - count
    return found


def _usable(side: Side, times: Times) -> I64:
    """The rows that may have a partner."""
    kept = side.keys.matchable
    if kept is None and times.there is None:
        return np.arange(len(times.words), dtype=np.int64)
    if kept is None or times.there is None:
        kept = times.there if kept is None else kept
        assert kept is not None
        return np.flatnonzero(kept)
    return np.flatnonzero(kept & times.there)


def _floats(words: U64) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found: U64 = np.where(words & _SIGN, words ^ _SIGN, ~words)
    return found.view(np.float64)
