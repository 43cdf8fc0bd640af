"""What becomes of a result before it is written: columns of it computed, rows left out, columns chosen; whole jobs,
each row counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from tests.expressions.test_computed_columns import EVENTS, alike, asked
from tests.formats.one_process import MIB, carry_out, job_of, refused

from shuffle_protocol.errors import DataError, Internal, InvalidSpec
from shuffle_protocol.memory import Budgets
from shuffle_worker.output.manifest import GroupRecord
from shuffle_worker.planning.explain import explain
from shuffle_worker.planning.planner import make_plan
from shuffle_worker.storage import storage_for
from shuffle_worker.tables import work

GROUP_BY = {
    "groupBy": {
        "by": ["country"],
        "aggregations": [
            {"function": "sum", "column": "amount", "as": "total"},
            {"function": "count", "as": "events"},
            {"function": "count", "column": "email", "as": "mails"},
        ],
    }
}
GROUPED = "SELECT country, sum(amount) AS total, count(*) AS events, count(email) AS mails FROM events GROUP BY country"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    pq.write_table(EVENTS, folder / "a.parquet", row_group_size=300)
    return folder


def written(events: Path, folder: Path, operation: dict[str, Any], **output: Any) -> pa.Table:
    out = folder / "out"
    job = job_of(events, {"path": str(out), "compression": "None", **output}, operation)
    carry_out(job, folder / "scratch")
    found: pa.Table = ds.dataset(out, format="parquet", partitioning="hive", exclude_invalid_files=True).to_table()
    return found


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out/_manifest.json").read_text())
    return found


def test_of_groups(events: Path, tmp_path: Path) -> None:
    found = written(
        events,
        tmp_path,
        GROUP_BY,
        compute={"share": "mails / events", "country": "upper(country)"},
        filter="country <> 'CH' AND share > 0.5",
        columns=["country", "share", "total"],
    )
    assert found.column_names == ["country", "share", "total"]
    alike(
        found,
        asked(
            f"SELECT upper(country) AS country, mails / events AS share, total FROM ({GROUPED}) WHERE country <> 'ch'"
        ),
    )
    assert manifest(tmp_path)["rows"] == 2
    assert manifest(tmp_path)["rowsLeftOut"] == 1
    assert [name for name, _ in manifest(tmp_path)["columns"]] == ["country", "share", "total"]


OPERATIONS: dict[str, dict[str, Any]] = {
    "hash": {"repartition": {"by": ["country"]}},
    "range": {"repartition": {"range": ["id"]}},
    "in turn": {"repartition": {}},
    "random": {"repartition": {"random": {"seed": 1}}},
    "sort": {"sort": {"by": [{"column": "ts"}]}},
    "cluster": {"cluster": {"by": ["id", "ts"]}},
    "distinct": {"distinct": {"by": ["id"]}},
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("folders", [False, True], ids=["files", "folders"])
def test_of_rows(events: Path, tmp_path: Path, operation: dict[str, Any], folders: bool) -> None:
    more = {"partitionBy": ["place"]} if folders else {}
    found = written(
        events,
        tmp_path,
        operation,
        partitions=3,
        compute={"place": "upper(country)", "next": "id + 1"},
        filter="next % 3 = 0",
        columns=["id", "next", "place"],
        **more,
    )
    alike(found, asked("SELECT id, id + 1 AS next, upper(country) AS place FROM events WHERE (id + 1) % 3 = 0"))
    counts = manifest(tmp_path)
    assert (counts["rows"], counts["rowsLeftOut"]) == (found.num_rows, EVENTS.num_rows - found.num_rows)
    assert counts["rows"] == sum(file["rows"] for file in counts["files"])


@pytest.mark.parametrize("how", ["Inner", "Full"])
def test_of_a_join(events: Path, tmp_path: Path, how: str) -> None:
    (tmp_path / "other").mkdir()
    pq.write_table(pa.table({"id": range(1990, 2010), "label": ["x", "y"] * 10}), tmp_path / "other/a.parquet")
    join = {"join": {"left": "e", "right": "o", "on": ["id"], "type": how}}
    inputs = [
        {"name": "e", "path": str(events), "columns": ["id", "email"]},
        {"name": "o", "path": str(tmp_path / "other")},
    ]
    output = {
        "path": str(tmp_path / "out"),
        "partitions": 2,
        "compute": {"label": "coalesce(label, 'none')"},
        "filter": "id >= 1985",
    }
    carry_out(job_of({}, output, join, inputs=inputs), tmp_path / "scratch")
    found = pq.read_table(tmp_path / "out")
    assert found.column_names == ["id", "email", "label"]
    assert sorted(found["id"].to_pylist()) == list(range(1990, 2000) if how == "Inner" else range(1985, 2010))
    assert found["label"].null_count == 0


def test_all_rows_may_be_left_out(events: Path, tmp_path: Path) -> None:
    found = written(events, tmp_path, {"sort": {"by": [{"column": "id"}]}}, partitions=2, filter="id < 0")
    assert found.num_rows == 0
    assert manifest(tmp_path)["rowsLeftOut"] == EVENTS.num_rows
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 2


def test_without_a_filter_the_manifest_says_nothing_of_it(events: Path, tmp_path: Path) -> None:
    written(events, tmp_path, {"repartition": {}}, columns=["id"])
    assert "rowsLeftOut" not in manifest(tmp_path)


@pytest.mark.parametrize(
    ("output", "method"),
    [
        ({}, "hash"),
        ({"columns": ["country", "id"]}, "hash"),
        ({"filter": "id > 3"}, "hash"),
        ({"columns": ["id"]}, "none"),
        ({"compute": {"country": "upper(country)"}}, "none"),
    ],
)
def test_files_are_by_keys_that_they_still_have(
    events: Path, tmp_path: Path, output: dict[str, Any], method: str
) -> None:
    written(events, tmp_path, {"repartition": {"by": ["country"]}}, partitions=2, **output)
    assert manifest(tmp_path)["partitioning"]["method"] == method


@pytest.mark.parametrize(
    ("output", "keys"),
    [({}, [0]), ({"columns": ["email"]}, None), ({"compute": {"id": "-id"}}, None), ({"filter": "id > 9"}, [10])],
)
def test_smallest_keys_are_of_what_is_written(events: Path, tmp_path: Path, output: dict[str, Any], keys: Any) -> None:
    written(events, tmp_path, {"sort": {"by": [{"column": "id"}]}}, partitions=2, **output)
    assert manifest(tmp_path)["files"][0]["smallest"] == keys


def test_memory_does_not_show(events: Path, tmp_path: Path) -> None:
    files = []
    for memory in (256 * MIB, 1024 * MIB):
        folder = tmp_path / str(memory)
        output = {"path": str(folder), "partitions": 3, "compute": {"id": "id * 2"}, "filter": "id % 4 = 0"}
        carry_out(job_of(events, output, {"sort": {"by": [{"column": "ts"}]}}, memory=memory), tmp_path / "scratch")
        files.append([path.read_bytes() for path in sorted(folder.glob("part-*"))])
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"filter": "amount > 3"}, "output.filter: the result has no column 'amount'"),
        ({"filter": "total"}, "output.filter: total: is double, not a condition"),
        ({"compute": {"x": "totl + 1"}}, "output.compute.x: the result has no column 'totl'; did you mean 'total'?"),
        ({"compute": {"x": "x + 1"}}, "output.compute.x: is computed from itself, and the result has no column 'x'"),
        (
            {"columns": ["country", "emails"]},
            "output.columns[1]: the result has no column 'emails'; did you",
        ),
        (
            {"compute": {"x": "1"}, "sortWithin": ["x"]},
            "output.sortWithin[0]: 'x' is computed by output.compute",
        ),
        (
            {"columns": ["total"], "partitionBy": ["country"]},
            "output.partitionBy[0]: the output has no column",
        ),
        ({"format": "CSV", "compute": {"x": "date_trunc('day', NULL)"}, "columns": ["y"]}, "output.columns[0]"),
    ],
)
def test_what_cannot_be_meant_is_refused(events: Path, tmp_path: Path, output: dict[str, Any], said: str) -> None:
    with refused(InvalidSpec, said):
        written(events, tmp_path, GROUP_BY, **output)


def test_a_row_without_a_result_ends_the_job(events: Path, tmp_path: Path) -> None:
    with refused(DataError, "output.compute.x: CAST(events AS TINYINT): cannot be worked out for every row"):
        written(events, tmp_path, GROUP_BY, compute={"x": "CAST(events AS TINYINT)"})
    assert not list((tmp_path / "out").glob("part-*"))


def test_rows_that_are_neither_written_nor_left_out_are_missed(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = work.record_group

    def forgetful(plan: Any, group: int, partitions: Any, received: int, storage: Any) -> None:
        record(plan, group, [one._replace(left_out=max(one.left_out - 1, 0)) for one in partitions], received, storage)

    monkeypatch.setattr(work, "record_group", forgetful)
    with refused(Internal, "2000 rows were read but 1000 written, and 99", "left out by output.filter"):
        written(events, tmp_path, {"repartition": {}}, filter="id % 2 = 0")


def test_it_is_explained(events: Path) -> None:
    output = {
        "path": "/nowhere/out",
        "compute": {"share": "mails / events"},
        "filter": "share > 0.5",
        "columns": ["share"],
    }
    job = job_of(events, output, GROUP_BY)
    storages = [storage_for(str(events)), storage_for("/nowhere/out")]
    plan = make_plan(job, Budgets.for_limit(job.memory), storages[:1], storages[1])
    assert plan.arrow_schema().names == ["country", "total", "events", "mails"]
    assert explain(plan, Budgets.for_limit(job.memory)).output.schema == {"share": "double"}
    why = plan.summary.tree.why if plan.summary.tree is not None else []
    assert "computes share = mails / events" in why
    assert any(line.startswith("keeps rows where share > 0.5") for line in why)


def test_records_of_before_are_read() -> None:
    record = msgspec.json.decode(b'{"plan": "p", "group": 1, "rows": 2, "files": []}', type=GroupRecord)
    assert record.left_out == 0
