"""What `explain` says of a job is what the plan would do."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
import yaml
from rich.console import Console
from tests.plan.jobs import MEMORY, job, numbers, plan_of, write

from shuffle_local.cli.plan_tree import Actual, actual_in, show
from shuffle_operator.api.status import Status
from shuffle_protocol.jobs import Repartition, Sort, SortKey
from shuffle_protocol.memory import Budgets
from shuffle_protocol.units import readable
from shuffle_worker.inputs.planned import Size
from shuffle_worker.operations.repartition.plan import RepartitionPlanning
from shuffle_worker.plan.explained import Explanation
from shuffle_worker.planning.explain import describe, explain


@pytest.fixture
def found(tmp_path: Path) -> Explanation:
    text = pa.array([f"c{n % 5}" for n in range(1000)])
    write(tmp_path, {f"f{n}": numbers(1000, 1000 * n, country=text) for n in range(4)}, row_group_size=500)
    one = job(
        tmp_path, Repartition(by=["id"]), columns=["id"], filter="id >= 2500 AND country = 'c1'", target_bytes=2000
    )
    return explain(plan_of(one), Budgets.for_limit(MEMORY))


def test_it_is_data(found: Explanation) -> None:
    assert msgspec.json.decode(msgspec.json.encode(found), type=Explanation) == found
    assert (found.inputs[0].files, found.inputs[0].rows, found.inputs[0].rows_read) == (4, 4000, 1500)
    assert found.inputs[0].columns == ["id"]
    assert found.inputs[0].filter_columns == ["country"]
    assert found.inputs[0].row_groups_read == 3
    assert found.work.method == "PeerToPeer"
    assert found.work.memory == MEMORY >= found.work.memory_needed
    assert found.output.schema == {"id": "int64"}


def shown(found: Explanation, actual: Actual | None = None) -> str:
    assert found.tree is not None
    console = Console(width=200, file=io.StringIO(), force_terminal=False)
    show(console, found.tree, actual)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_tree_says_what_and_why(found: Explanation, tmp_path: Path) -> None:
    text = shown(found)
    steps = ["Write", "Repartition", "Shuffle", "Filter", "Read"]
    assert [line.strip(" └─").split("  ")[0] for line in text.splitlines() if "  " in line.strip(" └─")] == steps
    for part in (
        f"to {tmp_path}/out, Parquet",
        "for output.targetPartitionSize: 2.0 KiB",
        "by the hash of id",
        "PeerToPeer: the output is a folder",
        "nothing spilled",
        "id >= 2500 AND country = 'c1'",
        "statistics leave out 5 of 8 row groups, and 2 of 4 files as a whole",
        "20% of the rows in the others pass",
        "1 of 2 columns: id; for the filter also country",
        "estimated 2 files, ",
        ", 1,500 rows",
    ):
        assert part in text, text
    assert "actual" not in text


def test_what_was_done_stands_beside_what_was_expected(found: Explanation) -> None:
    assert found.tree is not None
    status = Status.model_validate(
        {
            "rows": {"read": 300, "received": 300, "written": 300},
            "bytes": {"read": 2048, "sent": 1024, "spilled": 0, "written": 4096},
            "output": {"files": 2},
        }
    )
    text = shown(found, actual_in(status, found.tree))
    lines = [line.strip(" │") for line in text.splitlines() if "actual" in line]
    assert lines == [
        "actual    2 files, 4.0 KiB, 300 rows",
        "actual    1.0 KiB moved, 300 rows, nothing spilled",
        "actual    300 rows",
        "actual    2.0 KiB",
    ]


def test_operations_in_words(tmp_path: Path) -> None:
    assert describe(job(tmp_path, Repartition())) == "repartition round robin, into even sizes"
    assert describe(job(tmp_path, Repartition(range=["a", "b"]))) == "repartition by ranges of a, b"
    keys = [SortKey("a", True, True), SortKey("b")]
    assert describe(job(tmp_path, Sort(by=keys))) == (
        "global sort by a descending, nulls first, b ascending, nulls last"
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 << 10, "1.5 MiB"),
        (5 << 40, "5.0 TiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert readable(size) == text


def steps_of(folder: Path, operation: Repartition, **output: object) -> list[str]:
    days = [day for day in range(20) for _ in range(2)]
    for at in range(5):
        table = pa.table({"day": days, "key": [at] * 40, "a b": [at] * 40, "text": ["x" * 9] * 40})
        write(folder, {f"{at}.parquet": table})
    tree = plan_of(job(folder, operation, workers=4, **output)).summary.tree
    assert tree is not None
    assert tree.inputs[0].step == "Repartition"
    return tree.inputs[0].why


@pytest.mark.parametrize("folders", [["day"], ["day", "a b"]])
def test_folders_that_one_worker_would_write_come_with_the_job_that_shares_them_out(
    tmp_path: Path, folders: list[str]
) -> None:
    (line,) = steps_of(tmp_path, Repartition(), partition_by=folders)
    said, _, advised = line.rstrip("`").partition("`")
    assert said == "only 1 worker of 4 can write; 4 can, with one file in each folder, where the job has "
    assert yaml.safe_load(advised) == {"operation": {"repartition": {"by": folders}}}
    assert plan_of(job(tmp_path, Repartition(by=folders), workers=4, partition_by=folders)).layout.partitions >= 20


@pytest.mark.parametrize(
    ("operation", "output"),
    [
        (Repartition(), {}),
        (Repartition(), {"partition_by": ["day"], "partitions": 1}),
        (Repartition(), {"partition_by": ["key"], "filter": "key = 1"}),
        (Repartition(), {"partition_by": ["day"], "target_bytes": 1000}),
        (Repartition(by=["day"]), {"partition_by": ["day"]}),
        (Repartition(by=["key"]), {"partition_by": ["day"]}),
        (Repartition(range=["key"]), {"partition_by": ["day"]}),
    ],
    ids=[
        "no folders",
        "partitions are set",
        "one folder",
        "small files",
        "shared out",
        "a little, by",
        "a little, range",
    ],
)
def test_advice_stays_away_where_it_would_not_help(
    tmp_path: Path, operation: Repartition, output: dict[str, object]
) -> None:
    assert steps_of(tmp_path, operation, **output) == []


@pytest.mark.parametrize("operation", [Repartition(by=["key"]), Repartition(range=["key"])], ids=["by", "range"])
def test_folders_of_other_keys_are_shared_out_by_the_number_of_files(operation: Repartition) -> None:
    planning = RepartitionPlanning(job("in", operation, workers=8, partition_by=["day"]), operation)
    (line,) = planning.steps([Size(rows=1e6, row_bytes=100.0, stored=100 << 20)], 1)
    assert line == (
        "only 1 worker of 8 can write; 6 can, with several files in a folder, where the job has "
        "`output: {partitions: 6}`"
    )
