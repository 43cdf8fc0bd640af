"""As-of joins: every left row with the right row that pandas' merge_asof finds, key by key; ties, nulls and NaN decided
once and for all; the same bytes however little memory there is."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.join.joining import carried_out, job_of, joined, planned, rows_of, written
from tests.join.test_join_aligned import FILES, parted

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import AsOf, Join
from shuffle_worker.columns.arrays import I64
from shuffle_worker.operations.join import as_of as as_of_step
from shuffle_worker.operations.join import strategy
from shuffle_worker.operations.join.by_time import ByTime, TimeRange
from shuffle_worker.partitioning.join_keys import JoinKeys
from shuffle_worker.partitioning.matching import Side
from shuffle_worker.partitioning.nearest import NEAREST_ROW, Rule, Scale, Times, nearest_rows, times_of
from shuffle_worker.partitioning.pairing import pairing

DIRECTIONS = ["Backward", "Forward", "Nearest"]


def as_of(direction: str = "Backward", tolerance: str = "", exact: bool = True, **more: Any) -> Join:
    return Join("AsOf", 0, 1, ["k"], ["k"], as_of=AsOf("t", "u", direction, tolerance, exact), **more)


def by_pandas(left: pa.Table, right: pa.Table, asked: Join, tolerance: float | None) -> list[tuple[Any, Any]]:
    """(left row, right row or None), for times that are numbers. pandas takes no rows without a time, and lets null
    keys match."""
    assert asked.as_of is not None

    def groups(table: pa.Table, time: str, row: str) -> dict[Any, list[tuple[float, int]]]:
        found: dict[Any, list[tuple[float, int]]] = defaultdict(list)
        for key, at, number in zip(*(table[name].to_pylist() for name in ("k", time, row)), strict=True):
            if at is not None and at == at and (key is not None or asked.nulls_equal):
                found[key].append((at, number))
        return found

    rights = groups(right, "u", "b")
    partner: dict[int, int] = {}
    for key, lefts in groups(left, "t", "a").items():
        if key not in rights:
            continue
        mine, theirs = (sorted(rows, key=lambda row: row[0]) for rows in (lefts, rights[key]))
        kind = np.float64 if pa.types.is_floating(left["t"].type) else np.int64
        found = pd.merge_asof(
            pd.DataFrame({"t": np.array([at for at, _ in mine], kind), "a": [row for _, row in mine]}),
            pd.DataFrame({"t": np.array([at for at, _ in theirs], kind), "b": [float(row) for _, row in theirs]}),
            on="t",
            direction=asked.as_of.direction.lower(),
            tolerance=None if tolerance is None else kind(tolerance),
            allow_exact_matches=asked.as_of.exact,
        )
        partner |= {a: int(b) for a, b in zip(found["a"], found["b"], strict=True) if b == b}
    return [(row, partner.get(row)) for row in left["a"].to_pylist()]


def found_pairs(table: pa.Table) -> list[tuple[Any, Any]]:
    return sorted(zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True), key=lambda pair: pair[0])


small = st.integers(-4, 4)
TIMES = {
    "int64": (pa.int64(), small | st.sampled_from([2**62, -(2**62)])),
    "int16": (pa.int16(), small),
    "float": (pa.float64(), st.sampled_from([0.0, -0.0, 0.5, -1.5, 2.0, 1e300, float("nan")])),
    "float32": (pa.float32(), st.sampled_from([0.0, 0.25, -0.5, 3.0])),
}


def sides(data: st.DataObject, time: str) -> tuple[pa.Table, pa.Table]:
    kind, values = TIMES[time]
    keys = st.none() | st.sampled_from(["x", "y"])
    tables = []
    for names in (("t", "a"), ("u", "b")):
        rows = data.draw(st.lists(st.tuples(keys, st.none() | values), max_size=14))
        columns = [pa.array([row[0] for row in rows], pa.string()), pa.array([row[1] for row in rows], kind)]
        tables.append(
            pa.table({"k": columns[0], names[0]: columns[1], names[1]: pa.array(range(len(rows)), pa.int64())})
        )
    return tables[0], tables[1]


@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_rows_are_those_of_merge_asof(direction: str, data: st.DataObject) -> None:
    left, right = sides(data, data.draw(st.sampled_from(sorted(TIMES))))
    tolerance = data.draw(st.sampled_from(["", "0", "1", "3"]))
    asked = as_of(direction, tolerance, data.draw(st.booleans()), nulls_equal=data.draw(st.booleans()))
    with tempfile.TemporaryDirectory() as folder:
        found = joined(Path(folder), left, right, asked, partitions=data.draw(st.sampled_from([1, 3]))).table
    assert found.column_names == ["k", "t", "a", "u", "b"]
    assert found_pairs(found) == by_pandas(left, right, asked, float(tolerance) if tolerance else None)
    times = dict(zip(right["b"].to_pylist(), right["u"].to_pylist(), strict=True))
    for row in found.to_pylist():  # what stands beside it is that row's
        assert row["b"] is None or repr(row["u"]) == repr(times[row["b"]])


TIED = [1, 1, 3, 3, 5, 5]


@pytest.mark.parametrize(
    ("direction", "exact", "expected"),
    [  # right rows of left times 0 to 6; each time is there twice
        ("Backward", True, [None, 1, 1, 3, 3, 5, 5]),
        ("Backward", False, [None, None, 1, 1, 3, 3, 5]),
        ("Forward", True, [0, 0, 2, 2, 4, 4, None]),
        ("Forward", False, [0, 2, 2, 4, 4, None, None]),
        ("Nearest", True, [0, 1, 1, 3, 3, 5, 5]),
        ("Nearest", False, [0, 2, 1, 1, 3, 3, 5]),
    ],
)
def test_ties(tmp_path: Path, direction: str, exact: bool, expected: list[int | None]) -> None:
    """Before: the last in the input; after: the first; equally near: before."""
    left = pa.table({"k": ["x"] * 7, "t": range(7), "a": range(7)})
    right = pa.table({"k": ["x"] * 6, "u": TIED, "b": range(6)})
    found = joined(tmp_path, left, right, as_of(direction, exact=exact)).table
    assert [row for _, row in found_pairs(found)] == expected


@pytest.mark.parametrize(
    ("kinds", "tolerance", "far"),
    [
        ((pa.timestamp("us"), pa.timestamp("us")), "2s", 2_000_000),
        ((pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Paris")), "1s1000ms", 2_000_000),
        ((pa.timestamp("s"), pa.timestamp("s")), "1m30s", 90),
        ((pa.timestamp("ns"), pa.timestamp("ns")), "7ns", 7),
        ((pa.date32(), pa.date32()), "1w", 7),
        ((pa.time64("us"), pa.time64("us")), "1ms", 1000),
        ((pa.duration("ms"), pa.duration("ms")), "3ms", 3),
        ((pa.uint64(), pa.uint8()), "5", 5),
        ((pa.int8(), pa.int64()), "100", 100),
        ((pa.float32(), pa.int32()), "2.0", 2),
    ],
    ids=str,
)
def test_a_tolerance_includes_its_end(
    tmp_path: Path, kinds: tuple[pa.DataType, pa.DataType], tolerance: str, far: int
) -> None:
    def at(value: int, kind: pa.DataType) -> pa.Array[Any]:
        numbers = pa.array([value], pa.int32() if pa.types.is_date32(kind) else pa.int64())
        return numbers.cast(kind)

    right = pa.table({"k": [1], "u": at(5, kinds[1]), "b": ["there"]})
    for distance, expected in ((0, "there"), (far - 1, "there"), (far, "there"), (far + 1, None)):
        left = pa.table({"k": [1], "t": at(5 + distance, kinds[0]), "a": [0]})
        for direction in ("Backward", "Nearest"):
            folder = tmp_path / f"{distance}-{direction}"
            assert joined(folder, left, right, as_of(direction, tolerance)).table["b"].to_pylist() == [expected]


def test_units_and_layouts_that_differ(tmp_path: Path) -> None:
    left = pa.table(
        {"k": pa.array(["x", "y"]).dictionary_encode(), "t": pa.array([10, 10], pa.timestamp("s")), "a": [0, 1]}
    )
    right = pa.table(
        {"k": ["x", "x", "y"], "u": pa.array([9_999_999_999, 10_000_000_001, 1], pa.timestamp("ns")), "b": [0, 1, 2]}
    )
    found = joined(tmp_path, left, right, as_of("Nearest")).table
    assert found_pairs(found) == [(0, 0), (1, 2)]
    assert found.schema.field("t").type == pa.timestamp("ms")  # as Parquet has it
    assert found.schema.field("u").type == pa.timestamp("ns")


def test_extreme_distances(tmp_path: Path) -> None:
    left = pa.table({"k": ["x"] * 2, "t": [-(2**63), 2**63 - 1], "a": [0, 1]})
    right = pa.table({"k": ["x"] * 2, "u": [2**63 - 1, -(2**63)], "b": [0, 1]})
    assert found_pairs(joined(tmp_path / "n", left, right, as_of("Nearest", exact=False)).table) == [(0, 0), (1, 1)]
    near = as_of("Nearest", str(2**64 - 2), exact=False)
    assert found_pairs(joined(tmp_path / "t", left, right, near).table) == [(0, None), (1, None)]
    infinite = pa.table({"k": ["x"], "t": [float("inf")], "a": [0]})
    others = pa.table({"k": ["x"] * 2, "u": [float("inf"), 1.0], "b": [0, 1]})
    assert found_pairs(joined(tmp_path / "i", infinite, others, as_of("Nearest", "1")).table) == [(0, 0)]


@pytest.mark.parametrize("empty", ["left", "right", "both"])
def test_an_empty_side(tmp_path: Path, empty: str) -> None:
    left = pa.table({"k": ["x"], "t": [1], "a": [0]}).slice(0, 0 if empty != "right" else 1)
    right = pa.table({"k": ["x"], "u": [1], "b": [0]}).slice(0, 0 if empty != "left" else 1)
    found = joined(tmp_path, left, right, as_of(), partitions=2)
    assert len(found.files.tables()) == 2
    assert found_pairs(found.table) == ([(0, None)] if empty == "right" else [])


def test_columns_of_one_name_get_suffixes_and_the_right_ones_may_be_null(tmp_path: Path) -> None:
    fields = [pa.field("k", pa.string(), False), pa.field("t", pa.int64(), False)]
    left = pa.table([["x"], [5]], schema=pa.schema(fields))
    right = pa.table([["x"], [4]], schema=pa.schema(fields))
    asked = Join("AsOf", 0, 1, ["k"], ["k"], ["", "_quote"], as_of=AsOf("t", "t"))
    found = joined(tmp_path, left, right, asked).table
    assert found.to_pylist() == [{"k": "x", "t": 5, "t_quote": 4}]
    assert [field.nullable for field in found.schema] == [False, False, True]


def trades(rows: int, keys: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Times that are often equal, on both sides, in no order."""
    random = np.random.default_rng(seed)

    def side(time: str, row: str, width: int) -> pa.Table:
        return pa.table(
            {
                "k": pa.array([f"s{n}" for n in random.integers(0, keys, rows)], mask=random.random(rows) < 0.01),
                time: pa.array(random.integers(0, 500, rows), mask=random.random(rows) < 0.02),
                row: range(rows),
                f"pad {row}": [f"{n:0{width}}" for n in range(rows)],
            }
        )

    return side("t", "a", 20), side("u", "b", 60)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("keys", [1, 3, 400])
def test_the_same_bytes_and_rows_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str, keys: int
) -> None:
    """Down to a memory that holds no key's rows, of either side."""
    left, right = trades(1_500, keys, keys)
    written(tmp_path / "left", left, 3, 250)
    written(tmp_path / "right", right, 2, 350)
    asked = as_of(direction, "20")
    plan = planned(job_of(tmp_path, asked, partitions=4))
    expected = carried_out(plan)
    assert found_pairs(expected.table) == by_pandas(left, right, asked, 20)
    ranges: list[int] = []
    of_time = ByTime._ranges

    def watched(rows: ByTime) -> Iterator[TimeRange]:
        for found in of_time(rows):
            ranges.append(found.right.num_rows)
            yield found

    monkeypatch.setattr(ByTime, "_ranges", watched)
    for buckets, memory in ((4, 400_000), (2, 100_000), (1, 1 << 20), (16, 150_000)):
        found = carried_out(plan, buckets, memory, tmp_path / "scratch", batch_rows=333, batch_bytes=10_000)
        assert found.files.files == expected.files.files, (buckets, memory)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert (len(ranges) > 20) == (keys < 400)  # one key in many ranges of time


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("times", [1, 40_000])  # all at one time, and most at one of their own
def test_one_key_with_too_much_on_both_sides_is_read_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str, times: int
) -> None:
    """However many portions the left rows make: each right row is looked at once, and those that reach over."""
    random = np.random.default_rng(times)
    left = pa.table({"k": ["one"] * 8_000, "t": random.integers(0, times, 8_000), "a": range(8_000)})
    right = pa.table({"k": ["one"] * 9_000, "u": random.integers(0, times, 9_000), "b": range(9_000)})
    written(tmp_path / "left", left, 2, 1_000)
    written(tmp_path / "right", right, 2, 1_000)
    asked = as_of(direction, "20")
    plan = planned(job_of(tmp_path, asked, partitions=1))
    expected = carried_out(plan)
    assert found_pairs(expected.table) == by_pandas(left, right, asked, 20)
    looked: list[int] = []

    def watched(left: Side, right: Side, times: tuple[Times, Times], rule: Rule) -> I64:
        looked.append(len(times[1].words))
        return nearest_rows(left, right, times, rule)

    monkeypatch.setattr(as_of_step, "nearest_rows", watched)
    found = carried_out(plan, 1, 300_000, tmp_path / "scratch", batch_rows=500, batch_bytes=20_000)
    assert found.files.files == expected.files.files
    assert len(looked) > 4
    assert sum(looked) <= 9_000 + 4 * len(looked)


def test_a_skewed_key_is_spread_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy, "SKEWED_BYTES", 10_000)
    monkeypatch.setattr(strategy, "SKEWED_PIECE", 10_000)
    left, right = trades(6_000, 1, 9)
    right = right.slice(0, 300)
    written(tmp_path / "left", left, 3, 500)
    written(tmp_path / "right", right, 2, 700)
    asked = as_of("Nearest")
    plan = planned(job_of(tmp_path, asked, partitions=6))
    assert [skewed.input for skewed in plan.skewed] == [0]
    found = carried_out(plan)
    assert sum(file.num_rows > 0 for file in found.files.tables()) > 3
    assert found_pairs(found.table) == by_pandas(left, right, asked, None)


def test_partitioned_sides_are_joined_file_by_file(tmp_path: Path) -> None:
    left, right = trades(2_000, 50, 2)
    parted(tmp_path / "left", left)
    parted(tmp_path / "right", right)
    plan = planned(job_of(tmp_path, as_of("Nearest"), partitions=0))
    assert (plan.splits, len(plan.aligned)) == ([], FILES)
    found = carried_out(plan)
    partners = [(a, None if b is None else right["u"][b].as_py()) for a, b in found_pairs(found.table)]
    expected = by_pandas(left, right, as_of("Nearest"), None)
    assert partners == [(a, None if b is None else right["u"][b].as_py()) for a, b in expected]
    assert carried_out(plan, memory=100_000, scratch=tmp_path / "scratch").files.files == found.files.files


def test_a_small_side_is_not_broadcast(tmp_path: Path) -> None:
    left, right = trades(2_000, 50, 2)
    found = joined(tmp_path, left, right.slice(0, 50), as_of(), broadcast=1 << 30)
    assert found.plan.broadcast == []
    assert found_pairs(found.table) == by_pandas(left, right.slice(0, 50), as_of(), None)


def test_sorted_within_and_filters(tmp_path: Path) -> None:
    left, right = trades(1_000, 5, 4)
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    job = job_of(tmp_path, as_of(), sort_within=["a"], filters=("a >= 500", "b < 200"))
    found = carried_out(planned(job))
    for file in found.files.tables():
        assert file["a"].to_pylist() == sorted(file["a"].to_pylist())
    assert found_pairs(found.table) == by_pandas(left.slice(500), right.slice(0, 200), as_of(), None)
    assert rows_of(found.table.select(["a"])) == rows_of(left.slice(500).select(["a"]))


def test_what_explain_says(tmp_path: Path) -> None:
    left, right = trades(100, 5, 4)
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    tree = planned(job_of(tmp_path, as_of("Backward", "5", exact=False))).summary.tree
    assert tree is not None
    assert tree.inputs[0].step == "Join"
    assert tree.inputs[0].what == "as-of join of left with right on k, the u before t, within 5"
    assert tree.inputs[0].estimated.rows == 100


@pytest.mark.parametrize(("kind", "keys"), [("Backward", 1), ("Nearest", 1), ("Nearest", 900)])
def test_what_is_worked_out_for_a_row_is_counted(kind: str, keys: int) -> None:
    """By it cells and portions are cut so that they fit."""
    random = np.random.default_rng(keys)
    rows = 200_000
    sides = [
        pa.record_batch({"k": pa.array(random.integers(0, keys, rows)), "t": pa.array(random.integers(0, rows, rows))})
        for _ in range(2)
    ]
    pairs = [pairing(pa.int64(), pa.int64())]
    rule = Rule(True, kind == "Nearest", exact=True, scale=Scale(pa.int64(), 0), limit=rows)
    tracemalloc.start()
    try:
        mine, theirs = (JoinKeys(["k"], pairs, at, nulls_equal=False).side(sides[at], 4) for at in range(2))  # type: ignore[arg-type]
        times = times_of(sides[0].column("t"), rule.scale), times_of(sides[1].column("t"), rule.scale)
        assert np.count_nonzero(nearest_rows(mine, theirs, times, rule) != -1) > rows // 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert NEAREST_ROW / 2 < peak / (2 * rows) < 1.1 * NEAREST_ROW


TYPES = {
    "k": pa.array(["x"]),
    "at": pa.array([1], pa.timestamp("us")),
    "zoned": pa.array([1], pa.timestamp("us", "UTC")),
    "n": pa.array([1], pa.int64()),
    "wide": pa.array([1], pa.uint64()),
    "f": pa.array([1.0]),
    "word": pa.array(["x"]),
    "tags": pa.array([["x"]]),
}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (AsOf("att", "at"), "asOf.left: the input has no column 'att'; did you mean 'at'?"),
        (AsOf("at", "zoned"), "is timestamp[us] and 'zoned' of the right one is timestamp[us, tz=UTC]: there is no"),
        (AsOf("n", "wide"), "bring both to one type, with inputs[].compute"),
        (AsOf("n", "f"), "there is no distance between them"),
        (AsOf("word", "word"), "'word' of the left input is string"),
        (AsOf("tags", "at"), "asOf.left: 'tags' is list<element: string>, which can be neither"),
        (AsOf("k", "at"), "asOf.left: 'k' is a key of the join, so equal already"),
        (AsOf("at", "at", "Backward", "5"), "tolerance: '5' is a number, but 'at' is timestamp[us]; give a span"),
        (AsOf("n", "n", "Backward", "5m"), "tolerance: '5m' is a span of time, but 'n' is int64; give a number"),
        (AsOf("n", "n", "Backward", "0.5"), "tolerance: '0.5' is no whole number, but 'n' is int64"),
    ],
)
def test_what_has_no_distance_is_refused(tmp_path: Path, asked: AsOf, said: str) -> None:
    for name in ("left", "right"):
        written(tmp_path / name, pa.table(TYPES))
    with pytest.raises(InvalidSpec) as caught:
        planned(job_of(tmp_path, Join("AsOf", 0, 1, ["k"], ["k"], as_of=asked)))
    assert said in caught.value.message
