"""A worker that has not loaded the plan when the job ends: the plan is gone, and that is nobody's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.formats.one_process import job_of

from shuffle_protocol.errors import InputNotFound
from shuffle_protocol.jobs import Job
from shuffle_protocol.memory import Budgets
from shuffle_worker.output.names import staging
from shuffle_worker.tables.work import Tasks
from shuffle_worker.transfer.transport import Over
from shuffle_worker.transfer.work import WorkSetup
from shuffle_worker.worker.loading import PlanLoading


@pytest.fixture
def job(tmp_path: Path) -> Job:
    pq.write_table(pa.table({"a": range(10)}), tmp_path / "in.parquet")
    return job_of(tmp_path / "in.parquet", {"path": str(tmp_path / "out")})


def loading(job: Job, scratch: Path, is_over: Callable[[], bool], tries: int = 5) -> tuple[PlanLoading, Tasks]:
    tasks = Tasks(WorkSetup(Budgets.for_limit(job.memory), scratch))

    async def aside(function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    async def asked() -> bool:
        return is_over()

    return PlanLoading(lambda _: tasks, aside, asked, tries, 0.01), tasks


async def test_a_plan_that_is_there(job: Job, tmp_path: Path) -> None:
    loads, tasks = loading(job, tmp_path, lambda: pytest.fail("nobody need be asked"))
    summary = tasks.plan(job)
    work, loaded = await loads.load(job, summary.fingerprint)
    assert (work, loaded) == (tasks, summary)


async def test_a_plan_that_the_end_of_the_job_removed(job: Job, tmp_path: Path) -> None:
    """The coordinator may learn of that a moment later than the worker finds nothing."""
    answers = iter([False, False, True])
    loads, tasks = loading(job, tmp_path, lambda: next(answers))
    summary = tasks.plan(job)
    tasks.abort(job)
    with pytest.raises(Over):
        await loads.load(job, summary.fingerprint)
    assert next(answers, None) is None


async def test_a_plan_that_is_put_back(job: Job, tmp_path: Path) -> None:
    folder = Path(staging(str(tmp_path / "out"), job.uid))

    def put_back() -> bool:
        (folder / "aside").rename(folder / "plan")
        return False

    loads, tasks = loading(job, tmp_path, put_back)
    summary = tasks.plan(job)
    (folder / "plan").rename(folder / "aside")
    assert (await loads.load(job, summary.fingerprint))[1] == summary


async def test_a_plan_that_somebody_removed(job: Job, tmp_path: Path) -> None:
    asked = []

    def goes_on() -> bool:
        asked.append(1)
        return False

    loads, tasks = loading(job, tmp_path, goes_on, tries=3)
    summary = tasks.plan(job)
    tasks.abort(job)
    with pytest.raises(InputNotFound, match="plan: no such file"):
        await loads.load(job, summary.fingerprint)
    assert len(asked) == 3
