"""A spec that is changed although it cannot be, as an old API server lets anybody do."""

from __future__ import annotations

from typing import Any

import pytest

from shuffle_operator.api.rules import FROZEN, FROZEN_WORKERS_BUT
from shuffle_operator.api.spec import Spec
from shuffle_operator.handlers import accepted
from shuffle_operator.kube.api import EVENTS
from tests.operator.puppets import Puppets
from tests.operator.small_jobs import job, patch, until_phase, until_ready
from tests.operator.stage import Stage

OTHER = {"path": "/elsewhere", "partitions": 9}


def said(stage: Stage) -> list[str]:
    found = [b for (kind, _, _), b in stage.kube.objects.items() if kind == EVENTS]
    return [body["message"] for body in found if body["reason"] == "SpecChangeIgnored"]


def output(stage: Stage) -> str:
    operator = stage.operator
    assert operator is not None
    return next(iter(operator.reconciler.active.values())).machine.state.job.output.path


async def test_a_change_of_a_running_job_is_ignored_and_said(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job(backoffLimit=3))
    await until_ready(stage)
    await patch(stage, output=OTHER, backoffLimit=0, managedBy="someone.else/x", workers={"replicas": 3})
    await stage.until(lambda: stage.status()["observedGeneration"] == 2 and said(stage))
    assert said(stage) == [
        "spec.backoffLimit, spec.managedBy, spec.output cannot be changed while the job runs, and the change is ignored"
    ]
    await until_ready(stage, 3)  # which can be changed
    puppets.end("sorted-w-0-0", 1)  # one failure, of three that it may have
    puppets.hold.set()
    await until_phase(stage, "Complete")
    assert stage.status()["output"]["path"] == "/out"


async def test_the_next_operator_goes_by_what_was_accepted(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await patch(stage, output=OTHER)
    await stage.until(lambda: "acceptedSpec" in stage.status())
    await stage.kill()
    operator = await stage.start(kubelet=False)
    await stage.until(lambda: operator.reconciler.active)
    assert output(stage) == "/out"
    puppets.hold.set()
    await until_phase(stage, "Complete")
    assert stage.status()["output"]["path"] == "/out"


async def test_a_change_that_is_taken_back_leaves_nothing(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await patch(stage, backoffLimit=7)
    await stage.until(lambda: "acceptedSpec" in stage.status())
    await patch(stage, backoffLimit=None)
    await stage.until(lambda: "acceptedSpec" not in stage.status())
    puppets.hold.set()
    await until_phase(stage, "Complete")


async def test_a_change_that_no_operator_saw_fails_the_job(stage: Stage, puppets: Puppets) -> None:
    """Rather than to go on with a plan that is another one's."""
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await stage.kill()
    await patch(stage, output=OTHER)
    puppets.hold.set()
    await stage.start(kubelet=False)
    await until_phase(stage, "Failed")
    assert stage.status()["message"].startswith("InvalidSpec")
    assert "changed while the job ran and no operator was there" in stage.status()["message"]
    await stage.until(lambda: "cleaningUp" not in stage.status(), within=60)


@pytest.mark.parametrize("change", [{"output": OTHER}, {"suspend": True}], ids=str)
async def test_a_change_of_a_finished_job_is_answered(stage: Stage, puppets: Puppets, change: dict[str, Any]) -> None:
    await stage.submit(job())
    await stage.until(lambda: stage.status().get("phase") == "Complete" and "cleaningUp" not in stage.status())
    operator = stage.operator
    assert operator is not None
    await stage.until(lambda: not operator.reconciler.active)
    await patch(stage, **change)
    await stage.until(lambda: stage.status()["observedGeneration"] == 2)
    await stage.until(lambda: said(stage) != [])
    assert "nothing comes of the change" in said(stage)[0]
    assert stage.status()["phase"] == "Complete"


async def test_a_refused_job_that_is_corrected_is_told_what_to_do(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job(operation={"sort": {"by": []}}))
    await until_phase(stage, "Failed")
    await patch(stage, operation={"sort": {"by": [{"column": "key"}]}})
    await stage.until(lambda: said(stage) != [])
    assert "delete the job and create it again" in said(stage)[0]


async def test_a_suspended_job_may_be_changed(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    await patch(stage, suspend=True)
    puppets.hold.set()
    await until_phase(stage, "Suspended")
    await patch(stage, suspend=False, workers={"replicas": 1, "priorityClassName": "high"})
    await until_phase(stage, "Complete")
    assert said(stage) == []


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ({"a": 1}, {"a": 1, "suspend": True, "activeDeadlineSeconds": 5, "ttlSecondsAfterFinished": 1}, []),
        ({"a": 1, "workers": {"replicas": 1}}, {"a": 1, "workers": {"replicas": 2}}, []),
        ({"a": 1}, {"a": 1, "workers": {"replicas": 2}}, []),
        ({"a": 1}, {"a": 2}, ["spec.a"]),
        ({"a": 1}, {}, ["spec.a"]),
        ({"workers": {"image": "a"}}, {"workers": {"image": "b"}}, ["spec.workers"]),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, []),
    ],
)
def test_what_counts_as_a_change(old: dict[str, Any], new: dict[str, Any], fields: list[str]) -> None:
    assert accepted.changed(old, new) == fields
    assert (accepted.digest(old) == accepted.digest(new)) == (not fields)
    assert accepted.changed(old, accepted.effective(old, new)) == []


FILLED = {
    "operation": {"sort": {"by": [{"column": "key", "order": "Ascending", "nulls": "Last"}]}},
    "backoffLimit": 3,
    "recovery": {"retainShards": False},
    "podRetention": "OnFailure",
}
"""Defaults, as an API server with another definition would have filled them in."""


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (FILLED, []),
        ({"output": {"path": "/out", "onExisting": "Fail"}}, []),
        ({"inputs": [{"path": "/in", "format": None}]}, []),
        ({**FILLED, "backoffLimit": 4}, ["spec.backoffLimit"]),
        ({"recovery": {"retainShards": True}}, ["spec.recovery"]),
        ({"operation": {"sort": {"by": [{"column": "key", "order": "Descending"}]}}}, ["spec.operation"]),
        ({"output": {"path": "/elsewhere", "onExisting": "Fail"}}, ["spec.output"]),
        ({"backoffLimit": "three"}, ["spec.backoffLimit"]),
    ],
    ids=str,
)
def test_a_default_that_is_filled_in_is_no_change(change: dict[str, Any], fields: list[str]) -> None:
    plain = {
        "operation": {"sort": {"by": [{"column": "key"}]}},
        "inputs": [{"path": "/in"}],
        "output": {"path": "/out"},
    }
    given = {**plain, **change}
    assert accepted.changed(plain, given) == fields
    assert accepted.changed(given, plain) == fields
    known = {"specDigest": accepted.digest(plain)}
    assert (accepted.accepted_of({"spec": given, "status": known}) == given) == (not fields)


def test_every_field_can_be_changed_or_cannot() -> None:
    """A new field of the spec has to be put among the ones or the others."""
    assert accepted.FOLLOWED == ("suspend", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
    assert {*FROZEN, *accepted.FOLLOWED, "workers"} == {field.alias for field in Spec.model_fields.values()}
    assert FROZEN_WORKERS_BUT == ("replicas",)
