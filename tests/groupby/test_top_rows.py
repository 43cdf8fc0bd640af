"""distinct with an order, or with several rows: the rows are those of DuckDB's row_number(), ties by position, and they
stand in that order; the same bytes whatever the circumstances."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.groupby.in_process import Cut, asked, carried_out, job_of, planned, table_of, write_table
from tests.groupby.random_tables import KEYS, random_table
from tests.operations.memory_shards import MemoryFiles, MemorySource

from shuffle_protocol.errors import InvalidSpec, OutOfMemory
from shuffle_protocol.jobs import Distinct, SortKey
from shuffle_protocol.memory import MIB
from shuffle_worker.operations.distinct.rows import RowAccumulator
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.partitioning.top_rows import TopRows
from shuffle_worker.readers import reader_for
from shuffle_worker.steps import partial_aggregation
from shuffle_worker.steps.operation import Given
from shuffle_worker.storage import storage_for

FLOATS = {"float", "float32"}


def spelled(name: str) -> str:
    """A column whose zeros have no sign, which tells nothing apart here."""
    return f'CASE WHEN "{name}" = 0 THEN 0 ELSE "{name}" END' if name in FLOATS else f'"{name}"'


def numbered(by: list[str], order: list[SortKey], last: bool) -> str:
    """Rows of a key numbered from the first on; from the last one back where that is asked for."""
    terms = [
        f"{spelled(key.column)} {'DESC' if key.descending != last else 'ASC'} "
        f"NULLS {'FIRST' if key.nulls_first != last else 'LAST'}"
        for key in order
    ]
    keys = ", ".join(spelled(name) for name in by)
    return f"row_number() OVER (PARTITION BY {keys} ORDER BY {', '.join([*terms, 'row DESC' if last else 'row'])})"


def expected_rows(table: pa.Table, asked_for: Distinct) -> list[int]:
    number = numbered(asked_for.by, asked_for.order_by, asked_for.keep == "Last")
    kept = asked(f"SELECT row FROM input QUALIFY {number} <= {asked_for.rows} ORDER BY row", input=table)
    return kept.column("row").to_pylist()


def in_order(table: pa.Table, found: list[int], asked_for: Distinct) -> None:
    """The rows of a key are together, in the order asked for."""
    number = numbered(asked_for.by, asked_for.order_by, last=False)
    keys = ", ".join(spelled(name) for name in asked_for.by)
    ranked = asked(f"SELECT row, {number} AS n, dense_rank() OVER (ORDER BY {keys}) AS k FROM input", input=table)
    place = {row["row"]: (row["k"], row["n"]) for row in ranked.to_pylist()}
    places = [place[row] for row in found]
    runs = [key for at, (key, _) in enumerate(places) if at == 0 or places[at - 1][0] != key]
    assert len(runs) == len(set(runs))
    for before, after in itertools.pairwise(places):
        assert before[0] != after[0] or before[1] < after[1]


one_order = st.builds(SortKey, st.sampled_from(sorted(KEYS)), st.booleans(), st.booleans())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 200),
    seed=st.integers(0, 10_000),
    by=st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=2, unique=True),
    order=st.lists(one_order, max_size=2, unique_by=lambda key: key.column),
    keep=st.sampled_from(["First", "Last"]),
    rows=st.sampled_from([1, 2, 3, 1000]),
    partitions=st.sampled_from([1, 4]),
)
def test_rows_are_those_of_row_number(  # noqa: PLR0913 - one of each that a job can say
    tmp_path: Path, count: int, seed: int, by: list[str], order: list[SortKey], keep: str, rows: int, partitions: int
) -> None:
    operation = Distinct(by, keep, order, rows)
    columns = list(dict.fromkeys([*by, *(key.column for key in order)]))
    table = random_table(count, seed, columns, ["str", "list"])
    folder = write_table(tmp_path / f"{seed}-{count}-{len(list(tmp_path.iterdir()))}", table, 2, 40)
    found = table_of(carried_out(planned(job_of(folder, operation, partitions))))
    numbers = found.column("row").to_pylist()
    assert sorted(numbers) == expected_rows(table, operation)
    assert found.schema.types == table.schema.types
    assert str(found.to_pylist()) == str(table.take(pa.array(numbers, pa.int64())).to_pylist())
    in_order(table, numbers, operation)


HARD = {
    "all tied": [1.0] * 9,
    "all null": [None] * 9,
    "zeros": [0.0, -0.0, 0.0, -0.0, 0.0, -0.0, 0.0, -0.0, -0.0],
    "not a number": [float("nan"), 1.0, None, float("nan"), float("inf"), None, float("-inf"), 2.0, float("nan")],
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
@pytest.mark.parametrize("keep", ["First", "Last"])
def test_ties_nulls_and_nan(tmp_path: Path, name: str, descending: bool, nulls_first: bool, keep: str) -> None:
    """Of a group of nine in three files: each number of rows, and more than there are."""
    table = pa.table({"row": range(9), "k": ["a"] * 9, "float": pa.array(HARD[name], pa.float64())})
    folder = write_table(tmp_path / "in", table, 3, 2)
    for rows in (1, 2, 5, 9, 10):
        operation = Distinct(["k"], keep, [SortKey("float", descending, nulls_first)], rows)
        found = table_of(carried_out(planned(job_of(folder, operation)))).column("row").to_pylist()
        assert sorted(found) == expected_rows(table, operation)
        in_order(table, found, operation)


def test_newest_by_one_rule_or_by_the_other(tmp_path: Path) -> None:
    """Descending and first: of equal ones the earlier; ascending and last: the later."""
    table = pa.table({"row": range(6), "k": list("aabbab"), "ts": [5, 7, 1, 1, 7, 0]})
    folder = write_table(tmp_path / "in", table, 2, 2)

    def kept(operation: Distinct) -> list[int]:
        return sorted(table_of(carried_out(planned(job_of(folder, operation)))).column("row").to_pylist())

    assert kept(Distinct(["k"], "First", [SortKey("ts", descending=True)])) == [1, 2]
    assert kept(Distinct(["k"], "Last", [SortKey("ts")])) == [3, 4]


@pytest.fixture
def small_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few thousand rows are aggregated, sent and begun again."""
    monkeypatch.setattr(partial_aggregation, "HELD", 60_000)
    monkeypatch.setattr(partial_aggregation, "KEPT", 100_000)
    monkeypatch.setattr(partial_aggregation, "BLOCK_ROWS", 1024)


CUTS = [
    Cut(buckets=5, memory=MIB, batch_rows=1000),
    Cut(buckets=5, memory=400_000, batch_rows=7777, batch_bytes=200_000, backwards=True),
    Cut(buckets=20, memory=64 * MIB, batch_rows=50_000, backwards=True),
]


@pytest.mark.usefixtures("small_constants")
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("keys", [3, 300, 5000])  # aggregated, aggregated and sent now and then, sent as they are
def test_the_same_bytes_whatever_the_circumstances(tmp_path: Path, keys: int, rows: int) -> None:
    random = np.random.default_rng(keys)
    table = pa.table(
        {
            "k": random.integers(0, keys, 12_000),
            "ts": pa.array(random.integers(0, 40, 12_000), mask=random.random(12_000) < 0.1),
            "name": pa.array([f"name {n}" for n in random.integers(0, 50, 12_000)]),
            "row": range(12_000),
        }
    )
    folder = write_table(tmp_path / "in", table, 3, 1500)
    operation = Distinct(["k"], "First", [SortKey("ts", descending=True), SortKey("name")], rows)
    plan = planned(job_of(folder, operation, partitions=5))
    expected = carried_out(plan)
    assert sorted(table_of(expected).column("row").to_pylist()) == expected_rows(table, operation)
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path / "scratch").files == expected.files, cut


def test_sorted_within_and_fewer_columns(tmp_path: Path) -> None:
    table = random_table(300, 1, ["word", "int8"], ["f64"])
    folder = write_table(tmp_path / "in", table, 2, 50)
    operation = Distinct(["word"], "First", [SortKey("int8")], 7)
    job = job_of(folder, operation, 2, [SortKey("row")], columns=["row", "word", "int8"])
    for file in carried_out(planned(job)).tables():
        assert file.column_names == ["row", "word", "int8"]
        assert file.column("row").to_pylist() == sorted(file.column("row").to_pylist())


def test_fewer_rows_are_sent_where_few_are_kept(tmp_path: Path) -> None:
    """Each split gives up what cannot be among the rows that are kept."""
    table = pa.table({"row": range(40_000), "k": [n % 20 for n in range(40_000)]})
    folder = write_table(tmp_path / "in", table, 4, 2_000)
    plan = planned(job_of(folder, Distinct(["k"], "First", [SortKey("row", descending=True)], 3)))
    one = plan.job.inputs[0]
    source, reader = MemorySource(), reader_for(plan, storage_for(one.paths[0], one.storage))
    operation = operation_for(Given(plan, MemoryFiles(), None, 8 * MIB))
    for number, split in enumerate(plan.splits):
        splitter = operation.splitter(None)
        for rows in reader.read(split, 1 << 16):
            source.put(number, splitter.add(rows))
        source.put(number, splitter.flush())
    assert source.rows <= 3 * 20 * len(plan.splits)


def test_what_is_aggregated_has_each_key_once() -> None:
    """By it the map side judges whether aggregating pays, and the reduce side what it can cut."""
    schema = pa.schema([("k", pa.string()), ("v", pa.int64())])
    accumulator = RowAccumulator(schema, ["k"], TopRows([SortKey("v")], 2, last=False))
    for keys, numbers in (("abab", [4, 3, 2, 1]), ("", []), ("caaa", [0, 9, 1, 5])):
        accumulator.add(pa.record_batch([list(keys), numbers], schema=schema))
    assert accumulator.keys.to_pydict() == {"k": ["a", "b", "c"]}
    assert accumulator.finished().to_pydict() == {"k": ["a", "a", "b", "b", "c"], "v": [1, 2, 1, 3, 0]}


@pytest.mark.parametrize("kept", [1, 200])
def test_very_narrow_rows_stay_within_the_memory(tmp_path: Path, kept: int) -> None:
    """Sorting takes many times what a row of four bytes takes: what is sorted at once goes by that."""
    random = np.random.default_rng(1)
    count, memory = 1_200_000, 8 * MIB
    table = pa.table(
        {
            "k": pa.array(random.integers(0, 6_000, count), pa.int16()),
            "v": pa.array(random.integers(0, 100, count), pa.int16()),
        }
    )
    folder = write_table(tmp_path / "in", table, 2, 200_000)
    plan = planned(job_of(folder, Distinct(["k"], "First", [SortKey("v")], kept)))
    one = plan.job.inputs[0]
    source, reader = MemorySource(), reader_for(plan, storage_for(one.paths[0], one.storage))
    operation = operation_for(Given(plan, MemoryFiles(), None, 8 * MIB))
    for number, split in enumerate(plan.splits):
        splitter = operation.splitter(None)
        for rows in reader.read(split, 1 << 16):
            source.put(number, splitter.add(rows))
        source.put(number, splitter.flush())
    tracemalloc.start()
    try:
        files = [file for group in range(plan.layout.groups) for file in operation.write(group, source, memory)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(file.rows for file in files) == int(np.minimum(np.bincount(table["k"].to_numpy()), kept).sum())
    assert peak < memory


def test_one_key_with_too_much_is_refused_by_name(tmp_path: Path) -> None:
    table = pa.table({"k": ["the key"] * 5_000, "text": [f"{n:0200}" for n in range(5_000)]})
    folder = write_table(tmp_path / "in", table, 2, 500)
    plan = planned(job_of(folder, Distinct(["k"], "First", [SortKey("text")], 4_000)))
    with pytest.raises(OutOfMemory, match=r"k = the key .*keep fewer rows, or give the workers more memory"):
        carried_out(plan, Cut(memory=MIB))
    assert table_of(carried_out(plan)).num_rows == 4_000


def test_what_explain_says(tmp_path: Path) -> None:
    table = pa.table({"k": [n % 10 for n in range(1000)], "t": range(1000)})
    folder = write_table(tmp_path / "in", table)
    plan = planned(job_of(folder, Distinct(["k"], "First", [SortKey("t", descending=True)], 3)))
    assert plan.summary.tree is not None
    (done,) = plan.summary.tree.inputs
    assert done.what == "distinct by k, the first 3 rows of each by t descending, nulls last"
    assert done.estimated.rows == 30


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([SortKey("tt")], "orderBy[0].column: the input has no column 'tt'; did you mean 't'?"),
        ([SortKey("t"), SortKey("tags")], "orderBy[1].column: 'tags' is list<element: int64>, which can be neither"),
        ([SortKey("t"), SortKey("t", descending=True)], "operation.distinct.orderBy: 't' is named twice"),
    ],
)
def test_an_order_that_is_none_is_refused(tmp_path: Path, order: list[SortKey], said: str) -> None:
    table = pa.table({"k": [1], "t": [1], "tags": pa.array([[1]], pa.list_(pa.int64()))})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InvalidSpec) as caught:
        planned(job_of(str(tmp_path / "a.parquet"), Distinct(["k"], "First", order)))
    assert said in caught.value.message
