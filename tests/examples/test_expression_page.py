"""docs/expressions.md: the tables of functions are those of the registry, and what is said of DuckDB is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from tests.project import script

from shuffle_protocol.errors import InvalidSpec
from shuffle_worker.expressions.value import compile_value

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/expressions.md").read_text()
SCHEMA = pa.schema(
    [
        *(("amount", pa.float64()), ("name", pa.string()), ("email", pa.string()), ("country", pa.string())),
        *(("ts", pa.timestamp("us")), ("day", pa.date32())),
    ]
)
EXAMPLES = [line for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
DIFFERENCES = [
    [part.strip().strip("`").replace("\\|", "|") for part in re.split(r"(?<!\\)\|", line)[1:4]]
    for line in PAGE[PAGE.index("## What differs") :].splitlines()
    if line.startswith("| `")
]
ROW = pa.RecordBatch.from_pylist([{}])


def test_the_tables_are_those_of_the_registry() -> None:
    assert script("tools/function_table.py").page(PAGE) == PAGE, "run python tools/function_table.py"


def test_a_table_that_is_not_of_the_registry_is_seen() -> None:
    assert script("tools/function_table.py").page(PAGE.replace("In small letters.", "In capitals.")) == PAGE


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_an_expression(text: str) -> None:
    compile_value(text, SCHEMA, "inputs[0].compute.x")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 9
    assert len(DIFFERENCES) >= 12


def shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("text", "here", "there"), DIFFERENCES, ids=[one[0] for one in DIFFERENCES])
def test_a_difference_from_duckdb(text: str, here: str, there: str) -> None:
    try:
        value = compile_value(text, SCHEMA, "inputs[0].compute.x")
        mine = shown(value.of(pa.record_batch([pa.nulls(1)], ["_"]), "a.parquet")[0].as_py())
    except InvalidSpec:
        mine = "error"
    with duckdb.connect() as connection:
        try:
            row = connection.execute(f"SELECT {text}").fetchone()
            assert row is not None
            theirs = shown(row[0])
        except duckdb.Error:
            theirs = "error"
    assert (mine, theirs) == (here, there)
    assert here != there
