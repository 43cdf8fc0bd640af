"""One seed, one run, one judgement.

make simulate                                  100,000 schedules from seed 0, on every core, to the first wrong one
make simulate SEED=123 SCHEDULES=1             one of them, with its trace
make simulate SEED=0 WITHOUT=dedupe            with a guard switched off (`guards.py`): one will go wrong
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from multiprocessing import get_context

from shuffle_protocol.messages import Phase
from tests.simulation.guards import GUARDS, without
from tests.simulation.model import Shape
from tests.simulation.virtual import Deadlock, OutOfTime, run_virtual
from tests.simulation.world import Faults, World

TIME_LIMIT = 7200.0
"""Virtual seconds after which a job that has not ended counts as stuck."""


class Wrong(AssertionError):
    """A run that ended badly; the message says how, `trace` what led there."""

    def __init__(self, message: str, trace: list[str]) -> None:
        super().__init__(message)
        self.trace = trace


def draw(seed: int, *, pods: bool = True) -> tuple[Shape, Faults]:
    """The job and the faults of a seed: calm ones and stormy ones, with any mixture of faults. pods: some of
    several workers."""
    r = random.Random(f"scenario {seed}")
    shape = Shape(
        workers=r.choice([1, 2, 3, 5]),
        splits=r.choice([1, 4, 9, 20]),
        rows=r.choice([1, 30, 60]),
        groups=r.choice([1, 3, 8, 13]),
        buckets_in_group=r.choice([1, 1, 3]),
        retain=r.choice([False, True]),
        shared=r.random() < 0.2,
    )
    most = min(shape.splits, shape.groups)
    if not shape.shared and most > 1:
        shape = replace(shape, waves=min(random.Random(f"waves {seed}").choice([1, 1, 2, 3]), most))
    if pods:
        each = random.Random(f"pods {seed}").choice([1, 1, 1, 2, 3])
        shape = replace(shape, per_pod=each, workers=shape.workers if each == 1 else each * min(shape.workers, 3))
    storm = r.random()

    def some(*chances: float) -> float:
        return r.choice([0.0, *chances]) * storm

    faults = Faults(
        lose=some(0.01, 0.1),
        double=some(0.05, 0.3),
        corrupt=some(0.0, 0.05),
        delay=r.choice([0.001, 0.02, 0.3]),
        kill=some(0.1, 0.5, 2.0),
        burst=some(0.0, 0.1),
        freeze=some(0.0, 0.2),
        evict=some(0.0, 0.3, 1.0),
        slow=some(0.0, 0.3),
        hang=some(0.0, 0.0, 0.05),
        full=some(0.0, 0.3),
        rot=some(0.0, 0.01),
        store=some(0.0, 0.02),
        resize=some(0.0, 0.3),
        coordinator=some(0.0, 0.1),
        everything=some(0.0, 0.0, 0.05),
    )
    return shape, faults


def check(seed: int, *, pods: bool = True) -> World:
    """Run a seed. Raises Wrong unless the job completed with every row in exactly its place."""
    shape, faults = draw(seed, pods=pods)
    return judge(seed, shape, faults)


def judge(seed: int, shape: Shape, faults: Faults) -> World:
    world = World(seed, shape, faults)
    random.seed(seed)  # the jitter of agents and outboxes
    try:
        run_virtual(world.run(), TIME_LIMIT)
        _judge(world)
    except (Deadlock, OutOfTime, AssertionError) as error:
        why = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise Wrong(f"seed {seed}: {why}\n{_job(shape)}\n{_faults(faults)}", world.trace) from error
    return world


def _judge(world: World) -> None:
    if world.machine.state.phase is not Phase.COMPLETE:
        assert _explained(world), f"the job failed: {world.machine.state.cause and world.machine.state.cause.message}"
        assert not world.objects.groups, "the job failed and its output is there"
        return
    for group in range(world.shape.groups):
        found, expected = world.objects.groups.get(group), world.shape.expected(group)
        assert found == expected, f"group {group} holds {found} instead of {expected}"
    calm = not world.losses and not world.forgotten
    bound = world.shape.splits * (1 + world.losses + world.forgotten) if not calm else world.shape.splits
    if calm and not (world.faults.lose or world.faults.store or world.faults.rot or world.faults.full):
        assert world.objects.rewritten == 0, "output was written again, and nothing was lost"
    if not (world.faults.lose or world.faults.store or world.faults.rot or world.faults.full or world.faults.resize):
        # Each once more by a second attempt; what a lost worker had begun; and for groups that were handed over what
        # their owner had not received by then.
        most = 2 * bound + world.losses + world.handed_over * world.shape.splits
        assert world.objects.reads <= most, f"{world.objects.reads} splits were read, {most} are the most"


def _explained(world: World) -> bool:
    """Whether the faults account for a job that failed."""
    cause = world.machine.state.cause
    if cause is None:
        return False
    if cause.reason == "OutOfDisk":
        return world.faults.full > 0
    return cause.reason == "StorageUnavailable" and world.faults.store > 0


def _job(shape: Shape) -> str:
    return "job:    " + ", ".join(f"{one.name} {getattr(shape, one.name)}" for one in fields(shape))


def _faults(faults: Faults) -> str:
    """Those that there were."""
    there = [(one.name, getattr(faults, one.name)) for one in fields(faults)]
    return "faults: " + ", ".join(f"{name} {value:.3g}" for name, value in there if value and name != "most_kills")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the log of what runs: the trace says it all."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


BATCH = 50
"""Schedules that a process is given at a time."""


def _first_wrong(first: int, count: int, guard: str) -> tuple[int, str, list[str]] | None:
    """Seed, message and trace of the first of these that goes wrong."""
    with quiet(), without(guard):
        for seed in range(first, first + count):
            try:
                check(seed)
            except Wrong as wrong:
                return seed, str(wrong), wrong.trace
    return None


def _all(first: int, count: int, guard: str, processes: int) -> Iterator[tuple[int, tuple[int, str, list[str]] | None]]:
    """Batch by batch, in order: how many schedules it had, and what went wrong first."""
    starts = range(first, first + count, BATCH)
    sizes = [min(BATCH, first + count - start) for start in starts]
    if processes == 1:
        for start, size in zip(starts, sizes, strict=True):
            yield size, _first_wrong(start, size, guard)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        try:
            guards = [guard] * len(sizes)
            yield from zip(sizes, pool.map(_first_wrong, starts, sizes, guards), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def main(arguments: Sequence[str] | None = None) -> int:
    it = argparse.ArgumentParser(prog="python -m tests.simulation.scenario", description=__doc__.split("\n")[0])
    it.add_argument("seed", type=int, help="the first one")
    it.add_argument("count", type=int, nargs="?", default=1, help="how many; 1: with its trace (default: 1)")
    it.add_argument("--without", default="", choices=["", *GUARDS], help="switch a guard off")
    it.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="(default: one a core)")
    options = it.parse_args(arguments)
    with quiet():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    if options.count == 1:
        with without(options.without):
            return _replay(options.seed, options.without)
    since = told = time.monotonic()
    done = 0
    for size, wrong in _all(options.seed, options.count, options.without, options.processes):
        if wrong is not None:
            _tell(*wrong, options.without)
            return 1
        done += size
        if sys.stderr.isatty() and time.monotonic() - told > 1.0:
            told = time.monotonic()
            print(f"\r{done:,} of {options.count:,} schedules", end="", file=sys.stderr, flush=True)  # noqa: T201
    seconds = time.monotonic() - since
    print(f"{done:,} schedules, all right, {seconds:.1f} s, {done / seconds:.1f} a second")  # noqa: T201
    return 0


def _replay(seed: int, guard: str) -> int:
    try:
        world = check(seed)
    except Wrong as wrong:
        _tell(seed, str(wrong), wrong.trace, guard)
        return 1
    print(*world.trace, sep="\n")  # noqa: T201
    print(f"\nright: seed {seed}\n{_job(world.shape)}\n{_faults(world.faults)}")  # noqa: T201
    return 0


def _tell(seed: int, why: str, trace: list[str], guard: str) -> None:
    command = f"make simulate SEED={seed} SCHEDULES=1" + (f" WITHOUT={guard}" if guard else "")
    print(*trace, f"\nwrong: {why}", f"replay: {command}", sep="\n")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
