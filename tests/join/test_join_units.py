"""Keys that are times of different units: equal where they are the same instant, and never wrapped in the output."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import DataError, InvalidSpec, JobError
from shuffle_protocol.jobs import Job

FAR, NEAR = dt.datetime.fromisoformat("9999-12-31T00:00:00"), dt.datetime.fromisoformat("2024-05-01T12:00:00")
LATER = dt.datetime.fromisoformat("2030-01-01T00:00:00")


def job(folder: Path, how: str, left: dict[str, Any], right: dict[str, Any]) -> Job:
    operation = {"join": {"type": how, "left": "l", "right": "r", "on": ["t"]}}
    sides = [{"name": "l", **left}, {"name": "r", **right}]
    return job_of(left, {"path": str(folder / "out"), "partitions": 1}, operation, inputs=sides)


def sides(folder: Path, times: list[dt.datetime], write: Any, suffix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    left = pa.table({"t": pa.array(times, pa.timestamp("us")), "a": range(len(times))})
    right = pa.table({"t": pa.array([NEAR, LATER], pa.timestamp("ns")), "b": [10, 20]})
    for name, table in (("l", left), ("r", right)):
        write(table, folder / f"{name}.{suffix}")
    return {"path": str(folder / f"l.{suffix}")}, {"path": str(folder / f"r.{suffix}")}


WRITERS = [(pq.write_table, "parquet"), (pyarrow.feather.write_feather, "arrow")]


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
@pytest.mark.parametrize(
    ("how", "kept"),
    [("Inner", [NEAR]), ("Left", [NEAR, FAR]), ("Right", [NEAR, LATER]), ("LeftSemi", [NEAR]), ("LeftAnti", [FAR])],
)
def test_one_unit_need_not_hold_the_others_times(
    tmp_path: Path, write: Any, suffix: str, how: str, kept: list[dt.datetime]
) -> None:
    carry_out(job(tmp_path, how, *sides(tmp_path, [FAR, NEAR], write, suffix)), tmp_path / "scratch")
    found = pq.read_table(tmp_path / "out" / "part-00000.parquet")
    assert sorted(found["t"].cast(pa.timestamp("us")).to_pylist()) == kept


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_a_full_join_whose_times_fit(tmp_path: Path, write: Any, suffix: str) -> None:
    carry_out(job(tmp_path, "Full", *sides(tmp_path, [NEAR], write, suffix)), tmp_path / "scratch")
    found = pq.read_table(tmp_path / "out" / "part-00000.parquet")
    assert found.schema.field("t").type == pa.timestamp("ns")
    assert sorted(
        found.cast(pa.schema([("t", pa.timestamp("us")), ("a", pa.int64()), ("b", pa.int64())])).to_pylist(),
        key=lambda row: row["t"],
    ) == [{"t": NEAR, "a": 0, "b": 10}, {"t": LATER, "a": None, "b": 20}]


@pytest.mark.parametrize(
    ("write", "suffix", "kind"), [(*WRITERS[0], InvalidSpec), (*WRITERS[1], DataError)], ids=["parquet", "arrow"]
)
def test_a_full_join_whose_times_do_not_fit(tmp_path: Path, write: Any, suffix: str, kind: type[JobError]) -> None:
    """Refused while it is planned where files say what their largest time is."""
    wanted = job(tmp_path, "Full", *sides(tmp_path, [FAR, NEAR], write, suffix))
    with refused(kind, "operation.join.on", "'t'", "timestamp[us]", "timestamp[ns]", "leftOn"):
        carry_out(wanted, tmp_path / "scratch")


def test_a_filter_may_leave_such_times_out(tmp_path: Path) -> None:
    left, right = sides(tmp_path, [FAR, NEAR], *WRITERS[0])
    carry_out(job(tmp_path, "Full", {**left, "filter": "t < '2200-01-01'"}, right), tmp_path / "scratch")
    assert pq.read_table(tmp_path / "out" / "part-00000.parquet").num_rows == 2
