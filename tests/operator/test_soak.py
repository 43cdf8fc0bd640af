"""What the operator holds does not grow with the jobs that it has seen."""

from __future__ import annotations

from tests.operator.soak import AT_ONCE, soak
from tests.operator.stage import Stage


async def test_tasks_handles_and_objects_stay_as_many(stage: Stage) -> None:
    await stage.start(kubelet=False)
    first, second = [held async for held in soak(stage, 2 * AT_ONCE, AT_ONCE)]
    operator = stage.operator
    assert operator is not None
    assert second.tasks <= first.tasks
    assert second.handles <= first.handles + 2
    assert second.objects <= first.objects + 20 * AT_ONCE  # a job that was kept would be hundreds
    assert not operator.cache.jobs()
    assert not operator.server.jobs
    assert not operator.reconciler.finished_here
    assert not operator.queue._entries
