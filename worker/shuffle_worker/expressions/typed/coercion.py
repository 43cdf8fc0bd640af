"""In which type two sides of a comparison or of arithmetic meet, and what the operators do with values. Pure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from shuffle_worker.columns.kinds import is_number
from shuffle_worker.expressions.typed.expression import Call, Constant, Expression


def comparable(left: Expression, right: Expression) -> tuple[Expression, Expression] | None:
    """Both sides in a type in which they compare, or None. Times of two types: `moments.py`."""
    kinds = left.type, right.type
    if kinds[0] == kinds[1]:
        return None if pa.types.is_nested(kinds[0]) else (left, right)
    if is_number(kinds[0]) and is_number(kinds[1]):
        common = common_number(*kinds)
        return widened(left, common), widened(right, common)
    if is_text(kinds[0]) and is_text(kinds[1]):
        common = pa.large_string() if pa.large_string() in kinds else pa.string()
        return widened(left, common), widened(right, common)
    return None


def comparing_type(kind: pa.DataType) -> pa.DataType:
    """The type in which a column is compared and counted with: Arrow does neither with 16-bit floats, nor with decimals
    of negative scale, nor all of it with decimals below 128 bits."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal(kind) and (kind.scale < 0 or kind.bit_width < 128):
        digits, scale = kind.precision - min(kind.scale, 0), max(kind.scale, 0)
        if digits <= 38 and kind.bit_width < 256:
            return pa.decimal128(digits, scale)
        if digits <= 76:
            return pa.decimal256(digits, scale)
    return kind


def common_number(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    types = pa.types
    if left == right:
        return left
    if types.is_floating(left) or types.is_floating(right):
        return pa.float64()
    if types.is_decimal(left) or types.is_decimal(right) or pa.uint64() in (left, right):
        digits = [
            (kind.precision - kind.scale, kind.scale) if types.is_decimal(kind) else (20, 0) for kind in (left, right)
        ]
        scale = max(digits[0][1], digits[1][1])
        return decimal_of(max(digits[0][0], digits[1][0]) + scale, scale)
    return pa.int64()


def whole_digits(kind: pa.DataType) -> int:
    """The most decimal digits of an integer type."""
    return len(str(1 << (kind.bit_width - pa.types.is_signed_integer(kind))))


def decimal_of(precision: int, scale: int) -> pa.DataType:
    """The narrower of Arrow's two usual decimals that has so many digits, 76 of them at most."""
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(min(precision, 76), scale)


def widened(side: Expression, kind: pa.DataType) -> Expression:
    if side.type == kind:
        return side
    if isinstance(side, Constant):
        return Constant(side.value.cast(kind))
    exact = not pa.types.is_floating(kind)
    rising = not pa.types.is_floating(side.type) or pa.types.is_floating(kind)
    return Call(kind, lambda values: pc.cast(values, kind, safe=exact), side, rising=rising)


def wide_decimal(scale: int) -> pa.DataType:
    """A decimal that every whole number fits in; Arrow makes decimals of whole numbers only by way of one."""
    return decimal_of(20 + scale, scale)


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
