"""What a lost worker costs: one of four is killed while rows travel and while output is written, by real processes.

    python -m benchmarks.recovery                          # 27 M rows, 1.94 GB: some minutes
    python -m benchmarks.recovery --size 1_687_500 --points 50 write

Every run is the same repartition. A disturbed one is compared with the undisturbed run that has the same setting of
`recovery.retainShards`; its output must have the same bytes. Told of each: seconds, and bytes sent and read again as
parts of what had been sent and read when the worker was killed; files of the output that were written a second time.

The limits (exit code 1 where one is missed): sent again at most a quarter and a tenth; read again as much with retained
shards; nothing written twice; 1.35 times the undisturbed time with retained shards, 1.6 times by reading again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import dataset
from benchmarks.run import quantity
from shuffle_operator.coordinator.status import Snapshot
from shuffle_operator.launchers.local_run import LocalOptions, LocalRun
from shuffle_worker.protocol.messages import Input, Job, Output, Phase, Repartition

WORKERS = 4
VICTIM = 1
POINTS = ("25", "50", "75", "95", "write")
AGAIN = 0.25 + 0.1
SLOWER = {False: 1.6, True: 1.35}


@dataclass(frozen=True)
class Outcome:
    """One run. again: as parts of what had been moved when the worker was killed; -1 where nobody was."""

    retain: bool
    point: str
    seconds: float
    ratio: float
    sent_again: float
    read_again: float
    written_twice: int
    splits_resent: int
    splits_redone: int
    kept: int
    digest: str

    def missed(self) -> list[str]:
        """The limits that it does not keep."""
        if not self.point:
            return []
        found = []
        if self.sent_again > AGAIN:
            found.append(f"sent again {self.sent_again:.2f}, {AGAIN} is the most")
        if self.retain and self.read_again > AGAIN:
            found.append(f"read again {self.read_again:.2f}, {AGAIN} is the most")
        if self.written_twice:
            found.append(f"{self.written_twice} files were written twice")
        if self.ratio > SLOWER[self.retain]:
            found.append(f"{self.ratio:.2f} times the undisturbed time, {SLOWER[self.retain]} is the most")
        return found


@dataclass
class Struck:
    """What there was when the worker was killed."""

    before: Snapshot
    files: dict[str, int]  # of the output, with the time they were written


class Bench:
    def __init__(self, data: dataset.Dataset, folder: Path, memory: int, partitions: int) -> None:
        self._data = data
        self._folder = folder
        self._memory = memory
        self._partitions = partitions

    async def run(self, retain: bool, point: str, undisturbed: float) -> Outcome:
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        job = Job(
            uid="recovery",
            name="recovery",
            operation=Repartition(by=["id"]),
            inputs=[Input([str(self._data.folder)])],
            output=Output(str(out), partitions=self._partitions, compression="Snappy"),
            workers=WORKERS,
            memory=self._memory,
            method="PeerToPeer",
            retain_shards=retain,
        )
        local = LocalRun(job, LocalOptions(scratch=self._folder / "scratch"))
        kept = 0
        striking = asyncio.create_task(self._strike(local, point, out)) if point else None
        running = asyncio.create_task(local.run())
        while not running.done():
            kept = max(kept, local.snapshot().bytes_kept)
            await asyncio.sleep(0.02)
        end = running.result()
        if end.phase is not Phase.COMPLETE:
            raise SystemExit(f"the job failed: {end.message}")
        struck = await striking if striking is not None else None
        return Outcome(
            retain=retain,
            point=point,
            seconds=round(end.seconds, 2),
            ratio=round(end.seconds / undisturbed, 2) if undisturbed else 1.0,
            sent_again=_part(end.bytes_sent_again, struck.before.bytes_sent if struck else 0),
            read_again=_part(end.bytes_read_again, struck.before.bytes_read if struck else 0),
            written_twice=sum(_times(out).get(name) != at for name, at in struck.files.items()) if struck else 0,
            splits_resent=end.splits_resent,
            splits_redone=end.splits_redone,
            kept=kept,
            digest=_digest(out),
        )

    async def _strike(self, local: LocalRun, point: str, out: Path) -> Struck:
        while True:
            now = local.snapshot()
            if point == "write":
                due = now.groups > 0 and now.groups_written >= now.groups / 2
            else:
                due = now.splits > 0 and now.splits_done >= now.splits * int(point) / 100
            if due and local.launcher is not None and VICTIM in local.launcher.pids():
                break
            if local.machine.over:
                raise SystemExit(f"the job was over before {point}: use more rows")
            await asyncio.sleep(0.002)
        files = _times(out)
        os.kill(local.launcher.pids()[VICTIM], signal.SIGKILL)
        return Struck(now, files)


def _part(again: int, before: int) -> float:
    return round(again / before, 3) if before else -1.0


def _times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}


def _digest(out: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(out.glob("part-*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def parser() -> argparse.ArgumentParser:
    it = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__.split("\n")[0])
    it.add_argument("--size", default="S", help="S: 27 M rows, 1.94 GB; or a number of rows (default: S)")
    it.add_argument("--memory", type=quantity, default=quantity("512Mi"), help="for each worker (default: 512Mi)")
    it.add_argument("--partitions", type=int, default=64, help="output files (default: 64)")
    it.add_argument("--points", nargs="*", choices=POINTS, default=list(POINTS), help="when to kill (default: all)")
    it.add_argument("--repetitions", type=int, default=1, help="of the undisturbed runs; the fastest counts")
    it.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="folder for data and output")
    it.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return it


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    data = dataset.ensure(options.data.resolve(), dataset.rows_of(options.size), 2)
    folder = options.data.resolve() / "recovery"
    bench = Bench(data, folder, options.memory, options.partitions)
    outcomes: list[Outcome] = []
    print(f"{data.rows:,} rows, {WORKERS} workers, one killed at so much of the transfer, or half of the writing")
    print(f"{'':10}{'killed':>8}{'s':>9}{'times':>7}{'sent again':>12}{'read again':>12}{'twice':>7}{'kept':>10}")
    try:
        for retain in (False, True):
            calm = [asyncio.run(bench.run(retain, "", 0.0)) for _ in range(max(1, options.repetitions))]
            best = min(calm, key=lambda outcome: outcome.seconds)
            outcomes.append(best)
            _tell(best)
            for point in options.points:
                outcomes.append(asyncio.run(bench.run(retain, point, best.seconds)))
                _tell(outcomes[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    plain, retained = (next(o for o in outcomes if o.retain is retain and not o.point) for retain in (False, True))
    print(f"retaining costs an undisturbed run {retained.seconds / plain.seconds - 1:+.1%}, {retained.kept:,} bytes")
    missed = [f"{_name(o)} {o.point}: {text}" for o in outcomes for text in o.missed()]
    if len({outcome.digest for outcome in outcomes}) > 1:
        missed.append("the outputs differ")
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


def _name(outcome: Outcome) -> str:
    return "retained" if outcome.retain else "re-read"


def _tell(o: Outcome) -> None:
    again = [f"{part:.2f}" if part >= 0 else "" for part in (o.sent_again, o.read_again)]
    print(
        f"{_name(o):10}{o.point or 'nobody':>8}{o.seconds:>9.2f}{o.ratio:>7.2f}{again[0]:>12}{again[1]:>12}"
        f"{o.written_twice:>7}{o.kept >> 20:>7} MiB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
