"""Whole jobs, from the command line to the files: the right rows in the right files in the right order, and the same
bytes whatever ran them. DuckDB says what is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.jobs import data
from tests.jobs.harness import Bench, run_watched, sums, tables

from shuffle_worker.partitioning.random_keys import random_keys

MIB = 1 << 20
CIRCUMSTANCES = [(1, 1024 * MIB), (2, 300 * MIB), (5, 400 * MIB)]
"""Workers, and the memory of each."""

FEWER = [(1, 512 * MIB), (3, 300 * MIB)]

Judge = Callable[[pa.Table, list[pa.Table]], None]
"""Given all input rows and the rows of each output file: raises where they are wrong."""


@dataclass
class Case:
    """A job, and what its output must be. source: of `inputs[0]`, beside the path."""

    operation: dict[str, Any]
    output: dict[str, Any]
    judge: Judge
    source: dict[str, Any] = field(default_factory=dict)
    circumstances: list[tuple[int, int]] = field(default_factory=lambda: FEWER)


def query(sql: str, rows: pa.Table) -> pa.Table:
    """The answer of DuckDB; `rows` are the input."""
    with duckdb.connect() as connection:
        connection.register("input", rows)
        return connection.sql(sql).to_arrow_table()


def numbers(table: pa.Table, column: str = "row") -> list[int]:
    return table.column(column).to_pylist()


def same_rows(found: pa.Table, expected: pa.Table) -> None:
    """Also which types and which order of columns. NaN equals NaN."""
    assert found.schema.equals(expected.schema), found.schema
    found, expected = (t.sort_by("row").combine_chunks() for t in (found, expected))
    for name in expected.column_names:
        a, b = (t.column(name) for t in (found, expected))
        if pa.types.is_floating(a.type):
            assert pc.equal(pc.is_nan(a), pc.is_nan(b)).to_pylist() == pc.equal(pc.is_nan(a), pc.is_nan(a)).to_pylist()
            a, b = (pc.if_else(pc.is_nan(c), 7.25, c) for c in (a, b))
        assert a.equals(b), name


def in_input_order(files: list[pa.Table]) -> None:
    for file in files:
        assert numbers(file) == sorted(numbers(file))


def judge_hash(rows: pa.Table, files: list[pa.Table]) -> None:
    same_rows(pa.concat_tables(files), rows)
    keys = [set(file.column("user").unique().to_pylist()) for file in files]
    assert sum(len(k) for k in keys) == len(set().union(*keys))
    in_input_order(files)


def judge_two_keys(rows: pa.Table, files: list[pa.Table]) -> None:
    same_rows(pa.concat_tables(files), rows)
    pairs = "SELECT DISTINCT name, CASE WHEN score = 0 THEN 0 ELSE score END AS score FROM input"
    found = pa.concat_tables([query(pairs, file) for file in files])
    expected = query(f"SELECT count(*) AS n FROM ({pairs})", rows)
    assert found.num_rows == expected.column("n")[0].as_py()  # no pair is in two files
    for file in files:
        order = query('SELECT row FROM input ORDER BY score NULLS LAST, "at" NULLS LAST, row', file)
        assert numbers(file) == numbers(order)


def judge_range(rows: pa.Table, files: list[pa.Table]) -> None:
    same_rows(pa.concat_tables(files), rows)
    in_input_order(files)
    sizes = [file.num_rows for file in files]
    assert max(sizes) < 3 * rows.num_rows / len(files)
    # whichever way rows of one file are put, the files follow each other
    edges = [
        query(
            "SELECT first(struct_pack(score, user) ORDER BY score NULLS LAST, user NULLS LAST) AS low, "
            "last(struct_pack(score, user) ORDER BY score NULLS LAST, user NULLS LAST) AS high FROM input",
            file,
        ).to_pylist()[0]
        for file in files
    ]
    table = pa.Table.from_pylist(
        [{**edge, "file": n, "end": e} for n, pair in enumerate(edges) for e, edge in enumerate(pair.values())]
    )
    order = query('SELECT file, "end" FROM input ORDER BY score NULLS LAST, user NULLS LAST, file, "end"', table)
    assert order.to_pylist() == table.select(["file", "end"]).to_pylist()


def judge_filter(rows: pa.Table, files: list[pa.Table]) -> None:
    kept = query("SELECT row FROM input WHERE score > 1 AND score < 100 AND name LIKE 'name-1%' ORDER BY row", rows)
    expected = rows.select(["text", "row"]).take(kept.column("row"))
    same_rows(pa.concat_tables(files), expected)
    sizes = [file.num_rows for file in files]
    assert max(sizes) - min(sizes) <= 0.1 * max(sizes)
    in_input_order(files)


def judge_sort(rows: pa.Table, files: list[pa.Table]) -> None:
    found = pa.concat_tables(files)
    same_rows(found, rows)
    order = query(
        "SELECT row FROM input ORDER BY score DESC NULLS FIRST, name ASC NULLS LAST, user DESC NULLS LAST, row", rows
    )
    assert numbers(found) == numbers(order)


def judge_computed(rows: pa.Table, files: list[pa.Table]) -> None:
    """The files of a sort by computed keys that are in the output, too."""
    found = pa.concat_tables(files)
    same_rows(found.select(rows.column_names), rows)
    seventh = "CASE WHEN score > 0 AND score < 9 THEN user % 7 END"
    computed = f"SELECT *, lower(name) || '!' AS shout, {seventh} AS seventh FROM input"
    wanted = query(f"SELECT row, shout, seventh FROM ({computed}) ORDER BY seventh NULLS LAST, shout DESC, row", rows)
    assert found.select(["row", "shout", "seventh"]).to_pylist() == wanted.to_pylist()


def judge_tiny(rows: pa.Table, files: list[pa.Table]) -> None:
    assert len(files) == 400
    judge_hash(rows, files)


def judge_random(rows: pa.Table, files: list[pa.Table]) -> None:
    found = pa.concat_tables(files)
    same_rows(found, rows)
    order = np.argsort(random_keys(np.arange(rows.num_rows), 42))
    assert numbers(found) == order.tolist()


def judge_cluster(rows: pa.Table, files: list[pa.Table]) -> None:
    """Each of four times four files has about a quarter of the range of either column."""
    same_rows(pa.concat_tables(files), rows)
    sizes = [file.num_rows for file in files]
    assert max(sizes) - min(sizes) < 0.2 * rows.num_rows / len(files)
    for column in ("user", "at"):
        whole = span(rows, column)
        assert np.mean([span(file, column) / whole for file in files]) < 0.4


def span(file: pa.Table, column: str) -> int:
    ends = pc.min_max(file.column(column).cast(pa.int64())).as_py()
    found: int = ends["max"] - ends["min"]
    return found


CASES = {
    "hash": Case({"repartition": {"by": ["user"]}}, {"partitions": 7}, judge_hash, circumstances=CIRCUMSTANCES),
    "two keys, sorted within": Case(
        {"repartition": {"by": ["score", "name"]}}, {"partitions": 4, "sortWithin": ["score", "at"]}, judge_two_keys
    ),
    "range": Case({"repartition": {"range": ["score", "user"]}}, {"partitions": 6}, judge_range),
    "round robin, filtered": Case(
        {"repartition": {}},
        {"partitions": 5},
        judge_filter,
        {"columns": ["text", "row"], "filter": "score > 1 AND score < 100 AND name LIKE 'name-1%'"},
    ),
    "sort": Case(
        {
            "sort": {
                "by": [
                    {"column": "score", "order": "Descending", "nulls": "First"},
                    {"column": "name"},
                    {"column": "user", "order": "Descending"},
                ]
            }
        },
        {"partitions": 5},
        judge_sort,
        circumstances=CIRCUMSTANCES,
    ),
    "random order": Case(
        {"repartition": {"random": {"seed": 42}}},
        {"partitions": 5},
        judge_random,
        circumstances=[*CIRCUMSTANCES[:2], (7, 400 * MIB)],
    ),
    "cluster": Case(
        {"cluster": {"by": ["user", "at"]}}, {"partitions": 16}, judge_cluster, circumstances=CIRCUMSTANCES
    ),
    "computed keys": Case(
        {"sort": {"by": [{"column": "seventh"}, {"column": "shout", "order": "Descending", "nulls": "Last"}]}},
        {"partitions": 5},
        judge_computed,
        {"compute": {"shout": "lower(name) || '!'", "seventh": "CASE WHEN score > 0 AND score < 9 THEN user % 7 END"}},
        circumstances=[(1, 512 * MIB), (2, 300 * MIB), (7, 300 * MIB)],
    ),
    "tiny partitions": Case({"repartition": {"by": ["user"]}}, {"partitions": 400}, judge_tiny),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_right_rows_and_the_same_bytes(bench: Bench, events: Path, name: str) -> None:
    case = CASES[name]
    found: list[dict[str, str]] = []
    for number, (workers, memory) in enumerate(case.circumstances):
        out = bench.root / f"out-{number}"
        job = bench.job(case.operation, {"path": str(events), **case.source}, {**case.output, "path": str(out)})
        end, _ = await run_watched(bench, bench.loaded(job, workers=workers, memory=memory))
        assert end.phase == "Complete", end.cause
        assert end.splits > 2
        assert end.rows_read == end.rows_received == end.rows_written
        found.append(sums(out))
    assert found == [found[0]] * len(found)
    case.judge(pa.concat_tables(tables(events)), tables(bench.root / "out-0"))


async def test_folders_and_files_that_differ(bench: Bench) -> None:
    """Hive folders are columns; a column that a file lacks is null there, integers and strings of several widths become
    one type, and a key is the same key in whatever type a file has it."""
    source = bench.root / "in"
    first = data.events(400, width=8)
    second = first.drop_columns(["score"]).set_column(1, "user", first.column("user").cast(pa.int32()))
    third = first.set_column(3, "name", first.column("name").cast(pa.large_string()).dictionary_encode())
    for year, country, table in ((2025, "DE", first), (2025, "FR", second), (2026, "DE", third)):
        folder = source / f"year={year}" / f"country={country}"
        folder.mkdir(parents=True)
        pq.write_table(table.set_column(0, "row", pa.array(range(400))), folder / "a.parquet")
    found: list[dict[str, str]] = []
    for number, workers in enumerate((1, 3)):
        out = bench.root / f"out-{number}"
        output = {"path": str(out), "partitions": 5}
        job = bench.job({"repartition": {"by": ["user", "name"]}}, {"path": str(source)}, output)
        end, _ = await run_watched(bench, bench.loaded(job, workers=workers))
        assert end.phase == "Complete", end.cause
        found.append(sums(out))
    assert found[0] == found[1]
    files = tables(bench.root / "out-0")
    rows = pa.concat_tables(files)
    assert rows.schema.field("user").type == pa.int64()
    counts = query("SELECT year, country, count(*) AS n, count(score) AS s FROM input GROUP BY ALL ORDER BY ALL", rows)
    scores = len(first) - first.column("score").null_count
    assert [tuple(row.values()) for row in counts.to_pylist()] == [
        (2025, "DE", 400, scores),
        (2025, "FR", 400, 0),
        (2026, "DE", 400, scores),
    ]
    pairs = [set(zip(f["user"].to_pylist(), f["name"].to_pylist(), strict=True)) for f in files]
    assert sum(len(p) for p in pairs) == len(set().union(*pairs))
