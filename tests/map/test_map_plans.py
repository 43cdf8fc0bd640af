"""What is found out of a `map` while the job is planned, and what is refused, in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from tests.groupby.in_process import aggregation, carried_out, planned, write_table
from tests.map.conftest import Mapped, with_calls_of

from shuffle_protocol.errors import InvalidSpec, JobError, OutOfMemory, UserFunctionFailed
from shuffle_protocol.jobs import GroupBy, Repartition, ResultColumn, Sort, SortKey
from shuffle_protocol.memory import Budgets
from shuffle_worker.planning.planner import make_plan
from shuffle_worker.storage import storage_for

MIB = 1 << 20
TURN = Repartition()

REFUSED: list[tuple[str, type[JobError], list[str]]] = [
    ("mine:not_there", InvalidSpec, ["inputs[0].map: mine:not_there: the module mine has no 'not_there'"]),
    ("nowhere:f", InvalidSpec, ["inputs[0].map: nowhere:f: there is no module 'nowhere'", "the test's folder"]),
    ("broken:f", InvalidSpec, ["broken was found, but it imports 'not_there_at_all', which was not", "workers.image"]),
    ("mine:CALLS", InvalidSpec, ["mine:CALLS: is no function but an int"]),
    ("mine:two_parameters", InvalidSpec, ["is called with one argument, the table; its parameters are (rows, path)"]),
    ("mine:odd", InvalidSpec, ["its parameter 'rows' is annotated as dict", "pa.Table"]),
    ("mine:later", InvalidSpec, ["is an async function"]),
    ("mine:fails", UserFunctionFailed, ["raised ValueError: no sevens, please", "000.parquet", "mine.py, line"]),
    ("mine:column", UserFunctionFailed, ["raised KeyError: ", '"missing" does not exist', "000.parquet"]),
    ("mine:one_value", UserFunctionFailed, ["it returned an int (3), expected a pa.Table", "in a sample"]),
    ("mine:no_table", UserFunctionFailed, ["it returned None", "for no rows, return an empty table"]),
    ("mine:unlike", InvalidSpec, ["tables of different columns for two batches of a sample", "'c1', 'c2'"]),
    ("mine:all_null", InvalidSpec, ["inputs[0].mapSchema: is not given", "'a' holds nothing but nulls"]),
    ("mine:without_columns", InvalidSpec, ["mine:without_columns returns a table without columns"]),
    ("mine:twice", InvalidSpec, ["a table in which 'k' is there more than once"]),
    ("mine:unions", InvalidSpec, ["returned 'u' as sparse_union", "cannot be carried"]),
    ("mine:exits", UserFunctionFailed, ["raised SystemExit: 3"]),
    ("mine:leaves", UserFunctionFailed, ["crashed: its process left with exit code 3", "000.parquet"]),
    ("mine:crashes", UserFunctionFailed, ["crashed: its process was ended by SIGSEGV", "mine.py, line"]),
    ("mine:hangs", UserFunctionFailed, ["did not end: it ran longer than 0.3 s", "spec.functions.timeoutSeconds"]),
    ("mine:hungry", OutOfMemory, ["needs more memory than the", "spec.functions.memory", "000.parquet"]),
]


@pytest.mark.parametrize(("function", "kind", "words"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_cannot_be_called_is_refused_in_the_plan(
    mapped: Mapped, function: str, kind: type[JobError], words: list[str]
) -> None:
    seconds = 0.3 if function == "mine:hangs" else 60
    with pytest.raises(kind) as error:
        planned_of(mapped(function, TURN, seconds=seconds))
    for word in words:
        assert word in error.value.message
    assert error.value.message.startswith("inputs[0].map")


def planned_of(job: Any) -> Any:
    sources = [storage_for(one.paths[0], one.storage) for one in job.inputs]
    budgets = Budgets.for_limit(job.memory, functions=job.functions.memory)
    return make_plan(job, budgets, sources, storage_for(job.output.path, job.output.storage))


DECLARED = [ResultColumn("x", "int64"), ResultColumn("y", "string")]


def test_a_result_that_is_not_as_declared(mapped: Mapped) -> None:
    with pytest.raises(UserFunctionFailed) as error:
        planned(mapped("mine:other_columns", TURN, map_schema=DECLARED))
    message = error.value.message
    assert "inputs[0].map: mine:other_columns returned another table than was declared: 'y' is missing" in message
    assert "'x' is double, expected int64: Float value 1.5" in message
    assert "return these columns, or change inputs[0].mapSchema" in message


def test_a_type_that_there_is_not(mapped: Mapped) -> None:
    with pytest.raises(InvalidSpec, match=r"inputs\[0\]\.mapSchema\[0\]\.type: .*'int65'"):
        planned(mapped("mine:whole", TURN, map_schema=[ResultColumn("k", "int65")]))


def test_a_later_batch_that_differs_from_the_sample(mapped: Mapped, tmp_path: Path) -> None:
    """Names the file, its part and the rows."""
    write_table(tmp_path, pa.table({"k": [200] * 15_000 + [7], "v": [0.5] * 15_001, "s": ["a"] * 15_001}), 1, 5_000)
    plan = with_calls_of(planned(mapped("mine:fails", TURN, paths=[str(tmp_path)])), 4_000)
    with pytest.raises(UserFunctionFailed) as error:
        carried_out(plan)
    message = error.value.message
    assert message.startswith("inputs[0].map: mine:fails raised ValueError: no sevens, please\n")
    assert f"{tmp_path}/000.parquet, part 3, rows 0 to 0 of those that it is given" in message


def test_keys_are_of_what_it_returns(mapped: Mapped) -> None:
    with pytest.raises(InvalidSpec) as error:
        planned(mapped("mine:other_key", GroupBy(["k"], [aggregation("size")])))
    assert error.value.message == (
        "operation.groupBy.by[0]: what mine:other_key returns (inputs[0].map) has no column 'k'; did you mean 'key'?"
    )


def test_without_rows_it_is_called_with_none_of_them(mapped: Mapped) -> None:
    plan = planned(mapped("mine:whole", TURN, filter="k < 0"))
    assert plan.output_schema().names == ["k", "v", "s"]
    with pytest.raises(InvalidSpec) as error:
        planned(mapped("mine:column", TURN, filter="k < 0"))
    assert "inputs[0].mapSchema: is not given, and cannot be found out" in error.value.message
    assert "there are no rows to call it with" in error.value.message
    declared = planned(mapped("mine:column", TURN, filter="k < 0", map_schema=DECLARED))
    assert declared.output_schema().names == ["x", "y"]


def test_the_plan_says_how_many_rows_it_makes(mapped: Mapped) -> None:
    plan = planned(mapped("mine:exploded", Sort([SortKey("k")]), filter="v > 0"))
    node = plan.summary.tree
    names = []
    while node is not None:
        names.append(node.step)
        if node.step == "Map":
            assert node.what == "mine:exploded"
            assert node.why[0].startswith("is given pa.Table, up to ")
            assert 1_900 < node.estimated.rows < 2_600
        node = node.inputs[0] if node.inputs else None
    assert names == ["Write", "Sort", "Shuffle", "Map", "Filter", "Read"]


def test_the_same_plan_each_time(mapped: Mapped) -> None:
    plans = [planned(mapped("mine:kept", Sort([SortKey("double")]), 3)) for _ in range(2)]
    assert msgspec.json.encode(plans[0]) == msgspec.json.encode(plans[1])


def test_the_functions_of_a_job_share_its_memory(mapped: Mapped) -> None:
    job = mapped("mine:whole", TURN)
    assert job.functions_called == 1
    both = msgspec.structs.replace(job, inputs=[msgspec.structs.replace(job.inputs[0], reader="mine:whole")])
    assert both.functions_called == 2
    budgets = Budgets.for_limit(job.memory, functions=job.functions.memory)
    assert budgets.shared_by(2).functions == budgets.functions // 2
    assert budgets.shared_by(0) == budgets
