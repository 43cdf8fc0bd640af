"""Runs Dask's peer-to-peer repartition, disturbed or not, for `benchmarks.recovery`: in an environment and a process
tree of its own (`engines/dask_killed.py`), of which nothing is left when a run is over."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import environments, limits, measure
from benchmarks.dataset import Dataset
from benchmarks.engines.dask_killed import Disturbed

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = "requirements-dask.txt"


@dataclass(frozen=True)
class Found:
    """again: shuffle tasks (each reads and sends a part of the input) that were done more than once, as a part of those
    that had been done when the worker was killed. failed: why there is no such figure."""

    seconds: float
    cpu: float
    again: float = 0.0
    written_twice: int = 0
    failed: str = ""


class DaskBeside:
    """memory: bytes for each worker."""

    def __init__(
        self, data: Dataset, folder: Path, venvs: Path, workers: int, memory: int, files: int, timeout: float
    ) -> None:
        self._data = data
        self._folder = folder
        self._python = environments.python_for(REQUIREMENTS, venvs)
        self._workers = workers
        self._memory = memory
        self._files = files
        self._timeout = timeout

    def run(self, point: str) -> Found:
        shutil.rmtree(self._folder, ignore_errors=True)
        scratch, out, told = (self._folder / name for name in ("scratch", "out", "told.json"))
        scratch.mkdir(parents=True)
        os.sync()
        task = Disturbed(
            str(self._data.folder), str(out), str(scratch), self._files, self._workers, self._memory, point
        )
        command = [str(self._python), "-m", "benchmarks.engines.dask_killed", json.dumps(asdict(task)), str(told)]
        environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        group = limits.group_for(2 * self._workers * self._memory, enforce=False)
        used = measure.run(command, group, scratch, self._folder / "log", self._timeout, environment, ROOT)
        cpu = round(used.cpu_seconds, 2)
        if used.exit_code != 0:
            why = used.last_line if used.exit_code is not None else f"not done after {self._timeout:.0f} s"
            return Found(round(used.wall_seconds, 2), cpu, failed=why)
        said = json.loads(told.read_text())
        seconds = round(said["seconds"], 2)
        rows = sum(pq.read_metadata(path).num_rows for path in out.glob("*.parquet"))
        if rows != self._data.rows:
            return Found(seconds, cpu, failed=f"wrong: {rows:,} rows instead of {self._data.rows:,}")
        if not point:
            return Found(seconds, cpu)
        again = (said["before"] + said["after"] - said["parts"]) / said["before"]
        times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
        twice = sum(times.get(name) != at for name, at in said["files"].items())
        return Found(seconds, cpu, again, twice)
