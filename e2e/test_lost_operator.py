"""The operator may go at any time: workers keep working, and the next one picks every job up where it is."""

from __future__ import annotations

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.faults import Faults
from e2e.harness.jobs import REPARTITION, Job
from e2e.harness.operator import RELEASE, Operator
from e2e.harness.waiting import until


def names(job: Job) -> set[str]:
    return {pod["metadata"]["uid"] for pod in job.pods()}


def replaced(operator: Operator) -> None:
    """Deletes its pod and waits for the next one."""
    old = operator.pod()["metadata"]
    operator.kubectl.delete("pod", old["name"], now=True)
    until("another operator", lambda: operator.pod()["metadata"]["uid"] != old["uid"], seconds=120)


@pytest.mark.core
@pytest.mark.parametrize("phase", ["Transferring"])
def test_its_pod_is_deleted(submit: Submit, operator: Operator, slowly: None, as_local: Compare, phase: str) -> None:
    job = submit("orphan", REPARTITION)
    job.until_phase(phase)
    until("workers run", lambda: len(job.running()) == 3, seconds=60)
    before = names(job)
    replaced(operator)
    status = job.complete(seconds=400)
    as_local(job)
    assert status["workers"].get("lost", 0) == 0, job.told()
    assert names(job) <= before, "no worker was replaced"


def test_the_seed_of_its_certificates_is_lost(
    submit: Submit, operator: Operator, slowly: None, as_local: Compare
) -> None:
    """No worker believes the next operator: all are replaced, and the job ends as if nothing had been."""
    job = submit("unseeded", REPARTITION)
    job.until_phase("Transferring")
    before = names(job)
    operator.kubectl.delete("secret", f"{RELEASE}-seed")
    replaced(operator)
    until("other workers", lambda: not names(job) & before and len(job.running()) == 3, seconds=120)
    job.complete(seconds=400)
    as_local(job)
    assert any("AuthorityLost" in event for event in job.events()), job.told()


def test_tls_is_turned_off_and_on_while_a_job_runs(
    submit: Submit, operator: Operator, slowly: None, as_local: Compare
) -> None:
    """Turned off, workers are replaced; turned on, those that are there go on without it."""
    job = submit("unsecured", REPARTITION)
    job.until_phase("Transferring")
    before = names(job)
    try:
        operator.install(**{"tls.enabled": "false"})
        until("other workers", lambda: not names(job) & before and len(job.running()) == 3, seconds=120)
        plain = names(job)
    finally:
        operator.install()
    job.complete(seconds=400)
    as_local(job)
    assert names(job) <= plain, "no worker was replaced again"


@pytest.mark.parametrize("phase", ["Pending", "Planning", "Writing", "Committing"])
def test_its_process_is_killed(
    submit: Submit, operator: Operator, faults: Faults, slowly: None, as_local: Compare, phase: str
) -> None:
    job = submit("orphan", REPARTITION)
    # A phase may be over before it is seen: then the next one will do.
    order = ["Pending", "Planning", "Transferring", "Writing", "Committing", "Complete"]
    job.until_phase(*order[order.index(phase) :], every=0.1)
    faults.kill(operator.pod())
    job.complete(seconds=400)
    as_local(job)


def test_a_finished_job_is_not_started_again(submit: Submit, operator: Operator) -> None:
    job = submit("finished", REPARTITION)
    job.complete()
    until("all is gone", lambda: not job.running() and "cleaningUp" not in job.status, seconds=30)
    before = job.object
    replaced(operator)
    marker = submit("marker", REPARTITION)  # when this one is over, the new operator has seen all there is
    marker.complete()
    after = job.object
    assert after["status"] == before["status"]
    assert not job.running()


def test_an_upgrade_while_a_job_runs(submit: Submit, operator: Operator, slowly: None, as_local: Compare) -> None:
    job = submit("upgraded", REPARTITION)
    job.until_phase("Transferring")
    old = operator.pod()["metadata"]["uid"]
    operator.install(logLevel="DEBUG")
    try:
        assert operator.pod()["metadata"]["uid"] != old
        job.complete(seconds=400)
        as_local(job)
    finally:
        operator.install()
