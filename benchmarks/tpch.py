"""TPC-H's lineitem joined with orders, by ours and by DuckDB, and both results compared row by row.

    python -m benchmarks.tpch                  # scale factor 1: 6 M and 1.5 M rows; 2 workers of 512 MiB
    python -m benchmarks.tpch --scale 0.1

The data are made by tpchgen (`requirements-tpch.txt`, in an environment of its own). Three joins: inner on the order's
key; left on it, with the orders filtered, so that some lines have no partner; and the orders without a line that was
received after a given day (LeftAnti). Equal means: the same columns with the same types, and for the rows as a whole
and for each column the same sum of hashes.
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

from benchmarks import environments
from benchmarks.sql import source_of

LATE = "l_receiptdate > DATE '1998-06-01'"
URGENT = "o_orderpriority = '1-URGENT'"


@dataclass(frozen=True)
class Query:
    """sql: over {lineitem} and {orders}, with the columns in the order in which ours writes them."""

    name: str
    kind: str
    left: dict[str, Any]
    right: dict[str, Any]
    left_on: str
    right_on: str
    sql: str


QUERIES = (
    Query(
        "lines with their orders", "Inner", {"table": "lineitem"}, {"table": "orders"}, "l_orderkey", "o_orderkey",
        "SELECT l.*, o.* FROM {lineitem} l JOIN {orders} o ON l_orderkey = o_orderkey",
    ),
    Query(
        "lines with their urgent orders", "Left", {"table": "lineitem"}, {"table": "orders", "filter": URGENT},
        "l_orderkey", "o_orderkey",
        f"SELECT l.*, o.* FROM {{lineitem}} l LEFT JOIN (SELECT * FROM {{orders}} WHERE {URGENT}) o "
        "ON l_orderkey = o_orderkey",
    ),
    Query(
        "orders without a late line", "LeftAnti", {"table": "orders"}, {"table": "lineitem", "filter": LATE},
        "o_orderkey", "l_orderkey",
        f"SELECT o.* FROM {{orders}} o ANTI JOIN (SELECT * FROM {{lineitem}} WHERE {LATE}) l "
        "ON o_orderkey = l_orderkey",
    ),
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tpch", description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="TPC-H's scale factor (default: 1)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="512Mi", help="for each worker (default: 512Mi)")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="folder for the data")
    options = parser.parse_args()
    data = options.data.resolve()
    tables = {name: _table(data, name, options.scale) for name in ("lineitem", "orders")}
    work = Path(tempfile.mkdtemp(prefix="tpch-", dir=data))
    right = True
    try:
        for query in QUERIES:
            right &= _compare(query, tables, work, options.workers, options.memory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0 if right else 1


def _table(data: Path, name: str, scale: float) -> Path:
    """A folder with a table's files; made where it is not there. In the end it is renamed: what exists is whole."""
    folder = data / f"tpch-{scale:g}" / name
    if not folder.is_dir():
        python = environments.python_for("requirements-tpch.txt", data / "venvs")
        partial = folder.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        parts = "8" if name == "lineitem" else "2"
        program = [str(python.parent / "tpchgen-cli"), "parquet", "-s", f"{scale:g}", f"--tables={name}"]
        subprocess.run([*program, f"--parts={parts}", f"--output-dir={partial}"], check=True, stdout=subprocess.DEVNULL)
        (partial / name).rename(folder)
        partial.rmdir()
    return folder


def _compare(query: Query, tables: dict[str, Path], work: Path, workers: int, memory: str) -> bool:
    out = work / query.kind
    since = time.perf_counter()
    _ours(query, tables, out, workers, memory)
    took = time.perf_counter() - since
    connection = duckdb.connect()
    connection.execute(f"SET threads = {workers}; SET enable_progress_bar = false")
    sources = {name: source_of(sorted(folder.glob("*.parquet"))) for name, folder in tables.items()}
    since = time.perf_counter()
    target = work / f"{query.kind}-duckdb.parquet"
    connection.execute(f"COPY ({query.sql.format(**sources)}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    other = time.perf_counter() - since
    found, wanted = _figures(connection, sorted(out.glob("*.parquet"))), _figures(connection, [target])
    wrong = [name for name in wanted if found.get(name) != wanted[name]] + [
        name for name in found if name not in wanted
    ]
    verdict = "equal" if not wrong else f"DIFFERENT in {', '.join(wrong)}"
    print(
        f"{query.name}: {wanted['rows']:,} rows, {took:.1f} s, DuckDB {other:.1f} s (no limit); {verdict}", flush=True
    )
    return not wrong


def _ours(query: Query, tables: dict[str, Path], out: Path, workers: int, memory: str) -> None:
    def source(side: str, of: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in of.items() if key != "table"}
        return {"name": side, "path": str(tables[of["table"]]), **rest}

    join = {
        "type": query.kind, "left": "left", "right": "right", "leftOn": [query.left_on], "rightOn": [query.right_on],
    }  # fmt: skip
    job = {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": "tpch"},
        "spec": {
            "operation": {"join": join},
            "inputs": [source("left", query.left), source("right", query.right)],
            "output": {"path": str(out), "partitions": 16},
        },
    }
    file = out.with_suffix(".json")
    file.write_text(json.dumps(job))
    program = [str(Path(sys.executable).parent / "shuffle"), "run", str(file), "--quiet"]
    subprocess.run([*program, "--workers", str(workers), "--memory", memory, "--scratch", str(out.parent)], check=True)


def _figures(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> dict[str, Any]:
    """Rows; for every column its type and the sum of its hashes; the sum of the hashes of whole rows."""
    source = source_of(files)
    columns = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    names = [f'"{name}"' for name, *_ in columns]
    sums = ", ".join(f"sum(hash({name}))" for name in [*names, ", ".join(names)])
    row = connection.execute(f"SELECT count(*), {sums} FROM {source}").fetchone()
    assert row is not None
    kinds = {f"type of {name}": kind for name, kind, *_ in columns}
    return {"rows": row[0], **kinds, **dict(zip([*names, "row"], map(str, row[1:]), strict=True))}


if __name__ == "__main__":
    sys.exit(main())
