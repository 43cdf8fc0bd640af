"""Intervals, and what they do to dates and times: calendar months and days, and exact nanoseconds.

    INTERVAL '1 day'   INTERVAL 3 HOUR   INTERVAL '1 month 2 days'

Months and days are those of the clock on the wall: of a timestamp with a time zone, in that zone, so that a day may
have 23 hours. A month later than the 31st is the last day of a shorter month. Raises NotThatType, and for the values
ArrowInvalid.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import I64, NANOS, Array, Scalar, call, parts, scalar
from shuffle_worker.expressions.typed.clock import (
    is_even,
    local,
    numbers_of,
    per_day,
    present,
    rebuilt,
    to_zone,
    zone_of,
)
from shuffle_worker.expressions.typed.expression import Call, Constant, Expression
from shuffle_worker.expressions.typed.literals import NotThatType

_PART = re.compile(r"\s*([+-]?\d+)\s*([a-z]+)\s*,?", re.IGNORECASE)
_MONTHS = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200}
_DAYS = {"day": 1, "week": 7}
_NANOS = {
    "nanosecond": 1,
    "microsecond": 1_000,
    "millisecond": 1_000_000,
    "second": NANOS["s"],
    "minute": 60 * NANOS["s"],
    "hour": 3600 * NANOS["s"],
}
_UNITS = [*_NANOS, *_DAYS, *_MONTHS]


class Elapsed(NamedTuple):
    """How long an interval is."""

    months: int = 0
    days: int = 0
    nanos: int = 0

    def __neg__(self) -> Elapsed:
        return Elapsed(-self.months, -self.days, -self.nanos)


class Interval(Constant):
    """An interval, as it was written."""

    def __init__(self, length: Elapsed) -> None:
        super().__init__(_scalar(length))
        self.length = length


def _scalar(length: Elapsed) -> Scalar:
    packed = np.zeros(1, np.dtype([("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")]))
    try:
        packed[0] = (length.months, length.days, length.nanos)
    except OverflowError:
        raise NotThatType("the interval is too long") from None
    one: Array = pa.Array.from_buffers(pa.month_day_nano_interval(), 1, [None, pa.py_buffer(packed.tobytes())])
    return parts(one)[0]  # type: ignore[no-any-return]


def interval(text: str) -> Interval:
    """text: `1 day`, `2 hours 30 minutes`, ..."""
    months = days = nanos = at = 0
    while at < len(text.rstrip()):
        found = _PART.match(text, at)
        if found is None:
            raise NotThatType(f"'{text}' is no interval; write it as INTERVAL '1 day' or INTERVAL '2 hours 30 minutes'")
        count, unit = int(found[1]), found[2].lower()
        unit = unit if unit in _UNITS else unit.removesuffix("s")
        unit = {"centurie": "century"}.get(unit, unit)
        if unit not in _UNITS:
            raise NotThatType(f"{found[2]} is no unit of time; there are {', '.join(_UNITS)}")
        months += count * _MONTHS.get(unit, 0)
        days += count * _DAYS.get(unit, 0)
        nanos += count * _NANOS.get(unit, 0)
        at = found.end()
    if not at:
        raise NotThatType("the interval is empty; write it as INTERVAL '1 day'")
    return Interval(Elapsed(months, days, nanos))


def later(moment: Expression, by: Elapsed) -> Call:
    """A date or timestamp, so much later. A date stays one where the interval is of whole days."""
    kind = moment.type
    if pa.types.is_date(kind):
        whole = not by.nanos
        kind = pa.date32() if whole else pa.timestamp("us")
    elif not pa.types.is_timestamp(kind):
        raise NotThatType(f"an interval is added to a date or a timestamp, not to {kind}")
    size = 1 if pa.types.is_date(kind) else NANOS[kind.unit]
    if by.nanos % size and not pa.types.is_date(kind):
        raise NotThatType(f"{kind} has no {_finest(by.nanos)}s; use CAST(... AS TIMESTAMP) or a longer interval")
    return Call(kind, lambda values: _added(call("cast", values, kind), by), moment, rising=is_even(kind))


def _finest(nanos: int) -> str:
    return next(unit for unit, size in sorted(_NANOS.items(), key=lambda one: -one[1]) if nanos % size == 0)


def _added(column: Array, by: Elapsed) -> Array:
    kind = column.type
    if by.months or by.days:
        column = to_zone(_calendar(local(column), by), zone_of(kind))
    if not by.nanos:
        return column
    step = scalar(by.nanos // NANOS[kind.unit], pa.int64())
    later: Array = call("add_checked", column.view(pa.int64()), step).view(kind)
    return later


def _calendar(column: Array, by: Elapsed) -> Array:
    """column: dates, or timestamps without a zone."""
    units = per_day(column.type)
    numbers = numbers_of(column)
    days = numbers // units
    rest = numbers - days * units
    days = _months_later(days, by.months) + by.days if by.months else days + by.days
    return _whole(days, rest, units, column)


def _months_later(days: I64, months: int) -> I64:
    dates = days.astype("datetime64[D]")
    month = dates.astype("datetime64[M]")
    day = (dates - month.astype("datetime64[D]")).astype(np.int64)
    later = month + np.timedelta64(months, "M")
    first = later.astype("datetime64[D]").astype(np.int64)
    length = (later + np.timedelta64(1, "M")).astype("datetime64[D]").astype(np.int64) - first
    found: I64 = first + np.minimum(day, length - 1)
    return found


def _whole(days: I64, rest: I64, units: int, column: Array) -> Array:
    """Days and what is left of a day, in the type of a column. Raises where it does not hold them."""
    width = 32 if pa.types.is_date32(column.type) else 64
    most = (1 << (width - 1)) // units - 1
    there = present(column)
    if ((np.abs(days) > most) & there).any():
        raise pa.ArrowInvalid(f"a date or time is beyond what {column.type} holds")
    return rebuilt(np.where(there, days * units + rest, 0), column, column.type)
