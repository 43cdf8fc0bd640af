"""The logs of a job's workers as they are written: one task a pod, and one that looks for pods that are new.

Used by `Client.follow`, and through it by `shuffle logs --follow`. A pod's log can be asked for once its container was
started; a worker that is replaced has another pod.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from types import TracebackType

from shuffle_operator.client.job import SubmittedJob
from shuffle_operator.kube.api import JOBS, PODS, Kube, KubeError, Object
from shuffle_operator.launchers.pod import LABEL_JOB
from shuffle_operator.launchers.pod_state import has_worker

LOOK_EVERY = 1.0
"""Seconds between looks for pods that are new."""
WAITING_LINES = 1000
"""Lines that wait to be taken."""

_WORKER = re.compile(r'^\{.*"worker":(\d+)')


def is_of(line: str, worker: int | None) -> bool:
    """Whether a line of a pod's log is that worker's; None: any. Lines that do not say whose they are count as all
    workers'."""
    found = _WORKER.match(line) if worker is not None else None
    return found is None or int(found[1]) == worker


class Followed:
    """Use as a context manager, which ends the tasks."""

    def __init__(self, kube: Kube, namespace: str, name: str, worker: int | None, tail: int | None) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._worker = worker
        self._tail = tail
        self._queue: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(WAITING_LINES)
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Followed:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._looking is not None
        tasks = [self._looking, *self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def lines(self) -> AsyncIterator[tuple[str, str]]:
        """Raises KubeError where the API server refuses."""
        while (line := await self._queue.get()) is not None:
            yield line
        assert self._looking is not None
        await self._looking

    async def _look(self) -> None:
        """Until the job is over and every log has come to its end."""
        try:
            while True:
                body = await self._kube.get(JOBS, self._namespace, self._name)
                for pod in await self._kube.list(PODS, self._namespace, f"{LABEL_JOB}={self._name}"):
                    name = str(pod["metadata"]["name"])
                    if name not in self._reading and self._is_wanted(pod) and _was_started(pod):
                        self._reading[name] = asyncio.create_task(self._read(name))
                if body is None or SubmittedJob(body).finished:
                    break
                await asyncio.sleep(LOOK_EVERY)
            await asyncio.gather(*self._reading.values())
        finally:
            await self._queue.put(None)

    def _is_wanted(self, pod: Object) -> bool:
        return self._worker is None or has_worker(pod, self._worker)

    async def _read(self, pod: str) -> None:
        try:
            async for line in self._kube.follow(self._namespace, pod, lines=self._tail):
                if is_of(line, self._worker):
                    await self._queue.put((pod, line))
        except KubeError as error:
            await self._queue.put((pod, f"(no logs: {error.message})"))


def _was_started(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return any({"running", "terminated"} & set(each.get("state") or {}) for each in statuses)
