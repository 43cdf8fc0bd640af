"""CAST and TRY_CAST: which types become which, and what a value that does not fit does. Raises NotThatType.

Nothing is rounded and nothing wraps: a value that the type does not hold ends the job, or with TRY_CAST is null.
"""

from __future__ import annotations

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, Scalar, Values, call, nulls, parts, scalar
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
    """Distinct values, without those that show at once that they do not fit, and then by halves, so that a few others
    cost little: an error takes as long as a thousand values."""
    encoded = call("dictionary_encode", values)
    distinct = encoded.dictionary
    likely = _likely(distinct, kind)
    if likely is not None:
        distinct = call("if_else", likely, distinct, scalar(None, distinct.type))
    found: Array = _halves(distinct, kind).take(encoded.indices)
    return found


def _likely(values: Array, kind: pa.DataType) -> Values | None:
    """Whether each value may fit; None where nothing is known."""
    types = pa.types
    if is_text(values.type):
        pattern = next((form for test, form in _FORMS if test(kind)), None)
        return call("match_substring_regex", values, pattern=pattern) if pattern else None
    if types.is_integer(kind) and (types.is_floating(values.type) or types.is_decimal(values.type)):
        whole = call("equal", call("trunc", values), values)
        return call("fill_null", whole, scalar(False, pa.bool_()))  # type: ignore[no-any-return]
    return None


_FORMS = (
    (pa.types.is_integer, r"^\s*[+-]?[0-9]{1,20}\s*$"),
    (is_number, r"(?i)^\s*[+-]?([0-9.]+(e[+-]?[0-9]+)?|nan|inf|infinity)\s*$"),
    (pa.types.is_boolean, r"(?i)^(true|false|0|1|t|f|y|n|yes|no)$"),
    (pa.types.is_date, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    (pa.types.is_timestamp, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    (pa.types.is_time, r"^[0-9]{2}:[0-9]{2}"),
)
"""What text looks like at the least that is cast to a type."""


def _halves(values: Array, kind: pa.DataType) -> Array:
    try:
        return _cast(values, kind)  # type: ignore[return-value]
    except (pa.ArrowException, ValueError):
        if len(values) <= 1:
            return nulls(len(values), kind)
    middle = len(values) // 2
    return pa.concat_arrays([_halves(values.slice(0, middle), kind), _halves(values.slice(middle), kind)])
