"""DuckDB: COPY ... TO, with a memory limit of 70 % of what the process may use, for it does not count everything.

The sort goes into one file: with several threads and `file_size_bytes`, DuckDB's files are not in order.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.engines.base import GB, SEED, Engine, Task, main, program

ORDERED = {"sort": "timestamp", "random": "random()"}
"""What the rows are ordered by, by workload."""


def note(workload: str) -> str:
    if workload in ORDERED:
        return "writes one file: its several files are not in order"
    return "" if workload == "repartition" else "writes one file a thread"


ENGINE = Engine(
    "duckdb", GB, program("benchmarks.engines.duckdb_copy"), "requirements-duckdb.txt", ("duckdb",), note=note
)


def run(task: Task) -> None:
    import duckdb

    connection = duckdb.connect()
    sort = task.workload in ORDERED
    for setting, value in {
        "threads": str(task.cores),
        "memory_limit": f"{task.memory * 7 // 10 // 1_000_000}MB",
        "temp_directory": task.scratch,
        "preserve_insertion_order": "true" if sort else "false",
        "enable_progress_bar": "false",
    }.items():
        connection.execute(f"SET {setting} = '{value}'")
    source, side = (f"read_parquet('{folder}/*.parquet')" for folder in (task.input, task.side))
    target = f"'{task.output}' (FORMAT parquet, COMPRESSION snappy, PER_THREAD_OUTPUT)"
    if sort:
        Path(task.output).mkdir()
        connection.execute(f"SELECT setseed({SEED / 100})")
        query = f"SELECT * FROM {source} ORDER BY {ORDERED[task.workload]}"
        target = f"'{task.output}/part-0.parquet' (FORMAT parquet, COMPRESSION snappy)"
    elif task.workload == "join":
        query = f"SELECT * FROM {source} AS l JOIN {side} AS r USING (id)"
    elif task.workload == "newest":
        query = f"SELECT unnest(arg_max(t, timestamp)) FROM {source} AS t GROUP BY id"
    elif task.workload == "asOf":
        query = (
            f"SELECT t.*, q.since, q.price FROM {source} AS t "
            f"ASOF LEFT JOIN {side} AS q ON t.id = q.id AND t.timestamp >= q.since"
        )
    elif task.workload == "window":
        window = "(PARTITION BY id ORDER BY timestamp ROWS UNBOUNDED PRECEDING)"
        query = f"SELECT *, row_number() OVER {window} AS nr, sum(x) OVER {window} AS total FROM {source}"
    elif task.workload == "groupBy":
        query = f"SELECT id, sum(x) AS sx, avg(y) AS my, count(*) AS n FROM {source} GROUP BY id"
    else:
        query = f"SELECT *, hash(id) % {task.files} AS p FROM {source}"
        target = f"'{task.output}' (FORMAT parquet, COMPRESSION snappy, PARTITION_BY (p))"
    connection.execute(f"COPY ({query}) TO {target}")


if __name__ == "__main__":
    main(run)
