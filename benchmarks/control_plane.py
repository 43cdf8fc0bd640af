"""What a job costs its coordinator: the real state machine and real messages, with workers that only say what they did.

    python -m benchmarks.control_plane --workers 1000 5000 10000 --groups 40000

A worker registers, then syncs until the job is complete: one lease in hand, told as done with the next message. All
is encoded and decoded as it is on the wire; the HTTP server around it is not part of this. Told for each number of
workers: messages for each worker, processor time in all and for a message, the 99th percentile of answering one, and
the memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_worker.protocol.messages import (
    VERSION,
    Counters,
    Done,
    Input,
    Job,
    Kind,
    LeaseId,
    Orders,
    Output,
    PlanSummary,
    Register,
    Repartition,
    Sync,
)

ROWS = 10


@dataclass(slots=True)
class Talker:
    """A worker that does everything at once and remembers what it must."""

    number: int
    epoch: int = -1
    held: list[LeaseId] = field(default_factory=list)
    stopped: bool = False


@dataclass
class Case:
    workers: int
    splits: int
    groups: int
    messages: int = 0
    took: list[float] = field(default_factory=list)

    def run(self) -> None:
        job = Job("uid", "job", Repartition(by=["a"]), [Input(["in"])], Output("out"), self.workers, 1 << 29)
        machine = Coordinator(job, Settings())
        machine.start(0.0)
        now = 0.0
        talkers = [Talker(n) for n in range(self.workers)]
        for talker in talkers:
            hello = Register(VERSION, talker.number, f"w{talker.number}", f"10.0.0.1:{talker.number}", 1, 1 << 29)
            machine.register(msgspec.json.decode(msgspec.json.encode(hello), type=Register), now)
        while not all(talker.stopped for talker in talkers):
            now += 1.0
            for talker in talkers:
                if not talker.stopped:
                    self._sync(machine, talker, now)
            machine.tick(now)

    def _sync(self, machine: Coordinator, talker: Talker, now: float) -> None:
        done = [self._done(lease) for lease in talker.held]
        message = Sync(talker.number, f"w{talker.number}", talker.epoch, [], done, [], Counters(), free=1)
        since = time.perf_counter()
        orders, _ = machine.sync(msgspec.json.decode(msgspec.json.encode(message), type=Sync), now)
        answer = msgspec.json.decode(msgspec.json.encode(orders), type=Orders)
        self.took.append(time.perf_counter() - since)
        self.messages += 1
        if answer.view is not None:
            talker.epoch = answer.view.epoch
        talker.held = [lease.id for lease in answer.leases]
        talker.stopped = answer.stop

    def _done(self, lease: LeaseId) -> Done:
        if lease.kind is Kind.PLAN:
            plan = PlanSummary("p", [1] * self.splits, [1] * self.groups, self.groups, 1, 1, 1, 0, 0, keeps_rows=False)
            return Done(lease, plan=plan)
        return Done(lease, rows_read=ROWS, rows_moved=ROWS, rows_written=ROWS)


def main(arguments: Sequence[str] | None = None) -> int:
    it = argparse.ArgumentParser(prog="python -m benchmarks.control_plane", description=__doc__.split("\n")[0])
    it.add_argument("--workers", type=int, nargs="+", default=[1000, 5000, 10_000])
    it.add_argument("--groups", type=int, default=40_000, help="what is written in one lease (default: 40,000)")
    it.add_argument("--splits", type=int, default=20_000, help="what is read in one lease (default: 20,000)")
    options = it.parse_args(arguments)
    print(f"{'workers':>8}{'messages':>10}{'each':>7}{'CPU s':>8}{'ms each':>9}{'p99 ms':>8}{'MiB':>7}")
    for workers in options.workers:
        bench = Case(workers, options.splits, options.groups)
        since = time.process_time()
        bench.run()
        cpu = time.process_time() - since
        late = sorted(bench.took)[int(len(bench.took) * 0.99)] * 1000
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        each = cpu / bench.messages * 1000
        print(
            f"{workers:>8,}{bench.messages:>10,}{bench.messages / workers:>7.1f}{cpu:>8.1f}{each:>9.3f}{late:>8.2f}"
            f"{peak:>7,}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
