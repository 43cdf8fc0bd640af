"""What `explain` says of a job is what the plan would do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from tests.plan.jobs import MEMORY, job, numbers, plan_of, write

from shuffle_worker.memory import Budgets
from shuffle_worker.plan.explain import Explanation, describe, explain, render_text
from shuffle_worker.protocol.messages import Repartition, Sort, SortKey
from shuffle_worker.units import readable


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


def test_it_reads_well(found: Explanation, tmp_path: Path) -> None:
    text = render_text(found)
    for part in (
        "test: repartition by the hash of id",
        "4 files",
        "4,000 rows",
        "columns: id",
        "filter:  id >= 2500 AND country = 'c1'",
        "also read, for it: country",
        "reads 1,500 rows in 3 row groups",
        "1 split for 2 workers",
        "512.0 MiB for each worker, 256.0 MiB is the least",
        "nothing is expected to be spilled to disk",
        f"{tmp_path}/out",
        "5 of 8 row groups cannot match the filter",
        "for output.targetPartitionSize: 2.0 KiB",
    ):
        assert part in text, text
    assert all(len(line) < 140 for line in text.splitlines())


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
