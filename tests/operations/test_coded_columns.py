"""Columns that travel as codes: the files are as if they had travelled as text, whatever a sample has seen of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.groupby.in_process import Cut, carried_out, job_of, planned, table_of, write_table

from shuffle_protocol.jobs import AnyOperation, Cluster, RandomOrder, Repartition, Sort, SortKey
from shuffle_worker.columns.arrays import concat
from shuffle_worker.columns.coded import CODE, MOST_VALUES, CodedColumns, as_text, in_order_of_rows
from shuffle_worker.partitioning.cutter import copied
from shuffle_worker.plan.record import Plan

ROWS = 12_000
FEW = [f"name {number * 7 % 26}" for number in range(26)]


def late(row: int) -> str | None:
    """Rows of row groups that no sample sees have other values, some of them as many as there are rows."""
    if row % 4000 < 3000:
        return FEW[row * 31 % 26]
    return f"rare {row}" if row % 3 else None


COLUMNS: dict[str, Callable[[int], str | None]] = {
    "few": lambda row: FEW[row * row % 26],
    "nulls": lambda row: None if row % 5 == 0 else FEW[row % 7],
    "late": late,
    "one more": lambda row: "another" if row == 7500 else FEW[row % 3],
}
OPERATIONS: list[AnyOperation] = [
    Repartition(by=["id"]),
    Repartition(),
    Repartition(range=["id"]),
    Sort([SortKey("id")]),
    RandomOrder(7),
    Cluster(["id", "at"], "Hilbert"),
]
CUTS = [Cut(), Cut(batch_rows=700, batch_bytes=40_000), Cut(memory=100_000, backwards=True), Cut(buckets=2)]


def input_rows(**said: str) -> pa.Table:
    ids = [row * 7919 % 100_003 for row in range(ROWS)]
    columns = {"id": pa.array(ids, pa.int64())}
    columns |= {name: pa.array([value(row) for row in range(ROWS)], pa.string()) for name, value in COLUMNS.items()}
    columns["at"] = pa.array([row * 31 % 9973 for row in range(ROWS)])
    columns["unique"] = pa.array([f"row {row}" for row in range(ROWS)])
    return pa.table(columns).replace_schema_metadata({"said": "so", **said})


def as_text_all_the_way(plan: Plan) -> Plan:
    return msgspec.structs.replace(plan, values={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_table(tmp_path_factory.mktemp("input"), input_rows(), files=3, row_group=1000)


@pytest.mark.parametrize("operation", OPERATIONS, ids=["hash", "turn", "range", "sort", "random", "cluster"])
def test_files_are_as_if_text_had_travelled(operation: AnyOperation, folder: str, tmp_path: Path) -> None:
    plan = planned(job_of(folder, operation, 4))
    assert set(plan.values) == set(COLUMNS)
    expected = carried_out(as_text_all_the_way(plan)).files
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path).files == expected, cut
    assert pq.read_schema(pa.BufferReader(next(iter(expected.values())))).field("few").type == pa.string()


def test_more_values_than_a_dictionary_page_holds_are_written_all_the_same(tmp_path: Path) -> None:
    """Every value is long and there once; the sample has seen one of them, thousands of times."""
    rows = 30_000
    values = ["the same"] * 20_000 + [f"{row} {'x' * 120}" for row in range(10_000)]
    table = pa.table({"id": pa.array(range(rows), pa.int64()), "text": pa.array(values)})
    folder = write_table(tmp_path / "input", table, row_group=rows)
    plan = planned(job_of(folder, Repartition(by=["id"]), 1))
    assert plan.coded == {"text": ["the same"]}
    files = carried_out(plan)
    assert files.files == carried_out(plan, Cut(batch_rows=999, memory=200_000), tmp_path).files
    assert table_of(files).equals(table)


@pytest.mark.parametrize(
    ("source", "operation", "output", "coded"),
    [
        ({}, Repartition(by=["id"]), {}, {"few", "nulls", "late", "one more"}),
        ({}, Repartition(by=["few"]), {}, {"nulls", "late", "one more"}),
        ({}, Sort([SortKey("few")]), {}, {"nulls", "late", "one more"}),
        ({}, Cluster(["few", "id"], "ZOrder"), {}, {"nulls", "late", "one more"}),
        ({}, Repartition(), {"sort_within": [SortKey("few")]}, {"nulls", "late", "one more"}),
        ({"filter": "few != 'name 3'"}, Repartition(), {}, {"nulls", "late", "one more"}),
        ({"columns": ["id", "few"]}, Repartition(), {}, {"few"}),
        ({"compute": {"few": "nulls"}}, Repartition(), {}, set()),
        ({}, Repartition(), {"format": "CSV"}, set()),
        ({}, Repartition(), {"format": "Feather"}, set()),
        ({}, Repartition(), {"columns": ["few"]}, set()),
        ({}, Repartition(), {"filter": "few = 'name 3'"}, set()),
        ({}, Repartition(), {"partition_by": ["few"]}, set()),
    ],
)
def test_only_what_nothing_looks_at_travels_as_codes(
    source: dict[str, object], operation: AnyOperation, output: dict[str, object], coded: set[str], folder: str
) -> None:
    job = job_of(folder, operation, 2, **source)
    job = msgspec.structs.replace(job, output=msgspec.structs.replace(job.output, **output))
    assert set(planned(job).values) == coded


def test_values_of_all_columns_together_are_bounded(tmp_path: Path) -> None:
    texts = {f"text {number}": [f"{row % 100} {'x' * 150}" for row in range(1000)] for number in range(10)}
    folder = write_table(tmp_path, pa.table({"id": pa.array(range(1000), pa.int64()), **texts}))
    plan = planned(job_of(folder, Repartition(), 2))
    assert list(plan.values) == [f"text {number}" for number in range(4)]


def test_values_are_few_and_short(tmp_path: Path) -> None:
    def known(values: list[str]) -> bool:
        rows = 1000
        texts = [values[row % len(values)] for row in range(rows)]
        table = pa.table({"id": pa.array(range(rows), pa.int64()), "text": pa.array(texts)})
        folder = write_table(tmp_path / str(len(list(tmp_path.iterdir()))), table)
        return bool(planned(job_of(folder, Repartition(), 2)).values)

    assert known([str(number) for number in range(MOST_VALUES)])
    assert not known([str(number) for number in range(MOST_VALUES + 1)])
    assert not known(["x" * 20_000, "y"])
    assert known([""])


PLAIN = pa.schema([pa.field("few", pa.string()), pa.field("id", pa.int64())])


def batch_of(values: list[str | None]) -> pa.RecordBatch:
    texts = pa.array(values, pa.string())
    return pa.RecordBatch.from_arrays(
        [texts.dictionary_encode(), pa.array(range(len(values)), pa.int64())], PLAIN.names
    )


@pytest.mark.parametrize("count", [1, 10, 254, 255, 256, 1000])
def test_a_shard_brings_the_values_that_the_plan_does_not_know(count: int) -> None:
    coded = CodedColumns(PLAIN, {"few": ["a", "b"]})
    known = coded.coded(batch_of(["b", "a", None] * 3))
    others = coded.coded(batch_of([f"other {number}" for number in range(count)]))
    assert known.schema.equals(coded.schema) and others.schema.equals(PLAIN)
    sent = [known, others, known.slice(2, 4), others, known]
    messages = [coded.messages_of(batch)(batch).to_pybytes() for batch in sent]
    assert all(len(message) % 8 == 0 for message in [coded.start, *messages])
    read = list(pa.ipc.open_stream(pa.py_buffer(coded.start + b"".join(messages))))
    assert pa.Table.from_batches(map(as_text, read)).equals(pa.Table.from_batches(map(as_text, sent)))
    assert all(batch.column(0).type.index_type == CODE for batch in read)
    joined = concat(read)
    assert pa.types.is_dictionary(joined.schema.types[0]) == (count <= 253)
    assert as_text(joined).column(0).to_pylist() == [value for batch in read for value in batch.column(0).to_pylist()]


def test_a_dictionary_is_in_the_order_of_the_rows() -> None:
    values = ["c", "a", None, "c", "b", "a"]
    coded = CodedColumns(PLAIN, {"few": ["a", "b", "c", "d"]})
    for column in (coded.coded(batch_of(values)).column(0), pa.array(values), batch_of(values).column(0)):
        found = in_order_of_rows(column.slice(1) if column is None else column)
        assert found.dictionary.to_pylist() == ["c", "a", "b"] and found.to_pylist() == values
        assert found.type == pa.dictionary(pa.int32(), pa.string())
    some = coded.coded(batch_of(["a", *"cab"])).column(0).slice(1)
    assert in_order_of_rows(some).dictionary.to_pylist() == ["c", "a", "b"]


def test_batches_of_a_few_columns_are_joined_as_ever() -> None:
    with pytest.raises(pa.ArrowInvalid):
        concat([pa.RecordBatch.from_pylist([{"a": 1}]), pa.RecordBatch.from_pylist([{"a": "x"}])])


def test_a_copy_has_its_own_dictionary() -> None:
    """Shards are read into a buffer that is used again."""
    coded = CodedColumns(PLAIN, {"few": ["a", "b"]})
    others = coded.coded(batch_of(["other", "another"]))
    for batch in (coded.coded(batch_of(["b", "a"])), others):
        stream = coded.start + coded.messages_of(batch)(batch).to_pybytes()
        buffer = pa.allocate_buffer(len(stream))
        view = memoryview(buffer).cast("B")
        view[:] = stream
        (read,) = pa.ipc.open_stream(buffer)
        copy = copied([read])
        view[:] = bytes(len(stream))
        assert as_text(copy).equals(as_text(batch))
