"""The asynchronous client. One implementation; `sync.py` is a thin face of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.validation import check_job, load_job
from shuffle_operator.client.followed import Followed, is_of
from shuffle_operator.client.job import JobFailed, SubmittedJob
from shuffle_operator.kube.api import JOBS, PODS, ApiKube, Kube, KubeError
from shuffle_operator.launchers.pod import LABEL_JOB
from shuffle_operator.launchers.pod_state import has_worker

LOOK_EVERY = 1.0
"""Seconds between looks at a job that is waited for; the operator writes a status every two."""

JobLike = ShuffleJob | Mapping[str, Any] | Path | str


class Client:
    """Jobs of one namespace (that of the kubeconfig's context where none is named). Use as an async context manager.

    Every method raises KubeError where the API server refuses or does not answer."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    @classmethod
    async def connect(cls, namespace: str | None = None, context: str | None = None) -> Client:
        kube = await ApiKube.connect(context)
        return cls(kube, namespace or kube.namespace)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self.kube.close()

    async def submit(self, job: JobLike, *, name: str | None = None, adopt: bool = False) -> SubmittedJob:
        """Check a job (a ShuffleJob, a mapping, or a file's path or text) and create it. name: instead of its own.

        adopt: a job of this name that asks for the same is as good; another is still refused (AlreadyExists). Raises
        InvalidJob with everything that is wrong, before anything is sent."""
        manifest = _manifest(job)
        if name is not None:
            manifest["metadata"] = {**manifest["metadata"], "name": name}
            check_job(manifest)
        name = str(manifest["metadata"]["name"])
        manifest["metadata"]["namespace"] = self.namespace
        try:
            return SubmittedJob(await self.kube.create(JOBS, self.namespace, manifest))
        except KubeError as error:
            if error.reason != "AlreadyExists" or not adopt:
                raise
            there = await self.get(name)
            if there is None or there.job().spec != check_job(manifest).spec:
                raise
            return there

    async def get(self, name: str) -> SubmittedJob | None:
        body = await self.kube.get(JOBS, self.namespace, name)
        return SubmittedJob(body) if body is not None else None

    async def jobs(self) -> list[SubmittedJob]:
        return [SubmittedJob(body) for body in await self.kube.list(JOBS, self.namespace)]

    async def watch(self, name: str) -> AsyncIterator[SubmittedJob]:
        """The job whenever it has changed, until it is finished. Raises KubeError (NotFound) where it is gone."""
        version = ""
        while True:
            job = await self.get(name)
            if job is None:
                raise KubeError(404, "NotFound", f"there is no ShuffleJob {name} in namespace {self.namespace}")
            if job.body["metadata"].get("resourceVersion") != version:
                version = str(job.body["metadata"].get("resourceVersion"))
                yield job
            if job.finished:
                return
            await asyncio.sleep(LOOK_EVERY)

    async def wait(self, name: str, timeout: float | None = None, *, check: bool = False) -> SubmittedJob:  # noqa: ASYNC109
        """The job once it is finished. Raises TimeoutError after `timeout` seconds, with `check` JobFailed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        async for job in self.watch(name):
            if job.finished:
                if check and job.failed:
                    raise JobFailed(job)
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{self.namespace}/{name} is not finished after {timeout:g} s: {job.message}")
        raise AssertionError("a watch ends with a finished job")

    async def cancel(self, name: str, *, uid: str = "") -> bool:
        """Delete the job: its workers stop, and what an unfinished one had written is removed. False where there is
        none (or, with uid, another)."""
        return await self.kube.delete(JOBS, self.namespace, name, uid=uid, propagation="Background")

    async def suspend(self, name: str) -> bool:
        """Have its workers stopped; False where there is no such job."""
        return await self.kube.patch(JOBS, self.namespace, name, {"spec": {"suspend": True}}) is not None

    async def resume(self, name: str) -> bool:
        return await self.kube.patch(JOBS, self.namespace, name, {"spec": {"suspend": False}}) is not None

    async def annotate(self, name: str, annotations: Mapping[str, str]) -> bool:
        """Add annotations, or change them; False where there is no such job."""
        changes = {"metadata": {"annotations": dict(annotations)}}
        return await self.kube.patch(JOBS, self.namespace, name, changes) is not None

    async def logs(self, name: str, worker: int | None = None, lines: int | None = None) -> dict[str, str]:
        """What its workers' pods have logged, by pod; only those that still exist have logs."""
        pods = await self.kube.list(PODS, self.namespace, f"{LABEL_JOB}={name}")
        found: dict[str, str] = {}
        for pod in sorted(pods, key=lambda each: str(each["metadata"]["name"])):
            pod_name = str(pod["metadata"]["name"])
            if worker is not None and not has_worker(pod, worker):
                continue
            try:
                text = await self.kube.logs(self.namespace, pod_name, lines=lines)
                found[pod_name] = "".join(line for line in text.splitlines(keepends=True) if is_of(line, worker))
            except KubeError as error:
                found[pod_name] = f"(no logs: {error.message})"
        return found

    async def follow(
        self, name: str, worker: int | None = None, lines: int | None = None
    ) -> AsyncGenerator[tuple[str, str], None]:
        """Pod and line, as they are written, of all of its workers, those that are started later too; until the job is
        finished or gone and all of its pods have ended. lines: of what is there already.

        Holds at most `WAITING_LINES` lines: a reader that is slow slows the reading down."""
        async with Followed(self.kube, self.namespace, name, worker, lines) as followed:
            async for each in followed.lines():
                yield each


def _manifest(job: JobLike) -> dict[str, Any]:
    """What is sent to the API server; checked."""
    if isinstance(job, Path | str):
        return load_job(job).manifest()
    if isinstance(job, ShuffleJob):
        return job.manifest()
    return check_job(job).manifest()
