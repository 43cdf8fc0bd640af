"""Jobs that are suspended, resized, deleted, timed out and cleaned away."""

from __future__ import annotations

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.jobs import KIND, REPARTITION
from e2e.harness.waiting import until
from shuffle_operator.api.schema import UNSEEN


def test_suspend_and_resume(submit: Submit, slowly: None, as_local: Compare) -> None:
    job = submit("paused", REPARTITION)
    job.until_phase("Transferring")
    job.kubectl.patch(KIND, job.name, {"spec": {"suspend": True}})
    job.until_phase("Suspended", seconds=60)
    until("its pods are gone", lambda: not job.pods(), seconds=60)
    assert job.condition("Suspended")["status"] == "True"
    job.kubectl.patch(KIND, job.name, {"spec": {"suspend": False}})
    job.complete(seconds=400)
    as_local(job)
    assert job.condition("Suspended")["status"] == "False"


def test_suspended_from_the_start(submit: Submit) -> None:
    job = submit("kept", REPARTITION, suspend=True)
    job.until_phase("Suspended", seconds=30)
    assert job.pods() == []
    job.kubectl.patch(KIND, job.name, {"spec": {"suspend": False}})
    job.complete()


@pytest.mark.parametrize("phase", ["Transferring", "Writing"])
def test_deleted_in_the_middle(submit: Submit, slowly: None, phase: str) -> None:
    job = submit("unwanted", REPARTITION)
    job.until_phase(phase)
    job.kubectl.delete(KIND, job.name, wait=True)
    until("its pods are gone", lambda: not job.pods(), seconds=60)
    until("nothing is written", lambda: job.bucket.names(job.output) == [], seconds=60)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (4, 2)])
def test_replicas_are_changed_while_it_runs(
    submit: Submit, slowly: None, as_local: Compare, before: int, after: int
) -> None:
    job = submit("resized", REPARTITION, workers={"replicas": before})
    job.until_phase("Transferring")
    job.kubectl.patch(KIND, job.name, {"spec": {"workers": {"replicas": after}}})
    until(f"{after} workers", lambda: len(job.pods()) == after, seconds=90, said=job.told)
    job.complete(seconds=500)
    as_local(job)


def test_a_deadline(submit: Submit, slowly: None) -> None:
    job = submit("late", REPARTITION, activeDeadlineSeconds=12)
    status = job.failed("DeadlineExceeded", seconds=120)
    assert "activeDeadlineSeconds" in status["message"]
    until("its pods are gone", lambda: not job.running(), seconds=60)
    assert job.bucket.names(job.output) == []


def test_time_to_live(submit: Submit) -> None:
    job = submit("brief", REPARTITION, ttlSecondsAfterFinished=5)
    until("it is gone", lambda: job.kubectl.get(KIND, job.name) is None, seconds=120)
    assert "_SUCCESS" in job.bucket.names(job.output)


def test_a_namespace_with_a_job_in_it_goes_away(submit: Submit, slowly: None) -> None:
    job = submit("inhabitant", REPARTITION)
    job.until_phase("Transferring")
    namespace = job.kubectl.namespace
    job.kubectl("delete", "namespace", namespace, "--wait=false")
    until("the namespace is gone", lambda: job.kubectl.get("namespace", namespace) is None, seconds=90)


def test_another_operators_job_is_left_alone(submit: Submit) -> None:
    other = submit("other", REPARTITION, managedBy="example.com/somebody-else")
    own = submit("own", REPARTITION)
    own.complete()
    assert other.pods() == []
    assert other.status == UNSEEN
