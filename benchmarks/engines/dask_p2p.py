"""Dask's peer-to-peer shuffle on a local cluster: one single-threaded worker a core.

Memory: 2 GB by default, for with 1 GB it fails at these sizes. Its workers get what the scheduler and the client leave;
each pauses, spills and restarts at Dask's own fractions of that.
"""

from __future__ import annotations

from typing import Any

from benchmarks.engines.base import GB, SEED, Engine, Task, main, program


def note(workload: str) -> str:
    if workload == "random":
        return "rows are shuffled by a random number, then partitions in themselves"
    return "rows are shuffled by id, then drop_duplicates for each partition" if workload == "newest" else ""


ENGINE = Engine(
    "dask",
    2 * GB,
    program("benchmarks.engines.dask_p2p"),
    "requirements-dask.txt",
    ("dask", "pandas", "pyarrow"),
    note=note,
    workloads=("repartition", "sort", "join", "groupBy", "random", "newest"),
)


def mixed(part: Any, partition_info: Any = None) -> Any:
    """A partition in a random order of its own."""
    number = 0 if partition_info is None else partition_info["number"]
    return part.sample(frac=1, random_state=SEED + number)


def numbered(part: Any, partition_info: Any = None) -> Any:
    """A partition with a random number for each row."""
    import numpy as np

    number = 0 if partition_info is None else partition_info["number"]
    return part.assign(at=np.random.default_rng([SEED, number]).integers(0, 1 << 62, len(part)))


def newest(part: Any) -> Any:
    """The newest row of each id; a partition has all of an id."""
    return part.sort_values("timestamp").drop_duplicates("id", keep="last")


def run(task: Task) -> None:
    import dask  # type: ignore[import-not-found, unused-ignore]
    import dask.dataframe as dd  # type: ignore[import-not-found, unused-ignore]
    from distributed import Client, LocalCluster  # type: ignore[import-not-found, unused-ignore]

    dask.config.set(
        {
            "temporary-directory": task.scratch,
            "dataframe.shuffle.method": "p2p",
            "distributed.comm.timeouts.connect": "60s",
            "distributed.worker.memory.terminate": 0.95,
        }
    )
    each = int(task.memory * 0.92 / task.cores) - 60_000_000  # the rest: scheduler and client in this process, nannies
    cluster = LocalCluster(
        n_workers=task.cores,
        threads_per_worker=1,
        memory_limit=each,
        dashboard_address=None,
        host="127.0.0.1",
        local_directory=task.scratch,
    )
    with cluster, Client(cluster):
        table = dd.read_parquet(task.input)
        if task.workload == "repartition":
            result = table.shuffle("id", npartitions=task.files)
        elif task.workload == "join":
            side = dd.read_parquet(task.side)
            result = table.merge(side, on="id", how="inner", npartitions=task.files, broadcast=False)
        elif task.workload == "groupBy":
            result = table.groupby("id").agg({"x": "sum", "y": ["mean", "count"]}, split_out=task.files)
            result.columns = ["sx", "my", "n"]
            result = result.reset_index()
        elif task.workload == "random":
            result = table.map_partitions(numbered).shuffle("at", npartitions=task.files)
            result = result.drop(columns="at").map_partitions(mixed)
        elif task.workload == "newest":
            result = table.shuffle("id", npartitions=task.files).map_partitions(newest)
        else:
            result = table.set_index("timestamp", npartitions=task.files)
        result.to_parquet(task.output, compression="snappy", write_index=task.workload == "sort")


if __name__ == "__main__":
    main(run)
