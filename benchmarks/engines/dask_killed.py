"""Dask's peer-to-peer repartition with one of its workers killed: what `benchmarks.recovery` puts beside ours.

A program for Dask's own environment; its results go to a JSON file: seconds from before the cluster is started until
the output is there; shuffle tasks in all, done when the worker was killed, and done after that; files there were then.

The moment is seen by the scheduler: so many of the tasks that read and send have finished, or half of those that write.
The nanny starts another worker in the place of the killed one, as it does by default.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READS, WRITES = "shuffle-transfer", "toparquetdata"
"""How the names of the tasks begin that read a part of the input and send it, and that write an output file."""


@dataclass(frozen=True)
class Disturbed:
    """input, output, scratch: folders. files: of the output. memory: bytes for each worker. point: percent of the
    transfer, "write" for half of the writing, "" for nobody is killed."""

    input: str
    output: str
    scratch: str
    files: int
    workers: int
    memory: int
    point: str


class Watch:
    """Counts tasks as the scheduler sees them end, and calls `strike` once, when it is time."""

    def __init__(self, point: str, strike: Callable[[], None]) -> None:
        self._point = point
        self._strike = strike
        self._ended: dict[str, set[str]] = {READS: set(), WRITES: set()}
        self.total: dict[str, int] = {}
        self.before = 0
        self.after = 0
        self.struck = False

    def ended(self, key: Any, known: Iterable[Any]) -> None:
        """A task has ended well. known: the keys of all tasks that there are."""
        kind = _kind(key)
        if kind is None:
            return
        if not self.total.get(kind):
            self.total[kind] = sum(1 for other in known if _kind(other) == kind)
        if kind == READS and self.struck:
            self.after += 1
        elif kind == READS:
            self.before += 1
        self._ended[kind].add(str(key))
        writing = self._point == "write"
        if self._point and not self.struck and writing == (kind == WRITES):
            share = 0.5 if writing else int(self._point) / 100
            if len(self._ended[kind]) >= share * self.total[kind]:
                self.struck = True
                threading.Thread(target=self._strike).start()  # the scheduler's loop goes on


def _kind(key: Any) -> str | None:
    name = str(key[0] if isinstance(key, tuple) else key)
    return next((kind for kind in (READS, WRITES) if name.startswith(kind)), None)


def run(task: Disturbed) -> dict[str, Any]:
    import dask  # type: ignore[import-not-found, unused-ignore]
    import dask.dataframe as dd  # type: ignore[import-not-found, unused-ignore]
    from distributed import Client, LocalCluster  # type: ignore[import-not-found, unused-ignore]
    from distributed.diagnostics.plugin import SchedulerPlugin  # type: ignore[import-not-found, unused-ignore]

    dask.config.set(
        {
            "temporary-directory": task.scratch,
            "dataframe.shuffle.method": "p2p",
            "distributed.comm.timeouts.connect": "60s",
            "distributed.worker.memory.terminate": 0.95,
        }
    )
    since = time.perf_counter()
    cluster = LocalCluster(
        n_workers=task.workers,
        threads_per_worker=1,
        memory_limit=task.memory,
        dashboard_address=None,
        host="127.0.0.1",
        local_directory=task.scratch,
    )
    with cluster, Client(cluster) as client:
        victim = sorted(client.run(os.getpid).values())[1]
        files: dict[str, int] = {}

        def strike() -> None:
            files.update((path.name, path.stat().st_mtime_ns) for path in Path(task.output).glob("*.parquet"))
            os.kill(victim, signal.SIGKILL)

        watch = Watch(task.point, strike)

        class Plugin(SchedulerPlugin):  # type: ignore[misc, unused-ignore]
            name = "watch"

            def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
                if (start, finish) == ("processing", "memory"):
                    watch.ended(key, cluster.scheduler.tasks)

        cluster.scheduler.add_plugin(Plugin())
        table = dd.read_parquet(task.input).shuffle("id", npartitions=task.files)
        table.to_parquet(task.output, compression="snappy", write_index=False)
        seconds = time.perf_counter() - since
    if task.point and not watch.struck:
        raise SystemExit(f"the job was over before {task.point}: use more rows")
    return {
        "seconds": seconds,
        "parts": watch.total.get(READS, 0),
        "before": watch.before,
        "after": watch.after,
        "files": files,
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(run(Disturbed(**json.loads(sys.argv[1])))))
