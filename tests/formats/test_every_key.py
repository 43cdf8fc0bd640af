"""Every Arrow type as a key and in a groupBy: the right rows, or one refusal while planning that names the column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest
from tests.formats.every_type import COLUMNS, values
from tests.formats.one_process import carry_out, job_of, refused

from shuffle_protocol.errors import InvalidSpec

NOT_KEYS = {name for name in COLUMNS if name.split(" ")[-1] in {"interval", "list", "struct", "map", "union"}}
NOT_KEYS |= {"list_", "large_list", "list_view", "large_list_view", "struct of nothing", "map of numbers", "tensor"}
NOT_KEYS |= {"json", "json of views", "bool8", "opaque", "opaque views"}
"""Nested, without an order, or equal without being stored alike."""

LEFT_OUT = ("dictionary of dictionaries", "dictionary of uuid", "far", "+00:00", "int16", "uint32", "int64 ", "time ms")
KEYS = [name for name in COLUMNS if name not in NOT_KEYS and not any(part in name for part in LEFT_OUT)]
NAMES_FOLDERS = [
    name
    for name in KEYS
    if not any(part in name for part in ("half", "float", "double", "decimal", "binary", "null", "duration", "time "))
    and not name.endswith(" time")
]


def rows(name: str) -> pa.Table:
    return pa.table({"c": COLUMNS[name], "part": [0, 0, 1, 1]})


def ran(folder: Path, table: pa.Table, operation: dict[str, Any], output: dict[str, Any] | None = None) -> pa.Table:
    tables = [pa.ipc.open_file(str(path)).read_all() for path in files(folder, table, operation, output)]
    return pa.concat_tables(tables)


def files(
    folder: Path, table: pa.Table, operation: dict[str, Any], output: dict[str, Any] | None = None
) -> Iterator[Path]:
    source, out = folder / "in.arrow", folder / f"out-{next(iter(operation))}"
    with pa.ipc.new_file(str(source), table.schema) as writer:
        writer.write_table(table)
    sides = [{"name": side, "path": str(source)} for side in ("l", "r")]
    to = {"path": str(out), "partitions": 1, "format": "Feather", **(output or {})}
    carry_out(job_of(source, to, operation, inputs=sides if "join" in operation else ()), folder / "scratch")
    return out.rglob("part-*")


def order(found: list[Any]) -> list[Any]:
    """In the order of values, nulls last."""
    return [*sorted(one for one in found if one is not None), *(one for one in found if one is None)]


@pytest.mark.parametrize("name", KEYS)
def test_rows_are_put_in_order_and_brought_together(tmp_path: Path, name: str) -> None:
    table = rows(name)
    wanted = order(values(table["c"]))
    found = ran(tmp_path, table, {"sort": {"by": [{"column": "c"}]}})
    assert values(found["c"]) == wanted
    differ = [one for at, one in enumerate(wanted) if at == 0 or one != wanted[at - 1]]
    assert order(values(ran(tmp_path, table, {"distinct": {"by": ["c"]}})["c"])) == differ
    counted = {"function": "size", "as": "rows"}
    groups = ran(tmp_path, table, {"groupBy": {"by": ["c"], "aggregations": [counted]}})
    assert order(values(groups["c"])) == differ
    assert sum(groups["rows"].to_pylist()) == 4
    join = {"join": {"type": "Full", "left": "l", "right": "r", "on": ["c"], "nullsEqual": True}}
    joined = ran(tmp_path, table, join)
    assert order(values(joined["c"])) == order([one for one in wanted for _ in range(wanted.count(one))])


@pytest.mark.parametrize("name", KEYS)
def test_values_are_aggregated(tmp_path: Path, name: str) -> None:
    functions = ["min", "max", "first", "last", "list", "count", "countDistinct"]
    aggregations = [{"function": function, "column": "c", "as": function} for function in functions]
    aggregations.append({"function": "largest", "column": "c", "as": "largest", "values": 1})
    table = rows(name)
    found = ran(tmp_path, table, {"groupBy": {"by": ["part"], "aggregations": aggregations}})
    places = [found["part"].to_pylist().index(part) for part in (0, 1)]  # Arrow sorts no tables with views
    by_part = {function: values(found[function]) for function in [*functions, "largest"]}
    columns = {function: [column[place] for place in places] for function, column in by_part.items()}
    every = values(table["c"])
    for at, of in enumerate((every[:2], every[2:])):
        there = order([one for one in of if one is not None])
        ends = (there[0], there[-1]) if there else (None, None)
        assert (columns["min"][at], columns["max"][at]) == ends
        assert (columns["first"][at], columns["last"][at]) == ((of[0], of[1]) if at == 0 else (of[0], of[0]))
        assert columns["list"][at] == ([one for one in of if one is not None] or None)
        assert columns["count"][at] == len(there)
        assert columns["countDistinct"][at] == len({repr(one) for one in there})
        assert columns["largest"][at] == (there[-1:] or None)


@pytest.mark.parametrize("name", NAMES_FOLDERS)
def test_values_name_folders(tmp_path: Path, name: str) -> None:
    table = rows(name)
    paths = files(tmp_path, table, {"repartition": {}}, {"partitionBy": ["c"]})
    named = {
        unquote(path.parent.name).removeprefix("c="): pa.ipc.open_file(str(path)).read_all().num_rows for path in paths
    }
    assert sum(named.values()) == 4
    assert len(named) == len({repr(one) for one in values(table["c"])})
    if name == "uuid":
        assert "c8c9cacb-cccd-cecf-d0d1-d2d3d4d5d6d7" in named


@pytest.mark.parametrize("name", sorted(NOT_KEYS - {"dictionary of dictionaries"}))
def test_what_is_no_key_is_refused_while_planning(tmp_path: Path, name: str) -> None:
    table = rows(name)
    aggregated = [{"function": "max", "column": "c"}]
    operations: list[dict[str, Any]] = [
        {"sort": {"by": [{"column": "c"}]}},
        {"repartition": {"by": ["c"]}},
        {"repartition": {"range": ["c"]}},
        {"distinct": {}},
        {"join": {"type": "Inner", "left": "l", "right": "r", "on": ["c"]}},
        {"groupBy": {"by": ["c"], "aggregations": [{"function": "size"}]}},
        {"groupBy": {"by": ["part"], "aggregations": aggregated}},
        {"groupBy": {"by": ["part"], "aggregations": [{**aggregated[0], "function": "countDistinct"}]}},
    ]
    for operation in operations:
        with refused(InvalidSpec, "'c'", str(table.schema.field("c").type)):
            ran(tmp_path, table, operation)
    with refused(InvalidSpec, "'c'", str(table.schema.field("c").type)):
        ran(tmp_path, table, {"repartition": {}}, {"partitionBy": ["c"]})
