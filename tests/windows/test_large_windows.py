"""Windows of more rows than fit in memory: through scratch, with the same bytes as in memory."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.groupby.in_process import Cut, carried_out, job_of, planned, table_of, write_table

from shuffle_protocol.errors import OutOfMemory
from shuffle_protocol.jobs import SortKey, Window
from shuffle_protocol.memory import MIB
from shuffle_worker.columns.widths import row_bytes
from shuffle_worker.windows import rows as windows
from shuffle_worker.windows.stores import MemorySpace, ScratchSpace

ROWS = "OVER ROWS BETWEEN"
EVERYTHING = {
    "nr": "row_number()",
    "rank": "rank()",
    "dense": "dense_rank()",
    "share": "percent_rank()",
    "up_to": "cume_dist()",
    "quarter": "ntile(4)",
    "before": "lag(name, 3, 'none')",
    "after": "lead(x, 500)",
    "known": "lag(y IGNORE NULLS)",
    "first": f"first_value(name IGNORE NULLS) {ROWS} 700 PRECEDING AND 300 PRECEDING",
    "last": f"last_value(name) {ROWS} UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "third": "nth_value(i, 3)",
    "rows": "count(*)",
    "some": f"count(y) {ROWS} 10 PRECEDING AND 10 FOLLOWING",
    "total": f"sum(x) {ROWS} UNBOUNDED PRECEDING AND CURRENT ROW",
    "moving": f"sum(x) {ROWS} 99 PRECEDING AND CURRENT ROW",
    "mean": f"avg(y) {ROWS} CURRENT ROW AND 2000 FOLLOWING",
    "whole": f"sum(i) {ROWS} UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "huge": f"sum(big) {ROWS} 3 PRECEDING AND CURRENT ROW",
    "low": f"min(x) {ROWS} 50 PRECEDING AND 3000 FOLLOWING",
    "high": f"max(name) {ROWS} 20 PRECEDING AND 20 FOLLOWING",
    "rest": f"max(y) {ROWS} 1 FOLLOWING AND UNBOUNDED FOLLOWING",
    "near": "sum(x) OVER RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING",
    "far": "min(name) OVER RANGE BETWEEN 30 PRECEDING AND 20 PRECEDING",
    "visit": "session(t, 0)",
}
CUTS = [
    Cut(memory=2 * MIB, batch_rows=1000),
    Cut(memory=400_000, batch_rows=777, batch_bytes=200_000, backwards=True),
    Cut(buckets=4, memory=64 * MIB, backwards=True),
]


@pytest.fixture
def spilled(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders in which windows were. Blocks are small, so that a few thousand rows have many."""
    folders: list[Path] = []
    made = ScratchSpace.__init__

    def noted(self: ScratchSpace, scratch: Path | None, rows: int, memory: int) -> None:
        made(self, scratch, rows, memory)
        folders.append(self.folder)

    monkeypatch.setattr(ScratchSpace, "__init__", noted)
    monkeypatch.setattr(windows, "BLOCK_ROWS", 1000)
    return folders


def events(count: int, keys: int) -> pa.Table:
    random = np.random.default_rng(keys)
    return pa.table(
        {
            "k": random.integers(0, keys, count),
            "t": pa.array(random.integers(0, 400, count), mask=random.random(count) < 0.02),
            "x": random.standard_normal(count) * 10.0 ** random.integers(-8, 8, count),
            "y": pa.array(random.random(count), mask=random.random(count) < 0.3),
            "i": random.integers(-5, 5, count).astype(np.int16),
            "big": random.integers(-(2**61), 2**61, count),
            "name": pa.array([f"name {n}" for n in random.integers(0, 50, count)]),
            "row": range(count),
        }
    )


@pytest.mark.parametrize(("keys", "descending"), [(1, False), (3, True), (400, False)])
def test_the_same_bytes_whatever_the_circumstances(
    tmp_path: Path, spilled: list[Path], keys: int, descending: bool
) -> None:
    folder = write_table(tmp_path / "in", events(6000, keys), 3, 1500)
    window = Window(["k"], [SortKey("t", descending, nulls_first=descending)], EVERYTHING)
    plan = planned(job_of(folder, window, partitions=2))
    expected = carried_out(plan)
    assert not spilled
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path / "scratch").files == expected.files, cut
    assert bool(spilled) == (keys < 400)
    assert not any(folder.exists() for folder in spilled)


@pytest.mark.usefixtures("spilled")
def test_without_scratch_it_says_what_to_give(tmp_path: Path) -> None:
    folder = write_table(tmp_path / "in", events(6000, 1), 2, 1500)
    plan = planned(job_of(folder, Window(["k"], [SortKey("t")], {"nr": "row_number()"})))
    with pytest.raises(OutOfMemory, match=r"there is no scratch folder .* scratch space or more memory"):
        carried_out(plan, Cut(memory=300_000))


def test_many_columns_need_few_open_files(tmp_path: Path, spilled: list[Path]) -> None:
    """Each of them has a few files on scratch."""
    folder = write_table(tmp_path / "in", events(3000, 1), 2, 1500)
    texts = {f"sum_{n}": f"sum(x + {n}) {ROWS} 5 PRECEDING AND CURRENT ROW" for n in range(40)}
    plan = planned(job_of(folder, Window(["k"], [SortKey("t")], texts)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 40, limits[1]))
    try:
        carried_out(plan, Cut(memory=400_000), tmp_path / "scratch")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert spilled


def test_text_of_a_window_in_memory_may_be_more_than_a_column_holds() -> None:
    """Two pieces of 1.2 GB, of which hardly a page is touched."""
    offsets = np.arange(1201, dtype=np.int32) * np.int32(1 << 20)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.zeros(1200 << 20, np.uint8))]
    column = MemorySpace(None).values(pa.string())
    for _ in range(2):
        column.add(pa.Array.from_buffers(pa.string(), 1200, buffers))
    assert column.at(np.array([2399, -1, 0])).is_valid().to_pylist() == [True, False, True]


@pytest.mark.usefixtures("spilled")
def test_sorted_within_filtered_and_fewer_columns(tmp_path: Path) -> None:
    """The first rows of each window, as QUALIFY has it, and in another order."""
    table = events(3000, 30)
    folder = write_table(tmp_path / "in", table, 2, 500)
    window = Window(["k"], [SortKey("t", descending=True)], {"nr": "row_number()"})
    job = job_of(folder, window, 2, [SortKey("row")], columns=["k", "t", "row"])
    plan = planned(job)
    for file in carried_out(plan).tables():
        assert file.column_names == ["k", "t", "row", "nr"]
        assert file.column("row").to_pylist() == sorted(file.column("row").to_pylist())
    for cut in CUTS:
        assert carried_out(plan, cut, tmp_path / "scratch").files == carried_out(plan).files


def test_an_empty_input(tmp_path: Path) -> None:
    table = events(1, 1)
    folder = write_table(tmp_path / "in", table.slice(1))
    window = Window(["k"], [SortKey("t")], EVERYTHING)
    found = table_of(carried_out(planned(job_of(folder, window, 3))))
    assert found.num_rows == 0
    assert found.column_names == [*table.column_names, *sorted(EVERYTHING)]


def test_blocks_of_rows_far_wider_than_the_mean_end_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    width, memory = 20 << 10, 1 * MIB
    wide = range(1000, 1300)
    rows = pa.table(
        {
            "k": [3 if at in wide else at % 50 for at in range(3000)],
            "row": range(3000),
            "text": ["a" * width if at in wide else "a" for at in range(3000)],
        }
    )
    folder = write_table(tmp_path / "in", rows, 2, 500)
    window = Window(["k"], [SortKey("row")], {"before": "lag(text)", "nr": "row_number()", "up_to": "sum(row)"})
    plan = planned(job_of(folder, window, partitions=2))
    expected = carried_out(plan)
    sizes: list[int] = []
    made = windows.WindowRows._with_results

    def noted(self: windows.WindowRows, rows: pa.RecordBatch, *more: object) -> pa.RecordBatch:
        sizes.append(row_bytes(rows))
        return made(self, rows, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(windows.WindowRows, "_with_results", noted)
    found = carried_out(plan, Cut(memory=memory, batch_bytes=memory), tmp_path / "scratch")
    assert found.files == expected.files
    assert sum(sizes) > 300 * width
    assert max(sizes) <= memory // 4
