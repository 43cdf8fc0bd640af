"""Comparisons: what stands on both sides brought together, a literal in the type of what it is compared with.

A batch is compared as it is, without casting its columns; a number that the column's type cannot hold decides the
comparison once and for all. Text is taken for a time, or a UUID, where it is compared with one. Raises NotThatType.
"""

from __future__ import annotations

import math
from decimal import Decimal

import pyarrow as pa

from shuffle_worker.columns.arrow import scalar
from shuffle_worker.columns.kinds import is_number
from shuffle_worker.columns.uuids import uuid_scalar
from shuffle_worker.expressions.typed.coercion import comparable, is_text
from shuffle_worker.expressions.typed.expression import FLIPPED, Column, Compare, Constant, Expression, Known
from shuffle_worker.expressions.typed.literals import NotThatType, as_nanos, cast_literal
from shuffle_worker.expressions.typed.moments import are_alike, compared, with_nanos
from shuffle_worker.expressions.typed.written import Number, Text, is_null


class UuidColumn(Column):
    """A column of sixteen bytes that text is compared with as a UUID."""


class Operand:
    """What is compared, with its words in the text."""

    def __init__(self, value: Expression, words: str) -> None:
        self.value = value
        self.words = words


def compare(operator: str, one: Operand, other: Operand) -> Expression:
    left, right = one.value, other.value
    if is_null(left) or is_null(right):
        return Constant(scalar(None, pa.bool_()))
    if isinstance(left, Number | Text) and not isinstance(right, Number | Text):
        one, other, operator = other, one, FLIPPED[operator]
        left, right = right, left
    if isinstance(right, Number) and is_number(left.type) and not isinstance(left, Number):
        return _with_number(operator, left, right)
    if isinstance(right, Text) and pa.types.is_temporal(left.type):
        return _with_time_text(operator, left, right)
    if isinstance(right, Text) and isinstance(left, UuidColumn):
        return _with_uuid_text(operator, left, right)
    if left.type != right.type and are_alike(left.type, right.type):
        times = compared(operator, left, right)
        if times is None:
            raise _mismatch(one, other)
        return times
    found = comparable(left, right)
    if found is None:
        raise _mismatch(one, other)
    return Compare(operator, *found)


def _with_number(operator: str, operand: Expression, number: Number) -> Expression:
    """Where the operand's type does not hold the number exactly, the neighbouring whole number says the same."""
    kind, value = operand.type, number.number
    if pa.types.is_integer(kind):
        if value != value.to_integral_value():
            if operator in ("=", "!="):
                return Known(operator == "!=", operand)
            down = operator in ("<=", ">")
            value = Decimal(math.floor(value) if down else math.ceil(value))
        width = kind.bit_width
        low, high = (
            (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if pa.types.is_signed_integer(kind) else (0, 2**width - 1)
        )
        if not low <= value <= high:
            too_high = value > high
            return Known(operator == "!=" or operator in (("<", "<=") if too_high else (">", ">=")), operand)
        return Compare(operator, operand, Constant(scalar(int(value), kind)))
    if pa.types.is_decimal(kind):
        try:
            return Compare(operator, operand, Constant(cast_literal(value, kind)))
        except NotThatType:
            return Compare(operator, operand, Constant(cast_literal(value, None)))
    return Compare(operator, operand, Constant(cast_literal(value, kind)))


def _with_time_text(operator: str, operand: Expression, text: Text) -> Expression:
    try:
        nanos = as_nanos(text.text, operand.type)
    except NotThatType as error:
        raise NotThatType(f"'{text.text}' is no {operand.type}; {error}") from None
    return with_nanos(operator, operand, nanos)


def _with_uuid_text(operator: str, operand: UuidColumn, text: Text) -> Expression:
    try:
        value = uuid_scalar(text.text, operand.type)
    except ValueError:
        raise NotThatType(f"'{text.text}' is no UUID; write it as 8-4-4-4-12 hexadecimal digits") from None
    return Compare(operator, operand, Constant(value))


def _mismatch(one: Operand, other: Operand) -> NotThatType:
    left, right = one.value.type, other.value.type
    what = f"{one.words} is {left} and {other.words} is {right}, which do not compare"
    return NotThatType(f"{what}; {_cure(left, right, one.words)}")


def _cure(left: pa.DataType, right: pa.DataType, words: str) -> str:
    if is_text(left) and is_number(right):
        return "write the number in single quotes, or CAST(... AS DOUBLE)"
    if is_number(left) and is_text(right):
        return "write the number without quotes"
    if is_text(left) and pa.types.is_temporal(right):
        kind = "DATE" if pa.types.is_date(right) else "TIMESTAMP"
        return f"compare text with text, as in '2026-01-31' alone, or write CAST({words} AS {kind})"
    if pa.types.is_temporal(left) or pa.types.is_temporal(right):
        return "write TIMESTAMP '2026-01-31 12:00:00' or DATE '2026-01-31'"
    if pa.types.is_nested(left) or pa.types.is_nested(right):
        return "a nested column can only be tested with IS NULL; compare a part of it, as in a.b or a[1]"
    return "use CAST(... AS ...) on one of them"
