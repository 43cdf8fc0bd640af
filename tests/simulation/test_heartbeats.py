"""A worker that is busy with something long is not taken for one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .model import Shape
from .virtual import run_virtual
from .world import Faults, World


class SlowLoading(World):
    """Workers take three times as long to load the plan as they may be silent, as on a machine that is overloaded."""

    def _run_for(self, incarnation: str, mean: float) -> Callable[..., Any]:
        plain = super()._run_for(incarnation, mean)

        async def run(function: Callable[..., Any], *arguments: Any) -> Any:
            if getattr(function, "__name__", "") == "load":
                await asyncio.sleep(3 * self.settings.silence)
            return await plain(function, *arguments)

        return run


def test_workers_that_load_the_plan_for_long_are_not_lost() -> None:
    world = SlowLoading(7, Shape(workers=4, splits=8, rows=30, groups=5), Faults())
    run_virtual(world.run(), 3600.0)
    assert world.objects.committed
    assert world.machine.lost == 0, world.trace[-20:]
