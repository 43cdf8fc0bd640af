"""INT96 timestamps, as Hive, Impala and Spark write them: every value, or a refusal by file and column."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import DataError
from shuffle_worker.columns.arrow import parts

FAR = dt.datetime.fromisoformat("9999-12-31T23:59:59.999999")
NEAR = dt.datetime.fromisoformat("2020-01-01T01:00:00")
EARLY = dt.datetime.fromisoformat("0001-01-01T00:00:00")
FINE = 1_577_840_400_123_456_789  # 2020-01-01 01:00:00.123456789


def write(path: Path, times: pa.Array[Any], first: int = 0, int96: bool = True, **options: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = pa.table({"k": pa.array(range(first, first + len(times)), pa.int64()), "t": times})
    pq.write_table(rows, path, use_deprecated_int96_timestamps=int96, coerce_timestamps=None, **options)


def ran(folder: Path, operation: dict[str, Any] | None = None, **source: Any) -> pa.Table:
    out = folder / "out"
    given = {"path": str(folder / "in"), **source}
    carry_out(job_of(given, {"path": str(out), "partitions": 1}, operation), folder / "scratch")
    return pq.read_table(out / "part-00000.parquet")


def micros(*values: dt.datetime | None) -> pa.Array[Any]:
    return pa.array(values, pa.timestamp("us"))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_times_that_nanoseconds_do_not_hold(tmp_path: Path, size: int) -> None:
    write(tmp_path / "in" / "a.parquet", micros(FAR, NEAR, EARLY, None), row_group_size=size)
    found = ran(tmp_path)
    assert found.schema.field("t").type == pa.timestamp("us")
    assert found["t"].to_pylist() == [FAR, NEAR, EARLY, None]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("t > TIMESTAMP '2021-01-01 00:00:00'", [0]),
        ("t >= '9999-12-31'", [0]),
        ("t < '9999-12-31'", [1, 2]),
        ("t < '0002-01-01'", [2]),
        ("t = '9999-12-31 23:59:59.999999'", [0]),
        ("t IS NULL", [3]),
        ("t BETWEEN '2000-01-01' AND '2030-01-01'", [1]),
    ],
)
def test_filters_keep_their_rows(tmp_path: Path, condition: str, kept: list[int]) -> None:
    write(tmp_path / "in" / "a.parquet", micros(FAR, NEAR, EARLY, None))
    assert ran(tmp_path, filter=condition)["k"].to_pylist() == kept


def test_as_a_key(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.parquet", micros(NEAR, FAR, EARLY))
    assert ran(tmp_path, {"sort": {"by": [{"column": "t"}]}})["t"].to_pylist() == [EARLY, NEAR, FAR]


def test_nanoseconds_stay_nanoseconds(tmp_path: Path) -> None:
    times = pa.array([FINE, None, FINE + 1], pa.timestamp("ns"))
    write(tmp_path / "in" / "a.parquet", times)
    found = ran(tmp_path)
    assert found.schema.field("t").type == pa.timestamp("ns")
    assert found["t"].cast(pa.int64()).to_pylist() == [FINE, None, FINE + 1]


@pytest.mark.parametrize(
    ("unit", "int96", "read"), [("ms", False, "us"), ("us", False, "us"), ("ns", False, "ns"), ("us", True, "us")]
)
def test_beside_files_of_other_units(tmp_path: Path, unit: str, int96: bool, read: str) -> None:
    write(tmp_path / "in" / "a.parquet", micros(NEAR))
    write(tmp_path / "in" / "b.parquet", micros(NEAR).cast(parts(pa).timestamp(unit)), 1, int96)
    found = ran(tmp_path)
    assert found.schema.field("t").type == parts(pa).timestamp(read)
    assert found["t"].cast(pa.timestamp("us")).to_pylist() == [NEAR, NEAR]


def test_a_value_that_the_unit_of_the_others_does_not_hold_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.parquet", micros(FAR))
    write(tmp_path / "in" / "b.parquet", pa.array([FINE], pa.timestamp("ns")), 1)
    with refused(DataError, "a.parquet", "'t'", "INT96", "2262", "9999-12-31"):
        ran(tmp_path)


def test_digits_that_come_late_are_not_lost(tmp_path: Path) -> None:
    """Behind all rows that the plan looks at."""
    whole = [FINE - FINE % 1000] * 20_000
    times = pa.array([*whole, FINE, *whole], pa.timestamp("ns"))
    write(tmp_path / "in" / "a.parquet", times)
    with refused(DataError, "a.parquet", "'t'", "finer than microseconds"):
        ran(tmp_path)


@pytest.mark.parametrize("int96_unit", ["us", "ns"])
def test_inside_of_other_types(tmp_path: Path, int96_unit: str) -> None:
    kind = parts(pa).timestamp(int96_unit)
    last = FAR if int96_unit == "us" else NEAR
    nested = pa.array([[{"a": NEAR}], [], None, [{"a": last}, {"a": None}]], pa.list_(pa.struct([("a", kind)])))
    write(tmp_path / "in" / "a.parquet", nested)
    assert ran(tmp_path)["t"].to_pylist() == nested.to_pylist()
    other = pa.array([{"a": last, "b": NEAR}], pa.map_(pa.string(), kind))
    write(tmp_path / "in" / "a.parquet", other)
    out = tmp_path / "again"
    carry_out(job_of(tmp_path / "in", {"path": str(out), "partitions": 1}), tmp_path / "scratch")
    assert pq.read_table(out)["t"].to_pylist() == other.to_pylist()
