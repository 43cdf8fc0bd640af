"""A job that was submitted to a cluster: how far it is, its end, its logs. By the client, sync and async."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from shuffle_local.python import hypertext
from shuffle_local.python.background import Background, in_foreground, in_loop
from shuffle_local.python.display import Calling, Progress, showing
from shuffle_local.python.result import JobResult, result_of
from shuffle_operator.api import spec
from shuffle_operator.client.job import SubmittedJob

if TYPE_CHECKING:
    from shuffle_operator.client import Client
    from shuffle_operator.coordinator.status import Snapshot

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class ClusterJob:
    """Every call asks the cluster. It raises KubeError where the API server refuses, or has another job of this name by
    now."""

    name: str
    namespace: str
    uid: str
    context: str | None = None
    job: spec.ShuffleJob = field(repr=False, compare=False, kw_only=True)

    def status(self) -> SubmittedJob:
        """The job as it is now: phase, message, finished, status, ..."""
        return waited(self.status_async())

    async def status_async(self) -> SubmittedJob:
        async with await _client(self.namespace, self.context) as client:
            return self._mine(await client.get(self.name))

    def wait(self, *, timeout: float | None = None, progress: Progress = None) -> JobResult:
        """Wait until it is complete. Raises TimeoutError, and JobError where it failed. Ctrl-C ends the waiting; the
        job goes on, until `cancel`."""
        try:
            return in_foreground(Background(lambda show: self._followed(show, timeout)), showing(progress))
        except KeyboardInterrupt as error:
            error.add_note(f"the job {self.name} goes on in the cluster; cancel() stops it")
            raise

    async def wait_async(self, *, timeout: float | None = None, progress: Progress = None) -> JobResult:  # noqa: ASYNC109
        return await in_loop(Background(lambda show: self._followed(show, timeout)), showing(progress))

    def cancel(self) -> bool:
        """Delete it: its workers stop, and what an unfinished one had written is removed. False where it has gone."""
        return waited(self.cancel_async())

    async def cancel_async(self) -> bool:
        async with await _client(self.namespace, self.context) as client:
            return await client.cancel(self.name, uid=self.uid)

    def logs(self, *, worker: int | None = None, lines: int | None = None) -> dict[str, str]:
        """What its pods have logged, by pod."""
        return waited(self.logs_async(worker=worker, lines=lines))

    async def logs_async(self, *, worker: int | None = None, lines: int | None = None) -> dict[str, str]:
        async with await _client(self.namespace, self.context) as client:
            return await client.logs(self.name, worker, lines)

    def __repr__(self) -> str:
        return f"<ClusterJob {self.namespace}/{self.name}>"

    def _repr_html_(self) -> str:
        rows = [("Namespace", self.namespace), ("To follow it", ".wait() until it is complete, .status(), .logs()")]
        return hypertext.heading("Submitted", self.name) + hypertext.table(rows)

    async def _followed(self, show: Callable[[Snapshot], None], timeout: float | None) -> JobResult:  # noqa: ASYNC109
        from shuffle_local.run import error_of
        from shuffle_operator.client.progress import snapshot_of

        deadline = None if timeout is None else time.monotonic() + timeout
        async with await _client(self.namespace, self.context) as client:
            async for job in client.watch(self.name):
                now = snapshot_of(self._mine(job))
                show(now)
                if job.failed:
                    raise error_of(_without_reason(now))
                if job.finished:
                    return result_of(now, self.job.spec.output.path, _format(self.job), _store(self.job))
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(
                        f"{self.namespace}/{self.name} is not finished after {timeout:g} s: {job.message}"
                    )
        raise AssertionError("a watch ends with a finished job")

    def _mine(self, job: SubmittedJob | None) -> SubmittedJob:
        from shuffle_operator.kube.api import KubeError

        if job is None:
            raise KubeError(404, "NotFound", f"there is no ShuffleJob {self.name} in namespace {self.namespace}")
        if job.uid != self.uid:
            message = f"ShuffleJob {self.name} was deleted, and another of this name was made since"
            raise KubeError(404, "NotFound", message)
        return job


async def submitted(
    job: spec.ShuffleJob, namespace: str | None, context: str | None, name: str | None, adopt: bool
) -> ClusterJob:
    async with await _client(namespace or job.metadata.namespace, context) as client:
        made = await client.submit(job, name=name, adopt=adopt)
    return ClusterJob(made.name, made.namespace, made.uid, context, job=job)


def waited(work: Coroutine[Any, Any, T]) -> T:
    """In a loop of its own, so that there may be one already."""
    return in_foreground(Background(lambda _: work), Calling(lambda _: None))


async def _client(namespace: str | None, context: str | None) -> Client:
    from shuffle_operator.client import Client

    return await Client.connect(namespace, context)


def _format(job: spec.ShuffleJob) -> str:
    return "Zarr" if job.spec.operation.rechunk is not None else job.spec.output.format


def _store(job: spec.ShuffleJob) -> Any:
    """How this process reaches the output: without the cluster's Secrets, by what the environment has."""
    from shuffle_protocol.jobs import StorageOptions

    storage = job.spec.output.storage
    return StorageOptions() if storage is None else StorageOptions(storage.endpoint or "", dict(storage.options or {}))


def _without_reason(now: Snapshot) -> Snapshot:
    """A status' message begins with its reason, which the error has by itself."""
    import msgspec

    return msgspec.structs.replace(now, cause=now.cause.removeprefix(f"{now.reason}: "))
