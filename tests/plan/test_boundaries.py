"""Boundaries: even cells whatever the keys look like, equal keys where they belong, the same on every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.jobs import job, plan_of, read_all, write

from shuffle_protocol.jobs import Repartition, Sort, SortKey
from shuffle_protocol.memory import Budgets
from shuffle_worker.inputs import sample
from shuffle_worker.operations.registry import planning_for
from shuffle_worker.partitioning.order import sort_indices
from shuffle_worker.partitioning.ranges import Ranges
from shuffle_worker.plan.record import Plan
from shuffle_worker.planning.planner import make_plan
from shuffle_worker.storage import storage_for

ROWS = 40_000


def batch_of(plan: Plan) -> pa.RecordBatch:
    assert plan.boundaries is not None
    table = pa.ipc.open_stream(plan.boundaries).read_all()
    assert table.num_rows == plan.layout.cells - 1
    found = table.combine_chunks().to_batches()
    return found[0] if found else pa.RecordBatch.from_pylist([], schema=table.schema)


def cells(plan: Plan) -> tuple[pa.Table, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Every row, its position and its cell."""
    rows, positions = read_all(plan)
    whole = rows.combine_chunks().to_batches()[0]
    return (
        rows,
        positions,
        Ranges(batch_of(plan), planning_for(plan.job).range_keys()).cells_of(whole, lambda: positions),
    )


def sizes(plan: Plan) -> list[int]:
    found: list[int] = np.bincount(cells(plan)[2], minlength=plan.layout.cells).tolist()
    return found


RANDOM = np.random.default_rng(7)
KEYS: dict[str, list[Any]] = {
    "random": RANDOM.integers(0, 10**12, ROWS).tolist(),
    "sorted": list(range(ROWS)),
    "reversed": list(range(ROWS, 0, -1)),
    "periodic": [n % 97 for n in range(ROWS)],
    "skewed": [5 if n % 10 else n for n in range(ROWS)],
    "one": [1] * ROWS,
    "nulls": [None if n % 3 else n for n in range(ROWS)],
    "text": [f"key {n * 7919 % ROWS}" for n in range(ROWS)],
}


@pytest.mark.parametrize("name", list(KEYS))
@pytest.mark.parametrize("descending", [False, True])
def test_a_sort_has_even_cells_whatever_the_keys(tmp_path: Path, name: str, descending: bool) -> None:
    table = pa.table({"k": pa.array(KEYS[name])})
    write(tmp_path, {"a": table.slice(0, 15_000), "b": table.slice(15_000)}, row_group_size=2_000)
    plan = plan_of(job(tmp_path, Sort(by=[SortKey("k", descending)]), partitions=20))
    found = sizes(plan)
    assert sum(found) == ROWS
    assert max(found) - min(found) <= 1  # all rows are in the sample


def test_a_sampled_sort_has_cells_that_are_nearly_even(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LEAST_ROWS", 4_000)
    for name in ("random", "periodic", "skewed", "sorted"):
        folder = tmp_path / name
        write(folder, {"a": pa.table({"k": KEYS[name]})}, row_group_size=2_000)
        found = sizes(plan_of(job(folder, Sort(by=[SortKey("k")]), partitions=20)))
        assert max(found) < 1.25 * ROWS / 20, name
        assert min(found) > 0.75 * ROWS / 20, name


def test_the_order_of_the_cells_is_the_order_of_the_keys(tmp_path: Path) -> None:
    table = pa.table({"k": pa.array([None if n % 7 == 0 else n % 50 for n in range(3000)]), "n": list(range(3000))})
    write(tmp_path, {"a": table}, row_group_size=500)
    keys = [SortKey("k", True, True), SortKey("n")]
    rows, positions, found = cells(plan_of(job(tmp_path, Sort(by=keys), partitions=13)))
    ordered = found[sort_indices(rows, keys, positions)]
    assert (np.diff(ordered) >= 0).all()


def test_equal_keys_of_a_sort_are_cut_where_the_input_is(tmp_path: Path) -> None:
    write(tmp_path, {"a": pa.table({"k": [1] * 1000})}, row_group_size=100)
    _, positions, found = cells(plan_of(job(tmp_path, Sort(by=[SortKey("k")]), partitions=10)))
    assert (np.diff(found[np.argsort(positions)]) >= 0).all()
    assert np.bincount(found).tolist() == [100] * 10


@pytest.mark.parametrize("name", list(KEYS))
def test_ranges_never_separate_equal_keys(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"a": pa.table({"k": pa.array(KEYS[name])})}, row_group_size=4_000)
    plan = plan_of(job(tmp_path, Repartition(range=["k"]), partitions=16))
    assert batch_of(plan).column("position").null_count == 15
    rows, _, found = cells(plan)
    cell_of: dict[Any, int] = {}
    for key, cell in zip(rows.column("k").to_pylist(), found.tolist(), strict=True):
        assert cell_of.setdefault(key, cell) == cell
    counts = np.bincount(found, minlength=16)
    hottest = max(np.unique([str(key) for key in KEYS[name]], return_counts=True)[1])
    assert counts.max() <= max(hottest + ROWS / 97, 1.1 * ROWS / 16) + ROWS / 97


def test_one_hot_key_leaves_the_other_cells_even(tmp_path: Path) -> None:
    keys = [500] * 5000 + list(range(1000)) * 5
    write(tmp_path, {"a": pa.table({"k": keys})})
    counts = sizes(plan_of(job(tmp_path, Repartition(range=["k"]), partitions=10)))
    assert sum(1 for count in counts if count >= 5000) == 1
    others = [count for count in counts if count < 5000]
    assert len(others) == 9
    assert max(others) <= 630  # 4,995 rows on both sides of it, in nine cells
    assert min(others) >= 300


def test_fewer_keys_than_cells(tmp_path: Path) -> None:
    write(tmp_path, {"a": pa.table({"k": [3, 1, 2, 1, 3, 3]})})
    plan = plan_of(job(tmp_path, Repartition(range=["k"]), partitions=10))
    assert sorted(count for count in sizes(plan) if count) == [1, 2, 3]


def test_file_boundaries_do_not_depend_on_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files however finely their ranges are cut for sorting."""
    from shuffle_worker.plan import sizing

    write(tmp_path, {"a": pa.table({"k": KEYS["random"], "x": KEYS["text"]})}, row_group_size=5_000)
    one = job(tmp_path, Sort(by=[SortKey("k")]), partitions=5)
    storage = storage_for(str(tmp_path))
    files = []
    for bucket_bytes in (48 << 20, 1 << 16, 1 << 14):
        monkeypatch.setattr(sizing, "BUCKET_BYTES", bucket_bytes)
        monkeypatch.setattr(sizing, "MIB", 1)
        plan = make_plan(one, Budgets.for_limit(1 << 30), [storage], storage)
        each = plan.layout.buckets // 5
        files.append(batch_of(plan).take(pa.array([p * each - 1 for p in range(1, 5)])))
        assert each > 1 or bucket_bytes == 48 << 20
    assert all(found.equals(files[0]) for found in files)


def test_a_filter_does_not_skew_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LEAST_ROWS", 2_000)
    table = pa.table({"k": KEYS["random"], "n": list(range(ROWS))})
    write(tmp_path, {"a": table}, row_group_size=1_000)
    condition = "n >= 30000 AND n % 3 = 0"
    plan = plan_of(job(tmp_path, Sort(by=[SortKey("k")]), partitions=10, filter=condition, columns=["k"]))
    found = sizes(plan)
    assert sum(found) == sum(1 for n in range(30_000, ROWS) if n % 3 == 0)
    assert max(found) < 1.3 * sum(found) / 10


def test_a_filter_that_nothing_passes(tmp_path: Path) -> None:
    write(tmp_path, {"a": pa.table({"k": [1, 2, 3], "s": ["a", "b", "c"]})})
    for operation in (Sort(by=[SortKey("s"), SortKey("k", True)]), Repartition(range=["s"])):
        plan = plan_of(job(tmp_path, operation, partitions=4, filter="k % 5 = 4"))
        empty = pa.RecordBatch.from_pylist([], schema=plan.arrow_schema())
        assert (
            len(
                Ranges(batch_of(plan), planning_for(plan.job).range_keys()).cells_of(
                    empty, lambda: np.zeros(0, np.int64)
                )
            )
            == 0
        )


def test_a_key_called_position(tmp_path: Path) -> None:
    write(tmp_path, {"a": pa.table({"position": list(range(100, 0, -1))})})
    assert sizes(plan_of(job(tmp_path, Sort(by=[SortKey("position")]), partitions=4))) == [25] * 4


def test_nulls_zeros_and_nans_are_one_key_each() -> None:
    column = pa.array([-1.0, -0.0, 0.0, -0.0, float("nan"), float("nan"), None, None])
    same = sample.equal_to_previous(pa.table({"k": column})).tolist()
    assert same == [False, False, True, True, False, True, False, True]
    nothing = sample.equal_to_previous(pa.table({"k": pa.nulls(3)})).tolist()
    assert nothing == [False, True, True]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(2, 20))
def test_cuts_are_never_between_equal_rows(runs: list[int], wanted: int) -> None:
    keys = np.repeat(np.arange(len(runs)), runs)
    equal = np.concatenate([[False], keys[1:] == keys[:-1]])
    cuts = sample.distinct_cuts(equal, wanted)
    assert len(cuts) == wanted - 1
    assert (np.diff(cuts) >= 0).all()
    assert not equal[cuts].any() or len(runs) == 1
    distinct = sorted({int(cut) for cut in cuts} - {0})
    assert len(distinct) == min(wanted, len(runs)) - 1
    cells = np.diff([0, *distinct, len(keys)])
    assert cells.max() <= max(len(keys) / wanted + max(runs), *runs)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5_000), st.integers(1, 700), st.integers(1, 300))
def test_one_row_of_every_stretch_however_it_is_cut_into_batches(
    first: int, rows: int, stride: int, batch: int
) -> None:
    whole = sample.picks(first, rows, stride).tolist()
    pieces: list[int] = []
    for at in range(first, first + rows, batch):
        pieces += sample.picks(at, min(batch, first + rows - at), stride).tolist()
    assert whole == pieces
    assert len({place // stride for place in whole}) == len(whole)
    assert abs(len(whole) - rows / stride) <= 2


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(1, 5))
def test_a_sample_is_thinned_evenly_and_never_unbounded(wanted: int, sizes: list[int], files: int) -> None:
    kept = sample.Thinning(wanted, 1 << 30)
    start = 0
    for _ in range(files):
        mine = sample.Thinning(wanted, 1 << 30)
        for size in sizes:
            rows = pa.RecordBatch.from_pydict({"k": list(range(start, start + size))})
            mine.add(sample.SamplePart(rows, np.arange(start, start + size, dtype=np.int64), 1))
            start += size
        kept.join(mine)
    found = kept.sample(pa.schema([("k", pa.int64())]))
    assert found.rows.column("k").to_pylist() == found.positions.tolist()
    assert min(wanted, start) <= len(found.positions) <= 4 * wanted
    assert len(set(np.diff(found.positions).tolist())) <= 1
    again = sample.Thinning(wanted, 1 << 30)
    again.add(sample.SamplePart(pa.RecordBatch.from_pydict({"k": list(range(start))}), np.arange(start), 1))
    assert again.sample(pa.schema([("k", pa.int64())])).positions.tolist() == found.positions.tolist()


def test_a_guess_that_few_rows_pass_does_not_cost_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe sees no row that passes, nearly all others do: the sample is thinned as it comes."""
    monkeypatch.setattr(sample, "LEAST_ROWS", 500)
    table = pa.table({"k": KEYS["random"], "n": list(range(ROWS))})
    write(tmp_path, {"a": table}, row_group_size=20_000)
    plan = plan_of(job(tmp_path, Sort(by=[SortKey("k")]), partitions=4, filter="n >= 9000 AND n != 20000 + n % 5000"))
    found = sizes(plan)
    assert max(found) < 1.2 * sum(found) / 4


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.timestamp("us")])
def test_of_a_row_group_in_no_order_the_first_rows_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
) -> None:
    monkeypatch.setattr(sample, "PREFIX", 1_000)
    monkeypatch.setattr(sample, "LEAST_ROWS", 4_000)
    taken: list[int] = []
    real = sample.picks
    monkeypatch.setattr(sample, "picks", lambda first, rows, stride: taken.append(rows) or real(first, rows, stride))
    for name, read in (("random", ROWS // 10), ("sorted", ROWS)):
        folder = tmp_path / name
        write(folder, {"a": pa.table({"k": pa.array(KEYS[name]).cast(kind)})}, row_group_size=10_000)
        taken.clear()
        found = sizes(plan_of(job(folder, Sort(by=[SortKey("k")]), partitions=10)))
        assert sum(taken) == read
        assert max(found) < 1.25 * ROWS / 10


def test_only_so_many_stored_bytes_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "MOST_STORED", 80_000)
    table = pa.table({"k": KEYS["random"]})
    write(tmp_path, {"a": table}, row_group_size=2_000, compression="none", use_dictionary=False)
    found = sizes(plan_of(job(tmp_path, Sort(by=[SortKey("k")]), partitions=8)))
    assert sum(found) == ROWS
    assert max(found) < 1.3 * ROWS / 8
    assert max(found) - min(found) > 1  # it is a sample


@pytest.mark.parametrize("kind", ["JSON", "CSV"])
def test_keys_of_text_are_sampled_though_the_other_columns_are_not_read(tmp_path: Path, kind: str) -> None:
    lines = [f'{{"a": {at}, "b": "x{at}"}}' if kind == "JSON" else f"{at},x{at}" for at in range(1000)]
    (tmp_path / "in").mkdir()
    text = "\n".join(lines if kind == "JSON" else ["a,b", *lines])
    (tmp_path / "in" / f"a.{kind.lower()}").write_text(text + "\n")
    for operation in (Sort([SortKey("a")]), Repartition(range=["a"])):
        plan = plan_of(job(tmp_path, operation, partitions=4, format=kind))
        assert plan.layout.partitions == 4
        assert plan.arrow_schema().names == ["a", "b"]
