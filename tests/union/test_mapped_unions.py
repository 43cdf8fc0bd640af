"""Inputs of a union whose rows go through functions of their own: the rows of DuckDB's UNION ALL BY NAME of what these
return, and the same bytes whatever the batches, the memory and the order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.functions.users import module
from tests.groupby.in_process import Cut, aggregation, asked, carried_out, planned, table_of, write_table
from tests.join.joining import rows_of
from tests.join.test_join_strategy import text_of

from shuffle_protocol.errors import DataError, InvalidSpec, JobError, UserFunctionFailed
from shuffle_protocol.jobs import (
    AnyOperation,
    Cluster,
    CodeSource,
    Functions,
    GroupBy,
    Input,
    Job,
    Output,
    RandomOrder,
    Repartition,
    ResultColumn,
    Sort,
    SortKey,
    Window,
)
from shuffle_protocol.memory import MIB
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers import readers_for
from shuffle_worker.storage import storage_for

FUNCTIONS = """
import numpy as np
import pyarrow.compute as pc

def with_batch(rows: pa.Table) -> pa.Table:
    # what else is in the batch shows in every row
    return rows.append_column("mean", pa.array([pc.mean(rows["v"]).as_py()] * len(rows)))

def of_app(rows: pa.Table) -> pa.Table:
    # other names and types, fewer rows and then more
    rows = rows.filter(pc.not_equal(pc.bit_wise_and(rows["uid"], 3), 0))
    rows = rows.take(np.repeat(np.arange(len(rows)), 2))
    return pa.table({"s": rows["name"].cast(pa.large_string()), "k": rows["uid"].cast(pa.int32()),
                     "copy": pa.array([0, 1] * (len(rows) // 2), pa.int8())})

def tagged(rows: pa.Table) -> pa.Table:
    return pa.table({"k": rows["k"], "d": rows["s"].dictionary_encode()})

def nothing(rows: pa.Table) -> pa.Table:
    return rows.slice(0, 0)

def fails(rows):
    raise ValueError("not these")

def text_keys(rows):
    return pa.table({"k": rows["k"].cast(pa.string())})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two inputs of several files and parts, and a third without a function."""
    path, random = tmp_path_factory.mktemp("union"), np.random.default_rng(8)
    module(path, "united", FUNCTIONS)
    for name, rows in (("web", 1500), ("old", 700)):
        table = pa.table(
            {
                "k": pa.array(random.integers(0, 90, rows), pa.int64()),
                "v": random.standard_normal(rows),
                "s": pa.array([f"text {n % 11}" for n in range(rows)]),
            }
        )
        write_table(path / name, table, 2, 400)
    uids, names = random.integers(0, 90, 900), [f"app {n % 5}" for n in range(900)]
    app = pa.table({"uid": pa.array(uids), "name": pa.array(names)})
    write_table(path / "app", app, 3, 250)
    return path


def job_of(folder: Path, operation: AnyOperation, *inputs: Input, partitions: int = 3) -> Job:
    code = Functions([CodeSource(str(folder), name="the test's folder", last=True)], 200 * MIB, 60.0)
    out = Output("/nowhere/out", partitions=partitions, compression="Snappy")
    return Job("uid", "job", operation, list(inputs), out, 1, 512 * MIB, functions=code)


def three(folder: Path, **web: Any) -> list[Input]:
    """Inputs with a function, without one, and with another."""
    return [
        Input([str(folder / "web")], name="web", **{"map": "united:with_batch", "filter": "v > -1"} | web),
        Input([str(folder / "old")], name="old", filter="k <> 3"),
        Input([str(folder / "app")], name="app", map="united:of_app"),
    ]


def called_by(plan: Plan, rows: int) -> Plan:
    """The plan with calls of so many rows."""
    united = [msgspec.structs.replace(one, call_rows=rows if one.call_rows else 0) for one in plan.united]
    return msgspec.structs.replace(plan, united=united)


UNION = """(select k, v, s, avg(v) over () as mean, null::tinyint as copy from web where v > -1 union all by name
    select k, v, s from old where k <> 3 union all by name
    select name as s, uid as k, unnest([0, 1])::tinyint as copy from app where uid & 3 <> 0)"""
ORACLES: dict[str, tuple[AnyOperation, str]] = {
    "rows": (Repartition(["k"]), f"select k, v, s, copy from {UNION}"),
    "groupBy": (
        GroupBy(["k", "copy"], [aggregation("size"), aggregation("sum", "v"), aggregation("min", "s")]),
        f"select k, copy, count(*), round(sum(v), 6), min(s) from {UNION} group by all",
    ),
    "window": (
        Window(["k"], compute={"n": "count(*)", "rows": "count(v)"}),
        f"select k, v, s, copy, count(*) over (partition by k), count(v) over (partition by k) from {UNION}",
    ),
}


@pytest.mark.parametrize("name", ORACLES)
def test_the_rows_of_duckdb(folder: Path, name: str) -> None:
    operation, query = ORACLES[name]
    found = table_of(carried_out(planned(job_of(folder, operation, *three(folder)))))
    if name == "groupBy":
        rounded = np.round(found.column("sum_v").to_numpy(zero_copy_only=False), 6)
        found = found.set_column(3, "sum_v", pa.array(rounded, from_pandas=True))
    else:
        assert found.column("mean").null_count == sum(n is None or m is None for n, m in zip(
            found["v"].to_pylist(), found["mean"].to_pylist(), strict=True))  # fmt: skip
        found = found.drop_columns(["mean"])
    tables = {one: pq.read_table(folder / one) for one in ("web", "old", "app")}
    assert rows_of(found) == rows_of(asked(query, **tables))


OPERATIONS: dict[str, AnyOperation] = {
    "turn": Repartition(),
    "random": RandomOrder(3),
    "sort": Sort([SortKey("s"), SortKey("mean", descending=True)]),
    "groupBy": GroupBy(["s"], [aggregation("sum", "v"), aggregation("first", "mean"), aggregation("last", "k")]),
    "cluster": Cluster(["k", "mean"]),
}
CUTS = (
    Cut(batch_rows=64, batch_bytes=20_000, memory=60_000),
    Cut(batch_rows=333, backwards=True),
)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_bytes_whatever_the_batches_memory_and_order(folder: Path, name: str, tmp_path: Path) -> None:
    plan = called_by(planned(job_of(folder, OPERATIONS[name], *three(folder))), 150)
    (reader,) = readers_for(plan, [storage_for(one.paths[0], one.storage) for one in plan.job.inputs])
    first = carried_out(plan, scratch=tmp_path, reader=reader)
    assert sum(table.num_rows for table in first.tables()) > 0
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path, reader=reader).files == first.files


def test_rows_come_input_after_input(folder: Path) -> None:
    """In the order in which each input's function returned them, wherever an input without one stands."""
    one = {"one": "1"}
    old = Input([str(folder / "old")], filter="k <> 3", compute=one)
    web = Input([str(folder / "web")], map="united:with_batch", compute=one)
    plan = planned(job_of(folder, Sort([SortKey("one")]), old, web, partitions=1))
    expected = [*pq.read_table(folder / "old", filters=[("k", "!=", 3)])["v"].to_pylist()]
    expected += pq.read_table(folder / "web")["v"].to_pylist()
    assert table_of(carried_out(called_by(plan, 150)))["v"].to_pylist() == expected


def test_ranges_are_even(folder: Path) -> None:
    """Boundaries are of what the functions return."""
    plan = planned(job_of(folder, Sort([SortKey("k")]), *three(folder), partitions=4))
    sizes = [table.num_rows for table in carried_out(plan).tables()]
    assert max(sizes) < 1.2 * min(sizes)


def test_a_name_that_the_function_hands_on(folder: Path) -> None:
    """`nameAs` is a column as any other: the function is given it, and it is in the rows where it returns it."""
    web, old, _ = three(folder, name_as="origin")
    plan = planned(job_of(folder, GroupBy(["origin"], [aggregation("size", name="rows")]), web, old))
    rows = len([v for v in pq.read_table(folder / "web")["v"].to_pylist() if v > -1])
    found = table_of(carried_out(plan)).to_pylist()
    assert {one["origin"]: one["rows"] for one in found if one["origin"]} == {"web": rows}


def test_dictionaries_of_functions_and_files_meet_in_one_type(folder: Path) -> None:
    declared = [ResultColumn("k", "int64"), ResultColumn("d", "dictionary<values=string, indices=int8, ordered=0>")]
    web = Input([str(folder / "web")], map="united:tagged", map_schema=declared)
    few = pa.array([f"coded {n}" for n in range(9)]).cast(pa.dictionary(pa.int8(), pa.string()))
    coded = Input([write_table(folder / "coded", pa.table({"k": np.arange(9), "d": few}))])
    plan = planned(job_of(folder, Repartition(["k"]), web, coded))
    assert plan.arrow_schema().field("d").type == pa.dictionary(pa.int32(), pa.string())
    expected = {*(f"text {n}" for n in range(11)), *(f"coded {n}" for n in range(9))}
    assert set(table_of(carried_out(plan))["d"].to_pylist()) == expected


def test_an_input_of_which_the_function_returns_nothing(folder: Path) -> None:
    web, old, _ = three(folder, map="united:nothing")
    found = table_of(carried_out(planned(job_of(folder, Sort([SortKey("k")]), web, old))))
    assert 0 < found.num_rows < 700


def test_what_explain_says(folder: Path) -> None:
    plan = planned(job_of(folder, Repartition(["k"]), *three(folder)))
    said = text_of(plan)
    assert "Union\nweb, old, app" in said
    assert "Map\nunited:with_batch" in said
    assert "columns: k, v, s, mean\n" in said
    assert "Map\nunited:of_app" in said
    assert "columns: s, k, copy\n" in said
    notes = " ".join(plan.summary.notes)
    assert "app does not give 'v', 'mean': null in its rows" in notes
    rows = plan.inputs[0].rows
    real = table_of(carried_out(plan)).num_rows
    assert 0.8 * real < rows < 1.2 * real


@pytest.mark.parametrize(
    ("web", "operation", "kind", "said"),
    [
        ({}, Repartition(["kk"]), InvalidSpec, r"by\[0\]: the union of the inputs \(of web what united:with_batch "
            r"returns, of app what united:of_app returns\) has no column 'kk'; did you mean 'k'"),
        ({"map": "united:fails"}, Repartition(["k"]), UserFunctionFailed, r"inputs\[0\].map: united:fails raised"),
        ({"map": "united:text_keys"}, Repartition(["k"]), DataError, r"column 'k' is string in what united:text_keys "
            r"returns \(inputs\[0\], web\) but int64 in .*/old/000.parquet \(inputs\[1\], old\)"),
    ],
)  # fmt: skip
def test_bad_input(folder: Path, web: dict[str, Any], operation: AnyOperation, kind: type[JobError], said: str) -> None:
    with pytest.raises(kind, match=said):
        planned(job_of(folder, operation, *three(folder, **web)))
