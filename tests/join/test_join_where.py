"""Conditions beside equal keys: which rows match, for every type of join, as DuckDB has it."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.join.joining import carried_out, in_duckdb, job_of, join, joined, planned, rows_of, written

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_protocol.jobs import Join
from shuffle_worker.operations.join import strategy
from shuffle_worker.operations.join.judged import judged, with_right_alone
from shuffle_worker.partitioning.matching import NONE, WANTED, Matches

HOW = {
    "Inner": "INNER", "Left": "LEFT", "Right": "RIGHT", "Full": "FULL", "LeftSemi": "SEMI", "LeftAnti": "ANTI",
    "RightSemi": "SEMI", "RightAnti": "ANTI",
}  # fmt: skip


def sides(rows: int = 1200, keys: int = 60) -> tuple[pa.Table, pa.Table]:
    """Duplicates and nulls in keys and in what conditions compare; a key that has a sixth of the rows."""
    random = np.random.default_rng(5)

    def side(seed: int, count: int) -> pa.Table:
        key = random.integers(seed, keys + seed, count)
        key[random.random(count) < 0.17] = 30
        return pa.table(
            {
                "k": pa.array(key, mask=random.random(count) < 0.05),
                "t": pa.array(random.integers(0, 1000, count), mask=random.random(count) < 0.05),
                "u": random.random(count),
                "s": pa.array([f"n{n % 7}" for n in range(count)]),
                "n": np.arange(count),
            }
        )

    left, right = side(0, rows), side(9, rows // 6)
    return (
        left.rename_columns(["k", "t", "u", "s", "n"]),
        right.rename_columns(["k", "t", "x", "s", "m"]),
    )


def query(how: str, where: str, equal: str = "l.k = r.k") -> str:
    kept = "r.*" if how in ("RightSemi", "RightAnti") else "l.*" if how in ("LeftSemi", "LeftAnti") else "l.*, r.*"
    if how in ("RightSemi", "RightAnti"):
        return f"SELECT {kept} FROM r {HOW[how]} JOIN l ON {equal} AND ({where})"
    return f"SELECT {kept} FROM l {HOW[how]} JOIN r ON {equal} AND ({where})"


def of_two_keys(how: str = "Inner", **more: object) -> Join:
    """With a key column of each side's own, as DuckDB's `SELECT *` has them."""
    return join(how, ["k"], ["k2"], suffixes=["", "_r"], **more)


WHERE = [
    "l.t < r.t",
    "l.t between r.t - 40 and r.t + 40 and l.s = r.s",
    "r.m % 3 = 0",
    "u > 0.9",  # a column of one side alone
    "l.t is null or r.t is null",
    "false",
    "upper(l.s) <> r.s and l.n > r.m",
]


@pytest.mark.parametrize("how", list(HOW))
@pytest.mark.parametrize("broadcast", [0, 8 << 20])
def test_as_duckdb_has_it(tmp_path: Path, how: str, broadcast: int) -> None:
    left, right = sides()
    right = right.rename_columns(["k2", "t", "x", "s", "m"])
    for at, where in enumerate(WHERE):
        found = joined(tmp_path / str(at), left, right, of_two_keys(how, where=where), broadcast=broadcast)
        expected = in_duckdb(left, right, query(how, where, "l.k = r.k2"))
        assert rows_of(found.table) == rows_of(expected), where
        assert (found.plan.broadcast != []) == (broadcast > 0 and how in ("Inner", "Left", "LeftSemi", "LeftAnti"))


@pytest.mark.parametrize("how", ["Inner", "Right", "RightSemi", "RightAnti"])
def test_a_small_left_side_is_broadcast(tmp_path: Path, how: str) -> None:
    right, left = (
        one.rename_columns([k, "t", u, "s", n]) for one, k, u, n in zip(sides(), ("k2", "k"), "xu", "mn", strict=True)
    )
    found = joined(tmp_path, left, right, of_two_keys(how, where="l.t < r.t and l.n % 2 = 0"), broadcast=8 << 20)
    assert found.plan.broadcast == [0]
    assert rows_of(found.table) == rows_of(
        in_duckdb(left, right, query(how, "l.t < r.t and l.n % 2 = 0", "l.k = r.k2"))
    )


@pytest.mark.parametrize("how", list(HOW))
@pytest.mark.parametrize("broadcast", [0, 8 << 20])
def test_what_always_holds_changes_no_byte(tmp_path: Path, how: str, broadcast: int) -> None:
    left, right = sides(800)
    plain = joined(tmp_path, left, right, join(how), broadcast=broadcast)
    held = carried_out(planned(job_of(tmp_path, join(how, where="true")), broadcast))
    assert held.files.files == plain.files.files


@pytest.mark.parametrize("how", list(HOW))
def test_nulls_equal(tmp_path: Path, how: str) -> None:
    left, right = sides(1500)
    right = right.rename_columns(["k2", "t", "x", "s", "m"])
    found = joined(tmp_path, left, right, of_two_keys(how, where="l.t > r.t", nulls_equal=True))
    same = "l.k IS NOT DISTINCT FROM r.k2"
    assert rows_of(found.table) == rows_of(in_duckdb(left, right, query(how, "l.t > r.t", same)))


@pytest.mark.parametrize("how", list(HOW))
@pytest.mark.parametrize("one_key", [False, True])
def test_neither_memory_nor_buckets_nor_batches_show(tmp_path: Path, how: str, one_key: bool) -> None:
    """One key: with hardly any memory both sides pass by in blocks."""
    left, right = sides(300 if one_key else 1200, 5)
    if one_key:
        left, right = (one.set_column(0, "k", pa.array([7] * one.num_rows)) for one in (left, right))
    operation = join(how, where="l.t < r.t and r.t < l.t + 30")
    whole = joined(tmp_path, left, right, operation, partitions=2)
    expected = in_duckdb(left, right, query(how, operation.where))
    if how in ("LeftSemi", "LeftAnti", "RightSemi", "RightAnti"):
        assert rows_of(whole.table) == rows_of(expected)
    else:
        assert whole.table.num_rows == expected.num_rows
    for buckets, memory, rows in ((0, 20_000, 64), (8, 30_000, 333), (0, 200_000, 1000)):
        other = carried_out(whole.plan, buckets, memory, tmp_path / "scratch", rows, 1 << 14)
        assert other.files.files == whole.files.files, (buckets, memory, rows)


@pytest.mark.parametrize("how", ["Inner", "Left", "Full", "LeftSemi", "LeftAnti"])
def test_the_product_of_a_frequent_key_is_never_held(tmp_path: Path, how: str) -> None:
    rows = 20_000  # 400 million candidates, of which 20 thousand pass; their numbers alone would take 6 GB
    left = pa.table({"k": np.zeros(rows, np.int64), "a": np.arange(rows)})
    right = pa.table({"k": np.zeros(rows // 50, np.int64), "b": np.arange(rows // 50) * 50})
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    plan = planned(job_of(tmp_path, join(how, where="l.a = r.b"), partitions=1))
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    found = carried_out(plan)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 << 20
    assert pa.total_allocated_bytes() - before < 60 << 20
    assert (
        found.table.num_rows == {"Inner": 400, "Left": rows, "Full": rows, "LeftSemi": 400, "LeftAnti": rows - 400}[how]
    )


@pytest.mark.parametrize("empty", ["left", "right", "both"])
@pytest.mark.parametrize("how", list(HOW))
def test_an_empty_side(tmp_path: Path, how: str, empty: str) -> None:
    left, right = sides(40)
    left = left.slice(0, 0 if empty in ("left", "both") else 40)
    right = right.slice(0, 0 if empty in ("right", "both") else 10).rename_columns(["k2", "t", "x", "s", "m"])
    for broadcast in (0, 1 << 20):
        found = joined(tmp_path, left, right, of_two_keys(how, where="l.t < r.t"), broadcast=broadcast)
        assert rows_of(found.table) == rows_of(in_duckdb(left, right, query(how, "l.t < r.t", "l.k = r.k2")))


@pytest.mark.parametrize("how", ["Inner", "LeftAnti", "RightSemi", "Right"])
def test_a_skewed_key_is_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(strategy, "SKEWED_BYTES", 1000)
    monkeypatch.setattr(strategy, "SKEWED_PIECE", 4000)
    monkeypatch.setattr(strategy, "SKEWED_TIMES", 0.2)
    left, right = sides(4000) if how in ("Inner", "LeftAnti") else sides(4000)[::-1]
    found = joined(tmp_path, left, right, join(how, where="l.t < r.t"), partitions=4)
    assert found.plan.skewed
    expected = in_duckdb(left, right, query(how, "l.t < r.t"))
    assert found.table.num_rows == expected.num_rows


def test_names_of_inputs_and_of_fields(tmp_path: Path) -> None:
    left = pa.table({"k": [1, 1, 1], "at": [1, 2, 3], "l": [{"x": 1}, {"x": 2}, {"x": 3}]})
    right = pa.table({"k": [1], "at": [2], "right": [{"y": {"z": 2}}]})
    for where, rows in (
        ("left.at < right.at", 1),  # by the inputs' names
        ("l.at >= r.at", 2),
        ('"l"."at" = 3', 1),
        ("l.l.x = right.right.y.z", 1),
        ("left.l.x > 1", 2),
    ):
        assert joined(tmp_path, left, right, join(where=where)).table.num_rows == rows, where


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    left, right = sides(100)
    found = joined(tmp_path, left, right, join("LeftSemi", where="l.t < r.t and x > 0.5"))
    assert found.plan.inputs[1].arrow_schema().names == ["k", "t", "x"]
    other = joined(tmp_path, left, right, join("RightAnti", where="l.t < r.t"))
    assert other.plan.inputs[0].arrow_schema().names == ["k", "t"]


@pytest.mark.parametrize(
    ("operation", "columns", "said"),
    [
        (join(where="l.t <"), None, r"operation.join.where: .*\n  l.t <"),
        (join(where="l.t + r.t"), None, r"operation.join.where: l.t \+ r.t: is int64, not a condition"),
        (join(where="q.t < r.t"), None, r"neither an input nor a column 'q'; write l.t or r.t \(l is left"),
        (join(where="l.x < r.tt"), None, r"the join has no column 'l.x'; did you mean"),
        (join(where="l.t < r.tt"), None, r"'r.tt'; did you mean 'r.t'\? \(character 7\):\n  l.t < r.tt\n        \^"),
        (join(where="s = 'x'"), None, r"both inputs have a column 's'; write l.s or r.s"),
        (join(where="zzz = 1"), None, r"the join has no column 'zzz'"),
        (join(where="l.s < r.t"), None, r"operation.join.where: .*\n  l.s < r.t"),
        (join(where="sum(l.t) > 3"), None, r"an expression sees one row"),
        (join(where="l.n > r.m"), (["k"], None), r"'n' is used but not among inputs\[0\].columns; add it there"),
        (join("LeftSemi", where="l.n > r.m"), (None, ["k"]), r"'m' is used but not among inputs\[1\].columns"),
        (join(where="   "), None, r"is empty"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused(
    tmp_path: Path, operation: Join, columns: tuple[list[str] | None, list[str] | None] | None, said: str
) -> None:
    left, right = sides(20)
    written(tmp_path / "left", left)
    written(tmp_path / "right", right)
    with pytest.raises(InvalidSpec, match=said):
        planned(job_of(tmp_path, operation, columns=columns or (None, None)))


def test_a_condition_without_a_value_fails_the_job(tmp_path: Path) -> None:
    left, right = sides(50)
    with pytest.raises(DataError, match=r"operation.join.where: CAST.*TRY_CAST"):
        joined(tmp_path, left, right, join(where="CAST(l.s AS INT) = r.t"))


def test_pieces_of_any_size_give_the_same() -> None:
    """The cut of candidates falls at every place: inside of a row's, between two rows, before and behind rows alone."""
    random = np.random.default_rng(1)
    counts = random.integers(0, 5, 30)
    first = np.where(counts > 0, np.cumsum(counts) - counts, NONE)
    found = Matches(np.arange(30), first, np.maximum(counts, 1), np.arange(counts.sum()), None)

    class Some:
        def holds(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
            return others % 3 == 0

    places = np.arange(30, dtype=np.uint64) // 4
    right_places = np.repeat(places, counts)
    for how in ("Inner", "Left", "Full", "LeftSemi", "LeftAnti"):
        answers = set()
        for at_once in (1, 2, 3, 5, 1000):
            hit = np.zeros(counts.sum(), np.bool_)
            pairs = judged(found, WANTED[how], Some(), at_once, hit if how == "Full" else None)  # type: ignore[arg-type]
            if how == "Full":
                pairs = with_right_alone(pairs, places, right_places, hit)
            answers.add(
                tuple((a, b) for rows, others in pairs for a, b in zip(rows.tolist(), others.tolist(), strict=True))
            )
        assert len(answers) == 1


TYPES = {
    "int8": pa.int8(), "uint64": pa.uint64(), "float": pa.float32(), "decimal": pa.decimal128(12, 3),
    "text": pa.string(), "dictionary": pa.dictionary(pa.int8(), pa.string()),
    "large": pa.large_string(), "day": pa.date32(),
    "instant": pa.timestamp("ms", "UTC"), "second": pa.timestamp("s"), "truth": pa.bool_(),
}  # fmt: skip


def of_type(kind: pa.DataType, numbers: list[int | None]) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return of_type(pa.string(), numbers).cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.array([None if n is None else f"{n:03}" for n in numbers], kind)
    if pa.types.is_boolean(kind):
        return pa.array([None if n is None else n % 2 == 1 for n in numbers])
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pa.array(numbers, pa.int32() if pa.types.is_date(kind) else pa.int64()).cast(kind)
    if pa.types.is_decimal(kind):
        return pa.array([None if n is None else Decimal(n) for n in numbers], kind)
    return pa.array(numbers, pa.int64()).cast(kind)


@pytest.mark.parametrize("name", TYPES)
def test_columns_of_every_type_are_compared(tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(3)
    tables = []
    for key, count in (("k", 60), ("k2", 40)):
        numbers = [None if random.random() < 0.1 else int(random.integers(0, 9)) for _ in range(count)]
        tables.append(pa.table({key: np.arange(count) % 6, "c": of_type(TYPES[name], numbers), "n": np.arange(count)}))
    for where in ("l.c = r.c", "l.c is distinct from r.c", "coalesce(l.c >= r.c, l.n > r.n)"):
        found = joined(tmp_path / str(len(where)), *tables, of_two_keys("Full", where=where))
        expected = in_duckdb(*tables, query("Full", where, "l.k = r.k2"))
        assert rows_of(found.table) == rows_of(expected), where
