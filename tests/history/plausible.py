"""Histories of made-up jobs, small and as large as they get: for tests of what shows them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

from shuffle_operator.history.document import (
    FORMAT,
    Evidence,
    JobFacts,
    JobHistory,
    JobProgress,
    OutputSummary,
    PhaseSpan,
    PlanStep,
    Verdict,
)
from shuffle_operator.history.figures import (
    BIGGEST,
    COLUMNS,
    TILES,
    Activity,
    Amount,
    Bin,
    Check,
    Doing,
    HotKey,
    JobMark,
    LossHistory,
    LostWorker,
    Marks,
    NamedFile,
    RowsAndBytes,
    Skew,
    SlowLease,
    Timeline,
    TimelineSample,
    TransferMatrix,
    WorkerState,
)
from shuffle_protocol.messages import Figures, Phase

Ending = Literal["running", "complete", "failed"]

ROW = 72
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def plausible(
    *,
    workers: int = 4,
    partitions: int = 64,
    columns: int = 60,
    ending: Ending = "complete",
    lost: int = 0,
    done: float = 0.7,
    name: str = "orders-by-customer",
) -> JobHistory:
    """A history. columns: of its timeline, `COLUMNS` at most. ending: how the job stands; done: the share of it that is
    over, where it is running or failed. lost: workers that were lost. The same arguments give the same history."""
    share = 1.0 if ending == "complete" else done
    return _Made(workers, partitions, min(columns, COLUMNS), ending, lost, share, name).history()


def small() -> JobHistory:
    """A job of three workers that lost one, and is over."""
    return plausible(workers=3, partitions=16, columns=12, lost=1)


@cache
def largest(ending: Ending = "running", columns: int = COLUMNS) -> JobHistory:
    """500 workers, 40,000 partitions, and every list as long as it gets."""
    return plausible(workers=500, partitions=40_000, columns=columns, ending=ending, lost=100)


@dataclass
class _Made:
    workers: int
    partitions: int
    columns: int
    ending: Ending
    lost: int
    done: float
    name: str

    def __post_init__(self) -> None:
        self.random = random.Random(1)
        self.width = 0.25
        self.rows = self.partitions * 120_000
        self.bytes = self.rows * ROW
        self.seconds = self.columns * self.width
        self.barrier = 0.55
        self.lost_at = sorted(self.random.uniform(0.2, 0.5) for _ in range(self.lost))

    # -- shares of the job at a share of its time ---------------------------------------------------------------------

    def at(self, share: float) -> float:
        """The share of the whole job that is done at a share of the time that is recorded."""
        return share * self.done

    def read(self, share: float) -> float:
        return min(1.0, self.at(share) / self.barrier)

    def wrote(self, share: float) -> float:
        return max(0.0, (self.at(share) - self.barrier) / (1 - self.barrier))

    def letter(self, worker: int, share: float) -> str:
        if share < 0.03:
            return Doing.JOB if worker == 0 else Doing.IDLE
        for n, moment in enumerate(self.lost_at):
            if n % self.workers == worker and moment <= share < moment + 0.06:
                return Doing.ABSENT
        reading = self.at(share) < self.barrier
        weights = (
            {Doing.READ: 5, Doing.COMPUTE: 4, Doing.SEND: 2, Doing.BLOCKED: 0.4, Doing.DISK: 0.5}
            if reading
            else {Doing.WRITE: 6, Doing.COMPUTE: 3, Doing.DISK: 1, Doing.IDLE: 0.3}
        )
        found = self.random.choices(list(weights), list(weights.values()))[0]
        again = any(moment + 0.06 <= share < moment + 0.12 for moment in self.lost_at) and self.random.random() < 0.6
        return found.upper() if again else found

    # -- parts --------------------------------------------------------------------------------------------------------

    def history(self) -> JobHistory:
        return JobHistory(
            format=FORMAT,
            partial="",
            recorded=1_780_000_000.0 + self.seconds,
            job=JobFacts(
                name=self.name,
                uid="5f3c1d2e-made-up",
                namespace="analytics",
                operation="repartition",
                inputs=["s3://shop/orders/"],
                output="s3://shop/orders-by-customer/",
                method="PeerToPeer",
                workers=self.workers,
                memory=2 << 30,
                version="0.1.0",
                started=1_780_000_000.0,
            ),
            verdict=self.verdict(),
            progress=self.progress(),
            plan=self.plan(),
            notes=["2 files of the input are empty."],
            timeline=self.timeline(),
            marks=self.marks(),
            rows=self.ledger(),
            skew=self.skew(),
            workers=[self.worker(n) for n in range(self.workers)],
            slowest=self.slowest(),
            matrix=self.matrix(),
            losses=self.losses(),
            output=OutputSummary(
                path="s3://shop/orders-by-customer/",
                manifest="s3://shop/orders-by-customer/_manifest.json" if self.ending == "complete" else "",
                files=int(self.partitions * self.wrote(1)),
                rows=int(self.rows * self.wrote(1)),
                bytes=int(self.bytes * 0.6 * self.wrote(1)),
                left_behind=False,
            ),
        )

    def verdict(self) -> Verdict:
        return Verdict(
            bound_by="reading",
            sentence="Reading bounds this job: workers spent 46 % of their time fetching and decoding the input.",
            yaml=f"  workers: {{replicas: {2 * self.workers}}}",
            why="Twice the workers read twice as much at a time.",
            evidence=[
                Evidence("Reading, of all time of workers", 0.46, "share"),
                Evidence("Read in a second by a worker", 41e6, "bytes/s"),
            ],
        )

    def progress(self) -> JobProgress:
        running = self.ending == "running"
        phase = {"running": Phase.WRITING, "complete": Phase.COMPLETE, "failed": Phase.FAILED}[self.ending]
        barrier = self.seconds * min(1.0, self.barrier / self.done)
        spans = [
            PhaseSpan(Phase.PLANNING, 0.0, 0.03 * self.seconds),
            PhaseSpan(Phase.TRANSFERRING, 0.03 * self.seconds, barrier),
            PhaseSpan(Phase.WRITING, barrier, None if running else self.seconds),
        ]
        cause = "no space is left on scratch: worker 1 has 40.0 GiB, and all of it is taken"
        return JobProgress(
            phase=phase,
            percent=round(100 * self.at(1), 1) if self.ending != "complete" else 100.0,
            message=f"{phase}: made up",
            seconds=self.seconds,
            over=not running,
            reason="OutOfDisk" if self.ending == "failed" else "",
            cause=cause if self.ending == "failed" else "",
            left=12.0 if running else None,
            left_low=9.5 if running else None,
            left_high=16.0 if running else None,
            splits=4 * self.workers,
            splits_done=int(4 * self.workers * self.read(1)),
            groups=self.partitions,
            groups_written=int(self.partitions * self.wrote(1)),
            partitions=self.partitions,
            workers_ready=self.workers if running else 0,
            phases=spans if running else [*spans, PhaseSpan(phase, self.seconds, None)],
        )

    def plan(self) -> PlanStep:
        read = PlanStep(
            "Read",
            f"{4 * self.workers} Parquet files of s3://shop/orders/",
            ["Row groups are read whole."],
            Figures(self.rows, self.bytes // 2, 4 * self.workers),
            Figures(int(self.rows * self.read(1)), int(self.bytes / 2 * self.read(1))),
            [],
        )
        shuffle = PlanStep(
            "Shuffle",
            f"by hash of customer into {self.partitions} partitions",
            ["Asked for: output.partitions."],
            Figures(self.rows, self.bytes, -1, 0),
            Figures(int(self.rows * self.read(1)), int(self.bytes * self.read(1)), -1, int(self.bytes * 0.1)),
            [read],
        )
        return PlanStep(
            "Write",
            "Parquet, snappy",
            [],
            Figures(self.rows, int(self.bytes * 0.6), self.partitions),
            Figures(
                int(self.rows * self.wrote(1)),
                int(self.bytes * 0.6 * self.wrote(1)),
                int(self.partitions * self.wrote(1)),
            ),
            [shuffle],
        )

    def timeline(self) -> Timeline:
        shares = [(n + 0.5) / self.columns for n in range(self.columns)]
        columns = ["".join(self.letter(worker, share) for worker in range(self.workers)) for share in shares]
        memory = ["".join(self.memory_letter(letter) for letter in column) for column in columns]
        return Timeline(
            width=self.width,
            lanes=self.workers,
            columns=columns,
            memory=memory,
            samples=[self.sample(n, column) for n, column in enumerate(columns)],
            left_out=0,
        )

    def memory_letter(self, letter: str) -> str:
        if letter == Doing.ABSENT:
            return "-"
        low, high = (3, 8) if letter in (Doing.IDLE, Doing.JOB) else (12, 28)
        return DIGITS[self.random.randint(low, high)]

    def sample(self, n: int, column: str) -> TimelineSample:
        share = (n + 1) / self.columns
        read, wrote = self.read(share), self.wrote(share)
        there = self.workers - column.count(Doing.ABSENT)
        return TimelineSample(
            percent=round(100 * self.at(share), 1),
            rows_read=int(self.rows * read),
            bytes_read=int(self.bytes / 2 * read),
            bytes_sent=int(self.bytes * read * (1 - 1 / self.workers)),
            bytes_spilled=int(self.bytes * 0.1 * read),
            rows_written=int(self.rows * wrote),
            bytes_written=int(self.bytes * 0.6 * wrote),
            workers=there,
            memory=int(there * 0.6 * (2 << 30)),
            memory_most=round(self.random.uniform(0.7, 0.9), 2),
        )

    def marks(self) -> Marks:
        found = [JobMark(0.03 * self.seconds, "phase", -1, "Transferring")]
        for n, moment in enumerate(self.lost_at):
            worker, at = n % self.workers, moment * self.seconds
            found += [
                JobMark(at, "loss", worker, f"worker {worker} was lost: it was killed (signal 9)"),
                JobMark(at + 0.06 * self.seconds, "joined", worker, f"worker {worker} is there again"),
            ]
        return Marks(sorted(found, key=lambda mark: mark.at)[:200], max(0, len(found) - 200), 1 + 2 * self.lost)

    def ledger(self) -> RowsAndBytes:
        read, wrote = self.read(1), self.wrote(1)
        whole = read == 1.0
        return RowsAndBytes(
            read=Amount(int(self.rows * read), int(self.bytes / 2 * read)),
            sent=Amount(int(self.rows * read), int(self.bytes * read * (1 - 1 / self.workers))),
            stored=Amount(int(self.rows * wrote), int(self.bytes * wrote)),
            written=Amount(int(self.rows * wrote), int(self.bytes * 0.6 * wrote)),
            spilled=int(self.bytes * 0.1 * read),
            read_again=self.lost * 50_000_000,
            sent_again=self.lost * 80_000_000,
            splits_again=self.lost * 4,
            unit="row",
            checks=[
                Check("read = sent", True if whole else None, f"{int(self.rows * read):,} rows"),
                Check("sent = stored", True if self.ending == "complete" else None, f"{int(self.rows * wrote):,} rows"),
                Check("stored = written", True if wrote else None, f"{int(self.rows * wrote):,} rows"),
            ],
        )

    def skew(self) -> Skew:
        files = int(self.partitions * self.wrote(1))
        sizes = sorted(int(self.random.lognormvariate(math.log(5e6), 0.4)) for _ in range(files))
        bins: dict[int, int] = {}
        for size in sizes:
            bins[int(4 * math.log2(size))] = bins.get(int(4 * math.log2(size)), 0) + 1
        median = sizes[len(sizes) // 2] if sizes else 0
        biggest = list(reversed(sizes[-BIGGEST:]))
        return Skew(
            files=files,
            largest=sizes[-1] if sizes else 0,
            median=median,
            ratio=round(sizes[-1] / median, 2) if sizes else -1.0,
            bins=[Bin(int(2 ** (n / 4)), int(2 ** ((n + 1) / 4)), bins[n]) for n in sorted(bins)],
            biggest=[NamedFile(n, f"part-{n:05d}.parquet", size, size // 40) for n, size in enumerate(biggest)],
            hot_keys=[
                HotKey(f"customer = {n * 7}", 90_000_000 // n, 1_200_000 // n, 0.02 / n, "a sample of the input")
                for n in range(1, min(BIGGEST, self.partitions) + 1)
            ],
        )

    def worker(self, n: int) -> WorkerState:
        busy = self.seconds * self.random.uniform(0.8, 0.95)
        parts = [*(busy * share for share in (0.35, 0.25, 0.1, 0.02, 0.05, 0.2)), 0.0, 0.0, self.seconds - busy]
        budget = 2 << 30
        return WorkerState(
            worker=n,
            state="there" if self.ending == "running" else "left",
            processes=1 + sum(1 for k in range(self.lost) if k % self.workers == n),
            doing=Doing.WRITE if self.ending == "running" else Doing.ABSENT,
            memory=self.random.randint(20, 50) * (budget // 64) if self.ending == "running" else 0,
            memory_peak=self.random.randint(50, 60) * (budget // 64),
            memory_budget=budget,
            spilled=int(self.bytes * 0.1 / self.workers),
            cpu=round(busy * 1.2, 2),
            rows_read=int(self.rows * self.read(1) / self.workers),
            bytes_sent=int(self.bytes * self.read(1) / self.workers),
            bytes_written=int(self.bytes * 0.6 * self.wrote(1) / self.workers),
            leases=int(4 + self.partitions / self.workers),
            activity=Activity(*(round(part, 2) for part in parts)),
            waiting="",
        )

    def slowest(self) -> list[SlowLease]:
        found = []
        for n in range(min(BIGGEST, 4 * self.workers)):
            seconds = self.seconds * 0.2 / (1 + n / 10)
            parts = Activity(
                read=round(seconds * 0.6, 2), compute=round(seconds * 0.3, 2), send=round(seconds * 0.1, 2)
            )
            found.append(SlowLease("transfer", n, 0, n % self.workers, n * self.width, round(seconds, 2), parts))
        return found

    def matrix(self) -> TransferMatrix:
        step = 1
        while math.ceil(self.workers / step) > TILES:
            step *= 2
        tiles = math.ceil(self.workers / step)
        each = self.bytes * self.read(1) / tiles / tiles
        rows = [
            [0 if i == j and step == 1 else int(each * self.random.uniform(0.8, 1.2)) for j in range(tiles)]
            for i in range(tiles)
        ]
        return TransferMatrix(step, rows, [round(self.random.expovariate(1.0), 2) for _ in range(tiles)], reported=True)

    def losses(self) -> LossHistory:
        found = [
            LostWorker(
                at=moment * self.seconds,
                worker=n % self.workers,
                why="it was killed (signal 9)",
                fault=False,
                groups=max(1, self.partitions // self.workers),
                leases=1,
                seconds_lost=round(0.02 * self.seconds, 2),
                splits_read=4,
                splits_resent=0,
                bytes_read=50_000_000,
                bytes_sent=80_000_000,
                repaired_after=round(0.06 * self.seconds, 2),
            )
            for n, moment in enumerate(self.lost_at)
        ]
        return LossHistory(found, 0, failures=0, disruptions=self.lost)
