"""What a job costs its coordinator, by the number of workers: messages, processor time, latency and memory.

    python -m benchmarks.control_plane --workers 1000 5000 10000 --groups 40000
    python -m benchmarks.control_plane --http --lost 0.01

Workers are simulated (`control_workers.py`), the messages and the coordinator are real. With --http the coordinator is
a process of its own with the real HTTP application (`control_server.py`), each worker has a connection, and all of
them together report --rate times a second; else its state machine is called in this process, one message after
another. Told for each number of workers: messages for each worker, what a worker is sent, processor time of the
coordinator in all and for a message, the 99th percentile of an answer (of those that are not held back on purpose),
its memory at most, and processor time for a message over that of the first line: 1.0 throughout is linear.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from benchmarks.control_server import JOB, TOKEN, Cost, machine_for, peak
from benchmarks.control_workers import Crowd, Talker
from shuffle_operator.coordinator.events import Started, Tick, WorkerGone
from shuffle_operator.server.http import Hosted
from shuffle_protocol.messages import Phase, Register, Sync


@dataclass
class Case:
    workers: int
    splits: int
    groups: int
    share_lost: float
    rate: float
    messages: int = 0
    sent: int = 0
    cost: Cost = field(default_factory=lambda: Cost(0.0, 0, 0, Phase.PENDING))
    took: list[float] = field(default_factory=list)

    def by_http(self) -> None:
        command = [sys.executable, "-m", "benchmarks.control_server", str(self.workers)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            to_server = server.stdin

            def gone(worker: int) -> None:
                to_server.write(f"{worker}\n")
                to_server.flush()

            crowd = Crowd(
                url, TOKEN, JOB, self.workers, self.splits, self.groups, self.rate, self.share_lost, gone, self.took
            )
            asyncio.run(crowd.run())
            self._count(crowd.talkers)
            out, _ = server.communicate()
            self.cost = msgspec.json.decode(out, type=Cost)

    def by_calls(self) -> None:
        """The machine alone; all is encoded and decoded as it is on the wire."""
        before, spent = peak(), 0.0
        machine = machine_for(self.workers)
        hosted = Hosted(machine, b"", lambda _: None)
        machine.handle(Started(), 0.0)
        now = 0.0
        talkers = [Talker(n, self.splits, self.groups) for n in range(self.workers)]
        everybody = list(talkers)
        lost = random.Random(0).sample(range(self.workers), round(self.share_lost * self.workers))
        for talker in talkers:
            hello, since = talker.hello(), time.process_time()
            machine.register(msgspec.json.decode(hello, type=Register), now)
            spent += time.process_time() - since
        while not all(talker.stopped for talker in talkers):
            now += 1.0
            for talker in talkers:
                if talker.stopped:
                    continue
                report = talker.report()
                asked, since = time.perf_counter(), time.process_time()
                orders, _ = machine.sync(msgspec.json.decode(report, type=Sync), now)
                answer = hosted.encode(orders, deflate=True)
                spent += time.process_time() - since
                self.took.append(time.perf_counter() - asked)
                talker.obey(b"".join(answer.parts), answer.deflated)
            half = machine.state.ledger is not None and machine.state.ledger.facts.splits_done * 2 >= self.splits
            since = time.process_time()
            while lost and half:
                number = lost.pop()
                machine.handle(WorkerGone(number, None, "killed", False), now)
                talkers[number] = Talker(number, self.splits, self.groups, process=1)
                everybody.append(talkers[number])
                machine.register(msgspec.json.decode(talkers[number].hello(), type=Register), now)
            machine.handle(Tick(), now)
            spent += time.process_time() - since
        self._count(everybody)
        self.cost = Cost(spent, before, peak(), machine.state.phase)

    def _count(self, talkers: Sequence[Talker]) -> None:
        self.messages = sum(talker.sent for talker in talkers)
        self.sent = sum(talker.heard for talker in talkers)


def main(arguments: Sequence[str] | None = None) -> int:
    it = argparse.ArgumentParser(prog="python -m benchmarks.control_plane", description=__doc__.split("\n")[0])
    it.add_argument("--workers", type=int, nargs="+", default=[1000, 5000, 10_000])
    it.add_argument("--groups", type=int, default=40_000, help="what is written in one lease (default: 40,000)")
    it.add_argument("--splits", type=int, default=20_000, help="what is read in one lease (default: 20,000)")
    it.add_argument("--http", action="store_true", help="with the HTTP application, in a process of its own")
    it.add_argument("--rate", type=float, default=1500.0, help="reports a second, with --http (default: 1,500)")
    it.add_argument("--lost", type=float, default=0.0, help="share of the workers that are lost half way (default: 0)")
    options = it.parse_args(arguments)
    titles = f"{'workers':>8}{'messages':>10}{'each':>7}{'KiB each':>10}{'CPU s':>8}{'ms each':>9}{'p99 ms':>8}"
    print(f"{titles}{'MiB':>7}{'x first':>9}")
    first = 0.0
    for workers in options.workers:
        case = Case(workers, options.splits, options.groups, options.lost, options.rate)
        case.by_http() if options.http else case.by_calls()
        each = case.cost.cpu / case.messages * 1000
        first = first or each
        late = sorted(case.took)[int(len(case.took) * 0.99)] * 1000
        print(
            f"{workers:>8,}{case.messages:>10,}{case.messages / workers:>7.1f}{case.sent / workers / 1024:>10.1f}"
            f"{case.cost.cpu:>8.1f}{each:>9.3f}{late:>8.2f}{case.cost.peak:>7,}{each / first:>9.2f}"
            + ("" if case.cost.phase is Phase.COMPLETE else f"  {case.cost.phase}"),
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
