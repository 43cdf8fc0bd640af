"""Functions of dates and times. Those of a timestamp with a time zone go by the clocks of that zone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from shuffle_worker.columns.arrow import I64, NANOS, Array, call, scalar, timestamp
from shuffle_worker.expressions.functions.registry import (
    INTERVAL,
    MOMENT,
    NUMBER,
    TEMPORAL,
    WHOLE,
    Given,
    Kernel,
    Section,
    Typed,
    named,
    one_of,
)
from shuffle_worker.expressions.typed.arithmetic import arithmetic
from shuffle_worker.expressions.typed.clock import (
    SUBDAY,
    is_even,
    local,
    months_of,
    numbers_of,
    per_day,
    rebuilt,
    truncated,
    unit_of,
    zone_of,
)
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.expressions.typed.rows import each

TIMES = Section("Dates and times")
define, define_built = TIMES.define, TIMES.define_built

DATE_UNITS = ("year", "quarter", "month", "week", "day")
UNITS = (*DATE_UNITS, *SUBDAY[:-1])
PARTS = (
    *("year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"),
    *("dayofweek", "dow", "isodow", "dayofyear", "doy", "isoyear", "epoch"),
)
_OF_CLOCK = ("hour", "minute", "second", "millisecond", "microsecond", "epoch")


def _trunc_type(given: Given) -> pa.DataType:
    unit, kind = given
    if pa.types.is_date(kind) and unit in SUBDAY:
        raise NotThatType(f"DATE_TRUNC: a date has no {unit}; there are {', '.join(DATE_UNITS)}")
    return kind  # type: ignore[no-any-return]


def _part_type(given: Given) -> pa.DataType:
    part, kind = given
    if pa.types.is_time(kind) and part not in _OF_CLOCK:
        raise NotThatType(f"a time has no {part}; there are {', '.join(_OF_CLOCK)}")
    return pa.float64() if part == "epoch" else pa.int64()


_ARROWS: dict[str, Callable[[Array], Array]] = {
    "week": lambda shown: call("iso_week", shown),
    "isoyear": lambda shown: call("iso_year", shown),
    "dow": lambda shown: call("day_of_week", shown, count_from_zero=True, week_start=7),
    "dayofweek": lambda shown: call("day_of_week", shown, count_from_zero=True, week_start=7),
    "isodow": lambda shown: call("day_of_week", shown, count_from_zero=False, week_start=1),
    "doy": lambda shown: call("day_of_year", shown),
    "dayofyear": lambda shown: call("day_of_year", shown),
}


def _part(part: str, column: Array) -> Array:
    if part == "epoch":
        return _epoch(column)
    shown = local(column)
    if part in ("hour", "minute", "second") and pa.types.is_date(shown.type):
        shown = shown.cast(pa.timestamp("s"))
    if part in ("millisecond", "microsecond"):
        return _fraction(shown, 1000 if part == "millisecond" else 1_000_000)
    found = _ARROWS[part](shown) if part in _ARROWS else call(part, shown)
    return found.cast(pa.int64())


def _fraction(shown: Array, size: int) -> Array:
    """The seconds of a minute, in thousandths or millionths."""
    if pa.types.is_date(shown.type):
        shown = shown.cast(pa.timestamp("s"))
    units = NANOS["s"] // NANOS[unit_of(shown.type)]
    rest = numbers_of(shown) % (60 * units)
    return rebuilt(rest * (size // units) if units < size else rest // (units // size), shown, pa.int64())


def _epoch(column: Array) -> Array:
    """Seconds since 1970, or since midnight."""
    seconds = numbers_of(column) / (per_day(column.type) / 86_400)
    found: Array = rebuilt(seconds.view(np.int64), column, pa.int64()).view(pa.float64())
    return found


def _since(unit: str) -> Kernel:
    """Whole milliseconds or microseconds since 1970."""

    def kernel(column: Array) -> Array:
        if pa.types.is_timestamp(column.type) and NANOS[unit_of(column.type)] < NANOS[unit]:
            size = NANOS[unit] // NANOS[unit_of(column.type)]
            return rebuilt(numbers_of(column) // size, column, pa.int64())
        return column.cast(timestamp(unit, zone_of(column.type))).cast(pa.int64())

    return kernel


def _counted(unit: str, column: Array) -> I64:
    """The number of the unit that each moment is in."""
    days = numbers_of(column) // per_day(column.type)
    match unit:
        case "day":
            return days
        case "week":
            return (days + 3) // 7  # from a Monday on
        case "month" | "quarter" | "year":
            found: I64 = months_of(days) // {"month": 1, "quarter": 3, "year": 12}[unit]
            return found
    if pa.types.is_date32(column.type):
        return days * (_PER_DAY[unit])
    size, own = _NANOS[unit], NANOS[unit_of(column.type)]
    if own > size:
        if (np.abs(numbers_of(column)) > np.iinfo(np.int64).max // (own // size)).any():
            raise pa.ArrowInvalid(f"a number of {unit}s does not fit in 64 bits")
        return numbers_of(column) * (own // size)
    return numbers_of(column) // (size // own)


_NANOS = {
    "hour": 3600 * NANOS["s"],
    "minute": 60 * NANOS["s"],
    "second": NANOS["s"],
    "millisecond": NANOS["ms"],
    "microsecond": NANOS["us"],
}
_PER_DAY = {unit: 86_400 * NANOS["s"] // size for unit, size in _NANOS.items()}


def _difference(unit: str, early: Array, late: Array) -> Array:
    shown = (local(column) if unit in DATE_UNITS else column for column in (early, late))
    first, last = (_counted(unit, column) for column in shown)
    numbers = rebuilt(last - first, late, pa.int64())
    return call("if_else", call("is_valid", early), numbers, scalar(None, pa.int64()))  # type: ignore[no-any-return]


def _difference_type(given: Given) -> pa.DataType:
    _, early, late = given
    if (zone_of(early) is None) != (zone_of(late) is None):
        raise NotThatType(f"DATE_DIFF: {early} and {late}: one has a time zone; use AT TIME ZONE on the other")
    return pa.int64()


def _from_seconds(seconds: Array) -> Array:
    kind = timestamp("us", "UTC")
    if pa.types.is_integer(seconds.type):
        micros = call("multiply_checked", seconds.cast(pa.int64()), scalar(1_000_000, pa.int64()))
    else:
        exact = call("multiply", call("cast", seconds, pa.float64(), safe=False), scalar(1e6, pa.float64()))
        micros = call("cast", call("round", exact, round_mode="half_to_even"), pa.int64())
    return micros.cast(kind)  # type: ignore[no-any-return]


def _made_date(year: Array, month: Array, day: Array) -> Array:
    return each(pa.date32(), lambda y, m, d: f"{y:04}-{m:02}-{d:02}", year, month, day)


def _last_day(column: Array) -> Array:
    shown = local(column)
    months = months_of(numbers_of(shown) // per_day(shown.type)) + 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - 1
    return rebuilt(days, shown, pa.date32())


def _rises(given: Given) -> bool:
    return is_even(given[-1])


UNIT = one_of("unit", UNITS)
PART = one_of("part", PARTS)

define(
    "date_trunc, datetrunc",
    [UNIT, MOMENT],
    Typed(_trunc_type),
    lambda unit, column: truncated(column, unit),
    "The start of the year, quarter, month, week (Monday), day, hour, ... that it is in.",
    rising=_rises,
)
define(
    "date_part, datepart",
    [PART, TEMPORAL],
    Typed(_part_type, "int64, double of `epoch`"),
    _part,
    "A part of it; also written EXTRACT(part FROM x).",
    rising=lambda given: given[0] in ("year", "isoyear", "epoch") and is_even(given[1]),
)


def _define_part(part: str) -> None:
    def work(column: Array) -> Array:
        return _part(part, column)

    typed = Typed(lambda given: _part_type((part, given[0])), "int64")
    define(part, [TEMPORAL], typed, work, f"`date_part('{part}', x)`.", rising=part == "year" and _rises)


for _name in (
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "dayofweek",
    "isodow",
    "dayofyear",
):
    _define_part(_name)
define(
    "date_diff, datediff",
    [UNIT, MOMENT, MOMENT],
    Typed(_difference_type, "int64"),
    _difference,
    "How many times a new unit (a midnight, a Monday, a full hour, ...) begins from the first to the second.",
)
define_built(
    "date_add",
    [MOMENT, INTERVAL],
    lambda given, words: arithmetic("+", given[0], given[1], (words[0], words[1])),
    "The same as `x + INTERVAL '...'`.",
    gives="as given",
)
define_built(
    "date_sub",
    [MOMENT, INTERVAL],
    lambda given, words: arithmetic("-", given[0], given[1], (words[0], words[1])),
    "The same as `x - INTERVAL '...'`.",
    gives="as given",
)
define("last_day", [MOMENT], pa.date32(), _last_day, "The last day of its month.", rising=_rises)
define(
    "make_date",
    [named("year", WHOLE), named("month", WHOLE), named("day", WHOLE)],
    pa.date32(),
    _made_date,
    "A date of its parts; the job fails where there is no such day.",
)
define(
    "to_timestamp",
    [named("seconds", NUMBER)],
    timestamp("us", "UTC"),
    _from_seconds,
    "The moment so many seconds after the beginning of 1970.",
)
define("epoch", [TEMPORAL], pa.float64(), _epoch, "Seconds since the beginning of 1970.", rising=True)
define("epoch_ms", [MOMENT], pa.int64(), _since("ms"), "The same in whole milliseconds.", rising=True)
define("epoch_us", [MOMENT], pa.int64(), _since("us"), "The same in whole microseconds.", rising=True)
