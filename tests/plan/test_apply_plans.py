"""Planning of a function over groups: found or refused, and the columns that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from jobs import job, plan_of, write
from tests.functions.users import module

from shuffle_worker.errors import InvalidSpec, JobError, UserFunctionFailed
from shuffle_worker.plan.record import Plan
from shuffle_worker.protocol.messages import Apply, CodeSource, Functions, Job, ResultColumn, SortKey

ROWS = pa.table({"user": [1, 1, 2, None, 3, 3, 3], "amount": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]})
CODE = """
import decimal, sys
import pyarrow.compute as pc

def same(rows): return rows
def two(a, b): return a
def frame(rows: pd.DataFrame) -> pd.DataFrame: return rows.assign(text="x")
def total(rows):
    return pa.table({"user": rows["user"].slice(0, 1), "total": [pc.sum(rows["amount"]).as_py()]})
def nothing(rows): return rows.slice(0, 0)
def nulls(rows): return pa.table({"x": pa.nulls(1)})
def sometimes(rows):
    return pa.table({"x": pa.nulls(1) if rows.num_rows == 3 else pa.array([1], pa.int16())})
def grows(rows):
    return pa.table({"x": pa.array([1], pa.int16()) if rows.num_rows == 3 else pa.array([1.5])})
def changes(rows):
    return pa.table({"x": ["a"] if rows.num_rows == 3 else [1]})
def more(rows):
    return pa.table({"x": [1]}) if rows.num_rows == 3 else pa.table({"y": [1]})
def words(rows): return pa.table({"word": pa.array(["a"] * 50).dictionary_encode()})
def fails(rows): raise KeyError("amount")
def twice(rows): return pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    module(folder, "mine", CODE)
    return folder


def applying(folder: Path, mine: Path, function: str, rows: pa.Table = ROWS, **changes: Any) -> Job:
    write(folder, {"a.parquet": rows})
    apply = {name: changes.pop(name) for name in ("schema", "per", "nulls", "by") if name in changes}
    operation: Any = Apply(**{"by": ["user"], "function": f"mine:{function}", **apply})
    functions = Functions([CodeSource(str(mine), name="the test's folder", last=True)])
    return job(folder, operation, functions=functions, **changes)


def planned(*arguments: Any, **changes: Any) -> Plan:
    return plan_of(applying(*arguments, **changes))


def refused(kind: type[JobError], *arguments: Any, **changes: Any) -> str:
    with pytest.raises(kind) as caught:
        planned(*arguments, **changes)
    return caught.value.message


def test_the_columns_are_those_of_what_it_returns_for_a_sample(tmp_path: Path, mine: Path) -> None:
    one = applying(tmp_path, mine, "total")
    plan = plan_of(one)
    assert plan.arrow_schema().equals(pa.schema({"user": pa.int64(), "total": pa.float64()}))
    assert not plan.summary.keeps_rows
    assert plan == plan_of(one)
    plan = planned(tmp_path, mine, "frame")
    assert plan.arrow_schema().names == ["user", "amount", "text"]


@pytest.mark.parametrize(
    ("function", "kind"),
    [("sometimes", pa.int16()), ("grows", pa.float64()), ("words", pa.dictionary(pa.int32(), pa.string()))],
)
def test_groups_that_say_little_are_filled_in_by_others(
    tmp_path: Path, mine: Path, function: str, kind: pa.DataType
) -> None:
    plan = planned(tmp_path, mine, function)
    assert plan.arrow_schema().types == [kind]
    assert ("word" in plan.dictionary) == (function == "words")


def test_an_estimate_of_the_output_comes_from_the_sample(tmp_path: Path, mine: Path) -> None:
    many = pa.table({"user": list(range(50)) * 100, "amount": [0.5] * 5000})
    few, all_of_them = (planned(tmp_path / name, mine, name, many) for name in ("total", "same"))
    assert few.row_bytes == pytest.approx(16, abs=1)
    assert few.inputs[0].rows == all_of_them.inputs[0].rows == 5000


def test_a_declared_schema_needs_no_call(tmp_path: Path, mine: Path) -> None:
    declared = [ResultColumn("x", "decimal128(10, 2)"), ResultColumn("when", "timestamp[us, tz=UTC]")]
    plan = planned(tmp_path, mine, "fails", schema=declared, sort_within=[SortKey("x")])
    wanted = pa.schema({"x": pa.decimal128(10, 2), "when": pa.timestamp("us", "UTC")})
    assert plan.arrow_schema().equals(wanted)


def test_no_rows_at_all(tmp_path: Path, mine: Path) -> None:
    plan = planned(tmp_path / "a", mine, "same", ROWS.slice(0, 0))
    assert plan.arrow_schema().names == ["user", "amount"]
    message = refused(InvalidSpec, tmp_path / "b", mine, "fails", ROWS.slice(0, 0))
    assert "there are no rows to call it with, and without any KeyError: 'amount'" in message
    assert "declare the columns that it returns" in message


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("nulls", "the column 'x' holds nothing but nulls in what it returned for a sample; declare"),
        ("changes", "returned 'x' with different types for groups of a sample: string, int64"),
        ("more", "tables of different columns for two groups of a sample: 'x', 'y' is in one of them only"),
        ("twice", "'x' is there more than once"),
        ("two", "is called with one argument, the table; its parameters are (a, b)"),
        ("nthing", "the module mine has no 'nthing'; did you mean 'nothing'?"),
    ],
)
def test_what_cannot_be_an_output_is_refused(tmp_path: Path, mine: Path, function: str, told: str) -> None:
    assert told in refused(InvalidSpec, tmp_path, mine, function)


def test_one_that_raises_for_a_sample_is_told_so(tmp_path: Path, mine: Path) -> None:
    message = refused(UserFunctionFailed, tmp_path, mine, "fails")
    assert "mine:fails raised KeyError: 'amount'\nkey user = 3, 3 rows, in a sample, while planning" in message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"by": ["usr"]}, "operation.groupBy.by[0]: the input has no column 'usr'; did you mean 'user'?"),
        ({"by": ["user", "user"]}, "operation.groupBy.by: 'user' is named twice"),
        ({"schema": [ResultColumn("x", "int46")]}, "operation.groupBy.schema[0].type: 'int46' is no Arrow type"),
        ({"schema": [ResultColumn("x", "int8")] * 2}, "operation.groupBy.schema[1].name: 'x' is declared twice"),
        ({"sort_within": [SortKey("amont")]}, "output.sortWithin[0]: the output has no column 'amont'"),
    ],
)
def test_fields_that_do_not_fit(tmp_path: Path, mine: Path, changes: dict[str, Any], told: str) -> None:
    assert told in refused(InvalidSpec, tmp_path, mine, "same", **changes)


def test_code_is_held_to_its_digest(tmp_path: Path, mine: Path) -> None:
    one = applying(tmp_path, mine, "same")
    file = CodeSource(str(mine / "mine.py"))
    plan = plan_of(msgspec.structs.replace(one, functions=Functions([file, *one.functions.sources])))
    assert [len(digest) for digest in plan.code] == [64, 0]
