"""The coordinator of one job in a process of its own, for `control_plane`: the real HTTP application and nothing else.

    python -m benchmarks.control_server WORKERS

Its address is the first line that it prints. Lines that it reads: the number of a worker that is gone; at the end of
the input it prints what it cost (`Cost`) and ends.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import msgspec

from shuffle_operator.coordinator.events import Started, Tick, WorkerGone
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.server.http import CoordinatorServer
from shuffle_protocol.jobs import Input, Job, Output, Repartition
from shuffle_protocol.messages import Phase

JOB, TOKEN = "uid", "token"

SILENCE = 300.0
"""Long, for the simulated workers share a process, and it is not their pace that is measured."""


class Cost(msgspec.Struct):
    """cpu: seconds. before, peak: MiB of the process when the job began, and at most."""

    cpu: float
    before: int
    peak: int
    phase: Phase


def machine_for(workers: int) -> Coordinator:
    job = Job(JOB, "job", Repartition(by=["a"]), [Input(["in"])], Output("out"), workers, 1 << 29)
    return Coordinator(job, Settings(silence=SILENCE))


def peak() -> int:
    """MiB of this program at most; `getrusage` would count what its parent had when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


async def serve(workers: int) -> Cost:
    loop = asyncio.get_running_loop()
    before, since = peak(), time.process_time()
    machine = machine_for(workers)
    server = CoordinatorServer()
    hosted = server.host(machine, TOKEN, lambda _: None)
    hosted.perform(machine.handle(Started(), time.monotonic()))
    ended = asyncio.Event()

    def gone(worker: int) -> None:
        hosted.perform(machine.handle(WorkerGone(worker, None, "killed", False), time.monotonic()))

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(gone, int(line))
        loop.call_soon_threadsafe(ended.set)

    print(await server.start("127.0.0.1"), flush=True)
    threading.Thread(target=listen, daemon=True).start()
    while not ended.is_set():
        hosted.perform(machine.handle(Tick(), time.monotonic()))
        try:
            await asyncio.wait_for(ended.wait(), 1.0)
        except TimeoutError:
            continue
    cost = Cost(time.process_time() - since, before, peak(), machine.state.phase)
    await server.stop()
    return cost


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(serve(int(sys.argv[1])))).decode(), flush=True)
