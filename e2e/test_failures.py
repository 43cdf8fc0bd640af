"""What cannot go well ends with a sentence that says why and what to do, and leaves nothing behind."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from e2e.conftest import Compare, Submit
from e2e.harness.jobs import REPARTITION, SORT, Job
from e2e.harness.waiting import until


def nothing_left(job: Job) -> None:
    until("no worker runs", lambda: not job.running(), seconds=60)
    assert job.bucket.names(job.output) == []


def test_out_of_memory(submit: Submit) -> None:
    """A worker that takes more than its limit is ended by the kernel: here because its budget is told to be larger."""
    little = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}
    hog = {
        "spec": {
            "containers": [
                {
                    "name": "worker",
                    "command": ["python", "-c", "import time; x = bytearray(1 << 30); time.sleep(600)"],
                }
            ]
        }
    }
    job = submit("hog", REPARTITION, workers={"resources": little, "podTemplate": hog}, backoffLimit=1)
    status = job.until_over(seconds=240)
    assert status["phase"] == "Failed"
    assert status["lastFailure"]["reason"] == "OOMKilled", job.told()
    assert status["lastFailure"]["exitCode"] == 137
    assert "256Mi" in status["message"]
    assert "resources.limits.memory" in status["message"]
    nothing_left(job)


def test_scratch_over_its_limit(submit: Submit) -> None:
    """The kubelet evicts the pod; that it is evicted again and again has an end, with sizes."""
    filler = {
        "spec": {
            "containers": [
                {
                    "name": "worker",
                    "command": ["sh", "-c", "head -c 300M /dev/zero > /scratch/full; exec sleep 600"],
                }
            ]
        }
    }
    workers = {"replicas": 1, "scratch": {"sizeLimit": "64Mi"}, "podTemplate": filler}
    job = submit("filler", REPARTITION, workers=workers, disruptionLimit=1)
    status = job.until_over(seconds=300)
    assert status["phase"] == "Failed"
    assert "64Mi" in status["message"] or "64Mi" in status["lastFailure"]["message"], job.told()
    nothing_left(job)


def test_bad_credentials(submit: Submit) -> None:
    job = submit("stranger", REPARTITION, inputs=[{"path": "s3://shuffle-e2e/events/"}])
    wrong = {key: base64.b64encode(b"wrong").decode() for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    job.kubectl.delete("shufflejob", job.name, wait=True)
    job.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}, "data": wrong})
    storage = {"secretRef": {"name": "wrong"}, "endpoint": job.bucket.storage.inside}
    source = [{"path": "s3://shuffle-e2e/events/", "storage": storage}]
    refused = submit("refused", REPARTITION, inputs=source, output={"storage": storage})
    status = refused.failed("AccessDenied", seconds=120)
    assert "s3://shuffle-e2e/events/" in status["message"]
    nothing_left(refused)


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
