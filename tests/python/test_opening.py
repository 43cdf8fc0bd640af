"""A result opens as the rows that were written: every format, every type, folders that are columns."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather as feather
import pytest
from tests.formats.one_process import carry_out, job_of
from tests.storage.s3_server import BUCKET, open_s3

from shuffle_local.python.opening import dataset_of, manifest_of, table_of
from shuffle_local.python.written import OutputChanged, WrittenOutput
from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.output.storable import storable

D = decimal.Decimal
TABLE = pa.table(
    {
        "row": [0, 1, 2],
        "int8": pa.array([1, None, -3], pa.int8()),
        "uint64": pa.array([2**63, None, 0], pa.uint64()),
        "half": pa.array([1.5, None, 0.5], pa.float16()),
        "float": [float("inf"), None, -0.1],
        "text": ["", None, 'a,"b\nc'],
        "view": pa.array(["x", None, "yy"], pa.string_view()),
        "bool": [True, None, False],
        "date": [dt.date(2026, 1, 1), None, dt.date(1, 1, 1)],
        "us": pa.array([1, None, -1], pa.timestamp("us")),
        "zoned": pa.array([1, None, -1], pa.timestamp("ns", "Europe/Berlin")),
        "seconds": pa.array([1, None, -1], pa.timestamp("s")),
        "time": pa.array([1, None, 2], pa.time64("us")),
        "decimal": pa.array([D("1.50"), None, D("-3.25")], pa.decimal128(10, 2)),
        "wide": pa.array([D("1.50"), None, D("-3.25")], pa.decimal256(50, 2)),
        "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
        "binary": [b"\x00\xff", None, b""],
        "list": [[1], None, []],
        "struct": [{"a": 1, "d": dt.date(2026, 1, 1)}, None, {"a": None, "d": None}],
        "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "duration": pa.array([1, None, 2], pa.duration("s")),
        "null": pa.nulls(3),
        "folder": ["k/1", None, "a=b %41"],
        "number": [1, 2, None],
        "day": [dt.date(2026, 1, 1), None, dt.date(2026, 1, 2)],
        "moment": pa.array([1, None, -1], pa.timestamp("us", "UTC")),
    }
)
FOLDERS = ["folder", "number", "day", "moment"]
LACKING: dict[str, set[str]] = {
    "Parquet": set(),
    "Feather": set(),
    "ORC": {"uint64", "half", "time", "wide", "duration", "null"},
    "CSV": {"binary", "list", "struct", "map", "duration"},
    "JSON": {"binary", "map", "duration"},
}


def written(tmp_path: Path, table: pa.Table, **output: Any) -> WrittenOutput:
    source = tmp_path / "in"
    source.mkdir(exist_ok=True)
    feather.write_feather(table, str(source / "a.feather"))
    job = job_of(
        {"path": str(source)}, {"path": str(tmp_path / "out"), **output}, {"sort": {"by": [{"column": "row"}]}}
    )
    done = carry_out(job, tmp_path / "scratch")
    output_of = job.output
    return WrittenOutput(job.name, job.uid, output_of.path, done.manifest, output_of.format, store=output_of.storage)


def as_stored(table: pa.Table, name: str) -> list[dict[str, Any]]:
    wanted = storable(table.schema, name)
    return [dict(row) for row in table.cast(wanted).to_pylist()]


@pytest.mark.parametrize("name", LACKING)
@pytest.mark.parametrize("folders", [False, True], ids=["flat", "folders"])
def test_every_type_of_every_format(tmp_path: Path, name: str, folders: bool) -> None:
    table = TABLE.drop_columns(sorted(LACKING[name]))
    output = written(tmp_path, table, format=name, partitions=2, **({"partitionBy": FOLDERS} if folders else {}))
    found = table_of(output)
    assert sorted(found.column_names) == sorted(table.column_names)
    in_order = sorted(found.select(table.column_names).to_pylist(), key=lambda row: row["row"])
    assert in_order == as_stored(table, name)
    assert dataset_of(output).to_table().equals(found)
    if not folders and name == "Parquet":
        return  # Arrow cannot filter its string views
    day = dataset_of(output).to_table(columns=["row"], filter=pc.field("day") == dt.date(2026, 1, 2))
    assert day["row"].to_pylist() == [2]


def test_rows_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    output = written(tmp_path, pa.table({"row": list(range(1000))[::-1]}), partitions=7)
    assert table_of(output)["row"].to_pylist() == list(range(1000))


@pytest.mark.parametrize("name", LACKING)
def test_no_rows_have_their_columns(tmp_path: Path, name: str) -> None:
    table = TABLE.drop_columns(sorted(LACKING[name])).slice(0, 0)
    found = table_of(written(tmp_path, table, format=name, partitions=2))
    assert (found.num_rows, found.column_names) == (0, table.column_names)


def test_compressed_text(tmp_path: Path) -> None:
    output = written(tmp_path, pa.table({"row": [1, 2], "a": ["x", None]}), format="CSV", compression="Gzip")
    assert table_of(output).to_pylist() == [{"row": 1, "a": "x"}, {"row": 2, "a": None}]


def test_maps_in_json_are_refused_by_name(tmp_path: Path) -> None:
    output = written(tmp_path, TABLE.select(["row", "map"]), format="JSON")
    with pytest.raises(InvalidSpec, match=r"'map' is map<string, int64>, and maps are not read back from JSON"):
        table_of(output)


def test_arrays_are_no_rows(tmp_path: Path) -> None:
    output = WrittenOutput("a", "u", str(tmp_path), str(tmp_path / "_manifest.json"), "Zarr")
    with pytest.raises(InvalidSpec, match=r"is a Zarr store, of arrays and not of rows: open it by zarr\.open"):
        dataset_of(output)


def test_an_output_that_is_not_the_jobs_any_more_is_refused(tmp_path: Path) -> None:
    table = pa.table({"row": [1, 2]})
    first = written(tmp_path, table)
    second = written(tmp_path, table, onExisting="Overwrite")
    assert table_of(second).num_rows == 2
    for opened in (manifest_of, table_of, dataset_of):
        with pytest.raises(OutputChanged, match=f"of job test, run {second.uid}, not of job test, run {first.uid}"):
            opened(first)
    Path(second.manifest).write_text("{")
    with pytest.raises(OutputChanged, match="this is no manifest any more"):
        table_of(second)
    Path(second.manifest).unlink()
    with pytest.raises(OutputChanged, match="was removed since"):
        table_of(second)


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    output = written(tmp_path, pa.table({"row": [1, 2]}), partitions=1)
    (tmp_path / "out/part-00000.parquet").unlink()
    with pytest.raises(Exception, match=r"part-00000\.parquet"):
        table_of(output)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with open_s3() as address:
        yield address


@pytest.mark.parametrize("name", ["Parquet", "CSV"])
def test_a_store_is_reached_as_the_job_reached_it(tmp_path: Path, address: str, name: str) -> None:
    table = pa.table({"row": list(range(100)), "folder": ["a b", None] * 50})
    place = {"path": f"s3://{BUCKET}/opening/{name}", "storage": {"endpoint": address}}
    output = written(tmp_path, table, format=name, partitions=3, partitionBy=["folder"], **place)
    found = table_of(output)
    assert sorted(found.to_pylist(), key=lambda row: row["row"]) == table.to_pylist()
    nulls = dataset_of(output).to_table(columns=["row"], filter=pc.field("folder").is_null())
    assert sorted(nulls["row"].to_pylist()) == list(range(1, 100, 2))
    again = written(tmp_path, table, onExisting="Overwrite", format=name, **place)
    assert table_of(again).num_rows == 100
    with pytest.raises(OutputChanged, match=f"run {again.uid}"):
        table_of(output)
    assert address not in repr(output)
