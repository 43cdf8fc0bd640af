"""A cluster: rows along a curve through ranges of their columns, so that files can be skipped by any of these; the same
bytes whatever the circumstances."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.groupby.in_process import Cut, carried_out, job_of, planned, table_of, write_table
from tests.operations.memory_shards import MemoryFiles
from tests.operations.random_rows import SCHEMA, comparable, input_rows, key_columns, travelling

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import AnyOperation, Cluster, Sort, SortKey
from shuffle_worker.inputs import sample
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.plan import sizing
from shuffle_worker.plan.record import Plan

MIB = 1 << 20
ROWS, FILES = 40_000, 64


def plan_of(folder: str, operation: AnyOperation, partitions: int = FILES, **source: Any) -> Plan:
    return planned(job_of(folder, operation, partitions, **source))


def cuts_of(plan: Plan) -> list[pa.Table]:
    return [pa.ipc.open_stream(cuts).read_all().combine_chunks() for cuts in plan.cuts]


def ranks_of(rows: pa.RecordBatch, name: str, cuts: pa.Table) -> list[int]:
    """How many cuts are not above each row's value, the long way: by sorting both together, cuts first."""
    schema = pa.schema([rows.schema.field(name).remove_metadata()])
    both = pa.concat_tables(
        [cuts.select([name]).cast(schema), pa.Table.from_batches([rows.select([name])]).cast(schema)]
    )
    order = sort_indices(both.combine_chunks(), [SortKey(name)])
    below = np.cumsum(order < cuts.num_rows)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = below
    found: list[int] = ranks[cuts.num_rows :].tolist()
    return found


def hilbert(point: list[int], bits: int) -> int:
    """Skilling's algorithm, as published."""
    x = list(point)
    q = 1 << bits - 1
    while q > 1:
        for i in range(len(x)):
            if x[i] & q:
                x[0] ^= q - 1
            else:
                t = (x[0] ^ x[i]) & (q - 1)
                x[0] ^= t
                x[i] ^= t
        q >>= 1
    for i in range(1, len(x)):
        x[i] ^= x[i - 1]
    t, q = 0, 1 << bits - 1
    while q > 1:
        if x[-1] & q:
            t ^= q - 1
        q >>= 1
    return zigzag([one ^ t for one in x], bits)


def zigzag(point: list[int], bits: int) -> int:
    return int("".join(f"{one >> bit & 1}" for bit in reversed(range(bits)) for one in point), 2)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 250),
    seed=st.integers(0, 1000),
    by=st.lists(key_columns, min_size=2, max_size=4, unique=True),
    curve=st.sampled_from(["Hilbert", "ZOrder"]),
    partitions=st.sampled_from([1, 4]),
)
def test_rows_are_in_the_order_of_the_curve_and_then_of_the_input(
    tmp_path: Path, rows: int, seed: int, by: list[str], curve: str, partitions: int
) -> None:
    batch = input_rows(rows, seed, distinct=40)
    folder = write_table(
        tmp_path / f"{seed}-{rows}-{len(list(tmp_path.iterdir()))}", pa.Table.from_batches([batch]), 2, 40
    )
    plan = plan_of(folder, Cluster(by, curve), partitions)
    plain, bits = travelling(batch), 10
    points = []
    for name, cuts in zip(by, cuts_of(plan), strict=True):
        spread = bits - cuts.num_rows.bit_length()
        points.append([rank << spread for rank in ranks_of(plain, name, cuts)])
    place = hilbert if curve == "Hilbert" else zigzag
    places = [place(list(point), bits) for point in zip(*points, strict=True)]
    files = carried_out(plan).tables()
    found = pa.concat_tables(files).column("row").to_pylist()
    assert found == sorted(range(rows), key=lambda row: (places[row], row))
    sizes = [file.num_rows for file in files]
    assert max(sizes) - min(sizes) <= 1  # all rows are in the sample
    for file in files:
        assert file.schema.equals(SCHEMA, check_metadata=True)
        kept = pa.Table.from_batches([batch]).take(file.column("row"))
        assert comparable(file) == comparable(kept)


def random_table(kind: str, rows: int = ROWS) -> pa.Table:
    random = np.random.default_rng(1)
    columns = {
        "uniform": lambda: random.random(rows),
        "lognormal": lambda: random.lognormal(0, 2, rows),
        "texts of one beginning": lambda: np.array([f"customer/{n:09}" for n in random.integers(0, 10**8, rows)]),
    }[kind]
    return pa.table({"row": range(rows), "a": columns(), "b": columns()})


def skipped(files: MemoryFiles, table: pa.Table, column: str) -> float:
    """The mean share of files without a row in a range of one two-hundredth of the rows, by the files' statistics."""
    ends = []
    for data in files.files.values():
        metadata = pq.ParquetFile(io.BytesIO(data)).metadata
        at = [metadata.schema.column(n).name for n in range(metadata.num_columns)].index(column)
        found = [metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups)]
        ends.append((min(one.min for one in found), max(one.max for one in found)))
    values = sorted(table.column(column).to_pylist())
    each = len(values) // 200
    ranges = [(values[at], values[at + each]) for at in range(0, len(values) - each, len(values) // 100)]
    shares = [sum(high < least or low > most for low, high in ends) / len(ends) for least, most in ranges]
    return float(np.mean(shares))


@pytest.mark.parametrize("kind", ["uniform", "lognormal", "texts of one beginning"])
def test_most_files_are_skipped_by_either_column(tmp_path: Path, kind: str) -> None:
    """64 files are eight by eight squares: a small range of one column touches a row of eight, an eighth of them."""
    table = random_table(kind)
    folder = write_table(tmp_path / "in", table, 4, 5_000)
    found = {
        name: [skipped(carried_out(plan_of(folder, operation)), table, column) for column in "ab"]
        for name, operation in (
            ("sort", Sort([SortKey("a"), SortKey("b")])),
            ("z", Cluster(["a", "b"], "ZOrder")),
            ("hilbert", Cluster(["a", "b"])),
        )
    }
    assert found["sort"][0] > 0.97 and found["sort"][1] < 0.01
    assert min(found["hilbert"]) > 0.82
    assert min(found["z"]) > 0.75
    assert sum(found["hilbert"]) > sum(found["z"])


def test_a_column_of_few_values_takes_what_tells_them_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    table = pa.table({"row": range(ROWS), "a": random.integers(0, 3, ROWS), "b": random.random(ROWS)})
    folder = write_table(tmp_path / "in", table, 4, 5_000)
    plan = plan_of(folder, Cluster(["a", "b"]))
    assert [cuts.num_rows for cuts in cuts_of(plan)] == [2, 1023]
    files = carried_out(plan)
    assert skipped(files, table, "a") > 0.6  # two thirds are the most
    assert skipped(files, table, "b") > 0.9
    assert sum(len(set(file.column("a").to_pylist())) == 1 for file in files.tables()) > FILES - 6


@pytest.mark.parametrize("column", [[7] * 3_000, [None] * 3_000])
def test_a_column_of_one_value_says_nothing(tmp_path: Path, column: list[Any]) -> None:
    random = np.random.default_rng(3)
    table = pa.table({"row": range(3_000), "a": pa.array(column, pa.int64()), "b": random.permutation(3_000)})
    folder = write_table(tmp_path / "in", table, 2, 500)
    for files in (carried_out(plan_of(folder, Cluster(by), 8)).tables() for by in (["a", "b"], ["b", "a"])):
        ends = sorted((min(values), max(values)) for values in (file.column("b").to_pylist() for file in files))
        assert all(before[1] <= after[0] + 3 for before, after in itertools.pairwise(ends))


def test_a_column_that_rises_while_the_other_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows of a row group stand for it only if they do so in every column."""
    monkeypatch.setattr(sample, "PREFIX", 500)
    random = np.random.default_rng(4)
    table = pa.table({"row": range(ROWS), "a": random.random(ROWS), "b": range(ROWS)})
    folder = write_table(tmp_path / "in", table, 1, ROWS)
    plan = plan_of(folder, Cluster(["a", "b"]))
    cuts = np.array(cuts_of(plan)[1].column("b").to_pylist())
    assert len(cuts) == 1023
    assert np.diff([0, *cuts, ROWS]).max() < 3 * ROWS / 1024
    files = carried_out(plan)
    assert max(file.num_rows for file in files.tables()) < 1.2 * ROWS / FILES
    assert min(skipped(files, table, column) for column in "ab") > 0.8


CUTS = [
    Cut(backwards=True),
    Cut(buckets=1, memory=MIB, batch_rows=37),
    Cut(memory=200_000, batch_bytes=100_000, backwards=True),
]


@pytest.mark.parametrize("curve", ["Hilbert", "ZOrder"])
def test_the_same_bytes_whatever_the_circumstances(tmp_path: Path, curve: str) -> None:
    """Many rows have one place on the curve, and some of these straddle files."""
    folder = write_table(tmp_path / "in", pa.Table.from_batches([input_rows(6_000, 3)]), 3, 700)
    plan = msgspec.structs.replace(plan_of(folder, Cluster(["key", "text", "flag"], curve), 12), row_group_rows=300)
    expected = carried_out(plan, scratch=tmp_path / "scratch").files
    assert sorted(table_of(carried_out(plan)).column("row").to_pylist()) == list(range(6_000))
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path / "scratch").files == expected, cut


def test_files_begin_at_the_same_rows_however_finely_they_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_table(tmp_path / "in", random_table("uniform", 20_000), 3, 2_000)
    coarse = plan_of(folder, Cluster(["a", "b"]), 5)
    monkeypatch.setattr(sizing, "SORT_BUCKET_BYTES", 20_000)
    monkeypatch.setattr(sizing, "MIB", 10_000)
    fine = plan_of(folder, Cluster(["a", "b"]), 5)
    assert fine.layout.buckets > coarse.layout.buckets
    assert carried_out(fine).files == carried_out(coarse).files


def test_no_rows(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "in", random_table("uniform", 0))
    found = carried_out(plan_of(folder, Cluster(["a", "b"]), 3)).tables()
    assert [file.num_rows for file in found] == [0, 0, 0]
    assert all(file.schema.names == ["row", "a", "b"] for file in found)


def test_a_filter_and_fewer_columns(tmp_path: Path) -> None:
    table = random_table("uniform", 5_000)
    folder = write_table(tmp_path / "in", table, 2, 500)
    plan = plan_of(folder, Cluster(["b", "a"]), 4, columns=["a", "b"], filter="row % 2 = 0")
    found = table_of(carried_out(plan))
    assert found.column_names == ["a", "b"]
    assert found.sort_by("a").equals(table.filter(np_even(table)).select(["a", "b"]).sort_by("a"))


def np_even(table: pa.Table) -> pa.BooleanArray:
    numbers: npt.NDArray[np.int64] = table.column("row").to_numpy()
    return pa.array(numbers % 2 == 0)


def test_what_explain_says(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    table = pa.table({"a": random.integers(0, 12, 3_000), "b": random.random(3_000)})
    plan = plan_of(write_table(tmp_path / "in", table), Cluster(["a", "b"]), 4)
    assert plan.summary.tree is not None
    (done,) = plan.summary.tree.inputs
    assert (done.step, done.what) == ("Cluster", "cluster by a, b, along a Hilbert curve")
    assert done.why[0] == "by a sample, a in 12 ranges, b in 1,024 ranges"


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (["a"], "operation.cluster.by: needs two columns or more; for one, sort by it"),
        (["a", "a"], "operation.cluster.by: 'a' is named twice"),
        (["a", "bb"], "operation.cluster.by[1]: the input has no column 'bb'; did you mean 'b'?"),
        (["tags", "a"], "operation.cluster.by[0]: 'tags' is list<element: int64>, which can be neither"),
    ],
)
def test_columns_that_it_cannot_go_by_are_refused(tmp_path: Path, by: list[str], said: str) -> None:
    table = pa.table({"a": [1], "b": [1], "tags": pa.array([[1]], pa.list_(pa.int64()))})
    with pytest.raises(InvalidSpec) as caught:
        plan_of(write_table(tmp_path / "in", table), Cluster(by), 1)
    assert said in caught.value.message


def test_an_order_within_files_is_refused(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "in", random_table("uniform", 10))
    with pytest.raises(InvalidSpec, match="leave it out"):
        planned(job_of(folder, Cluster(["a", "b"]), 2, [SortKey("row")]))
