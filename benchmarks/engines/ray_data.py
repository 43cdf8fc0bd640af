"""Ray Data's random_shuffle on a cluster of one node.

Memory: 4 GB by default, for Ray's own processes take a gigabyte; the object store gets three tenths of the limit and
spills beyond. Ray Data has no way to keep whole rows by key but a Python call for each group, and no as-of join.
"""

from __future__ import annotations

import tempfile

from benchmarks.engines.base import GB, SEED, Engine, Task, main, program

ENGINE = Engine(
    "ray",
    4 * GB,
    program("benchmarks.engines.ray_data"),
    "requirements-ray.txt",
    ("ray", "pyarrow"),
    note=lambda _workload: "writes as many files as it has blocks",
    workloads=("random",),
)


def run(task: Task) -> None:
    import ray  # type: ignore[import-not-found, unused-ignore]
    from ray.data import DataContext  # type: ignore[import-not-found, unused-ignore]

    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as sockets:  # their paths must be short
        ray.init(
            num_cpus=task.cores,
            object_store_memory=task.memory * 3 // 10,
            include_dashboard=False,
            _temp_dir=sockets,
            object_spilling_directory=task.scratch,
        )
        DataContext.get_current().enable_progress_bars = False
        table = ray.data.read_parquet(task.input, override_num_blocks=task.files)
        table.random_shuffle(seed=SEED).write_parquet(task.output)
        ray.shutdown()


if __name__ == "__main__":
    main(run)
