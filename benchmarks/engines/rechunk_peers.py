"""What people use to rechunk arrays, each as a program in an environment of its own.

    python -m benchmarks.engines.rechunk_peers ENGINE TASK

Memory: Dask's workers get what scheduler and client leave, as in `dask_p2p`; rechunker and Cubed are told what one of
two processes may use, less what Python and its libraries take. Nothing but the standard library is imported at the top.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class RechunkTask:
    """source: a Zarr store; output: one to write, in chunks of `chunks`, uncompressed; scratch: an empty folder;
    memory: bytes for the whole process tree; cores: processes to use."""

    source: str
    output: str
    chunks: tuple[int, ...]
    itemsize: int
    scratch: str
    memory: int
    cores: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RechunkTask:
        found = json.loads(text)
        return cls(**{**found, "chunks": tuple(found["chunks"])})


def dask(task: RechunkTask, method: str) -> None:
    import dask as dask_  # type: ignore[import-not-found, unused-ignore]
    import dask.array as da  # type: ignore[import-not-found, unused-ignore]
    from distributed import Client, LocalCluster  # type: ignore[import-not-found, unused-ignore]

    dask_.config.set({"temporary-directory": task.scratch, "array.rechunk.method": method})
    each = int(task.memory * 0.92 / task.cores) - 60_000_000
    cluster = LocalCluster(
        n_workers=task.cores,
        threads_per_worker=1,
        memory_limit=each,
        dashboard_address=None,
        host="127.0.0.1",
        local_directory=task.scratch,
    )
    with cluster, Client(cluster):
        da.from_zarr(task.source).rechunk(task.chunks).to_zarr(task.output, compute=True, compressors=None)


def rechunker(task: RechunkTask) -> None:
    import dask as dask_  # type: ignore[import-not-found, unused-ignore]
    import rechunker as rechunker_  # type: ignore[import-not-found, unused-ignore]
    import zarr  # type: ignore[import-not-found, unused-ignore]

    dask_.config.set(scheduler="processes", num_workers=task.cores)
    plain = {"compressor": None}
    plan = rechunker_.rechunk(
        zarr.open(task.source, mode="r"),
        task.chunks,
        int(task.memory / task.cores * 0.35),  # a copy is held twice, and Python and its libraries beside it
        task.output,
        temp_store=f"{task.scratch}/intermediate",
        target_options=plain,
        temp_options=plain,
    )
    plan.execute()


def cubed(task: RechunkTask) -> None:
    import cubed as cubed_  # type: ignore[import-not-found, unused-ignore]

    spec = cubed_.Spec(
        task.scratch,
        allowed_mem=int(task.memory / task.cores * 0.8),
        reserved_mem=150_000_000,
        executor_name="processes",
        executor_options={"max_workers": task.cores},
    )
    array = cubed_.from_zarr(task.source, spec=spec)
    cubed_.to_zarr(cubed_.rechunk(array, task.chunks), task.output)


ENGINES = {
    "dask-p2p": lambda task: dask(task, "p2p"),
    "dask-tasks": lambda task: dask(task, "tasks"),
    "rechunker": rechunker,
    "cubed": cubed,
}

if __name__ == "__main__":
    ENGINES[sys.argv[1]](RechunkTask.from_json(sys.argv[2]))
