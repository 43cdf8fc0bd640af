"""Typed expressions over record batches: what a filter is compiled to.

Every node knows its type, gives its values for a batch (`values`: an array, or a scalar where it is constant), and what
truth values it can have in a row group of which only statistics are known (`outcomes`). Three-valued as SQL is: a
comparison with null is null, and AND, OR, NOT follow Kleene.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, Scalar, Values, call, repeated, scalar
from shuffle_worker.expressions.statistics import ColumnRange, Comparable, comparable

Ranges = Mapping[str, ColumnRange]


def _of(function: str, *arguments: Values) -> Values:
    found: Values = call(function, *arguments)
    return found


class Outcomes(NamedTuple):
    """Which truth values a predicate may have for some row of a row group. Too many are allowed, too few never."""

    true: bool = True
    false: bool = True
    null: bool = True


ANY = Outcomes()


class Expression(Protocol):
    @property
    def type(self) -> pa.DataType: ...

    def values(self, batch: pa.RecordBatch) -> Values: ...

    def outcomes(self, ranges: Ranges) -> Outcomes: ...


class Column:
    def __init__(self, name: str, kind: pa.DataType) -> None:
        self.name = name
        self.type = kind

    def values(self, batch: pa.RecordBatch) -> Values:
        return batch.column(self.name)

    def outcomes(self, ranges: Ranges) -> Outcomes:
        """Of a boolean column used as a predicate."""
        return Compare("=", self, Constant(scalar(True, pa.bool_()))).outcomes(ranges)


class Constant:
    def __init__(self, value: Scalar) -> None:
        self.value = value
        self.type: pa.DataType = value.type

    def values(self, batch: pa.RecordBatch) -> Values:  # noqa: ARG002
        return self.value

    def outcomes(self, ranges: Ranges) -> Outcomes:  # noqa: ARG002
        if not self.value.is_valid:
            return Outcomes(False, False, True)
        return Outcomes(bool(self.value.as_py()), not self.value.as_py(), False)


class Call:
    """A value worked out from others: arithmetic, casts, functions of text."""

    def __init__(self, kind: pa.DataType, function: Callable[..., Values], *arguments: Expression) -> None:
        self.type = kind
        self._function = function
        self._arguments = arguments

    def values(self, batch: pa.RecordBatch) -> Values:
        return self._function(*(argument.values(batch) for argument in self._arguments))

    def outcomes(self, ranges: Ranges) -> Outcomes:  # noqa: ARG002
        return ANY


COMPARE: dict[str, str] = {
    "=": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Compare:
    """Two values of types that Arrow compares as they are."""

    type = pa.bool_()

    def __init__(self, operator: str, left: Expression, right: Expression) -> None:
        self._operator = operator
        self._left = left
        self._right = right

    def values(self, batch: pa.RecordBatch) -> Values:
        return _of(COMPARE[self._operator], self._left.values(batch), self._right.values(batch))

    @property
    def constant(self) -> Scalar | None:
        """What a value is compared with, where it is a constant of the very same type."""
        if isinstance(self._right, Constant) and self._left.type == self._right.type:
            return self._right.value
        return None

    def outcomes(self, ranges: Ranges) -> Outcomes:
        if isinstance(self._left, Constant) and isinstance(self._right, Column):
            return _range_outcomes(FLIPPED[self._operator], self._right, self._left.value, ranges)
        if isinstance(self._left, Column) and isinstance(self._right, Constant):
            return _range_outcomes(self._operator, self._left, self._right.value, ranges)
        return ANY


class Known:
    """True or false, whatever the value is; null where it is null (a comparison that the type alone decides)."""

    type = pa.bool_()

    def __init__(self, answer: bool, operand: Expression) -> None:
        self._answer = answer
        self._operand = operand

    def values(self, batch: pa.RecordBatch) -> Values:
        valid = _of("is_valid", self._operand.values(batch))
        return _of("if_else", valid, scalar(self._answer, pa.bool_()), scalar(None, pa.bool_()))

    def outcomes(self, ranges: Ranges) -> Outcomes:  # noqa: ARG002
        return Outcomes(self._answer, not self._answer, True)


class And:
    type = pa.bool_()

    def __init__(self, left: Expression, right: Expression) -> None:
        self._left = left
        self._right = right

    def values(self, batch: pa.RecordBatch) -> Values:
        return _of("and_kleene", self._left.values(batch), self._right.values(batch))

    def outcomes(self, ranges: Ranges) -> Outcomes:
        left, right = self._left.outcomes(ranges), self._right.outcomes(ranges)
        null = (left.null and (right.true or right.null)) or (right.null and left.true)
        return Outcomes(left.true and right.true, left.false or right.false, null)


class Or:
    type = pa.bool_()

    def __init__(self, left: Expression, right: Expression) -> None:
        self._left = left
        self._right = right

    def values(self, batch: pa.RecordBatch) -> Values:
        return _of("or_kleene", self._left.values(batch), self._right.values(batch))

    def outcomes(self, ranges: Ranges) -> Outcomes:
        left, right = self._left.outcomes(ranges), self._right.outcomes(ranges)
        null = (left.null and (right.false or right.null)) or (right.null and left.false)
        return Outcomes(left.true or right.true, left.false and right.false, null)


class Not:
    type = pa.bool_()

    def __init__(self, operand: Expression) -> None:
        self._operand = operand

    def values(self, batch: pa.RecordBatch) -> Values:
        return _of("invert", self._operand.values(batch))

    def outcomes(self, ranges: Ranges) -> Outcomes:
        inner = self._operand.outcomes(ranges)
        return Outcomes(inner.false, inner.true, inner.null)


class IsNull:
    type = pa.bool_()

    def __init__(self, operand: Expression) -> None:
        self._operand = operand

    def values(self, batch: pa.RecordBatch) -> Values:
        return _of("is_null", self._operand.values(batch))

    def outcomes(self, ranges: Ranges) -> Outcomes:
        if isinstance(self._operand, Column):
            known = ranges.get(self._operand.name)
            if known is not None and known.nulls >= 0:
                return Outcomes(known.nulls > 0, known.nulls < known.rows, False)
        return Outcomes(True, True, False)


class IsIn:
    """One of several constants of the operand's own type. with_null: the list holds a null, so what is not found is
    unknown."""

    type = pa.bool_()

    def __init__(self, operand: Expression, options: Sequence[Scalar], with_null: bool) -> None:
        self._operand = operand
        self._options = list(options)
        self._set: Array = pa.concat_arrays([repeated(option, 1) for option in options])
        self._with_null = with_null

    def values(self, batch: pa.RecordBatch) -> Values:
        values = self._operand.values(batch)
        found: Values = call("is_in", values, value_set=self._set)
        unknown = scalar(None, pa.bool_())
        if self._with_null:
            return _of("if_else", found, found, unknown)
        return _of("if_else", _of("is_valid", values), found, unknown)

    def outcomes(self, ranges: Ranges) -> Outcomes:
        if not isinstance(self._operand, Column):
            return ANY
        true = any(_range_outcomes("=", self._operand, option, ranges).true for option in self._options)
        return Outcomes(true, True, True)


def _range_outcomes(operator: str, column: Column, value: Scalar, ranges: Ranges) -> Outcomes:
    """What a comparison of a column with a constant can give, from the column's range."""
    known = ranges.get(column.name)
    if not value.is_valid:
        return Outcomes(False, False, True)
    if known is None:
        return ANY
    null = known.nulls != 0
    if known.nulls == known.rows:
        return Outcomes(False, False, True)
    low, high, one = known.low, known.high, comparable(value)
    if low is None or high is None or one is None or not _alike(low, one):
        return Outcomes(True, True, null)
    true, false = _interval(operator, low, high, one)
    if pa.types.is_floating(column.type):  # there may be NaN, which statistics leave out and no comparison holds for
        true, false = (True, false) if operator == "!=" else (true, True)
    return Outcomes(true, false, null)


def _alike(left: Comparable, right: Comparable) -> bool:
    return isinstance(left, str) == isinstance(right, str)


def _interval(operator: str, low: Comparable, high: Comparable, one: Comparable) -> tuple[bool, bool]:
    """(can hold, can fail) for some value between low and high, which are of one kind with `one`."""
    below = low < one  # type: ignore[operator]
    above = high > one  # type: ignore[operator]
    among = low <= one <= high  # type: ignore[operator]
    match operator:
        case "=":
            return among, below or above
        case "!=":
            return below or above, among
        case "<":
            return below, not high < one  # type: ignore[operator]
        case "<=":
            return below or among, above
        case ">":
            return above, not low > one  # type: ignore[operator]
        case _:
            return above or among, below


__all__ = [
    "ANY",
    "COMPARE",
    "FLIPPED",
    "And",
    "Call",
    "Column",
    "Compare",
    "Constant",
    "Expression",
    "IsIn",
    "IsNull",
    "Known",
    "Not",
    "Or",
    "Outcomes",
]
