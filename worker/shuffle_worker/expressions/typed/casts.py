"""CAST and TRY_CAST: which types become which, and what a value that does not fit does. Raises NotThatType.

Nothing is rounded and nothing wraps: a value that the type does not hold ends the job, or with TRY_CAST is null.
"""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, Scalar, Values, call, nulls, parts
from shuffle_worker.columns.kinds import is_number
from shuffle_worker.expressions.typed.clock import is_even, zone_of
from shuffle_worker.expressions.typed.coercion import is_text, wide_decimal
from shuffle_worker.expressions.typed.expression import Call, Constant, Expression
from shuffle_worker.expressions.typed.literals import NotThatType, as_time, cast_literal
from shuffle_worker.expressions.typed.rows import arrays
from shuffle_worker.expressions.typed.written import Number, Text, folded, is_null


def cast(operand: Expression, kind: pa.DataType, called: str) -> Expression:
    """called: the type as it was written."""
    if is_null(operand):
        return Constant(parts(nulls(1, kind))[0])
    if isinstance(operand, Text):
        try:
            return Constant(as_time(operand.text, kind) if pa.types.is_temporal(kind) else _literal(operand, kind))
        except (NotThatType, pa.ArrowException, ValueError):
            raise NotThatType(f"'{operand.text}' is no {called}") from None
    if isinstance(operand, Number) and is_number(kind):
        try:
            return Constant(cast_literal(operand.number, kind))
        except NotThatType:
            raise NotThatType(f"{operand.number} is no {called}") from None
    _check(operand.type, kind, called)
    return folded(Call(kind, lambda values: _cast(values, kind), operand, rising=_rises(operand.type, kind)))


def _literal(operand: Text, kind: pa.DataType) -> Scalar:
    return _cast(operand.value, kind)  # type: ignore[return-value]


def try_cast(operand: Expression, kind: pa.DataType, called: str) -> Expression:
    """The same, null where it is not possible."""
    if isinstance(operand, Text | Number):
        try:
            return cast(operand, kind, called)
        except NotThatType:
            return Constant(parts(nulls(1, kind))[0])
    if is_null(operand):
        return cast(operand, kind, called)
    _check(operand.type, kind, called)
    return folded(Call(kind, lambda values: _tried(arrays(values)[0], kind), operand))


def _check(given: pa.DataType, kind: pa.DataType, called: str) -> None:
    try:
        _cast(nulls(0, given), kind)
    except (pa.ArrowException, ValueError):
        raise NotThatType(f"{given} cannot be made a {called}") from None


def _rises(given: pa.DataType, kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_timestamp(given) and types.is_date(kind):
        return is_even(given)
    return types.is_integer(given) and (types.is_integer(kind) or types.is_floating(kind))


def _cast(values: Values, kind: pa.DataType) -> Values:
    if pa.types.is_decimal(kind) and pa.types.is_integer(values.type):
        values = call("cast", values, wide_decimal(parts(kind).scale))
    if zone_of(values.type) and _is_without_zone(kind):
        values = call("local_timestamp", values)
    if pa.types.is_date(kind) and pa.types.is_timestamp(values.type):
        values = call("floor_temporal", values, unit="day")
    if is_text(values.type) and is_number(kind):
        values = call("utf8_trim_whitespace", values)
    found: Values = call("cast", values, kind)
    return found


def _is_without_zone(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and zone_of(kind) is None)


def _tried(values: Array, kind: pa.DataType) -> Array:
    """Distinct values by halves, so that a few bad ones cost little."""
    encoded = call("dictionary_encode", values)
    distinct = _halves(encoded.dictionary, kind)
    found: Array = distinct.take(encoded.indices)
    return found


def _halves(values: Array, kind: pa.DataType) -> Array:
    try:
        return _cast(values, kind)  # type: ignore[return-value]
    except (pa.ArrowException, ValueError):
        if len(values) <= 1:
            return nulls(len(values), kind)
    middle = len(values) // 2
    return pa.concat_arrays([_halves(values.slice(0, middle), kind), _halves(values.slice(middle), kind)])
