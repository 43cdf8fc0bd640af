"""How many requests of each kind a job costs the API server: docs/operator.md has these figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shuffle_operator.kube.api import JOBS
from tests.operator.puppets import Puppets
from tests.operator.small_jobs import job, until_phase
from tests.operator.stage import Stage

PAGE = Path(__file__).parents[2] / "docs" / "operator.md"
MOST_PATCHES = 20
"""Of the status, for a job of seconds: 7 or 8 on a machine that is not busy. One a worker would be more."""


async def asked_for(stage: Stage, phase: str, **spec: Any) -> Counter[tuple[str, str]]:
    """By verb and kind, without the one that submits the job."""
    stage.kube.requests.clear()
    await stage.submit(job(**spec))
    await until_phase(stage, phase)
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: not stage.pods() and not operator.reconciler.active)
    await operator.recorder.drain()
    return stage.kube.requests - Counter({("create", JOBS.plural): 1})


@pytest.mark.parametrize("workers", [3, 30])
async def test_requests_for_a_job(stage: Stage, puppets: Puppets, workers: int) -> None:
    resources = {"limits": {"memory": "512Mi"}}
    found = await asked_for(stage, "Complete", workers={"replicas": workers, "resources": resources})
    patches = found.pop(("patch", "shufflejobs"))
    assert 0 < patches <= MOST_PATCHES
    assert found == {
        ("create", "secrets"): 1,
        ("delete", "secrets"): 1,
        ("create", "pods"): workers,
        ("delete", "pods"): workers,
        ("create", "events"): 6,
    }
    row = f"| with {workers} workers | {workers} pods made and deleted, the Secret made and deleted, 6 events, "
    assert f"\n{row}8 patches of the status or so, never one a worker |" in PAGE.read_text(encoding="utf-8")


async def test_requests_for_a_job_that_is_refused(stage: Stage, puppets: Puppets) -> None:
    refused = {"replicas": 2, "podTemplate": {"spec": {"hostNetwork": True}}}
    found = await asked_for(stage, "Failed", workers=refused)
    assert found == {("patch", "shufflejobs"): 1, ("create", "events"): 1}
    assert "\n| that is refused | a patch of its status and an event |" in PAGE.read_text(encoding="utf-8")
