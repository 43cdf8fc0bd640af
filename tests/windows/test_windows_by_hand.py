"""Frames, values of other rows and sessions beside the plainest program that says what they are: where DuckDB leaves
the order of ties open, or has no such function, or fails at the ends of a type."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.groupby.in_process import Cut, carried_out, job_of, planned, table_of, write_table

from shuffle_protocol.jobs import SortKey, Window
from shuffle_protocol.memory import MIB
from shuffle_worker.windows import rows

CUTS = [Cut(), Cut(memory=MIB), Cut(memory=40_000)]
DAY = 86_400


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LEAST_ROWS", 5)
    monkeypatch.setattr(rows, "BLOCK_ROWS", 5)


def worked_out(tmp_path: Path, table: pa.Table, window: Window, cut: Cut = CUTS[0]) -> dict[str, list[Any]]:
    folder = write_table(tmp_path / f"in-{len(list(tmp_path.iterdir()))}", table, 2, 7)
    plan = planned(job_of(folder, window))
    found = table_of(carried_out(plan, cut, tmp_path / "scratch")).sort_by("row")
    return found.select([name for name in found.column_names if name != "o"]).to_pydict()  # Python has no such years


def table_of_keys(keys: list[object], kind: pa.DataType | None = None) -> pa.Table:
    return pa.table(
        {
            "row": range(len(keys)),
            "k": ["a"] * len(keys),
            "o": pa.array(keys, kind),
            "x": [f"x{n}" for n in range(len(keys))],
        }
    )


PICKED: dict[str, Callable[[list[int]], int | None]] = {
    "first_value(x)": lambda frame: frame[0] if frame else None,
    "last_value(x)": lambda frame: frame[-1] if frame else None,
    "nth_value(x, 2)": lambda frame: frame[1] if len(frame) > 1 else None,
    "nth_value(x, 1)": lambda frame: frame[0] if frame else None,
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "frame", ["", "OVER RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", "OVER RANGE CURRENT ROW"]
)
def test_values_of_peers_by_their_place(tmp_path: Path, frame: str, descending: bool, cut: Cut) -> None:
    """The first and the last of rows that the order does not tell apart are those of the input."""
    random = np.random.default_rng(3)
    keys = random.integers(0, 6, 60).tolist()
    compute = {f"c{at}": f"{call} {frame}" for at, call in enumerate(PICKED)}
    found = worked_out(tmp_path, table_of_keys(keys), Window(["k"], [SortKey("o", descending)], compute), cut)
    order = sorted(range(60), key=lambda row: (-keys[row] if descending else keys[row], row))
    for row in range(60):
        same = [other for other in order if keys[other] == keys[row]]
        first = 0 if not frame else order.index(same[0])
        end = order.index(same[-1]) + 1 if "FOLLOWING" not in frame else 60
        for at, call in enumerate(PICKED):
            one = PICKED[call](order[first:end])
            assert found[f"c{at}"][row] == (None if one is None else f"x{one}"), (call, row)


ENDS: dict[str, tuple[pa.DataType, list[object]]] = {
    "int64": (pa.int64(), [-(2**63), -(2**63) + 1, 0, 5, 2**63 - 2, 2**63 - 1, None]),
    "uint64": (pa.uint64(), [0, 1, 5, 2**64 - 1, 2**64 - 2, None]),
    "int8": (pa.int8(), [-128, -127, 126, 127, None, 0]),
    "float": (pa.float64(), [math.nan, math.inf, -math.inf, -0.0, 0.0, 2.0, 1e300, None, math.nan]),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
def test_distances_at_the_ends_of_a_type(tmp_path: Path, name: str, descending: bool, nulls_first: bool) -> None:
    """An offset past the end stops there. NaN is as far from NaN as null is from null: not at all."""
    kind, keys = ENDS[name]
    text = "count(*) OVER RANGE BETWEEN 3 PRECEDING AND 1 FOLLOWING"
    window = Window(["k"], [SortKey("o", descending, nulls_first)], {"c": text})
    found = worked_out(tmp_path, table_of_keys(keys, kind), window)["c"]

    def near(mine: Any, other: Any) -> bool:
        if mine is None or other is None:
            return mine is other
        if math.isnan(mine) or math.isnan(other):
            return math.isnan(mine) and math.isnan(other)
        if math.isinf(mine) or math.isinf(other):
            return bool(mine == other)
        far = mine - other if descending else other - mine
        return bool(-3 <= far <= 1)

    assert found == [sum(near(one, other) for other in keys) for one in keys]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
def test_sessions(tmp_path: Path, descending: bool, nulls_first: bool, cut: Cut) -> None:
    random = np.random.default_rng(1)
    times = [None if random.random() < 0.1 else int(one) for one in random.integers(0, 40_000, 80)] + [0, 1800, 3601]
    table = table_of_keys(times, pa.timestamp("s"))
    window = Window(["k"], [SortKey("o", descending, nulls_first)], {"c": "session(o, '30 minutes')"})
    found = worked_out(tmp_path, table, window, cut)["c"]
    number, before = 0, None
    for time in sorted({time for time in times if time is not None}, reverse=descending):
        number += before is None or abs(time - before) > 1800
        before = time
        assert {found[row] for row, one in enumerate(times) if one == time} == {number}
    assert {found[row] for row, one in enumerate(times) if one is None} == {None}


def test_sessions_of_several_windows_and_of_numbers(tmp_path: Path) -> None:
    table = pa.table({"row": range(7), "k": list("abababa"), "o": [1.0, 1.0, 2.5, 9.0, 3.0, 9.5, math.nan]})
    found = worked_out(tmp_path, table, Window(["k"], [SortKey("o")], {"c": "session(o, 1)"}))["c"]
    assert found == [1, 1, 2, 2, 2, 2, 3]


def test_days_and_months_go_by_the_calendar(tmp_path: Path) -> None:
    """A day in which clocks are put forward has 23 hours."""
    zoned = pa.timestamp("s", "Europe/Berlin")
    keys = pa.array(["2026-03-28 12:00:00+01:00", "2026-03-29 12:00:00+02:00"]).cast(pa.timestamp("s", "UTC"))
    keys = keys.cast(zoned)
    table = pa.table({"row": [0, 1], "k": ["a", "a"], "o": keys})
    texts = {
        "day": "count(*) OVER RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW",
        "hours": "count(*) OVER RANGE BETWEEN INTERVAL '22 hours' PRECEDING AND CURRENT ROW",
    }
    found = worked_out(tmp_path, table, Window(["k"], [SortKey("o")], texts))
    assert (found["day"], found["hours"]) == ([1, 2], [1, 1])


MOST = 2**63 - 1
PAST: dict[str, tuple[pa.DataType, list[int | None], str, list[int]]] = {
    "dates": (pa.date32(), [2**31 - 1, 2**31 - 20, 0, None, -(2**31)], "1 month", [1, 2, 1, 1, 1]),
    "long months": (pa.timestamp("ns"), [MOST, 0, None, -MOST], "5000 months", [1, 2, 1, 2]),
    "milliseconds": (pa.timestamp("ms"), [MOST, MOST - 5, 0, 1, -MOST, 1 - MOST], "1 month", [1, 2, 2, 1, 2, 1]),
    "and hours": (pa.timestamp("us"), [MOST, 0, 32 * 86_400 * 10**6], "1 month 24 hours", [1, 2, 1]),
    "without them": (pa.timestamp("us"), [MOST, 0, 32 * 86_400 * 10**6], "1 month 23 hours", [1, 1, 1]),
    "on a clock": (pa.timestamp("us", "Europe/Berlin"), [MOST, 0, 1, None, -MOST], "2 days", [1, 2, 1, 1, 1]),
}


@pytest.mark.parametrize("name", PAST)
@pytest.mark.parametrize("descending", [False, True])
def test_the_calendar_stops_at_the_ends_of_a_type(tmp_path: Path, name: str, descending: bool) -> None:
    """A row that says "never" by the last moment there is harms nobody."""
    kind, keys, length, expected = PAST[name]
    ahead, behind = (f"INTERVAL '{length}' FOLLOWING", f"INTERVAL '{length}' PRECEDING")
    frame = f"{behind} AND CURRENT ROW" if descending else f"CURRENT ROW AND {ahead}"
    window = Window(["k"], [SortKey("o", descending)], {"c": f"count(*) OVER RANGE BETWEEN {frame}"})
    assert worked_out(tmp_path, table_of_keys(list(keys), kind), window)["c"] == expected
    session = Window(["k"], [SortKey("o", descending)], {"c": f"session(o, '{length}')"})
    sessions = {one for one in worked_out(tmp_path, table_of_keys(list(keys), kind), session)["c"] if one is not None}
    assert sessions == set(range(1, len(sessions) + 1))


def test_one_zero_and_one_nan_stand_for_all(tmp_path: Path) -> None:
    """In memory and by chunks: which of several equal floats is found would depend on the memory."""
    nans = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x7FF8000000000000] * 8, np.uint64).view(np.float64)
    for column in (pa.array([-0.0, 0.0] * 12), pa.array(nans), pa.array([-0.0] * 24, pa.float32())):
        table = table_of_keys(list(range(24))).append_column("f", column)
        folder = write_table(tmp_path / f"in-{len(list(tmp_path.iterdir()))}", table, 2, 7)
        plan = planned(job_of(folder, Window(["k"], [SortKey("o")], {"low": "min(f)", "high": "max(f)"})))
        whole = carried_out(plan, CUTS[0]._replace(batch_rows=1000))
        assert all(carried_out(plan, cut, tmp_path / "scratch").files == whole.files for cut in CUTS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows, "BLOCK_ROWS", 1000)
            patch.setattr(rows, "LEAST_ROWS", 1000)
            assert carried_out(plan).files == whole.files


def test_expressions_around_and_inside(tmp_path: Path) -> None:
    table = pa.table({"row": range(4), "k": ["a"] * 4, "o": [1, 2, 4, 8], "x": ["p", "q", None, "r"]})
    texts = {
        "step": "o - lag(o, 1, 0)",
        "share": "round(100.0 * o / sum(o) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), 1)",
        "doubled": "sum(2 * o)",
        "filled": "last_value(x IGNORE NULLS) OVER ROWS UNBOUNDED PRECEDING",
        "upper": "upper(coalesce(lead(x), 'none'))",
        "twice": "sum(2 * o) + sum(2 * o)",
        "changed": "CASE WHEN x = lag(x) THEN 0 ELSE 1 END",
    }
    found = worked_out(tmp_path, table, Window(["k"], [SortKey("o")], texts))
    assert found["step"] == [1, 1, 2, 4]
    assert found["share"] == [6.7, 13.3, 26.7, 53.3]
    assert found["doubled"] == [2, 6, 14, 30]
    assert found["filled"] == ["p", "q", "q", "r"]
    assert found["upper"] == ["Q", "NONE", "R", "NONE"]
    assert found["twice"] == [4, 12, 28, 60]
    assert found["changed"] == [1] * 4


def test_values_keep_their_types(tmp_path: Path) -> None:
    """Whatever the input has: dictionaries, UUIDs, lists."""
    table = pa.table(
        {
            "row": range(3),
            "k": ["a"] * 3,
            "word": pa.array(["x", None, "y"]).dictionary_encode(),
            "id": pa.array([bytes(16), bytes(15) + b"1", None], pa.uuid()),
            "tags": pa.array([[1], None, []], pa.list_(pa.int64())),
            "half": pa.array([1.5, -0.5, None], pa.float16()),
            "nothing": pa.nulls(3),
        }
    )
    named = ["word", "id", "tags", "half", "nothing"]
    window = Window(["k"], [SortKey("row")], {f"lag_{name}": f"lag({name})" for name in named} | {"max": "max(half)"})
    folder = write_table(tmp_path / "in", table)
    plan = planned(job_of(folder, window))
    found = table_of(carried_out(plan))
    for name in named:
        assert plan.arrow_schema().field(f"lag_{name}").type == plan.arrow_schema().field(name).type
        assert found.column(f"lag_{name}").to_pylist() == [None, *table.column(name).to_pylist()[:2]]
    assert found.column("max").to_pylist() == [1.5, 1.5, 1.5]
