"""Several inputs of one operation: the bytes of one listing, the rows of DuckDB's UNION ALL BY NAME, bad input."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.feather as pf
import pytest
from tests.groupby.in_process import Cut, aggregation, asked, carried_out, planned, table_of, write_table
from tests.join.joining import rows_of
from tests.join.test_join_strategy import text_of

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_protocol.jobs import (
    AnyOperation,
    Cluster,
    Distinct,
    GroupBy,
    Input,
    Job,
    Output,
    RandomOrder,
    Repartition,
    Sort,
    SortKey,
)
from shuffle_protocol.memory import MIB, Budgets
from shuffle_worker.planning.explain import explain

OPERATIONS: dict[str, AnyOperation] = {
    "hash": Repartition(["k"]),
    "turn": Repartition(),
    "range": Repartition(range=["v"]),
    "random": RandomOrder(3),
    "sort": Sort([SortKey("s"), SortKey("v", descending=True)]),
    "groupBy": GroupBy(["s"], [aggregation("sum", "x"), aggregation("first", "v"), aggregation("last", "x")]),
    "distinct": Distinct(["s", "k"]),
    "newest": Distinct(["k"], order_by=[SortKey("x", descending=True)], rows=2),
    "cluster": Cluster(["k", "v"]),
}


def job_of(operation: AnyOperation, *inputs: Input, partitions: int = 3, **output: Any) -> Job:
    out = Output("/nowhere/out", partitions=partitions, compression="Snappy", **output)
    return Job("uid", "job", operation, list(inputs), out, 1, 512 * MIB)


def rows(count: int) -> pa.Table:
    random = np.random.default_rng(4)
    return pa.table(
        {
            "k": pa.array(random.integers(0, 40, count), mask=random.random(count) < 0.05),
            "v": np.arange(count),
            "x": random.random(count),
            "s": pa.array([f"text {n % 11}" for n in range(count)]),
        }
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_bytes_of_one_listing_and_no_circumstance_shows(tmp_path: Path, name: str) -> None:
    """The filter leaves whole stretches out, so that places and turns are counted over what is not read."""
    table = rows(6000)
    parts = [
        write_table(tmp_path / str(at), table.slice(first, count), files, 500)
        for at, (first, count, files) in enumerate(((0, 2500, 2), (2500, 100, 1), (2600, 0, 1), (2600, 3400, 3)))
    ]
    where = "v < 1200 or v > 2000"
    operation = OPERATIONS[name]
    one = carried_out(planned(job_of(operation, Input(parts, filter=where))))
    plan = planned(job_of(operation, *(Input([part], filter=where) for part in parts)))
    assert carried_out(plan).files == one.files
    tight = Cut(memory=60_000, batch_rows=97, batch_bytes=1 << 14, backwards=True)
    assert carried_out(plan, tight, tmp_path / "scratch").files == one.files


def test_each_input_has_columns_filters_computed_columns_and_formats_of_its_own(tmp_path: Path) -> None:
    web = pa.table(
        {"user": [1, 2, 3, 4], "amount": pa.array([1, 2, None, 4], pa.int32()), "page": ["a", "b", "c", "d"]}
    )
    app = pa.table({"amount": [0.5, 1.5], "uid": ["7", "8"], "os": ["x", None], "page": ["hidden", "hidden"]})
    old = pa.table({"user": [9, 10], "amount": pa.array([3, 4], pa.int64())})
    write_table(tmp_path / "web", web)
    (tmp_path / "app" / "day=2026-01-02").mkdir(parents=True)
    pc.write_csv(app, tmp_path / "app" / "day=2026-01-02" / "a.csv")
    (tmp_path / "old").mkdir()
    pf.write_feather(old, tmp_path / "old" / "a.feather", compression="zstd")
    plan = planned(
        job_of(
            Sort([SortKey("user")]),
            Input(
                [str(tmp_path / "web")],
                name="web",
                name_as="origin",
                filter="user <> 2",
                compute={"twice": "amount * 2"},
            ),
            Input(
                [str(tmp_path / "app")],
                name="app",
                name_as="origin",
                columns=["user", "amount", "os", "day", "origin"],
                compute={"user": "CAST(uid AS BIGINT)", "amount": "CAST(round(amount) AS INT)"},
            ),
            Input([str(tmp_path / "old")], name="old", filter="origin = 'old'", name_as="origin"),
            partitions=1,
        )
    )
    found = table_of(carried_out(plan))
    assert found.schema.field("amount").type == pa.int64()
    day = datetime.date(2026, 1, 2)
    assert found.to_pydict() == {
        "user": [1, 3, 4, 7, 8, 9, 10],
        "amount": [1, None, 4, 1, 2, 3, 4],
        "page": ["a", "c", "d", None, None, None, None],
        "origin": ["web", "web", "web", "app", "app", "old", "old"],
        "twice": [2, None, 8, None, None, None, None],
        "os": [None, None, None, "x", None, None, None],
        "day": [None, None, None, day, day, None, None],
    }
    assert found.schema.names == ["user", "amount", "page", "origin", "twice", "os", "day"]


TYPES = {
    "int8": pa.array([1, None, -3], pa.int8()),
    "uint16": pa.array([1, 2, 60_000], pa.uint16()),
    "float32": pa.array([0.5, None, float("nan")], pa.float32()),
    "decimal": pa.array([1, 2, None], pa.decimal128(9, 2)),
    "text": pa.array(["a", "", None]),
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "bytes": pa.array([b"a", b"", None]),
    "day": pa.array([datetime.date(2026, 1, 1), None, datetime.date(1900, 1, 1)]),
    "second": pa.array([1, 2, None], pa.timestamp("s")),
    "list": pa.array([[1], [], None], pa.list_(pa.int16())),
    "struct": pa.array([{"a": 1}, {"a": None}, None], pa.struct([("a", pa.int8())])),
    "null": pa.array([None, None, None], pa.null()),
}
WIDER = {
    "int8": pa.int64(), "uint16": pa.int16(), "float32": pa.float64(), "decimal": pa.decimal128(20, 5),
    "text": pa.large_string(), "dictionary": pa.string(), "bytes": pa.large_binary(), "day": pa.date64(),
    "second": pa.timestamp("us"), "list": pa.list_(pa.int32()),
    "struct": pa.struct([("a", pa.int32()), ("b", pa.string())]), "null": pa.string(),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_types_are_unified_as_those_of_files_are(tmp_path: Path, name: str) -> None:
    """Both ways round the same as one listing of both; a column of nulls has the type that it has in the other."""
    narrow = pa.table({"c": TYPES[name], "n": [0, 1, 2]})
    wide = pa.table({"c": pa.nulls(2, WIDER[name]), "n": [3, 4]})
    a, b = write_table(tmp_path / "a", narrow), write_table(tmp_path / "b", wide)
    for first, second in ((a, b), (b, a)):
        apart = planned(job_of(Repartition(["n"]), Input([first]), Input([second])))
        together = planned(job_of(Repartition(["n"]), Input([first, second])))
        assert apart.arrow_schema().equals(together.arrow_schema(), check_metadata=True)
        assert carried_out(apart).files == carried_out(together).files


def test_a_group_of_each_input(tmp_path: Path) -> None:
    tables = {"a": rows(500), "b": rows(90).drop_columns(["s"]), "c": rows(7)}
    inputs = [
        Input([write_table(tmp_path / name, table)], name=name, name_as="origin", filter="k > 3" if name == "a" else "")
        for name, table in tables.items()
    ]
    operation = GroupBy(["origin", "s"], [aggregation("count", "v"), aggregation("sum", "k")])
    found = table_of(carried_out(planned(job_of(operation, *inputs))))
    expected = asked(
        """select origin, s, count(v), sum(k)::bigint from (select 'a' as origin, * from a where k > 3 union all by name
        select 'b' as origin, * from b union all by name select 'c' as origin, * from c) group by all""",
        **tables,
    )
    assert rows_of(found) == rows_of(expected)


def test_dictionaries_count_the_values_of_all_inputs(tmp_path: Path) -> None:
    """Each has 100 values, together they are more than an int8 numbers."""
    parts = [pa.array([f"{at}-{n}" for n in range(100)]).cast(pa.dictionary(pa.int8(), pa.string())) for at in range(2)]
    folders = [write_table(tmp_path / str(at), pa.table({"d": part})) for at, part in enumerate(parts)]
    plan = planned(job_of(Repartition(["d"]), *(Input([folder]) for folder in folders)))
    assert plan.arrow_schema().field("d").type == pa.dictionary(pa.int32(), pa.string())
    assert len(set(table_of(carried_out(plan))["d"].to_pylist())) == 200


def test_what_explain_says(tmp_path: Path) -> None:
    inputs = [
        Input([write_table(tmp_path / name, rows(count))], name=name, filter=where)
        for name, count, where in (("web", 3000, "v < 300"), ("app", 50, ""))
    ]
    plan = planned(job_of(Sort([SortKey("v")]), *inputs))
    said = text_of(plan)
    assert "Union\nweb, app" in said
    assert f"web: {tmp_path}/web" in said
    assert "v < 300" in said
    explained = explain(plan, Budgets.for_limit(512 * MIB))
    assert [(one.name, one.files, one.rows, one.rows_read) for one in explained.inputs] == [
        ("web", 1, 3000, 1000),
        ("app", 1, 50, 50),
    ]
    assert explained.tree is not None
    assert 340 <= (explained.tree.estimated.rows or 0) <= 360


@pytest.mark.parametrize(
    ("left", "right", "operation", "said"),
    [
        (
            {},
            {"compute": {"v": "s"}},
            Repartition(["k"]),
            r"column 'v' is int64 in .*/a/000.parquet \(inputs\[0\], web\) but string in .*/b/000.parquet "
            r"\(inputs\[1\], app\).*inputs\[\].compute, as in x: CAST",
        ),
        ({"name_as": "s"}, {}, Repartition(["k"]), r"inputs\[0\].nameAs: .*/a/000.parquet .* a column 's' already"),
        ({"columns": ["v"]}, {"columns": ["v"]}, Repartition(["k"]), r"'k' is a key but not among inputs\[0\].columns"),
        ({}, {}, Repartition(["kk"]), r"operation.repartition.by\[0\]: the input has no column 'kk'; did you mean 'k'"),
        ({"compute": {"z": "v"}}, {"filter": "z > 3"}, Sort([SortKey("v")]), r"inputs\[1\].filter: 'z' is .*'web'"),
        ({"compute": {"z": "v"}, "name": ""}, {"filter": "z > 3"}, Repartition(), r"'z' is .* of inputs\[0\], and"),
        ({}, {"columns": ["k"], "filter": "v > 3"}, Repartition(["k"]), r"inputs\[1\].columns: leaves out 'v', which"),
        ({}, {"columns": ["y"], "compute": {"y": "v + 1"}}, Repartition(), r"leaves out 'v', which its compute uses"),
        ({}, {"columns": ["nope"]}, Repartition(), r"inputs\[1\].columns\[0\]: the input has no column 'nope'"),
    ],
)  # fmt: skip
def test_bad_input(tmp_path: Path, left: Any, right: Any, operation: AnyOperation, said: str) -> None:
    first = Input([write_table(tmp_path / "a", rows(20))], **{"name": "web"} | left)
    second = Input([write_table(tmp_path / "b", rows(20))], name="app", **right)
    with pytest.raises((InvalidSpec, DataError), match=said):
        planned(job_of(operation, first, second))
