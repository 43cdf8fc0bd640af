"""distinct keeps one whole row of those that agree: the first or the last one, over keys of every type."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.groupby.in_process import carried_out, job_of, planned, table_of, write_table
from tests.groupby.random_tables import KEYS, VALUES, random_table

from shuffle_protocol.jobs import Distinct

FLAT = sorted(name for name in VALUES if name != "list")


def plain(value: object) -> str:
    """Zeros have no sign, and NaN equals itself."""
    return str(0.0 if value == 0 and isinstance(value, float) else value)


def kept_rows(table: pa.Table, by: list[str], last: bool) -> list[int]:
    """The places of the rows that stay, found the long way."""
    found: dict[tuple[str, ...], int] = {}
    columns = [[plain(value) for value in table[name].to_pylist()] for name in by]
    for row, key in enumerate(zip(*columns, strict=True)):
        if last or key not in found:
            found[key] = row
    return sorted(found.values())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 200),
    seed=st.integers(0, 10_000),
    by=st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=3, unique=True),
    keep=st.sampled_from(["First", "Last"]),
    partitions=st.sampled_from([1, 4]),
)
def test_one_row_of_those_that_agree(
    tmp_path: Path, rows: int, seed: int, by: list[str], keep: str, partitions: int
) -> None:
    table = random_table(rows, seed, by, ["str", "f64", "list", "cat"])
    folder = write_table(tmp_path / f"{seed}-{rows}-{len(list(tmp_path.iterdir()))}", table, 2, 40)
    found = table_of(carried_out(planned(job_of(folder, Distinct(by, keep), partitions)))).sort_by("row")
    expected = table.take(pa.array(kept_rows(table, by, keep == "Last"), pa.int64()))
    assert found.schema.types == expected.schema.types
    assert str(found.to_pylist()) == str(expected.to_pylist())


@pytest.mark.parametrize("keep", ["First", "Last"])
def test_by_all_columns(tmp_path: Path, keep: str) -> None:
    table = random_table(400, 3, ["word", "flag", "float"], []).drop_columns("row")
    folder = write_table(tmp_path / "in", table, 2, 40)
    found = table_of(carried_out(planned(job_of(folder, Distinct([], keep), 3))))
    expected = table.take(pa.array(kept_rows(table, table.schema.names, keep == "Last"), pa.int64()))
    assert found.schema.names == table.schema.names
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, expected.to_pylist()))


def test_columns_that_are_not_compared_may_be_of_any_type(tmp_path: Path) -> None:
    table = random_table(50, 1, ["int8"], [*FLAT, "list"])
    folder = write_table(tmp_path / "in", table)
    found = table_of(carried_out(planned(job_of(folder, Distinct(["int8"])))))
    assert found.schema.types == table.schema.types and found.num_rows == 4
