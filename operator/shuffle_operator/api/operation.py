"""`spec.operation`: what is done with the rows. Exactly one of its members is given (rules.py)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from shuffle_operator.api.arrays import Rechunk
from shuffle_operator.api.columns import DeclaredColumns
from shuffle_operator.api.data import Expressions
from shuffle_operator.api.types import INT32_MAX, ApiModel, Column, FunctionName, UniqueColumns
from shuffle_protocol.names import first_twice
from shuffle_protocol.spans import PATTERN

MOST_SEED = (1 << 53) - 1
"""What every reader of JSON holds exactly."""

MOST_ROWS_KEPT = 1_000_000
"""Of those that agree, which must fit in a worker's memory."""

MOST_SIDES = 16
"""Small inputs that one is joined with in one pass."""

MOST_CLUSTERED = 8
"""Columns that share the 64 bits of a place on a curve."""

Keys = Annotated[UniqueColumns, Field(min_length=1, max_length=64)]


class RandomOrder(ApiModel):
    """Puts every row at a random place of the whole output: a random file, and a random place in it."""

    seed: int = Field(
        ge=0,
        le=MOST_SEED,
        description="Says which random order: the same seed and input give the same files, and another seed another "
        "order, such as the number of an epoch.",
    )


class Repartition(ApiModel):
    """Puts rows that belong together into the same output file. `{}` deals the rows out in turn: files of even size."""

    by: Keys | None = Field(
        default=None,
        description="Columns to hash: rows that agree in all of them are in the same file. Not together with range.",
    )
    range: Keys | None = Field(
        default=None,
        description="Columns by whose value ranges rows are partitioned: each file holds one range, in ascending order "
        "of the files, and equal values are in the same file. Rows inside a file stay unsorted unless "
        "output.sortWithin says so. Not together with by.",
    )
    random: RandomOrder | None = Field(
        default=None,
        description="Puts the rows of all files in a random order. Not together with by or range.",
    )


class SortKey(ApiModel):
    """One column to sort by."""

    column: Column = Field(description="The column's name.")
    order: Literal["Ascending", "Descending"] = Field(default="Ascending", description="The direction.")
    nulls: Literal["First", "Last"] = Field(
        default="Last", description="Where rows without a value go, whatever the direction."
    )


def _columns_once(keys: list[SortKey]) -> list[SortKey]:
    twice = first_twice([key.column for key in keys])
    if twice is not None:
        raise PydanticCustomError("repeated", '"{name}" is a key more than once; keep the first', {"name": twice})
    return keys


SortKeys = Annotated[list[SortKey], AfterValidator(_columns_once)]
KEYED_BY_COLUMN: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["column"]}
"""Of the schema of such a list."""


class Sort(ApiModel):
    """Sorts all rows globally and stably: by row inside each file, and by file."""

    by: SortKeys = Field(
        min_length=1,
        max_length=64,
        description="The keys, the most significant first.",
        json_schema_extra=KEYED_BY_COLUMN,
    )


def _tolerance(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_SEED:
        return value
    if isinstance(value, str) and re.fullmatch(TOLERANCE, value):
        return value
    raise PydanticCustomError("tolerance", "expected a span of time, such as 5m, 1h30m or 250ms, or a number")


TOLERANCE = rf"{PATTERN}|^[0-9]{{1,18}}(\.[0-9]{{1,18}})?$"
Tolerance = Annotated[
    int | str,
    PlainValidator(_tolerance),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": TOLERANCE, "minimum": 0, "maximum": MOST_SEED}),
]


class AsOf(ApiModel):
    """Which right row belongs to a left one: of those with its keys, the nearest in time."""

    left: Column = Field(description="The left input's column of time: a time, a date or a number.")
    right: Column = Field(description="The right input's column of time, of the same kind.")
    direction: Literal["Backward", "Forward", "Nearest"] = Field(
        default="Backward",
        description="Where the right row is looked for: before the left one, after it, or on both sides. Of several at "
        "one time Backward takes the last in the input and Forward the first; of two that are equally near Nearest "
        "takes the one before.",
    )
    tolerance: Tolerance | None = Field(
        default=None,
        description="How far off it may be, this included: a span of time, such as 5m, 1h30m or 250ms, or a number "
        "where the columns are numbers. Any distance where absent.",
    )
    allow_exact_matches: bool = Field(default=True, description="Whether a right row at the very time counts.")


class JoinSide(ApiModel):
    """One of several right inputs of a join."""

    right: str = Field(min_length=1, max_length=63, description="The name of the input.")
    type: Literal["Inner", "Left", "LeftSemi", "LeftAnti", "Cross"] = Field(
        default="Inner",
        description="What becomes of rows without a partner, as of a join with one right input. The side's own rows "
        "are never kept without one.",
    )
    on: Keys | None = Field(
        default=None, description="Key columns that are called the same in this input and in what is joined before it."
    )
    left_on: Keys | None = Field(
        default=None, description="Key columns of what is joined before, with rightOn, instead of on."
    )
    right_on: Keys | None = Field(
        default=None, description="Key columns of this input, as many as leftOn and in its order."
    )
    suffixes: list[Annotated[str, Field(max_length=63)]] = Field(
        default=["", "_right"],
        min_length=2,
        max_length=2,
        description="Appended to the names of columns that both have: those joined before, this input's.",
    )
    nulls_equal: bool = Field(default=False, description="Whether a null key matches a null key.")
    where: str | None = Field(
        default=None,
        min_length=1,
        max_length=16_384,
        description="A condition besides the equal keys, as of a join with one right input; l is what comes before.",
    )


class Join(ApiModel):
    """Joins two inputs: rows with equal keys, for which a condition may hold besides."""

    type: Literal[
        "Inner", "Left", "Right", "Full", "LeftSemi", "LeftAnti", "RightSemi", "RightAnti", "Cross", "AsOf"
    ] = Field(
        default="Inner",
        description="Which rows without a partner are kept. LeftSemi and RightSemi: only one side's rows, those that "
        "have a partner; LeftAnti and RightAnti: those that have none. Cross: every row of the one with every row of "
        "the other, without keys; the smaller side must fit in each worker's memory. AsOf: every left row, with the "
        "one right row that is nearest in time, or with nulls.",
    )
    left: str = Field(min_length=1, max_length=63, description="The name of the left input.")
    right: str | None = Field(
        default=None, min_length=1, max_length=63, description="The name of the right input. Not together with sides."
    )
    sides: list[JoinSide] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_SIDES,
        description="Several right inputs instead of one, joined one after the other in one pass over the left input: "
        "a table of facts and its dimensions. Together they must fit in each worker's memory. What else is said "
        "of a join is said of each side.",
    )
    on: Keys | None = Field(default=None, description="Key columns that are called the same in both inputs.")
    left_on: Keys | None = Field(
        default=None, description="Key columns of the left input, with rightOn, instead of on."
    )
    right_on: Keys | None = Field(
        default=None, description="Key columns of the right input, as many as leftOn and in its order."
    )
    suffixes: list[Annotated[str, Field(max_length=63)]] = Field(
        default=["", "_right"],
        min_length=2,
        max_length=2,
        description="Appended to the names of columns that both inputs have: the left one's, the right one's.",
    )
    nulls_equal: bool = Field(default=False, description="Whether a null key matches a null key.")
    where: str | None = Field(
        default=None,
        min_length=1,
        max_length=16_384,
        description="An SQL condition besides the equal keys, as in ON: rows for which it is not true are no partners. "
        "Columns are named with their side, l or r, or with the name of its input. For example: l.start <= r.ts AND "
        "r.ts < l.end. Not with type AsOf.",
    )
    as_of: AsOf | None = Field(default=None, description="With type AsOf: what is nearest, and how near it must be.")


class Aggregation(ApiModel):
    """One column of the result of a groupBy."""

    function: Literal[
        "sum", "mean", "min", "max", "count", "size", "countDistinct", "approxCountDistinct", "first", "last", "stddev",
        "variance", "skew", "corr", "median", "quantile", "approxQuantile", "largest", "smallest", "list", "any", "all",
    ] = Field(
        description="What is computed for each group. count: its values; size: its rows. stddev, variance and skew "
        "are those of a sample, corr is Pearson's. largest and smallest give a list of some values, the best first. "
        "quantile and median interpolate between the two nearest values and are exact; the "
        "approx ones need a bounded amount of memory a group."
    )  # fmt: skip
    column: Column | None = Field(
        default=None,
        description="The column it is computed from. size has none; count without one counts rows, as size does.",
    )
    with_: Column | None = Field(default=None, alias="with", description="For corr: the other column.")
    values: int | None = Field(
        default=None, ge=1, le=10_000, description="For largest and smallest: how many values of each group."
    )
    as_: Column | None = Field(
        default=None, alias="as", description="The name of the result; by default function_column."
    )
    quantile: float | None = Field(
        default=None, ge=0, le=1, description="For quantile and approxQuantile: which one, from 0 to 1."
    )
    ignore_nulls: bool = Field(
        default=True,
        description="Whether nulls are left out. If not, count counts them, first, last and list have them, "
        "countDistinct takes null for one more value, and every other function gives null for a group with a null.",
    )


class GroupBy(ApiModel):
    """Groups rows by key, and aggregates each group or hands it to a function."""

    by: Keys = Field(description="The key columns.")
    aggregations: list[Aggregation] | None = Field(
        default=None, min_length=1, max_length=256, description="The columns of the result beside the keys."
    )
    apply: FunctionName | None = Field(
        default=None,
        description="A function (table) -> table of your own, as package.module:function, that is called with the rows "
        "of a group and returns the rows of the result. It is given a pyarrow Table, or what its parameter is "
        "annotated with: a data frame of pandas, Polars or cuDF, a dict of arrays, or Iterator[pa.RecordBatch] for "
        "groups that do not fit in memory. See spec.functions for where it is found.",
    )
    per: Literal["Group", "Partition"] = Field(
        default="Group",
        description="With apply: whether the function is called once for each group, or once for each output file with "
        "the rows of all its groups, group by group.",
    )
    timeout_seconds: int = Field(
        default=3600, ge=1, le=INT32_MAX, description="With apply: the longest that one call may take."
    )
    nulls: Literal["Keep", "Drop"] = Field(
        default="Keep",
        description="What becomes of rows with a null in a key column: a null is a key like any other, or they are "
        "left out.",
    )
    schema_: DeclaredColumns | None = Field(
        default=None,
        alias="schema",
        min_length=1,
        max_length=1000,
        description="The columns that apply returns. Without it the function is called for a sample before the job "
        "starts, and what it returns then counts.",
    )


class Distinct(ApiModel):
    """Keeps one row, or a few, of those that agree."""

    by: Keys | None = Field(default=None, description="The columns that are compared; by default all.")
    keep: Literal["First", "Last"] = Field(
        default="First",
        description="Which rows are kept, by orderBy, and where that is absent or equal in input order.",
    )
    order_by: SortKeys | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="What the rows that agree are ordered by, the most significant first; by default the order of the "
        "input. {column: ts, order: Descending} and keep First: the newest row.",
        json_schema_extra=KEYED_BY_COLUMN,
    )
    rows: int = Field(
        default=1,
        ge=1,
        le=MOST_ROWS_KEPT,
        description="How many rows are kept of those that agree; all of them where there are fewer.",
    )


class Cluster(ApiModel):
    """Puts rows that are near each other in several columns into the same file, so that a filter on any of these
    columns skips most files."""

    by: UniqueColumns = Field(
        min_length=2,
        max_length=MOST_CLUSTERED,
        description="The columns, all of the same weight. Two or three; with more, each says less of where a row is.",
    )
    curve: Literal["Hilbert", "ZOrder"] = Field(
        default="Hilbert",
        description="The curve along which rows are put in order. ZOrder favours the first column a little and skips "
        "less in all.",
    )


class Window(ApiModel):
    """Computes columns of the rows around each row: numbers, ranks, neighbours, running and moving totals, sessions.
    Every row is kept."""

    by: Keys | None = Field(default=None, description="Rows that agree in these columns are one window. Needed.")
    order_by: SortKeys | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="The order of a window's rows, the most significant key first. Rows that are equal in it, and all "
        "rows where it is absent, keep the order of the input.",
        json_schema_extra=KEYED_BY_COLUMN,
    )
    compute: Expressions = Field(
        min_length=1,
        max_length=1_000,
        description="Columns to compute: an SQL expression with window functions by each name, for example "
        "nr: row_number(), prev: lag(amount, 1), or total: sum(amount) OVER ROWS BETWEEN UNBOUNDED PRECEDING AND "
        "CURRENT ROW. OVER says the frame alone. Without it the frame is that of SQL: from the window's first row to "
        "the last that is equal in orderBy, and the whole window without orderBy.",
    )


class Operation(ApiModel):
    """What is done: exactly one of these."""

    repartition: Repartition | None = Field(
        default=None,
        description="Rows go to files by hash or by range, so that those that belong together are in one; or in turn "
        "({}), or in a random order.",
    )
    sort: Sort | None = Field(default=None, description="A global, stable sort.")
    join: Join | None = Field(default=None, description="Joins two inputs on equal keys.")
    group_by: GroupBy | None = Field(default=None, description="Aggregates each group of rows, or calls a function.")
    distinct: Distinct | None = Field(default=None, description="Keeps one row, or a few, of those that agree.")
    cluster: Cluster | None = Field(
        default=None, description="Rows in the order of a curve through several columns, for filters on any of them."
    )
    window: Window | None = Field(
        default=None, description="Adds columns computed of the rows around each row, as window functions do in SQL."
    )
    rechunk: Rechunk | None = Field(default=None, description="Stores arrays in chunks of another shape.")
