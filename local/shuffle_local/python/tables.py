"""What is done with a table, and where the result is written: `read_parquet(...).sort("ts").write_parquet(...)`.

A job does one thing to its rows, so the chain has three links: a `ReadTable` (an input), a `ShuffledTable` (an input
with an operation; between them a `GroupedTable`), and the `ShuffleJob`. All are immutable, and nothing is opened. What
an argument means is on the field of its name (docs/reference/shufflejob.md); what is wrong with one raises InvalidJob.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from shuffle_local.python.arguments import Calls
from shuffle_local.python.bodies import Body, body_of, refused
from shuffle_local.python.functions import AnyFunction, function_name
from shuffle_local.python.keys import Columns, Schema, declared, listed, together
from shuffle_local.python.writing import TableWriter
from shuffle_operator.api.operation import (
    Aggregation,
    AsOf,
    Cluster,
    Distinct,
    GroupBy,
    Join,
    JoinSide,
    Repartition,
    Sort,
    SortKey,
    Window,
)

if TYPE_CHECKING:
    import pyarrow as pa

JoinType = Literal["Inner", "Left", "Right", "Full", "LeftSemi", "LeftAnti", "RightSemi", "RightAnti", "Cross"]
SideType = Literal["Inner", "Left", "LeftSemi", "LeftAnti", "Cross"]

_OPERATION = ("spec", "operation")


@dataclass(frozen=True, slots=True, repr=False)
class ReadTable:
    """An input: what is read, and no operation yet."""

    input: Body
    call: str = "read_files"
    """What made it."""
    others: tuple[ReadTable, ...] = ()
    """Those whose rows come behind its own, each a single one."""

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.input.items() if name not in ("storage", "format")}
        arguments = [repr(shown.pop("path", shown.pop("paths", "")))]
        read = f"{self.call}({', '.join([*arguments, *(f'{name}={value!r}' for name, value in shown.items())])})"
        return f"{read}.union({', '.join(map(repr, self.others))})" if self.others else read

    def union(self, *tables: ReadTable) -> ReadTable:
        """This table's rows and those of others behind it, in their order: columns are matched by name, and one that a
        table does not have is null in its rows (docs/union.md)."""
        for table in tables:
            if not isinstance(table, ReadTable):
                raise TypeError(f"union takes what read_parquet and its siblings give, found {type(table).__name__}")
        others = [one for table in tables for one in table.singly()]
        return ReadTable(self.input, self.call, (*self.others, *others))

    def singly(self) -> tuple[ReadTable, ...]:
        """The inputs that it is made of."""
        return (ReadTable(self.input, self.call), *self.others)

    def repartition(
        self,
        *by: Columns,
        range: Columns | None = None,  # noqa: A002 - the resource's word
        random: int | None = None,
    ) -> ShuffledTable:
        """Put rows that belong together into the same file: by the hash of these columns, or by ranges of others.
        Without columns rows are dealt out in turn, to files of even size. random: a seed, which puts all rows in a
        random order."""
        order = {"seed": random} if random is not None else None
        arguments = {"by": together(by), "range": listed(range), "random": order}
        return self._shuffled("repartition", Repartition, arguments)

    def sort(self, *by: str | SortKey | list[str | SortKey]) -> ShuffledTable:
        """Sort all rows, globally and stably; the most significant key first. See `asc` and `desc`."""
        return self._shuffled("sort", Sort, {"by": _sort_keys(*by)})

    def cluster(self, *by: Columns, curve: Literal["Hilbert", "ZOrder"] | None = None) -> ShuffledTable:
        """Put rows that are near each other in several columns into the same file (docs/cluster.md). curve: Hilbert
        where not given."""
        return self._shuffled("cluster", Cluster, {"by": together(by), "curve": curve})

    def distinct(
        self,
        *by: Columns,
        keep: Literal["First", "Last"] | None = None,
        order_by: str | SortKey | list[str | SortKey] | None = None,
        rows: int | None = None,
    ) -> ShuffledTable:
        """Keep one row of those that agree in these columns, or in all; or so many `rows`. keep: the first or the last
        ones by `order_by`, or by the order of the input; the first where not given."""
        ordered = _sort_keys(order_by) if order_by is not None else None
        arguments = {"by": together(by), "keep": keep, "order_by": ordered, "rows": rows}
        return self._shuffled("distinct", Distinct, arguments)

    def window(
        self,
        *by: Columns,
        order_by: str | SortKey | list[str | SortKey] | None = None,
        compute: Mapping[str, str],
    ) -> ShuffledTable:
        """Add columns computed of the rows around each row (docs/window.md): SQL expressions with window functions, by
        their names, as compute={"n": "row_number()"}. Rows that agree in `by` are one window, in the order of
        `order_by`, or of the input where not given."""
        ordered = _sort_keys(order_by) if order_by is not None else None
        arguments = {"by": together(by), "order_by": ordered, "compute": dict(compute)}
        return self._shuffled("window", Window, arguments)

    def group_by(self, *by: Columns, nulls: Literal["Keep", "Drop"] | None = None) -> GroupedTable:
        """Groups of rows with equal keys. nulls: what becomes of rows with a null in a key; they are kept where not
        given."""
        if not together(by):
            raise refused("group_by", "by", "no columns are named; name the keys of the groups")
        return GroupedTable(self, {"by": together(by), "nulls": nulls})

    def join(  # noqa: PLR0913 - all fields of a join
        self,
        right: ReadTable,
        on: Columns | None = None,
        *,
        left_on: Columns | None = None,
        right_on: Columns | None = None,
        how: JoinType | None = None,
        suffixes: tuple[str, str] | None = None,
        nulls_equal: bool | None = None,
        where: str | None = None,
    ) -> ShuffledTable:
        """Join with another input on equal keys; an inner join where `how` does not say. The inputs are called by their
        names, left and right where they have none. where: a condition besides, as "l.start <= r.ts"."""
        keys = {"on": listed(on), "left_on": listed(left_on), "right_on": listed(right_on)}
        more = {"type": how, "suffixes": suffixes, "nulls_equal": nulls_equal, "where": where}
        return self._joined("join", right, {**keys, **more})

    def join_sides(self, *sides: JoinedSide) -> ShuffledTable:
        """Join with several small tables in one pass: facts with their dimensions (docs/join.md). sides: what `side`
        gives, joined one after the other; each sees the columns of those before it."""
        wrong = next((one for one in sides if not isinstance(one, JoinedSide)), None)
        if wrong is not None or not sides:
            raise TypeError(f"join_sides takes what side(table, ...) gives, found {type(wrong).__name__}")
        if self.others:
            raise refused("join_sides", "sides", "a union is no side of a join; write it first, and join the result")
        path = (*_OPERATION, "join")
        inputs = [{"name": "left", **self.input}]
        inputs += [{"name": f"side_{at}", **one.table.input} for at, one in enumerate(sides, 1)]
        of_sides: Calls = {("spec", "inputs", at): one.table.call for at, one in enumerate(sides, 1)}
        calls: Calls = {("spec", "inputs", 0): self.call, path: "join_sides", **of_sides}
        bodies = [
            body_of(JoinSide, {"right": inputs[at]["name"], **one.arguments}, (*path, "sides", at - 1), calls)
            for at, one in enumerate(sides, 1)
        ]
        body = body_of(Join, {"left": inputs[0]["name"], "sides": bodies}, path, calls)
        return ShuffledTable(tuple(inputs), {"join": body}, calls)

    def join_as_of(  # noqa: PLR0913 - all fields of such a join
        self,
        right: ReadTable,
        on: Columns | None = None,
        *,
        left_time: str,
        right_time: str,
        left_on: Columns | None = None,
        right_on: Columns | None = None,
        direction: Literal["Backward", "Forward", "Nearest"] | None = None,
        tolerance: str | int | timedelta | None = None,
        allow_exact_matches: bool | None = None,
        suffixes: tuple[str, str] | None = None,
        nulls_equal: bool | None = None,
    ) -> ShuffledTable:
        """Every row, with the one row of another input that has its keys and is nearest in time, or with nulls
        (docs/join.md). left_time, right_time: the columns of time. direction: before it where not given. tolerance: how
        far off, as "5m", a number or a timedelta."""
        keys = {"on": listed(on), "left_on": listed(left_on), "right_on": listed(right_on)}
        nearest = {
            "left": left_time,
            "right": right_time,
            "direction": direction,
            "tolerance": _span(tolerance) if isinstance(tolerance, timedelta) else tolerance,
            "allow_exact_matches": allow_exact_matches,
        }
        calls: Calls = {(*_OPERATION, "join"): "join_as_of"}
        as_of = body_of(AsOf, nearest, (*_OPERATION, "join", "asOf"), calls)
        more = {"type": "AsOf", "as_of": as_of, "suffixes": suffixes, "nulls_equal": nulls_equal}
        return self._joined("join_as_of", right, {**keys, **more})

    def _joined(self, call: str, right: ReadTable, arguments: Mapping[str, object]) -> ShuffledTable:
        if not isinstance(right, ReadTable):
            raise TypeError(f"{call} takes what read_parquet and its siblings give, found {type(right).__name__}")
        if self.others or right.others:
            raise refused(call, "right", "a union is no side of a join; write it first, and join the result")
        inputs = [{"name": "left", **self.input}, {"name": "right", **right.input}]
        names = {"left": inputs[0]["name"], "right": inputs[1]["name"]}
        calls: Calls = {
            ("spec", "inputs", 0): self.call, ("spec", "inputs", 1): right.call, (*_OPERATION, "join"): call,
        }  # fmt: skip
        body = body_of(Join, {**names, **arguments}, (*_OPERATION, "join"), calls)
        return ShuffledTable(tuple(inputs), {"join": body}, calls)

    def _shuffled(self, call: str, model: Any, arguments: Mapping[str, object]) -> ShuffledTable:
        """call: which is also the field's name."""
        body = body_of(model, arguments, (*_OPERATION, call), {})
        return self.shuffled({call: body})

    def shuffled(self, operation: Body) -> ShuffledTable:
        """With an operation."""
        every = self.singly()
        calls: Calls = {("spec", "inputs", at): one.call for at, one in enumerate(every)}
        return ShuffledTable(tuple(one.input for one in every), operation, calls)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("write_"):
                hint = "say what is done with it first: repartition() writes the same rows to files of even size"
                raise AttributeError(f"a table that was only read has no {name}; {hint}", name=name, obj=self)
            raise AttributeError(f"{type(self).__name__} has no {name!r}", name=name, obj=self)


def _span(tolerance: timedelta) -> str:
    """As the resource has it."""
    return f"{tolerance // timedelta(microseconds=1)}us"


def _sort_keys(*given: str | SortKey | list[str | SortKey]) -> list[Any]:
    found = [key for each in given for key in (each if isinstance(each, list | tuple) else [each])]
    return [key if isinstance(key, SortKey) else {"column": key} for key in found]


@dataclass(frozen=True, slots=True, repr=False)
class GroupedTable:
    """An input whose rows are grouped."""

    table: ReadTable
    keys: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"{self.table!r}.group_by({', '.join(map(repr, self.keys['by']))})"

    def agg(self, *aggregations: Aggregation, **named: Aggregation) -> ShuffledTable:
        """One row for each group: its keys, and these columns. A keyword names the column that it is.

        aggregations: made by the functions of `agg`, as agg.sum("amount")."""
        found = [*aggregations, *named.values()]
        wrong = next((each for each in found if not isinstance(each, Aggregation)), None)
        if wrong is not None:
            raise TypeError(f'agg takes aggregations such as agg.sum("amount"), found {wrong!r}')
        renamed = [each.model_copy(update={"as_": name}) for name, each in named.items()]
        return self._shuffled({"aggregations": [*aggregations, *renamed]})

    def apply(
        self,
        function: AnyFunction,
        *,
        schema: Schema | pa.Schema | None = None,
        per: Literal["Group", "Partition"] | None = None,
        timeout_seconds: int | None = None,
    ) -> ShuffledTable:
        """Call a function (table) -> table of your own for each group (docs/apply.md): `package.module:function`, or
        the function itself, if it can be imported. schema: the columns that it returns."""
        name = function_name(function, "apply", "function")
        more = {"schema_": declared(schema), "per": per, "timeout_seconds": timeout_seconds}
        return self._shuffled({"apply": name, **more})

    def _shuffled(self, arguments: Mapping[str, object]) -> ShuffledTable:
        body = body_of(GroupBy, {**self.keys, **arguments}, (*_OPERATION, "groupBy"), {})
        return self.table.shuffled({"groupBy": body})


@dataclass(frozen=True, slots=True)
class JoinedSide:
    """A table, and how it is joined."""

    table: ReadTable
    arguments: Mapping[str, Any]
    """By the names of the resource's model."""


def side(  # noqa: PLR0913 - all fields of a side
    right: ReadTable,
    on: Columns | None = None,
    *,
    left_on: Columns | None = None,
    right_on: Columns | None = None,
    how: SideType | None = None,
    suffixes: tuple[str, str] | None = None,
    nulls_equal: bool | None = None,
    where: str | None = None,
) -> JoinedSide:
    """One side of `join_sides`: a table that fits in each worker's memory. left_on and l in `where` may be any column
    that is joined before it. The arguments are those of `ReadTable.join`."""
    if right.others:
        raise refused("side", "right", "a union is no side of a join; write it first, and join the result")
    keys = {"on": listed(on), "left_on": listed(left_on), "right_on": listed(right_on)}
    return JoinedSide(right, {**keys, "type": how, "suffixes": suffixes, "nulls_equal": nulls_equal, "where": where})


@dataclass(frozen=True, slots=True, repr=False)
class ShuffledTable:
    """One input, several of a union, or the two of a join, and what is done with them. It is a job once
    `write_parquet` or one of its siblings says where to."""

    inputs: tuple[Body, ...]
    operation: Body
    calls: Calls = field(default_factory=dict)

    def __repr__(self) -> str:
        tables = [ReadTable(each, self.calls.get(("spec", "inputs", at), "")) for at, each in enumerate(self.inputs)]
        return f"{', '.join(map(repr, tables))}.{next(iter(self.operation))}(...)"

    write_parquet = TableWriter("write_parquet", "Parquet")
    write_csv = TableWriter("write_csv", "CSV")
    write_json = TableWriter("write_json", "JSON")
    write_feather = TableWriter("write_feather", "Feather")
    write_orc = TableWriter("write_orc", "ORC")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name in _OPERATIONS:
                hint = f"write this and read the result by another job, which has the {name}"
                raise AttributeError(f"a job has one operation, and this one has it; {hint}", name=name, obj=self)
            raise AttributeError(f"{type(self).__name__} has no {name!r}", name=name, obj=self)


_OPERATIONS = (
    "repartition",
    "sort",
    "cluster",
    "window",
    "distinct",
    "group_by",
    "join",
    "join_sides",
    "join_as_of",
    "apply",
    "agg",
)
