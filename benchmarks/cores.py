"""How much faster one worker is with more processors: the whole measurement for a machine that has them.

    python -m benchmarks.cores --slots 1,2,4,8,16

A repartition, all in memory, by one worker that computes so many leases at once on so many processors, and is held to
these. Each number of slots runs `--repetitions` times, in turns; then once under py-spy, for the share of the time in
which some thread held the interpreter: no number of slots makes a worker faster whose share is 1. The aim is 0.9 N.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import dataset, environments, flame
from benchmarks.run import quantity

AIM = 0.9


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def row(slots: int, seconds: float, alone: float, share: float) -> str:
    """alone: seconds with one slot; share: of the time in which the interpreter was held."""
    faster = alone / seconds
    mark = "<=" if faster >= AIM * slots else ">"
    return f"| {slots} | {seconds:.1f} | {faster:.2f} | {mark} {AIM * slots:.1f} | {share:.0%} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cores", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--slots", default="1,2", help="comma-separated, 1 first (default: 1,2)")
    parser.add_argument("--size", default="S", help="rows (default: S)")
    parser.add_argument("--memory", type=quantity, default=quantity("8Gi"), help="of the worker (default: 8Gi)")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    given = parser.parse_args(arguments)
    slots = [int(part) for part in given.slots.split(",")]
    data = given.data.resolve()
    every = sorted(os.sched_getaffinity(0))
    python = environments.python_for(flame.REQUIREMENTS, data / "venvs")
    made = dataset.ensure(data, dataset.rows_of(given.size), os.cpu_count() or 1)
    took: dict[int, list[float]] = {count: [] for count in slots}
    shares: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="cores-", dir=data) as name:
        file = flame.job_file(Path(name), "repartition", made, 1, given.memory)
        for turn in range(given.repetitions + 1):
            for count in slots:
                os.sched_setaffinity(0, every[:count])
                command = flame.one(file, 1, given.memory, count)
                if turn < given.repetitions:
                    took[count].append(seconds_of(command))
                    continue
                raw = Path(name) / "gil.txt"
                seconds = flame.recorded(python, raw, ["--format", "raw", "--gil"], command)
                shares[count] = flame.held(raw.read_text()).processes.most_common(1)[0][1] / flame.RATE / seconds
    print("| slots | wall s | times one slot | aim | interpreter held |\n| ---: | ---: | ---: | ---: | ---: |")
    for count in slots:
        print(row(count, min(took[count]), min(took[slots[0]]), shares[count]))


if __name__ == "__main__":
    main()
