"""Right outputs pass and each kind of wrong output is caught, with words that say what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from benchmarks.dataset import Dataset
from benchmarks.engines import duckdb_copy
from benchmarks.engines.base import Task
from benchmarks.verify import Verifier, output_files, reference_of

FILES = 6
Pieces = list[pa.Table]


def repartitioned(dataset: Dataset) -> Pieces:
    table = pq.read_table(dataset.folder)
    ids = np.array(table["id"].to_pylist())
    return [table.filter(pa.array(ids % FILES == part)) for part in range(FILES)]


def in_order(dataset: Dataset) -> Pieces:
    table = pq.read_table(dataset.folder).sort_by("timestamp")
    each = -(-len(table) // FILES)
    return [table.slice(part * each, each) for part in range(FILES)]


def write(folder: Path, pieces: Pieces) -> Path:
    folder.mkdir()
    for number, piece in enumerate(pieces):
        pq.write_table(piece, folder / f"part-{number:05d}.parquet", row_group_size=100)
    (folder / "_manifest.json").write_text("{}")
    (folder / "_SUCCESS").touch()
    return folder


def joined(dataset: Dataset) -> Pieces:
    table = pq.read_table(dataset.folder).join(pq.read_table(dataset.side), "id", join_type="inner")
    return [table.slice(part * 1000, 1000) for part in range(-(-len(table) // 1000))]


def grouped(dataset: Dataset) -> Pieces:
    table = pq.read_table(dataset.folder).group_by("id").aggregate([("x", "sum"), ("y", "mean"), ([], "count_all")])
    return [table.rename_columns(["id", "sx", "my", "n"])]


def mixed(dataset: Dataset) -> Pieces:
    table = pq.read_table(dataset.folder)
    order = np.random.default_rng(1).permutation(len(table))
    return [table.take(pa.array(part)) for part in np.array_split(order, FILES)]


def newest(dataset: Dataset) -> Pieces:
    frame = pq.read_table(dataset.folder).to_pandas().sort_values("timestamp").drop_duplicates("id", keep="last")
    return [pa.Table.from_pandas(frame, preserve_index=False)]


def as_of(dataset: Dataset) -> Pieces:
    left, right = (pq.read_table(folder).to_pandas() for folder in (dataset.folder, dataset.quotes))
    left, right = left.sort_values("timestamp"), right.sort_values("since")
    frame = pd.merge_asof(left, right, left_on="timestamp", right_on="since", by="id")
    return [pa.Table.from_pandas(frame, preserve_index=False)]


def windows(dataset: Dataset) -> Pieces:
    frame = pq.read_table(dataset.folder).to_pandas().sort_values("timestamp")
    frame["nr"] = frame.groupby("id").cumcount() + 1
    frame["total"] = frame.groupby("id")["x"].cumsum()
    return [pa.Table.from_pandas(frame, preserve_index=False)]


MAKERS: dict[str, Callable[[Dataset], Pieces]] = {"repartition": repartitioned, "sort": in_order, "random": mixed}
RESULTS: dict[str, Callable[[Dataset], Pieces]] = {
    "join": joined,
    "groupBy": grouped,
    "newest": newest,
    "asOf": as_of,
    "window": windows,
}


@pytest.mark.parametrize("workload", RESULTS)
def test_a_right_result_passes(workload: str, dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    assert verifier.verify(workload, write(tmp_path / "out", RESULTS[workload](dataset))).problems == []


@pytest.mark.parametrize(
    ("workload", "column"),
    [
        ("join", "a"),
        ("join", "x"),
        ("groupBy", "sx"),
        ("groupBy", "n"),
        ("newest", "y"),
        ("asOf", "price"),
        ("window", "nr"),
        ("window", "total"),
    ],
)
def test_values_that_moved_between_rows_of_a_result(
    workload: str, column: str, dataset: Dataset, verifier: Verifier, tmp_path: Path
) -> None:
    table = pa.concat_tables(RESULTS[workload](dataset)).combine_chunks()
    at = table.column_names.index(column)
    moved = pa.concat_arrays([table[column].chunk(0)[1:], table[column].chunk(0)[:1]])
    verdict = verifier.verify(workload, write(tmp_path / "out", [table.set_column(at, column, moved)]))
    assert verdict.problems and "wrong" in verdict.problems[0]


@pytest.mark.parametrize("workload", RESULTS)
def test_a_row_of_a_result_is_missing(workload: str, dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = RESULTS[workload](dataset)
    pieces[0] = pieces[0].slice(1)
    assert "rows instead of" in verifier.verify(workload, write(tmp_path / "out", pieces)).problems[0]


@pytest.mark.parametrize("workload", MAKERS)
def test_a_right_output_passes(workload: str, dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    verdict = verifier.verify(workload, write(tmp_path / "out", MAKERS[workload](dataset)), exactly=FILES)
    assert verdict.problems == []
    assert verdict.files == FILES and verdict.size > 0


@pytest.mark.parametrize("workload", [*MAKERS, *RESULTS])
def test_what_a_peer_writes_passes(workload: str, dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    out = tmp_path / "out"
    duckdb_copy.run(
        Task(
            workload,
            str(dataset.folder),
            str(dataset.quotes if workload == "asOf" else dataset.side),
            str(out),
            str(tmp_path / "scratch"),
            dataset.rows,
            FILES,
            10**9,
            1,
        )
    )
    assert verifier.verify(workload, out).problems == []


def dealt(dataset: Dataset) -> Pieces:
    """Rows in turn: every file has rows of all input files, in the input's order."""
    table = pq.read_table(dataset.folder)
    return [table.take(pa.array(np.arange(part, len(table), FILES))) for part in range(FILES)]


def in_blocks(dataset: Dataset) -> Pieces:
    """Input files in a random order, and in it rows in a random order: blocks that are shuffled, not rows."""
    files = [pq.read_table(path) for path in reversed(output_files(dataset.folder))]
    random = np.random.default_rng(1)
    return [file.take(pa.array(random.permutation(len(file)))) for file in files]


@pytest.mark.parametrize(("pieces", "said"), [(dealt, "neighbours in the input"), (in_blocks, "some input files")])
def test_what_is_not_random(
    pieces: Callable[[Dataset], Pieces], said: str, dataset: Dataset, verifier: Verifier, tmp_path: Path
) -> None:
    (problem,) = verifier.verify("random", write(tmp_path / "out", pieces(dataset))).problems
    assert said in problem


def test_other_types_for_the_same_values_pass(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = [
        piece.set_column(0, "timestamp", piece["timestamp"].cast(pa.timestamp("ns"))).set_column(
            1, "name", piece["name"].cast(pa.large_string())
        )
        for piece in in_order(dataset)
    ]
    assert verifier.verify("sort", write(tmp_path / "out", pieces)).problems == []


@pytest.mark.parametrize("workload", MAKERS)
def test_a_missing_row(workload: str, dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = MAKERS[workload](dataset)
    pieces[2] = pieces[2].slice(1)
    assert "3999 rows instead of 4000" in verifier.verify(workload, write(tmp_path / "out", pieces)).problems


def test_a_row_twice_in_place_of_another(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = repartitioned(dataset)
    pieces[2] = pa.concat_tables([pieces[2].slice(1), pieces[2].slice(1, 1)])
    problems = verifier.verify("repartition", write(tmp_path / "out", pieces)).problems
    assert any(problem.startswith("wrong values in timestamp") for problem in problems)


def test_one_changed_value(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = repartitioned(dataset)
    values = pieces[0]["y"].to_pylist()
    values[7] += 1e-9
    pieces[0] = pieces[0].set_column(4, "y", pa.array(values))
    assert verifier.verify("repartition", write(tmp_path / "out", pieces)).problems == ["wrong values in y"]


def test_values_that_changed_rows(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = repartitioned(dataset)
    pieces[1] = pieces[1].set_column(3, "x", pa.array(pieces[1]["x"].to_pylist()[::-1]))
    problems = verifier.verify("repartition", write(tmp_path / "out", pieces)).problems
    assert problems == ["values have been moved between rows"]


def test_a_key_in_two_files(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = repartitioned(dataset)
    key = next(key for key in pieces[0]["id"].to_pylist() if pc.sum(pc.equal(pieces[0]["id"], key)).as_py() > 1)
    at = pieces[0]["id"].to_pylist().index(key)
    moved = pieces[0].slice(at, 1)
    pieces[0] = pa.concat_tables([pieces[0].slice(0, at), pieces[0].slice(at + 1)])
    pieces[5] = pa.concat_tables([pieces[5], moved])
    problems = verifier.verify("repartition", write(tmp_path / "out", pieces)).problems
    assert problems == ["1 keys are in two files"]


def test_a_key_in_two_files_of_one_folder_is_in_one_partition(
    dataset: Dataset, verifier: Verifier, tmp_path: Path
) -> None:
    for number, piece in enumerate(repartitioned(dataset)):
        (tmp_path / f"p={number}").mkdir()
        half = len(piece) // 2
        pq.write_table(piece.slice(0, half), tmp_path / f"p={number}" / "data_0.parquet")
        pq.write_table(piece.slice(half), tmp_path / f"p={number}" / "data_1.parquet")
    assert verifier.verify("repartition", tmp_path).problems == []


def test_an_unsorted_file(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = in_order(dataset)
    order = list(range(len(pieces[3])))
    order[150], order[151] = order[151], order[150]
    pieces[3] = pieces[3].take(order)
    problems = verifier.verify("sort", write(tmp_path / "out", pieces)).problems
    assert problems == ["part-00003.parquet is not sorted"]


def test_disorder_between_batches_of_a_file(
    dataset: Dataset, verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.verify.BATCH_ROWS", 100)
    pieces = in_order(dataset)
    pieces[3] = pieces[3].take([*range(100, 200), *range(100), *range(200, len(pieces[3]))])
    problems = verifier.verify("sort", write(tmp_path / "out", pieces)).problems
    assert problems == ["part-00003.parquet is not sorted"]


def test_files_out_of_order(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = in_order(dataset)
    pieces[2], pieces[3] = pieces[3], pieces[2]
    problems = verifier.verify("sort", write(tmp_path / "out", pieces)).problems
    assert problems == ["part-00003.parquet begins before its predecessor ends"]


def test_a_null_in_the_sort_key(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = in_order(dataset)
    values = pieces[0]["timestamp"].to_pylist()
    values[0] = None
    pieces[0] = pieces[0].set_column(0, "timestamp", pa.array(values, pa.timestamp("us")))
    assert "part-00000.parquet has null timestamps" in verifier.verify("sort", write(tmp_path / "o", pieces)).problems


def test_another_number_of_files(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    folder = write(tmp_path / "out", repartitioned(dataset))
    assert verifier.verify("repartition", folder, exactly=64).problems == ["6 files instead of 64"]


def test_nothing_there(verifier: Verifier, tmp_path: Path) -> None:
    assert verifier.verify("sort", tmp_path / "none").problems == ["no output files"]


def test_a_broken_file(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    folder = write(tmp_path / "out", repartitioned(dataset))
    (folder / "part-00002.parquet").write_bytes(b"PAR1 and then nothing")
    (problem,) = verifier.verify("repartition", folder).problems
    assert problem.startswith("cannot be read")


def test_a_missing_column(dataset: Dataset, verifier: Verifier, tmp_path: Path) -> None:
    pieces = [piece.drop_columns(["payload"]) for piece in repartitioned(dataset)]
    (problem,) = verifier.verify("repartition", write(tmp_path / "out", pieces)).problems
    assert "payload" in problem


@pytest.mark.parametrize(
    "names",
    [
        ["part.2.parquet", "part.9.parquet", "part.10.parquet"],
        ["00000009.parquet", "0000000a.parquet", "00000010.parquet"],
        ["part-00009.parquet", "part-00010.parquet"],
    ],
)
def test_files_are_taken_in_the_order_their_names_mean(names: list[str], tmp_path: Path) -> None:
    for name in [*reversed(names), "_metadata.parquet", "readme.txt"]:
        (tmp_path / name).touch()
    assert [file.name for file in output_files(tmp_path)] == names


def test_a_reference_is_kept_until_the_data_changes(tmp_path: Path, dataset: Dataset) -> None:
    folder, cache = tmp_path / "data", tmp_path / "reference.json"
    write(folder, repartitioned(dataset))
    first = reference_of(folder, cache, tmp_path / "scratch", 1)
    stamp = cache.stat().st_mtime_ns
    assert reference_of(folder, cache, tmp_path / "scratch", 1) == first
    assert cache.stat().st_mtime_ns == stamp
    (folder / "part-00005.parquet").unlink()
    assert reference_of(folder, cache, tmp_path / "scratch", 1).rows < first.rows
