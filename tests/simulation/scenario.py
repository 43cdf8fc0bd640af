"""One seed, one run, one judgement. `python -m tests.simulation.scenario SEED [COUNT]` replays and prints the trace."""

from __future__ import annotations

import dataclasses
import random
import sys
import time

from shuffle_worker.protocol.messages import Phase

from .virtual import Deadlock, OutOfTime, run_virtual
from .world import Faults, Shape, World

TIME_LIMIT = 3600.0
"""Virtual seconds after which a job that has not ended counts as stuck."""


class Wrong(AssertionError):
    """A run that ended badly; the message says how, `trace` what led there."""

    def __init__(self, message: str, trace: list[str]) -> None:
        super().__init__(message)
        self.trace = trace


def draw(seed: int) -> tuple[Shape, Faults]:
    """The job and the faults of a seed: calm ones and stormy ones."""
    r = random.Random(f"scenario {seed}")
    shape = Shape(
        workers=r.choice([1, 2, 3, 5]),
        splits=r.choice([1, 4, 9, 20]),
        rows=r.choice([1, 30, 60]),
        groups=r.choice([1, 3, 8, 13]),
        buckets_in_group=r.choice([1, 1, 3]),
        shared=random.Random(f"method {seed}").random()
        < 0.2,  # apart, so that the rest of a known seed stays as it was
    )
    storm = r.random()
    faults = Faults(
        lose=r.choice([0.0, 0.01, 0.1]) * storm,
        double=r.choice([0.0, 0.05, 0.3]) * storm,
        corrupt=r.choice([0.0, 0.0, 0.05]) * storm,
        delay=r.choice([0.001, 0.02, 0.3]),
        kill=r.choice([0.0, 0.1, 0.5, 2.0]) * storm,
        freeze=r.choice([0.0, 0.0, 0.2]) * storm,
        coordinator=r.choice([0.0, 0.0, 0.1]) * storm,
    )
    return shape, faults


def check(seed: int, shared: bool | None = None) -> World:
    """Run a seed. shared: whether shards go by object storage, None as the seed has it.

    Raises Wrong unless the job completed with every row in exactly its place."""
    shape, faults = draw(seed)
    if shared is not None:
        shape = dataclasses.replace(shape, shared=shared)
    world = World(seed, shape, faults)
    random.seed(seed)  # the jitter of agents and outboxes
    try:
        run_virtual(world.run(), TIME_LIMIT)
    except (Deadlock, OutOfTime, AssertionError) as error:
        raise Wrong(f"seed {seed}: {type(error).__name__}: {error} ({shape}, {faults})", world.trace) from error
    if world.machine.phase is not Phase.COMPLETE:
        raise Wrong(f"seed {seed}: the job failed: {world.machine.cause} ({shape}, {faults})", world.trace)
    for group in range(shape.groups):
        found, expected = world.objects.groups.get(group), shape.expected(group)
        if found != expected:
            raise Wrong(f"seed {seed}: group {group} holds {found} instead of {expected}", world.trace)
    return world


def main() -> int:
    first = int(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    since = time.monotonic()
    for seed in range(first, first + count):
        try:
            world = check(seed)
        except Wrong as wrong:
            print(*wrong.trace, f"\n{wrong}", sep="\n")  # noqa: T201
            return 1
        if count == 1:
            print(*world.trace, sep="\n")  # noqa: T201
    print(f"{count} schedules, all right, {time.monotonic() - since:.1f} s")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
