"""What it costs that a job's history is recorded: the same job with and without, turn by turn, in processor time.

    python -m benchmarks.watching --repetitions 8 --rows 8000000

Without means that nobody observes the coordinator and that workers' stopwatches stand still. Processor time is that of
this process and of the workers, which start by themselves. A machine that does other work as well makes single pairs
differ by more than what is measured: the median of the pairs' ratios is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shuffle_local.cli.local_job import job_here
from shuffle_local.run import LocalOptions, LocalRun
from shuffle_operator.api.validation import check_job
from shuffle_operator.coordinator.observer import Unobserved
from shuffle_protocol.messages import Phase

STANDING_STILL = """
import contextlib, sys
if sys.orig_argv[1:3] == ["-m", "shuffle_worker"]:
    from shuffle_protocol.measures import Spent
    from shuffle_worker.runtime import stopwatch
    nothing = contextlib.nullcontext()
    stopwatch.spending = lambda what: nothing
    stopwatch.measured = lambda what, call, *arguments: (call(*arguments), [0.0] * 6)
    stopwatch.each_in = lambda what, some: some
    stopwatch.spent = Spent
"""
FILES = 16


def write_input(folder: Path, rows: int) -> None:
    folder.mkdir()
    draw = np.random.default_rng(1)
    each = rows // FILES
    for n in range(FILES):
        columns = {"id": draw.integers(0, 1 << 40, each), "x": draw.random(each), "y": draw.random(each)}
        pq.write_table(pa.table(columns), folder / f"{n:02d}.parquet", compression="snappy")


def used() -> float:
    """Seconds of this process and of all that have ended."""
    usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(root: Path, workers: int, *, watched: bool) -> float:
    """Seconds of processor time of one job."""
    still = root / "still"
    still.mkdir(exist_ok=True)
    (still / "sitecustomize.py").write_text(STANDING_STILL)
    if watched:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = str(still)
    spec = {
        "operation": {"repartition": {"by": ["id"]}},
        "inputs": [{"path": f"{root / 'in'}/"}],
        "output": {"path": str(root / "out"), "partitions": 64, "compression": "Snappy", "onExisting": "Overwrite"},
    }
    body = {"apiVersion": "shuffle-operator.dev/v1alpha1", "kind": "ShuffleJob", "metadata": {"name": "watching"}}
    local = LocalRun(job_here(check_job({**body, "spec": spec}), workers, 1 << 30), LocalOptions())
    if not watched:
        local.machine.observer = Unobserved()
    before = used()
    end = asyncio.run(local.run())
    if end.phase is not Phase.COMPLETE:
        raise RuntimeError(end.message)
    return used() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_input(root / "in", options.rows)
        run(root, options.workers, watched=True)  # what is read is in the page cache from now on
        ratios = []
        for n in range(options.repetitions):
            pair = {watched: run(root, options.workers, watched=watched) for watched in ((n % 2 == 0), (n % 2 == 1))}
            ratios.append(pair[True] / pair[False])
            print(f"with {pair[True]:.2f} s, without {pair[False]:.2f} s, ratio {ratios[-1]:.4f}", flush=True)
        print(f"median ratio {statistics.median(ratios):.4f}")


if __name__ == "__main__":
    main()
