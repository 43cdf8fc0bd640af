"""From a syntax tree to a typed expression: which column, which literal, which common type, or why it cannot be.

The operators are here, what they do in `comparing.py`, `arithmetic.py`, `casts.py` and `intervals.py`; functions are
looked up in the table of `functions/`. Those say `NotThatType`, and here it gets its place in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from functools import singledispatchmethod

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.names import check_column
from shuffle_worker.columns.arrow import Scalar, call, scalar
from shuffle_worker.columns.convert import transport_type
from shuffle_worker.columns.kinds import is_number, is_uuid, values_of
from shuffle_worker.expressions import sql
from shuffle_worker.expressions.functions import FUNCTIONS, called
from shuffle_worker.expressions.functions.nested import element, field
from shuffle_worker.expressions.sql_names import SUPPORTED, name_of, named_type, near_function
from shuffle_worker.expressions.typed.arithmetic import arithmetic
from shuffle_worker.expressions.typed.casts import cast, try_cast
from shuffle_worker.expressions.typed.coercion import comparing_type, is_text, widened
from shuffle_worker.expressions.typed.comparing import Operand, UuidColumn, compare
from shuffle_worker.expressions.typed.expression import (
    And,
    Call,
    Choice,
    Column,
    Compare,
    Constant,
    Expression,
    IsIn,
    IsNull,
    Not,
    Or,
)
from shuffle_worker.expressions.typed.intervals import interval
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.expressions.typed.written import Number, Text, folded, is_null, together
from shuffle_worker.expressions.typed.zones import at_zone

_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: dict[type[exp.Expression], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}


class Typer:
    """Turns one tree into an expression; `columns` are those it met. field: what the text is of."""

    def __init__(self, text: str, schema: pa.Schema, of: sql.Field = sql.FILTER) -> None:
        self._text = text
        self._schema = schema
        self._field = of
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
        raise self._wrong(f"{name_of(node)} is not supported; there are {SUPPORTED}", node)

    def _wrong(self, what: str, node: exp.Expression) -> InvalidSpec:
        return sql.wrong(self._text, what, sql.position(node), self._field)

    @contextmanager
    def _at(self, node: exp.Expression) -> Iterator[None]:
        """What is said inside is wrong at this place."""
        try:
            yield
        except NotThatType as error:
            raise self._wrong(str(error), node) from None

    # -- values ------------------------------------------------------------------------------------------------------

    @_of.register
    def _paren(self, node: exp.Paren) -> Expression:
        return self.typed(node.this)

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
    def _interval(self, node: exp.Interval) -> Expression:
        if not isinstance(node.this, exp.Literal):
            raise self._wrong("an interval is a constant, as in INTERVAL '1 day'; add it as often as needed", node)
        unit = node.args.get("unit")
        with self._at(node):
            return interval(f"{node.this.name} {unit.name if unit is not None else ''}")

    @_of.register
    def _column(self, node: exp.Column) -> Expression:
        path = sql.path_of(node)
        names = [part.name for part in path]
        dotted = ".".join(names)
        first = path[0]
        if first.name not in self._schema.names and dotted in self._schema.names:
            raise self._wrong(f'{dotted}: write "{dotted}" in double quotes for the column of that name', node)
        if first.quoted and first.name not in self._schema.names and first.name.lower() not in self._folded():
            raise self._wrong(
                f"there is no column \"{first.name}\"; text stands in single quotes, as in name = '{first.name}'", node
            )
        found = self._named(first.name, node)
        for at, name in enumerate(names[1:], 1):
            with self._at(node):
                found = field(found, name, ".".join(names[:at]))
        return found

    def _named(self, name: str, node: exp.Expression) -> Expression:
        try:
            check_column(name, self._schema.names, "", self._field.whose)
        except InvalidSpec as error:
            raise self._wrong(error.message.removeprefix(": "), node) from None
        return self._of_type(name, self._schema.field(name).type)

    def _of_type(self, name: str, declared: pa.DataType) -> Expression:
        """A column of the batches, whether or not a text can name it."""
        if name not in self.columns:
            self.columns.append(name)
        kind = transport_type(declared)
        if is_uuid(values_of(declared)):
            return UuidColumn(name, kind)
        return widened(Column(name, kind), comparing_type(kind))

    def _folded(self) -> set[str]:
        return {name.lower() for name in self._schema.names}

    def _decimal(self, node: exp.Expression) -> Decimal:
        try:
            return Decimal(node.name)
        except InvalidOperation:
            raise self._wrong(f"{node.name} is not a number", node) from None

    @_of.register
    def _dot(self, node: exp.Dot) -> Expression:
        if not isinstance(node.expression, exp.Identifier):
            raise self._wrong(f"{node.sql()} is no name and no call of a function", node)
        with self._at(node):
            return field(self.typed(node.this), node.expression.name, node.this.sql())

    @_of.register
    def _bracket(self, node: exp.Bracket) -> Expression:
        of, at = self.typed(node.this), [self.typed(one) for one in node.expressions]
        with self._at(node):
            if len(at) == 1 and isinstance(at[0], Text):
                return field(of, at[0].text, node.this.sql())
            if len(at) != 1 or not pa.types.is_integer(at[0].type) or not hasattr(of.type, "value_type"):
                raise NotThatType(
                    f"{node.this.sql()} is {of.type}; write list[1] for an item and struct['name'] for a field"
                )
            return element(of, at[0])

    # -- conditions --------------------------------------------------------------------------------------------------

    def _condition(self, node: exp.Expression) -> Expression:
        found = self.typed(node)
        if is_null(found):
            return Constant(scalar(None, pa.bool_()))
        if not pa.types.is_boolean(found.type):
            raise self._wrong(
                f"{node.sql()} is {found.type}, not a condition; compare it, as in {node.sql()} = ...", node
            )
        return found

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
    def _is(self, node: exp.Is) -> Expression:
        right = node.expression
        if isinstance(right, exp.Null):
            return IsNull(self.typed(node.this))
        if isinstance(right, exp.Boolean):
            equal = Compare("=", self._condition(node.this), Constant(scalar(bool(right.this), pa.bool_())))
            return And(equal, Not(IsNull(equal)))
        raise self._wrong("IS is followed by NULL, TRUE or FALSE", node)

    @_of.register
    def _between(self, node: exp.Between) -> Expression:
        low = self._compare(">=", node.this, node.args["low"], node)
        return And(low, self._compare("<=", node.this, node.args["high"], node))

    @_of.register
    def _in(self, node: exp.In) -> Expression:
        if not node.expressions:
            raise self._wrong("IN needs a list of values in parentheses, as in x IN (1, 2)", node)
        operand = self.typed(node.this)
        options: list[Scalar] = []
        others: list[Expression] = []
        with_null = False
        for item in node.expressions:
            if is_null(self.typed(item)):
                with_null = True
                continue
            same = self._compare("=", node.this, item, node)
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
        any_case, text = isinstance(node, exp.ILike), pattern.text
        return Call(pa.bool_(), lambda values: pc.match_like(values, text, ignore_case=any_case), operand)

    @_of.register
    def _comparison(self, node: exp.EQ | exp.NEQ | exp.LT | exp.LTE | exp.GT | exp.GTE) -> Expression:
        return self._compare(_COMPARISONS[type(node)], node.this, node.expression, node)

    def _compare(self, operator: str, left: exp.Expression, right: exp.Expression, node: exp.Expression) -> Expression:
        with self._at(node):
            return compare(operator, Operand(self.typed(left), left.sql()), Operand(self.typed(right), right.sql()))

    @_of.register
    def _distinct(self, node: exp.NullSafeEQ | exp.NullSafeNEQ) -> Expression:
        """Null is not distinct from null."""
        left, right = IsNull(self.typed(node.this)), IsNull(self.typed(node.expression))
        equal = self._compare("=", node.this, node.expression, node)
        known = Call(pa.bool_(), lambda values: call("fill_null", values, scalar(False, pa.bool_())), equal)
        same = Or(And(left, right), known)
        return same if isinstance(node, exp.NullSafeEQ) else Not(same)

    # -- the rest ----------------------------------------------------------------------------------------------------

    @_of.register
    def _negated(self, node: exp.Neg) -> Expression:
        inner = self.typed(node.this)
        if isinstance(inner, Number):
            return Number(-inner.number)
        if not is_number(inner.type):
            raise self._wrong(f"- needs a number, {node.this.sql()} is {inner.type}", node)
        with self._at(node):
            return folded(Call(inner.type, pc.negate_checked, inner))

    @_of.register
    def _arithmetic(self, node: exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Mod) -> Expression:
        sides = self.typed(node.this), self.typed(node.expression)
        with self._at(node):
            return arithmetic(_ARITHMETIC[type(node)], *sides, (node.this.sql(), node.expression.sql()))

    @_of.register
    def _joined(self, node: exp.DPipe) -> Expression:
        sides = [self.typed(one) for one in (node.this, node.expression)]
        for side, part in zip(sides, (node.this, node.expression), strict=True):
            if not is_text(side.type) and not is_null(side):
                hint = f"CAST({part.sql()} AS TEXT)"
                raise self._wrong(f"|| needs text, {part.sql()} is {side.type}; write {hint}", node)
        with self._at(node):
            kind, both = together([*sides, Text("")])
            join = Call(kind, lambda *texts: call("binary_join_element_wise", *texts), *both)
            return folded(join)

    @_of.register
    def _case(self, node: exp.Case) -> Expression:
        conditions = [
            self._condition(one.this) if node.this is None else self._compare("=", node.this, one.this, one)
            for one in node.args["ifs"]
        ]
        default = node.args.get("default")
        results = [one.args["true"] for one in node.args["ifs"]] + ([default] if default is not None else [])
        return self._chosen(conditions, results, node)

    @_of.register
    def _if(self, node: exp.If) -> Expression:
        other = node.args.get("false")
        results = [node.args["true"]] + ([other] if other is not None else [])
        return self._chosen([self._condition(node.this)], results, node)

    def _chosen(
        self, conditions: Sequence[Expression], results: Sequence[exp.Expression], node: exp.Expression
    ) -> Expression:
        """The result of the first condition that is true. One result more than conditions is for all other rows."""
        with self._at(node):
            kind, several = together([self.typed(one) for one in results])
        if len(several) == len(conditions):
            several.append(Constant(scalar(None, kind)))
        found = several[-1]
        for condition, result in zip(reversed(conditions), reversed(several[:-1]), strict=True):
            found = Choice(kind, condition, result, found)
        return found

    @_of.register
    def _anonymous(self, node: exp.Anonymous) -> Expression:
        name = node.name.lower()
        if name not in FUNCTIONS:
            raise self._wrong(f"{node.name} is not supported; {near_function(name)}", node)
        return self._function(name, node.expressions, node)

    def _function(self, name: str, arguments: Sequence[exp.Expression], node: exp.Expression) -> Expression:
        given = [self.typed(one) for one in arguments]
        with self._at(node):
            return called(name, given, [one.sql() for one in arguments])

    @_of.register
    def _with_words(self, node: exp.Substring | exp.Trim | exp.Extract | exp.StrPosition) -> Expression:
        """Functions that may be written with words between their arguments."""
        if isinstance(node, exp.Extract):
            return self._function("date_part", [exp.Literal.string(node.this.name), node.expression], node)
        if isinstance(node, exp.Trim):
            side = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
            return self._function(side, _given(node.this, node.expression), node)
        if isinstance(node, exp.StrPosition):
            return self._function("strpos", [node.this, node.args["substr"]], node)
        return self._function("substr", _given(node.this, node.args.get("start"), node.args.get("length")), node)

    @_of.register
    def _cast(self, node: exp.Cast) -> Expression:
        with self._at(node):
            work: Callable[..., Expression] = try_cast if isinstance(node, exp.TryCast) else cast
            return work(self.typed(node.this), named_type(node.to), node.to.sql())

    @_of.register
    def _at_zone(self, node: exp.AtTimeZone) -> Expression:
        zone = self.typed(node.args["zone"])
        with self._at(node):
            if not isinstance(zone, Text):
                raise NotThatType("AT TIME ZONE needs a zone in single quotes, as in 'Europe/Berlin'")
            return at_zone(self.typed(node.this), zone.text, node.this.sql())


def _given(*arguments: exp.Expression | None) -> list[exp.Expression]:
    return [one for one in arguments if one is not None]
