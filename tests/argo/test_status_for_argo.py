"""A workflow's step ends when the job ends, the right way round, and never before: over whole lives of jobs."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import get_args

import pytest
import yaml

from shuffle_operator.api.status import REASONS, PhaseName
from shuffle_operator.kube.api import JOBS, Object, Resource
from shuffle_protocol.messages import Phase
from tests.argo.conditions import VALUE, parse, verdict
from tests.argo.workflows import WORKFLOWS, steps
from tests.operator.stage import NAMESPACE, Stage, sort_job

STEPS = [step for file in WORKFLOWS for step in steps(yaml.safe_load(file.read_text()))]


@pytest.fixture(params=sorted({(step["successCondition"], step["failureCondition"]) for step in STEPS}))
def conditions(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Success and failure, as the examples have them."""
    found: tuple[str, str] = request.param
    return found


class Step:
    """Sees every version of every job that the API server ever had; Argo sees some of them."""

    def __init__(self, stage: Stage) -> None:
        self.versions: list[Object] = []
        stage.kube.listeners.append(self._hear)

    def _hear(self, kind: str, resource: Resource, body: Object) -> None:
        if resource == JOBS and kind != "DELETED":
            self.versions.append(body)

    def verdicts(self, success: str, failure: str) -> list[str]:
        """One after the other, without repetitions."""
        return [each for each, _ in groupby(verdict(body, success, failure) for body in self.versions)]

    def phases(self) -> list[str]:
        return [phase for phase, _ in groupby(body.get("status", {}).get("phase", "") for body in self.versions)]


async def test_a_job_that_completes(stage: Stage, events: Path, tmp_path: Path, conditions: tuple[str, str]) -> None:
    step = Step(stage)
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out"))
    await stage.until(lambda: stage.status().get("phase") == "Complete" and not stage.pods())
    assert len(step.phases()) > 2
    assert step.phases()[0] == ""
    assert step.verdicts(*conditions) == ["waiting", "success"]


async def test_a_job_that_fails(stage: Stage, tmp_path: Path, conditions: tuple[str, str]) -> None:
    step = Step(stage)
    await stage.start()
    await stage.submit(sort_job(tmp_path / "nothing", tmp_path / "out"))
    await stage.until(lambda: stage.status().get("phase") == "Failed")
    assert step.verdicts(*conditions) == ["waiting", "failure"]


async def test_a_job_that_is_suspended_on_the_way(
    stage: Stage, events: Path, tmp_path: Path, conditions: tuple[str, str]
) -> None:
    step = Step(stage)
    await stage.start()
    await stage.submit(sort_job(events, tmp_path / "out", suspend=True))
    await stage.until(lambda: stage.status().get("phase") == "Suspended")
    await stage.kube.patch(JOBS, NAMESPACE, "sorted", {"spec": {"suspend": False}})
    await stage.until(lambda: stage.status().get("phase") == "Complete")
    assert "Suspended" in step.phases()
    assert step.verdicts(*conditions) == ["waiting", "success"]


@pytest.mark.parametrize("phase", get_args(PhaseName))
def test_each_phase_means_one_thing(phase: str, conditions: tuple[str, str]) -> None:
    wanted = {"Complete": "success", "Failed": "failure"}.get(phase, "waiting")
    assert verdict({"status": {"phase": phase}}, *conditions) == wanted


def test_a_job_that_nobody_has_seen_yet_is_waited_for(conditions: tuple[str, str]) -> None:
    for body in ({}, {"status": {}}, {"status": {"phase": None}}):
        assert verdict(body, *conditions) == "waiting"


def test_phases_and_reasons_can_stand_in_a_condition() -> None:
    assert set(get_args(PhaseName)) == set(Phase)
    for word in (*get_args(PhaseName), *REASONS):
        assert VALUE.fullmatch(word)
        assert len(word) <= 63
        parse(f"status.phase == {word}")
