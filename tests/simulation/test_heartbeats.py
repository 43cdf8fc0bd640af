"""A worker that is busy with something long, or waits for a store that is away, is not taken for one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from shuffle_protocol.errors import StorageUnavailable
from tests.simulation.model import Shape
from tests.simulation.virtual import run_virtual
from tests.simulation.world import Faults, World

SHAPE = Shape(workers=4, splits=8, rows=30, groups=5)


class SlowLoading(World):
    """Workers take three times as long to load the plan as they may be silent, as on a machine that is overloaded."""

    def _run_for(self, incarnation: str, mean: float) -> Callable[..., Any]:
        plain = super()._run_for(incarnation, mean)

        async def run(function: Callable[..., Any], *arguments: Any) -> Any:
            if getattr(function, "__name__", "") == "load":
                await asyncio.sleep(3 * self.settings.silence)
            return await plain(function, *arguments)

        return run


class NoStore(World):
    """The plan cannot be loaded by anybody in the first `away` seconds."""

    away = 40.0
    failed = 0

    def _run_for(self, incarnation: str, mean: float) -> Callable[..., Any]:
        plain = super()._run_for(incarnation, mean)

        async def run(function: Callable[..., Any], *arguments: Any) -> Any:
            if getattr(function, "__name__", "") == "load" and self.now < self.away:
                self.failed += 1
                raise StorageUnavailable("503 Slow Down, until the retries were spent")
            return await plain(function, *arguments)

        return run


def test_workers_that_load_the_plan_for_long_are_not_lost() -> None:
    world = SlowLoading(7, SHAPE, Faults())
    run_virtual(world.run(), 3600.0)
    assert world.objects.committed
    assert world.machine.state.lost == 0, world.trace[-20:]


def test_workers_wait_for_a_store_that_does_not_give_them_the_plan() -> None:
    world = NoStore(7, SHAPE, Faults())
    run_virtual(world.run(), 3600.0)
    assert world.objects.committed
    assert world.failed > SHAPE.workers, world.failed
    assert world.machine.state.lost == 0, world.trace[-20:]


def test_who_never_gets_the_plan_ends_and_says_why() -> None:
    world = NoStore(7, SHAPE, Faults())
    world.away = 600.0
    run_virtual(world.run(), 3600.0)
    assert world.objects.committed
    assert world.machine.state.lost >= SHAPE.workers
    assert any("503 Slow Down" in line for line in world.trace), world.trace[-20:]
