"""The expressions of a window, compiled: ordinary ones, in which calls of window functions stand as columns do.

    amount - lag(amount, 1)
    sum(amount) OVER ROWS BETWEEN 2 PRECEDING AND CURRENT ROW

The rows of a window and their order are said in the job and not in the text; OVER says the frame alone, with or without
parentheses. What a function takes in is an expression over the columns of the input.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import pyarrow as pa
from sqlglot import exp

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import SortKey
from shuffle_protocol.units import counted
from shuffle_worker.columns.arrow import dictionary
from shuffle_worker.columns.schema import transport_type
from shuffle_worker.expressions import sql
from shuffle_worker.expressions.computed import field_of
from shuffle_worker.expressions.functions import FUNCTIONS
from shuffle_worker.expressions.sql_types import Typer
from shuffle_worker.expressions.typed.expression import Column, Constant, Expression
from shuffle_worker.expressions.typed.literals import NotThatType
from shuffle_worker.expressions.typed.written import together
from shuffle_worker.expressions.value import Value
from shuffle_worker.windows.distances import Distance, distance_of
from shuffle_worker.windows.frames import UP_TO_PEERS, WHOLE, WindowFrame
from shuffle_worker.windows.functions import Make
from shuffle_worker.windows.over import frame_of
from shuffle_worker.windows.table import MOST, WINDOW_FUNCTIONS, WindowFunction

WHERE = "operation.window.compute"


class WindowCall(NamedTuple):
    """One call of a window function."""

    column: str
    """The name by which its result is found."""
    kind: pa.DataType
    """Of the result, as it is declared."""
    arguments: list[Value]
    """Those that vary."""
    frame: WindowFrame | None
    make: Make
    peers: bool
    """It asks for the peers of a row."""
    said: str
    """As it was written."""


class Result(NamedTuple):
    """A column that is computed."""

    name: str
    kind: pa.DataType
    """As it is declared."""
    value: Value | None
    """Worked out from the input's columns and the calls' results; None where it is the result of the one call."""
    call: str
    """That call's column."""


class Compiled(NamedTuple):
    calls: list[WindowCall]
    results: list[Result]
    """By name."""
    columns: list[str]
    """Those of the input that are read for it."""


def compile_windows(texts: Mapping[str, str], schema: pa.Schema, order: Sequence[SortKey]) -> Compiled:
    """schema: of the input's columns, as they are declared. order: of a window's rows. Raises InvalidSpec."""
    made: dict[str, WindowCall] = {}
    results: list[Result] = []
    columns: dict[str, None] = {}
    for name in sorted(texts):
        where = field_of(name, WHERE)
        text = texts[name]
        of = sql.Field(where, "value", "row_number()")
        typer = _WindowTyper(text, schema, of, order, made)
        tree = sql.parse(text, of)
        results.append(_result(typer, tree, name, text, where))
        columns.update(dict.fromkeys(typer.read))
    return Compiled(list(made.values()), results, list(columns))


def _result(typer: _WindowTyper, tree: exp.Expression, name: str, text: str, where: str) -> Result:
    found = typer.typed(tree)
    if not typer.calls:
        raise InvalidSpec(
            f"{where}: {text}: calls no window function; compute it in inputs[0].compute, or in output.compute"
        )
    alone = typer.window(_bare(tree))
    if alone is not None:
        return Result(name, alone.kind, None, alone.column)
    if pa.types.is_null(found.type) or pa.types.is_interval(found.type):
        raise InvalidSpec(f"{where}: {text}: is {found.type}, which no column holds; use CAST(... AS ...)")
    return Result(name, found.type, Value(where, text, found, typer.columns), "")


def _bare(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren):
        node = cast("exp.Expression", node.this)
    return node


class _WindowTyper(Typer):
    """made: calls by what they are, shared by all texts of a job: what is written twice is worked out once. calls:
    those of this text; read: the columns of the input that it reads."""

    def __init__(
        self, text: str, schema: pa.Schema, of: sql.Field, order: Sequence[SortKey], made: dict[str, WindowCall]
    ) -> None:
        super().__init__(text, schema, of)
        self._input = schema
        self._order = list(order)
        self._made = made
        self._inside = False
        self.calls: list[WindowCall] = []

    @property
    def read(self) -> list[str]:
        """The columns of the input that the text names."""
        inner = [name for call in self.calls for value in call.arguments for name in value.columns]
        made = {call.column for call in self.calls}
        return list(dict.fromkeys([*inner, *(name for name in self.columns if name not in made)]))

    def typed(self, node: exp.Expression) -> Expression:
        self._check_name(node)
        call = self.window(node)
        return super().typed(node) if call is None else self._of_type(call.column, call.kind)

    def _check_name(self, node: exp.Expression) -> None:
        """Refuse what looks like a window function and is none."""
        name = node.name.lower()
        if isinstance(node, exp.Anonymous) and name not in FUNCTIONS and name not in WINDOW_FUNCTIONS:
            near = difflib.get_close_matches(name, [*WINDOW_FUNCTIONS, *FUNCTIONS], n=1, cutoff=0.5)
            known = f"did you mean {near[0]}?" if near else f"there are {', '.join(WINDOW_FUNCTIONS)}"
            raise self._wrong(f"{node.name} is not supported; {known}", node)
        if isinstance(node, exp.Column) and name in WINDOW_FUNCTIONS and name not in self._input.names:
            raise self._wrong(f"there is no column {node.name!r}; a function has parentheses, as in {name}()", node)

    def window(self, node: exp.Expression) -> WindowCall | None:
        """The call that a node is; None where it is something else."""
        frame: exp.Window | None = None
        inner, ignore = node, False
        if isinstance(inner, exp.Window):
            frame, inner = inner, inner.this
        if isinstance(inner, exp.IgnoreNulls | exp.RespectNulls):
            ignore, inner = isinstance(inner, exp.IgnoreNulls), inner.this
        if isinstance(inner, exp.Filter):
            raise self._wrong("FILTER is not supported; write CASE WHEN ... THEN ... END inside of the function", inner)
        if not isinstance(inner, exp.Anonymous) or inner.name.lower() not in WINDOW_FUNCTIONS:
            if frame is None and inner is node:
                return None
            said = inner.name if isinstance(inner, exp.Anonymous) else inner.sql()
            raise self._wrong(f"{said} is no window function; there are {', '.join(WINDOW_FUNCTIONS)}", node)
        if self._inside:
            raise self._wrong(
                f"{inner.name} stands inside of a window function, whose argument is made of one row; compute one of "
                "the two in a job before, or use it in output.compute",
                inner,
            )
        return self._call(inner, frame, ignore, node)

    def _call(self, inner: exp.Anonymous, frame: exp.Window | None, ignore: bool, node: exp.Expression) -> WindowCall:
        function = WINDOW_FUNCTIONS[inner.name.lower()]
        arguments, ignore = self._arguments(inner, ignore)
        self._check(function, inner, arguments, ignore)
        taken = _CallArguments(self, arguments, ignore)
        with self._at(inner):
            kind, make, varying = function.build(taken)
            values = taken.values(varying)
        rows = self._frame(function, frame, inner)
        key = repr((inner.name.lower(), node.sql(), ignore))
        call = self._made.get(key)
        if call is None:
            peers = function.peers if rows is None else not rows.rows
            call = WindowCall(self._free(len(self._made)), kind, values, rows, make, peers, node.sql())
            self._made[key] = call
        if call not in self.calls:
            self.calls.append(call)
        return call

    def _free(self, number: int) -> str:
        """A name that no column of the input has, so none that the text can name."""
        name = f"window-{number}"
        while name in self._input.names:
            name += "-"
        return name

    def _arguments(self, inner: exp.Anonymous, ignore: bool) -> tuple[list[exp.Expression], bool]:
        found = list(inner.expressions)
        for at, one in enumerate(found):
            if isinstance(one, exp.IgnoreNulls | exp.RespectNulls):
                ignore, found[at] = isinstance(one, exp.IgnoreNulls), one.this
            if isinstance(one, exp.Distinct):
                raise self._wrong(f"{inner.name}(DISTINCT ...) is not supported over a frame", inner)
        if len(found) == 1 and isinstance(found[0], exp.Star):
            if inner.name.lower() != "count":
                raise self._wrong(f"{inner.name} needs a column; only count takes *", inner)
            found = []
        return found, ignore

    def _check(
        self, function: WindowFunction, inner: exp.Anonymous, arguments: Sequence[exp.Expression], ignore: bool
    ) -> None:
        if not function.least <= len(arguments) <= function.most:
            raise self._wrong(
                f"{inner.name.upper()} is written {function.signature}, and is given "
                f"{counted(len(arguments), 'argument')}",
                inner,
            )
        if function.ordered and not self._order:
            raise self._wrong(
                f"{inner.name} needs an order of the rows: name the columns in operation.window.orderBy", inner
            )
        if ignore and not function.skips_nulls:
            raise self._wrong(f"{inner.name} has no IGNORE NULLS", inner)

    def _frame(self, function: WindowFunction, over: exp.Window | None, inner: exp.Anonymous) -> WindowFrame | None:
        if over is not None and not function.framed:
            raise self._wrong(f"{inner.name} has no frame: it goes by all rows of the window; leave OVER out", over)
        if over is None:
            return None if not function.framed else UP_TO_PEERS if self._order else WHOLE
        with self._at(over):
            return frame_of(over, self._offset)

    def _offset(self, node: exp.Expression, rows: bool) -> int | Distance:
        one = self.plain(node)
        if not isinstance(one, Constant):
            raise NotThatType("an offset of a frame is a constant")
        if rows:
            whole = pa.types.is_integer(one.type) and one.value.is_valid
            if not whole or not 0 <= int(one.value.as_py()) <= MOST:
                raise NotThatType(f"ROWS counts rows, so an offset is a whole number, not {node.sql()}")
            return int(one.value.as_py())
        if len(self._order) != 1:
            raise NotThatType(
                "RANGE with an offset needs one column in operation.window.orderBy, for the distance is in it; there "
                f"are {len(self._order)}"
            )
        return distance_of(one, self.order_kind, self._order[0].column)

    @property
    def order_kind(self) -> pa.DataType:
        """The type of the first column of the order, as it travels."""
        return transport_type(self._input.field(self._order[0].column).type)

    @property
    def order(self) -> list[SortKey]:
        return self._order

    def plain(self, node: exp.Expression) -> Expression:
        """A part of an argument: without window functions."""
        before, self._inside = self._inside, True
        try:
            return self.typed(node)
        finally:
            self._inside = before

    def argument(self, node: exp.Expression) -> tuple[pa.DataType, Expression, list[str]]:
        """An argument: its declared type, the expression, and the columns that it reads."""
        kept, self.columns = self.columns, []
        try:
            found = self.plain(node)
            read = list(self.columns)
        finally:
            self.columns = kept
        bare = _bare(node)
        if isinstance(bare, exp.Column) and len(sql.path_of(bare)) == 1:
            declared = self._input.field(read[0]).type
            return declared, Column(read[0], transport_type(declared)), read
        if pa.types.is_null(found.type) or pa.types.is_interval(found.type):
            raise NotThatType(f"{node.sql()} is {found.type}; give it a type, as in CAST({node.sql()} AS BIGINT)")
        return found.type, Constant(found.value) if isinstance(found, Constant) else found, read

    def value(self, node: exp.Expression, one: Expression, read: list[str]) -> Value:
        return Value(self._field.name, node.sql(), one, read)


class _CallArguments:
    """A `CallArguments`."""

    def __init__(self, typer: _WindowTyper, nodes: Sequence[exp.Expression], ignore_nulls: bool) -> None:
        self._typer = typer
        self._nodes = nodes
        self._together: list[Value] = []
        self.ignore_nulls = ignore_nulls

    @property
    def count(self) -> int:
        return len(self._nodes)

    def said(self, at: int) -> str:
        return self._nodes[at].sql()

    def declared(self, at: int) -> pa.DataType:
        return self._typer.argument(self._nodes[at])[0]

    def number(self, at: int, name: str, least: int) -> int:
        one = self._typer.plain(self._nodes[at])
        if not isinstance(one, Constant) or not pa.types.is_integer(one.type) or not one.value.is_valid:
            raise NotThatType(f"{name} is a whole number, the same for every row, not {self.said(at)}")
        found = int(one.value.as_py())
        if not least <= found <= MOST:
            raise NotThatType(f"{name} is a whole number from {least} on, not {found}")
        return found

    def with_default(self, at: int) -> pa.DataType:
        """As COALESCE takes them, but that a column keeps what it is declared as where that holds the default."""
        node = self._nodes[at]
        declared, one, read = self._typer.argument(self._nodes[0])
        other, read_too = self._default(node)
        try:
            kind, both = together([one, other])
        except NotThatType:
            raise NotThatType(
                f"the default {node.sql()} is {other.type}, and {self.said(0)} is {one.type}; give both one type, as "
                "in CAST(... AS ...)"
            ) from None
        self._together = [
            self._typer.value(self._nodes[0], both[0], read),
            self._typer.value(node, both[1], read_too),
        ]
        return _with_more_values(declared) if kind == transport_type(declared) else kind

    def _default(self, node: exp.Expression) -> tuple[Expression, list[str]]:
        """A literal as it was written, of no type yet; and the columns that are read."""
        written = self._typer.plain(node)
        if isinstance(written, Constant):
            return written, []
        _, one, read = self._typer.argument(node)
        return one, read

    def gap(self, at: int) -> tuple[Distance, bool]:
        bare, key = _bare(self._nodes[0]), self._typer.order[0]
        names = [part.name for part in sql.path_of(bare)] if isinstance(bare, exp.Column) else []
        if names != [key.column]:
            raise NotThatType(
                f"session goes by the column that rows are ordered by, which is {key.column!r}; {self.said(0)} must be "
                "the first column of operation.window.orderBy"
            )
        one = self._typer.plain(self._nodes[at])
        if not isinstance(one, Constant):
            raise NotThatType("the gap of a session is a constant, as in session(ts, '30 minutes')")
        return distance_of(one, self._typer.order_kind, key.column, "a gap"), key.descending

    def values(self, count: int) -> list[Value]:
        """The arguments that vary: the first, and the default where there are two."""
        if self._together or not count:
            return self._together
        _, one, read = self._typer.argument(self._nodes[0])
        return [self._typer.value(self._nodes[0], one, read)]


def _with_more_values(kind: pa.DataType) -> pa.DataType:
    """A dictionary's index may have no number left for the default."""
    if pa.types.is_dictionary(kind) and kind.index_type.bit_width < 32:
        return dictionary(pa.int32(), kind.value_type, kind.ordered)
    return kind
