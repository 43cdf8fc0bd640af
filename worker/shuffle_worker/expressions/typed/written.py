"""Literals as they were written, not of any type yet, and the type in which several expressions meet.

A literal takes the type of what it stands beside: a number that of a decimal or a narrow integer, text that of a date.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce

import pyarrow as pa

from shuffle_worker.columns.arrow import call, finest, scalar, timestamp
from shuffle_worker.columns.kinds import is_number
from shuffle_worker.expressions.typed.coercion import common_number, decimal_of, is_text, whole_digits, widened
from shuffle_worker.expressions.typed.expression import Call, Constant, Expression
from shuffle_worker.expressions.typed.literals import NotThatType, as_time, cast_literal


class Number(Constant):
    """A number as it was written."""

    def __init__(self, value: Decimal) -> None:
        whole = value == value.to_integral_value() and -(2**63) <= value < 2**63
        super().__init__(scalar(int(value), pa.int64()) if whole else scalar(float(value), pa.float64()))
        self.number = value


class Text(Constant):
    """A text literal, which may turn out to be a time."""

    def __init__(self, text: str) -> None:
        super().__init__(scalar(text))
        self.text = text


def is_null(one: Expression) -> bool:
    """NULL itself."""
    return pa.types.is_null(one.type)


def taken_as(one: Expression, kind: pa.DataType) -> Expression:
    """The same value in a type that holds it; a value that turns out not to fit ends the job. Raises NotThatType."""
    types = pa.types
    if one.type == kind and not isinstance(one, Text | Number):
        return one
    if is_null(one):
        return Constant(scalar(None, kind))
    if isinstance(one, Number) and is_number(kind):
        return Constant(cast_literal(one.number, kind))
    if isinstance(one, Text) and types.is_temporal(kind):
        return Constant(call("cast", as_time(one.text, kind), kind))
    if one.type == kind:
        return Constant(one.value) if isinstance(one, Constant) else one
    if is_number(one.type) and is_number(kind):
        return widened(one, kind)
    if (is_text(one.type) and is_text(kind)) or (_is_moment(one.type) and _is_moment(kind)):
        return widened(one, kind)
    raise NotThatType(f"{one.type} is no {kind}")


def common_type(several: Sequence[Expression]) -> pa.DataType:
    """The type in which all of them are taken. Raises NotThatType."""
    firm = [one.type for one in several if not isinstance(one, Number | Text) and not is_null(one)]
    kind = reduce(_meeting, firm) if firm else None
    for one in several:
        if isinstance(one, Number):
            kind = pa.int64() if kind is None and pa.types.is_integer(one.type) else _with_number(kind, one)
        elif isinstance(one, Text):
            kind = pa.string() if kind is None else kind if pa.types.is_temporal(kind) else _meeting(kind, pa.string())
    return kind if kind is not None else pa.null()


def together(several: Sequence[Expression]) -> tuple[pa.DataType, list[Expression]]:
    """Their common type, and each of them in it. Raises NotThatType."""
    kind = common_type(several)
    return kind, [taken_as(one, kind) for one in several]


def _with_number(kind: pa.DataType | None, one: Number) -> pa.DataType:
    if kind is None or pa.types.is_floating(kind):
        return pa.float64() if kind is None else kind
    if not is_number(kind):
        raise NotThatType(f"{one.number} is a number, beside {kind}")
    try:
        cast_literal(one.number, kind)
    except NotThatType:
        if pa.types.is_decimal(kind):
            return common_number(kind, cast_literal(one.number, None).type)
        return _meeting(kind, one.type)
    return kind


def _meeting(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    types = pa.types
    if left == right:
        return left
    if types.is_integer(left) and types.is_integer(right):
        return _whole(left, right)
    if is_number(left) and is_number(right):
        return common_number(left, right)
    if is_text(left) and is_text(right):
        return pa.large_string()
    if _is_moment(left) and _is_moment(right):
        zones = {kind.tz for kind in (left, right) if types.is_timestamp(kind)}
        if len(zones) <= 1:
            units = [kind.unit for kind in (left, right) if types.is_timestamp(kind)]
            return timestamp(finest(units), zones.pop()) if units else pa.date32()
    raise NotThatType(
        f"{left} and {right} are together, and are of no common type; use CAST(... AS ...) on one of them"
    )


def _whole(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both."""
    signed = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
    if pa.types.is_signed_integer(left) == pa.types.is_signed_integer(right):
        return max(left, right, key=lambda kind: kind.bit_width)
    needed = max(kind.bit_width + pa.types.is_unsigned_integer(kind) for kind in (left, right))
    return next((kind for kind in signed if kind.bit_width >= needed), decimal_of(whole_digits(pa.uint64()), 0))


def _is_moment(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def folded(one: Call) -> Expression:
    """A constant, where it is made of constants alone. Raises NotThatType where these have no result."""
    try:
        return one.folded()
    except (pa.ArrowException, ValueError) as error:
        raise NotThatType(f"cannot be worked out: {' '.join(str(error).split())}") from None
