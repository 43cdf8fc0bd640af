"""`output.partitionBy`: rows in the folders of their values, the same rows as without, nothing left behind, and read
back by this project and DuckDB alike."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import MIB, carry_out, job_of, refused
from tests.jobs.harness import manifest, sums

from shuffle_protocol.errors import InvalidSpec, OutputExists
from shuffle_worker.output import folders

COUNTRIES = ["DE", "FR", None, "", "a b", "x/y=z", "100%", "ünï", "it's", "..", "a#b?c&d"]


def events(rows: int = 300) -> pa.Table:
    day = datetime.date(2026, 1, 1)
    return pa.table(
        {
            "row": pa.array(range(rows), pa.int64()),
            "country": pa.array([COUNTRIES[n * 7 % len(COUNTRIES)] for n in range(rows)], pa.string()),
            "year": pa.array([None if n % 50 == 0 else 2020 + n % 3 for n in range(rows)], pa.int16()),
            "day": pa.array([day + datetime.timedelta(n % 2) for n in range(rows)]),
            "text": pa.array([f"text {n}" for n in range(rows)]),
        }
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(events(), folder / "a.parquet", row_group_size=100)
    return folder


Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, source: Path) -> Run:
    def run(by: list[str], operation: dict[str, Any] | None = None, out: str = "out", **output: Any) -> Path:
        target = {"path": str(tmp_path / out), "partitions": 2, "partitionBy": by, **output}
        carry_out(job_of(source, target, operation), tmp_path / "scratch")
        return tmp_path / out

    return run


OPERATIONS: list[dict[str, Any]] = [
    {"repartition": {}},
    {"repartition": {"by": ["row"]}},
    {"repartition": {"range": ["text"]}},
    {"sort": {"by": [{"column": "row", "order": "Descending"}]}},
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: str(next(iter(one.values()))))
def test_rows_are_where_their_values_say(run: Run, operation: dict[str, Any]) -> None:
    out = run(["country", "year"], operation)
    seen: list[dict[str, Any]] = []
    for file in manifest(out)["files"]:
        path = out / file["name"]
        table = pq.ParquetFile(path).read()
        assert table.column_names == ["row", "day", "text"]
        assert table.num_rows == file["rows"] > 0
        for row in table.to_pylist():
            country, year = COUNTRIES[row["row"] * 7 % len(COUNTRIES)], row["row"] % 3 + 2020
            assert path.parent.parent.parent == out
            assert path.parent.parent.name == f"country={encoded(country)}"
            assert path.parent.name == f"year={encoded(None if row['row'] % 50 == 0 else year)}"
            seen.append(row)
        rows = table.column("row").to_pylist()
        assert rows == sorted(rows, reverse="sort" in operation)
    assert sorted(row["row"] for row in seen) == list(range(300))
    assert manifest(out)["partitionBy"] == ["country", "year"]
    assert [name for name, _ in manifest(out)["columns"]] == ["row", "day", "text", "country", "year"]
    assert not list(out.glob("_shuffle*"))


def encoded(value: object) -> str:
    return folders.HIVE_NULL if value is None else folders.escaped(str(value))


def test_it_is_read_back(tmp_path: Path, run: Run) -> None:
    out = run(["country", "year"])
    again = tmp_path / "again"
    carry_out(job_of(out, {"path": str(again), "partitions": 1}), tmp_path / "scratch")
    found = pq.read_table(next(again.glob("*.parquet"))).sort_by("row").to_pylist()
    expected = [{key: row[key] for key in ("row", "day", "text", "country", "year")} for row in events().to_pylist()]
    assert found == expected
    with duckdb.connect() as connection:
        rows = connection.sql(
            f"SELECT row, country, year FROM read_parquet('{out}/**/*.parquet', hive_partitioning = true, "
            "hive_types = {'country': VARCHAR, 'year': SMALLINT}) ORDER BY row"
        ).fetchall()
    assert rows == [(row["row"], row["country"], row["year"]) for row in events().to_pylist()]


def test_the_bytes_do_not_depend_on_memory(tmp_path: Path, source: Path) -> None:
    """Rows that do not fit are sorted on scratch."""
    found = []
    for number, memory in enumerate((256 * MIB, 1024 * MIB)):
        output = {"path": str(tmp_path / f"out{number}"), "partitions": 2, "partitionBy": ["country"]}
        carry_out(job_of(source, output, memory=memory), tmp_path / "scratch")
        found.append(sums(tmp_path / f"out{number}"))
    assert found[0] == found[1]


def test_output_that_was_there_is_replaced_whole(tmp_path: Path, run: Run) -> None:
    out = run(["country"])
    before = set(sums(out))
    with refused(OutputExists, "holds"):
        run(["day"])
    run(["day"], onExisting="Overwrite")
    after = set(sums(out))
    assert after & before == {"_SUCCESS"}
    assert {Path(name).parts[0] for name in after} == {"_SUCCESS", "day=2026-01-01", "day=2026-01-02"}
    run(["day"], onExisting="Overwrite", partitions=1)
    assert {path.name for path in out.iterdir()} == {"_SUCCESS", "_manifest.json", "day=2026-01-01", "day=2026-01-02"}
    (out / "day=2026-01-01" / "mine.txt").write_text("x")
    with refused(OutputExists, "day=2026-01-01/mine.txt, which is not the output of a shuffle"):
        run(["day"], onExisting="Overwrite")
    assert tmp_path.exists()


def test_a_job_that_fails_leaves_no_folders(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from shuffle_protocol.errors import DataError
    from shuffle_worker.steps import folders as sorting

    monkeypatch.setattr(sorting, "MOST_FOLDERS", 5)
    with refused(
        DataError, "output.partitionBy: one partition has rows for more than 5 folders", "repartition by them"
    ):
        run(["country"])
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_one_file_for_each_value(run: Run) -> None:
    out = run(["country"], {"repartition": {"by": ["country"]}}, partitions=4)
    names = [file["name"].rsplit("/", 1)[0] for file in manifest(out)["files"]]
    assert len(names) == len(set(names)) == len(COUNTRIES)


def test_no_rows(tmp_path: Path, source: Path) -> None:
    given = {"path": str(source), "filter": "row < 0"}
    carry_out(job_of(given, {"path": str(tmp_path / "out"), "partitionBy": ["day"]}), tmp_path / "scratch")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"_SUCCESS", "_manifest.json"}
    assert manifest(tmp_path / "out")["files"] == []


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (["contry"], "output.partitionBy[0]: the output has no column 'contry'; its columns are row, country"),
        (["country", "year", "row", "day", "text"], "output.partitionBy: names every column of the output"),
    ],
)
def test_columns_that_cannot_be_folders(run: Run, by: list[str], said: str) -> None:
    with refused(InvalidSpec, said):
        run(by)


def test_types_that_cannot_name_folders() -> None:
    schema = pa.schema([("f", pa.float64()), ("_x", pa.int64()), ("ok", pa.int64())])
    with pytest.raises(InvalidSpec, match="'f' is double, whose values cannot name folders"):
        folders.check_folders(["f"], schema)
    with pytest.raises(InvalidSpec, match="'_x' would name folders that readers pass over as hidden"):
        folders.check_folders(["_x"], schema)
