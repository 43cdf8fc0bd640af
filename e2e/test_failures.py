"""What cannot go well ends with a sentence that says why and what to do, and leaves nothing behind."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.faults import Faults
from e2e.harness.jobs import REPARTITION, SORT, Job
from e2e.harness.kubectl import Kubectl
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until


def nothing_left(job: Job) -> None:
    until("no worker runs", lambda: not job.running(), seconds=60)
    assert job.bucket.names(job.output) == []


def test_out_of_memory(submit: Submit, faults: Faults, slowly: None) -> None:
    job = submit("hog", REPARTITION, backoffLimit=0)
    job.until_phase("Transferring")
    running = until("workers run", lambda: len(job.running()) == 3 and job.running(), seconds=60)
    faults.squeeze(running[0])
    status = job.until_over(seconds=240)
    assert status["phase"] == "Failed"
    failure = status["lastFailure"]
    assert (failure["reason"], failure["exitCode"]) == ("OOMKilled", 137), job.told()
    assert "512" in failure["message"]
    assert "memory" in failure["message"]
    nothing_left(job)


def test_scratch_over_its_limit(submit: Submit, faults: Faults, slowly: None, as_local: Compare) -> None:
    """The kubelet evicts the pod; that is a failure of the job's own, and the job goes on with another one."""
    job = submit("filler", REPARTITION, workers={"scratch": {"sizeLimit": "64Mi"}})
    job.until_phase("Transferring")
    running = until("workers run", lambda: len(job.running()) == 3 and job.running(), seconds=60)
    faults.fill(running[0], "scratch", 128 << 20)
    until("it is said", lambda: any("scratch" in said for said in job.events()), seconds=90, said=job.told)
    status = job.complete(seconds=400)
    as_local(job)
    assert (status["lastFailure"]["reason"], status["failures"]) == ("OutOfDisk", 1), job.told()
    assert "workers.scratch.sizeLimit" in status["lastFailure"]["message"]


def test_bad_credentials(submit: Submit, kubectl: Kubectl, bucket: Bucket) -> None:
    wrong = {key: base64.b64encode(b"wrong").decode() for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}, "data": wrong})
    storage = {"secretRef": {"name": "wrong"}, "endpoint": bucket.storage.inside}
    source = [{"path": bucket.url("events/"), "storage": storage}]
    job = submit("refused", REPARTITION, inputs=source, output={"storage": storage})
    status = job.failed("AccessDenied", seconds=120)
    assert "s3://shuffle-e2e/events" in status["message"]
    nothing_left(job)


def test_no_input(submit: Submit) -> None:
    job = submit("nothing", REPARTITION, inputs=[{"path": "s3://shuffle-e2e/nothing-here/"}])
    job.failed("InputNotFound", seconds=120)
    nothing_left(job)


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        ({"image": "localhost/no-such-image:1"}, "no-such-image"),
        ({"nodeSelector": {"disk": "imaginary"}}, "node"),
    ],
    ids=["image", "unschedulable"],
)
def test_pods_that_cannot_start(submit: Submit, workers: dict[str, Any], said: str) -> None:
    job = submit("stuck", REPARTITION, workers=workers, startupDeadlineSeconds=25)
    # It is said while it waits, not only when it gives up.
    until("the reason is told", lambda: said in job.status.get("message", ""), seconds=24, said=job.told)
    status = job.failed("StartupDeadlineExceeded", seconds=90)
    assert said in status["message"]
    until("no pod is left", lambda: not job.pods(), seconds=60)


def test_a_quota(submit: Submit) -> None:
    first = submit("within", REPARTITION)
    first.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small"},
            "spec": {"hard": {"pods": "3"}},
        }
    )
    job = submit("over", REPARTITION, workers={"replicas": 5}, startupDeadlineSeconds=300)
    until("the quota is told", lambda: "quota" in job.status.get("message", "").lower(), seconds=60, said=job.told)
    first.complete()
    job.kubectl.delete("resourcequota", "small")
    job.complete()


def test_a_broken_job_does_not_slow_the_others(submit: Submit, as_local: Compare) -> None:
    broken = submit("broken", REPARTITION, workers={"image": "localhost/no-such-image:1"})
    good = submit("good", SORT)
    good.complete()
    as_local(good)
    assert broken.phase not in ("Complete", "Failed")
