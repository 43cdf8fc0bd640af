"""Measures the rates of the cost model, checks what it predicts for one to four workers, and writes docs/sizing.md.

    python -m benchmarks.sizing                   about five minutes on an idle machine with two cores
    python -m benchmarks.sizing --page            the page again, from the rates that were measured last

Rates are fitted to runs of small inputs with one, two and four workers, in memory and spilling; what they predict is
checked on an input that is larger than any of these, with one to four. benchmarks/sizing.json keeps what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import dataset
from benchmarks.cost_model import GB, Node, Observed, Rates, cost, expected_wall, fit, predict
from benchmarks.engines.base import Task
from benchmarks.engines.shuffle_run import job
from benchmarks.report import render

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/sizing.md"
MEASURED = ROOT / "benchmarks/sizing.json"
BEGIN, END = "<!-- measured: made by python -m benchmarks.sizing -->\n", "<!-- end of measured -->"

SHUFFLE = str(Path(sys.executable).parent / "shuffle")

WORKLOADS = ("repartition", "sort", "join", "groupBy")

MIB = 1 << 20
LITTLE, MUCH = 512 * MIB, 3072 * MIB
"""Memory of a worker that spills, and of one that does not."""
FITTED = (1_687_500, 3_375_000, 6_750_000)
"""Rows of the inputs that rates are fitted to."""
CHECKED = 13_500_000
"""Rows of the input on which they are checked."""

NODE = Node("c6id.4xlarge", cores=16, memory=32e9, network=12.5e9 / 8 * 0.8, disk=1.0e9, store=1.0e9, price=0.32)
"""What the large figures assume; the page says so."""
TERABYTES = (1, 10, 100)
NODES = {1: 4, 10: 20, 100: 100}
STORED = 0.62
"""Bytes of Parquet (Snappy) for a byte in memory, of the benchmark's data."""


class Bench:
    """Runs jobs in a folder, one after the other."""

    def __init__(self, folder: Path, data: Path) -> None:
        self._folder, self._data = folder, data
        self.cores = len(os.sched_getaffinity(0))

    def run(self, workload: str, rows: int, workers: int, memory: int) -> Observed:
        found = dataset.ensure(self._data, rows, self.cores)
        output, scratch = self._folder / "out", self._folder / "scratch"
        for folder in (output, scratch):
            shutil.rmtree(folder, ignore_errors=True)
        scratch.mkdir()
        task = Task(
            workload, str(found.folder), str(found.side), str(output), str(scratch), rows, 64, memory * workers, workers
        )
        file = self._folder / "job.yaml"
        file.write_text(json.dumps(job(task)))
        options = ["--workers", str(workers), "--memory", f"{memory // MIB}Mi", "--json"]
        program = [SHUFFLE, "run", str(file), "--quiet", "--scratch", str(scratch), *options]
        with (self._folder / "said.json").open("w+") as said:
            began = time.perf_counter()
            process = subprocess.Popen(program, stdout=said)
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, f"{workload} with {workers} workers ended with {process.returncode}"
            said.seek(0)
            summary = json.load(said)
        return Observed(
            workers, found.arrow_bytes / GB, min(workers, self.cores), workers >= self.cores,
            self._store(file, options), summary["bytes_spilled"] / GB, wall, used.ru_utime + used.ru_stime,
        )  # fmt: skip

    @staticmethod
    def _store(file: Path, options: list[str]) -> float:
        """What a worker's store holds, by the job's plan."""
        said = subprocess.run([SHUFFLE, "explain", str(file), *options], capture_output=True, check=True).stdout
        return float(json.loads(said)["work"]["memory_store"]) / GB

    def middle(self, repetitions: int, *which: Any) -> Observed:
        """The run whose wall time is the median."""
        runs = sorted((self.run(*which) for _ in range(repetitions)), key=lambda run: run.wall)
        return runs[len(runs) // 2]


def measured(bench: Bench, repetitions: int) -> Iterator[dict[str, Any]]:
    for workload in WORKLOADS:
        bench.run(workload, FITTED[0], 2, LITTLE)  # the page cache is warm
        fitted = [
            bench.middle(repetitions, workload, rows, workers, memory)
            for rows in FITTED for workers in (1, 2, 4) for memory in (LITTLE, MUCH)
        ]  # fmt: skip
        rates = fit(workload, fitted)
        checked = [bench.middle(repetitions, workload, CHECKED, workers, LITTLE) for workers in (1, 2, 3, 4)]
        yield {
            "rates": asdict(rates),
            "checked": [
                asdict(run) | {"expected": expected_wall(rates, run.gb, run.workers, bench.cores, run.store)}
                for run in checked
            ],
        }
        sys.stderr.write(f"{workload}: {rates}\n")


# -- the page ---------------------------------------------------------------------------------------------------------


def tables(found: dict[str, Any]) -> str:
    """What was measured, checked and worked out."""
    rates = [Rates(**one["rates"]) for one in found["workloads"]]
    lines = [f"Measured on {found['machine']}.", ""]
    lines += [_rates(rates), "", "## Is that so?", "", _checked(found), "", "## One, ten and a hundred terabytes", ""]
    lines += [_large(rates), ""]
    return "\n".join(lines) + "\n"


def _rates(rates: list[Rates]) -> str:
    header = [
        "operation", "start, s", "a worker, s more", "a GB in memory, s", "a GB spilled, s more", "all cores, times",
        "GB sent a GB", "processor, s a GB",
    ]  # fmt: skip
    return render(
        header,
        [
            [
                one.workload, f"{one.start:.1f}", f"{one.worker:.2f}", f"{one.pass_:.1f}", f"{one.spill:.1f}",
                f"{one.crowd:.2f}", f"{one.sent:.2f}", f"{one.cpu:.1f}",
            ]
            for one in rates
        ],
    )  # fmt: skip


def _checked(found: dict[str, Any]) -> str:
    body = []
    off = []
    for one in found["workloads"]:
        for run in one["checked"]:
            wrong = run["expected"] / run["wall"] - 1
            off.append(abs(wrong))
            times = (f"{run['wall']:.1f}", f"{run['expected']:.1f}", f"{wrong:+.0%}")
            body.append([one["rates"]["workload"], str(run["workers"]), *times])
    words = (
        f"{CHECKED / 1e6:.1f} million rows ({found['workloads'][0]['checked'][0]['gb']:.2f} GB), twice as many as the "
        f"largest input that the rates were fitted to, by workers of 512 MiB. The largest error is {max(off):.0%}, the "
        f"median {statistics.median(off):.0%}."
    )
    table = render(["operation", "workers", "measured, s", "expected, s", "error"], body)
    return f"{_wrapped(words)}\n\n{table}"


def _large(rates: list[Rates]) -> str:
    body = []
    for terabytes in TERABYTES:
        nodes = NODES[terabytes]
        for one in rates:
            found = predict(one, terabytes * 1000.0, nodes, NODE, STORED)
            figures = (str(nodes), _time(found.wall), found.bound, f"{cost(found, nodes, NODE):,.2f}")
            body.append([f"{terabytes} TB", one.workload, *figures])
    return render(["in memory", "operation", "nodes", "time", "bound by", "USD"], body)


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _wrapped(text: str, width: int = 120) -> str:
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) + 1 > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def page(text: str, found: dict[str, Any]) -> str:
    """The page with the tables as they are now."""
    return re.sub(
        re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: BEGIN + tables(found) + END, text, flags=re.DOTALL
    )


def machine() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{len(os.sched_getaffinity(0))} cores ({names[0] if names else platform.machine()}), with a local disk"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=" ".join((__doc__ or "").partition("\n\n")[0].split()))
    parser.add_argument("--data", type=Path, default=ROOT / "benchmarks/data", help="Where the inputs are kept.")
    parser.add_argument("--repetitions", type=int, default=1, help="Of each run; the median counts.")
    parser.add_argument("--page", action="store_true", help="Measure nothing; write the page again.")
    given = parser.parse_args(arguments)
    if not given.page:
        with tempfile.TemporaryDirectory(prefix="sizing-", dir=given.data.parent) as folder:
            workloads = list(measured(Bench(Path(folder), given.data), given.repetitions))
        MEASURED.write_text(json.dumps({"machine": machine(), "workloads": workloads}, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), json.loads(MEASURED.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
