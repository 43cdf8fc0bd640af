"""Where files of text can be cut: exactly where records end, whatever stands in quotes; every record is read once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.jobs import job, plan_of, read_all

from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import Csv
from shuffle_worker.readers import records, text
from shuffle_worker.readers.records import Lines, Quoted

CSV = Quoted(b",", b'"')

VALUES = st.text(alphabet=st.sampled_from('ab",\n\r é'), max_size=8)
TABLES = st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=1, max_size=12)


def written(rows: list[list[str]], always: bool = False) -> bytes:
    """RFC 4180, values in quotes where they need it, or always."""

    def value(text: str) -> str:
        plain = not always and not any(mark in text for mark in '",\n\r')
        return text if plain else '"' + text.replace('"', '""') + '"'

    return "".join(",".join(map(value, row)) + "\n" for row in rows).encode()


def record_ends(rows: list[list[str]], always: bool) -> list[int]:
    ends, at = [], 0
    for row in rows:
        at += len(written([row], always))
        ends.append(at)
    return ends


@settings(max_examples=300, deadline=None)
@given(TABLES, st.booleans(), st.data())
def test_the_last_end_is_exact(rows: list[list[str]], always: bool, data: st.DataObject) -> None:
    whole, ends = written(rows, always), record_ends(rows, always)
    assert CSV.ends(whole) == ends
    cut = data.draw(st.integers(0, len(whole)))
    part = whole[:cut]
    assert CSV.last_end(part) == max((end for end in ends if end <= cut), default=0)
    assert CSV.closed(whole)


@settings(max_examples=300, deadline=None)
@given(TABLES, st.booleans(), st.data())
def test_a_guess_from_text_to_its_end_is_a_record_or_is_found_out(
    rows: list[list[str]], always: bool, data: st.DataObject
) -> None:
    """Where the file's end is seen, the number of quotes tells; so a guess can only be right."""
    whole, ends = written(rows, always), record_ends(rows, always)
    place = data.draw(st.integers(1, len(whole)))
    found = CSV.guess(whole[place - 1 :], whole=True)
    assert found is not None
    begin = place - 1 + found
    right = min((end for end in ends if end >= place), default=len(whole))
    # what is taken for the part before it must not end in quotes where the guess is wrong
    assert begin == right or not CSV.closed(whole[:begin])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.text(alphabet='ab" x', max_size=6), min_size=2, max_size=2), min_size=1, max_size=8))
def test_quotes_inside_of_unquoted_values_stand_for_themselves(rows: list[list[str]]) -> None:
    """As Arrow has it: a quote that does not begin a value is a character like any other."""
    kept = [["n" + value for value in row] for row in rows]
    whole = "".join(",".join(row) + "\n" for row in kept).encode()
    assert [whole[:end].count(b"\n") for end in CSV.ends(whole)] == list(range(1, len(kept) + 1))
    assert CSV.last_end(whole) == len(whole)
    read = pc.read_csv(
        io.BytesIO(whole),
        read_options=pc.ReadOptions(column_names=["a", "b"]),
        convert_options=pc.ConvertOptions(column_types={"a": pa.string(), "b": pa.string()}, null_values=[]),
    )
    assert [list(row.values()) for row in read.to_pylist()] == kept


def test_lines() -> None:
    lines = Lines()
    assert lines.last_end(b"ab\ncd\ne") == 6
    assert lines.guess(b"b\ncd", whole=False) == 2
    assert lines.guess(b"b", whole=False) is None
    assert lines.guess(b"b", whole=True) == 1


def test_escapes_are_read_in_one_piece() -> None:
    escaped = Quoted(b",", b'"', b"\\")
    assert not escaped.splittable
    assert escaped.ends(b'a\\,b,c\n"x\\"\ny",z\n') == [7, 17]


# -- whole files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and blocks so small that small files have many."""
    monkeypatch.setattr(text, "PART", 400)
    monkeypatch.setattr(text, "BLOCK", 96)


ROWS = [
    [str(n), ["plain", "two\nlines", 'a "quote"', "a,b", "", "x" * 90, '",\n"', "\n\n\n"][n % 8], str(n * 7)]
    for n in range(500)
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("always", [False, True])
def test_a_file_in_many_parts_is_read_once(tmp_path: Path, always: bool) -> None:
    (tmp_path / "in").mkdir()
    data = b"id,text,more\n" + written(ROWS, always)
    (tmp_path / "in" / "a.csv").write_bytes(data)
    plan = plan_of(job(tmp_path))
    pieces = [piece for split in plan.splits for piece in split.pieces]
    assert sum(len(piece.row_groups) for piece in pieces) == -(-len(data) // 400)
    table, positions = read_all(plan, 13)
    assert table.column("id").to_pylist() == list(range(500))
    assert table.column("text").to_pylist() == [row[1] or ("" if always else None) for row in ROWS]
    assert (positions[1:] > positions[:-1]).all()


@pytest.mark.usefixtures("small")
@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(st.text(alphabet='ab",\né', max_size=30), min_size=2, max_size=2), min_size=1, max_size=60)
)
def test_any_table_comes_out_whole_or_is_refused_with_advice(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "in").mkdir()
    numbered = [[str(at), *row] for at, row in enumerate(rows)]
    (folder / "in" / "a.csv").write_bytes(b"id,a,b\n" + written(numbered))
    schema = [("id", "int64"), ("a", "string"), ("b", "string")]
    try:
        table, _ = read_all(plan_of(declared(folder, schema)))
    except DataError as error:
        assert "csv.newlinesInValues" in error.message
        table, _ = read_all(plan_of(declared(folder, schema, csv=Csv(newlines_in_values=True))))
    assert [[str(row["id"]), row["a"] or "", row["b"] or ""] for row in table.to_pylist()] == numbered


def declared(folder: Path, schema: list[tuple[str, str]], **changes: Any) -> Any:
    from shuffle_protocol.jobs import ResultColumn

    return job(folder, schema=[ResultColumn(name, kind) for name, kind in schema], **changes)


def test_a_guess_that_was_wrong_is_refused_and_read_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values that look like records of their own, over and over, wherever a file might be cut."""
    monkeypatch.setattr(text, "PART", 64 << 10)
    monkeypatch.setattr(records, "FAR", 32 << 10)
    (tmp_path / "in").mkdir()
    value = '"' + "1,2\n" * 60_000 + '"'
    (tmp_path / "in" / "a.csv").write_text(f"a,b\n1,{value}\n3,4\n")
    with pytest.raises(DataError) as said:
        read_all(plan_of(job(tmp_path)))
    assert "a quoted value reaches over byte" in said.value.message
    assert "csv.newlinesInValues: true" in said.value.message
    table, _ = read_all(plan_of(job(tmp_path, csv=Csv(newlines_in_values=True))))
    assert table.column("a").to_pylist() == [1, 3]
    assert table.column("b")[0].as_py() == "1,2\n" * 60_000


@pytest.mark.parametrize("ending", ["\n", "\r\n", "", "\n\n\n"])
def test_how_the_last_line_ends(tmp_path: Path, ending: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(f"\ufeffa,b\r\n1,x\r\n2,y{ending}", newline="")
    table, _ = read_all(plan_of(job(tmp_path)))
    assert table.to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_one_column_whose_values_may_be_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("a\n1\n\n3\n")
    table, _ = read_all(plan_of(job(tmp_path)))
    assert table.column("a").to_pylist() == [1, None, 3]
