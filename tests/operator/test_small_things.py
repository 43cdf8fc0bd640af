"""What a careful reader of `kubectl get` and `describe` stumbles over."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.handlers import policies
from shuffle_operator.kube.api import PODS, KubeError
from shuffle_operator.launchers.kubernetes import has_its_scratch
from shuffle_operator.launchers.pod import PodSettings
from shuffle_worker.storage.s3_errors import translated
from tests.operator.puppets import Puppets
from tests.operator.small_jobs import job, until_phase
from tests.operator.stage import Stage
from tests.operator.test_pod import pod


def overlay(**worker: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "worker", **worker}]}}


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        ({"limits": {"memory": "8Gi"}}, "resources.limits.memory"),
        ({"requests": {"memory": "8Gi"}}, "resources.requests.memory"),
        ({"limits": {"cpu": "4"}}, "resources.limits.cpu"),
        ({"limits": {"ephemeral-storage": "9Gi"}}, "resources.limits.ephemeral-storage"),
        ({"limits": {"memory": None}}, "resources.limits.memory"),
        ({"limits": None}, "resources.limits"),
        (None, "resources"),
    ],
)
def test_a_template_does_not_change_what_a_worker_is_set_up_by(resources: Any, field: str) -> None:
    with pytest.raises(InvalidJob, match="which the worker's budget follows") as raised:
        pod(podTemplate=overlay(resources=resources))
    assert field in raised.value.message


def test_a_template_may_ask_for_devices() -> None:
    made = pod(podTemplate=overlay(resources={"limits": {"example.com/gpu": 1}}))
    assert made["spec"]["containers"][0]["resources"]["limits"] == {
        "memory": "4Gi",
        "ephemeral-storage": made["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"],
        "example.com/gpu": 1,
    }


def test_a_template_does_not_change_the_size_of_scratch() -> None:
    volumes = [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]
    with pytest.raises(InvalidJob, match=r"workers\.scratch\.sizeLimit"):
        pod(podTemplate={"spec": {"volumes": volumes}})
    settings = PodSettings("i:1", "http://c:1")
    assert pod(settings, podTemplate={"spec": {"volumes": [{"name": "more", "emptyDir": {}}]}})


async def test_scratch_of_a_class_where_the_cluster_has_no_such_volumes(stage: Stage, puppets: Puppets) -> None:
    said = "spec.volumes[0]: Required value: must specify a volume type"
    stage.kube.refusals["create", PODS] = KubeError(422, "Invalid", said)
    await stage.submit(job(workers={"replicas": 1, "scratch": {"storageClassName": "fast", "sizeLimit": "1Gi"}}))
    await until_phase(stage, "Failed")
    assert "no generic ephemeral volumes" in stage.status()["message"]
    assert "storageClassName" in stage.status()["message"]


def test_a_volume_that_was_dropped_silently_is_noticed() -> None:
    asked = {"spec": {"volumes": [{"name": "scratch", "ephemeral": {}}]}}
    assert has_its_scratch(asked, asked)
    assert not has_its_scratch({"spec": {"volumes": [{"name": "scratch", "emptyDir": {}}]}}, asked)
    assert has_its_scratch({"spec": {"volumes": [{"name": "scratch", "emptyDir": {}}]}}, {"spec": {}})


@pytest.mark.parametrize(
    ("finished", "stays"), [("2026-01-01T11:59:59Z", True), ("2026-01-01T12:00:00Z", False), (None, True)]
)
def test_a_worker_that_stumbles_over_the_end_of_a_complete_job_leaves_no_pod(finished: str | None, stays: bool) -> None:
    terminated = {"exitCode": 78} | ({"finishedAt": finished} if finished else {})
    body = {"spec": {}, "status": {"completionTime": "2026-01-01T12:00:00Z"}}
    made = {
        "status": {"phase": "Failed", "containerStatuses": [{"name": "worker", "state": {"terminated": terminated}}]}
    }
    assert policies.keeps_pod(body, made, failed=False) is stays
    assert policies.keeps_pod(body, made, failed=True)


async def test_a_finished_job_has_no_workers_that_are_ready(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job())
    await until_phase(stage, "Complete")
    assert stage.status()["workers"]["ready"] == 0


def test_a_store_that_gives_no_reason_is_not_quoted_as_none() -> None:
    error = ClientError({"Error": {"Code": "InvalidAccessKeyId", "Message": None}}, "GetObject")
    assert "None" not in str(translated("s3://a/b", "reading", error, "http://s3"))


def test_a_store_that_is_not_there_is_named_by_the_jobs_own_path() -> None:
    url = "http://s3:9/a/out/_shuffle-e9939f6432d8fc06/plan"
    error = EndpointConnectionError(endpoint_url=url)
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    found = str(translated("s3://a/out/_shuffle-e9939f6432d8fc06/plan", "reading", error, "http://s3:9"))
    expected = "reading s3://a/out/: http://s3:9 does not answer: no connection could be made: Connection refused"
    assert found == expected
