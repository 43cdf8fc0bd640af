"""A job that is submitted from Python, against a small API server: followed, refused, cancelled, and its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.formats.one_process import carry_out, job_of
from tests.operator.api_server import ApiServer, reached

from shuffle_operator import ClusterJob, JobError, KubeError, ShuffleJob, read_parquet, storage
from shuffle_operator.coordinator.status import Snapshot
from shuffle_operator.kube.api import JOBS
from shuffle_protocol.errors import DataError
from shuffle_protocol.jobs import StorageOptions


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    async with reached(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def job(small: Path, tmp_path: Path) -> ShuffleJob:
    return read_parquet(small).sort("row").write_parquet(tmp_path / "out", name="sorted")


def finish(server: ApiServer, phase: str, reason: str, **status: Any) -> None:
    body = server.kube.objects[JOBS, "data", "sorted"]
    body["metadata"]["resourceVersion"] = "999"
    conditions = [{"type": kind, "status": "True", "reason": reason} for kind in (phase, "Finished")]
    body["status"] = {"phase": phase, "message": f"{reason}: that is how it went", "conditions": conditions, **status}


async def test_what_is_submitted_is_the_manifest(server: ApiServer, job: ShuffleJob) -> None:
    made = await job.submit_async()
    assert repr(made) == "<ClusterJob data/sorted>"
    body = server.kube.objects[JOBS, "data", "sorted"]
    assert body["spec"] == job.manifest()["spec"]
    assert made.uid == body["metadata"]["uid"]
    assert (await job.submit_async(adopt=True)).uid == made.uid
    with pytest.raises(KubeError, match="already exists"):
        await job.submit_async()
    other = await job.submit_async(name="other")
    assert (await other.status_async()).phase == "Pending"
    assert await other.cancel_async()
    assert not await other.cancel_async()
    with pytest.raises(KubeError, match="there is no ShuffleJob other"):
        await other.status_async()


async def test_it_is_waited_for_without_a_loop(server: ApiServer, job: ShuffleJob) -> None:
    def work() -> ClusterJob:
        made = job.submit()
        assert made.status().phase == "Pending"
        assert made.logs() == {}
        with pytest.raises(TimeoutError, match="no operator has taken it up"):
            made.wait(timeout=0)
        return made

    made = await asyncio.to_thread(work)
    finish(server, "Failed", "DataError")
    seen: list[Snapshot] = []
    with pytest.raises(DataError, match=r"^that is how it went$"):
        await asyncio.to_thread(lambda: made.wait(progress=seen.append))
    assert seen[-1].phase == "Failed"
    finish(server, "Failed", "BackoffLimitExceeded")
    with pytest.raises(JobError, match="that is how it went") as caught:
        await made.wait_async()
    assert (type(caught.value).__name__, caught.value.reason) == ("BackoffLimitExceeded", "BackoffLimitExceeded")


def rename_run(manifest: Path, old: str, new: str) -> None:
    manifest.write_text(manifest.read_text().replace(old, new))


async def test_its_result_is_that_of_its_uid(server: ApiServer, job: ShuffleJob, tmp_path: Path, small: Path) -> None:
    made = await job.submit_async()
    here = job_of({"path": str(small)}, {"path": str(tmp_path / "out")}, {"sort": {"by": [{"column": "row"}]}})
    done = carry_out(here, tmp_path / "scratch")
    rename_run(Path(done.manifest), here.uid, made.uid)
    finish(
        server,
        "Complete",
        "Completed",
        rows={"written": 8},
        output={"path": str(tmp_path / "out"), "files": 1, "manifest": "_manifest.json"},
    )
    result = await made.wait_async()
    assert (result.rows, result.files, result.uid) == (8, 1, made.uid)
    assert result.to_arrow()["row"].to_pylist() == list(range(8))
    elsewhere = result.reached_by(storage("lake", endpoint="http://127.0.0.1:9000", options={"region": "x"}))
    assert elsewhere.store == StorageOptions("http://127.0.0.1:9000", {"region": "x"})
    assert (elsewhere, elsewhere.to_arrow()) == (result, result.to_arrow())


async def test_another_job_of_its_name_is_not_taken_for_it(server: ApiServer, job: ShuffleJob) -> None:
    made = await job.submit_async()
    assert await made.cancel_async()
    second = await job.submit_async()
    with pytest.raises(KubeError, match="was deleted, and another of this name was made since"):
        await made.wait_async()
    assert not await made.cancel_async()
    assert await second.cancel_async()


async def test_a_task_that_is_cancelled_waits_no_longer(server: ApiServer, job: ShuffleJob) -> None:
    made = await job.submit_async()
    seen = asyncio.Event()
    waiting = asyncio.create_task(made.wait_async(progress=lambda _: seen.set()))
    await seen.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await made.status_async()).phase == "Pending"
