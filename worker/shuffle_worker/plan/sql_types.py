"""From a syntax tree to a typed expression: which column, which literal, which common type, or why it cannot be.

Literals take the type of what they are compared with, so a batch is compared as it is, without casting its columns,
and a number that the column's type cannot hold decides the comparison once and for all. Text is taken for a time where
it is compared with one. A time without an offset, compared with a zoned column, is in the column's zone. Division gives
a float, and by zero, null.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from shuffle_worker.errors import InvalidSpec
from shuffle_worker.plan import sql
from shuffle_worker.plan.arrow import Scalar, Values, call, scalar, timestamp
from shuffle_worker.plan.expression import (
    FLIPPED,
    And,
    Call,
    Column,
    Compare,
    Constant,
    Expression,
    IsIn,
    IsNull,
    Known,
    Not,
    Or,
)
from shuffle_worker.plan.inputs import check_column
from shuffle_worker.plan.literals import NotThatType, as_time, cast_literal, in_zone

_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}

_CASTS: dict[str, pa.DataType] = {
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "TEXT": pa.string(),
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPNTZ": pa.timestamp("us"),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "TIME": pa.time64("us"),
}


class Number(Constant):
    """A number as it was written, not of any type yet."""

    def __init__(self, value: Decimal) -> None:
        whole = value == value.to_integral_value() and -(2**63) <= value < 2**63
        super().__init__(scalar(int(value), pa.int64()) if whole else scalar(float(value), pa.float64()))
        self.number = value


class Text(Constant):
    """A text literal, which may turn out to be a time."""

    def __init__(self, text: str) -> None:
        super().__init__(scalar(text))
        self.text = text


class Typer:
    """Turns one tree into an expression; `columns` are those it met."""

    def __init__(self, text: str, schema: pa.Schema) -> None:
        self._text = text
        self._schema = schema
        self.columns: list[str] = []

    def typed(self, node: exp.Expression) -> Expression:
        if node.args.get("negate"):  # `x NOT LIKE y` keeps its NOT inside
            plain = node.copy()
            plain.set("negate", None)
            return Not(self.typed(plain))
        comparison = _COMPARISONS.get(type(node))
        if comparison is not None:
            return self._compare(comparison, self.typed(node.this), self.typed(node.expression), node)
        match node:
            case exp.Paren():
                return self.typed(node.this)
            case exp.And():
                return And(self._condition(node.this), self._condition(node.expression))
            case exp.Or():
                return Or(self._condition(node.this), self._condition(node.expression))
            case exp.Not():
                return Not(self._condition(node.this))
            case exp.Column():
                return self._column(node)
            case exp.Literal():
                return Text(node.name) if node.is_string else Number(self._decimal(node))
            case exp.Boolean():
                return Constant(scalar(bool(node.this), pa.bool_()))
            case exp.Null():
                return Constant(scalar(None, pa.null()))
            case exp.Neg():
                return self._negated(node)
            case exp.Is():
                return self._is(node)
            case exp.Between():
                operand = self.typed(node.this)
                low = self._compare(">=", operand, self.typed(node.args["low"]), node)
                return And(low, self._compare("<=", operand, self.typed(node.args["high"]), node))
            case exp.In():
                return self._in(node)
            case exp.Like() | exp.ILike():
                return self._like(node)
            case exp.Add() | exp.Sub() | exp.Mul() | exp.Div() | exp.Mod():
                return self._arithmetic(node)
            case exp.Upper() | exp.Lower() | exp.Length() | exp.Abs():
                return self._function(node)
            case exp.Cast():
                return self._cast(node)
        name = node.name if isinstance(node, exp.Anonymous) else type(node).__name__.upper()
        raise self._wrong(
            f"{name} is not supported; there are = != < <= > >= AND OR NOT IN BETWEEN IS NULL LIKE ILIKE + - * / % "
            "CAST UPPER LOWER LENGTH ABS",
            node,
        )

    def _wrong(self, what: str, node: exp.Expression) -> InvalidSpec:
        return sql.wrong(self._text, what, sql.position(node))

    def _column(self, node: exp.Column) -> Expression:
        table = node.args.get("table")
        if table is not None:
            dotted = f"{table.name}.{node.name}"
            hint = (
                f'write "{dotted}" in double quotes for the column of that name'
                if dotted in self._schema.names
                else (f"{table.name} has no parts that a filter can look into; name a column of the input")
            )
            raise self._wrong(f"{dotted}: {hint}", node)
        check_column(node.name, self._schema.names, sql.WHERE)
        if node.name not in self.columns:
            self.columns.append(node.name)
        return Column(node.name, self._schema.field(node.name).type)

    def _decimal(self, node: exp.Expression) -> Decimal:
        try:
            return Decimal(node.name)
        except InvalidOperation:
            raise self._wrong(f"{node.name} is not a number", node) from None

    def _condition(self, node: exp.Expression) -> Expression:
        found = self.typed(node)
        if pa.types.is_null(found.type):
            return Constant(scalar(None, pa.bool_()))
        if not pa.types.is_boolean(found.type):
            raise self._wrong(
                f"{node.sql()} is {found.type}, not a condition; compare it, as in {node.sql()} = ...", node
            )
        return found

    def _negated(self, node: exp.Neg) -> Expression:
        inner = self.typed(node.this)
        if isinstance(inner, Number):
            return Number(-inner.number)
        if not _is_number(inner.type):
            raise self._wrong(f"- needs a number, {node.this.sql()} is {inner.type}", node)
        return Call(inner.type, pc.negate_checked, inner)

    def _is(self, node: exp.Is) -> Expression:
        right = node.expression
        if isinstance(right, exp.Null):
            return IsNull(self.typed(node.this))
        if isinstance(right, exp.Boolean):
            equal = self._compare("=", self._condition(node.this), Constant(scalar(bool(right.this), pa.bool_())), node)
            return And(equal, Not(IsNull(equal)))
        raise self._wrong("IS is followed by NULL, TRUE or FALSE", node)

    def _in(self, node: exp.In) -> Expression:
        if not node.expressions:
            raise self._wrong("IN needs a list of values in parentheses, as in x IN (1, 2)", node)
        operand = self.typed(node.this)
        options: list[Scalar] = []
        others: list[Expression] = []
        with_null = False
        for item in node.expressions:
            one = self.typed(item)
            if isinstance(one, Constant) and pa.types.is_null(one.type):
                with_null = True
                continue
            same = self._compare("=", operand, one, node)
            value = same.constant if isinstance(same, Compare) else None
            if value is not None and value.type == operand.type and not pa.types.is_floating(operand.type):
                options.append(value)
            else:
                others.append(same)
        found: Expression | None = IsIn(operand, options, with_null) if options else None
        for one in others:
            found = one if found is None else Or(found, one)
        unknown = Constant(scalar(None, pa.bool_()))
        if found is None:
            return unknown
        return Or(found, unknown) if with_null and not options else found

    def _like(self, node: exp.Expression) -> Expression:
        operand, pattern = self.typed(node.this), self.typed(node.expression)
        if not _is_text(operand.type):
            raise self._wrong(f"LIKE needs text, {node.this.sql()} is {operand.type}", node)
        if not isinstance(pattern, Text):
            raise self._wrong("LIKE needs a pattern in single quotes, as in name LIKE 'a%'", node)
        folded, text = isinstance(node, exp.ILike), pattern.text
        return Call(pa.bool_(), lambda values: pc.match_like(values, text, ignore_case=folded), operand)

    def _arithmetic(self, node: exp.Expression) -> Expression:
        left, right = self.typed(node.this), self.typed(node.expression)
        for side, part in ((left, node.this), (right, node.expression)):
            if not _is_number(side.type):
                raise self._wrong(f"arithmetic needs numbers, {part.sql()} is {side.type}", node)
        if isinstance(node, exp.Div):
            return Call(pa.float64(), _divided, left, right)
        kind = _common_number(left.type, right.type)
        if pa.types.is_integer(kind):
            kind = pa.int64()
        functions: dict[type[exp.Expression], Callable[..., Values]] = {
            exp.Add: pc.add_checked,
            exp.Sub: pc.subtract_checked,
            exp.Mul: pc.multiply_checked,
            exp.Mod: _remainder,
        }
        return Call(kind, functions[type(node)], _widened(left, kind), _widened(right, kind))

    def _function(self, node: exp.Expression) -> Expression:
        operand = self.typed(node.this)
        if isinstance(node, exp.Abs):
            if not _is_number(operand.type):
                raise self._wrong(f"ABS needs a number, {node.this.sql()} is {operand.type}", node)
            return Call(operand.type, pc.abs_checked, operand)
        if not _is_text(operand.type):
            raise self._wrong(f"{type(node).__name__.upper()} needs text, {node.this.sql()} is {operand.type}", node)
        if isinstance(node, exp.Length):
            return Call(pa.int64(), lambda values: pc.utf8_length(values).cast(pa.int64()), operand)
        function = pc.utf8_upper if isinstance(node, exp.Upper) else pc.utf8_lower
        return Call(operand.type, function, operand)

    def _cast(self, node: exp.Cast) -> Expression:
        operand = self.typed(node.this)
        kind = self._named_type(node)
        if isinstance(operand, Text):
            try:
                return Constant(as_time(operand.text, kind) if pa.types.is_temporal(kind) else operand.value.cast(kind))
            except (NotThatType, pa.ArrowException, ValueError):
                raise self._wrong(f"'{operand.text}' is no {node.to.sql()}", node) from None
        if isinstance(operand, Number) and _is_number(kind):
            try:
                return Constant(cast_literal(operand.number, kind))
            except NotThatType:
                raise self._wrong(f"{operand.number} is no {node.to.sql()}", node) from None
        return Call(kind, lambda values: values.cast(kind), operand)

    def _named_type(self, node: exp.Cast) -> pa.DataType:
        named = node.to
        name = named.this.name if hasattr(named.this, "name") else str(named.this)
        if name == "DECIMAL":
            sizes = [int(part.name) for part in named.expressions]
            precision, scale = (*sizes, 0)[:2] if sizes else (38, 10)
            if not 1 <= precision <= 76:
                raise self._wrong(f"DECIMAL has 1 to 76 digits, not {precision}", node)
            return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
        if name not in _CASTS:
            raise self._wrong(
                f"CAST to {named.sql()} is not supported; there are {', '.join(_CASTS)}, DECIMAL(p, s)", node
            )
        return _CASTS[name]

    # -- comparing ---------------------------------------------------------------------------------------------------

    def _compare(self, operator: str, left: Expression, right: Expression, node: exp.Expression) -> Expression:
        if pa.types.is_null(left.type) or pa.types.is_null(right.type):
            return Constant(scalar(None, pa.bool_()))
        if isinstance(left, Number | Text) and not isinstance(right, Number | Text):
            left, right, operator = right, left, FLIPPED[operator]
        if isinstance(right, Number) and _is_number(left.type) and not isinstance(left, Number):
            return self._with_number(operator, left, right)
        if isinstance(right, Text) and pa.types.is_temporal(left.type):
            return self._with_time_text(operator, left, right, node)
        found = _comparable(left, right)
        if found is None:
            raise self._mismatch(left, right, node)
        return Compare(operator, *found)

    def _with_number(self, operator: str, operand: Expression, number: Number) -> Expression:
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
                exact = cast_literal(value, None)
                return Compare(operator, operand, Constant(exact))
        return Compare(operator, operand, Constant(cast_literal(value, kind)))

    def _with_time_text(self, operator: str, operand: Expression, text: Text, node: exp.Expression) -> Expression:
        try:
            value = as_time(text.text, operand.type)
        except NotThatType as error:
            raise self._wrong(f"'{text.text}' is no {operand.type}; {error}", node) from None
        return self._timed(operator, operand, Constant(value))

    def _timed(self, operator: str, operand: Expression, value: Constant) -> Expression:
        return Compare(operator, _widened(operand, value.type), value)

    def _mismatch(self, left: Expression, right: Expression, node: exp.Expression) -> InvalidSpec:
        parts = node.this.sql(), (node.expression.sql() if node.args.get("expression") else "the values")
        what = f"{parts[0]} is {left.type} and {parts[1]} is {right.type}, which do not compare"
        if _is_text(left.type) and _is_number(right.type):
            hint = "write the number in single quotes, or CAST(... AS DOUBLE)"
        elif _is_number(left.type) and _is_text(right.type):
            hint = "write the number without quotes"
        elif pa.types.is_temporal(left.type) or pa.types.is_temporal(right.type):
            hint = "write TIMESTAMP '2026-01-31 12:00:00' or DATE '2026-01-31'"
        elif pa.types.is_nested(left.type) or pa.types.is_nested(right.type):
            hint = "a nested column can only be tested with IS NULL"
        else:
            hint = "use CAST(... AS ...) on one of them"
        return self._wrong(f"{what}; {hint}", node)


def _comparable(left: Expression, right: Expression) -> tuple[Expression, Expression] | None:
    """Both sides in a type in which they compare, or None."""
    kinds = left.type, right.type
    if kinds[0] == kinds[1]:
        return None if pa.types.is_nested(kinds[0]) else (left, right)
    if _is_number(kinds[0]) and _is_number(kinds[1]):
        common = _common_number(*kinds)
        return _widened(left, common), _widened(right, common)
    if _is_text(kinds[0]) and _is_text(kinds[1]):
        common = pa.large_string() if pa.large_string() in kinds else pa.string()
        return _widened(left, common), _widened(right, common)
    if _is_moment(kinds[0]) and _is_moment(kinds[1]):
        zones = {kind.tz for kind in kinds if pa.types.is_timestamp(kind)}
        if len(zones) > 1 and None in zones:
            if isinstance(right, Constant) or isinstance(left, Constant):
                return _zoned(left, right)
            return None
        units = ("s", "ms", "us", "ns")
        finest = max((kind.unit if pa.types.is_timestamp(kind) else "s" for kind in kinds), key=units.index)
        common = timestamp(finest, next((zone for zone in zones if zone), None))
        if not zones:
            common = pa.date64()
        return _widened(left, common), _widened(right, common)
    return None


def _zoned(left: Expression, right: Expression) -> tuple[Expression, Expression] | None:
    """One side is a constant; the zoneless one of the two is in the zone of the other."""
    zone = next(kind.tz for kind in (left.type, right.type) if pa.types.is_timestamp(kind) and kind.tz)
    out: list[Expression] = []
    for side in (left, right):
        if pa.types.is_timestamp(side.type) and side.type.tz is None:
            if not isinstance(side, Constant):
                return None
            out.append(Constant(in_zone(side.value, zone)))
        else:
            out.append(side)
    return _comparable(out[0], out[1])


def _common_number(left: pa.DataType, right: pa.DataType) -> pa.DataType:
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
        precision = max(digits[0][0], digits[1][0]) + scale
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(min(precision, 76), scale)
    return pa.int64()


def _widened(side: Expression, kind: pa.DataType) -> Expression:
    if side.type == kind:
        return side
    if isinstance(side, Constant):
        return Constant(side.value.cast(kind))
    exact = not pa.types.is_floating(kind)
    return Call(kind, lambda values: pc.cast(values, kind, safe=exact), side)


def _divided(left: Values, right: Values) -> Values:
    divisor = _or_null_if_zero(call("cast", right, pa.float64(), safe=False))
    quotient: Values = call("divide", call("cast", left, pa.float64(), safe=False), divisor)
    return quotient


def _remainder(left: Values, right: Values) -> Values:
    """With the sign of the left side, as in SQL; null where the right one is zero."""
    if pa.types.is_decimal(right.type):
        left, right = call("cast", left, pa.float64()), call("cast", right, pa.float64())
    divisor = _or_null_if_zero(right)
    whole = call("divide", left, divisor)
    if pa.types.is_floating(right.type):
        whole = call("trunc", whole)
    rest: Values = call("subtract", left, call("multiply", whole, divisor))
    return rest


def _or_null_if_zero(divisor: Values) -> Values:
    zero = scalar(0, divisor.type)
    usable: Values = call("if_else", call("equal", divisor, zero), scalar(None, divisor.type), divisor)
    return usable


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_moment(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)
