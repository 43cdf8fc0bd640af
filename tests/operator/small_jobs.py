"""Jobs that puppets carry out in no time, and waiting for what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shuffle_operator.kube.api import JOBS
from tests.operator.stage import NAMESPACE, Stage, sort_job


def job(name: str = "sorted", **spec: Any) -> dict[str, Any]:
    return sort_job(Path("/in"), Path("/out"), name, **spec)


async def patch(stage: Stage, **spec: Any) -> None:
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": spec})


async def until_phase(stage: Stage, phase: str, name: str = "sorted") -> None:
    await stage.until(lambda: stage.status(name).get("phase") == phase)


async def until_ready(stage: Stage, count: int = 2) -> None:
    await stage.until(lambda: stage.status().get("workers", {}).get("ready") == count, within=20)
