"""Files that are not what they should be: the file, the line, the column, what was found and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_protocol.memory import Budgets
from shuffle_worker.readers import formats, text
from shuffle_worker.tables.work import Tasks
from shuffle_worker.transfer.work import WorkSetup

Put = Callable[..., Path]
Run = Callable[..., Any]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def put(name: str, content: str | bytes) -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(output: str = "Parquet", **source: Any) -> None:
        given = {"path": str(tmp_path / "in"), **source}
        carry_out(job_of(given, {"path": str(tmp_path / "out"), "format": output}), tmp_path / "scratch")

    return run


@pytest.fixture
def short_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types are found from very few rows, so that what comes later is found out while rows are moved."""
    monkeypatch.setattr(formats, "LOOK", 64)
    monkeypatch.setattr(formats, "MOST_LOOK", 64)


NUMBERS = "".join(f"{n},{n / 2}\n" for n in range(200))


# -- CSV --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_look")
@pytest.mark.parametrize("part", [text.PART, 300])
def test_a_row_with_other_columns(put: Put, run: Run, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(text, "PART", part)
    put("a.csv", f"a,b\n{NUMBERS}1,2,3\n{NUMBERS}")
    with refused(DataError, "in/a.csv: line 202: 3 columns where the header has 2: '1,2,3'", "csv.delimiter"):
        run()


@pytest.mark.usefixtures("short_look")
def test_a_value_of_another_type(put: Put, run: Run) -> None:
    put("a.csv", f"a,b\n{NUMBERS}7,seven\n")
    with refused(DataError, "a.csv: line 202: column 'b': 'seven' does not fit: expected double", "inputs[].schema"):
        run()


def test_a_value_of_another_type_than_declared(put: Put, run: Run) -> None:
    put("a.csv", "a,b\n1,2026-01-01\n2,soon\n")
    with refused(DataError, "a.csv: line 3: column 'b': 'soon' does not fit: expected date32"):
        run(schema=[{"name": "b", "type": "date32"}])


@pytest.mark.usefixtures("short_look")
def test_a_column_that_was_null_at_first(put: Put, run: Run) -> None:
    put("a.csv", "a,b\n" + "1,\n" * 100 + "1,x\n")
    with refused(DataError, "line 102: column 'b': 'x' does not fit: every value in the first rows was null"):
        run()


def test_lines_are_counted_in_compressed_files_and_over_quoted_lines(put: Put, run: Run) -> None:
    put("a.csv.gz", gzip.compress(b'a,b\n1,"two\nlines"\n2\n'))
    with refused(DataError, "a.csv.gz: line 4: 1 columns where the header has 2: '2'"):
        run()


def test_a_quote_that_is_never_closed(put: Put, run: Run) -> None:
    put("a.csv", 'a,b\n1,x\n2,"y\n3,z\n')
    with refused(DataError, "a.csv: line ", "a quote is opened here or in a later line and never closed"):
        run()


def test_columns_called_the_same(put: Put, run: Run) -> None:
    put("a.csv", "x,y,x\n1,2,3\n")
    with refused(DataError, "a.csv: line 1: two columns are called 'x'"):
        run()


def test_another_encoding(put: Put, run: Run) -> None:
    put("a.csv", b"a,b\n1,x\n2," + "ü\n".encode("latin1"))
    with refused(DataError, "a.csv: line 3: not UTF-8 (byte 0xfc)", "iconv"):
        run()


def test_types_of_files_that_do_not_go_together(put: Put, run: Run) -> None:
    put("a.csv", "a\n1\n")
    put("b.csv", "a\nx\n")
    with refused(DataError, "column 'a' is int64 in", "a.csv but string in", "b.csv", "declare its type in `schema`"):
        run()
    run(schema=[{"name": "a", "type": "string"}])


def test_no_header(put: Put, run: Run) -> None:
    put("a.csv", "\n\n")
    with refused(DataError, "a.csv: line 1: the header is missing", "csv.header: false"):
        run()
    put("a.csv", "1,2\n")
    with refused(DataError, "2 columns, but `schema` names 1"):
        run(csv={"header": False}, schema=[{"name": "a", "type": "int64"}])


def test_a_declared_column_that_is_nowhere(put: Put, run: Run) -> None:
    put("a.csv", "amount\n1\n")
    with refused(InvalidSpec, "inputs[0].schema[0].name: the input has no column 'amuont'", "'amount'?"):
        run(schema=[{"name": "amuont", "type": "int64"}])


@pytest.mark.parametrize(
    ("kind", "said"),
    [("list<string>", "has no form in CSV; declare 'a' as string"), ("int46", "is no Arrow type; did you mean int64?")],
)
def test_types_that_cannot_be_declared(put: Put, run: Run, kind: str, said: str) -> None:
    put("a.csv", "a\n1\n")
    with refused(InvalidSpec, "inputs[0].schema[0].type", said):
        run(schema=[{"name": "a", "type": kind}])


# -- JSON -------------------------------------------------------------------------------------------------------------

GOOD = '{"a": 1, "b": "x"}\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 2: no JSON object: 'nonsense'"),
        ("null", "line 2: no JSON object: 'null'"),
        ('"text"', "line 2: no JSON object"),
        ('[{"a": 1}]', "line 2: a JSON array; this format has one object a line"),
        ('{"a": 1} {"a": 2}', "line 2: holds more than one object"),
        ('{"a": 1,', "line 2: no JSON object: "),
        ('{"a": "one"}', "line 2: "),
        ('{"a": 1, "a": 2}', "line 2: no JSON object: 'a' is in the object twice"),
        ('{"a": [1]}', "line 2: "),
    ],
)
def test_lines_that_are_no_objects(put: Put, run: Run, line: str, said: str) -> None:
    put("a.json", f"{GOOD}{line}\n{GOOD}")
    with refused(DataError, "in/a.json: ", said):
        run()


def test_an_object_over_several_lines(put: Put, run: Run) -> None:
    put("a.json", '{\n  "a": 1\n}\n')
    with refused(DataError, "a.json: line 2: no JSON object", "`jq -c .`"):
        run()


@pytest.mark.usefixtures("short_look")
def test_a_value_of_another_type_in_json(put: Put, run: Run) -> None:
    put("a.json", GOOD * 100 + '{"a": 1.5, "b": "x"}\n')
    with refused(DataError, "a.json: line 101: column 'a': 1.5 does not fit: expected int64"):
        run()


@pytest.mark.usefixtures("short_look")
def test_a_field_that_comes_late(put: Put, run: Run) -> None:
    put("a.json", GOOD * 100 + '{"a": 1, "b": "x", "late": true}\n')
    with refused(DataError, "a.json: line 101: has a field 'late' that is not in the first lines of any file"):
        run()
    run(columns=["a"])


@pytest.mark.usefixtures("short_look")
def test_a_field_inside_that_comes_late(put: Put, run: Run) -> None:
    put("a.json", '{"a": {"x": 1}}\n' * 100 + '{"a": {"x": 1, "y": 2}}\n')
    with refused(DataError, "a.json: line 101: column 'a' has fields inside of it that are not in the first lines"):
        run(columns=["a"])


def test_json_in_another_encoding(put: Put, run: Run) -> None:
    put("a.json", GOOD.encode() + b'{"a": 2, "b": "\xfc"}\n')
    with refused(DataError, "a.json: line 2: not UTF-8 (byte 0xfc)"):
        run()


def test_maps_have_no_form_in_json(put: Put, run: Run) -> None:
    put("a.json", '{"m": {"k": 1}}\n')
    with refused(InvalidSpec, "inputs[0].schema[0].type: map<string, int64> has no form in JSON"):
        run(schema=[{"name": "m", "type": "map<string, int64>"}])


# -- names and what is in the files -----------------------------------------------------------------------------------


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), sink)
    return sink.getvalue()


def feather(rows: int = 1000) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, pa.schema([("a", pa.int64())])) as writer:
        writer.write_table(pa.table({"a": range(rows)}), max_chunksize=100)
    return sink.getvalue()


def orc(rows: int = 1000) -> bytes:
    sink = io.BytesIO()
    pyarrow.orc.write_table(pa.table({"a": [f"{n * 7919 % 1000}" for n in range(rows)]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", parquet(), "not CSV: it begins as Parquet"),
        ("a.json", feather(), "not JSON: it begins as Feather"),
        (
            "a.csv",
            gzip.compress(b"a\n1\n", mtime=0),
            "begins as a file compressed with gzip, but is not named so; rename it to",
        ),
        ("a.csv.gz", b"a\n1\n", "is named as if compressed with gzip, but does not begin so"),
        ("a.json.zst", bz2.compress(b"{}"), "is named as if compressed with zstd, but does not begin so"),
        ("a.csv.gz", gzip.compress(b"a\n1\n" * 9999, mtime=0)[:-30], "cannot be decompressed (gzip)"),
        ("a.arrow", parquet(), "not Feather (Arrow IPC), in spite of its name"),
        ("a.arrow", feather()[:-100], "the file is truncated: it begins as Feather"),
        ("a.arrow", feather()[:2000] + b"\0" * 40 + feather()[2040:], "cannot be read"),
        ("a.feather", b"FEA1" + b"\0" * 40, "Feather version 1, which is not read any more"),
        ("a.orc", parquet(), "not ORC, in spite of its name"),
        ("a.orc", orc()[:-20], "its footer cannot be read"),
        ("a.orc", b"ORC" + b"\xff" * 1000 + orc()[1003:], "stripe 0 cannot be read"),
        ("a.parquet", feather(), "not a Parquet file, in spite of its name"),
        ("a.csv", b"", "the file is empty (zero bytes)"),
        ("a.arrow", b"", "the file is empty (zero bytes)"),
    ],
)
def test_files_of_something_else_or_damaged(put: Put, run: Run, name: str, content: bytes, said: str) -> None:
    put(name, content)
    with refused(DataError, f"in/{name}: ", said):
        run()


def test_names_of_several_formats(put: Put, run: Run) -> None:
    put("a.csv", "a\n1\n")
    put("b.json", GOOD)
    with refused(InvalidSpec, "inputs[0].path: ", "a.csv is CSV by its name and", "b.json is JSON", "set `format`"):
        run()


def test_options_of_another_format(put: Put, run: Run) -> None:
    put("a.parquet", parquet())
    with refused(InvalidSpec, "inputs[0].schema: files of Parquet say their types themselves"):
        run(schema=[{"name": "a", "type": "int64"}])
    with refused(InvalidSpec, "inputs[0].csv: the files are Parquet"):
        run(csv={"delimiter": ";"})


# -- output -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("CSV", pa.array([[1]]), "output.format: CSV cannot hold the column 'x', which is list<element: int64>"),
        ("CSV", pa.array([b"x"]), "CSV cannot hold the column 'x', which is binary"),
        ("JSON", pa.array([[(1, 2)]], pa.map_(pa.int32(), pa.int32())), "JSON cannot hold the column 'x'"),
        ("JSON", pa.array([1], pa.duration("s")), "JSON cannot hold the column 'x', which is duration[s]"),
        ("ORC", pa.array([1], pa.uint64()), "ORC cannot hold the column 'x', which is uint64"),
        ("ORC", pa.array([[1]], pa.list_(pa.time64("us"))), "ORC cannot hold the column 'x'"),
    ],
)
def test_types_that_the_output_cannot_hold(tmp_path: Path, run: Run, name: str, column: pa.Array, said: str) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"x": column}), tmp_path / "in" / "a.parquet")
    with refused(InvalidSpec, said, "leave it out with `columns`"):
        run(output=name)
    assert not (tmp_path / "out").exists()


def test_orc_whose_top_is_no_struct(put: Put, tmp_path: Path) -> None:
    """Arrow writes structs alone, so the kind of the first type in the footer (field 1 of its message) is changed from
    12, a struct, to 10, a list."""
    sink = io.BytesIO()
    pyarrow.orc.write_table(pa.table({"a": [1, 2]}), sink, compression="uncompressed")
    struct = b"\x08\x0c\x12\x01\x01"
    assert sink.getvalue().count(struct) == 1
    path = put("bare.orc", sink.getvalue().replace(struct, b"\x08\x0a\x12\x01\x01"))
    with refused(DataError, str(path), "a struct at the top"):
        carry_out(job_of(path, {"path": str(tmp_path / "out")}), tmp_path / "scratch")


def test_a_file_without_columns_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({}), tmp_path / "none.parquet")
    with refused(DataError, f"{tmp_path}/none.parquet", "no columns"):
        carry_out(job_of(tmp_path / "none.parquet", {"path": str(tmp_path / "out")}), tmp_path / "scratch")


def test_a_small_file_is_read_to_its_end_while_planning(tmp_path: Path) -> None:
    """Its last row group is damaged behind the rows that a look takes."""
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"a": [f"text {n}" for n in range(6000)]}), path, row_group_size=1000, compression="none")
    column = pq.ParquetFile(path).metadata.row_group(4).column(0)
    content = bytearray(path.read_bytes())
    begin = column.data_page_offset
    content[begin : begin + 8] = b"\xff" * 8
    path.write_bytes(content)
    job = job_of(path, {"path": str(tmp_path / "out")})
    (tmp_path / "scratch").mkdir()
    with refused(DataError, f"{path}", "cannot be read"):
        Tasks(WorkSetup(Budgets.for_limit(job.memory), tmp_path / "scratch")).plan(job)
