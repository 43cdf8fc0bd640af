"""How long a job takes on so many workers, and what they cost: arithmetic on rates that `benchmarks.sizing` measures.

A job of one operation does two kinds of work that add up to time: bytes pass through a worker's processor, and bytes
that find no room in memory go to its disk and back. Beside these, bytes go over the network and to and from the object
store. All of it goes on at once, so the slowest of processor, network, disk and store says how long a job takes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shuffle_protocol.memory import Budgets

GB = 1e9


@dataclass(frozen=True)
class Observed:
    """One measured run. gb: Arrow bytes of the input, in 1e9; lanes: workers that had a core of their own; spilled: as
    gb; wall, cpu: seconds."""

    workers: int
    gb: float
    lanes: int
    spilled: float
    wall: float
    cpu: float


@dataclass(frozen=True)
class Rates:
    """What an operation costs, on cores like those that it was measured on."""

    workload: str
    start: float
    """Seconds of a job of no bytes: processes, plan, commit."""
    pass_: float
    """Seconds in which a worker with one core brings a GB from input to output, in memory."""
    spill: float
    """Seconds more for a GB that is spilled and read back."""
    cpu: float
    """Processor seconds a GB, in memory."""


@dataclass(frozen=True)
class Node:
    """A machine that runs one worker on each core. Rates in bytes a second, of the whole machine; price: a hour."""

    name: str
    cores: int
    memory: float
    network: float
    disk: float
    store: float
    price: float


@dataclass(frozen=True)
class Prediction:
    """Seconds for which each of them is busy, and what follows. The slowest decides; the start comes before."""

    start: float
    processor: float
    network: float
    disk: float
    store: float

    @property
    def wall(self) -> float:
        return self.start + max(self.processor, self.network, self.disk, self.store)

    @property
    def bound(self) -> str:
        busy = {"processor": self.processor, "network": self.network, "disk": self.disk, "store": self.store}
        return max(busy, key=lambda name: busy[name])


def fit(workload: str, runs: Sequence[Observed]) -> Rates:
    """Least squares of relative errors, so that short runs count as much as long ones. Needs runs of two sizes, and
    some that spilled where spilling is to cost anything."""
    passed = np.array([[1.0, run.gb / run.lanes, run.spilled / run.lanes] for run in runs])
    wall = np.array([run.wall for run in runs])
    start, pass_, spill = _positive(passed / wall[:, None], np.ones(len(runs)))
    cpu = np.array([run.cpu for run in runs])
    worked = np.array([[1.0, run.gb, run.spilled] for run in runs])
    _, used, _ = _positive(worked / cpu[:, None], np.ones(len(runs)))
    return Rates(workload, start, pass_, spill, used)


def _positive(rows: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
    """Without the terms that would come out below nothing: noise, or what never happened."""
    kept = [at for at in range(rows.shape[1]) if rows[:, at].any()]
    while True:
        found = np.linalg.lstsq(rows[:, kept], wanted, rcond=None)[0]
        worst = int(found.argmin())
        if found[worst] >= 0:
            break
        del kept[worst]
    all_of_them = [0.0, 0.0, 0.0]
    for at, value in zip(kept, found, strict=True):
        all_of_them[at] = float(value)
    return all_of_them[0], all_of_them[1], all_of_them[2]


def spilled(gb: float, workers: int, memory: int) -> float:
    """GB that find no room in the stores of so many workers of so much memory each."""
    return max(0.0, gb - workers * Budgets.for_limit(memory).store / GB)


def expected_wall(rates: Rates, gb: float, workers: int, lanes: int, memory: int) -> float:
    """Seconds on one machine, whose network, disk and store are its memory and its page cache."""
    return rates.start + (rates.pass_ * gb + rates.spill * spilled(gb, workers, memory)) / lanes


def predict(rates: Rates, gb: float, nodes: int, node: Node, stored: float) -> Prediction:
    """A job on machines side by side. stored: bytes in the object store for a byte in memory (compression)."""
    workers = nodes * node.cores
    over = spilled(gb, workers, int(node.memory / node.cores))
    return Prediction(
        start=rates.start,
        processor=(rates.pass_ * gb + rates.spill * over) / workers,
        network=gb * GB * (nodes - 1) / nodes / nodes / node.network,
        disk=2 * over * GB / nodes / node.disk,
        store=2 * stored * gb * GB / nodes / node.store,
    )


def cost(prediction: Prediction, nodes: int, node: Node) -> float:
    """Of the machines, in the currency of their price."""
    return nodes * node.price * prediction.wall / 3600
