"""Window functions are DuckDB's, the place in the input appended to the order where ties would be left open."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.groupby.in_process import Cut, asked, carried_out, job_of, planned, table_of, write_table
from tests.windows.cases import ANY, DISTANCES, NUMBERS, ORDERED, ORDERS, Case, alike, frames, table_of_rows

from shuffle_protocol.jobs import SortKey, Window
from shuffle_protocol.memory import MIB
from shuffle_worker.windows import rows

ROWS = [*frames("ROWS", ["2"]), *frames("ROWS", ["1", "3"]), "ROWS 3 PRECEDING"]
RANGES = [frame for frame in frames("RANGE", ["x"]) if "x" not in frame]
CUTS = [Cut(), Cut(buckets=8, memory=MIB, batch_rows=17), Cut(buckets=4, memory=60_000, backwards=True)]

AGGREGATES = [
    *(f"sum({name})" for name in NUMBERS),
    *(f"avg({name})" for name in NUMBERS),
    *(f"min({name})" for name in ORDERED),
    *(f"max({name})" for name in ORDERED),
    *(f"count({name})" for name in ANY),
    "count(*)",
]
PICKS = [
    *(
        f"{function}({name}{more})"
        for function in ("first_value", "last_value")
        for name in ANY
        for more in ("", " IGNORE NULLS")
    ),
    *(f"nth_value({name}, {n})" for name in ANY for n in (1, 2)),
]
NEIGHBOURS = [
    *(f"{function}({name}{more})" for function in ("lag", "lead") for name in ANY for more in ("", ", 2", ", 0")),
    *(f"{function}({name} IGNORE NULLS)" for function in ("lag", "lead") for name in ("i32", "str")),
    "lag(i32, 1, 7)",
    "lead(i32, 3, i32)",
    "lag(str, 1, 'none')",
    "lag(dec, 2, 0.5)",
    "lag(day, 1, date '2026-01-01')",
    "lag(f64, 1, NULL)",
]
NUMBERED = ["row_number()", "ntile(1)", "ntile(3)", "ntile(1000)"]
RANKS = ["rank()", "dense_rank()", "percent_rank()", "cume_dist()"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a window of a few rows has several blocks, in memory and on scratch."""
    monkeypatch.setattr(rows, "LEAST_ROWS", 5)


def compared(tmp_path: Path, table: pa.Table, order: list[SortKey], cases: list[Case], cut: Cut = CUTS[0]) -> None:
    """Each case is worked out by both, and their results are the same row by row."""
    compute = {f"c{number:02}": case.text for number, case in enumerate(cases)}
    folder = write_table(tmp_path / f"in-{len(list(tmp_path.iterdir()))}", table, 2, 13)
    plan = planned(job_of(folder, Window(["k"], order, compute), 2))
    found = table_of(carried_out(plan, cut, tmp_path / "scratch")).sort_by("row")
    assert str(found.select(table.column_names).to_pylist()) == str(table.to_pylist())
    named = ", ".join(f"{case.sql(order)} AS c{number:02}" for number, case in enumerate(cases))
    expected = asked(f"SELECT {named} FROM input ORDER BY row", input=table)
    for number, case in enumerate(cases):
        name = f"c{number:02}"
        pairs = zip(found.column(name).to_pylist(), expected.column(name).to_pylist(), strict=True)
        wrong = [(row, *pair) for row, pair in enumerate(pairs) if not alike(*pair)]
        assert not wrong, (case.text, case.sql(order), wrong[:3])


one_order = st.builds(SortKey, st.sampled_from(sorted(ORDERS)), st.booleans(), st.booleans())
orders = st.lists(one_order, max_size=2, unique_by=lambda key: key.column)
some_order = st.lists(one_order, min_size=1, max_size=2, unique_by=lambda key: key.column)


def some(cases: list[Case]) -> st.SearchStrategy[list[Case]]:
    return st.lists(st.sampled_from(cases), min_size=8, max_size=16, unique_by=str)


rows_cases = [Case(call, frame, True) for call, frame in itertools.product([*AGGREGATES, *PICKS], ROWS)]
place_cases = [Case(call, "", True) for call in [*NEIGHBOURS, *NUMBERED]]
range_cases = [Case(call, frame, False) for call, frame in itertools.product(AGGREGATES, [*RANGES, ""])]
rank_cases = [Case(call, "", False) for call in RANKS]

quick = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
tables = {"count": st.integers(0, 120), "seed": st.integers(0, 1000)}


@quick
@given(**tables, order=orders, cases=some(rows_cases), cut=st.sampled_from(CUTS))
def test_frames_of_rows(
    tmp_path: Path, count: int, seed: int, order: list[SortKey], cases: list[Case], cut: Cut
) -> None:
    compared(tmp_path, table_of_rows(count, seed), order, cases, cut)


@quick
@given(**tables, order=orders, cases=some(place_cases), cut=st.sampled_from(CUTS))
def test_neighbours_and_numbers(
    tmp_path: Path, count: int, seed: int, order: list[SortKey], cases: list[Case], cut: Cut
) -> None:
    compared(tmp_path, table_of_rows(count, seed), order, cases, cut)


@quick
@given(**tables, order=some_order, cases=some([*range_cases, *rank_cases]), cut=st.sampled_from(CUTS))
def test_ranks_and_frames_of_peers(
    tmp_path: Path, count: int, seed: int, order: list[SortKey], cases: list[Case], cut: Cut
) -> None:
    """The frame that SQL has without one, too."""
    compared(tmp_path, table_of_rows(count, seed), order, cases, cut)


@quick
@given(**tables, data=st.data(), cut=st.sampled_from(CUTS))
def test_frames_of_distances(tmp_path: Path, count: int, seed: int, data: st.DataObject, cut: Cut) -> None:
    name = data.draw(st.sampled_from(sorted(DISTANCES)))
    order = [SortKey(name, data.draw(st.booleans()), data.draw(st.booleans()))]
    offsets = data.draw(st.lists(st.sampled_from(DISTANCES[name]), min_size=1, max_size=2))
    offsets = sorted(offsets, key=DISTANCES[name].index)
    cases = [Case(call, frame, False) for call, frame in itertools.product(AGGREGATES, frames("RANGE", offsets))]
    compared(tmp_path, table_of_rows(count, seed), order, data.draw(some(cases)), cut)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_windows_of_a_row_or_none(tmp_path: Path, count: int) -> None:
    compared(tmp_path, table_of_rows(count, 5), [SortKey("small")], [*place_cases, *rank_cases])
