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
    """One measured run. gb: Arrow bytes of the input, in 1e9; lanes: workers that had a core of their own; crowded:
    whether no core was left over; store: what a worker's store holds, as gb; spilled: as gb; wall, cpu: seconds."""

    workers: int
    gb: float
    lanes: int
    crowded: bool
    store: float
    spilled: float
    wall: float
    cpu: float


@dataclass(frozen=True)
class Rates:
    """What an operation costs, on cores like those that it was measured on."""

    workload: str
    start: float
    """Seconds of a job of no bytes: plan, commit."""
    worker: float
    """Seconds more for each worker that starts on the same machine."""
    pass_: float
    """Seconds in which a worker with one core, others idle beside it, brings a GB from input to output, in memory."""
    spill: float
    """Seconds more for a GB that is spilled and read back."""
    crowd: float
    """Times as long that both take where every core of the machine has a worker."""
    sent: float
    """GB that stores receive for a GB of the input: more where there is a second input, less where rows are aggregated
    before they are sent."""
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


CROWDS = np.linspace(1.0, 2.0, 101)
"""What is tried for `Rates.crowd`."""


def fit(workload: str, runs: Sequence[Observed]) -> Rates:
    """Least squares of relative errors, so that short runs count as much as long ones. Needs runs of two sizes, and
    some that spilled where spilling is to cost anything."""
    wall = np.array([run.wall for run in runs])
    fits = [(crowd, _positive(_passed(runs, crowd) / wall[:, None])) for crowd in CROWDS]
    crowd, (start, worker, pass_, spill) = min(
        fits, key=lambda one: float(np.square(_passed(runs, one[0]) @ one[1] / wall - 1).sum())
    )
    cpu = np.array([run.cpu for run in runs])
    worked = np.array([[1.0, run.workers, run.gb, run.spilled] for run in runs])
    used = _positive(worked / cpu[:, None])[2]
    return Rates(workload, *map(float, (start, worker, pass_, spill, crowd)), _sent(runs), float(used))


def _passed(runs: Sequence[Observed], crowd: float) -> np.ndarray:
    """Of each run: by how much start, workers, bytes and spilled bytes count."""
    rows = [
        (1.0, run.workers, *(np.array([run.gb, run.spilled]) / run.lanes * (crowd if run.crowded else 1)))
        for run in runs
    ]
    return np.array(rows)


def _sent(runs: Sequence[Observed]) -> float:
    """From the runs whose stores were full; 1 where there is none."""
    full = [(run.spilled + run.workers * run.store) / run.gb for run in runs if run.spilled]
    return float(np.median(full)) if full else 1.0


def _positive(rows: np.ndarray) -> np.ndarray:
    """What makes each row 1, without the terms that would come out below nothing: noise, or what never happened."""
    found = np.zeros(rows.shape[1])
    kept = [at for at in range(rows.shape[1]) if rows[:, at].any()]
    while True:
        solved = np.linalg.lstsq(rows[:, kept], np.ones(len(rows)), rcond=None)[0]
        worst = int(solved.argmin())
        if solved[worst] >= 0:
            break
        del kept[worst]
    found[kept] = solved
    return found


def least_store(memory: int) -> float:
    """GB that the store of a worker of so much memory holds, whatever its leases need."""
    return Budgets.for_limit(memory).store / GB


def spilled(sent: float, workers: int, store: float) -> float:
    """GB that find no room in the stores of so many workers, of so many GB each, of what is sent to them."""
    return max(0.0, sent - workers * store)


def expected_wall(rates: Rates, gb: float, workers: int, cores: int, store: float) -> float:
    """Seconds on one machine, whose network, disk and store are its memory and its page cache. store: GB of each."""
    work = rates.pass_ * gb + rates.spill * spilled(rates.sent * gb, workers, store)
    crowd = rates.crowd if workers >= cores else 1.0
    return rates.start + rates.worker * workers + work * crowd / min(workers, cores)


def predict(rates: Rates, gb: float, nodes: int, node: Node, stored: float) -> Prediction:
    """A job on machines side by side. stored: bytes in the object store for a byte in memory (compression)."""
    workers = nodes * node.cores
    sent = rates.sent * gb
    over = spilled(sent, workers, least_store(int(node.memory / node.cores)))
    return Prediction(
        start=rates.start + rates.worker * node.cores,
        processor=(rates.pass_ * gb + rates.spill * over) * rates.crowd / workers,
        network=sent * GB * (nodes - 1) / nodes / nodes / node.network,
        disk=2 * over * GB / nodes / node.disk,
        store=2 * stored * gb * GB / nodes / node.store,
    )


def cost(prediction: Prediction, nodes: int, node: Node) -> float:
    """Of the machines, in the currency of their price."""
    return nodes * node.price * prediction.wall / 3600
