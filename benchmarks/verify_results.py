"""What results (a join, a group-by, an as-of join, the newest rows, windows) must come to, worked out by DuckDB from
the inputs, and what an output comes to.

Of both the same figures are taken: rows; for every column the sum of a hash of each value; the same of whole rows, so
that values cannot have moved between rows. Floating-point aggregates may differ in their last digits with the order
of addition: of these it is sums, plain and weighted by the key, that must agree to one part in 10^9.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import duckdb

from benchmarks.sql import source_of

JOINED = {
    "timestamp": "epoch_us(timestamp::TIMESTAMP)",
    "name": "name::VARCHAR",
    "id": "id::BIGINT",
    "x": "x::DOUBLE",
    "y": "y::DOUBLE",
    "payload": "payload::VARCHAR",
    "a": "a::DOUBLE",
    "b": "b::DOUBLE",
    "tag": "tag::VARCHAR",
}
COLUMNS = {name: value for name, value in JOINED.items() if name not in ("a", "b", "tag")}
EXACT = {
    "join": JOINED,
    "newest": COLUMNS,
    "asOf": {**COLUMNS, "since": "epoch_us(since::TIMESTAMP)", "price": "price::DOUBLE"},
    "window": {**COLUMNS, "nr": "nr::BIGINT"},
}
"""Columns of results that are rows of the inputs, each in one form, and whole numbers beside them."""

WORKLOADS = ("groupBy", *EXACT)

WEIGHT = "(hash(id::BIGINT) % 1000)::DOUBLE"
RUNNING = {"total": "sum(total)", "weighted total": "sum(total * (hash(id::BIGINT, nr::BIGINT) % 1000)::DOUBLE)"}
TOLERANCE = 1e-9

Figures = dict[str, str | float]
"""Text is compared exactly, numbers within `TOLERANCE`."""


def expected(connection: duckdb.DuckDBPyConnection, workload: str, table: Path, side: Path, cache: Path) -> Figures:
    """The figures of a right output; kept in `cache`, for they take as long as a run."""
    files = sorted(table.glob("*.parquet")), sorted(side.glob("*.parquet"))
    key = f"duckdb {duckdb.__version__}; " + " ".join(f"{f.name}:{f.stat().st_size}" for group in files for f in group)
    kept = json.loads(cache.read_text()) if cache.exists() else {}
    if kept.get("key") != key:
        kept = {"key": key}
    if workload not in kept:
        left, right = (source_of(group) for group in files)
        if workload == "join":
            query = f"(SELECT * FROM {left} AS l JOIN {right} AS r USING (id))"
        elif workload == "newest":
            query = f"(SELECT * FROM {left} QUALIFY row_number() OVER (PARTITION BY id ORDER BY timestamp DESC) = 1)"
        elif workload == "window":
            window = "(PARTITION BY id ORDER BY timestamp ROWS UNBOUNDED PRECEDING)"
            query = f"(SELECT *, row_number() OVER {window} AS nr, sum(x) OVER {window} AS total FROM {left})"
        elif workload == "asOf":
            query = (
                f"(SELECT l.*, r.since, r.price FROM {left} AS l ASOF LEFT JOIN {right} AS r "
                "ON l.id = r.id AND l.timestamp >= r.since)"
            )
        else:
            query = f"(SELECT id, sum(x) AS sx, avg(y) AS my, count(*) AS n FROM {left} GROUP BY id)"
        kept[workload] = _figures(connection, workload, query)
        cache.write_text(json.dumps(kept))
    found: Figures = kept[workload]
    return found


def problems(connection: duckdb.DuckDBPyConnection, workload: str, files: Sequence[Path], wanted: Figures) -> list[str]:
    """What is wrong with an output; nothing where it is right."""
    found = _figures(connection, workload, source_of(files))
    if found["rows"] != wanted["rows"]:
        return [f"{found['rows']} rows instead of {wanted['rows']}"]
    wrong = [name for name, value in wanted.items() if not _same(found[name], value)]
    return [f"wrong: {', '.join(wrong)}"] if wrong else []


def _same(found: str | float, wanted: str | float) -> bool:
    if isinstance(found, str) or isinstance(wanted, str):
        return found == wanted
    return math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=1e-6)


def _figures(connection: duckdb.DuckDBPyConnection, workload: str, query: str) -> Figures:
    if workload in EXACT:
        exact = {name: f"sum(hash({value}))" for name, value in EXACT[workload].items()}
        exact["row"] = f"sum(hash({', '.join(EXACT[workload].values())}))"
        close: dict[str, str] = RUNNING if workload == "window" else {}
    else:
        exact = {"id": "sum(hash(id::BIGINT))", "keys": "count(DISTINCT id)", "row": "sum(hash(id::BIGINT, n::BIGINT))"}
        close = {
            "sx": "sum(sx)",
            "my": "sum(my)",
            "weighted sx": f"sum(sx * {WEIGHT})",
            "weighted my": f"sum(my * {WEIGHT})",
        }
    names = ["rows", *exact, *close]
    row = connection.execute(
        f"SELECT count(*), {', '.join([*exact.values(), *close.values()])} FROM {query}"
    ).fetchone()
    assert row is not None
    return {name: float(value) if name in close else str(value) for name, value in zip(names, row, strict=True)}
