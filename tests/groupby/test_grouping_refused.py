"""What is wrong with a groupBy or a distinct is said while the job is planned: the field, what was found, what would
do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.groupby.in_process import aggregation, job_of, planned, write_table

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Aggregation, AnyOperation, Distinct, GroupBy, SortKey

TABLE = pa.table(
    {
        "user": ["a"],
        "amount": [1.5],
        "name": ["x"],
        "at": pa.array([1], pa.timestamp("us")),
        "tags": pa.array([["t"]], pa.list_(pa.string())),
        "flag": [True],
    }
)

BY = ["user"]
OTHERS = "for such a column there are"

REFUSED: list[tuple[AnyOperation, str]] = [
    (GroupBy([], [aggregation("sum", "amount")]), "by: is empty; name the columns to group by"),
    (GroupBy(["usr"], [aggregation("sum", "amount")]), "by[0]: the input has no column 'usr'; did you mean 'user'?"),
    (GroupBy(["tags"], [aggregation("sum", "amount")]), "by[0]: 'tags' is list<element: string>, which can be neither"),
    (GroupBy(["user", "user"], [aggregation("sum", "amount")]), "by: 'user' is named twice"),
    (
        GroupBy(BY, [aggregation("sum", "amont")]),
        "aggregations[0].column: the input has no column 'amont'; did you mean 'amount'?",
    ),
    (
        GroupBy(BY, [aggregation("sum", "name")]),
        "aggregations[0]: sum takes columns of numbers, booleans and durations, but 'name' is string; "
        f"{OTHERS} approxCountDistinct, count, countDistinct, first, largest, last, list, max, min, size, smallest",
    ),
    (
        GroupBy(BY, [aggregation("mean", "at")]),
        "aggregations[0]: mean takes columns of numbers and booleans, but 'at' is timestamp[us]",
    ),
    (
        GroupBy(BY, [aggregation("min", "tags")]),
        "aggregations[0]: min takes columns of numbers, text, bytes, times and booleans, but 'tags' is "
        f"list<element: string>; {OTHERS} count, first, last, list, size",
    ),
    (
        GroupBy(BY, [aggregation("any", "amount")]),
        "aggregations[0]: any takes columns of booleans, but 'amount' is double",
    ),
    (
        GroupBy(BY, [aggregation("median", "flag")]),
        "aggregations[0]: median takes columns of numbers, but 'flag' is bool",
    ),
    (
        GroupBy(BY, [aggregation("sum", "amount", "s"), aggregation("mean", "amount", "s")]),
        "aggregations[1]: its column would be called 's', as that of operation.groupBy.aggregations[0] is; give it "
        "another name with `as`",
    ),
    (
        GroupBy(BY, [aggregation("sum", "amount", "user")]),
        "aggregations[0]: its column would be called 'user', as that of operation.groupBy.by[0] is",
    ),
    (GroupBy(BY, [Aggregation("quantile", "amount", "q")]), "aggregations[0].quantile: missing"),
    (
        GroupBy(BY, [Aggregation("sum", None, "s")]),
        "aggregations[0].column: missing: sum is worked out from a column",
    ),
    (
        GroupBy(BY, [Aggregation("mode", "amount", "m")]),
        "aggregations[0].function: there is no 'mode'; functions are sum, mean",
    ),
    (Distinct(["usr"]), "operation.distinct.by[0]: the input has no column 'usr'; did you mean 'user'?"),
    (Distinct(["user", "user"]), "operation.distinct.by: 'user' is named twice"),
    (
        Distinct(),
        "operation.distinct: 'tags' is list<element: string>, which can be neither ordered nor hashed as a key; choose "
        "a column of numbers, text, bytes, times or booleans, or name the columns to compare with `by`",
    ),
]


@pytest.mark.parametrize(("operation", "message"), REFUSED)
def test_refused(tmp_path: Path, operation: AnyOperation, message: str) -> None:
    folder = write_table(tmp_path / "in", TABLE)
    with pytest.raises(InvalidSpec) as caught:
        planned(job_of(folder, operation))
    where = "operation.groupBy." if isinstance(operation, GroupBy) else ""
    assert caught.value.message.startswith(where + message)


def refused(tmp_path: Path, operation: AnyOperation, **options: Any) -> str:
    folder = write_table(tmp_path / "in", TABLE)
    with pytest.raises(InvalidSpec) as caught:
        planned(job_of(folder, operation, **options))
    return caught.value.message


def test_columns_that_were_not_selected(tmp_path: Path) -> None:
    operation = GroupBy(["user"], [aggregation("sum", "amount")])
    said = refused(tmp_path, operation, columns=["user", "name"])
    assert said == ("operation.groupBy.aggregations[0].column: 'amount' is not among inputs[0].columns; add it there")


def test_sort_within_is_about_the_output(tmp_path: Path) -> None:
    operation = GroupBy(["user"], [aggregation("sum", "amount", "total")])
    assert refused(tmp_path, operation, sort_within=[SortKey("amount")]).startswith(
        "output.sortWithin[0]: the output has no column 'amount'"
    )
