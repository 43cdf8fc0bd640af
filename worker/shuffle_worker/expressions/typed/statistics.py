"""What a row group's statistics say about a column, as values that compare in Python.

Times are whole nanoseconds since the epoch, dates whole days, whatever the file's unit; what cannot be compared
exactly (decimals, unsigned numbers beyond the signed range, ...) is unknown. Read with the footers
(`inputs/reading.py`), used by filters to leave row groups out: predicate pushdown.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from shuffle_worker.columns.arrow import NANOS, Scalar, scalar

Comparable = int | float | str | bool

_PARQUET_UNITS = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}


class ColumnRange(NamedTuple):
    """What statistics say of a column."""

    low: Comparable | None
    high: Comparable | None
    """`low`, `high`: every value that is not null (nor NaN) lies between; None where unknown."""
    nulls: int
    """-1 where unknown."""
    rows: int


def column_range(group: pq.RowGroupMetaData, leaves: Sequence[int], kind: pa.DataType) -> ColumnRange:
    """The range of a column in a row group. leaves: its Parquet columns; nested ones are unknown."""
    rows = group.num_rows
    unknown = ColumnRange(None, None, -1, rows)
    if len(leaves) != 1 or pa.types.is_nested(kind):
        return unknown
    column = group.column(leaves[0])
    if not column.is_stats_set:
        return unknown
    stats: Any = column.statistics
    nulls = int(stats.null_count) if stats.has_null_count else -1
    if not stats.has_min_max:
        return ColumnRange(None, None, nulls, rows)
    try:
        low, high = _bounds(stats, kind)
    except (ValueError, TypeError, OverflowError, NotImplementedError, pa.ArrowException):
        low = high = None
    return ColumnRange(low, high, nulls, rows)


def _bounds(stats: Any, kind: pa.DataType) -> tuple[Comparable | None, Comparable | None]:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_timestamp(kind):
        logical = json.loads(stats.logical_type.to_json())
        unit = _PARQUET_UNITS.get(logical.get("timeUnit", ""))
        if unit is None or not isinstance(stats.min_raw, int):
            return None, None
        return stats.min_raw * NANOS[unit], stats.max_raw * NANOS[unit]
    if types.is_date32(kind):
        return _days(stats.min), _days(stats.max)
    if types.is_boolean(kind):
        return bool(stats.min), bool(stats.max)
    if types.is_integer(kind):
        low, high = int(stats.min), int(stats.max)
        unsigned = types.is_unsigned_integer(kind)
        return (None, None) if low > high or (unsigned and low < 0) else (low, high)
    if types.is_floating(kind):
        low_, high_ = float(stats.min), float(stats.max)
        return (low_, high_) if low_ <= high_ else (None, None)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return (stats.min, stats.max) if isinstance(stats.min, str) and isinstance(stats.max, str) else (None, None)
    return None, None


def _days(value: Any) -> int | None:
    return (value - datetime.date(1970, 1, 1)).days if isinstance(value, datetime.date) else None


def comparable(value: Scalar) -> Comparable | None:
    """A scalar in the same terms; None where it cannot be compared exactly."""
    kind = value.type
    types = pa.types
    if not value.is_valid:
        return None
    if types.is_timestamp(kind):
        return int(value.cast(pa.int64()).as_py()) * NANOS[kind.unit]
    if types.is_date32(kind):
        return _days(value.as_py())
    plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    if plain or types.is_string(kind) or types.is_large_string(kind):
        found = value.as_py()
        return found if isinstance(found, int | float | str) and found == found else None
    return None


def constant_range(text: str | None, kind: pa.DataType) -> ColumnRange:
    """Of a column that is the same for a whole file: what its folder says, or null."""
    if text is None:
        return ColumnRange(None, None, 1, 1)
    try:
        value = comparable(scalar(text, kind))
    except (pa.ArrowException, ValueError):
        value = None  # said where the file is read
    return ColumnRange(value, value, 0, 1)


def stored(value: Comparable, kind: pa.DataType, up: bool) -> Scalar | None:
    """The other way: a scalar of a type, None where it holds no such value. up: where its unit is too coarse for the
    value, the next larger one, not the next smaller."""
    types = pa.types
    if isinstance(value, bool | str):
        return None  # nothing of these rises
    try:
        if types.is_timestamp(kind) and isinstance(value, int):
            unit = NANOS[kind.unit]
            return scalar(-(-value // unit) if up else value // unit, pa.int64()).cast(kind)
        if types.is_date32(kind) and isinstance(value, int):
            return scalar(value, pa.int32()).cast(kind)
        if types.is_integer(kind) or types.is_floating(kind):
            return scalar(value, kind)
    except (pa.ArrowException, ValueError):
        pass
    return None
