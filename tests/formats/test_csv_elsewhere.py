"""What is written as CSV, read back by this program and by others: the same rows, and the same values as far as they
tell nulls from empty texts."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import carry_out, job_of, refused
from tests.plan.jobs import job, plan_of, read_all

from shuffle_protocol.errors import DataError

COLUMNS: list[pa.Array] = [
    pa.array([1, None, 3]),
    pa.array([None, None, 0.5]),
    pa.array([True, None, False]),
    pa.array([datetime.date(2026, 1, 1), None, None]),
    pa.array(["x", None, "z"]),
    pa.array([None, "x", None]),
    pa.array(["a\rb", "c\r\nd", "e\nf"]),
    pa.array(['"', '""', 'a,"b'], pa.large_string()),
    pa.array(["007", "1e400", " x "]),
]


def written(folder: Path, table: pa.Table) -> Path:
    (folder / "in").mkdir()
    pq.write_table(table, folder / "in" / "a.parquet")
    carry_out(
        job_of(folder / "in", {"path": str(folder / "out"), "format": "CSV", "partitions": 1}), folder / "scratch"
    )
    return next((folder / "out").glob("*.csv"))


def known(values: list[Any]) -> list[str | None]:
    """Values as their texts, NaN for null, and empty texts too: Arrow has no nulls of text in CSV."""
    return [None if pd.isna(value) or value == "" else str(value) for value in values]


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: f"{column.type}-{column.null_count}")
def test_the_same_values_everywhere(tmp_path: Path, column: pa.Array, beside: bool) -> None:
    table = pa.table({"v": column, **({"k": [1, 2, 3]} if beside else {})})
    path = written(tmp_path, table)
    expected = known(column.to_pylist())
    options = pc.ParseOptions(newlines_in_values=True)
    assert known(pc.read_csv(path, parse_options=options).column("v").to_pylist()) == expected
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    as_text = {"v": "string"} if text else None
    assert [plain(v) for v in known(pd.read_csv(path, dtype=as_text)["v"].tolist())] == [plain(v) for v in expected]
    duck = duckdb.sql(
        f"SELECT v FROM read_csv('{path}', header = true, all_varchar = {as_text is not None})"
    ).fetchall()
    assert known([row[0] for row in duck]) == expected
    schema = [("v", str(column.type))]
    assert ours(tmp_path, schema) == column.to_pylist()


def plain(value: str | None) -> str | None:
    """pandas has no whole numbers beside nulls."""
    return value.removesuffix(".0") if value else value


def ours(folder: Path, schema: list[tuple[str, str]]) -> list[Any]:
    from shuffle_protocol.jobs import ResultColumn

    declared = [ResultColumn(*one) for one in schema]
    found, _ = read_all(plan_of(job(folder, paths=[f"{folder}/out/*.csv"], schema=declared, out=f"{folder}/again")))
    return found.column("v").to_pylist()


def test_nulls_and_empty_texts_are_told_apart_beside_another_column(tmp_path: Path) -> None:
    written(tmp_path, pa.table({"v": ["", None, "x"], "k": [1, 2, 3]}))
    assert ours(tmp_path, [("v", "string")]) == ["", None, "x"]


def test_an_empty_text_alone_is_refused(tmp_path: Path) -> None:
    with refused(DataError, "the column 'v' has an empty text, which a CSV of one column cannot tell from null"):
        written(tmp_path, pa.table({"v": ["", None, "x"]}))
