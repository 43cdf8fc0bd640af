"""Where our time goes: a flame graph of each workload, and who holds the interpreter, by py-spy.

    make bench BENCH=--flame                          # or: python -m benchmarks.run --flame --size 6_750_000

For each workload two runs of ours, one after the other: an SVG of all threads at work, and a text of those that held
the interpreter's lock (the GIL), worker by worker. A thread inside Arrow or NumPy holds it seldom, so its share says
how many such threads one process could feed. Nothing is limited or verified here: see `run.py` for that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import dataset, environments
from benchmarks.engines.base import Task
from benchmarks.engines.shuffle_run import job
from shuffle_local import run as local_run
from shuffle_local.cli.local_job import local_job
from shuffle_local.warm import WarmStart
from shuffle_protocol.messages import Phase

REQUIREMENTS = "requirements-flame.txt"
RATE = 100
"""Samples a second, as in all figures of the interpreter's lock that we quote."""

SHOWN = 12
PROCESS = re.compile(r"process (\d+):")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Held:
    """Samples in which a thread held the interpreter: of each process, and by the function that it was in."""

    processes: Counter[str]
    functions: Counter[str]


def held(raw: str) -> Held:
    """Of what py-spy writes: a line a stack, frames with `;` between them, the number of samples at the end. Above the
    frames stand the processes, the innermost last; a stack without a frame says nothing."""
    processes: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        above = [found[1] for found in map(PROCESS.match, frames) if found is not None]
        if not above or PROCESS.match(frames[-1]) is not None:
            continue
        processes[above[-1]] += int(count)
        functions[re.sub(r":\d+\)$", ")", frames[-1])] += int(count)
    return Held(processes, functions)


def table(workload: str, found: Held, seconds: float) -> str:
    """seconds: wall time of the run."""
    total = max(sum(found.processes.values()), 1)
    shares = [count / RATE / seconds for _, count in found.processes.most_common() if count >= total // 20]
    lines = [
        f"{workload}: the interpreter was held for {', '.join(f'{share:.0%}' for share in shares)} of {seconds:.1f} s,"
        " by the processes that held it most; in",
        *(f"  {count / total:5.1%}  {function}" for function, count in found.functions.most_common(SHOWN)),
    ]
    return "\n".join(lines)


def profile(options: argparse.Namespace, rows: int) -> int:
    """options: those of `run.py`."""
    python = environments.python_for(REQUIREMENTS, options.data / "venvs")
    made = dataset.ensure(options.data, rows, options.workers, options.keys)
    folder = RESULTS / "flame"
    folder.mkdir(parents=True, exist_ok=True)
    for workload in options.workloads:
        with tempfile.TemporaryDirectory(prefix="flame-", dir=options.data) as name:
            file = job_file(Path(name), workload, made, options.workers, options.memory)
            command = one(file, options.workers, options.memory, options.slots)
            recorded(python, folder / f"{workload}.svg", ["--format", "flamegraph"], command)
            raw = Path(name) / "gil.txt"
            seconds = recorded(python, raw, ["--format", "raw", "--gil"], command)
            text = table(workload, held(raw.read_text()), seconds)
        (folder / f"{workload}.txt").write_text(text + "\n")
        print(text, flush=True)
    print("the flame graphs are in benchmarks/results/flame")
    return 0


def job_file(folder: Path, workload: str, made: dataset.Dataset, workers: int, memory: int) -> Path:
    """The job of a workload; its output goes beside it."""
    (folder / "scratch").mkdir()
    task = Task(
        workload=workload,
        input=str(made.folder),
        side=str(made.quotes if workload == "asOf" else made.side),
        output=str(folder / "output"),
        scratch=str(folder / "scratch"),
        rows=made.rows,
        files=64,
        memory=workers * memory,
        cores=workers,
    )
    file = folder / "job.yaml"
    described = job(task)
    described["spec"]["output"]["onExisting"] = "Overwrite"
    file.write_text(json.dumps(described))  # a bare `y` would be a boolean in YAML
    return file


def one(file: Path, workers: int, memory: int, slots: int) -> list[str]:
    """The command that runs a job once, with workers that compute several leases at once."""
    numbers = [str(number) for number in (workers, memory, slots)]
    return [sys.executable, "-m", "benchmarks.flame", str(file), *numbers]


def recorded(python: Path, output: Path, options: list[str], command: list[str]) -> float:
    """Run a command under py-spy. Returns its wall seconds."""
    spy = [str(python.parent / "py-spy"), "record", "--subprocesses", "--rate", str(RATE), *options]
    started = time.perf_counter()
    subprocess.run([*spy, "--output", str(output), "--", *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


async def carry_out(file: Path, workers: int, memory: int, slots: int) -> None:
    options = local_run.LocalOptions(scratch=file.parent / "scratch", slots=slots, warm=WarmStart())
    end = await local_run.LocalRun(local_job(file, workers, memory), options).run()
    assert end.phase is Phase.COMPLETE, end.cause


if __name__ == "__main__":
    file, workers, memory, slots = sys.argv[1:]
    asyncio.run(carry_out(Path(file), int(workers), int(memory), int(slots)))
