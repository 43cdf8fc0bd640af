"""Polars' streaming engine, told to spill (its out-of-core settings) at 60 % of the limit.

With the limit at 1 GB it is killed for memory in the repartition at these sizes; 2 GB is the default here.
"""

from __future__ import annotations

import os

from benchmarks.engines.base import GB, SEED, Engine, Task, main, program

ENGINE = Engine(
    "polars", 2 * GB, program("benchmarks.engines.polars_streaming"), "requirements-polars.txt", ("polars",)
)


def run(task: Task) -> None:
    os.environ |= {  # read once, when the library is imported
        "POLARS_MAX_THREADS": str(task.cores),
        "POLARS_OOC_MEMORY_BUDGET_MB": str(task.memory * 6 // 10 // 1_000_000),
        "POLARS_OOC_SPILL_DIR": task.scratch,
        "POLARS_OVERRIDE_TOTAL_MEMORY_MB": str(task.memory // 1_000_000),
    }
    import polars as pl  # type: ignore[import-not-found, unused-ignore]

    pl.Config.set_engine_affinity("streaming")
    table = pl.scan_parquet(f"{task.input}/*.parquet")
    each = -(-task.rows // task.files)
    target = pl.PartitionBy(task.output, max_rows_per_file=each)
    if task.workload == "repartition":
        table = table.with_columns((pl.col("id").hash(0) % task.files).alias("p"))
        target = pl.PartitionBy(task.output, key="p", include_key=False)
    elif task.workload == "join":
        table = table.join(pl.scan_parquet(f"{task.side}/*.parquet"), on="id")
    elif task.workload == "groupBy":
        table = table.group_by("id").agg(
            pl.col("x").sum().alias("sx"), pl.col("y").mean().alias("my"), pl.len().alias("n")
        )
    elif task.workload == "random":
        table = table.with_columns(pl.int_range(pl.len()).shuffle(seed=SEED).alias("at")).sort("at").drop("at")
    elif task.workload == "newest":
        table = table.group_by("id").agg(pl.all().exclude("id").get(pl.col("timestamp").arg_max()))
    elif task.workload == "window":
        numbers = {"nr": pl.int_range(1, pl.len() + 1), "total": pl.col("x").cum_sum()}
        made = {name: one.over("id", order_by="timestamp") for name, one in numbers.items()}
        table = table.with_columns(**made)
    elif task.workload == "asOf":
        quotes = pl.scan_parquet(f"{task.side}/*.parquet").sort("since")
        times = {"left_on": "timestamp", "right_on": "since", "coalesce": False}
        table = table.sort("timestamp").join_asof(quotes, by="id", check_sortedness=False, **times)
    else:
        table = table.sort("timestamp")
    ordered = task.workload in ("sort", "random")
    table.sink_parquet(target, compression="snappy", mkdir=True, engine="streaming", maintain_order=ordered)


if __name__ == "__main__":
    main(run)
