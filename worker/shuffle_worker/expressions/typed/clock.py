"""Dates and times as numbers, and on the clock of their time zone. Pure.

Where a clock is put back it shows an hour twice: the earlier one is meant. Where it is put forward an hour is never
shown: it is taken as if the clock had not been put forward, so 02:30 is 03:30.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shuffle_worker.columns.arrays import bitmap, bits, buffer_of, values
from shuffle_worker.columns.arrow import I64, NANOS, Array, Bools, call, parts

SUBDAY = ("hour", "minute", "second", "millisecond", "microsecond", "nanosecond")
_DAY = 86_400 * NANOS["s"]


def unit_of(kind: pa.DataType) -> str:
    """s, ms, us or ns: of what is no date."""
    return str(parts(kind).unit)


def zone_of(kind: pa.DataType) -> str | None:
    return parts(kind).tz if pa.types.is_timestamp(kind) else None


def is_even(kind: pa.DataType) -> bool:
    """Whether its clock never goes back, so that a later moment never shows an earlier time."""
    return zone_of(kind) in (None, "UTC")


def per_day(kind: pa.DataType) -> int:
    """The units of a date or timestamp that are a day."""
    return 1 if pa.types.is_date32(kind) else _DAY // NANOS[unit_of(kind)]


def present(column: Array) -> Bools:
    return bits(column.buffers()[0], column.offset, len(column))


def numbers_of(column: Array) -> I64:
    """What a column of dates, times or integers is stored as; zero where it is null."""
    found = values(column, np.int32 if column.type.bit_width == 32 else np.int64).astype(np.int64)
    return np.where(present(column), found, 0) if column.null_count else found


def rebuilt(numbers: npt.NDArray[np.int64], like: Array, kind: pa.DataType) -> Array:
    """Numbers as a column of a type, null where another one is."""
    mask = bitmap(present(like)) if like.null_count else None
    width = np.int32 if kind.bit_width == 32 else np.int64
    found: Array = pa.Array.from_buffers(kind, len(like), [mask, buffer_of(np.ascontiguousarray(numbers, width))])
    return found


def months_of(days: I64) -> I64:
    """The months since January 1970, from the days since then."""
    found: I64 = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return found


def local(column: Array) -> Array:
    """What the clock of its zone shows; a column without a zone as it is."""
    found: Array = call("local_timestamp", column) if zone_of(column.type) else column
    return found


def to_zone(column: Array, zone: str | None) -> Array:
    """The moments when the clocks of a zone show this; as it is where there is no zone."""
    if zone is None or not pa.types.is_timestamp(column.type):
        return column
    early: Array = call("assume_timezone", column, zone, ambiguous="earliest", nonexistent="earliest")
    shown = call("local_timestamp", early)
    skipped = call("not_equal", shown, column)
    if not call("any", skipped).as_py():
        return early
    # just before the gap the old offset still holds, and what is meant is as far behind that moment as it reads
    gap = call("subtract_checked", column.view(pa.int64()), shown.view(pa.int64()))
    moved = call("add_checked", early.view(pa.int64()), gap).view(early.type)
    found: Array = call("if_else", skipped, moved, early)
    return found


def truncated(column: Array, unit: str) -> Array:
    """The start of the unit that each date or time is in. Raises ArrowInvalid where the type does not hold it."""
    kind = column.type
    shown = local(column)
    floor: Array = call("floor_temporal", shown, unit=unit)
    if call("any", call("greater", floor, shown)).as_py():
        raise pa.ArrowInvalid(f"the start of a {unit} is beyond what {kind} holds")
    if zone_of(kind) is None or unit not in SUBDAY:
        return to_zone(floor, zone_of(kind))
    since = call("subtract", shown.view(pa.int64()), floor.view(pa.int64()))
    found: Array = call("subtract_checked", column.view(pa.int64()), since).view(kind)
    return found
