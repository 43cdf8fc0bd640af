"""Rows that are a thousand times wider than the mean: whatever is sized in rows ends by its bytes as well, and where
that shows in a file, at the same row however rows arrived."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.operations.memory_shards import MemoryFiles, Under, carried_out, plan_of

from shuffle_protocol.jobs import Repartition, SortKey
from shuffle_worker.columns.widths import most_bytes, pieces_within, row_bytes, row_ends, row_widths
from shuffle_worker.operations.registry import operation_for
from shuffle_worker.partitioning.cutter import Cutter
from shuffle_worker.plan import sizing
from shuffle_worker.readers.parquet_file import ParquetSource
from shuffle_worker.readers.reader import Rows, within
from shuffle_worker.readers.source import by_width
from shuffle_worker.steps.external_sort import LEAST_BLOCK_ROWS, Runs, merged, write_run
from shuffle_worker.steps.grouping import Large, Loads
from shuffle_worker.steps.operation import Given
from shuffle_worker.steps.sorting import Sorter
from shuffle_worker.storage import storage_for

KIB = 1 << 10
WIDTH = 20 * KIB


def rows(count: int = 3000, wide: Sequence[int] = range(1000, 1100)) -> pa.RecordBatch:
    """Some bytes each, but for the wide ones, which have one key."""
    texts = ["narrow"] * count
    keys = [number % 7 for number in range(count)]
    for at in wide:
        texts[at] = chr(97 + at % 26) * WIDTH
        keys[at] = 3
    columns = [pa.array(keys, pa.int64()), pa.array(range(count), pa.int64()), pa.array(texts)]
    return pa.RecordBatch.from_arrays(columns, ["k", "row", "text"])


def cut_at(batch: pa.RecordBatch, seed: int) -> Iterator[pa.RecordBatch]:
    edges = np.sort(np.random.default_rng(seed).integers(0, batch.num_rows, 20)).tolist()
    for begin, end in zip([0, *edges], [*edges, batch.num_rows], strict=True):
        yield batch.slice(begin, end - begin)


COLUMNS = {
    "number": (pa.array([1, None, 3], pa.int64()), [8, 8, 8]),
    "flag": (pa.array([True, None, False]), [0, 0, 0]),
    "nothing": (pa.nulls(3), [0, 0, 0]),
    "decimal": (pa.array([Decimal(1), None, Decimal(2)], pa.decimal128(9, 2)), [16, 16, 16]),
    "fixed bytes": (pa.array([b"abc", None, b"def"], pa.binary(3)), [3, 3, 3]),
    "text": (pa.array(["ab", None, "cde"]), [2, 0, 3]),
    "codes": (pa.array(["ab", None, "cde"]).dictionary_encode(), [2, 0, 3]),
    "large text": (pa.array(["ab", None, "cde"], pa.large_string()), [2, 0, 3]),
    "list": (pa.array([[1, 2], None, []], pa.list_(pa.int32())), [8, 0, 0]),
    "large list": (pa.array([["ab", "c"], None, ["d"]], pa.large_list(pa.string())), [3, 0, 1]),
    "fixed list": (pa.array([["ab", "c"], None, ["d", ""]], pa.list_(pa.string(), 2)), [3, 0, 1]),
    "struct": (pa.array([{"a": 1, "b": "xy"}, None, {"a": 2, "b": None}]), [10, 0, 8]),
    "map": (pa.array([[("a", 1)], None, [("bc", 2), ("d", None)]], pa.map_(pa.string(), pa.int64())), [9, 0, 19]),
    "lists of lists": (pa.array([[["ab"], []], None, [["c", "d"]]]), [2, 0, 2]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_width_of_a_row(name: str) -> None:
    column, widths = COLUMNS[name]
    before = pa.nulls(2, column.type)
    for array in (column, pa.concat_arrays([before, column, column]).slice(2, 3)):
        batch = pa.RecordBatch.from_arrays([array], ["c"])
        assert row_widths(batch).tolist() == widths
        assert row_ends(batch).tolist() == np.cumsum(widths).tolist()
        assert row_bytes(batch.slice(2)) == widths[2]
        assert row_bytes(batch) <= most_bytes(batch)
        assert row_bytes(batch.slice(0, 0)) == 0


def test_pieces_have_so_many_bytes_at_most() -> None:
    batch = rows()
    assert [piece.num_rows for piece in pieces_within(batch, batch.nbytes)] == [batch.num_rows]
    pieces = list(pieces_within(batch, 3 * WIDTH))
    assert pa.Table.from_batches(pieces) == pa.Table.from_batches([batch])
    assert max(row_bytes(piece) for piece in pieces) <= 3 * WIDTH
    assert max(piece.num_rows for piece in pieces_within(batch, 1)) == 1


def test_a_batch_of_the_readers_is_cut_with_its_positions() -> None:
    batch = rows()
    positions = np.arange(batch.num_rows, dtype=np.int64) * 3
    for given in (positions, None):
        parts = list(within(Rows(batch, 5, given, 77), 4 * WIDTH))
        assert len(parts) > 20
        found = np.concatenate([part.all_positions() for part in parts]).tolist()
        assert found == Rows(batch, 5, given, 77).all_positions().tolist()
        assert sum(part.bytes_read for part in parts) == 77
    assert list(within(Rows(batch, 5, None, 1), batch.nbytes)) == [Rows(batch, 5, None, 1)]


def test_a_group_of_wide_rows_is_decoded_a_few_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    batch = rows()
    with pq.ParquetWriter(path, batch.schema, use_dictionary=False) as writer:
        for begin, end in ((0, 900), (900, 1200), (1200, 3000)):
            writer.write_table(pa.Table.from_batches([batch.slice(begin, end - begin)]), row_group_size=2000)
    most = 60 * WIDTH
    with ParquetSource(storage_for(str(path)), str(path)) as source:
        found = list(by_width(source, range(3), ["k", "text"], 2000, most))
        assert [groups for groups, _ in found] == [[0], [1], [2]]
        assert [count for _, count in found][::2] == [2000, 2000]
        batches = list(source.batches([1], ["k", "text"], found[1][1]))
        assert list(by_width(source, range(3), ["k"], 2000, most)) == [([0, 1, 2], 2000)]
    assert 16 < len(batches) < 150
    assert max(row_bytes(part) for part in batches) <= most


def test_row_groups_end_by_bytes_at_the_same_row_however_rows_arrive() -> None:
    batch = rows()

    def cut(seed: int, most: int | None) -> list[pa.RecordBatch]:
        cutter = Cutter(400, most)
        groups = []
        for part in cut_at(batch, seed):
            groups += cutter.add(part)
            if seed % 2:
                cutter.own()
        return [*groups, *cutter.rest()]

    expected = cut(0, 5 * WIDTH)
    assert [group.num_rows for group in cut(0, None)] == [group.num_rows for group in cut(0, batch.nbytes)]
    assert max(row_bytes(group) for group in cut(0, None)) > 90 * WIDTH
    assert max(row_bytes(group) for group in expected) <= 5 * WIDTH
    assert [group.num_rows for group in expected[:2]] == [400, 400]
    for seed in range(1, 8):
        assert cut(seed, 5 * WIDTH) == expected
    assert max(group.num_rows for group in cut(1, 10)) == 1


def test_row_groups_of_codes_end_at_the_same_row_as_those_of_text() -> None:
    """A code is a byte, whatever it stands for."""
    words = ["a" * WIDTH, "b", "c" * (WIDTH // 2), "d", "e", "f", "g", "h"]
    codes = np.random.default_rng(5).integers(0, len(words), 3_000).astype(np.int8)
    coded = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words))  # type: ignore[no-untyped-call]
    keys = pa.array(range(len(codes)), pa.int64())

    def cut(column: pa.Array, rows: int, most: int, seed: int) -> list[int]:
        cutter = Cutter(rows, most)
        whole = pa.RecordBatch.from_arrays([keys, column], ["k", "text"])
        given = (part for batch in cut_at(whole, seed) for part in ([batch, None] if seed % 2 else [batch]))
        groups = list(cutter.cut(given))
        assert pa.Table.from_batches(groups) == pa.Table.from_batches([whole], groups[0].schema)
        return [group.num_rows for group in groups]

    for rows, most in ((400, 90 * WIDTH), (400, 5 * WIDTH), (3_000, 40 * WIDTH), (5_000, 30 * WIDTH), (50, WIDTH)):
        expected = cut(coded.cast(pa.string()), rows, most, 0)
        assert max(expected) <= rows
        for seed in range(6):
            assert cut(coded, rows, most, seed) == cut(coded.cast(pa.string()), rows, most, seed) == expected


def test_a_row_group_of_usual_rows_never_comes_to_its_bytes() -> None:
    for width in (0.5, 3.0, 100.0, 5_000.0, 3e6, 1e8):
        count = sizing.row_group_rows(width)
        assert sizing.row_group_bytes(count, width) >= 2.9 * count * width
        assert sizing.row_group_bytes(count, width) >= 3 * sizing.ROW_GROUP_BYTES


@pytest.mark.parametrize("whole", [True, False])
def test_a_sort_holds_no_more_than_its_memory(whole: bool, tmp_path: Path) -> None:
    batch = rows(20_000, range(10_000, 10_300))
    memory = 1 << 20
    given = [[batch]] if whole else [[part] for part in batch_slices(batch, 50)]
    start = pa.total_allocated_bytes()
    peak = count = 0
    found = []
    for part in Sorter([SortKey("k")], tmp_path).sorted(iter(given), memory):
        peak = max(peak, pa.total_allocated_bytes() - start)
        count += part.num_rows
        found += part.column("row").to_pylist()
        del part
    assert batch.nbytes > 6 * memory
    assert peak <= memory * 3 // 2
    keys = batch.column("k").to_pylist()
    assert found == sorted(range(batch.num_rows), key=keys.__getitem__)


def batch_slices(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    for at in range(0, batch.num_rows, size):
        yield batch.slice(at, size)


def test_runs_whose_blocks_are_wide_are_merged_a_few_at_a_time(tmp_path: Path) -> None:
    batch = rows(LEAST_BLOCK_ROWS, range(LEAST_BLOCK_ROWS)).sort_by("row")
    runs = Runs(tmp_path, 8 << 20)
    for _ in range(9):
        write_run(runs, batch)
    assert max(run.largest for run in runs.runs) <= runs.blocks // 8 + KIB
    order = Sorter([SortKey("row")], None)._order
    sizes = [part.nbytes for part in merged(runs, order)]
    runs.close()
    assert max(sizes) <= runs.blocks
    assert sum(sizes) >= 9 * LEAST_BLOCK_ROWS * WIDTH


def test_loads_end_by_bytes_and_a_group_is_large_by_its_own() -> None:
    batch = rows().take(pa.array(np.argsort(rows().column("k").to_numpy(), kind="stable")))
    for most, large in ((5 * WIDTH, {3}), (200 * WIDTH, set())):
        found: list[list[tuple[int, list[int]]]] = []
        for seed in range(4):
            groups: list[tuple[int, list[int]]] = []
            for load in Loads(cut_at(batch, seed), ["k"], 2000, most):
                parts = list(load.batches) if isinstance(load, Large) else [load.rows]
                assert all(row_bytes(part) <= most for part in parts)
                if isinstance(load, Large):
                    groups.append((load.first.column("k")[0].as_py(), [part.num_rows for part in parts]))
            found.append(groups)
        assert {key for key, _ in found[0]} == large
        assert found == [found[0]] * 4


@pytest.mark.parametrize("partitions", [1, 3])
def test_files_are_the_same_for_any_memory(partitions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "ROW_GROUP_BYTES", 2 * WIDTH)
    batch = rows()
    plan = plan_of(batch.schema, Repartition(by=["k"]), partitions, 1, sort_within=[SortKey("row")], row_group_rows=400)

    def files(under: Under) -> dict[str, bytes]:
        made = MemoryFiles()
        carried_out(batch, plan, operation_for(Given(plan, made, under.scratch, 4 * WIDTH)), under)
        return made.files

    expected = files(Under(splits=1, batch_rows=3000))
    for under in (
        Under(200 * KIB, 7, 50, True, tmp_path),
        Under(1 << 20, 2, 1000, False, tmp_path),
    ):
        assert files(under) == expected
    sizes, wide = [], 0
    for data in expected.values():
        footer = pq.ParquetFile(io.BytesIO(data))
        for at in range(footer.num_row_groups):
            group = footer.read_row_group(at, use_threads=False)
            sizes.append(sum(row_bytes(part) for part in group.to_batches()))
            wide += sizes[-1] > WIDTH
    assert wide >= 100 // 6
    assert max(sizes) <= 6 * WIDTH
