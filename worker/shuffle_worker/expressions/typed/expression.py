"""Typed expressions over record batches: what the text of a filter or of a computed column is compiled to.

Every node knows its type, gives its values for a batch (`values`: an array, or a scalar where it is constant), and what
is known of it in a row group of which only statistics are known: between which values its own lie (`range`), and which
truth values it can have (`outcomes`). Three-valued as SQL is: a comparison with null is null, and AND, OR, NOT follow
Kleene.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from shuffle_worker.columns.arrow import Array, Scalar, Values, call, parts, repeated, scalar
from shuffle_worker.expressions.typed.statistics import ColumnRange, Comparable, comparable, stored

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

    def range(self, ranges: Ranges) -> ColumnRange | None:
        """None: nothing is known."""
        ...

    def outcomes(self, ranges: Ranges) -> Outcomes: ...


class _Unknown:
    """What most nodes know of a row group: nothing."""

    def range(self, ranges: Ranges) -> ColumnRange | None:  # noqa: ARG002
        return None

    def outcomes(self, ranges: Ranges) -> Outcomes:  # noqa: ARG002
        return ANY


class Column(_Unknown):
    def __init__(self, name: str, kind: pa.DataType) -> None:
        self.name = name
        self.type = kind

    def range(self, ranges: Ranges) -> ColumnRange | None:
        return ranges.get(self.name)

    def values(self, batch: pa.RecordBatch) -> Values:
        return batch.column(self.name)

    def outcomes(self, ranges: Ranges) -> Outcomes:
        """Of a boolean column used as a predicate."""
        return Compare("=", self, Constant(scalar(True, pa.bool_()))).outcomes(ranges)


class Constant(_Unknown):
    def __init__(self, value: Scalar) -> None:
        self.value = value
        self.type: pa.DataType = value.type

    def values(self, batch: pa.RecordBatch) -> Values:  # noqa: ARG002
        return self.value

    def outcomes(self, ranges: Ranges) -> Outcomes:  # noqa: ARG002
        if not self.value.is_valid:
            return Outcomes(False, False, True)
        return Outcomes(bool(self.value.as_py()), not self.value.as_py(), False)


class Call(_Unknown):
    """A value worked out from others: arithmetic, casts, functions. rising: a larger value of the one argument that is
    not constant never gives a smaller one, and only a null gives null."""

    def __init__(
        self, kind: pa.DataType, function: Callable[..., Values], *arguments: Expression, rising: bool = False
    ) -> None:
        self.type = kind
        self._function = function
        self._arguments = arguments
        self._rising = rising

    def values(self, batch: pa.RecordBatch) -> Values:
        return self._of(*(argument.values(batch) for argument in self._arguments))

    def _of(self, *values: Values) -> Values:
        found = self._function(*values)
        return found if found.type == self.type else call("cast", found, self.type)

    def folded(self) -> Expression:
        """A constant, where all arguments are. Raises what the function does."""
        if not all(isinstance(argument, Constant) for argument in self._arguments):
            return self
        found = self._of(*(repeated(one.value, 1) for one in self._arguments if isinstance(one, Constant)))
        return Constant(parts(found)[0])

    def range(self, ranges: Ranges) -> ColumnRange | None:
        moving = [argument for argument in self._arguments if not isinstance(argument, Constant)]
        known = moving[0].range(ranges) if self._rising and len(moving) == 1 else None
        if known is None:
            return None
        low, high = (self._at(moving[0], end, up) for end, up in ((known.low, False), (known.high, True)))
        return ColumnRange(low, high, known.nulls, known.rows)

    def _at(self, moving: Expression, end: Comparable | None, up: bool) -> Comparable | None:
        """The value at one end of the argument's range; None where it cannot be said."""
        one = None if end is None else stored(end, moving.type, up)
        if one is None:
            return None
        mine = [argument.value if isinstance(argument, Constant) else one for argument in self._arguments]
        try:
            return comparable(parts(self._of(*(repeated(value, 1) for value in mine)))[0])
        except (pa.ArrowException, ValueError):
            return None


class Choice(_Unknown):
    """One value where a condition is true, another where it is false or null. Only the rows that have a value count:
    of the other one, what it fails for is no error."""

    def __init__(self, kind: pa.DataType, condition: Expression, result: Expression, other: Expression) -> None:
        self.type = kind
        self._condition = condition
        self._result = result
        self._other = other

    def values(self, batch: pa.RecordBatch) -> Values:
        chosen = _of("fill_null", self._condition.values(batch), scalar(False, pa.bool_()))
        if isinstance(chosen, pa.Scalar):
            return (self._result if chosen.as_py() else self._other).values(batch)
        try:
            return _of("if_else", chosen, self._result.values(batch), self._other.values(batch))
        except (pa.ArrowException, ValueError):
            return self._apart(chosen, batch)

    def _apart(self, chosen: Any, batch: pa.RecordBatch) -> Values:
        """Each of both of its own rows, which costs copies: where one fails for a row of the other's."""
        others: Any = _of("invert", chosen)
        sides = [(self._result, chosen), (self._other, others)]
        found = [_whole(side.values(batch.filter(rows)), batch.filter(rows).num_rows) for side, rows in sides]
        return _of("replace_with_mask", _spread(found[1], others, self.type), chosen, found[0])


def _whole(values: Values, count: int) -> Array:
    return repeated(values, count) if isinstance(values, pa.Scalar) else values


def _spread(values: Array, rows: Values, kind: pa.DataType) -> Array:
    """Values in the rows that they are of, null in the others."""
    return call("replace_with_mask", repeated(scalar(None, kind), len(parts(rows))), rows, values)  # type: ignore[no-any-return]


COMPARE: dict[str, str] = {
    "=": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Compare(_Unknown):
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
        if isinstance(self._left, Constant):
            return _range_outcomes(FLIPPED[self._operator], self._right, self._left.value, ranges)
        if isinstance(self._right, Constant):
            return _range_outcomes(self._operator, self._left, self._right.value, ranges)
        return ANY


class Known(_Unknown):
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


class And(_Unknown):
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


class Or(_Unknown):
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


class Not(_Unknown):
    type = pa.bool_()

    def __init__(self, operand: Expression) -> None:
        self._operand = operand

    def values(self, batch: pa.RecordBatch) -> Values:
        return _of("invert", self._operand.values(batch))

    def outcomes(self, ranges: Ranges) -> Outcomes:
        inner = self._operand.outcomes(ranges)
        return Outcomes(inner.false, inner.true, inner.null)


class IsNull(_Unknown):
    type = pa.bool_()

    def __init__(self, operand: Expression) -> None:
        self._operand = operand

    def values(self, batch: pa.RecordBatch) -> Values:
        return _of("is_null", self._operand.values(batch))

    def outcomes(self, ranges: Ranges) -> Outcomes:
        known = self._operand.range(ranges)
        if known is not None and known.nulls >= 0:
            return Outcomes(known.nulls > 0, known.nulls < known.rows, False)
        return Outcomes(True, True, False)


class IsIn(_Unknown):
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
        true = any(_range_outcomes("=", self._operand, option, ranges).true for option in self._options)
        return Outcomes(true, True, True)


def _range_outcomes(operator: str, one: Expression, value: Scalar, ranges: Ranges) -> Outcomes:
    """What a comparison with a constant can give, from the range of what is compared."""
    known = one.range(ranges)
    if not value.is_valid:
        return Outcomes(False, False, True)
    if known is None:
        return ANY
    null = known.nulls != 0
    if known.nulls == known.rows:
        return Outcomes(False, False, True)
    low, high, bound = known.low, known.high, comparable(value)
    if low is None or high is None or bound is None or not _alike(low, bound):
        return Outcomes(True, True, null)
    true, false = _interval(operator, low, high, bound)
    if pa.types.is_floating(one.type):  # there may be NaN, which statistics leave out and no comparison holds for
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
    "Choice",
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
