"""One seed, one run, one judgement. `python -m tests.simulation.scenario SEED [COUNT]` replays and prints the trace."""

from __future__ import annotations

import logging
import random
import sys
import time
from dataclasses import replace

from shuffle_worker.protocol.messages import Phase

from .model import Shape
from .virtual import Deadlock, OutOfTime, run_virtual
from .world import Faults, World

TIME_LIMIT = 7200.0
"""Virtual seconds after which a job that has not ended counts as stuck."""


class Wrong(AssertionError):
    """A run that ended badly; the message says how, `trace` what led there."""

    def __init__(self, message: str, trace: list[str]) -> None:
        super().__init__(message)
        self.trace = trace


def draw(seed: int) -> tuple[Shape, Faults]:
    """The job and the faults of a seed: calm ones and stormy ones, with any mixture of faults."""
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


def check(seed: int) -> World:
    """Run a seed. Raises Wrong unless the job completed with every row in exactly its place."""
    shape, faults = draw(seed)
    return judge(seed, shape, faults)


def judge(seed: int, shape: Shape, faults: Faults) -> World:
    world = World(seed, shape, faults)
    random.seed(seed)  # the jitter of agents and outboxes
    try:
        run_virtual(world.run(), TIME_LIMIT)
        _judge(world)
    except (Deadlock, OutOfTime, AssertionError) as error:
        raise Wrong(f"seed {seed}: {type(error).__name__}: {error} ({shape}, {faults})", world.trace) from error
    return world


def _judge(world: World) -> None:
    if world.machine.phase is not Phase.COMPLETE:
        assert _explained(world), f"the job failed: {world.machine.cause}"
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
    cause = world.machine.cause
    if cause is None:
        return False
    if cause.reason == "OutOfDisk":
        return world.faults.full > 0
    return cause.reason == "StorageUnavailable" and world.faults.store > 0


def main() -> int:
    logging.disable()  # the trace says it all
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
