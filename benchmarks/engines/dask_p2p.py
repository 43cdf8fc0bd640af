"""Dask's peer-to-peer shuffle on a local cluster: one single-threaded worker a core.

Memory: 2 GB by default, for with 1 GB it fails at these sizes. Its workers get what the scheduler and the client leave;
each pauses, spills and restarts at Dask's own fractions of that.
"""

from __future__ import annotations

from benchmarks.engines.base import GB, Engine, Task, main, program

ENGINE = Engine(
    "dask", 2 * GB, program("benchmarks.engines.dask_p2p"), "requirements-dask.txt", ("dask", "pandas", "pyarrow")
)


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
        else:
            result = table.set_index("timestamp", npartitions=task.files)
        result.to_parquet(task.output, compression="snappy", write_index=task.workload == "sort")


if __name__ == "__main__":
    main(run)
