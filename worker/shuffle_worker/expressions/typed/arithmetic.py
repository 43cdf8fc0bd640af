"""+ - * / %: of numbers, checked; of dates and times with intervals, and with each other. Raises NotThatType.

Whole numbers stay whole, in 64 bits. Decimals stay decimals, with as many digits as the result may have. A fraction
beside a decimal is one, a fraction elsewhere a double. Division is one of doubles, and by zero it is null.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import localcontext

import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.arrow import Array, Values, call, parts, scalar
from shuffle_worker.columns.kinds import is_number
from shuffle_worker.expressions.typed.coercion import common_number, decimal_of, whole_digits, widened
from shuffle_worker.expressions.typed.expression import Call, Constant, Expression
from shuffle_worker.expressions.typed.intervals import Interval, later
from shuffle_worker.expressions.typed.literals import NotThatType, cast_literal
from shuffle_worker.expressions.typed.rows import arrays, each
from shuffle_worker.expressions.typed.written import Number, folded, is_null, taken_as

_CHECKED: dict[str, Callable[..., Values]] = {
    "+": pc.add_checked,
    "-": pc.subtract_checked,
    "*": pc.multiply_checked,
}
MOST_DIGITS = 76


def arithmetic(operator: str, one: Expression, other: Expression, words: tuple[str, str]) -> Expression:
    """words: both sides as they were written."""
    if isinstance(one, Interval) or isinstance(other, Interval):
        return _with_interval(operator, one, other)
    if pa.types.is_date(one.type):
        return _with_date(operator, one, other, words[1])
    one, other = (taken_as(side, pa.int64()) if is_null(side) else side for side in (one, other))
    for side, text in zip((one, other), words, strict=True):
        if not is_number(side.type):
            raise NotThatType(_no_number(side, text))
    one, other = _beside(one, other), _beside(other, one)
    if operator == "/":
        return folded(Call(pa.float64(), divided, one, other))
    if pa.types.is_decimal(one.type) or pa.types.is_decimal(other.type):
        return _decimals(operator, one, other)
    kind = common_number(one.type, other.type)
    kind = pa.int64() if pa.types.is_integer(kind) else kind
    if pa.types.is_decimal(kind):  # of 64 bits without a sign
        return _decimals(operator, one, other)
    function = remainder if operator == "%" else _CHECKED[operator]
    rising = pa.types.is_integer(kind) and (operator == "+" or (operator == "-" and isinstance(other, Constant)))
    return folded(Call(kind, function, widened(one, kind), widened(other, kind), rising=rising))


def _no_number(side: Expression, text: str) -> str:
    said = f"arithmetic needs numbers, {text} is {side.type}"
    if pa.types.is_temporal(side.type):
        return f"{said}; add an INTERVAL, as in {text} + INTERVAL '1 day', or ask for date_diff('second', a, b)"
    return said


def _beside(one: Expression, other: Expression) -> Expression:
    """A number as it was written is a decimal beside one."""
    if isinstance(one, Number) and pa.types.is_decimal(other.type):
        return Constant(cast_literal(one.number, None))
    return one


def _decimals(operator: str, one: Expression, other: Expression) -> Expression:
    """Exact, unless one side is a double."""
    if pa.types.is_floating(one.type) or pa.types.is_floating(other.type):
        double = pa.float64()
        function = remainder if operator == "%" else _CHECKED[operator]
        return folded(Call(double, function, widened(one, double), widened(other, double)))
    (p, s), (q, t) = _digits(one.type), _digits(other.type)
    scale = s + t if operator == "*" else max(s, t)
    digits = p + q + 1 if operator == "*" else max(p - s, q - t) + scale + 1
    if digits > MOST_DIGITS:
        raise NotThatType(
            f"the result may have {digits} digits, and decimals have {MOST_DIGITS}; use CAST(... AS DOUBLE) on one side"
        )
    kind = decimal_of(digits, scale)
    if operator == "%":
        return folded(Call(kind, lambda left, right: _rest(kind, *arrays(left, right)), one, other))
    wide = kind.bit_width > 128
    return folded(Call(kind, _CHECKED[operator], _exact(one, (p, s), wide), _exact(other, (q, t), wide)))


def _exact(side: Expression, digits: tuple[int, int], wide: bool) -> Expression:
    """As a decimal of its own digits: Arrow's arithmetic gives the rest."""
    kind = pa.decimal256(*digits) if wide else pa.decimal128(*digits)
    if side.type == kind:
        return side
    return folded(Call(kind, lambda values: call("cast", values, kind), side))


def _digits(kind: pa.DataType) -> tuple[int, int]:
    return (parts(kind).precision, parts(kind).scale) if pa.types.is_decimal(kind) else (whole_digits(kind), 0)


def divided(left: Values, right: Values) -> Values:
    divisor = _or_null_if_zero(call("cast", right, pa.float64(), safe=False))
    quotient: Values = call("divide", call("cast", left, pa.float64(), safe=False), divisor)
    return quotient


def remainder(left: Values, right: Values) -> Values:
    """With the sign of the left side, as in SQL; null where the right one is zero."""
    divisor = _or_null_if_zero(right)
    whole = call("divide", left, divisor)
    if pa.types.is_floating(right.type):
        whole = call("trunc", whole)
    rest: Values = call("subtract", left, call("multiply", whole, divisor))
    return rest


def _rest(kind: pa.DataType, left: Array, right: Array) -> Array:
    """The remainder of decimals, of which Arrow has none: exact, and null where the right one is zero."""
    with localcontext(prec=2 * MOST_DIGITS):
        return each(kind, lambda one, by: one % by if by else None, _decimal(left), _decimal(right))


def _decimal(side: Array) -> Array:
    found: Array = (
        side if pa.types.is_decimal(side.type) else call("cast", side, decimal_of(whole_digits(side.type), 0))
    )
    return found


def _or_null_if_zero(divisor: Values) -> Values:
    zero = scalar(0, divisor.type)
    usable: Values = call("if_else", call("equal", divisor, zero), scalar(None, divisor.type), divisor)
    return usable


def _with_interval(operator: str, one: Expression, other: Expression) -> Expression:
    if isinstance(one, Interval) and operator == "+":
        one, other = other, one
    if not isinstance(other, Interval) or operator not in "+-":
        raise NotThatType("an interval is added to a date or a timestamp, or taken from one, and nothing else")
    if isinstance(one, Interval):
        raise NotThatType("intervals are not added to each other; write them as one, as in INTERVAL '1 day 2 hours'")
    return folded(later(one, other.length if operator == "+" else -other.length))


def _with_date(operator: str, one: Expression, other: Expression, words: str) -> Expression:
    """date - date is a number of days; date + 7 is a week later."""
    day = widened(one, pa.date32())
    if operator == "-" and pa.types.is_date(other.type):
        return folded(Call(pa.int64(), _days_between, day, widened(other, pa.date32())))
    if operator in "+-" and pa.types.is_integer(other.type):
        function = _CHECKED[operator]
        moved = Call(
            pa.date32(),
            lambda days, by: call("cast", call("cast", function(_days(days), by), pa.int32()), pa.date32()),
            day,
            widened(other, pa.int64()),
            rising=operator == "+" or isinstance(other, Constant),
        )
        return folded(moved)
    raise NotThatType(
        f"a date takes + and - of an interval, of a number of days and of a date, not {operator} of {other.type} "
        f"({words})"
    )


def _days(days: Values) -> Values:
    return call("cast", call("cast", days, pa.int32()), pa.int64())  # type: ignore[no-any-return]


def _days_between(late: Values, early: Values) -> Values:
    return call("subtract", _days(late), _days(early))  # type: ignore[no-any-return]
