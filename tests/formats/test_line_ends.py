"""Where lines of text end, and what stands in them: every kind of break, wherever a file is cut, and all encodings."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.formats.one_process import refused
from tests.plan.jobs import job, plan_of, read_all

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import Csv
from shuffle_worker.inputs.reading import read_inputs
from shuffle_worker.readers import text
from shuffle_worker.storage import storage_for

BREAKS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}


def put(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path, **options: Any) -> list[list[Any]]:
    table, _ = read_all(plan_of(job(folder, **options)))
    return [list(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("kinds", [*([kind] for kind in BREAKS), ["LF", "CR"], ["CR", "CRLF"], ["CRLF", "LF", "CR"]])
def test_each_kind_of_break_wherever_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: list[str], header: bool, last: bool
) -> None:
    """In quotes too, where a break belongs to the value."""
    ends = itertools.cycle(BREAKS[kind] for kind in kinds)
    quoted = itertools.cycle(["x", "two\nlines", "two\r\nlines", "two\rlines", 'a "quote"\r', ""])
    rows = [[at, next(quoted)] for at in range(30)]
    lines = ["k,v"] * header + ['{},"{}"'.format(at, value.replace('"', '""')) for at, value in rows]
    content = "".join(line + next(ends) for line in lines)
    put(tmp_path, content if last else content.rstrip("\r\n"))
    for part, block in ((text.PART, text.BLOCK), (64, 48), (63, 37), (7, 5)):
        monkeypatch.setattr(text, "PART", part)
        monkeypatch.setattr(text, "BLOCK", block)
        assert read(tmp_path, csv=Csv(header=header)) == rows, (part, block)


@pytest.mark.parametrize("ending", BREAKS.values())
@pytest.mark.parametrize("part", range(1, 25))
def test_nulls_in_one_column_wherever_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, part: int
) -> None:
    monkeypatch.setattr(text, "PART", part)
    put(tmp_path, ending.join(["a", "1", "", '""', "3", "", "5"]))
    assert read(tmp_path) == [[1], [None], [None], [3], [None], [5]]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,b\n1,\n2,", [[1, None], [2, None]]),
        ("a,b,\n1,2,\n", [[1, 2, None]]),
        ("a,b\n\n1,2\n\r\n\n3,4", [[1, 2], [3, 4]]),
        ("\n\r\na,b\n1,2", [[1, 2]]),
        ("\ufeffa,b\n1,2", [[1, 2]]),
        ('\ufeff"a",b\n1,2', [[1, 2]]),
        ("a,b\n\ufeff1,2\n", [["\ufeff1", 2]]),
        ("a,b\nx\x00y,1\n", [["x\x00y", 1]]),
        ('a,b\n"",\n', [["", None]]),
        ("a,b\n", []),
        ("a", []),
        ("a,b\n1," + "x" * (3 << 20) + "\n2,y", [[1, "x" * (3 << 20)], [2, "y"]]),
    ],
)
@pytest.mark.parametrize("codec", ["", ".gz", ".zst"])
def test_values_and_lines(tmp_path: Path, content: str, rows: list[list[Any]], codec: str) -> None:
    put(tmp_path, packed(content.encode(), codec), "a.csv" + codec)
    assert read(tmp_path) == rows


def packed(content: bytes, codec: str) -> bytes:
    if codec == ".gz":
        return gzip.compress(content)
    if codec == ".zst":
        return bytes(pa.Codec("zstd").compress(content, asbytes=True))
    return content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2,\n", "line 2: 3 columns where the header has 2"),
        ("a,b\r1,2\r3\r", "line 3: 1 columns where the header has 2"),
        ("a,b\r\n1,2\r\n3\r\n", "line 3: 1 columns where the header has 2"),
        ("a,a\r1,2\r", "line 1: two columns are called 'a'"),
        ("\x00" * 100, "NUL bytes"),
        ("a,b\n1,2\n" + "\x00" * 100, "line 3: 1 columns where the header has 2"),
        ("\n\r\r\n", "the header is missing"),
    ],
)
def test_what_is_refused_by_line(tmp_path: Path, content: str, said: str) -> None:
    put(tmp_path, content)
    with refused(DataError, "in/a.csv: ", said):
        read(tmp_path)


ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("codec", ["", ".gz"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "k,v\n1,ü\n2,x\n"), ("a.csv", "k,v\r1,x\r"), ("a.json", '{"a": 1}\n{"a": 2}\n')]
)
def test_other_unicode_is_refused_with_the_right_advice(
    tmp_path: Path, name: str, content: str, encoding: str, codec: str
) -> None:
    data = content.encode(encoding)
    put(tmp_path, packed(data, codec), name + codec)
    with refused(DataError, f"in/{name}{codec}: it is {encoding.upper()}", f"`iconv -f {encoding} -t utf-8`"):
        read(tmp_path)
    (tmp_path / "in" / (name + codec)).unlink()
    assert read(put(tmp_path, data.decode(encoding).removeprefix("\ufeff"), name))


def test_files_without_rows_are_spoken_of(tmp_path: Path) -> None:
    put(tmp_path, "a,b\n")
    put(tmp_path, "a,b\n1,2\n", "b.csv")
    source = job(tmp_path).inputs[0]
    notes = read_inputs(source, storage_for(source.paths[0], source.storage)).notes
    assert [note.split(" (")[0] for note in notes] == ["1 of 2 files have no rows behind the header"]
    assert read(tmp_path) == [[1, 2]]


def test_an_empty_file_among_others(tmp_path: Path) -> None:
    put(tmp_path, "a\n1\n")
    put(tmp_path, "", "b.csv")
    with refused(DataError, "in/b.csv: the file is empty (zero bytes); remove it, or leave it out of `path`"):
        read(tmp_path)
