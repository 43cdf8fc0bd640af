"""Times compared by value, whatever their units: dates, timestamps, times of day, durations.

Arrow compares times of two units by casting the coarser to the finer one, which does not hold as much: 9999-12-31 is
beyond all nanoseconds. Here the finer side is divided instead, and a constant becomes the neighbouring whole number of
the column's own unit, or decides the comparison once and for all where that unit does not reach so far. Pure.
"""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrow import NANOS, Scalar, Values, call, scalar
from shuffle_worker.expressions.typed.expression import COMPARE, FLIPPED, Call, Compare, Constant, Expression, Known
from shuffle_worker.expressions.typed.literals import in_zone, whole

DAY = 86_400 * NANOS["s"]


def nanos_of(kind: pa.DataType) -> int:
    """The nanoseconds of one unit of a temporal type; 0 for types that are none, or intervals."""
    types = pa.types
    if types.is_date32(kind):
        return DAY
    if types.is_date64(kind):
        return NANOS["ms"]
    if types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind):
        return NANOS[kind.unit]
    return 0


def are_alike(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether values of both are times of one kind (dates are moments, at midnight)."""
    types = pa.types
    return any(test(left) and test(right) for test in (_is_moment, types.is_time, types.is_duration))


def compared(operator: str, left: Expression, right: Expression) -> Expression | None:
    """A comparison of times of two types, None where they have no common meaning: one has a time zone, the other has
    none, and neither is a constant."""
    left, right = _in_one_zone(left, right), _in_one_zone(right, left)
    zones = [kind.tz for kind in (left.type, right.type) if pa.types.is_timestamp(kind)]
    if len(zones) == 2 and (zones[0] is None) != (zones[1] is None):
        return None
    if isinstance(right, Constant):
        return with_constant(operator, left, right.value)
    if isinstance(left, Constant):
        return with_constant(FLIPPED[operator], right, left.value)
    fine, coarse = nanos_of(left.type), nanos_of(right.type)
    if fine > coarse:
        return compared(FLIPPED[operator], right, left)
    times = coarse // fine
    return Call(pa.bool_(), lambda mine, theirs: _divided(operator, mine, theirs, times), left, right)


def with_constant(operator: str, operand: Expression, value: Scalar) -> Expression:
    """value: of any temporal type."""
    if not value.is_valid:
        return Constant(scalar(None, pa.bool_()))
    return with_nanos(operator, operand, whole(value) * nanos_of(value.type))


def with_nanos(operator: str, operand: Expression, nanos: int) -> Expression:
    """nanos: since the epoch, or midnight; any number."""
    kind = operand.type
    value, rest = divmod(nanos, nanos_of(kind))
    if rest:
        if operator in ("=", "!="):
            return Known(operator == "!=", operand)
        value += operator in ("<", ">=")  # below 5.3 is below 6
    bits = kind.bit_width - 1
    if not -(1 << bits) <= value < 1 << bits:
        return Known(operator == "!=" or operator in (("<", "<=") if value > 0 else (">", ">=")), operand)
    stored = scalar(value, pa.int32() if kind.bit_width == 32 else pa.int64())
    return Compare(operator, operand, Constant(stored.cast(kind)))


def _divided(operator: str, fine: Values, coarse: Values, times: int) -> Values:
    """fine, coarse: columns of two units, one of which is `times` the other."""
    mine, theirs = _numbers(fine), _numbers(coarse)
    below = call("divide", mine, scalar(times, pa.int64()))  # towards zero
    rest = call("subtract", mine, call("multiply", below, scalar(times, pa.int64())))
    zero = scalar(0, pa.int64())
    below = call("subtract", below, call("cast", call("less", rest, zero), pa.int64()))
    exact = call("equal", rest, zero)
    if operator in ("=", "!="):
        same = _of("and_", call("equal", below, theirs), exact)
        return same if operator == "=" else _of("invert", same)
    if operator in ("<", ">="):  # less than theirs: its whole part is, because the rest is less than one unit
        return _of(COMPARE[operator], below, theirs)
    above = call("add", below, call("cast", call("invert", exact), pa.int64()))
    return _of(COMPARE[operator], above, theirs)


def _of(function: str, *arguments: Values) -> Values:
    found: Values = call(function, *arguments)
    return found


def _numbers(values: Values) -> Values:
    if values.type.bit_width == 32:
        values = call("cast", values, pa.int32())
    found: Values = call("cast", values, pa.int64())
    return found


def _in_one_zone(one: Expression, other: Expression) -> Expression:
    """A constant without a zone, compared with a zoned timestamp, is in its zone."""
    zoned = pa.types.is_timestamp(other.type) and other.type.tz
    if isinstance(one, Constant) and pa.types.is_timestamp(one.type) and one.type.tz is None and zoned:
        return Constant(in_zone(one.value, zoned))
    return one


def _is_moment(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)
