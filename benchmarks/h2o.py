"""The ten questions of h2o.ai's group-by benchmark, by ours and by DuckDB, and the results compared row by row.

    python -m benchmarks.h2o                        # 1e7 rows, 100 groups a small key; 2 workers of 512 MiB
    python -m benchmarks.h2o --rows 1_000_000 --questions 1,6,10

The data are as theirs (`G1_1e7_1e2_0_0`): id1 to id3 text, id4 to id6 numbers, with 100, 100 and rows / 100 values; v1
from 1 to 5, v2 from 1 to 15, v3 a float of six decimals. Equal means: the same groups, the same integers, and floats
that agree to 1e-9, for the order of adding differs. Times are of whole processes for ours, start-up included, and of
the query for DuckDB, which has no limit but the threads.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.sql import source_of

FILES = 8
NEAR = 1e-9


@dataclass(frozen=True)
class Question:
    """by: the keys. columns: each result's name with the aggregation that makes it and DuckDB's expression for it."""

    number: int
    by: list[str]
    columns: dict[str, tuple[dict[str, Any], str]]


def plain(function: str, sql: str, *columns: str) -> dict[str, tuple[dict[str, Any], str]]:
    """The same function of several columns, under their names."""
    return {name: ({"function": function, "column": name}, f"{sql}({name})") for name in columns}


QUESTIONS = (
    Question(1, ["id1"], plain("sum", "sum", "v1")),
    Question(2, ["id1", "id2"], plain("sum", "sum", "v1")),
    Question(3, ["id3"], plain("sum", "sum", "v1") | plain("mean", "avg", "v3")),
    Question(4, ["id4"], plain("mean", "avg", "v1", "v2", "v3")),
    Question(5, ["id6"], plain("sum", "sum", "v1", "v2", "v3")),
    Question(
        6,
        ["id4", "id5"],
        {
            "median_v3": ({"function": "median", "column": "v3"}, "median(v3)"),
            "sd_v3": ({"function": "stddev", "column": "v3"}, "stddev(v3)"),
        },
    ),
    Question(7, ["id3"], plain("max", "max", "v1") | plain("min", "min", "v2")),  # their question takes the difference
    Question(8, ["id6"], {"largest2_v3": ({"function": "largest", "column": "v3", "values": 2}, "max(v3, 2)")}),
    Question(9, ["id2", "id4"], {"r": ({"function": "corr", "column": "v1", "with": "v2"}, "corr(v1, v2)")}),
    Question(
        10,
        [f"id{number}" for number in range(1, 7)],
        plain("sum", "sum", "v3") | {"count": ({"function": "size"}, "count(*)")},
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.h2o", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--questions", default="1,2,3,4,5,6,7,8,9,10", help="comma-separated (default: all)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="512Mi", help="for each worker (default: 512Mi)")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="folder for the data")
    options = parser.parse_args()
    data = options.data.resolve()
    source = table(data, options.rows)
    chosen = {int(number) for number in options.questions.split(",")}
    work = Path(tempfile.mkdtemp(prefix="h2o-", dir=data))
    right = True
    try:
        for question in QUESTIONS:
            if question.number in chosen:
                right &= compare(question, source, work, options.workers, options.memory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0 if right else 1


def table(data: Path, rows: int) -> Path:
    """The folder with the data; made where it is not there. In the end it is renamed: what exists is whole."""
    folder = data / f"h2o-{rows}"
    if folder.is_dir():
        return folder
    partial = data / f"h2o-{rows}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    few, many = 100, max(rows // 100, 1)
    for number in range(FILES):
        count = rows * (number + 1) // FILES - rows * number // FILES
        random = np.random.default_rng([108, number])

        def text(values: int, digits: int, count: int = count, random: np.random.Generator = random) -> pa.Array[Any]:
            words = pa.array([f"id{n:0{digits}d}" for n in range(1, values + 1)])
            return words.take(pa.array(random.integers(0, values, count)))

        columns = {
            "id1": text(few, 3),
            "id2": text(few, 3),
            "id3": text(many, 10),
            "id4": random.integers(1, few + 1, count, np.int32),
            "id5": random.integers(1, few + 1, count, np.int32),
            "id6": random.integers(1, many + 1, count, np.int32),
            "v1": random.integers(1, 6, count, np.int32),
            "v2": random.integers(1, 16, count, np.int32),
            "v3": np.round(random.random(count) * 100, 6),
        }
        pq.write_table(pa.table(columns), partial / f"part-{number}.parquet", compression="snappy")
    partial.rename(folder)
    return folder


def compare(question: Question, source: Path, work: Path, workers: int, memory: str) -> bool:
    out, target = work / f"q{question.number}", work / f"q{question.number}-duckdb.parquet"
    since = time.perf_counter()
    ours(question, source, out, workers, memory)
    took = time.perf_counter() - since
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {workers}; SET enable_progress_bar = false")
        results = ", ".join(f"{sql} AS {name}" for name, (_, sql) in question.columns.items())
        keys = ", ".join(question.by)
        query = f"SELECT {keys}, {results} FROM {source_of(sorted(source.glob('*.parquet')))} GROUP BY {keys}"
        since = time.perf_counter()
        connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION snappy)")
        other = time.perf_counter() - since
        rows, wrong = differences(connection, question, sorted(out.glob("*.parquet")), target)
    verdict = "equal" if not wrong else f"{wrong:,} rows DIFFER"
    print(f"question {question.number}: {rows:,} groups, {took:.1f} s, DuckDB {other:.1f} s; {verdict}", flush=True)
    return not wrong


def differences(
    connection: duckdb.DuckDBPyConnection, question: Question, mine: list[Path], theirs: Path
) -> tuple[int, int]:
    """Groups of ours, and how many are not the same in both."""
    same = []
    for name in question.columns:
        if name.startswith("largest"):
            same.append(f"l.{name} = r.{name}")
        elif name == "r":
            same.append(f"abs(coalesce(l.{name}, 2) - coalesce(nullif(r.{name}, 'nan'), 2)) <= {NEAR}")
        else:
            same.append(f"abs(l.{name} - r.{name}) <= {NEAR} * abs(r.{name})")
    on = ", ".join(question.by)
    row = connection.execute(
        f"SELECT count(l.{question.by[0]}), count(*) FILTER (NOT coalesce({' AND '.join(same)}, false)) "
        f"FROM {source_of(mine)} l FULL JOIN read_parquet('{theirs}') r USING ({on})"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def ours(question: Question, source: Path, out: Path, workers: int, memory: str) -> None:
    aggregations = [{**one, "as": name} for name, (one, _) in question.columns.items()]
    job = {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": f"h2o-{question.number}"},
        "spec": {
            "operation": {"groupBy": {"by": question.by, "aggregations": aggregations}},
            "inputs": [{"path": str(source)}],
            "output": {"path": str(out), "compression": "Snappy"},
        },
    }
    file = out.with_suffix(".json")
    file.write_text(json.dumps(job))
    program = [str(Path(sys.executable).parent / "shuffle"), "run", str(file), "--quiet"]
    subprocess.run([*program, "--workers", str(workers), "--memory", memory, "--scratch", str(out.parent)], check=True)


if __name__ == "__main__":
    sys.exit(main())
