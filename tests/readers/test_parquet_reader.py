"""What is particular to Parquet: names with dots, damaged pages, casts that lose, memory that stays bounded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.plan.jobs import job, numbers, plan_of, read_all, write

from shuffle_protocol.errors import DataError, InputNotFound
from shuffle_protocol.memory import LEAST_STREAM
from shuffle_worker.plan.record import Plan
from shuffle_worker.readers.files import KEPT_FOOTERS, RUN, FileReader
from shuffle_worker.readers.parquet_file import STREAM, ParquetSource
from shuffle_worker.storage import LocalStorage, storage_for

LOCAL = LocalStorage()


def test_columns_whose_names_look_like_paths(tmp_path: Path) -> None:
    table = pa.table(
        {
            "a.b": [1, 2],
            "a": pa.array([{"b": 3, "c": [4]}, {"b": 5, "c": [6]}]),
            "a.c": ["x", "y"],
            "a.b.c": [7.0, 8.0],
            "": [True, False],
        }
    )
    write(tmp_path, {"f": table})
    assert read_all(plan_of(job(tmp_path)))[0].to_pylist() == table.to_pylist()
    for name in table.column_names:
        found, _ = read_all(plan_of(job(tmp_path, columns=[name])))
        assert found.to_pylist() == table.select([name]).to_pylist()
    found, _ = read_all(plan_of(job(tmp_path, columns=["a"], filter='"a.b" = 2')))
    assert found.to_pylist() == [{"a": {"b": 5, "c": [6]}}]


def test_only_the_chunks_of_the_columns_are_counted(tmp_path: Path) -> None:
    write(tmp_path, {"f": numbers(1000, text=pa.array([f"some text {n}" for n in range(1000)]))})
    narrow, whole = plan_of(job(tmp_path, columns=["id"])), plan_of(job(tmp_path))
    assert 0 < sum(split.bytes for split in narrow.splits) < sum(split.bytes for split in whole.splits)
    filtered = plan_of(job(tmp_path, columns=["id"], filter="text != ''"))
    assert sum(split.bytes for split in filtered.splits) == sum(split.bytes for split in whole.splits)


def damaged(tmp_path: Path, group: int) -> tuple[Path, Plan]:
    """A file of ten row groups, one of which is overwritten after it was planned, its size and time unchanged."""
    folder = write(tmp_path, {"f": numbers(10_000, text=pa.array([f"text {n}" for n in range(10_000)]))})
    path = folder / "f"
    plan = plan_of(job(tmp_path))
    found = path.stat()
    column = pq.ParquetFile(path).metadata.row_group(group).column(1)
    whole = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    whole[start : start + column.total_compressed_size] = b"\xa5" * column.total_compressed_size
    path.write_bytes(bytes(whole))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return path, plan


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    path, plan = damaged(tmp_path, 4)
    reader = FileReader(plan, LOCAL)
    rows = 0
    with pytest.raises(DataError, match="damaged") as said:
        for split in plan.splits:
            for batch in reader.read(split, 500):
                rows += batch.batch.num_rows
    assert str(path) in said.value.message
    assert "row group" in said.value.message


def test_damage_in_a_big_row_group_is_named_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.readers.files.RUN", 1)
    path, plan = damaged(tmp_path, 4)
    seen: list[int] = []
    with pytest.raises(DataError, match=f"{path}: row group 4 cannot be read"):
        for split in plan.splits:
            for rows in FileReader(plan, LOCAL).read(split, 1000):
                seen.append(rows.first)  # noqa: PERF401 (what came before the error counts)
    assert seen == [0, 1000, 2000, 3000]


def test_a_value_that_the_common_type_does_not_hold(tmp_path: Path) -> None:
    far = pa.array([2**60], pa.int64()).cast(pa.timestamp("ms"))
    near = pa.array([1], pa.int64()).cast(pa.timestamp("ns"))
    folder = write(tmp_path, {"a": pa.table({"t": far}), "b": pa.table({"t": near})}, version="2.6")
    with pytest.raises(DataError) as said:
        read_all(plan_of(job(tmp_path)))
    for part in (f"{folder}/a", "column 't'", "timestamp[ms] here", "timestamp[ns] in the job", "does not fit"):
        assert part in said.value.message


def test_small_row_groups_come_in_whole_batches(tmp_path: Path) -> None:
    write(tmp_path, {"f": numbers(10_000)}, row_group_size=10)
    plan = plan_of(job(tmp_path))
    reader = FileReader(plan, LOCAL)
    sizes = [rows.batch.num_rows for split in plan.splits for rows in reader.read(split, 4000)]
    assert sizes == [4000, 4000, 2000]
    assert RUN > 1000


def test_row_groups_left_out_leave_a_gap_in_the_positions(tmp_path: Path) -> None:
    write(tmp_path, {"f": numbers(1000)}, row_group_size=10)
    found, positions = read_all(plan_of(job(tmp_path, filter="id < 25 OR id >= 978")))
    assert positions.tolist() == found.column("id").to_pylist() == [*range(25), *range(978, 1000)]


def test_footers_are_parsed_once_and_few_are_kept(tmp_path: Path) -> None:
    write(tmp_path, {f"f{n:02}": numbers(10, 10 * n) for n in range(3 * KEPT_FOOTERS)})
    plan = plan_of(job(tmp_path))
    reader = FileReader(plan, LOCAL)
    for _ in range(2):
        rows = [row for split in plan.splits for rows in reader.read(split, 100) for row in rows.batch.to_pylist()]
        assert [row["id"] for row in rows] == list(range(30 * KEPT_FOOTERS))
        assert len(reader._footers) == KEPT_FOOTERS


def test_threads_read_splits_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.plan.sizing.LEAST_SPLIT_BYTES", 1000)
    write(tmp_path, {f"f{n}": numbers(1000, 1000 * n) for n in range(8)}, row_group_size=100)
    plan = plan_of(job(tmp_path, filter="id % 2 = 0"))
    assert len(plan.splits) > 8
    reader = FileReader(plan, LOCAL)
    found: dict[int, list[int]] = {}

    def read(at: int) -> None:
        found[at] = [n for rows in reader.read(plan.splits[at], 64) for n in rows.batch.column(0).to_pylist()]

    threads = [threading.Thread(target=read, args=(at,)) for at in range(len(plan.splits))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [n for at in range(len(plan.splits)) for n in found[at]] == list(range(0, 8000, 2))


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """One row group of 32 MiB, stored as it is."""
    values = np.random.default_rng(1).random((4, 1 << 20))
    columns = [pa.Array.from_buffers(pa.float64(), 1 << 20, [None, pa.py_buffer(each)]) for each in values]
    table = pa.table(columns, names=["c0", "c1", "c2", "c3"])
    path = tmp_path / "big"
    pq.write_table(table, path, row_group_size=1 << 20, compression="none", use_dictionary=False)
    return path


def peak(batches: Iterator[Any]) -> int:
    pool = pa.default_memory_pool()
    pool.release_unused()
    before, most = pool.bytes_allocated(), 0
    for _ in batches:
        most = max(most, pool.bytes_allocated() - before)
    return most


def test_a_row_group_larger_than_memory_is_streamed(big: Path) -> None:
    with ParquetSource(LOCAL, str(big)) as source:
        names = source.schema.names
        assert source.stored_bytes(0, names) >= 32 << 20
        most = peak(source.batches([0], names, 16_384))
    assert most < 4 * (STREAM + (1 << 20)) + 4 * 16_384 * 4 * 8  # a buffer and a page each, and some batches


class Remote(LocalStorage):
    """Local files of which Arrow is not told, as if they were far away; notes what is asked for."""

    def __init__(self) -> None:
        self.reads: list[int] = []

    def native(self, path: str) -> str | None:
        return None

    def open(self, path: str) -> Any:
        noted, inner = self.reads, super().open(path)

        class Noting:
            closed = False

            def read(self, size: int = -1) -> bytes:
                noted.append(size)
                return inner.read(size)

            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                inner.close()

        return Noting()


@pytest.mark.parametrize(("budget", "ahead"), [(64 << 20, True), (1 << 20, False)])
def test_a_remote_row_group_is_fetched_ahead_while_it_fits(big: Path, budget: int, ahead: bool) -> None:
    storage = Remote()
    with ParquetSource(storage, str(big), budget=budget) as source:
        names = source.schema.names
        storage.reads.clear()
        most = peak(source.batches([0], names, 16_384))
    if ahead:
        assert len(storage.reads) <= 4
        assert sum(storage.reads) <= 34 << 20
    else:
        assert max(storage.reads) <= 2 << 20  # a page of 1 MiB may be larger than the buffer
        assert most < 16 << 20


@pytest.mark.parametrize(("wanted", "most"), [(None, 16 << 20), ({"x", "t"}, 8 << 20), ({"x"}, 1 << 20)])
def test_a_look_at_int96_fetches_pages(tmp_path: Path, wanted: set[str] | None, most: int) -> None:
    """Of two columns of 8 MiB in each of two row groups, read in two units."""
    times = pa.array(np.random.default_rng(0).integers(10**18, 2 * 10**18, 1 << 20) // 1000 * 1000, pa.timestamp("ns"))
    path = str(tmp_path / "f.parquet")
    table = pa.table({"t": times, "u": times, "x": pa.array(range(len(times)))})
    options: dict[str, Any] = {"use_deprecated_int96_timestamps": True, "use_dictionary": False}
    pq.write_table(table, path, row_group_size=len(times) // 2, compression="none", **options)
    storage = Remote()
    with ParquetSource(storage, path, wanted=wanted) as source:
        assert source.schema.field("t").type == pa.timestamp("us")
    assert sum(storage.reads) <= most


def test_very_wide_tables_have_small_buffers(tmp_path: Path) -> None:
    table = pa.table({f"c{n}": [n] * 10 for n in range(1200)})
    folder = write(tmp_path, {"f": table})
    with ParquetSource(LOCAL, f"{folder}/f", budget=32 << 20) as source:
        most = peak(source.batches([0], source.schema.names, 100))
    assert most < 1200 * 2 * LEAST_STREAM
    assert read_all(plan_of(job(tmp_path)))[0].to_pylist() == table.to_pylist()


def test_nothing_stays_open(tmp_path: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    write(tmp_path, {f"f{n}": numbers(1000) for n in range(20)})
    before = opened()
    plan = plan_of(job(tmp_path))
    read_all(plan)
    reading = FileReader(plan, LOCAL).read(plan.splits[0], 10)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    (tmp_path / "in" / "f7").write_bytes(b"garbage")
    with pytest.raises(DataError):
        plan_of(job(tmp_path))
    with pytest.raises(DataError):
        read_all(plan)
    assert opened() == before


def test_pandas_is_not_loaded(tmp_path: Path) -> None:
    """It would cost every worker a second and 60 MB."""
    import subprocess
    import sys

    rows = 3000
    write(tmp_path / "x=1", {"f": numbers(rows, text=pa.array([f"t{n}" for n in range(rows)]))})
    (tmp_path / "x=1" / "in").rename(tmp_path / "in")
    program = f"""
import sys
from tests.plan.jobs import *
from shuffle_protocol.jobs import SortKey
from shuffle_worker.planning.explain import explain
condition = "id > 10.5 AND text LIKE 't%' AND id IN (11, 12, 13) OR text IS NULL OR id / 2 = 7"
for operation in (Repartition(by=["id"]), Sort(by=[SortKey("text")]), Repartition(range=["id"])):
    plan = plan_of(job({str(tmp_path)!r}, operation, partitions=3, filter=condition))
    reader = reader_for(plan, storage_for({str(tmp_path)!r}))
    assert sum(rows.batch.num_rows for split in plan.splits for rows in reader.read(split, 1000)) == 4
    explain(plan, Budgets.for_limit(MEMORY))
assert "pandas" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_folder_removed_before_the_plan_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, {"a": numbers(5), "b": numbers(5)})
    survey: Callable[..., Any] = LocalStorage.survey

    def survey_and_remove(self: LocalStorage, path: str) -> Any:
        found = survey(self, path)
        (folder / "b").unlink()
        return found

    monkeypatch.setattr(LocalStorage, "survey", survey_and_remove)
    with pytest.raises(InputNotFound, match="something removes files from the input"):
        plan_of(job(tmp_path))
    assert storage_for(str(tmp_path)).listing(f"{tmp_path}/out") == []
