"""The key that most rows of a group have is named, whatever the operation, by a sample of what is read anyway."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import job_of
from tests.operations.memory_shards import MemorySource

from shuffle_protocol.memory import Budgets
from shuffle_worker.steps.key_sample import LONGEST, SampledSource
from shuffle_worker.tables.work import Tasks
from shuffle_worker.transfer.work import WorkSetup, Written

ROWS = 20_000
HOT = 7
SHARE = 0.6

BY_USER: dict[str, Any] = {"repartition": {"by": ["user"]}}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than half of the rows are of one user, spread over everything."""
    folder = tmp_path_factory.mktemp("events")
    random = np.random.default_rng(5)
    for number in range(2):
        user = np.where(random.random(ROWS) < SHARE, HOT, random.integers(100, 5_000, ROWS))
        columns = {"user": user, "ts": random.permutation(ROWS), "note": random.integers(0, 1 << 40, ROWS)}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=4_000)
    return folder


def written(
    folder: Path, *inputs: dict[str, Any], partitions: int = 6, code: Path | None = None, **operation: Any
) -> list[Written]:
    """Of each group, in turn."""
    job = job_of({}, {"path": str(folder / "out"), "partitions": partitions}, operation, inputs=inputs, code=code)
    scratch = folder / "scratch"
    scratch.mkdir()
    tasks = Tasks(WorkSetup(Budgets.for_limit(job.memory, functions=job.functions.memory), scratch))
    tasks.load(job, tasks.plan(job).fingerprint)
    source = MemorySource()
    for number in range(len(tasks.loaded.splits)):
        for step in tasks.read(number, None):
            source.put(number, step.shards)
    return [tasks.write(group, source) for group in range(tasks.loaded.layout.groups)]


def hottest(found: Sequence[Written]) -> Written:
    return max(found, key=lambda one: one.key_share * one.received)


def table_in(folder: Path, **columns: Any) -> dict[str, Any]:
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "0.parquet")
    return {"path": str(folder)}


@pytest.mark.parametrize(
    ("operation", "partitions"),
    [
        (BY_USER, 6),
        (BY_USER, 300),  # many files in each group
        ({"repartition": {"range": ["user"]}}, 6),
        ({"sort": {"by": [{"column": "user"}]}}, 6),
        ({"window": {"by": ["user"], "orderBy": [{"column": "ts"}], "compute": {"nr": "row_number()"}}}, 6),
        ({"distinct": {"by": ["user"], "rows": 100_000, "orderBy": [{"column": "ts"}]}}, 6),
    ],
)
def test_a_key_that_most_rows_have(tmp_path: Path, events: Path, operation: dict[str, Any], partitions: int) -> None:
    found = written(tmp_path, {"path": str(events)}, partitions=partitions, **operation)
    of_hot = [one for one in found if one.key == f"user = {HOT}"]
    assert sum(one.key_share * one.received for one in of_hot) == pytest.approx(2 * ROWS * SHARE, rel=0.15)
    assert hottest(found) in of_hot


@pytest.mark.parametrize("rare", [0, 3])
@pytest.mark.parametrize(
    "operation", [BY_USER, {"repartition": {"range": ["user"]}}, {"sort": {"by": [{"column": "user"}]}}]
)
def test_a_key_beside_text_that_travels_as_codes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, operation: dict[str, Any], rare: int
) -> None:
    """rare: so many rows have a value that the plan has not seen, so that shards bring dictionaries of their own."""
    random = np.random.default_rng(5)
    names = np.array(["ann", "bob", "cyd"]).take(random.integers(0, 3, ROWS)).tolist()
    names[ROWS // 2 : ROWS // 2 + rare] = [f"rare {number}" for number in range(rare)]
    user = np.where(random.random(ROWS) < SHARE, HOT, random.integers(100, 5_000, ROWS))
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(pa.table({"name": names, "user": user}), folder / "0.parquet", row_group_size=1_000)
    found = written(tmp_path, {"path": str(folder)}, **operation)
    assert hottest(found).key == f"user = {HOT}"
    assert not [record for record in caplog.records if "looked at" in record.message]


@pytest.mark.parametrize("function", ["list", "median", "countDistinct"])
def test_a_key_whose_values_are_kept(tmp_path: Path, events: Path, function: str) -> None:
    """Rows are aggregated before they are sent, so a key counts by the values that it has."""
    one = {"function": function, "column": "note", "as": "kept"}
    found = written(tmp_path, {"path": str(events)}, groupBy={"by": ["user"], "aggregations": [one]})
    most = max(found, key=lambda each: each.key_share)
    assert (most.key, most.key_share > 0.5) == (f"user = {HOT}", True)


@pytest.mark.parametrize("more", [{"type": "Full"}, {"type": "AsOf", "asOf": {"left": "ts", "right": "ts"}}])
def test_a_key_of_a_join(tmp_path: Path, events: Path, more: dict[str, Any]) -> None:
    few = {**table_in(tmp_path / "few", user=np.arange(5_000), ts=np.arange(5_000)), "name": "few"}
    join = {"left": "many", "right": "few", "leftOn": ["user"], "rightOn": ["user"], **more}
    assert hottest(written(tmp_path, {"path": str(events), "name": "many"}, few, join=join)).key == f"user = {HOT}"


def test_a_key_of_a_curve(tmp_path: Path, events: Path) -> None:
    found = written(tmp_path, {"path": str(events), "compute": {"half": "ts % 2"}}, cluster={"by": ["user", "half"]})
    assert hottest(found).key.startswith(f"user = {HOT}, half = ")


def test_a_key_of_a_function(tmp_path: Path, events: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "calls.py").write_text("def first(rows):\n    return rows.slice(0, 1)\n")
    schema = [{"name": name, "type": "int64"} for name in ("user", "ts", "note")]
    group = {"by": ["user"], "apply": "calls:first", "schema": schema}
    assert hottest(written(tmp_path, {"path": str(events)}, code=code, groupBy=group)).key == f"user = {HOT}"


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ([None] * 900 + list(range(100)), "user = null"),
        (["x" * 999] * 900 + [str(n) for n in range(100)], f"user = {'x' * 999}"[:LONGEST]),
        (list(range(1000)), ""),
    ],
)
def test_keys_in_words(tmp_path: Path, values: list[Any], key: str) -> None:
    (found,) = written(tmp_path, table_in(tmp_path / "in", user=values), partitions=1, repartition={"by": ["user"]})
    assert found.key == key


def test_rows_in_turn_have_no_key(tmp_path: Path, events: Path) -> None:
    assert {one.key for one in written(tmp_path, {"path": str(events)}, repartition={})} == {""}


def test_what_goes_wrong_with_it_does_no_harm(
    tmp_path: Path, events: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(SampledSource, "_add", broken)
    found = written(tmp_path, {"path": str(events)}, partitions=2, **BY_USER)
    assert sum(one.rows for one in found) == 2 * ROWS
    assert {one.key for one in found} == {""}
    assert len([record for record in caplog.records if "cannot be looked at" in record.message]) == len(found)
