"""The benchmark of arrays: every engine cuts the same arrays anew, one after the other, each under a memory limit.

    python -m benchmarks.rechunk                       # about a hundred megabytes each: does everything work?
    python -m benchmarks.rechunk --size full           # what is reported
    python -m benchmarks.rechunk --size large --engines shuffle

As `benchmarks.run` does for tables: limits by cgroups, whole processes with their start, the page cache warm, every
output verified element by element.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import arrays, environments, limits, machine, measure, report
from benchmarks.arrays import Case
from benchmarks.engines import shuffle_run
from benchmarks.engines.rechunk_peers import RechunkTask
from benchmarks.report import Run
from benchmarks.run import quantity

ROOT = Path(__file__).resolve().parents[1]
OURS = "shuffle"
REQUIREMENTS: dict[str, str | None] = {
    OURS: None,
    "dask-p2p": "requirements-dask-array.txt",
    "dask-tasks": "requirements-dask-array.txt",
    "rechunker": "requirements-rechunker.txt",
    "cubed": "requirements-cubed.txt",
}
WORKERS_LOG = "workers.log"
_WRITTEN = re.compile(r"(\d+) written$")
PACKAGES = ("shuffle-operator", "zarr", "numpy", "dask", "distributed", "rechunker", "cubed")


def parser() -> argparse.ArgumentParser:
    it = argparse.ArgumentParser(prog="python -m benchmarks.rechunk", description=__doc__.split("\n")[0])
    it.add_argument("--size", choices=("small", "full", "large"), default="small")
    it.add_argument("--cases", help="comma-separated (default: all)")
    it.add_argument("--engines", default=",".join(REQUIREMENTS), help="comma-separated (default: all)")
    it.add_argument("--workers", type=int, default=2, help="processes and cores for each engine (default: 2)")
    it.add_argument("--memory", type=quantity, default=quantity("512Mi"), help="for each of our workers")
    it.add_argument("--peer-memory", type=quantity, default=quantity("2GB"), help="for each peer's whole tree")
    it.add_argument("--no-limits", action="store_true", help="measure only; do not enforce memory limits")
    it.add_argument("--repetitions", type=int, default=1)
    it.add_argument("--timeout", type=float, default=600, help="seconds for a run")
    it.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    it.add_argument("--keep", action="store_true", help="keep outputs and logs")
    it.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return it


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    cores = machine.use_cores(options.workers)
    for part in ("worker", "operator"):  # as an installation has them; what is measured may write no bytecode
        compileall.compile_dir(ROOT / part, quiet=2)
    options.data = options.data.resolve()
    options.data.mkdir(parents=True, exist_ok=True)
    wanted = options.cases.split(",") if options.cases else None
    engines = {name: _python(name, options.data) for name in options.engines.split(",")}
    runs: list[Run] = []
    for case in arrays.cases(options.size):
        if wanted is None or case.name in wanted:
            runs += _case(case, engines, options)
    how = limits.describe(limits.group_for(options.memory, enforce=not options.no_limits))
    text = report.tables(runs, OURS).replace(" rows\n", " elements\n").replace("M rows/s", "M elements/s")
    print(f"{how}; {cores} cores; GB = 10^9 bytes; wall time of whole processes, start-up included\n\n{text}")
    if options.json:
        facts = {
            "machine": machine.facts(cores),
            "limits": how,
            "versions": {name: environments.versions(python, PACKAGES) for name, python in engines.items() if python},
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report.document(facts, runs), indent=2) + "\n")
    return 0 if all(run.ok for run in runs if run.engine == OURS) else 1


def _python(name: str, data: Path) -> Path | None:
    """The interpreter for an engine; None where its environment cannot be made: the others are measured anyway."""
    try:
        return environments.python_for(REQUIREMENTS[name], data / "venvs")
    except Exception as error:
        print(f"{name} cannot be installed here: {error}", file=sys.stderr)
        return None


def _case(case: Case, engines: dict[str, Path | None], options: argparse.Namespace) -> Iterator[Run]:
    source = arrays.ensure(options.data, case)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=options.data))
    try:
        for repetition in range(options.repetitions):
            for name, python in engines.items():
                if python is None:
                    continue
                run = _one(case, name, python, source, work / f"{case.name}-{name}-{repetition}", repetition, options)
                load = os.getloadavg()[0]
                print(
                    f"{case.name} {name}: {run.wall_seconds:.1f} s, {report.size(run.peak_memory)}, {run.outcome}; "
                    f"the machine's load is {load:.1f}",
                    file=sys.stderr,
                    flush=True,
                )
                yield run
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


def _one(
    case: Case, name: str, python: Path, source: Path, folder: Path, repetition: int, options: argparse.Namespace
) -> Run:
    scratch, output = folder / "scratch", folder / "output"
    scratch.mkdir(parents=True)
    limit = options.memory * options.workers if name == OURS else options.peer_memory
    task = RechunkTask(str(source), str(output), case.target, arrays.ITEM, str(scratch), limit, options.workers)
    if name == OURS:
        command = _ours(case, task, python, folder)
    else:
        command = [str(python), "-m", "benchmarks.engines.rechunk_peers", name, task.to_json()]
    _warm(source)
    group = limits.group_for(limit, enforce=not options.no_limits)
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": _path(name), "PYTHONDONTWRITEBYTECODE": "1"}
    used = measure.run(command, group, scratch, folder / "log", options.timeout, environment, ROOT)
    wrong = arrays.problems(case, output) if used.exit_code == 0 else []
    files = [path.stat().st_size for path in output.rglob("*") if path.is_file()]
    log = (folder / WORKERS_LOG).read_text() if (folder / WORKERS_LOG).exists() else ""
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()  # or the next engine would wait for this one's pages to reach the disk
    return Run(
        workload=f"{case.name} {case.source} to {case.target}, {report.size(case.size)}",
        engine=name,
        repetition=repetition,
        outcome=report.outcome(used.exit_code, used.memory_kills, options.timeout, used.last_line, wrong),
        memory_limit=limit,
        rows=case.size // arrays.ITEM,
        wall_seconds=round(used.wall_seconds, 2),
        cpu_seconds=round(used.cpu_seconds, 2),
        peak_memory=used.peak_memory,
        spilled=used.peak_scratch,
        spilled_reported=shuffle_run.spilled(used.stdout) if name == OURS else None,
        files=case.chunks if used.exit_code == 0 else 0,
        output_bytes=sum(files),
        balance=balance(log, options.workers) if name == OURS and used.exit_code == 0 else None,
    )


def balance(log: str, workers: int) -> float:
    """From the workers' log: elements that the busiest of them wrote over the mean."""
    written = dict.fromkeys(range(workers), 0)
    for line in log.splitlines():
        entry = json.loads(line)
        if str(entry.get("lease", "")).startswith("write ") and (found := _WRITTEN.search(entry["message"])):
            written[int(entry["worker"])] = written.get(int(entry["worker"]), 0) + int(found[1])
    total = sum(written.values())
    return max(written.values()) * len(written) / total if total else 1.0


def _ours(case: Case, task: RechunkTask, python: Path, folder: Path) -> list[str]:
    job = {
        "apiVersion": "shuffle-operator.dev/v1alpha1",
        "kind": "ShuffleJob",
        "metadata": {"name": f"benchmark-{case.name}"},
        "spec": {
            "operation": {"rechunk": {"chunks": {str(at): length for at, length in enumerate(case.target)}}},
            "inputs": [{"path": task.source, "format": "Zarr"}],
            "output": {"path": task.output, "format": "Zarr"},
        },
    }
    file = folder / "job.yaml"
    file.write_text(json.dumps(job, indent=2))
    memory = f"{task.memory // task.cores // shuffle_run.MIB}Mi"
    program = [str(python), "-c", "from shuffle_local.cli.main import main; main()"]
    options = ["--workers", str(task.cores), "--memory", memory, "--scratch", task.scratch, "--json"]
    return [*program, "run", str(file), *options, "--log", str(folder / WORKERS_LOG)]


def _path(name: str) -> str:
    """Peers find this package; ours finds what this process finds, an installation or a working tree."""
    return str(ROOT) if name != OURS else os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])


def _warm(folder: Path) -> None:
    """Read the input once, so that every engine finds the same of it in the page cache."""
    buffer = bytearray(8 << 20)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with file.open("rb", buffering=0) as source:
                while source.readinto(buffer):
                    pass


if __name__ == "__main__":
    sys.exit(main())
