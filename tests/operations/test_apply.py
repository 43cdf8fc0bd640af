"""A function of the user's over groups, end to end without a network: each group once and whole, and the same bytes for
any memory, any number of buckets and any order of arrival."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from tests.functions.users import module
from tests.operations.memory_shards import PLENTY, MemoryFiles, Under, carried_out, plan_of
from tests.operations.random_rows import SCHEMA, input_rows

from shuffle_protocol.errors import InvalidSpec, OutOfMemory, UserFunctionFailed
from shuffle_protocol.jobs import Apply, CodeSource, Functions, ResultColumn, SortKey
from shuffle_worker.functions.failures import Killed
from shuffle_worker.operations.apply.rows import ApplyOperation
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.partitioning.hash import cells_of, hash_rows
from shuffle_worker.plan.layout import Layout
from shuffle_worker.steps.operation import Given

MIB = 1 << 20
ONE, THREE = Layout(1, 1), Layout(3, 3)
USUAL: Mapping[str, Any] = {}
COUNTED = pa.schema({"key": pa.int32(), "rows": pa.list_(pa.int64()), "batches": pa.list_(pa.int64())})


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    module(
        folder,
        "mine",
        """
        import os, signal, time
        import pyarrow.compute as pc

        def _row(key, rows, batches):
            schema = pa.schema({"key": pa.int32(), "rows": pa.list_(pa.int64()), "batches": pa.list_(pa.int64())})
            return pa.table({"key": [key], "rows": [rows], "batches": [batches]}, schema=schema)

        def gather(table: pa.Table) -> pa.Table:
            lengths = [len(chunk) for chunk in table["row"].chunks]
            return _row(table["key"][0].as_py(), table["row"].to_pylist(), lengths)

        def batches(given: Iterator[pa.RecordBatch]):
            key, rows, lengths = None, [], []
            for batch in given:
                key = batch["key"][0].as_py()
                rows += batch["row"].to_pylist()
                lengths.append(batch.num_rows)
            yield _row(key, rows, lengths)

        def fails(table):
            if table["key"][0].as_py() == 1:
                raise ValueError("no ones, please")
            return _row(0, [], [])

        def killed(table):
            os.kill(os.getpid(), signal.SIGKILL)

        def other(table):
            return pa.table({"key": ["x"]})

        def sleeps(table):
            time.sleep(60)

        def hungry(table):
            held = [bytearray(1 << 20) for _ in range(1000)]

        def lingers(table):
            time.sleep(0.02)
            return pa.table({"n": [table.num_rows]})

        def lingering(given: Iterator[pa.RecordBatch]):
            for batch in given:
                time.sleep(0.06)
                yield pa.table({"n": [batch.num_rows]})

        def keeps(table):
            return table

        def days(table):
            import datetime, pandas as pd
            day = datetime.datetime(2026, 1, 1, 12)
            if table["key"][0].as_py() != 1:
                day = day.date()
            return pd.DataFrame({"day": pd.Series([day], dtype=object)})
        """,
    )
    return folder


class Applying:
    """An apply whose processes end with the test."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        self._scratch = scratch
        self._made: list[ApplyOperation] = []
        self.came: list[float] = []
        """How far the last writes said that they had come."""

    def __call__(
        self,
        rows: pa.RecordBatch,
        function: str,
        layout: Layout = THREE,
        under: Under = PLENTY,
        *,
        returns: pa.Schema = COUNTED,
        function_memory: int = 400 * MIB,
        planned: Mapping[str, Any] = USUAL,
        **apply: Any,
    ) -> MemoryFiles:
        """planned: fields of the plan, apply: of the operation."""
        operation = Apply(**{"by": ["key"], "function": f"mine:{function}", **apply})
        partitions = layout.partitions
        plan = plan_of(rows.schema, operation, partitions, layout.buckets, row_group_rows=50, **planned)
        functions = Functions([CodeSource(str(self._folder), name="the test's folder", last=True)])
        job = msgspec.structs.replace(plan.job, functions=functions)
        plan = msgspec.structs.replace(plan, job=job, schema=returns.serialize().to_pybytes())
        files = MemoryFiles()
        work = operation_for(Given(plan, files, self._scratch, MIB, function_memory))
        assert isinstance(work, ApplyOperation)
        self._made.append(work)
        results, source = carried_out(rows, plan, work, under)
        assert [result.partition for result in results] == list(range(partitions))
        self.came = source.came
        return files

    def close(self) -> None:
        for work in self._made:
            work.close()


@pytest.fixture
def applied(mine: Path, tmp_path: Path) -> Iterator[Applying]:
    made = Applying(mine, tmp_path / "scratch")
    yield made
    made.close()


def groups_of(rows: pa.RecordBatch) -> dict[object, list[int]]:
    found: dict[object, list[int]] = {}
    for key, row in zip(rows.column("key").to_pylist(), rows.column("row").to_pylist(), strict=True):
        found.setdefault(key, []).append(row)
    return found


def test_each_group_is_given_once_whole_in_input_order_and_files_in_the_order_of_the_hash(applied: Applying) -> None:
    rows = input_rows(500, 1)
    files = applied(rows, "gather")
    found = {}
    for partition, table in enumerate(files.tables()):
        assert table.schema.equals(COUNTED)
        keys = table.column("key").combine_chunks()
        assert set(cells_of([keys], 3).tolist()) <= {partition}
        hashes = hash_rows([keys]).tolist()
        assert hashes == sorted(hashes)
        found.update({row["key"]: row["rows"] for row in table.to_pylist()})
    assert found == groups_of(rows)
    assert None in found


@pytest.mark.parametrize("function", ["gather", "batches"])
def test_the_same_bytes_for_any_memory_buckets_and_arrival(applied: Applying, function: str) -> None:
    rows = input_rows(3000, 2, distinct=40)
    wide = {"row_bytes": 40_000}
    first = applied(rows, function, planned=wide)
    for buckets, under in (
        (12, PLENTY),
        (3, Under(memory=100_000, splits=5, backwards=True)),
        (6, Under(memory=400_000, splits=7)),
    ):
        assert applied(rows, function, Layout(3, buckets), under, planned=wide).files == first.files
    lengths = [length for table in first.tables() for length in table.column("batches").to_pylist()]
    assert max(map(len, lengths)) > 1  # groups larger than a load were among them
    assert all(set(each[:-1]) <= {52} for each in lengths)


def test_many_partitions_in_few_buckets(applied: Applying) -> None:
    rows = input_rows(400, 3)
    one, other = applied(rows, "gather", Layout(9, 9)), applied(rows, "gather", Layout(9, 2))
    assert one.files == other.files
    assert applied(rows, "gather", Layout(9, 2), Under(memory=2_000)).files == one.files


def test_once_for_each_partition(applied: Applying) -> None:
    rows = input_rows(400, 4)
    files = applied(rows, "gather", Layout(3, 6), by=["text"], per="Partition")
    sizes = [table.num_rows for table in files.tables()]
    assert max(sizes) == 1
    everything = [row for table in files.tables() for each in table.column("rows").to_pylist() for row in each]
    assert sorted(everything) == list(range(400))


def test_null_keys_are_left_out_where_the_job_says_so(applied: Applying) -> None:
    rows = input_rows(400, 5)
    files = applied(rows, "gather", nulls="Drop")
    found = {row["key"] for table in files.tables() for row in table.to_pylist()}
    assert found == {key for key in groups_of(rows) if key is not None}


def test_sort_within_orders_the_results(applied: Applying) -> None:
    rows = input_rows(2000, 6, distinct=100)
    ordered = [SortKey("key")]
    files = applied(rows, "gather", planned={"sort_within": ordered})
    for table in files.tables():
        keys = [key for key in table.column("key").to_pylist() if key is not None]
        assert keys == sorted(keys)
    assert applied(rows, "gather", Layout(3, 12), Under(60_000), planned={"sort_within": ordered}).files == files.files


def test_every_type_goes_through(applied: Applying) -> None:
    rows = input_rows(300, 7)
    files = applied(rows, "keeps", returns=SCHEMA)
    found = pa.concat_tables(files.tables()).sort_by("row")
    assert found.schema.equals(SCHEMA, check_metadata=True)
    assert [str(row) for row in found.to_pylist()] == [str(row) for row in pa.Table.from_batches([rows]).to_pylist()]


def test_nothing_comes_of_no_rows(applied: Applying) -> None:
    files = applied(input_rows(0, 1), "gather")
    assert [table.num_rows for table in files.tables()] == [0, 0, 0]


def plain(keys: Sequence[int | None], extra: int = 0) -> pa.RecordBatch:
    columns = {"row": pa.array(range(len(keys)), pa.int64()), "key": pa.array(keys, pa.int32())}
    if extra:
        columns["text"] = pa.array(["x" * extra] * len(keys))
    return pa.RecordBatch.from_pydict(columns)


def test_what_it_raises_fails_the_job_with_the_key_and_the_partition(applied: Applying) -> None:
    rows = plain([0, 1, 1, 2])
    with pytest.raises(UserFunctionFailed) as caught:
        applied(rows, "fails", ONE)
    lines = caught.value.message.splitlines()
    assert lines[0] == "operation.groupBy.apply: mine:fails raised ValueError: no ones, please"
    assert lines[1] == "key key = 1, 2 rows, partition 0"
    assert lines[2].strip().startswith("mine.py, line ")
    assert 'raise ValueError("no ones, please")' in lines[2]
    assert not caught.value.retry


def test_another_table_than_declared(applied: Applying) -> None:
    declared = [ResultColumn(field.name, str(field.type)) for field in COUNTED]
    with pytest.raises(UserFunctionFailed, match="another table than was declared") as caught:
        applied(plain([7]), "other", schema=declared)
    assert "'rows' is missing" in caught.value.message
    assert "'key' is string, expected int32" in caught.value.message
    assert "key key = 7, 1 row, partition" in caught.value.message
    with pytest.raises(UserFunctionFailed, match="than it returned for a sample"):
        applied(plain([7]), "other")


def test_a_value_that_would_be_cut_is_named_with_its_group_and_column(applied: Applying) -> None:
    with pytest.raises(UserFunctionFailed) as caught:
        applied(plain([0, 1, 1, 2]), "days", ONE, returns=pa.schema({"day": pa.date32()}))
    lines = caught.value.message.splitlines()
    assert lines[0] == (
        "operation.groupBy.apply: mine:days returned another table than it returned for a sample: 'day' holds Python "
        "objects, expected date32[day]: 2026-01-01 12:00:00 (datetime) is no date32[day]"
    )
    assert lines[1].startswith("key key = 1, 2 rows, partition 0")


def test_time_and_memory(applied: Applying) -> None:
    with pytest.raises(UserFunctionFailed, match=r"did not end: it ran longer than 0\.3 s") as caught:
        applied(plain([7]), "sleeps", seconds=0.3)
    assert "operation.groupBy.timeoutSeconds" in caught.value.message
    with pytest.raises(OutOfMemory, match=r"needs more memory than the 150.0 MiB .*\nkey key = 7") as short:
        applied(plain([7]), "hungry", function_memory=150 * MIB)
    assert "spec.functions.memory" in short.value.message


def test_one_that_was_killed_from_outside_may_be_tried_again(applied: Applying) -> None:
    with pytest.raises(Killed) as caught:
        applied(plain([7]), "killed")
    assert caught.value.retry
    assert caught.value.reason == "UserFunctionFailed"


def test_a_group_that_does_not_fit_is_refused_by_name(applied: Applying) -> None:
    rows = plain([5] * 6000, extra=20_000)
    with pytest.raises(OutOfMemory) as caught:
        applied(rows, "gather", ONE, Under(200 * MIB), function_memory=110 * MIB, planned={"row_bytes": 20_000})
    # Before it is given the rows, or by them: what its process holds when it starts decides.
    told = "too large for mine:gather, which is given it whole as pa.Table|mine:gather needs more memory than the 110"
    assert re.search(told, caught.value.message)
    assert "key key = 5, " in caught.value.message
    assert "Iterator[pa.RecordBatch]" in caught.value.message
    files = applied(rows, "batches", ONE, Under(200 * MIB), function_memory=110 * MIB, planned={"row_bytes": 20_000})
    assert len(files.tables()[0].column("rows")[0].as_py()) == 6000


def test_code_that_is_gone_is_told(applied: Applying) -> None:
    with pytest.raises(InvalidSpec, match=r"operation\.groupBy\.apply: mine:nothing: the module mine has no 'nothing'"):
        applied(plain([7]), "nothing")


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("lingers", {}),
        ("lingers", {"planned": {"row_bytes": 40_000.0}}),
        ("lingers", {"layout": Layout(9, 2)}),
        ("lingering", {"planned": {"row_bytes": 40_000.0}}),
    ],
)
def test_a_write_says_how_far_its_calls_have_come(applied: Applying, function: str, changes: dict[str, Any]) -> None:
    rows = input_rows(600, 8, distinct=20)
    applied(rows, function, returns=pa.schema({"n": pa.int64()}), **changes)
    groups = [at for at, share in enumerate(applied.came) if share == 0.0 and (not at or applied.came[at - 1] > 0)]
    written = [applied.came[a:b] for a, b in zip(groups, [*groups[1:], None], strict=True)]
    assert len(written) >= 2
    for shares in written:
        assert shares == sorted(shares)
        assert shares[-1] <= 1.0
    assert max(shares[-1] for shares in written) > 0.5
