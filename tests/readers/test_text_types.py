"""Types of CSV and JSON: found as Arrow finds them when it reads a file whole, but for what would change a value."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.json as pj
import pytest
from tests.plan.jobs import job, plan_of, read_all

from shuffle_protocol.jobs import Csv
from shuffle_worker.readers import text

Read = Callable[..., pa.Table]

CSV = b'''i,f,b,day,at,t,e,q
1,1.5,true,2026-01-01,2026-01-01 10:00:00,x,,"1"
2,2,false,2026-01-02,2026-01-01T10:00:01,"",,"2"
-3,,,,,"a ""b""",,"3"
'''

JSON = rb"""{"i": 1, "f": 1.5, "b": true, "at": "2026-01-01T10:00:00", "t": "x", "l": [1, 2], "s": {"x": 1, "y": []}}
{"i": -2, "f": 2, "b": null, "at": "2026-01-01 10:00:01", "t": "", "l": [], "s": {"x": null, "y": [{"z": "a"}]}}

{"f": null, "t": "\u00fc\n\"", "i": 3, "l": null}
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(batch_rows: int = 700, options: dict[str, Any] | None = None, **files: bytes) -> pa.Table:
        for name, content in files.items():
            path = tmp_path / "in" / name.replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        return read_all(plan_of(job(tmp_path, **(options or {}))), batch_rows)[0]

    return read


@pytest.mark.parametrize("batch_rows", [1, 2, 1000])
def test_csv_as_arrow_reads_it_whole(read: Read, monkeypatch: pytest.MonkeyPatch, batch_rows: int) -> None:
    convert = pc.ConvertOptions(null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False)
    expected = pc.read_csv(io.BytesIO(CSV), convert_options=convert)
    monkeypatch.setattr(text, "BLOCK", 40)
    assert read(batch_rows, a_csv=CSV).equals(expected)


@pytest.mark.parametrize("batch_rows", [1, 1000])
def test_json_as_arrow_reads_it_whole(read: Read, monkeypatch: pytest.MonkeyPatch, batch_rows: int) -> None:
    expected = pj.read_json(io.BytesIO(JSON))
    monkeypatch.setattr(text, "BLOCK", 40)
    found = read(batch_rows, a_json=JSON)
    assert found.schema.equals(expected.schema)
    assert found.to_pylist() == expected.to_pylist()


def test_numbers_that_would_be_written_otherwise_are_text(read: Read) -> None:
    found = read(a_csv=b"zip,plus,big,n,f\n00123,+1,99999999999999999999,7,0.5\n1,2,3,8,-1e300\n")
    assert found.schema.types == [pa.string(), pa.string(), pa.string(), pa.int64(), pa.float64()]
    assert found.column("zip").to_pylist() == ["00123", "1"]


def test_types_of_several_files_come_together(read: Read) -> None:
    found = read(
        a_csv=b"n,at,e,x\n1,2026-01-01,,a\n",
        b_csv=b"n,at,e\n1.5,2026-01-01 10:00:00,7\n",
    )
    assert found.schema.types == [pa.float64(), pa.timestamp("s"), pa.int64(), pa.string()]
    assert found.column("n").to_pylist() == [1.0, 1.5]
    assert found.column("x").to_pylist() == ["a", None]


def test_fields_inside_come_together(read: Read) -> None:
    found = read(a_json=b'{"s": {"x": 1, "l": [1]}}\n', b_json=b'{"s": {"y": "a", "l": [1.5], "x": 2.5}}\n')
    assert found.to_pylist() == [
        {"s": {"x": 1.0, "l": [1.0], "y": None}},
        {"s": {"x": 2.5, "l": [1.5], "y": "a"}},
    ]


def test_options_of_csv(read: Read) -> None:
    options = {"csv": Csv(delimiter=";", quote="'", header=False, null_values=["NA", ""])}
    found = read(options=options, a_csv=b"1;'a;''b';NA\n2;NA;'NA'\n")
    assert found.to_pylist() == [{"f0": 1, "f1": "a;'b", "f2": None}, {"f0": 2, "f1": None, "f2": "NA"}]


def test_escapes_and_no_quotes(read: Read) -> None:
    escaped = read(options={"csv": Csv(escape="\\")}, a_csv=b'a,b\n"x\\"y",1\nu\\,v,2\n')
    assert escaped.column("a").to_pylist() == ['x"y', "u,v"]


def test_without_quotes(read: Read) -> None:
    plain = read(options={"csv": Csv(quote="")}, a_csv=b'a,b\n5" pipe,"1\nx",2"\n')
    assert plain.to_pylist() == [{"a": '5" pipe', "b": '"1'}, {"a": 'x"', "b": '2"'}]


def test_tabs_by_the_name(read: Read) -> None:
    assert read(a_tsv=b"a\tb\n1\tx,y\n").to_pylist() == [{"a": 1, "b": "x,y"}]


def test_files_without_rows(read: Read) -> None:
    assert read(a_csv=b"a,b\n", b_csv=b"a,b\n1,x\n").to_pylist() == [{"a": 1, "b": "x"}]


def test_json_files_without_rows(read: Read) -> None:
    assert read(a_json=b"", b_json=b'{"a": 1}\n', c_json=b"\n").to_pylist() == [{"a": 1}]
