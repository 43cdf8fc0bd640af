"""`reader: package.module:function`: a function of the user's own instead of a format."""

from __future__ import annotations

import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused, rows_of

from shuffle_protocol.errors import DataError, InvalidSpec, UserFunctionFailed

MODULE = """
import pyarrow as pa


def table(path, columns):
    first = int(open(path).read())
    found = pa.table({"row": range(first, first + 10), "text": [path[-1]] * 10, "more": [1.5] * 10})
    return found if columns is None else found.select(columns)


def whole_table(path, columns):
    return table(path, None)


def batch(path, columns):
    return table(path, columns).to_batches()[0]


def batches(path, columns):
    for part in table(path, columns).to_batches(max_chunksize=3):
        yield part


def reader(path, columns):
    found = table(path, columns)
    return pa.RecordBatchReader.from_batches(found.schema, found.to_batches(max_chunksize=4))


def frame(path, columns):
    return table(path, columns).to_pandas()


def names(path, columns):
    return ["a", "b"]


def raises(path, columns):
    raise KeyError("no such station")


def raises_late(path, columns):
    yield table(path, columns).to_batches()[0]
    raise KeyError("no more")


def forgets(path, columns):
    return table(path, ["row"])


def differs(path, columns):
    found = table(path, columns)
    if path.endswith("b"):
        found = found.set_column(0, "row", found.column("row").cast(pa.string()))
    return found


def nothing(path, columns):
    return iter(())


def crashes(path, columns):
    import ctypes
    ctypes.string_at(0)


answer = 42
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "my_io.py").write_text(textwrap.dedent(MODULE))
    (folder / "broken.py").write_text("import no_such_module_at_all")
    (tmp_path / "in").mkdir()
    for at, letter in enumerate("abc"):
        (tmp_path / "in" / letter).write_text(str(at * 10))
    return folder


@pytest.fixture
def run(tmp_path: Path, code: Path) -> Callable[..., list[dict[str, Any]]]:
    def run(function: str, operation: dict[str, Any] | None = None, **source: Any) -> list[dict[str, Any]]:
        given = {"path": str(tmp_path / "in"), "reader": f"my_io:{function}", **source}
        output = {"path": str(tmp_path / "out"), "partitions": 2, "onExisting": "Overwrite"}
        carry_out(job_of(given, output, operation, code=code), tmp_path / "scratch")
        return rows_of([pq.read_table(path) for path in sorted((tmp_path / "out").glob("*.parquet"))])

    return run


Run = Callable[..., list[dict[str, Any]]]
EXPECTED = [{"row": n, "text": "abc"[n // 10], "more": 1.5} for n in range(30)]


@pytest.mark.parametrize("function", ["table", "whole_table", "batch", "batches", "reader", "frame"])
def test_whatever_arrow_it_returns(run: Run, function: str) -> None:
    assert run(function) == EXPECTED


def test_its_rows_are_sorted(run: Run) -> None:
    assert run("batches", {"sort": {"by": [{"column": "row", "order": "Descending"}]}}) == EXPECTED


@pytest.mark.parametrize("function", ["whole_table", "batches"])
def test_it_is_told_which_columns_are_wanted(run: Run, function: str) -> None:
    found = run(function, columns=["row", "text"], filter="more > 1 AND row >= 5")
    assert found == [{"row": n, "text": "abc"[n // 10]} for n in range(5, 30)]


def test_with_its_columns_declared_it_is_not_asked_for_them(run: Run) -> None:
    found = run("table", schema=[{"name": "row", "type": "int32"}, {"name": "more", "type": "float"}])
    assert found == [{"row": n, "more": 1.5} for n in range(30)]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("names", ["it returned a list, expected a pa.Table", "or an iterator of them", "in/a"]),
        ("raises", ["raised KeyError: 'no such station'", "in/a", "in raises"]),
        ("raises_late", ["raised KeyError: 'no more'", "in/a"]),
        ("crashes", ["crashed: ", "in/a", "in crashes"]),
    ],
)
def test_a_function_that_fails(run: Run, function: str, said: list[str]) -> None:
    with refused(UserFunctionFailed, f"inputs[0].reader: my_io:{function}", *said):
        run(function, schema=[{"name": "row", "type": "int64"}])


def test_columns_that_are_not_there(run: Run) -> None:
    with refused(DataError, "in/a: ", "returned no column 'more'; it returned row"):
        run("forgets", schema=[{"name": "row", "type": "int64"}, {"name": "more", "type": "double"}])
    with refused(DataError, "in/a: ", "returned an iterator without a single batch", "inputs[].schema"):
        run("nothing")
    with refused(InvalidSpec, "inputs[0].columns[0]", "no column 'rwo'", "did you mean 'row'?"):
        run("table", columns=["rwo"])


def test_types_that_differ_between_files(run: Run) -> None:
    run("differs")  # text that says whole numbers fits
    with refused(DataError, "in/a: column 'text' is string here and int64 in the job, and a value does not fit"):
        run("table", schema=[{"name": "text", "type": "int64"}])


def test_a_function_that_cannot_be_imported(run: Run, code: Path) -> None:
    with refused(InvalidSpec, "inputs[0].reader: my_io:tabel", "has no 'tabel'; did you mean 'table'?"):
        run("tabel")
    with refused(InvalidSpec, "is no function but an int"):
        run("answer")
    with refused(InvalidSpec, "no_such_package.io:read", "It was looked for in", str(code)):
        run("table", reader="no_such_package.io:read")
    with refused(InvalidSpec, "broken was found, but it imports 'no_such_module_at_all'"):
        run("table", reader="broken:f")


def test_code_in_a_zip(tmp_path: Path, code: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.write(code / "my_io.py", "zipped_io.py")
    given = {"path": str(tmp_path / "in"), "reader": "zipped_io:table"}
    job = job_of(given, {"path": str(tmp_path / "zipped")}, code=tmp_path / "code.zip")
    assert carry_out(job, tmp_path / "scratch").rows == 30
