"""The Kubernetes client over HTTP, the Python client and the commands for a cluster, against a small API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from shuffle_local.cli.main import execute
from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.schema import crd
from shuffle_operator.client import Client, JobFailed
from shuffle_operator.client.sync import Client as SyncClient
from shuffle_operator.kube.api import CRDS, JOBS, PODS, ApiKube, KubeError, Resource
from shuffle_protocol.findings import VARIABLE, Finding
from shuffle_protocol.jobs import Input, Job, Output, Repartition
from shuffle_worker.worker.check import check
from tests.operator.api_server import ApiServer, reached
from tests.operator.stage import sort_job


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    async with reached(tmp_path, monkeypatch) as made:
        yield made


def job_body(name: str = "sorted", **spec: Any) -> dict[str, Any]:
    return sort_job(Path("/in"), Path("/out"), name, **spec)


def finish(server: ApiServer, name: str, phase: str, reason: str) -> None:
    body = server.kube.objects[JOBS, "data", name]
    body["metadata"]["resourceVersion"] = "999"
    conditions = [{"type": kind, "status": "True", "reason": reason} for kind in (phase, "Finished")]
    body["status"] = {
        "phase": phase,
        "message": f"{reason}: that is how it went",
        "conditions": conditions,
        "progress": 7,
    }


async def in_thread(*arguments: str) -> int:
    """A command; it has a loop of its own."""
    return await asyncio.to_thread(execute, arguments)


async def test_objects_are_made_read_listed_patched_and_deleted(server: ApiServer) -> None:
    kube = await ApiKube.connect()
    try:
        assert kube.namespace == "data"
        made = await kube.create(JOBS, "data", job_body())
        assert server.seen["Authorization"] == "Bearer a-token"
        for number in range(4):
            await kube.create(JOBS, "data", job_body(f"job-{number}"))
        assert len(await kube.list(JOBS, "data")) == 5  # over several pages
        patched = await kube.patch(JOBS, "data", "sorted", {"status": {"phase": "Pending"}}, status=True)
        assert patched is not None
        assert patched["status"] == {"phase": "Pending"}
        other = {"metadata": {"uid": "another"}, "status": {"phase": "Failed"}}
        assert await kube.patch(JOBS, "data", "sorted", other, status=True) is None
        assert not await kube.delete(JOBS, "data", "sorted", uid="another")
        assert await kube.delete(JOBS, "data", "sorted", uid=made["metadata"]["uid"])
        assert not await kube.delete(JOBS, "data", "sorted")
        assert await kube.get(JOBS, "data", "sorted") is None
        assert kube.requests["POST", "201"] == 5
    finally:
        await kube.close()


async def test_a_refusal_has_kubernetes_own_words(server: ApiServer) -> None:
    kube = await ApiKube.connect()
    try:
        await kube.create(JOBS, "data", job_body())
        with pytest.raises(KubeError, match="already exists") as caught:
            await kube.create(JOBS, "data", job_body())
        assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    finally:
        await kube.close()


async def test_a_server_that_is_not_there_is_said(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    kube = await ApiKube.connect()
    try:
        kube._client.configuration.host = "http://127.0.0.1:9"
        with pytest.raises(KubeError, match="does not answer") as caught:
            await kube.list(JOBS)
        assert caught.value.status == 0
    finally:
        await kube.close()


async def test_a_job_that_asks_for_the_same_is_adopted_and_no_other(server: ApiServer) -> None:
    async with await Client.connect() as client:
        first = await client.submit(job_body())
        again = await client.submit(job_body(), adopt=True)
        assert again.uid == first.uid
        with pytest.raises(KubeError, match="already exists"):
            await client.submit(job_body(backoffLimit=7), adopt=True)
        with pytest.raises(KubeError, match="already exists"):
            await client.submit(job_body())


async def test_an_invalid_job_is_not_sent(server: ApiServer) -> None:
    async with await Client.connect() as client:
        with pytest.raises(InvalidJob):
            await client.submit(job_body(operation={}))
    assert not server.kube.objects


async def test_waiting_ends_with_the_job(server: ApiServer) -> None:
    async with await Client.connect() as client:
        await client.submit(job_body())
        with pytest.raises(TimeoutError, match="no operator has taken it up"):
            await client.wait("sorted", timeout=0)
        finish(server, "sorted", "Failed", "DataError")
        job = await client.wait("sorted")
        assert (job.failed, job.finished, job.reason) == (True, True, "DataError")
        with pytest.raises(JobFailed, match="that is how it went"):
            await client.wait("sorted", check=True)
        with pytest.raises(KubeError, match="no ShuffleJob"):
            await client.wait("nothing")


async def test_suspended_resumed_and_cancelled(server: ApiServer) -> None:
    async with await Client.connect() as client:
        await client.submit(job_body())
        assert await client.suspend("sorted")
        found = await client.get("sorted")
        assert found is not None
        assert found.job().spec.suspend
        assert await client.resume("sorted")
        assert await client.cancel("sorted")
        assert not await client.cancel("sorted")
        assert not await client.suspend("sorted")


async def test_the_client_without_an_event_loop(server: ApiServer) -> None:
    def work() -> list[str]:
        with SyncClient() as client:
            client.submit(job_body())
            finish(server, "sorted", "Complete", "Completed")
            return [client.wait("sorted").phase, *(job.phase for job in client.watch("sorted"))]

    assert await asyncio.to_thread(work) == ["Complete", "Complete"]


async def test_submit_status_and_cancel(server: ApiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job_body()))
    assert await in_thread("submit", str(file)) == 0
    assert capfd.readouterr().out == "shufflejob data/sorted submitted\n"
    assert await in_thread("submit", str(file)) == 1
    assert "AlreadyExists" in capfd.readouterr().err
    assert await in_thread("status", "sorted") == 0
    assert "Pending: no operator has taken it up yet" in capfd.readouterr().out
    finish(server, "sorted", "Complete", "Completed")
    assert await in_thread("status") == 0
    assert "sorted  Complete  7 %" in capfd.readouterr().out
    assert await in_thread("status", "sorted", "--json") == 0
    assert json.loads(capfd.readouterr().out)["status"]["phase"] == "Complete"
    capfd.readouterr()
    assert await in_thread("watch", "sorted") == 0
    said = capfd.readouterr().err
    assert "Complete sorted" in said
    assert "0 B in the" not in said  # what the status does not say is left out
    assert "processor time" not in said
    assert await in_thread("cancel", "sorted") == 0
    assert await in_thread("cancel", "sorted") == 1
    assert await in_thread("status", "sorted") == 1
    assert "there is no ShuffleJob sorted in namespace data" in capfd.readouterr().err


async def test_watching_a_job_that_fails_fails(server: ApiServer, capfd: pytest.CaptureFixture[str]) -> None:
    await server.kube.create(JOBS, "data", job_body())
    finish(server, "sorted", "Failed", "DataError")
    assert await in_thread("watch", "sorted") == 1
    assert "DataError: that is how it went" in capfd.readouterr().err


async def test_logs_of_one_worker_or_of_all(server: ApiServer, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("sorted-w-0-0", "sorted-w-1-0"):
        metadata = {"name": name, "labels": {"shuffle-operator.dev/job": "sorted"}}
        await server.kube.create(PODS, "data", {"metadata": metadata})
    assert await in_thread("logs", "sorted") == 0
    assert capfd.readouterr().out == "sorted-w-0-0: log of sorted-w-0-0\nsorted-w-1-0: log of sorted-w-1-0\n"
    assert await in_thread("logs", "sorted", "--worker", "1") == 0
    assert capfd.readouterr().out == "log of sorted-w-1-0\n"
    for options in ([], ["--follow"]):
        assert await in_thread("logs", "other", *options) == 1
        assert "NotFound: there is no ShuffleJob other" in capfd.readouterr().err
    await server.kube.create(JOBS, "data", job_body())
    assert await in_thread("logs", "sorted", "--worker", "7") == 1
    assert "NotFound: sorted has no pod of worker 7 with logs" in capfd.readouterr().err


async def test_logs_are_followed_to_their_end_and_so_are_those_of_workers_that_come_later(server: ApiServer) -> None:
    async def start(name: str, worker: str) -> None:
        labels = {"shuffle-operator.dev/job": "sorted", "shuffle-operator.dev/worker": worker}
        await server.kube.create(PODS, "data", {"metadata": {"name": name, "labels": labels}})
        state = [{"name": "worker", "state": {"running": {}}}]
        server.kube.set_pod_status("data", name, phase="Running", containerStatuses=state)

    await server.kube.create(JOBS, "data", job_body())
    await start("sorted-w-0-0", "0")
    seen: list[tuple[str, str]] = []
    async with await Client.connect("data") as client:
        async for pod, line in client.follow("sorted"):
            seen.append((pod, line))
            if len(seen) == 1:
                await start("sorted-w-0-3", "0")
            if len(seen) == 2:
                finish(server, "sorted", "Complete", "Completed")
                server.ended.set()
        assert seen[:2] == [("sorted-w-0-0", "first of sorted-w-0-0"), ("sorted-w-0-3", "first of sorted-w-0-3")]
        for pod in ("sorted-w-0-0", "sorted-w-0-3"):
            assert [line for name, line in seen if name == pod] == [f"first of {pod}", "second", "last"]
        assert [line async for _, line in client.follow("sorted", worker=7)] == []


async def test_a_follower_that_stops_leaves_nothing_running(server: ApiServer) -> None:
    await server.kube.create(JOBS, "data", job_body())
    labels = {"shuffle-operator.dev/job": "sorted", "shuffle-operator.dev/worker": "0"}
    await server.kube.create(PODS, "data", {"metadata": {"name": "sorted-w-0-0", "labels": labels}})
    server.kube.set_pod_status("data", "sorted-w-0-0", containerStatuses=[{"name": "worker", "state": {"running": {}}}])

    def first() -> tuple[str, str]:
        with SyncClient("data") as client:
            lines = client.follow("sorted")
            found = next(lines)
            lines.close()
            return found

    assert await asyncio.to_thread(first) == ("sorted-w-0-0", "first of sorted-w-0-0")


async def test_the_doctor_says_what_is_missing_and_what_to_do(
    server: ApiServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.allowed = False
    assert await in_thread("doctor") == 1
    said = capfd.readouterr().out
    assert "FAILED   definition" in said
    assert "shuffle crd | kubectl apply -f -" in said
    assert "FAILED   right to create shufflejobs: no, in namespace data" in said
    assert "helm install" in said
    server.allowed = True
    await server.kube.create(CRDS, "", crd())
    labels = {"app.kubernetes.io/part-of": "shuffle-operator", "app.kubernetes.io/component": "operator"}
    await server.kube.create(PODS, "shuffle-system", {"metadata": {"name": "op", "labels": labels}})
    ready = [{"type": "Ready", "status": "True"}]
    server.kube.set_pod_status("shuffle-system", "op", conditions=ready)
    assert await in_thread("doctor") == 0
    assert "ok       operator: shuffle-system/op is ready" in capfd.readouterr().out


async def test_the_doctor_tries_a_jobs_storage_from_a_pod_like_its_workers(
    server: ApiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    storage = {"secretRef": {"name": "keys"}}
    inputs = [{"path": "s3://bucket/in/", "storage": storage}]
    file = tmp_path / "job.yaml"
    body = job_body(inputs=inputs)
    body["spec"]["output"] = {"path": "s3://bucket/out/", "storage": storage}
    file.write_text(yaml.safe_dump(body))
    made: list[dict[str, Any]] = []

    def run(kind: str, resource: Resource, body: dict[str, Any]) -> None:
        """As the pod would."""
        if kind == "ADDED" and resource == PODS:
            made.append(body)
            server.log = "a line of some library\n" + msgspec.json.encode(Finding("read it", False, "denied")).decode()
            server.kube.set_pod_status("data", body["metadata"]["name"], phase="Succeeded")

    server.kube.listeners.append(run)
    assert await in_thread("doctor", str(file), "--image", "worker:1") == 1
    assert "FAILED   read it: denied" in capfd.readouterr().out
    [pod] = made
    container = pod["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert container["image"] == "worker:1"
    assert "ownerReferences" not in pod["metadata"]
    variables = {each["name"]: each.get("value", "") for each in container["env"]}
    assert msgspec.json.decode(variables[VARIABLE], type=Job).output.path == "s3://bucket/out/"
    assert not [key for key in server.kube.objects if key[0] == PODS]


def test_what_a_check_finds_of_folders(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    job = Job("u", "j", Repartition(), [Input([f"{source}/"])], Output(f"{target}"), workers=1, memory=1 << 28)
    missing, empty = check(job)
    assert (missing.ok, empty.ok) == (False, True)
    assert missing.said.startswith("InputNotFound")
    source.mkdir()
    (source / "a.parquet").write_bytes(b"0123456789")
    there, written = check(job)
    assert (there.ok, there.said) == (True, "1 file, 10 B")
    assert (written.ok, written.said) == (True, "it is empty")
    assert not list(target.glob("**/*"))


async def test_what_the_documentation_shows_works(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    blocks = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    [plain] = [block for block in blocks if "client.sync import" in block]
    [looped] = [block for block in blocks if "Client.connect" in block]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job_body()))

    def finish_it(kind: str, resource: Resource, body: dict[str, Any]) -> None:
        if kind == "ADDED" and resource == JOBS:
            conditions = [{"type": each, "status": "True", "reason": "Completed"} for each in ("Complete", "Finished")]
            status = {"phase": "Complete", "message": "all of it", "conditions": conditions, "rows": {"written": 8}}
            status["output"] = {"path": "s3://lake/by-user/"}
            server.kube.objects[JOBS, "data", body["metadata"]["name"]]["status"] = status

    server.kube.listeners.append(finish_it)
    await asyncio.to_thread(exec, plain, {})
    assert capsys.readouterr().out == "8 s3://lake/by-user/\n"
    functions: dict[str, Any] = {}
    exec(looped, functions)
    await functions["run"](tmp_path / "job.yaml")
    assert capsys.readouterr().out == "Complete all of it\n"
