"""How much faster one pod is with more processors: the whole measurement for a machine that has them, and the
arithmetic for one that has not.

    python -m benchmarks.cores --processors 1,2,4,8,16

A repartition, all in memory, on so many processors: by one worker process that computes so many leases at once, by
as many processes as a pod with so many processors has (`launchers/resources.py`), and by one for each processor. The
memory is the same for all. Each runs `--repetitions` times, in turns; then once under py-spy, for the share of the time
in which some thread of each process held the interpreter's lock. The aim is 0.9 N.

What a thread holds of the lock when it is alone (one process, one slot) says what several in one process can reach:
`speed` works that out for machines that are not there.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import dataset, environments, flame
from benchmarks.run import quantity
from shuffle_operator.launchers.resources import SLOTS_EACH

AIM = 0.9
LARGEST = 16
"""Processors that the arithmetic goes up to."""


class Cut(NamedTuple):
    """How a pod's processors are shared out."""

    processors: int
    processes: int
    slots: int
    """Of each process."""


class Run(NamedTuple):
    """One run, in seconds."""

    wall: float
    cpu: float


def cuts_of(processors: int) -> list[Cut]:
    """One process; as many as a pod has; one for each processor."""
    processes = sorted({1, -(-processors // SLOTS_EACH), processors})
    return [Cut(processors, each, -(-processors // each)) for each in processes]


def speed(share: float, slots: int) -> float:
    """How many times as fast as one thread so many are together, each of which alone would hold the interpreter's lock
    for this share of its time, at random moments: a closed queue with one server, by mean value analysis."""
    waiting, faster = 0.0, 0.0
    for threads in range(1, slots + 1):
        held = share * (1 + waiting)
        faster = threads / (1 - share + held)
        waiting = faster * held
    return faster


def run_of(command: list[str]) -> Run:
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(time.perf_counter() - started, cpu)


def row(cut: Cut, runs: list[Run], alone: float, shares: list[float]) -> str:
    """alone: wall seconds of one process with one slot; shares: of the time in which each process held the lock."""
    wall, cpu = min(run.wall for run in runs), min(run.cpu for run in runs)
    faster = alone / wall
    mark = "<=" if faster >= AIM * cut.processors else ">"
    held = ", ".join(f"{share:.0%}" for share in shares)
    shape = f"{cut.processes} x {cut.slots}"
    return (
        f"| {cut.processors} | {shape} | {wall:.1f} | {cpu:.1f} | {faster:.2f} | {mark} {AIM * cut.processors:.1f} | "
        f"{held} |"
    )


def arithmetic(share: float) -> list[str]:
    """What the lock alone leaves of so many processors, for one process and for those of a pod. share: what one thread
    holds."""
    lines = ["| processors | one process | a pod's processes | aim |", "| ---: | ---: | ---: | ---: |"]
    processors = 2
    while processors <= LARGEST:
        processes = -(-processors // SLOTS_EACH)
        together = processes * speed(share, processors // processes)
        lines.append(f"| {processors} | {speed(share, processors):.1f} | {together:.1f} | {AIM * processors:.1f} |")
        processors *= 2
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cores", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--processors", default="1,2", help="comma-separated, 1 first (default: 1,2)")
    parser.add_argument("--size", default="S", help="rows (default: S)")
    parser.add_argument("--memory", type=quantity, default=quantity("8Gi"), help="of all together (default: 8Gi)")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    given = parser.parse_args(arguments)
    cuts = [cut for part in given.processors.split(",") for cut in cuts_of(int(part))]
    data = given.data.resolve()
    every = sorted(os.sched_getaffinity(0))
    python = environments.python_for(flame.REQUIREMENTS, data / "venvs")
    made = dataset.ensure(data, dataset.rows_of(given.size), os.cpu_count() or 1)
    took: dict[Cut, list[Run]] = {cut: [] for cut in cuts}
    shares: dict[Cut, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="cores-", dir=data) as name:
        files = {}
        for cut in cuts:
            folder = Path(name) / f"{cut.processors}-{cut.processes}"
            folder.mkdir()
            files[cut] = flame.job_file(folder, "repartition", made, cut.processes, given.memory // cut.processes)
        for turn in range(given.repetitions + 1):
            for cut in cuts:
                os.sched_setaffinity(0, every[: cut.processors])
                command = flame.one(files[cut], cut.processes, given.memory // cut.processes, cut.slots)
                if turn < given.repetitions:
                    took[cut].append(run_of(command))
                    continue
                raw = Path(name) / "gil.txt"
                seconds = flame.recorded(python, raw, ["--format", "raw", "--gil"], command)
                most = flame.held(raw.read_text()).processes.most_common(cut.processes)
                shares[cut] = [count / flame.RATE / seconds for _, count in most]
    print("| processors | processes x slots | wall s | CPU s | times one | aim | lock held, by process |")
    print("| ---: | :--- | ---: | ---: | ---: | ---: | :--- |")
    alone = min(run.wall for run in took[cuts[0]])
    for cut in cuts:
        print(row(cut, took[cut], alone, shares[cut]))
    print("", *arithmetic(shares[cuts[0]][0]), sep="\n")


if __name__ == "__main__":
    main()
