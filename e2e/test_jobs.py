"""Jobs from S3 to S3 with several workers on several nodes: their output is that of the same job on one machine."""

from __future__ import annotations

from collections import Counter

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.jobs import REPARTITION, SORT
from e2e.harness.operator import Operator
from e2e.harness.waiting import until

ROWS = 1_470_588
"""Not asserted: of the default input, for orientation."""


@pytest.mark.core
def test_repartition(submit: Submit, operator: Operator, as_local: Compare) -> None:
    job = submit("repartition", REPARTITION)
    seen = until("workers run", lambda: len(job.running()) == 3 and job.running(), seconds=60)
    assert len({pod["spec"]["nodeName"] for pod in seen}) > 1
    status = job.complete()
    as_local(job)
    assert status["progress"] == 100
    assert status["rows"]["read"] == status["rows"]["written"] > 0
    assert status["partitions"]["written"] == 12
    assert status["message"]
    assert {c["type"]: c["status"] for c in status["conditions"]}["Finished"] == "True"
    assert job.condition("Complete")["reason"] == "Completed"
    if operator.cluster.local:
        requests = Counter(operator.requests(job.kubectl.namespace))
        assert requests["shufflejobs/status patch"] <= job.seconds() / 2 + 20, requests
    until("the pods are gone", lambda: not job.running(), seconds=30)


def test_sort(submit: Submit, as_local: Compare) -> None:
    job = submit("sort", SORT)
    job.complete()
    as_local(job)


def test_workers_are_as_the_restricted_standard_wants_them(submit: Submit) -> None:
    job = submit("restricted", REPARTITION)
    pod = until("a pod", lambda: (job.pods() or [None])[0], seconds=30)
    spec = pod["spec"]
    context = spec["containers"][0]["securityContext"]
    assert spec.get("automountServiceAccountToken") is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"]["drop"] == ["ALL"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("ShuffleJob", job.object["metadata"]["uid"])
    job.complete()


def test_two_at_once_with_the_same_spec(submit: Submit, as_local: Compare) -> None:
    jobs = [submit(name, REPARTITION) for name in ("one", "other")]
    for job in jobs:
        job.complete()
        as_local(job)


def test_output_that_is_there_is_left_alone(submit: Submit, as_local: Compare) -> None:
    first = submit("first", REPARTITION)
    first.complete()
    second = submit("second", REPARTITION, output={"path": first.bucket.url(first.output)})
    status = second.failed("OutputExists", seconds=90)
    assert "onExisting" in status["message"]
    as_local(first)


def test_many_small_jobs(submit: Submit, operator: Operator) -> None:
    """All are picked up; none waits for another to be over."""
    small = {"replicas": 1, "resources": {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}}
    missing = {"path": "s3://shuffle-e2e/nothing-here/"}
    jobs = [submit(f"small-{n}", REPARTITION, workers=small, inputs=[missing]) for n in range(100)]
    kubectl = jobs[0].kubectl

    def picked_up() -> bool:
        found = kubectl.list("shufflejobs.shuffle-operator.dev")
        return len(found) == 100 and all((job.get("status") or {}).get("phase") for job in found)

    until("all are picked up", picked_up, seconds=60, every=1)

    def over() -> bool:
        phases = Counter(job["status"]["phase"] for job in kubectl.list("shufflejobs.shuffle-operator.dev"))
        return phases["Failed"] == 100

    until("all are over", over, seconds=540, every=3)
    assert jobs[0].condition("Failed")["reason"] == "InputNotFound"
    assert operator.pod()["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.parametrize("workers", [3, 30])
def test_requests_to_the_api_server(
    submit: Submit, operator: Operator, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    """As many as there are workers and phases, not more: counted in the audit log."""
    if not operator.cluster.local:
        pytest.skip("needs the audit log of the local cluster")
    resources = {"requests": {"cpu": "10m", "memory": "384Mi"}, "limits": {"memory": "384Mi"}}
    job = submit("counted", REPARTITION, workers={"replicas": workers, "resources": resources}, podRetention="Never")
    job.complete(seconds=500)
    until("the pods are gone", lambda: not job.pods(), seconds=60)
    counts = Counter(operator.requests(job.kubectl.namespace))
    with capsys.disabled():
        print(f"\n{workers} workers, {job.seconds():.0f} s: {sum(counts.values())} requests: {dict(counts)}")
    patches = counts.pop("shufflejobs/status patch", 0)
    assert patches <= job.seconds() / 2 + 20
    assert sum(counts.values()) <= 6 * workers + 30
