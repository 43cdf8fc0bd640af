"""A random order: as random as chance, and the same bytes whatever the circumstances. Seeds are fixed, so that what is
said of chance is either always so or never."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.one_process import carry_out, job_of
from tests.groupby.in_process import Cut, carried_out, planned, table_of, write_table
from tests.groupby.in_process import job_of as plain_job
from tests.operations.random_rows import SCHEMA, comparable, input_rows

from shuffle_operator.api.problems import InvalidJob
from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import Job, RandomOrder, SortKey
from shuffle_worker.partitioning.random_keys import cells_of_keys, random_keys
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers import text

MIB = 1 << 20
Numbers = npt.NDArray[np.int64]
ROWS, FILES = 40_000, 16


def plan_of(folder: str, seed: int, partitions: int, **source: Any) -> Plan:
    return planned(plain_job(folder, RandomOrder(seed), partitions, **source))


def numbered(rows: int, first: int = 0) -> pa.Table:
    return pa.table({"row": pa.array(range(first, first + rows), pa.int64())})


def order_of(folder: str, seed: int, partitions: int = FILES, **source: Any) -> list[Numbers]:
    """The numbers of the rows of every file."""
    files = carried_out(plan_of(folder, seed, partitions, **source)).tables()
    return [np.array(file.column("row").to_pylist(), np.int64) for file in files]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_table(tmp_path_factory.mktemp("numbers") / "in", numbered(ROWS), 4, 3_000)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 300), seed=st.integers(0, (1 << 53) - 1), partitions=st.sampled_from([1, 3, 9, 140]))
def test_every_row_is_where_its_key_says(tmp_path: Path, rows: int, seed: int, partitions: int) -> None:
    folder = tmp_path / f"{seed}-{rows}-{partitions}"
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_batches([input_rows(rows, 1)])
    source = write_table(folder / "in", table, 2, 40)
    files = carried_out(plan_of(source, seed, partitions)).tables()
    keys = random_keys(np.arange(rows), seed)
    order = np.argsort(keys)
    assert table_of_numbers(files) == order.tolist()
    cells = cells_of_keys(keys, partitions)
    assert [file.num_rows for file in files] == np.bincount(cells, minlength=partitions).tolist()
    for file in files:
        assert file.schema.equals(SCHEMA, check_metadata=True)
        assert comparable(file) == comparable(table.take(file.column("row")))


def table_of_numbers(files: list[pa.Table]) -> list[int]:
    found: list[int] = pa.concat_tables(files).column("row").to_pylist()
    return found


def chi_square(counts: Numbers, expected: float) -> float:
    """In standard deviations from what chance gives."""
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_files_and_places_in_them_are_as_even_as_chance(numbers: str, seed: int) -> None:
    files = order_of(numbers, seed)
    sizes = np.array([len(file) for file in files])
    assert sizes.sum() == ROWS
    assert abs(chi_square(sizes, ROWS / FILES)) < 4
    assert 0 < sizes.max() - sizes.min() < 8 * np.sqrt(ROWS / FILES)  # as docs/random-order.md says
    # which twentieth of the input went to which file
    table = np.array([np.bincount(file * 20 // ROWS, minlength=20) for file in files])
    assert abs(chi_square(table, ROWS / FILES / 20)) < 4
    # which twentieth of the input stands in which tenth of its file
    places = np.concatenate([np.arange(len(file)) * 10 // len(file) for file in files])
    table = np.bincount(np.concatenate(files) * 20 // ROWS * 10 + places, minlength=200)
    assert abs(chi_square(table, ROWS / 200)) < 4
    # neighbours in the input are no neighbours in the output
    found = np.concatenate(files)
    assert np.count_nonzero(abs(np.diff(found)) == 1) < 15  # chance: 2
    assert abs(np.corrcoef(found, np.arange(ROWS))[0, 1]) < 4 / np.sqrt(ROWS)
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 4 / np.sqrt(ROWS)


def test_another_seed_is_another_order(numbers: str) -> None:
    orders = [np.argsort(np.concatenate(order_of(numbers, seed))) for seed in (1, 2, 3, 1 << 40)]
    for one, other in itertools.combinations(orders, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(ROWS)
    assert (np.argsort(np.concatenate(order_of(numbers, 1))) == orders[0]).all()


CUTS = [
    Cut(backwards=True),
    Cut(buckets=1, memory=MIB, batch_rows=37),
    Cut(memory=200_000, batch_bytes=100_000, backwards=True),
    Cut(buckets=12, memory=MIB, batch_rows=999),
    Cut(buckets=36, memory=300_000),
]
"""More buckets than files, and fewer; in memory and on scratch."""


def test_the_same_bytes_whatever_the_circumstances(tmp_path: Path) -> None:
    table = pa.Table.from_batches([input_rows(6_000, 3)])
    folder = write_table(tmp_path / "in", table, 3, 700)
    plan = plan_of(folder, 9, 12)
    plan = msgspec.structs.replace(plan, row_group_rows=300)
    expected = carried_out(plan, scratch=tmp_path / "scratch").files
    assert sorted(table_of_numbers(carried_out(plan).tables())) == list(range(6_000))
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path / "scratch").files == expected, cut
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(("files", "row_group"), [(1, 40_000), (3, 100), (40, 1_000)])
def test_the_order_does_not_depend_on_how_the_input_is_cut(
    tmp_path: Path, numbers: str, files: int, row_group: int
) -> None:
    """Several files are as one that has their rows one after the other."""
    other = write_table(tmp_path / "in", numbered(ROWS), files, row_group)
    assert [file.tolist() for file in order_of(other, 7)] == [file.tolist() for file in order_of(numbers, 7)]


def test_rows_that_come_later_leave_the_order_of_the_others(tmp_path: Path, numbers: str) -> None:
    pq.write_table(numbered(5_000, ROWS), tmp_path / "more.parquet")
    before = np.concatenate(order_of(numbers, 7))
    job = plain_job(numbers, RandomOrder(7), 5)
    more = msgspec.structs.replace(job.inputs[0], paths=[numbers, str(tmp_path / "more.parquet")])
    after = np.array(table_of_numbers(carried_out(planned(msgspec.structs.replace(job, inputs=[more]))).tables()))
    assert len(after) == ROWS + 5_000
    assert after[after < ROWS].tolist() == before.tolist()


@pytest.mark.parametrize("where", ["row % 3 = 1", "row > 12345", "row < 0", "row BETWEEN 2990 AND 3010"])
def test_a_filter_leaves_the_order_of_what_passes(numbers: str, where: str) -> None:
    """Positions are those before the filter, and before row groups are passed over."""
    every = np.concatenate(order_of(numbers, 7))
    found = np.concatenate(order_of(numbers, 7, filter=where))
    kept = {
        "row % 3 = 1": every % 3 == 1,
        "row > 12345": every > 12345,
        "row < 0": every < 0,
        "row BETWEEN 2990 AND 3010": (every >= 2990) & (every <= 3010),
    }[where]
    assert found.tolist() == every[kept].tolist()


def write_text(folder: Path, kind: str, rows: int, files: int = 2) -> str:
    folder.mkdir()
    each = rows // files
    for at in range(files):
        table = numbered(each, at * each).append_column("word", pa.array([f"w{n % 7}" * (n % 5) for n in range(each)]))
        if kind == "csv":
            csv.write_csv(table, folder / f"{at}.csv")
        else:
            (folder / f"{at}.json").write_text(
                "".join(f"{msgspec.json.encode(r).decode()}\n" for r in table.to_pylist())
            )
    return str(folder)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_text_that_is_cut_in_the_middle_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Where rows are not counted, positions follow from the files' bytes: not from batches, nor from what is read."""
    monkeypatch.setattr(text, "PART", 5_000)
    folder = write_text(tmp_path / "in", kind, 4_000)
    plan = plan_of(folder, 4, 6)
    assert sum(len(piece.row_groups) for split in plan.splits for piece in split.pieces) > 6
    expected = carried_out(plan)
    found = np.array(table_of_numbers(expected.tables()))
    assert sorted(found.tolist()) == list(range(4_000))
    assert abs(np.corrcoef(found, np.arange(4_000))[0, 1]) < 4 / np.sqrt(4_000)
    for cut in (Cut(batch_rows=7), Cut(buckets=2, memory=MIB, backwards=True)):
        assert carried_out(plan, cut).files == expected.files
    fewer = plan_of(folder, 4, 6, filter="row % 2 = 0", columns=["row"])
    assert table_of_numbers(carried_out(fewer).tables()) == found[found % 2 == 0].tolist()


def test_a_column_may_be_called_like_the_key(tmp_path: Path) -> None:
    table = numbered(500).append_column("shuffle-key", pa.array([f"mine {n}" for n in range(500)]))
    plan = plan_of(write_table(tmp_path / "in", table, 2, 100), 1, 3)
    assert plan.key_column not in table.column_names
    found = table_of(carried_out(plan))
    assert found.column_names == table.column_names
    assert found.sort_by("row").equals(table)


def test_no_rows(tmp_path: Path) -> None:
    found = carried_out(plan_of(write_table(tmp_path / "in", numbered(0)), 1, 3)).tables()
    assert [file.num_rows for file in found] == [0, 0, 0]
    assert all(file.schema.names == ["row"] for file in found)


def whole(folder: str, out: Path, **output: Any) -> Job:
    return job_of(Path(folder), {"path": str(out), **output}, {"repartition": {"random": {"seed": 5}}})


def test_folders_keep_the_order_and_the_manifest_says_what_was_done(tmp_path: Path) -> None:
    table = numbered(2_000).append_column("kind", pa.array([f"k{n % 3}" for n in range(2_000)]))
    folder = write_table(tmp_path / "in", table, 2, 300)
    carry_out(whole(folder, tmp_path / "plain", partitions=2), tmp_path / "scratch")
    carry_out(whole(folder, tmp_path / "folders", partitions=2, partitionBy=["kind"]), tmp_path / "scratch")
    for part in ("part-00000.parquet", "part-00001.parquet"):
        order = pq.ParquetFile(tmp_path / "plain" / part).read().to_pylist()
        for kind in ("k0", "k1", "k2"):
            found = pq.ParquetFile(tmp_path / "folders" / f"kind={kind}" / part).read()
            assert found.column("row").to_pylist() == [row["row"] for row in order if row["kind"] == kind]
    manifest = msgspec.json.decode((tmp_path / "plain" / "_manifest.json").read_bytes())
    assert manifest["partitioning"] == {"method": "random", "keys": [], "count": 2, "hash": ""}


def test_an_order_within_files_is_refused_at_once(tmp_path: Path, numbers: str) -> None:
    with pytest.raises(InvalidJob, match="leave sortWithin out"):
        whole(numbers, tmp_path / "out", sortWithin=["row"])
    with pytest.raises(InvalidSpec, match="leave it out"):
        planned(plain_job(numbers, RandomOrder(1), 2, [SortKey("row")]))
