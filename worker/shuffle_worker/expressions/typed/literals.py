"""Numbers and times written in a filter, as scalars of the type that they are compared with."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa

from shuffle_worker.columns.arrow import NANOS, Scalar, call, finest, scalar, time_of_day, timestamp

_OFFSET = re.compile(r"(Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?")
_FRACTION = re.compile(r"\.(\d+)")
_NAME = "write it as 2026-01-31 or 2026-01-31 12:00:00.000, with an offset such as +02:00 or Z if need be"


T = TypeVar("T")
_Reader = Callable[[str, pa.DataType], T]


class NotThatType(ValueError):
    """The literal is no value of the type."""


def cast_literal(value: Decimal, kind: pa.DataType | None) -> Scalar:
    """A number as a scalar of `kind`, exactly; floats take the nearest. None: the smallest decimal that holds it."""
    if kind is None:
        digits = value.as_tuple()
        exponent = digits.exponent if isinstance(digits.exponent, int) else 0
        scale = max(-exponent, 0)
        precision = max(len(digits.digits) + max(exponent, 0), scale + 1)
        if precision > 76:
            raise NotThatType(f"{value} has too many digits")
        made = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
        return scalar(value, made)
    if pa.types.is_floating(kind):
        return scalar(float(value), kind)
    try:
        if pa.types.is_integer(kind):
            if value != value.to_integral_value():
                raise NotThatType(f"{value} is no whole number")
            return scalar(int(value), kind)
        return scalar(value, kind)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise NotThatType(str(error)) from None


def as_time(text: str, kind: pa.DataType) -> Scalar:
    """Text as a date, time of day or timestamp that compares with `kind`: of its own unit, or a finer one where the
    text says more than the unit holds. Without an offset it is in the zone of `kind`."""
    return _read(text, kind, _date, _time_of_day, _timestamp)


def as_nanos(text: str, kind: pa.DataType) -> int:
    """The same as a number of nanoseconds since the epoch (of a time of day: since midnight), which may be more than
    any type holds."""
    return _read(text, kind, _nanos, _nanos_of_day, _nanos)


def _read(text: str, kind: pa.DataType, date: _Reader[T], time: _Reader[T], moment: _Reader[T]) -> T:
    """By the reader for such a type. Raises NotThatType."""
    text, types = text.strip(), pa.types
    try:
        if types.is_date(kind):
            return date(text, kind)
        if types.is_time(kind):
            return time(text, kind)
        if types.is_timestamp(kind):
            return moment(text, kind)
    except NotThatType:
        raise
    except (pa.ArrowException, ValueError):
        raise NotThatType(_NAME) from None
    raise NotThatType(f"a {kind} cannot be written as text")


def _time_of_day(text: str, kind: Any) -> Scalar:
    """09:30, 09:30:00 or 09:30:00.123456789: in the unit of `kind`, or a finer one where the text says more."""
    found = _CLOCK.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59 or int(found[3] or 0) > 59:
        raise NotThatType("write it as 09:30:00 or 09:30:00.000")
    seconds = (int(found[1]) * 60 + int(found[2])) * 60 + int(found[3] or 0)
    moment = seconds * NANOS["s"] + int((found[4] or "").ljust(9, "0"))
    unit = next(unit for unit, size in NANOS.items() if size <= NANOS[kind.unit] and moment % size == 0)
    count = scalar(moment // NANOS[unit], pa.int32() if unit in ("s", "ms") else pa.int64())
    return count.cast(time_of_day(unit))


def _nanos_of_day(text: str, kind: pa.DataType) -> int:  # noqa: ARG001
    clock = _time_of_day(text, pa.time64("ns"))
    return whole(clock) * NANOS[clock.type.unit]


def _nanos(text: str, kind: pa.DataType) -> int:
    fraction = _FRACTION.search(text)
    digits = fraction.group(1).rstrip("0") if fraction else ""
    if len(digits) > 9:
        raise ValueError(text)
    if fraction is not None:  # Arrow reads the first six
        text = f"{text[: fraction.start()]}.{digits[:6].ljust(1, '0')}{text[fraction.end() :]}"
    micros = timestamp("us", getattr(kind, "tz", None))
    return whole(_timestamp(text, micros)) * 1000 + int(digits[6:].ljust(3, "0"))


def whole(value: Scalar) -> int:
    """The number that a temporal value is stored as."""
    kind = value.type
    number = value.cast(pa.int32()) if kind.bit_width == 32 else value
    return int(number.cast(pa.int64()).as_py())


def _date(text: str, kind: pa.DataType) -> Scalar:
    """A day, or, where the text has a time of day, the moment (the date then counts as midnight)."""
    try:
        return scalar(text, pa.date32()).cast(kind)
    except pa.ArrowException:
        return _timestamp(text, pa.timestamp("us"))


def _timestamp(text: str, kind: Any) -> Scalar:
    fraction = _FRACTION.search(text)
    digits = len(fraction.group(1).rstrip("0")) if fraction else 0
    if digits > 9:
        raise ValueError(text)
    told = "s" if digits == 0 else "ms" if digits <= 3 else "us" if digits <= 6 else "ns"
    unit = finest([kind.unit, told])
    # an offset only counts behind a time of day: 2026-01-31 ends in what looks like one
    offset = _OFFSET.search(text) if ":" in text or text[-1:] in "zZ" else None
    if offset is None:
        naive = scalar(text, timestamp(unit))
        return in_zone(naive, kind.tz) if kind.tz else naive
    if kind.tz is None:
        raise NotThatType("the column has no time zone: leave the offset out")
    return scalar(text, timestamp(unit, "UTC")).cast(timestamp(unit, kind.tz))


def in_zone(naive: Scalar, zone: str) -> Scalar:
    """A time without a zone as the moment when clocks in `zone` show it (the first one where they show it twice)."""
    moment: Scalar = call("assume_timezone", naive, zone, ambiguous="earliest", nonexistent="earliest")
    return moment
