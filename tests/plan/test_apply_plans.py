"""Planning of a function over groups: found or refused, and the columns that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from tests.functions.users import module
from tests.plan.jobs import job, plan_of, write

from shuffle_protocol.errors import InvalidSpec, JobError, UserFunctionFailed
from shuffle_protocol.jobs import Apply, CodeSource, Functions, Job, Output, ResultColumn, SortKey
from shuffle_worker.inputs.keyed import Keyed
from shuffle_worker.inputs.planned import Size
from shuffle_worker.operations.apply.plan import ApplyPlanning
from shuffle_worker.plan.record import Plan

ROWS = pa.table({"user": [1, 1, 2, None, 3, 3, 3], "amount": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]})
CODE = """
import decimal, sys, time
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
def slow(rows):
    time.sleep(0.02)
    return rows
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


@pytest.mark.parametrize(
    ("groups", "rows_each", "per", "files"),
    [
        (1, 1000, "Group", 1),
        (4, 10, "Group", 1),
        (10, 10, "Group", 3),
        (100, 10, "Group", 25),
        (130, 1, "Group", 32),
        (5000, 1, "Group", 32),
        (5000, 1, "Partition", 32),
        (2, 1000, "Partition", 1),
    ],
)
def test_files_follow_from_the_calls_so_that_every_worker_has_some(
    tmp_path: Path, mine: Path, groups: int, rows_each: int, per: str, files: int
) -> None:
    """And not from the number of workers, any of which must give the same."""
    rows = pa.table({"user": list(range(groups)) * rows_each, "amount": [0.5] * (groups * rows_each)})
    for workers in (1, 7) if groups == 100 else (4,):
        plan = planned(tmp_path / str(workers), mine, "total", rows, per=per, workers=workers)
        assert plan.layout.partitions == files


@pytest.mark.parametrize(
    ("groups", "gigabytes", "per", "files"),
    [(1e7, 1, "Group", 500), (100, 10, "Group", 100), (1e6, 10, "Partition", 320), (3, 100, "Partition", 3)],
)
def test_files_of_what_is_large(mine: Path, groups: float, gigabytes: int, per: str, files: int) -> None:
    operation = Apply(["user"], "mine:total", per=per)
    planning = ApplyPlanning(Job("x", "x", operation, [], Output("out"), 2, 1 << 30), operation)
    keyed = Keyed(int(1e8), int(1e8), int(groups), 0, 0)
    size = Size(1e8, gigabytes * 2**30 / 1e8, 0, keyed=keyed)
    assert planning.files(1, [size], size) == pytest.approx(files, rel=0.01)


def test_what_the_job_says_of_files_counts(tmp_path: Path, mine: Path) -> None:
    rows = pa.table({"user": list(range(500)), "amount": [0.5] * 500})
    assert planned(tmp_path / "a", mine, "total", rows, partitions=3).layout.partitions == 3
    assert planned(tmp_path / "b", mine, "total", rows, target_bytes=1 << 20).layout.partitions == 1


def test_calls_count_in_the_time_and_a_quicker_way_is_offered(tmp_path: Path, mine: Path) -> None:
    rows = pa.table({"user": list(range(60_000)), "amount": [0.5] * 60_000})
    declared = [ResultColumn("user", "int64"), ResultColumn("amount", "float64"), ResultColumn("text", "string")]
    one = applying(tmp_path, mine, "frame", rows, schema=declared, workers=2)
    plan = plan_of(one)
    assert 25 < plan.summary.seconds < 100
    assert plan.summary.seconds - plan.summary.seconds_after < 3
    assert plan.summary.tree is not None
    told = " ".join(plan.summary.tree.inputs[0].why)
    assert "60,000 calls of 1 row each" in told
    assert "as such functions usually do" in told
    assert "60,000 groups of 1 row: a function that takes all groups of a file at once, as pd.DataFrame" in told
    assert "per: Partition" in told
    whole = plan_of(applying(tmp_path / "b", mine, "frame", rows, schema=declared, per="Partition"))
    assert whole.summary.tree is not None
    assert "32 calls of 1,875 rows each" in " ".join(whole.summary.tree.inputs[0].why)
    assert whole.summary.seconds < 5


def test_explain_goes_by_the_time_that_the_sample_took(tmp_path: Path, mine: Path) -> None:
    """A plan that is carried out does not, for it is the same whenever it is made."""
    rows = pa.table({"user": list(range(2000)), "amount": [0.5] * 2000})
    one = applying(tmp_path, mine, "slow", rows, workers=1)
    timed = plan_of(one, timed=True)
    assert timed.summary.seconds > 2000 * 0.02
    assert timed.summary.tree is not None
    assert "as it did for a sample" in " ".join(timed.summary.tree.inputs[0].why)
    assert plan_of(one) == plan_of(one)
    assert plan_of(one).summary.seconds < 5


def test_a_function_over_frames_where_there_is_no_pandas(
    tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tmp_path / "without"
    module(without, "pandas", "raise ModuleNotFoundError(\"No module named 'pandas'\", name='pandas')\n")
    monkeypatch.setenv("PYTHONPATH", str(without))
    lazy = "import typing\nif typing.TYPE_CHECKING: import pandas as pd\ndef f(rows: pd.DataFrame): return rows\n"
    module(tmp_path, "lazy", lazy)
    module(tmp_path, "eager", "import pandas as pd\ndef f(rows: pd.DataFrame): return rows\n")
    told = "pandas is not installed; install it here, or in the image that the job names in workers.image; or annotate"
    for name, message in (
        ("lazy", told),
        ("eager", "eager was found, but it imports 'pandas', which was not; install"),
    ):
        one = applying(tmp_path / name, mine, "same")
        functions = Functions([CodeSource(str(tmp_path), name="the test's folder", last=True)])
        operation = msgspec.structs.replace(one.operation, function=f"{name}:f")
        with pytest.raises(InvalidSpec) as caught:
            plan_of(msgspec.structs.replace(one, functions=functions, operation=operation))
        assert caught.value.message.startswith(f"operation.groupBy.apply: {name}:f: ")
        assert message in caught.value.message
