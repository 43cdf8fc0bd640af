"""What starting costs: a job of a thousand rows, with workers that are forked from a warm process and with workers that
start by themselves, turn by turn.

    python -m benchmarks.small_job --repetitions 10 --workers 2

`shuffle explain` is measured beside it, with its plan made by a process that was started ahead and by one that was not.
Wall time and processor time are those of the whole program; memory is the most that its process tree held in anonymous
pages, a page that several share counted once, looked at every `LOOK` seconds in a run of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 1000
LOOK = 0.01

PROGRAM = "from shuffle_local.cli.main import main; main()"
WAYS = {
    "ahead": PROGRAM,
    "by themselves": f"from shuffle_local import ahead; ahead.begin = lambda _: None; {PROGRAM}",
}
"""How the processes of a command start, and the program that does it so."""

JOB = """
apiVersion: shuffle-operator.dev/v1alpha1
kind: ShuffleJob
metadata: {name: small}
spec:
  operation: {sort: {by: [{column: key}]}}
  inputs: [{path: in/}]
  output: {path: out/, partitions: 2}
"""


class Run(NamedTuple):
    """wall, cpu: seconds."""

    wall: float
    cpu: float


class Small:
    """The job in a folder."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self._arguments = {
            "run": ["run", "job.yaml", "--quiet", "--workers", str(workers), "--memory", "512Mi"],
            "explain": ["explain", "job.yaml", "--json", "--workers", str(workers), "--memory", "512Mi"],
        }
        (folder / "in").mkdir()
        table = pa.table({"key": [i * 7919 % ROWS for i in range(ROWS)], "value": [i / 3 for i in range(ROWS)]})
        pq.write_table(table, folder / "in" / "a.parquet")
        (folder / "job.yaml").write_text(JOB)

    def start(self, command: str, way: str) -> subprocess.Popen[bytes]:
        """Without what an earlier run wrote."""
        shutil.rmtree(self._folder / "out", ignore_errors=True)
        return subprocess.Popen(
            [sys.executable, "-c", WAYS[way], *self._arguments[command]], cwd=self._folder, stdout=subprocess.DEVNULL
        )

    def timed(self, command: str, way: str) -> Run:
        began = time.perf_counter()
        process = self.start(command, way)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        self._check(command, process.returncode)
        return Run(wall, used.ru_utime + used.ru_stime)

    def memory(self, command: str, way: str) -> int:
        """Bytes, at the peak."""
        process = self.start(command, way)
        root, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            peak = max(peak, sum(_anonymous(one) for one in _tree(root)))
            time.sleep(LOOK)
        self._check(command, process.returncode)
        return peak

    def _check(self, command: str, code: int) -> None:
        assert code == 0, f"{command} ended with exit code {code}"
        if command == "run":
            rows = sum(pq.read_metadata(path).num_rows for path in (self._folder / "out").glob("part-*"))
            assert rows == ROWS, f"{rows} rows were written"


def _tree(root: psutil.Process) -> Iterator[psutil.Process]:
    yield root
    try:
        yield from root.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def _anonymous(process: psutil.Process) -> int:
    """Bytes, a page that several processes share divided among them; 0 of one that is gone."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=" ".join((__doc__ or "").partition("\n\n")[0].split()))
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="small-job-") as folder:
        small = Small(Path(folder), given.workers)
        print(f"{given.workers} workers, {given.repetitions} of each in turns, load {load:.1f}: median (least)\n")
        print("| command | its processes start | wall s | CPU s | memory |\n| --- | --- | ---: | ---: | ---: |")
        for command in ("run", "explain"):
            for way in WAYS:
                small.timed(command, way)  # files are in the cache, and bytecode is there
            runs: dict[str, list[Run]] = {way: [] for way in WAYS}
            for _ in range(given.repetitions):
                for way, found in runs.items():
                    found.append(small.timed(command, way))
            medians = {way: Run(*map(statistics.median, zip(*found, strict=True))) for way, found in runs.items()}
            for way, found in runs.items():
                wall, cpu = (min(values) for values in zip(*found, strict=True))
                middle, peak = medians[way], small.memory(command, way) / 1e6
                times = f"{middle.wall:.2f} ({wall:.2f}) | {middle.cpu:.2f} ({cpu:.2f})"
                print(f"| {command} | {way} | {times} | {peak:.0f} MB |")
            ours, theirs = medians.values()
            print(f"| {command} | ratio | {ours.wall / theirs.wall:.2f} | {ours.cpu / theirs.cpu:.2f} | |")


if __name__ == "__main__":
    main()
