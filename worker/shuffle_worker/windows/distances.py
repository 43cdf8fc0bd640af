"""How far rows are apart in their order: for frames by RANGE with an offset, and for sessions.

A row's place in the order is a word of 64 bits that compares as the column does in the direction asked for. For whole
numbers, dates, timestamps and decimals of up to 18 digits words are as far apart as the values are, so an offset is
added to the word, and stops at the ends of what a word holds. Floats are moved as floats. Intervals of months, and of
days on the clock of a time zone, go by the calendar, and stop at the ends of what the type holds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrays import U64, Array, buffer_of, values, view
from shuffle_worker.columns.arrow import NANOS, parts
from shuffle_worker.columns.kinds import is_number
from shuffle_worker.expressions.typed.clock import numbers_of, per_day, rebuilt, zone_of
from shuffle_worker.expressions.typed.expression import Column, Expression
from shuffle_worker.expressions.typed.intervals import Elapsed, Interval, interval, later
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.expressions.typed.written import Number, Text
from shuffle_worker.partitioning.sort_keys import value_words

_SIGN = np.uint64(1 << 63)
_MOST = (1 << 64) - 1
_DAY = 86_400 * NANOS["s"]
_FAR = 1 << 61
"""Seconds: some 70 billion years."""
SHORT_DIGITS = 18
OFFSET = "an offset"
_TURNED = "; write FOLLOWING instead of PRECEDING, or the other way"


class Distance(NamedTuple):
    """An offset. One of the three is given."""

    units: int | None = None
    """In units of the type: of its last digit, its days, its microseconds, ..."""
    floating: float | None = None
    calendar: Elapsed | None = None


def distance_of(one: Expression, kind: pa.DataType, said: str, what: str = OFFSET) -> Distance:
    """one: a constant. kind: of the column that rows are ordered by. said: that column, for people. what: the distance
    is, for people. Raises NotThatType."""
    types = pa.types
    if types.is_date(kind) or types.is_timestamp(kind):
        length = (
            interval(one.text).length if isinstance(one, Text) else one.length if isinstance(one, Interval) else None
        )
        if length is None:
            raise NotThatType(f"{said} is {kind}, so {what} is an interval, as in INTERVAL '1 day'")
        return _interval(length, kind, said, what)
    if not is_number(kind):
        raise NotThatType(f"{said} is {kind}; there is a distance between numbers, dates and timestamps")
    if not isinstance(one, Number):
        raise NotThatType(f"{said} is {kind}, so {what} is a number, written as one")
    return _number(one.number, kind, said, what)


def _number(offset: Decimal, kind: pa.DataType, said: str, what: str) -> Distance:
    if offset < 0:
        raise NotThatType(f"{what} is not negative: {offset}{_TURNED if what == OFFSET else ''}")
    if pa.types.is_floating(kind):
        return Distance(floating=float(offset))
    digits = 0
    if pa.types.is_decimal(kind):
        digits = parts(kind).scale
        if parts(kind).precision > SHORT_DIGITS:
            raise NotThatType(
                f"{said} is {kind}; offsets go with decimals of up to {SHORT_DIGITS} digits: compute a narrower column "
                "in inputs[0].compute, or a double"
            )
    scaled = offset.scaleb(digits)
    if scaled != scaled.to_integral_value():
        raise NotThatType(f"{said} is {kind}, and {offset} is no multiple of its smallest step")
    return Distance(units=min(int(scaled), _MOST))


def _interval(length: Elapsed, kind: pa.DataType, said: str, what: str) -> Distance:
    if min(length) < 0:
        raise NotThatType(f"{what} is not negative{_TURNED if what == OFFSET else ''}")
    if pa.types.is_date(kind):
        if length.nanos:
            raise NotThatType(f"{said} is {kind}, so {what} is of whole days")
        if length.months:
            return Distance(calendar=length)
        return Distance(units=length.days * (86_400_000 if pa.types.is_date64(kind) else 1))
    if length.months or (length.days and parts(kind).tz not in (None, "UTC")):
        later(Column("x", kind), length)
        return Distance(calendar=length)
    nanos = length.days * _DAY + length.nanos
    unit = NANOS[parts(kind).unit]
    if nanos % unit:
        raise NotThatType(f"{said} is {kind}, which does not tell so short a time; write a longer interval")
    return Distance(units=min(nanos // unit, _MOST))


def words_of(column: Array, descending: bool) -> U64:
    """The place of each value in the order; arbitrary for a null."""
    if pa.types.is_decimal(column.type):
        words = _unscaled(column) ^ _SIGN
        return ~words if descending else words
    return value_words(column, descending)[0].of(None)


def moved(column: Array, by: Distance, descending: bool, *, after: bool) -> U64:
    """The places so far before, or after, each value in the order."""
    if by.units is not None:
        return _stepped(words_of(column, descending), by.units, after)
    up = after != descending
    if by.floating is not None:
        floats = values(column, f"f{column.type.bit_width // 8}").astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            floats += by.floating if up else -by.floating
        there: Array = pa.Array.from_buffers(pa.float64(), len(floats), [None, buffer_of(floats)])
        return words_of(there, descending)
    assert by.calendar is not None
    words = _by_calendar(column, by.calendar if up else -by.calendar, up)
    return ~words if descending else words


def _by_calendar(column: Array, by: Elapsed, up: bool) -> U64:
    try:
        if not _at_an_end(column):
            return words_of(_later(column, by).cast(column.type), False)
    except pa.ArrowInvalid:  # the type does not hold all of them
        pass
    return _past_the_ends(column, by, up)


def _at_an_end(column: Array) -> bool:
    """Whether what the clock of a zone shows may be more than the type holds."""
    if zone_of(column.type) is None:
        return False
    numbers, most = numbers_of(column), (1 << 63) - 1 - per_day(column.type)
    return bool(((numbers > most) | (numbers < -most)).any())


def _later(column: Array, by: Elapsed) -> Array:
    found = later(Column("x", column.type), by).values(pa.RecordBatch.from_arrays([column], names=["x"]))
    assert isinstance(found, pa.Array)
    return found


def _past_the_ends(column: Array, by: Elapsed, up: bool) -> U64:
    """The same by way of seconds, which reach further than any other unit; what is past an end of the type is there.
    Clocks are put forward and back at whole seconds."""
    kind = column.type
    numbers = numbers_of(column)
    size, scale = (_DAY, 1) if pa.types.is_date32(kind) else (NANOS["s"], per_day(kind) // 86_400)
    seconds, rest = numbers * (size // NANOS["s"]) // scale, numbers % scale
    far = (seconds > _FAR) | (seconds < -_FAR)
    moments = rebuilt(np.where(far, 0, seconds), column, pa.timestamp("s", zone_of(kind)))
    found = numbers_of(_later(moments, by._replace(nanos=0))) // (size // NANOS["s"])
    most = ((1 << 63) - 1) // scale
    words: U64 = (np.clip(found, -most, most - 1) * scale + rest).view(np.uint64) ^ _SIGN
    words[far | (found >= most) | (found < -most)] = _MOST if up else 0
    return _stepped(words, abs(by.nanos) * scale // NANOS["s"], up)


def _stepped(words: U64, units: int, up: bool) -> U64:
    """No further than words reach."""
    step = np.uint64(units)
    if up:
        return np.where(words <= np.uint64(_MOST) - step, words + step, np.uint64(_MOST))
    return np.where(words >= step, words - step, np.uint64(0))


def _unscaled(column: Array) -> U64:
    """Of decimals of up to 18 digits, whatever their width."""
    width = column.type.bit_width // 64
    if not width:
        return values(column, np.int32).astype(np.int64).view(np.uint64)
    found: U64 = view(column.buffers()[1], np.uint64, len(column) * width, column.offset * width)
    return found[::width].copy()
