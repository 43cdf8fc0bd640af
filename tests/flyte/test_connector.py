"""The connector in Flyte's own service: over gRPC on one side, over the Kubernetes API on the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from flyteidl.admin.agent_pb2 import (
    CreateTaskRequest,
    DeleteTaskRequest,
    GetTaskRequest,
    GetTaskResponse,
    TaskCategory,
)
from flyteidl.core.execution_pb2 import TaskExecution
from flyteidl.service.agent_pb2_grpc import AsyncAgentServiceStub, add_AsyncAgentServiceServicer_to_server
from flytekit.extend.backend.base_connector import ConnectorRegistry
from flytekit.extend.backend.connector_service import AsyncConnectorService
from flytekit.models.literals import LiteralMap
from flytekit.models.task import TaskExecutionMetadata, TaskTemplate

from shuffle_operator.api.validation import check_job
from shuffle_operator.client.once import TTL
from shuffle_operator.flyte import ShuffleJobConnector, ShuffleJobMetadata
from shuffle_operator.flyte.connector import EXECUTION
from shuffle_operator.kube.api import JOBS, KubeError, Object
from tests.flyte.executions import SPEC, context, template, texts
from tests.operator.api_server import ApiServer

NAMESPACE = "shop-production"
TASK = TaskCategory(name="shuffle_job")


class Flyte:
    """What propeller asks of a connector service."""

    def __init__(self, stub: AsyncAgentServiceStub) -> None:
        self._stub = stub

    async def create(
        self,
        task: TaskTemplate,
        who: TaskExecutionMetadata | None = None,
        inputs: LiteralMap | None = None,
    ) -> ShuffleJobMetadata:
        request = CreateTaskRequest(
            template=task.to_flyte_idl(),
            inputs=(inputs or LiteralMap({})).to_flyte_idl(),
            output_prefix="s3://flyte/metadata/1",
            task_execution_metadata=(who or context()).to_flyte_idl(),
        )
        meta = ShuffleJobMetadata.decode((await self._stub.CreateTask(request)).resource_meta)
        assert isinstance(meta, ShuffleJobMetadata)
        return meta

    async def get(self, meta: ShuffleJobMetadata) -> GetTaskResponse:
        return await self._stub.GetTask(GetTaskRequest(task_category=TASK, resource_meta=meta.encode()))

    async def phase(self, meta: ShuffleJobMetadata) -> int:
        return int((await self.get(meta)).resource.phase)

    async def delete(self, meta: ShuffleJobMetadata) -> None:
        await self._stub.DeleteTask(DeleteTaskRequest(task_category=TASK, resource_meta=meta.encode()))


@pytest.fixture
async def flyte(server: ApiServer) -> AsyncIterator[Flyte]:
    """flytekit's connector service with the connector that is registered in it."""
    service = grpc.aio.server()
    add_AsyncAgentServiceServicer_to_server(AsyncConnectorService(), service)
    port = service.add_insecure_port("127.0.0.1:0")
    await service.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Flyte(AsyncAgentServiceStub(channel))
    finally:
        await service.stop(None)
        connector = ConnectorRegistry.get_connector("shuffle_job")
        assert isinstance(connector, ShuffleJobConnector)
        await connector.close()


def jobs(server: ApiServer, namespace: str = NAMESPACE) -> dict[str, Object]:
    return {
        name: body for (kind, where, name), body in server.kube.objects.items() if (kind, where) == (JOBS, namespace)
    }


async def test_a_job_is_created_followed_and_deleted(flyte: Flyte, server: ApiServer) -> None:
    meta = await flyte.create(template())
    body = jobs(server)[meta.name]
    assert meta == ShuffleJobMetadata(NAMESPACE, meta.name, body["metadata"]["uid"])
    assert meta.name.startswith("by-user-")
    assert check_job(body).spec.output.partitions == 8
    assert body["metadata"]["annotations"][EXECUTION] == "shop/production/f7a1/n0/0"
    assert body["metadata"]["labels"]["execution-id"] == "f7a1"
    assert body["spec"]["ttlSecondsAfterFinished"] == TTL
    assert await flyte.phase(meta) == TaskExecution.QUEUED
    for phase, wanted in (("Pending", TaskExecution.INITIALIZING), ("Writing", TaskExecution.RUNNING)):
        await server.kube.patch(JOBS, NAMESPACE, meta.name, {"status": {"phase": phase}}, status=True)
        assert await flyte.phase(meta) == wanted
    done = {"phase": "Complete", "message": "Complete: 5 rows", "output": {"path": "s3://bucket/out/"}}
    await server.kube.patch(JOBS, NAMESPACE, meta.name, {"status": done}, status=True)
    resource = (await flyte.get(meta)).resource
    assert resource.phase == TaskExecution.SUCCEEDED
    assert resource.outputs.literals["output"].scalar.structured_dataset.uri == "s3://bucket/out/"
    await flyte.delete(meta)
    assert jobs(server) == {}
    await flyte.delete(meta)
    assert await flyte.phase(meta) == TaskExecution.ABORTED


async def test_a_call_that_is_repeated_finds_the_job_of_the_first(flyte: Flyte, server: ApiServer) -> None:
    first = await flyte.create(template())
    await server.kube.patch(JOBS, NAMESPACE, first.name, {"spec": {"suspend": True}})  # as a queue does
    assert await flyte.create(template()) == first
    assert len(jobs(server)) == 1


async def test_an_answer_that_was_lost_costs_nothing(flyte: Flyte, server: ApiServer) -> None:
    def lose(number: int, done: bool) -> None:
        if number == 1 and done:
            raise KubeError(500, "InternalError", "etcdserver: request timed out")

    server.kube.fault = lose
    with pytest.raises(grpc.aio.AioRpcError, match="request timed out"):
        await flyte.create(template())
    (name,) = jobs(server)
    assert (await flyte.create(template())).name == name
    assert len(jobs(server)) == 1


async def test_another_attempt_and_another_execution_have_jobs_of_their_own(flyte: Flyte) -> None:
    made = [
        await flyte.create(template(), context(execution, attempt))
        for execution, attempt in (("f7a1", 0), ("f7a1", 1), ("f7a2", 0))
    ]
    assert len({meta.name for meta in made}) == len({meta.uid for meta in made}) == 3


async def test_a_job_that_is_in_the_way_is_left_alone(flyte: Flyte, server: ApiServer) -> None:
    meta = await flyte.create(template())
    await server.kube.delete(JOBS, NAMESPACE, meta.name)
    other = {"apiVersion": "shuffle-operator.dev/v1alpha1", "kind": "ShuffleJob", "spec": SPEC}
    there = await server.kube.create(JOBS, NAMESPACE, {**other, "metadata": {"name": meta.name}})
    with pytest.raises(grpc.aio.AioRpcError, match="is there already and was not made for shop/production/f7a1/n0/0"):
        await flyte.create(template())
    assert await flyte.phase(meta) == TaskExecution.ABORTED
    await flyte.delete(meta)
    assert jobs(server)[meta.name]["metadata"]["uid"] == there["metadata"]["uid"]


async def test_a_job_on_its_way_out_is_waited_for(flyte: Flyte, server: ApiServer) -> None:
    meta = await flyte.create(template())
    key = (JOBS, NAMESPACE, meta.name)
    server.kube.objects[key]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    def finish(_number: int, done: bool) -> None:
        if not done and server.kube.writes.count(f"create shufflejobs/{meta.name}") == 3:
            server.kube.objects.pop(key, None)

    server.kube.fault = finish
    again = await flyte.create(template())
    assert (again.name, again.uid != meta.uid) == (meta.name, True)


async def test_inputs_take_their_places(flyte: Flyte, server: ApiServer) -> None:
    spec = SPEC | {"inputs": [{"path": "s3://bucket/{{ .inputs.day }}/"}]}
    meta = await flyte.create(template(spec, "task-with-an-input"), inputs=texts(day="2026-01-01"))
    assert jobs(server)[meta.name]["spec"]["inputs"] == [{"path": "s3://bucket/2026-01-01/"}]


async def test_a_job_that_means_nothing_is_not_created(flyte: Flyte, server: ApiServer) -> None:
    spec = SPEC | {"inputs": [{"path": "{{ .inputs.day }}"}]}
    with pytest.raises(grpc.aio.AioRpcError, match=r"spec.inputs\[0\].path"):
        await flyte.create(template(spec, "task-with-an-empty-input"), inputs=texts(day=""))
    assert server.kube.writes == []


@pytest.mark.parametrize(
    ("config", "given", "wanted"),
    [
        ({}, None, "reader"),
        ({"namespace": NAMESPACE}, None, "reader"),
        ({"namespace": "data"}, None, None),  # the execution's account is in another namespace
        ({}, "own", "own"),
    ],
)
async def test_workers_have_the_executions_account_where_they_can(
    flyte: Flyte, server: ApiServer, config: dict[str, str], given: str | None, wanted: str | None
) -> None:
    spec: dict[str, Any] = SPEC | ({"workers": {"serviceAccountName": given}} if given else {})
    meta = await flyte.create(template(spec, "task-with-an-account", **config), context(account="reader"))
    body = jobs(server, config.get("namespace", NAMESPACE))[meta.name]
    assert body["spec"].get("workers", {}).get("serviceAccountName") == wanted


@pytest.mark.parametrize("name", ["a" * 300, "flows.Täglich", "7days", "x.__", "flows.a-" * 9, "Sort Events"])
async def test_any_tasks_name_makes_a_jobs_name(flyte: Flyte, server: ApiServer, name: str) -> None:
    task = template()
    task.id._name = name
    meta = await flyte.create(task)
    assert check_job(jobs(server)[meta.name]).metadata.name == meta.name


async def test_the_rights_that_the_connector_needs(flyte: Flyte, server: ApiServer) -> None:
    import yaml

    from tests.project import PROJECT

    role, _ = yaml.safe_load_all((PROJECT / "examples" / "flyte" / "rbac.yaml").read_text())
    meta = await flyte.create(template())
    await flyte.create(template())
    await flyte.get(meta)
    await flyte.delete(meta)
    used = {verb for verb, plural in server.kube.requests if plural == "shufflejobs"}
    assert role["rules"] == [
        {"apiGroups": ["shuffle-operator.dev"], "resources": ["shufflejobs"], "verbs": ["create", "get", "delete"]}
    ]
    assert used == set(role["rules"][0]["verbs"])
    assert {plural for _, plural in server.kube.requests} == {"shufflejobs"}


async def test_the_executions_annotations_go_with_the_job_and_the_jobs_own_win(flyte: Flyte, server: ApiServer) -> None:
    own = template(annotations={"cost": "web", "mine": "1"})
    meta = await flyte.create(own, context(annotations={"cost": "shop", "theirs": "2"}))
    found = jobs(server)[meta.name]["metadata"]["annotations"]
    assert {name: value for name, value in found.items() if name != EXECUTION} == {
        "cost": "web",
        "mine": "1",
        "theirs": "2",
    }


SPOT: dict[str, Any] = {
    "nodeSelector": {"karpenter.sh/capacity-type": "spot"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "replicas": 2,
}


@pytest.mark.parametrize("interruptible", [True, False, None])
async def test_an_interruptible_task_has_workers_on_nodes_that_may_be_taken_away(
    flyte: Flyte, server: ApiServer, interruptible: bool | None
) -> None:
    spec = {**SPEC, "workers": {"replicas": 5}}
    meta = await flyte.create(template(spec, interruptible=interruptible, interruptible_workers=SPOT))
    workers = jobs(server)[meta.name]["spec"]["workers"]
    assert workers == ({**SPOT, "replicas": 5} if interruptible else {"replicas": 5})


async def test_links_lead_to_the_logs_and_the_page_of_the_job(
    flyte: Flyte, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = await flyte.create(template())
    assert list((await flyte.get(meta)).resource.log_links) == []
    monkeypatch.setenv("SHUFFLE_FLYTE_LOGS", 'https://logs.example.com/?q={job="{namespace}/{name}"}')
    monkeypatch.setenv("SHUFFLE_FLYTE_DASHBOARD", "https://shuffle.example.com/jobs/{namespace}/{uid}")
    links = {link.name: link.uri for link in (await flyte.get(meta)).resource.log_links}
    assert links == {
        "Logs of the workers": f'https://logs.example.com/?q={{job="{NAMESPACE}/{meta.name}"}}',
        "Page of the job": f"https://shuffle.example.com/jobs/{NAMESPACE}/{meta.uid}",
    }
