"""What TLS costs a whole job: `shuffle run` as it is, and the same with every call over TLS, turn by turn.

    python -m benchmarks.secure_job --size 6_750_000 --workers 4 --workload repartition

Jobs on one machine speak without TLS. Here the coordinator listens on its port with TLS, and workers get certificates
as pods do; nothing else differs. Processor time is that of the whole process tree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import dataset
from benchmarks.engines.base import Task
from benchmarks.engines.shuffle_run import OPERATIONS, job
from shuffle_local import run as local_run
from shuffle_local.cli.local_job import local_job
from shuffle_local.processes import LocalLauncher
from shuffle_local.warm import WarmStart
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.server.http import CoordinatorServer, Hosted
from shuffle_operator.tls.authority import SEED_SIZE, Authority
from shuffle_operator.tls.contexts import JobContexts
from shuffle_protocol.messages import Phase
from shuffle_worker.runtime.settings import WorkerConfig

MIB = 1 << 20
AUTHORITY = Authority(secrets.token_bytes(SEED_SIZE))


class SecureServer(CoordinatorServer):
    """Its jobs are answered over TLS alone."""

    async def start(self, host: str, port: int = 0) -> str:
        await super().start(host, port)
        return await self.start_secure(JobContexts(AUTHORITY.for_coordinator), host)

    def host(self, machine: Coordinator, token: Any, act: Any, *, secure: bool = True) -> Hosted:
        return super().host(machine, token, act, secure=secure)


class SecureLauncher(LocalLauncher):
    """Its workers have the certificates of their job."""

    def __init__(self, template: WorkerConfig, scratch: Path, *others: Any) -> None:
        folder = scratch / "certificates"
        folder.mkdir()
        for name, content in AUTHORITY.for_workers(template.job).items():
            (folder / name).write_text(content, encoding="utf-8")
        super().__init__(msgspec.structs.replace(template, tls=str(folder)), scratch, *others)


async def carry_out(file: Path, workers: int, memory: int, tls: bool) -> None:
    if tls:
        local_run.CoordinatorServer = SecureServer  # type: ignore[misc]
        local_run.LocalLauncher = SecureLauncher  # type: ignore[misc]
    options = local_run.LocalOptions(scratch=file.parent / "scratch", warm=WarmStart())
    end = await local_run.LocalRun(local_job(file, workers, memory), options).run()
    assert end.phase is Phase.COMPLETE, end.cause
    print(f"{end.bytes_sent} {end.seconds}")


def timed(file: Path, given: argparse.Namespace, tls: bool) -> tuple[float, int]:
    """Seconds of processor time of the whole tree, and bytes that were sent from worker to worker."""
    shutil.rmtree(file.parent / "out", ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.secure_job", "--one", str(file), "--tls", str(int(tls))]
    options = ["--workers", str(given.workers), "--memory", str(given.memory)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"exit code {process.returncode}"
    return used.ru_utime + used.ru_stime, int(said.split()[0])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=" ".join((__doc__ or "").partition("\n\n")[0].split()))
    parser.add_argument("--size", default="6_750_000", help="rows (default: 6_750_000)")
    parser.add_argument("--workload", choices=OPERATIONS, default="repartition")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--memory", type=int, default=512, help="MiB of each worker (default: 512)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tls", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one is not None:
        asyncio.run(carry_out(given.one, given.workers, given.memory * MIB, bool(given.tls)))
        return
    data = dataset.ensure(given.data, dataset.rows_of(given.size), os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="secure-job-") as name:
        folder = Path(name)
        (folder / "scratch").mkdir()
        task = Task(
            workload=given.workload,
            input=str(data.folder),
            side=str(data.side),
            output=str(folder / "out"),
            scratch=str(folder / "scratch"),
            rows=data.rows,
            files=data.files,
            memory=given.workers * given.memory * MIB,
            cores=given.workers,
        )
        file = folder / "job.yaml"
        file.write_text(json.dumps(job(task)))  # a bare `y` would be a boolean in YAML
        timed(file, given, tls=False)  # files are in the cache
        runs = [(timed(file, given, tls=False), timed(file, given, tls=True)) for _ in range(given.repetitions)]
    plain, secure = (statistics.median(cpu for cpu, _ in each) for each in zip(*runs, strict=True))
    print(f"{given.workload}, {data.rows:,} rows, {given.workers} workers, {runs[0][1][1] / 1e6:,.0f} MB sent")
    print(f"CPU s without TLS {plain:.2f}, with {secure:.2f}, medians of {given.repetitions}")
    print(f"with TLS to without, pair by pair: {', '.join(f'{b / a:.2f}' for (a, _), (b, _) in runs)}")


if __name__ == "__main__":
    main()
