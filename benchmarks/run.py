"""The benchmark's command: makes the data, runs every engine on every workload, verifies, prints a table.

    python -m benchmarks.run --size S --repetitions 3 --json results.json
    python -m benchmarks.run --scaling
    python -m benchmarks.run --size 13_500_000 --scaling 8,16

Engines run one after the other, never two at once, and take turns: with several repetitions each runs once before any
runs again, so that a machine that gets slower, or faster, does so for all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import dataset, environments, limits, machine, measure, report, verify
from benchmarks.engines.base import WORKLOADS, Engine, Task
from benchmarks.engines.registry import ENGINES, OURS
from benchmarks.report import Run

ROOT = Path(__file__).resolve().parents[1]
FILES = 64
GROWTH = "8"
"""How many times the data `--scaling` takes, unless it says otherwise."""

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def parser() -> argparse.ArgumentParser:
    it = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.split("\n")[0])
    it.add_argument(
        "--size", default="S", help="S: 27 M rows, 1.94 GB; L: 8 times that; or a number of rows (default: S)"
    )
    it.add_argument(
        "--workloads", type=_choices(WORKLOADS), default=list(WORKLOADS), help="comma-separated (default: all)"
    )
    it.add_argument("--engines", type=_choices(ENGINES), default=list(ENGINES), help="comma-separated (default: all)")
    it.add_argument(
        "--keys", choices=dataset.KEYS, default=dataset.KEYS[0], help="how keys are spread (default: uniform)"
    )
    it.add_argument("--workers", type=int, default=2, help="workers, threads and cores for each engine (default: 2)")
    it.add_argument(
        "--memory", type=quantity, default=quantity("512Mi"), help="for each of our workers (default: 512Mi)"
    )
    it.add_argument(
        "--limit", type=_limit, action="append", default=[], metavar="ENGINE=MEMORY", help="limit of a peer"
    )
    it.add_argument("--no-limits", action="store_true", help="measure only; do not enforce memory limits")
    it.add_argument("--repetitions", type=int, default=1, help="runs of each engine on each workload (default: 1)")
    it.add_argument("--timeout", type=float, help="seconds for a run (default: 300, and 300 more for each 27 M rows)")
    it.add_argument(
        "--scaling",
        type=_factors,
        nargs="?",
        const=GROWTH,
        default=[],
        metavar="FACTORS",
        help=f"only ours, with the data and with so many times the data, such as 8,16 (default: {GROWTH})",
    )
    it.add_argument("--flame", action="store_true", help="only ours, profiled: see flame.py")
    it.add_argument("--slots", type=int, default=1, help="of each worker, with --flame (default: 1)")
    it.add_argument(
        "--data", type=Path, default=Path(__file__).parent / "data", help="folder for data and environments"
    )
    it.add_argument("--keep", action="store_true", help="keep outputs and logs")
    it.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return it


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        rows = dataset.rows_of(options.size)
    except ValueError as error:
        parser().error(str(error))
    if options.scaling:
        options.engines = [OURS]
    cores = machine.use_cores(options.workers)
    options.data = options.data.resolve()  # the engines run in another folder
    options.data.mkdir(parents=True, exist_ok=True)
    if options.flame:
        from benchmarks import flame  # which imports what it profiles

        return flame.profile(options, rows)
    bench = Bench(options)
    runs = list(bench.run(rows))
    header = f"{bench.limits}; {cores} cores; GB = 10^9 bytes; wall time of whole processes, start-up included"
    text = f"{header}\n\n{report.tables(runs, OURS)}"
    first = list(runs)
    for factor in options.scaling:
        larger = list(bench.run(rows * factor))
        text += f"\n\n{report.tables(larger, OURS)}\n\n{report.scaling(first, larger)}"
        runs += larger
    print(text)
    if options.json:
        facts = {
            "machine": machine.facts(cores),
            "limits": bench.limits,
            "versions": bench.versions,
            "data": bench.datasets,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report.document(facts, runs), indent=2) + "\n")
    return 0 if all(run.ok for run in runs if run.engine == OURS) else 1


class Bench:
    """The options, and what was learnt about versions, data and limits while running."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._limits: dict[str, int] = dict(options.limit)
        self.limits = ""
        self.versions: dict[str, dict[str, str]] = {}
        self.datasets: list[dict[str, Any]] = []
        self._pythons: dict[str, Path] = {}
        for name in options.engines:
            engine = ENGINES[name]
            if not set(engine.workloads) & set(options.workloads):
                continue
            python = environments.python_for(engine.requirements, options.data / "venvs")
            self._pythons[name] = python
            self.versions[name] = environments.versions(python, engine.packages)

    def run(self, rows: int) -> Iterator[Run]:
        """Every engine on every workload with that many rows; a run is given out as soon as it is verified."""
        options = self._options
        _say(f"data: {rows:,} rows")
        made = dataset.ensure(options.data, rows, options.workers, options.keys)
        self.datasets.append(
            {"rows": rows, "files": made.files, "arrowBytes": made.arrow_bytes, "diskBytes": made.disk_bytes}
        )
        work = Path(tempfile.mkdtemp(prefix="work-", dir=options.data))
        try:
            cache = options.data / f"{made.name}.reference.json"
            reference = verify.reference_of(made.folder, cache, work / "verify", options.workers)
            verifier = verify.Verifier(made, reference, work / "verify", options.workers)
            for repetition in range(options.repetitions):
                for workload in options.workloads:
                    for name in options.engines:
                        if workload not in ENGINES[name].workloads:
                            continue
                        run = self._one(ENGINES[name], workload, repetition, made, verifier, work)
                        _say(f"{workload} {name}: {run.wall_seconds:.1f} s, {run.outcome}")
                        yield run
        finally:
            if options.keep:
                _say("outputs and logs are kept in the data folder")
            else:
                shutil.rmtree(work, ignore_errors=True)

    def _one(
        self,
        engine: Engine,
        workload: str,
        repetition: int,
        made: dataset.Dataset,
        verifier: verify.Verifier,
        work: Path,
    ) -> Run:
        options = self._options
        folder = work / f"{workload}-{engine.name}-{repetition}"
        scratch, output = folder / "scratch", folder / "output"
        scratch.mkdir(parents=True)
        limit = self._limits.get(engine.name, engine.memory or options.memory * options.workers)
        side = made.quotes if workload == "asOf" else made.side
        task = Task(
            workload=workload,
            input=str(made.folder),
            side=str(side),
            output=str(output),
            scratch=str(scratch),
            rows=made.rows,
            files=FILES,
            memory=limit,
            cores=options.workers,
        )
        command = engine.command(task, self._pythons[engine.name])
        timeout = options.timeout or 300 + 300 * made.rows / dataset.SIZES["S"]
        _warm(made.folder)
        if workload in ("join", "asOf"):
            _warm(side)
        group = limits.group_for(limit, enforce=not options.no_limits)
        self.limits = limits.describe(group)
        used = measure.run(command, group, scratch, folder / "log", timeout, _environment(scratch), ROOT)
        files, output_bytes, problems = 0, 0, []
        if used.exit_code == 0:
            verdict = verifier.verify(workload, output, FILES if engine.name == OURS else None)
            files, output_bytes, problems = verdict.files, verdict.size, verdict.problems
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
            os.sync()  # or the next engine would wait for this one's pages to reach the disk
        return Run(
            workload=workload,
            engine=engine.name,
            repetition=repetition,
            outcome=report.outcome(used.exit_code, used.memory_kills, timeout, used.last_line, problems),
            memory_limit=limit,
            rows=made.rows,
            wall_seconds=round(used.wall_seconds, 2),
            cpu_seconds=round(used.cpu_seconds, 2),
            peak_memory=used.peak_memory,
            spilled=used.peak_scratch,
            spilled_reported=engine.summary(used.stdout) if engine.summary else None,
            files=files,
            output_bytes=output_bytes,
            note=engine.note(workload),
        )


def quantity(text: str) -> int:
    """Bytes from a number with a unit, as Kubernetes writes it (512Mi, 2G), or with a B after it (2GB)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an amount of memory such as 512Mi or 2GB")
    return int(float(match.group(1)) * UNITS[match.group(2) or ""])


def _factors(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 1 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole numbers above 1 such as 8,16")
    return [int(part) for part in parts]


def _limit(text: str) -> tuple[str, int]:
    name, _, amount = text.partition("=")
    if name not in ENGINES or name == OURS:
        peers = ", ".join(peer for peer in ENGINES if peer != OURS)
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected PEER=MEMORY with one of {peers}; ours is --memory a worker"
        )
    return name, quantity(amount)


def _choices(known: Sequence[str] | dict[str, Engine]) -> Any:
    def parse(text: str) -> list[str]:
        chosen = [part.strip() for part in text.split(",") if part.strip()]
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r}: expected some of {', '.join(known)}")
        return list(dict.fromkeys(chosen))

    return parse


def _environment(scratch: Path) -> dict[str, str]:
    """The program's environment: ours, with temporary files in its scratch folder, and this package importable."""
    return os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _warm(folder: Path) -> None:
    """Read the input once, so that every engine finds the same of it in the page cache."""
    buffer = bytearray(8 << 20)
    for file in sorted(folder.glob("*.parquet")):
        with file.open("rb", buffering=0) as source:
            while source.readinto(buffer):
                pass


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
