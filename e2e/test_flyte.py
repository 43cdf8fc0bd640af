"""Flyte's connector against the cluster: a job is made, adopted, followed to its end, and deleted.

Needs flytekit beside what e2e needs: with `.venv-flyte` (see `make test-flyte`), `KUBECONFIG` set and
`.venv-flyte/bin/pytest e2e/test_flyte.py`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("flytekit")

from flyteidl.core.execution_pb2 import TaskExecution
from flytekit.extend.backend.base_connector import Resource
from tests.flyte.executions import context, template

from e2e.harness.cluster import Cluster
from e2e.harness.jobs import KIND, REPARTITION, SECRET, manifest
from e2e.harness.kubectl import Kubectl
from e2e.harness.s3 import Bucket
from e2e.harness.waiting import until
from shuffle_operator.flyte import ShuffleJobConnector, ShuffleJobMetadata
from shuffle_operator.kube.api import ApiKube, Kube


class Calls:
    """The connector's three calls, each in a loop of its own, so that one always connects anew."""

    def __init__(self, cluster: Cluster, kubectl: Kubectl, bucket: Bucket) -> None:
        self.cluster, self.kubectl, self.bucket = cluster, kubectl, bucket

    async def _connect(self) -> Kube:
        import kubernetes.aio.config.kube_config as module

        module.KUBE_CONFIG_DEFAULT_LOCATION = str(self.cluster.kubeconfig)
        return await ApiKube.connect()

    def _call(self, verb: str, **arguments: Any) -> Any:
        async def whole() -> Any:
            connector = ShuffleJobConnector(self._connect)
            try:
                return await getattr(connector, verb)(**arguments)
            finally:
                await connector.close()

        return asyncio.run(whole())

    def create(self, execution: str, target: str) -> ShuffleJobMetadata:
        spec = manifest("flyte", REPARTITION, self.bucket.url("events/"), self.bucket.url(target))["spec"]
        storage = {"secretRef": {"name": SECRET}, "endpoint": self.bucket.storage.inside}
        spec["inputs"][0]["storage"] = spec["output"]["storage"] = storage
        task = template(json.loads(json.dumps(spec)))
        who = context(execution, namespace=self.kubectl.namespace)
        found = self._call("create", task_template=task, output_prefix="", task_execution_metadata=who)
        assert isinstance(found, ShuffleJobMetadata)
        return found

    def get(self, meta: ShuffleJobMetadata) -> Resource:
        return self._call("get", resource_meta=meta)

    def delete(self, meta: ShuffleJobMetadata) -> None:
        self._call("delete", resource_meta=meta)


@pytest.fixture
def calls(cluster: Cluster, kubectl: Kubectl, bucket: Bucket) -> Calls:
    return Calls(cluster, kubectl, bucket)


def test_a_task_runs_to_its_end(calls: Calls) -> None:
    target = f"{calls.kubectl.namespace}/flyte/"
    try:
        meta = calls.create("f1", target)
        assert calls.create("f1", target) == meta
        seen = {TaskExecution.UNDEFINED}

        def over() -> Resource | None:
            resource = calls.get(meta)
            seen.add(resource.phase)
            return resource if resource.phase == TaskExecution.SUCCEEDED else None

        resource = until("the task has succeeded", over, seconds=240, said=lambda: str(calls.get(meta)))
        assert TaskExecution.Phase.Value("FAILED") not in seen
        assert resource.outputs.literals["output"].scalar.structured_dataset.uri == calls.bucket.url(target)
        assert resource.custom_info["rows"]["written"] > 0
        assert "_SUCCESS" in calls.bucket.names(target)
        calls.delete(meta)
        assert calls.kubectl.get(KIND, meta.name) is None
        calls.delete(meta)
        assert calls.get(meta).phase == TaskExecution.ABORTED
    finally:
        calls.bucket.remove(target)


def test_an_execution_that_is_aborted_leaves_nothing(calls: Calls) -> None:
    target = f"{calls.kubectl.namespace}/aborted/"
    meta = calls.create("f2", target)
    until("its workers run", lambda: calls.kubectl.list("pods", f"shuffle-operator.dev/job={meta.name}"), seconds=60)
    calls.delete(meta)
    until(
        "its pods are gone",
        lambda: not calls.kubectl.list("pods", f"shuffle-operator.dev/job={meta.name}"),
        seconds=120,
    )
    assert calls.bucket.names(target) == []
