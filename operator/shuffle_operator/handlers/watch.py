"""The watch, by kopf: every event of a ShuffleJob or a worker pod goes to the cache, which wakes the job's queue.

Only `on.event`: kopf then puts no finalizer and no annotation on anything, and patches nothing. Its own retries,
timers and daemons are not used; the queue has them. Besides the watch the whole of both lists is read at the start and
every few minutes, so that an event that was missed costs minutes and not a job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import kopf

from shuffle_operator.api.spec import GROUP, PLURAL, VERSION
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.kube import JOBS, PODS, Kube, Object
from shuffle_operator.launchers.pod import OWN_LABELS, SELECTOR

RELIST_EVERY = 300.0
INACTIVE = 70.0
"""Seconds without an event or a bookmark after which kopf opens a watch anew."""


class Watch:
    """namespaces: none for all of the cluster's. `heard`: when something was last heard of the API server."""

    def __init__(self, cache: Cache, kube: Kube, namespaces: Sequence[str]) -> None:
        self._cache = cache
        self._kube = kube
        self._namespaces = list(namespaces)
        self.heard = time.monotonic()
        self.events = 0

    async def relist(self) -> None:
        """Raises KubeError."""
        jobs: list[Object] = []
        pods: list[Object] = []
        for namespace in self._namespaces or [""]:
            jobs += await self._kube.list(JOBS, namespace)
            pods += await self._kube.list(PODS, namespace, SELECTOR)
        self._cache.replace(jobs, pods)
        self.heard = time.monotonic()

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Until `stop` is set. Raises where the watch cannot go on: the process is to end then, and be started anew."""
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
            ready_flag=ready,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**arguments: Any) -> kopf.ConnectionInfo | None:
            return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def job(event: Any, **_: Any) -> None:
            self._took(event, self._cache.put_job, lambda body: self._cache.drop_job(body["metadata"]["uid"]))

        @kopf.on.event("", "v1", "pods", labels=OWN_LABELS, registry=registry)
        async def pod(event: Any, **_: Any) -> None:
            self._took(event, self._cache.put_pod, self._cache.drop_pod)

        return registry

    def _took(self, event: Any, put: Any, drop: Any) -> None:
        self.heard = time.monotonic()
        self.events += 1
        body = dict(event["object"])
        (drop if event["type"] == "DELETED" else put)(body)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.watching.inactivity_timeout = INACTIVE
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["", "v1", "pods"] = SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = [0.5, 1, 2, 3, 5]
    settings.process.ultimate_exiting_timeout = 20
    prefix = GROUP
    settings.persistence.finalizer = f"{prefix}/unused"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=prefix)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=prefix)
    return settings
