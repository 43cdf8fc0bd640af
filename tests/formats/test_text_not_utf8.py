"""Text columns whose bytes are no UTF-8: moved, compared and ordered by bytes; refused where they must be text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import DataError

VALUES = [b"a\xff", b"ok", b"\xc3(", None, b"a\xff"]


@pytest.fixture(params=["parquet", "arrow", "dictionary"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    data = pa.array(VALUES, pa.binary())
    text: Any = pa.Array.from_buffers(pa.string(), len(data), data.buffers())
    if request.param == "dictionary":
        text = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None, 0], pa.int8()), text.slice(0, 3))
    table = pa.table({"c": text, "part": [0, 0, 1, 1, 1]})
    if request.param == "parquet":
        pq.write_table(table, tmp_path / "in.parquet")
        return tmp_path / "in.parquet"
    with pa.ipc.new_file(str(tmp_path / "in.arrow"), table.schema) as writer:
        writer.write_table(table)
    return tmp_path / "in.arrow"


def ran(
    source: Path,
    operation: dict[str, Any],
    output: dict[str, Any] | None = None,
    filter_: str = "",
    columns: list[str] | None = None,
) -> list[bytes | None]:
    """The bytes of the first column of the output."""
    out = source.parent / "out"
    given: dict[str, Any] = {"path": str(source), **({"filter": filter_} if filter_ else {})}
    given |= {"columns": columns} if columns else {}
    sides = [{"name": side, "path": str(source)} for side in ("l", "r")] if "join" in operation else []
    to = {"path": str(out), "partitions": 1, "format": "Feather", **(output or {})}
    carry_out(job_of(given, to, operation, inputs=sides), source.parent / "scratch")
    tables = [pa.ipc.open_file(str(path)).read_all() for path in sorted(out.glob("*.arrow"))]
    chunks: list[Any] = [chunk for table in tables for chunk in table.column(0).chunks]
    encoded = [chunk for chunk in chunks if pa.types.is_dictionary(chunk.type)]
    plain = [chunk.dictionary.cast(pa.binary()).take(chunk.indices) for chunk in encoded] or chunks
    return [value for chunk in plain for value in chunk.cast(pa.binary()).to_pylist()]


def ordered(values: list[bytes | None]) -> list[bytes | None]:
    return [*sorted(one for one in values if one is not None), *(one for one in values if one is None)]


COUNT = [{"function": "size", "as": "rows"}]


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        ({"sort": {"by": [{"column": "c"}]}}, ordered(VALUES)),
        ({"repartition": {"by": ["c"]}}, ordered(VALUES)),
        ({"repartition": {"range": ["c"]}}, ordered(VALUES)),
        ({"distinct": {"by": ["c"]}}, ordered(VALUES[:4])),
        ({"groupBy": {"by": ["c"], "aggregations": COUNT}}, ordered(VALUES[:4])),
        ({"join": {"type": "LeftSemi", "left": "l", "right": "r", "on": ["c"]}}, ordered(VALUES)[:4]),
        ({"join": {"type": "Full", "left": "l", "right": "r", "on": ["c"], "nullsEqual": True}}, None),
    ],
)
def test_as_a_key(source: Path, operation: dict[str, Any], wanted: list[bytes | None] | None) -> None:
    found = ran(source, operation)
    if "sort" in operation:
        assert found == wanted
        file = json.loads((source.parent / "out" / "_manifest.json").read_text())["files"][0]
        assert (file["smallest"], file["largest"]) == (["a\\xff"], [None])
    assert ordered(found) == (wanted or ordered([*VALUES, *VALUES[:1] * 2]))


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("c = 'ok'", [b"ok"]),
        ("c > 'b'", [b"ok", b"\xc3("]),
        ("c IN ('ok', 'x')", [b"ok"]),
        ("c IS NULL", [None]),
        ("c LIKE 'a%'", [b"a\xff"] * 2),
        ("c = c", [b"a\xff", b"ok", b"\xc3(", b"a\xff"]),
    ],
)
def test_in_a_filter(source: Path, condition: str, kept: list[bytes | None]) -> None:
    assert ran(source, {"repartition": {}}, filter_=condition) == kept


def test_a_filter_that_needs_characters_names_the_file(source: Path) -> None:
    with refused(DataError, source.name, "UPPER(c) = 'OK'", "UTF8"):
        ran(source, {"repartition": {}}, filter_="UPPER(c) = 'OK'")


@pytest.mark.parametrize("columns", [None, ["c"]], ids=["all", "alone"])
@pytest.mark.parametrize("name", ["CSV", "JSON"])
def test_formats_of_characters_refuse_it(source: Path, name: str, columns: list[str] | None) -> None:
    with refused(DataError, "'c'", "UTF-8", name):
        ran(source, {"repartition": {}}, {"format": name}, columns=columns)
    assert not list((source.parent / "out").rglob("part-*"))


def test_folders_refuse_it(source: Path) -> None:
    with refused(DataError, "output.partitionBy", "'c'", "UTF-8"):
        ran(source, {"repartition": {}}, {"partitionBy": ["c"]})
