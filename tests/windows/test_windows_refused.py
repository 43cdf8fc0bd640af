"""What is wrong with a window is said while the job is planned, with a caret at the place and what to write."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tests.groupby.in_process import job_of, planned, write_table

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import SortKey, Window

TABLE = pa.table(
    {
        "k": ["a"],
        "ts": pa.array([0], pa.timestamp("us")),
        "day": pa.array([0], pa.date32()),
        "clock": pa.array([0], pa.time64("us")),
        "n": [1],
        "money": pa.array(["1.50"]).cast(pa.decimal128(10, 2)),
        "wide": pa.array(["1.50"]).cast(pa.decimal128(30, 2)),
        "name": ["x"],
        "tags": [[1]],
    }
)
TS = [SortKey("ts")]


def said(tmp_path: Path, window: Window) -> str:
    with pytest.raises(InvalidSpec) as caught:
        planned(job_of(write_table(tmp_path / "in", TABLE), window))
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "expected", "at"),
    [
        ("sum(n", ") is missing here", 4),
        ("sum(m)", "the input has no column 'm'", 4),
        ("row_number", "there is no column 'row_number'; a function has parentheses", 0),
        ("row_numbr()", "row_numbr is not supported; did you mean row_number?", 0),
        ("median(n)", "median is not supported; ", 0),
        ("1 + lagg(n)", "lagg is not supported; did you mean lag?", 4),
        ("sum(name)", "SUM takes numbers, booleans and durations, name is string", 0),
        ("avg(ts)", "AVG takes numbers and booleans, ts is timestamp[us]", 0),
        ("max(tags)", "MAX takes numbers, text, bytes, times and booleans, tags is list", 0),
        ("sum(*)", "sum needs a column; only count takes *", 0),
        ("lag(n, -1)", "the number of rows is a whole number from 0 on, not -1", 0),
        ("lag(n, n)", "the number of rows is a whole number, the same for every row, not n", 0),
        ("lag(n, 1, 'x')", "the default 'x' is string, and n is int64; give both one type, as in CAST", 0),
        ("nth_value(n)", "NTH_VALUE is written nth_value(x, n), and is given 1 argument", 0),
        ("nth_value(n, 0)", "the number of the row is a whole number from 1 on, not 0", 0),
        ("ntile(0)", "the number of parts is a whole number from 1 on, not 0", 0),
        ("ntile(n)", "the number of parts is a whole number, the same for every row, not n", 0),
        ("rank(n)", "RANK is written rank(), and is given 1 argument", 0),
        ("count(DISTINCT n)", "count(DISTINCT ...) is not supported over a frame", 0),
        ("n + sum(n) FILTER (WHERE n > 1)", "FILTER is not supported; write CASE WHEN", 4),
        ("max(n) IGNORE NULLS", "max has no IGNORE NULLS", 0),
        ("sum(lag(n))", "lag stands inside of a window function", 4),
        ("lag(NULL)", "NULL is null; give it a type, as in CAST(NULL AS BIGINT)", 0),
        ("abs(n) OVER ROWS 1 PRECEDING", "abs is no window function; there are row_number", 0),
        ("rank() OVER ()", "rank has no frame", 0),
        ("lag(n) OVER ROWS 1 PRECEDING", "lag has no frame", 0),
        ("sum(n) OVER ()", "OVER is followed by a frame", 0),
        ("sum(n) OVER w", "OVER is followed by a frame", 0),
        ("sum(n) OVER (PARTITION BY k)", "PARTITION BY and ORDER BY are said once", 0),
        ("sum(n) OVER (ORDER BY ts ROWS 1 PRECEDING)", "PARTITION BY and ORDER BY are said once", 0),
        ("sum(n) OVER ROWS", "a frame goes from one row to another", 0),
        ("sum(n) OVER GROUPS 1 PRECEDING", "GROUPS is not supported; there are ROWS and RANGE", 0),
        ("sum(n) OVER (ROWS 1 PRECEDING EXCLUDE TIES)", "EXCLUDE is not supported", 0),
        ("sum(n) OVER ROWS 1.5 PRECEDING", "ROWS counts rows, so an offset is a whole number, not 1.5", 0),
        ("sum(n) OVER ROWS n PRECEDING", "an offset of a frame is a constant", 0),
        ("sum(n) OVER ROWS -1 PRECEDING", "ROWS counts rows, so an offset is a whole number, not -1", 0),
        ("sum(n) OVER ROWS 1 FOLLOWING", "the frame ends before it begins", 0),
        ("sum(n) OVER ROWS BETWEEN 1 PRECEDING AND 2 PRECEDING", "the frame ends before it begins", 0),
        ("sum(n) OVER ROWS BETWEEN UNBOUNDED FOLLOWING AND CURRENT ROW", "a frame cannot begin at the last row", 0),
        ("sum(n) OVER RANGE 1 PRECEDING", "ts is timestamp[us], so an offset is an interval", 0),
        ("sum(n) OVER RANGE '1 dai' PRECEDING", "dai is no unit of time", 0),
        ("sum(n) OVER RANGE INTERVAL '-1 day' PRECEDING", "an offset is not negative", 0),
        ("sum(n) OVER RANGE '1 nanosecond' PRECEDING", "ts is timestamp[us], which does not tell so short a time", 0),
        ("session(n, 1)", "session goes by the column that rows are ordered by, which is 'ts'", 0),
        ("session(ts, n)", "the gap of a session is a constant", 0),
        ("session(ts, 5)", "ts is timestamp[us], so a gap is an interval", 0),
        ("session(ts, INTERVAL '-1 day')", "a gap is not negative", 0),
        ("session(ts)", "SESSION is written session(ts, gap), and is given 1 argument", 0),
    ],
)
def test_the_place_and_what_to_write(tmp_path: Path, text: str, expected: str, at: int) -> None:
    message = said(tmp_path, Window(["k"], TS, {"c": text}))
    assert message.startswith(f"operation.window.compute.c: {expected}")
    assert message.splitlines()[1:] == [f"  {text}", f"  {' ' * at}^"]


@pytest.mark.parametrize(
    ("order", "text", "expected"),
    [
        ([], "rank()", "rank needs an order of the rows: name the columns in operation.window.orderBy"),
        ([], "session(ts, '1 day')", "session needs an order of the rows"),
        ([], "sum(n) OVER RANGE 1 PRECEDING", "RANGE with an offset needs one column in operation.window.orderBy"),
        (["ts", "n"], "sum(n) OVER RANGE 1 PRECEDING", "for the distance is in it; there are 2"),
        (["name"], "sum(n) OVER RANGE 1 PRECEDING", "name is string; there is a distance between numbers, dates and"),
        (["clock"], "sum(n) OVER RANGE 1 PRECEDING", "clock is time64[us]; there is a distance between numbers"),
        (["n"], "sum(n) OVER RANGE 0.5 PRECEDING", "n is int64, and 0.5 is no multiple of its smallest step"),
        (["n"], "sum(n) OVER RANGE '1 day' PRECEDING", "n is int64, so an offset is a number, written as one"),
        (["money"], "sum(n) OVER RANGE 0.001 PRECEDING", "0.001 is no multiple of its smallest step"),
        (["wide"], "sum(n) OVER RANGE 1 PRECEDING", "offsets go with decimals of up to 18 digits"),
        (["day"], "sum(n) OVER RANGE '1 hour' PRECEDING", "day is date32[day], so an offset is of whole days"),
    ],
)
def test_the_order_must_suit(tmp_path: Path, order: list[str], text: str, expected: str) -> None:
    assert expected in said(tmp_path, Window(["k"], [SortKey(name) for name in order], {"c": text}))


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (
            Window([], TS, {"c": "rank()"}),
            "operation.window.by: is empty, so all rows would be one window; write inputs",
        ),
        (Window(["k"], TS, {}), "operation.window.compute: is empty"),
        (Window(["kk"], TS, {"c": "rank()"}), "operation.window.by[0]: the input has no column 'kk'"),
        (Window(["tags"], TS, {"c": "rank()"}), "operation.window.by[0]: 'tags' is list"),
        (Window(["k", "k"], TS, {"c": "rank()"}), "operation.window.by: 'k' is named twice"),
        (Window(["k"], [*TS, *TS], {"c": "rank()"}), "operation.window.orderBy: 'ts' is named twice"),
        (Window(["k"], [SortKey("tags")], {"c": "rank()"}), "operation.window.orderBy[0].column: 'tags' is list"),
        (Window(["k"], TS, {"n": "rank()"}), "operation.window.compute.n: the input has a column 'n'; give it another"),
        (Window(["k"], TS, {"c": "n * 2"}), "operation.window.compute.c: n * 2: calls no window function"),
        (Window(["k"], TS, {"c": ""}), "operation.window.compute.c: is empty; write a value such as row_number()"),
        (Window(["k"], TS, {"c d": "rank(1)"}), 'operation.window.compute["c d"]: RANK is written rank()'),
    ],
)
def test_the_fields(tmp_path: Path, window: Window, expected: str) -> None:
    assert said(tmp_path, window).startswith(expected)


def test_columns_that_it_cannot_see(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "in", TABLE)
    for texts, expected in (
        ({"c": "lag(n)"}, "operation.window.compute.c: 'n' is used but not among inputs[0].columns; add it there"),
        ({"c": "rank()", "d": "lag(c)"}, "operation.window.compute.d: 'c' is computed by the window itself, whose"),
        ({"d": "lag(m)"}, "operation.window.compute.d: the input has no column 'm'"),
    ):
        with pytest.raises(InvalidSpec) as refused:
            planned(job_of(folder, Window(["k"], TS, texts), columns=["k", "ts"]))
        assert str(refused.value).startswith(expected)


def test_what_explain_says(tmp_path: Path) -> None:
    window = Window(["k"], [SortKey("ts", descending=True)], {"nr": "row_number()", "before": "lag(n)"})
    tree = planned(job_of(write_table(tmp_path / "in", TABLE), window)).summary.tree
    assert tree is not None
    (done,) = tree.inputs
    assert done.what == "window by k, ordered by ts descending, nulls last: before, nr"
    assert done.why[0] == "the rows of each window in their order, ties by their place in the input"
