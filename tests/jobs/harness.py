"""What the tests of whole jobs share: a folder with a job in it, the program, worker processes, and what they left.

Every process that a test starts inherits an environment variable of the test's own (`MARK`), so that those that are
left over are found wherever they went.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from shuffle_local.cli.local_job import local_job
from shuffle_local.run import LocalOptions, LocalRun
from shuffle_local.warm import WarmStart
from shuffle_operator.coordinator.actions import Note
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.status import Snapshot
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Phase

MARK = "SHUFFLE_TEST"
PROGRAM = [sys.executable, "-c", "from shuffle_local.cli.main import main; main()"]
MIB = 1 << 20
PATIENCE = 60.0
"""Seconds after which a state that a test waits for counts as never coming; far more than it ever takes."""

SMALL_SPLITS = """\
from shuffle_worker.plan import sizing
sizing.LEAST_SPLIT_BYTES = 4 << 20
"""
"""Runs in every worker process when it starts: 35 MiB are cut into as many splits as 140 MiB would be otherwise."""


class Outcome(NamedTuple):
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> Snapshot:
        return msgspec.json.decode(self.out, type=Snapshot)


@dataclass
class Bench:
    """A folder for one test: its jobs, the scratch of its workers, its output."""

    root: Path
    mark: str
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inject("")

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def job(
        self,
        operation: Mapping[str, Any],
        source: str | Path | Mapping[str, Any],
        output: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> Path:
        """A job file. output: `path` is `out` and the compression is quick unless it says otherwise."""
        inputs = dict(source) if isinstance(source, Mapping) else {"path": str(source)}
        document = {
            "apiVersion": "shuffle-operator.dev/v1alpha1",
            "kind": "ShuffleJob",
            "metadata": {"name": "test"},
            "spec": {
                "operation": dict(operation),
                "inputs": [inputs],
                "output": {"path": str(self.out), "compression": "Snappy", **(output or {})},
                **spec,
            },
        }
        path = self.root / "job.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def command(self, job: Path, *options: str, workers: int = 2, memory: str = "300Mi") -> list[str]:
        scratch = ["--scratch", str(self.scratch)] if "--scratch" not in options else []
        self.scratch.mkdir(exist_ok=True)
        return [*PROGRAM, "run", str(job), "-w", str(workers), "-m", memory, "--json", *scratch, *options]

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            env={**os.environ, **self.environment},
        )

    def run(self, job: Path, *options: str, workers: int = 2, memory: str = "300Mi") -> Outcome:
        """The program, to its end."""
        program = self.start(self.command(job, *options, workers=workers, memory=memory))
        out, err = program.communicate(timeout=PATIENCE)
        return Outcome(program.returncode, out, err)

    def complete(self, job: Path, *options: str, workers: int = 2, memory: str = "300Mi") -> Snapshot:
        """The same, where it must succeed."""
        outcome = self.run(job, *options, workers=workers, memory=memory)
        assert outcome.code == 0, outcome.err
        return outcome.summary

    def inject(self, code: str) -> dict[str, str]:
        """Have every worker process run some code when it starts, beside `SMALL_SPLITS`. Returns the environment that
        does it, which the program gets from here on."""
        folder = self.root / "injected"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sitecustomize.py").write_text(
            "import sys\nif sys.orig_argv[1:3] == ['-m', 'shuffle_worker']:\n"
            + textwrap.indent(f"{code}\n{SMALL_SPLITS}", "    ")
        )
        before = os.environ.get("PYTHONPATH")
        self.environment["PYTHONPATH"] = f"{folder}{os.pathsep}{before}" if before else str(folder)
        return self.environment

    def loaded(self, job: Path, *, workers: int = 2, memory: int = 300 * MIB) -> Job:
        """The job as the workers are told it, for runs in this process."""
        return local_job(job, workers, memory)


# -- a job in this process, whose workers are processes of their own --------------------------------------------------


@dataclass
class Watched:
    """A run in this process: its coordinator can be looked at while it goes on. notes: what it told, in order."""

    local: LocalRun
    notes: list[Note]

    @property
    def now(self) -> Snapshot:
        return self.local.snapshot()

    def pid(self, worker: int) -> int:
        return self.pids()[worker]

    def pids(self) -> dict[int, int]:
        assert self.local.launcher is not None
        return self.local.launcher.pids()

    def kill(self, *workers: int, number: signal.Signals = signal.SIGKILL) -> None:
        for worker in workers:
            os.kill(self.pid(worker), number)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Raises AssertionError if the job is over before that."""
        limit = time.monotonic() + PATIENCE
        while not condition():
            assert not self.local.machine.state.over, f"the job was over before {what}: {self.now.message}"
            assert time.monotonic() < limit, f"waited in vain for {what}: {self.now.message}"
            await asyncio.sleep(0.001)

    async def until_phase(self, phase: Phase) -> None:
        await self.until(lambda: self.local.machine.state.phase is phase, f"{phase}")


Meddle = Callable[[Watched], Awaitable[None]]


def watched(bench: Bench, job: Job, settings: Settings | None = None) -> Watched:
    notes: list[Note] = []
    settings = settings or Settings(startup_deadline=PATIENCE)
    options = LocalOptions(scratch=bench.scratch, settings=settings, warm=WarmStart())
    return Watched(LocalRun(job, options, notes.append), notes)


async def run_watched(
    bench: Bench, job: Job, meddle: Meddle | None = None, settings: Settings | None = None
) -> tuple[Snapshot, Watched]:
    """Run the job while `meddle` does to it what a test wants done. What `meddle` raises ends the run."""
    run = watched(bench, job, settings)
    running = asyncio.create_task(run.local.run())
    meddling = asyncio.create_task(meddle(run)) if meddle is not None else None
    try:
        if meddling is not None:
            await meddling
        return await asyncio.wait_for(running, PATIENCE), run
    finally:
        if meddling is not None:
            meddling.cancel()
        if not running.done():
            run.local.cancel()
            await asyncio.wait([running])


# -- what is there ---------------------------------------------------------------------------------------------------


def sums(folder: Path) -> dict[str, str]:
    """Every file of an output with the SHA-256 of its bytes, but the manifest, which names the run."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "_manifest.json"
    }


def parts(folder: Path) -> list[Path]:
    """Data files, in the order of their names."""
    return sorted(folder.glob("[!_.]*.parquet"))


def tables(folder: Path) -> list[pa.Table]:
    """The rows of each file."""
    return [pq.ParquetFile(path).read() for path in parts(folder)]


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "_manifest.json").read_text())
    return found


def processes(mark: str) -> dict[int, str]:
    """Processes that inherited the mark, but this one: pid -> command line. Those that are dead and not yet collected
    have no environment any more."""
    found: dict[int, str] = {}
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def worker_processes(mark: str) -> list[int]:
    """Those of them that are workers: their standard input is a pipe, while a warm process has a socket."""
    found = []
    for pid, command in processes(mark).items():
        with suppress(OSError):
            stdin = str(Path(f"/proc/{pid}/fd/0").readlink())
            if "-m shuffle_worker" in command and stdin.startswith("pipe:"):
                found.append(pid)
    return found


def half_written(root: Path) -> list[str]:
    """Files and folders below a folder that only a run in progress has."""

    def found(folder: Path) -> Iterator[str]:
        for path in folder.rglob("*"):
            hidden = path.name.startswith((".", "_shuffle-")) and not path.name.startswith(".z")  # .z*: Zarr's own
            if hidden or path.name.endswith(".partial"):
                yield str(path.relative_to(root))

    return sorted(found(root))


def wait_until(condition: Callable[[], object], what: str, within: float = PATIENCE) -> None:
    limit = time.monotonic() + within
    while not condition():
        assert time.monotonic() < limit, f"waited in vain for {what}"
        time.sleep(0.005)
