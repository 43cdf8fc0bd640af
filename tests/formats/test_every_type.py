"""Every Arrow type through every format: the same values, or one refusal while planning that names column and type.

Columns that a format holds go through one job together; what each format refuses stands in a list here, so that a type
that is refused without need fails as much as one that is changed."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from tests.formats.every_type import COLUMNS, SHAPES, values
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_worker.output.storable import form

UNREADABLE = ["dictionary of uuid", "dictionary of dictionaries"]
"""What Arrow writes to its own format and cannot read."""

READABLE = {name: column for name, column in COLUMNS.items() if name not in UNREADABLE}
UNIONS = {"sparse union", "dense union"}
INTERVALS = {name for name in READABLE if "interval" in name}
DURATIONS = {name for name in READABLE if "duration" in name}
BYTES = {name for name in READABLE if "binary" in name}
NESTED = {name for name in READABLE if name.split(" ")[-1] in {"list", "struct", "map"}}
NESTED |= {"list_", "large_list", "list_view", "large_list_view", "struct of nothing", "map of numbers", "tensor"}
NESTED |= {"opaque views"}
TIMES = {name for name in READABLE if name.startswith("time ") or name.endswith("of time")}
NULLS = {"null", "dictionary of null"}
WIDE = {name for name in READABLE if "decimal256" in name}

LACKING = {
    "Parquet": UNIONS | INTERVALS | {"struct of nothing"},
    "Feather": UNIONS,
    "ORC": UNIONS | INTERVALS | DURATIONS | TIMES | NULLS | WIDE | {"uint64"},
    "JSON": UNIONS | INTERVALS | DURATIONS | BYTES | {"map of numbers"},
    "CSV": UNIONS | INTERVALS | DURATIONS | BYTES | NESTED,
}
BEYOND_ORC = {name for name in READABLE if name.endswith(", far")}
"""Times that ORC holds and Arrow's reader of it does not: 9999-12-31."""


def shaped(shape: str, names: list[str]) -> pa.Table:
    return pa.table({name: SHAPES[shape](READABLE[name]) for name in names})


def feather(path: Path, table: pa.Table) -> Path:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def converted(folder: Path, source: Path, name: str) -> Path:
    output = {"path": str(folder / "out"), "partitions": 1, "format": name, "compression": "None"}
    carry_out(job_of(source, output), folder / "scratch")
    return next((folder / "out").glob("part-*"))


def read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.suffix == ".orc":
        return pyarrow.orc.ORCFile(str(path)).read()
    return pa.ipc.open_file(str(path)).read_all()


def same(found: pa.Table, wanted: pa.Table) -> None:
    assert found.schema.names == wanted.schema.names
    for name in wanted.schema.names:
        assert values(found[name]) == values(wanted[name]), name


@pytest.mark.parametrize("name", ["Parquet", "Feather", "ORC"])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_a_format_gives_back_every_value(tmp_path: Path, shape: str, name: str) -> None:
    left_out = LACKING[name] | (BEYOND_ORC if name == "ORC" else set())
    table = shaped(shape, [column for column in READABLE if column not in left_out])
    same(read(converted(tmp_path, feather(tmp_path / "in.arrow", table), name)), table)


@pytest.mark.parametrize("name", list(LACKING))
@pytest.mark.parametrize("shape", list(SHAPES))
def test_what_is_refused_and_nothing_else(shape: str, name: str) -> None:
    nested = name == "CSV" and shape != "as it is"
    for column in READABLE:
        found = form(SHAPES[shape](READABLE[column]).type, name)
        assert (found is None) == (nested or column in LACKING[name]), column


@pytest.mark.parametrize(("name", "column"), [(name, column) for name in LACKING for column in sorted(LACKING[name])])
def test_it_is_refused_by_column_and_type(tmp_path: Path, name: str, column: str) -> None:
    table = shaped("as it is", ["int8", column])
    source = feather(tmp_path / "in.arrow", table)
    with refused(InvalidSpec, repr(column), str(table.schema.field(column).type), "leave it out with `columns`"):
        converted(tmp_path, source, name)
    assert not (tmp_path / "out").exists()
    given = {"path": str(source), "columns": ["int8"]}
    carry_out(job_of(given, {"path": str(tmp_path / "out"), "format": name}), tmp_path / "scratch")


@pytest.mark.parametrize("column", sorted(UNREADABLE))
def test_what_arrow_cannot_read_is_no_defect_of_ours(tmp_path: Path, column: str) -> None:
    with refused(DataError, "in.arrow"):
        converted(tmp_path, feather(tmp_path / "in.arrow", pa.table({column: COLUMNS[column]})), "Parquet")


@pytest.mark.parametrize("shape", list(SHAPES))
def test_json_says_every_value(tmp_path: Path, shape: str) -> None:
    table = shaped(shape, [column for column in READABLE if column not in LACKING["JSON"]])
    path = converted(tmp_path, feather(tmp_path / "in.arrow", table), "JSON")
    rows = [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]
    for column in table.schema.names:
        for row, wanted in zip(rows, table[column].to_pylist(), strict=True):
            assert says(row[column], wanted), (column, row[column], wanted)


def test_csv_says_every_value(tmp_path: Path) -> None:
    table = shaped("as it is", [column for column in READABLE if column not in LACKING["CSV"]])
    path = converted(tmp_path, feather(tmp_path / "in.arrow", table), "CSV")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column in table.schema.names:
        for row, wanted in zip(rows, table[column].to_pylist(), strict=True):
            assert says(row[column] or None, wanted), (column, row[column], wanted)


SAID: list[tuple[Any, Callable[[Any, Any], bool]]] = [
    (bool, lambda told, wanted: told in (wanted, str(wanted).lower(), str(int(wanted)))),
    (int | Decimal, lambda told, wanted: Decimal(str(told)) == Decimal(wanted)),
    (float, lambda told, wanted: math.isclose(float(told), wanted, rel_tol=1e-12)),
    (dt.datetime, lambda told, wanted: dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", told)) == wanted),
    (dt.date, lambda told, wanted: dt.date.fromisoformat(told) == wanted),
    (dt.time, lambda told, wanted: dt.time.fromisoformat(told[:15]) == wanted),
    (uuid.UUID, lambda told, wanted: bool(told == str(wanted))),
]
"""Whether text, or what JSON made of it, is a value of the type. A bool is an int too, and a datetime a date."""


def says(told: Any, wanted: Any) -> bool:
    """Whether text, or what JSON made of it, is this value."""
    if wanted is None or told is None:
        return told is wanted
    for kind, same_value in SAID:
        if isinstance(wanted, kind):
            return same_value(told, wanted)
    if isinstance(wanted, dict):
        return told.keys() == wanted.keys() and all(says(told[key], item) for key, item in wanted.items())
    if isinstance(told, dict):  # a map
        return len(told) == len(wanted) and all(says(told[key], item) for key, item in wanted)
    if isinstance(told, list):
        return len(told) == len(wanted) and all(says(one, item) for one, item in zip(told, list(wanted), strict=True))
    return bool(told == wanted)


@pytest.mark.parametrize("name", ["Parquet", "ORC"])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_files_that_others_wrote(tmp_path: Path, shape: str, name: str) -> None:
    """What Arrow itself writes, read by us."""
    columns = {}
    for column in READABLE:
        one = pa.table({column: SHAPES[shape](READABLE[column])})
        kept = form(one.schema.field(0).type, name) == one.schema.field(0).type
        if kept and column not in BEYOND_ORC:
            columns[column] = one[column]
    table = pa.table(columns)
    source = tmp_path / f"in.{name.lower()}"
    pq.write_table(table, source) if name == "Parquet" else pyarrow.orc.write_table(table, str(source))
    same(read(converted(tmp_path, source, "Feather")), read(source))


def test_duckdb_reads_the_same(tmp_path: Path) -> None:
    strange = ("half", "duration", "timestamp ns", "null", "decimal256", "opaque", "tensor", "bool8", "time ")
    held = [column for column in READABLE if column not in LACKING["Parquet"]]
    names = [column for column in held if not any(part in column for part in strange)]
    table = shaped("as it is", names)
    path = converted(tmp_path, feather(tmp_path / "in.arrow", table), "Parquet")
    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT * FROM '{path}'").to_arrow_table()
    for column in names:
        read_back = values(found[column])
        if "uuid" in column:
            read_back = [uuid.UUID(one).bytes if isinstance(one, str) else one for one in read_back]
        assert read_back == values(table[column]), column
