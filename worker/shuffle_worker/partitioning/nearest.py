"""Which right row is nearest in time to each left row, among those with its keys: the core of an as-of join.

Times are words of 64 bits that compare as the times do. Both sides are put in one order, by key, time and side; then
the right row before a left one is the last that came by, and the one after it the first that comes.

Ties follow from the positions alone: of right rows at one time the last one is before, and the first one after; of two
that are equally near the one before is nearest.

Memory: `NEAREST_ROW` bytes a row of both sides, measured, most of it while they are put in order.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import I64, U64, Array, Bools, plain, valid, values
from shuffle_worker.columns.arrow import NANOS
from shuffle_worker.partitioning.matching import NONE, Side, words_of
from shuffle_worker.partitioning.order import order_by
from shuffle_worker.partitioning.sort_keys import Ready

NEAREST_ROW = 128

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


class _Nearest(NamedTuple):
    """The right row that is nearest on one side of each left row."""

    rows: I64
    """NONE where there is none."""
    words: U64
    """Its time; arbitrary where there is none."""


def nearest_rows(left: Side, right: Side, times: tuple[Times, Times], rule: Rule) -> I64:
    """The right row of each left one, NONE where there is none. times: of the rows of both sides."""
    sides = _on_each_side(left, right, times, rule)
    near = [_distances(times[0].words, side.words, rule.scale) for side in sides]
    if rule.limit is not None:
        for side, distances in zip(sides, near, strict=True):
            side.rows[distances > rule.limit] = NONE
    if len(sides) == 1:
        return sides[0].rows
    before, after = (side.rows for side in sides)
    use_after = (after != NONE) & ((before == NONE) | (near[1] < near[0]))
    return np.where(use_after, after, before)


def _on_each_side(left: Side, right: Side, times: tuple[Times, Times], rule: Rule) -> list[_Nearest]:
    """Before and after, as far as the rule asks for them."""
    left_words, right_words = words_of(left, right)
    lefts, rights = _Rows.of(left_words, left, times[0]), _Rows.of(right_words, right, times[1])
    del left_words, right_words
    count = len(times[0].words)
    sides: list[_Nearest] = []
    for after, wanted in ((False, rule.backward), (True, rule.forward)):
        if not wanted:
            continue
        side = _Nearest(np.full(count, NONE, np.int64), np.zeros(count, np.uint64))
        sides.append(side)
        if not len(lefts.keys) or not len(rights.keys):
            continue
        chosen = _beside(lefts, rights, after=after, exact=rule.exact)
        hit = np.flatnonzero(chosen != NONE)
        mine, theirs = lefts.numbers(hit), rights.numbers(chosen[hit])
        side.rows[mine] = theirs
        side.words[mine] = times[1].words[theirs]
    return sides


def _distances(
    mine: U64, theirs: U64, scale: Scale
) -> np.ndarray[tuple[int], np.dtype[np.uint64] | np.dtype[np.float64]]:
    if not scale.floats:
        return np.where(mine > theirs, mine - theirs, theirs - mine)
    with np.errstate(invalid="ignore"):
        distances = np.abs(_floats(mine) - _floats(theirs))
    distances[mine == theirs] = 0.0  # two infinities
    return distances


class _Rows(NamedTuple):
    """The rows of one side that may have a partner."""

    keys: U64
    times: U64
    kept: I64 | None
    """Which rows of the side these are; None for all."""

    @classmethod
    def of(cls, words: U64, side: Side, times: Times) -> Self:
        known = [some for some in (side.keys.matchable, times.there) if some is not None]
        kept = np.logical_and.reduce(known) if known else None
        if kept is None:
            return cls(words, times.words, None)
        rows = np.flatnonzero(kept)
        return cls(words[rows], times.words[rows], rows)

    def numbers(self, rows: I64) -> I64:
        """Of these rows among those of the side."""
        return rows if self.kept is None else self.kept[rows]


def _beside(left: _Rows, right: _Rows, *, after: bool, exact: bool) -> I64:
    """For each left row the number of the right row that is next to it in time among those of its key; NONE where there
    is none. after: the next, not the one before."""
    right_first = exact != after  # at one time; the order is stable
    sides = (right, left) if right_first else (left, right)
    edge = len(sides[0].keys)
    keys = np.concatenate([side.keys for side in sides])
    order = order_by([Ready(keys), Ready(np.concatenate([side.times for side in sides]))], len(keys))
    is_right = (order < edge) == right_first
    beside = np.arange(len(order), dtype=np.int64)
    if after:
        beside[~is_right] = len(order)
        backwards = beside[::-1]
        np.minimum.accumulate(backwards, out=backwards)
    else:
        beside[~is_right] = NONE
        np.maximum.accumulate(beside, out=beside)
    lefts = np.flatnonzero(~is_right)
    beside = beside[lefts]
    rows, candidates = order[lefts], order.take(beside, mode="clip")
    there = (beside != (len(order) if after else NONE)) & (keys[candidates] == keys[rows])
    found = np.full(len(left.keys), NONE, np.int64)
    found[rows[there] - (edge if right_first else 0)] = candidates[there] - (0 if right_first else edge)
    return found


def _floats(words: U64) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found: U64 = np.where(words & _SIGN, words ^ _SIGN, ~words)
    return found.view(np.float64)
