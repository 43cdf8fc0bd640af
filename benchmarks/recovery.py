"""What a lost worker costs: one of four is killed while rows travel and while output is written, by real processes.

    python -m benchmarks.recovery                          # 27 M rows, 1.94 GB: half an hour
    python -m benchmarks.recovery --size 6_750_000 --ways re-read retained --points 50 write

Every run is the same repartition, in three ways: by ours, which reads the input again for what was lost (`re-read`) or
sends again what it kept of its shards (`retained`: `recovery.retainShards`), and by Dask's peer-to-peer shuffle. A
disturbed run is compared with the undisturbed ones of the same way, which are run in turns before; the median counts.
Ours must give the same bytes each time, Dask as many rows as there are.

Aims, each shown beside its figure (exit code 1 where ours misses one): bytes sent again, at most a quarter of what had
been sent and a tenth of that; read again, as much with retained shards; nothing written twice; 1.35 times the
undisturbed time with retained shards, 1.6 times by reading again. `strike.py` says how bytes are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import dask_beside, dataset
from benchmarks.run import quantity
from benchmarks.strike import POINTS, Ran, Striker

WORKERS = 4
REREAD, RETAINED, DASK = WAYS = ("re-read", "retained", "dask")
AGAIN = 0.25 * 1.1
SLOWER = {REREAD: 1.6, RETAINED: 1.35}


@dataclass(frozen=True)
class Figure:
    """A measured part or ratio, and the most that it may be (None: nothing was asked)."""

    value: float
    most: float | None = None

    @property
    def missed(self) -> bool:
        return self.most is not None and self.value > self.most

    def __str__(self) -> str:
        if self.most is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} {'>' if self.missed else '<='} {self.most:g}"


@dataclass(frozen=True)
class Outcome:
    """One run. sent_again, read_again: as parts of what had been moved when the worker was killed, beyond what the
    undisturbed run moves; Dask's count shuffle tasks. counted: sent again as the job's own status has it, which counts
    whole splits that others had in hand. failed: the last line of a run of Dask's that did not succeed."""

    way: str
    point: str
    seconds: float
    cpu: float
    sent: int = 0
    read: int = 0
    kept: int = 0
    digest: str = ""
    ratio: Figure | None = None
    sent_again: Figure | None = None
    read_again: Figure | None = None
    written_twice: Figure | None = None
    counted: float = 0.0
    failed: str = ""

    def missed(self) -> list[str]:
        figures = {
            "times the undisturbed time": self.ratio,
            "sent again": self.sent_again,
            "read again": self.read_again,
            "files written twice": self.written_twice,
        }
        return [f"{name}: {figure}" for name, figure in figures.items() if figure is not None and figure.missed]


def of_ours(way: str, point: str, ran: Ran, calm: Outcome | None) -> Outcome:
    """calm: the undisturbed run of this way; None for one of those."""
    end, before = ran.end, ran.before
    plain = Outcome(
        way, point, round(end.seconds, 2), round(ran.cpu, 2), end.bytes_sent, end.bytes_read, ran.kept, ran.digest
    )
    if calm is None or before is None:
        return plain
    read_again = _part(end.bytes_read - calm.read, before.bytes_read)
    return Outcome(
        **{
            **vars(plain),
            "ratio": Figure(round(end.seconds / calm.seconds, 3), SLOWER[way]),
            "sent_again": Figure(_part(end.bytes_sent - calm.sent, before.bytes_sent), AGAIN),
            "read_again": Figure(read_again, AGAIN if way == RETAINED else None),
            "written_twice": Figure(ran.written_twice, 0),
            "counted": _part(end.bytes_sent_again, before.bytes_sent),
        }
    )


def _part(again: int, before: int) -> float:
    return round(again / before, 3) if before else 0.0


class Bench:
    def __init__(self, striker: Striker, dask: dask_beside.DaskBeside | None) -> None:
        self._striker = striker
        self._dask = dask
        self.calm: dict[str, list[Outcome]] = {}
        self.outcomes: list[Outcome] = []

    def run(self, way: str, point: str) -> None:
        calm = self.typical(way) if point else None
        if way == DASK:
            assert self._dask is not None
            found = self._dask.run(point)
            outcome = Outcome(way, point, found.seconds, found.cpu, failed=found.failed)
            if calm is not None and not calm.failed and not found.failed:
                part = Figure(round(found.again, 3))
                times = Figure(round(found.seconds / calm.seconds, 3))
                twice = Figure(found.written_twice)
                outcome = Outcome(
                    way, point, found.seconds, found.cpu, ratio=times, sent_again=part, read_again=part,
                    written_twice=twice,
                )  # fmt: skip
        else:
            outcome = of_ours(way, point, asyncio.run(self._striker.run(way == RETAINED, point)), calm)
        if not point:
            self.calm.setdefault(way, []).append(outcome)
        self.outcomes.append(outcome)
        print(row(outcome), flush=True)

    def typical(self, way: str) -> Outcome | None:
        """The undisturbed run with the median time (the lower one of two), with the most that was kept."""
        calm = sorted(self.calm.get(way, []), key=lambda outcome: outcome.seconds)
        return calm[(len(calm) - 1) // 2] if calm else None

    def missed(self) -> list[str]:
        found = [f"{o.way} {o.point}: {text}" for o in self.outcomes if o.way != DASK for text in o.missed()]
        if len({outcome.digest for outcome in self.outcomes if outcome.digest}) > 1:
            found.append("the outputs differ")
        return found

    def cost_of_retaining(self) -> str:
        """Of undisturbed runs: medians, and how far they spread."""
        plain, retained = self.calm.get(REREAD), self.calm.get(RETAINED)
        if not plain or not retained:
            return ""

        def told(name: str, figure: Callable[[Outcome], float]) -> str:
            a, b = [figure(o) for o in plain], [figure(o) for o in retained]
            ratio = statistics.median(b) / statistics.median(a)
            return (
                f"{name} {ratio - 1:+.1%} ({min(a):.1f} to {max(a):.1f} s without, {min(b):.1f} to {max(b):.1f} with)"
            )

        kept = max(outcome.kept for outcome in retained)
        wall, cpu = told("wall", lambda o: o.seconds), told("CPU", lambda o: o.cpu)
        return f"retaining costs an undisturbed run ({len(retained)} each, in turns): {wall}; {cpu}; {kept:,} bytes"


HEAD = ("", "killed", "s", "CPU s", "times", "sent again", "read again", "twice", "kept")
WIDTHS = (10, 8, 8, 8, 14, 15, 15, 8, 10)


def row(o: Outcome) -> str:
    figures = [str(figure) if figure is not None else "" for figure in (o.ratio, o.sent_again, o.read_again)]
    twice = f"{o.written_twice.value:g}" if o.written_twice is not None else ""
    kept = f"{o.kept >> 20} MiB" if o.way == RETAINED else ""
    line = _line(o.way, o.point or "nobody", f"{o.seconds:.2f}", f"{o.cpu:.1f}", *figures, twice, kept)
    return f"{line}  failed: {o.failed}" if o.failed else line


def _line(*cells: str) -> str:
    first, *others = zip(cells, WIDTHS, strict=True)
    return f"{first[0]:{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in others)


def parser() -> argparse.ArgumentParser:
    it = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__.split("\n")[0])
    it.add_argument("--size", default="S", help="S: 27 M rows, 1.94 GB; or a number of rows (default: S)")
    it.add_argument("--memory", type=quantity, default=quantity("512Mi"), help="for each worker (default: 512Mi)")
    it.add_argument("--dask-memory", type=quantity, default=quantity("1G"), help="for each of Dask's (default: 1G)")
    it.add_argument("--partitions", type=int, default=64, help="output files (default: 64)")
    it.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS), help="what to run (default: all)")
    it.add_argument("--points", nargs="*", choices=POINTS, default=list(POINTS), help="when to kill (default: all)")
    it.add_argument("--repetitions", type=int, default=1, help="of the undisturbed runs (default: 1)")
    it.add_argument("--timeout", type=float, default=600.0, help="seconds for a run of Dask's (default: 600)")
    it.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="folder for data and output")
    it.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return it


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    data = dataset.ensure(options.data.resolve(), dataset.rows_of(options.size), 2)
    folder = options.data.resolve() / "recovery"
    dask = None
    if DASK in options.ways:
        venvs = options.data.resolve() / "venvs"
        dask = dask_beside.DaskBeside(
            data, folder / "dask", venvs, WORKERS, options.dask_memory, options.partitions, options.timeout
        )
    bench = Bench(Striker(data.folder, folder, WORKERS, options.memory, options.partitions), dask)
    print(f"{data.rows:,} rows, {WORKERS} workers, one killed at so much of the transfer, or half of the writing")
    print(_line(*HEAD))
    try:
        for point in [*[""] * max(1, options.repetitions), *options.points]:
            for way in options.ways:
                bench.run(way, point)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in bench.outcomes], indent=1))
    print(bench.cost_of_retaining())
    missed = bench.missed()
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
