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
from functools import singledispatchmethod

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.names import check_column
from shuffle_worker.columns.arrow import Scalar, Values, scalar
from shuffle_worker.columns.convert import transport_type
from shuffle_worker.columns.kinds import is_number, is_uuid, values_of
from shuffle_worker.columns.uuids import uuid_scalar
from shuffle_worker.expressions import sql
from shuffle_worker.expressions.coercion import (
    common_number,
    comparable,
    comparing_type,
    divided,
    is_text,
    remainder,
    wide_decimal,
    widened,
)
from shuffle_worker.expressions.expression import (
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
from shuffle_worker.expressions.literals import NotThatType, as_nanos, as_time, cast_literal
from shuffle_worker.expressions.moments import are_alike, compared, with_nanos
from shuffle_worker.expressions.sql_names import SUPPORTED, called, named_type

_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
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


class UuidColumn(Column):
    """A column of sixteen bytes that text is compared with as a UUID."""


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
        return self._of(node)

    @singledispatchmethod
    def _of(self, node: exp.Expression) -> Expression:
        """By the kind of node."""
        raise self._wrong(f"{called(node)} is not supported; there are {SUPPORTED}", node)

    def _wrong(self, what: str, node: exp.Expression) -> InvalidSpec:
        return sql.wrong(self._text, what, sql.position(node))

    @_of.register
    def _paren(self, node: exp.Paren) -> Expression:
        return self.typed(node.this)

    @_of.register
    def _and(self, node: exp.And) -> Expression:
        return And(self._condition(node.this), self._condition(node.expression))

    @_of.register
    def _or(self, node: exp.Or) -> Expression:
        return Or(self._condition(node.this), self._condition(node.expression))

    @_of.register
    def _not(self, node: exp.Not) -> Expression:
        return Not(self._condition(node.this))

    @_of.register
    def _literal(self, node: exp.Literal) -> Expression:
        return Text(node.name) if node.is_string else Number(self._decimal(node))

    @_of.register
    def _boolean(self, node: exp.Boolean) -> Expression:
        return Constant(scalar(bool(node.this), pa.bool_()))

    @_of.register
    def _null(self, _: exp.Null) -> Expression:
        return Constant(scalar(None, pa.null()))

    @_of.register
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
        if node.this.quoted and node.name not in self._schema.names and node.name.lower() not in self._folded():
            raise self._wrong(
                f"there is no column \"{node.name}\"; text stands in single quotes, as in name = '{node.name}'", node
            )
        check_column(node.name, self._schema.names, sql.WHERE)
        if node.name not in self.columns:
            self.columns.append(node.name)
        declared = self._schema.field(node.name).type
        kind = transport_type(declared)
        if is_uuid(values_of(declared)):
            return UuidColumn(node.name, kind)
        return widened(Column(node.name, kind), comparing_type(kind))

    def _folded(self) -> set[str]:
        return {name.lower() for name in self._schema.names}

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

    @_of.register
    def _negated(self, node: exp.Neg) -> Expression:
        inner = self.typed(node.this)
        if isinstance(inner, Number):
            return Number(-inner.number)
        if not is_number(inner.type):
            raise self._wrong(f"- needs a number, {node.this.sql()} is {inner.type}", node)
        return Call(inner.type, pc.negate_checked, inner)

    @_of.register
    def _is(self, node: exp.Is) -> Expression:
        right = node.expression
        if isinstance(right, exp.Null):
            return IsNull(self.typed(node.this))
        if isinstance(right, exp.Boolean):
            equal = self._compare("=", self._condition(node.this), Constant(scalar(bool(right.this), pa.bool_())), node)
            return And(equal, Not(IsNull(equal)))
        raise self._wrong("IS is followed by NULL, TRUE or FALSE", node)

    @_of.register
    def _between(self, node: exp.Between) -> Expression:
        operand = self.typed(node.this)
        low = self._compare(">=", operand, self.typed(node.args["low"]), node)
        return And(low, self._compare("<=", operand, self.typed(node.args["high"]), node))

    @_of.register
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

    @_of.register
    def _like(self, node: exp.Like | exp.ILike) -> Expression:
        operand, pattern = self.typed(node.this), self.typed(node.expression)
        if not is_text(operand.type):
            raise self._wrong(f"LIKE needs text, {node.this.sql()} is {operand.type}", node)
        if not isinstance(pattern, Text):
            raise self._wrong("LIKE needs a pattern in single quotes, as in name LIKE 'a%'", node)
        folded, text = isinstance(node, exp.ILike), pattern.text
        return Call(pa.bool_(), lambda values: pc.match_like(values, text, ignore_case=folded), operand)

    @_of.register
    def _arithmetic(self, node: exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod) -> Expression:
        left, right = self.typed(node.this), self.typed(node.expression)
        for side, part in ((left, node.this), (right, node.expression)):
            if not is_number(side.type):
                raise self._wrong(f"arithmetic needs numbers, {part.sql()} is {side.type}", node)
        if isinstance(node, exp.Div):
            return Call(pa.float64(), divided, left, right)
        kind = common_number(left.type, right.type)
        if pa.types.is_integer(kind):
            kind = pa.int64()
        functions: dict[type[exp.Expression], Callable[..., Values]] = {
            exp.Add: pc.add_checked,
            exp.Sub: pc.subtract_checked,
            exp.Mul: pc.multiply_checked,
            exp.Mod: remainder,
        }
        return Call(kind, functions[type(node)], widened(left, kind), widened(right, kind))

    @_of.register
    def _function(self, node: exp.Upper | exp.Lower | exp.Length | exp.Abs) -> Expression:
        operand = self.typed(node.this)
        if isinstance(node, exp.Abs):
            if not is_number(operand.type):
                raise self._wrong(f"ABS needs a number, {node.this.sql()} is {operand.type}", node)
            return Call(operand.type, pc.abs_checked, operand)
        if not is_text(operand.type):
            raise self._wrong(f"{type(node).__name__.upper()} needs text, {node.this.sql()} is {operand.type}", node)
        if isinstance(node, exp.Length):
            return Call(pa.int64(), lambda values: pc.utf8_length(values).cast(pa.int64()), operand)
        function = pc.utf8_upper if isinstance(node, exp.Upper) else pc.utf8_lower
        return Call(operand.type, function, operand)

    @_of.register
    def _cast(self, node: exp.Cast) -> Expression:
        operand = self.typed(node.this)
        try:
            kind = named_type(node.to)
        except NotThatType as error:
            raise self._wrong(str(error), node) from None
        if isinstance(operand, Text):
            try:
                return Constant(as_time(operand.text, kind) if pa.types.is_temporal(kind) else operand.value.cast(kind))
            except (NotThatType, pa.ArrowException, ValueError):
                raise self._wrong(f"'{operand.text}' is no {node.to.sql()}", node) from None
        if isinstance(operand, Number) and is_number(kind):
            try:
                return Constant(cast_literal(operand.number, kind))
            except NotThatType:
                raise self._wrong(f"{operand.number} is no {node.to.sql()}", node) from None
        if isinstance(kind, pa.Decimal128Type | pa.Decimal256Type) and pa.types.is_integer(operand.type):
            wide = wide_decimal(kind.scale)
            return Call(kind, lambda values: values.cast(wide).cast(kind), operand)
        return Call(kind, lambda values: values.cast(kind), operand)

    # -- comparing ---------------------------------------------------------------------------------------------------

    @_of.register
    def _comparison(self, node: exp.EQ | exp.NEQ | exp.LT | exp.LTE | exp.GT | exp.GTE) -> Expression:
        return self._compare(_COMPARISONS[type(node)], self.typed(node.this), self.typed(node.expression), node)

    def _compare(self, operator: str, left: Expression, right: Expression, node: exp.Expression) -> Expression:
        if pa.types.is_null(left.type) or pa.types.is_null(right.type):
            return Constant(scalar(None, pa.bool_()))
        if isinstance(left, Number | Text) and not isinstance(right, Number | Text):
            left, right, operator = right, left, FLIPPED[operator]
        if isinstance(right, Number) and is_number(left.type) and not isinstance(left, Number):
            return self._with_number(operator, left, right)
        if isinstance(right, Text) and pa.types.is_temporal(left.type):
            return self._with_time_text(operator, left, right, node)
        if isinstance(right, Text) and isinstance(left, UuidColumn):
            return self._with_uuid_text(operator, left, right, node)
        if left.type != right.type and are_alike(left.type, right.type):
            times = compared(operator, left, right)
            if times is None:
                raise self._mismatch(left, right, node)
            return times
        found = comparable(left, right)
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
            nanos = as_nanos(text.text, operand.type)
        except NotThatType as error:
            raise self._wrong(f"'{text.text}' is no {operand.type}; {error}", node) from None
        return with_nanos(operator, operand, nanos)

    def _with_uuid_text(self, operator: str, operand: UuidColumn, text: Text, node: exp.Expression) -> Expression:
        try:
            value = uuid_scalar(text.text, operand.type)
        except ValueError:
            raise self._wrong(f"'{text.text}' is no UUID; write it as 8-4-4-4-12 hexadecimal digits", node) from None
        return Compare(operator, operand, Constant(value))

    def _mismatch(self, left: Expression, right: Expression, node: exp.Expression) -> InvalidSpec:
        parts = node.this.sql(), (node.expression.sql() if node.args.get("expression") else "a value beside it")
        what = f"{parts[0]} is {left.type} and {parts[1]} is {right.type}, which do not compare"
        if is_text(left.type) and is_number(right.type):
            hint = "write the number in single quotes, or CAST(... AS DOUBLE)"
        elif is_number(left.type) and is_text(right.type):
            hint = "write the number without quotes"
        elif is_text(left.type) and pa.types.is_temporal(right.type):
            kind = "DATE" if pa.types.is_date(right.type) else "TIMESTAMP"
            hint = f"compare text with text, as in '2026-01-31' alone, or write CAST({parts[0]} AS {kind})"
        elif pa.types.is_temporal(left.type) or pa.types.is_temporal(right.type):
            hint = "write TIMESTAMP '2026-01-31 12:00:00' or DATE '2026-01-31'"
        elif pa.types.is_nested(left.type) or pa.types.is_nested(right.type):
            hint = "a nested column can only be tested with IS NULL"
        else:
            hint = "use CAST(... AS ...) on one of them"
        return self._wrong(f"{what}; {hint}", node)
