"""The watch, by kopf: every event of a ShuffleJob or a worker pod goes to the cache, which wakes the job's queue.

Only `on.event`: kopf then puts no finalizer and no annotation on anything, and patches nothing. Its own retries,
timers and daemons are not used; the queue has them. Besides the watch the whole of both lists is read at the start and
every few minutes, so that an event that was missed costs minutes and not a job.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import kopf

from shuffle_operator.api.spec import GROUP, PLURAL, VERSION
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.kube.api import JOBS, PODS, Kube, KubeError, Object
from shuffle_operator.launchers.pauses import Pauses
from shuffle_operator.launchers.pod import OWN_LABELS, SELECTOR

log = logging.getLogger("shuffle.operator")

RELIST_EVERY = 300.0
SOON = 3.0
"""Seconds after a request that was not answered; then the lists are read, which shows whether it was the only one."""
INACTIVE = 70.0
"""Seconds without an event or a bookmark after which kopf opens a watch anew."""


SILENT = 400.0
"""Seconds without a word of the API server (events, or the listing every five minutes) after which it counts as
silent, should no request have shown it before."""


class Backoffs:
    """Pauses before kopf makes a request again that failed: without end. Were there an end, a minute of 503 would take
    the operator down, which could not come back before the API server is: jobs go on without it meanwhile."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1.0, 2.0, 3.0, 5.0), itertools.repeat(10.0))


class Watch:
    """namespaces: none for all of the cluster's. `heard`: when something was last heard of the API server. `trouble`:
    why a request of ours was not answered since, "" where all were."""

    def __init__(self, cache: Cache, kube: Kube, namespaces: Sequence[str]) -> None:
        self._cache = cache
        self._kube = kube
        self._namespaces = list(namespaces)
        self.heard = time.monotonic()
        self.events = 0
        self.trouble = ""
        self.refused: set[str] = set()
        """Namespaces that cannot be listed."""
        self._unanswered = asyncio.Event()
        self._silent_since: float | None = None

    # -- whether the API server answers ------------------------------------------------------------------------------

    def unanswered(self, error: KubeError) -> None:
        """A request of ours was not answered. The lists are read soon, which shows whether the API server answers."""
        if not error.unanswered:
            return
        self.trouble = error.message
        if self._silent_since is None:
            self._silent_since = time.monotonic()
            log.warning("%s; jobs go on, their status and replacements wait", error.message)
        self._unanswered.set()

    def answered(self) -> None:
        self.heard = time.monotonic()
        if self._silent_since is not None:
            log.warning("the API server answers again, after %.0f s", self.heard - self._silent_since)
        self.trouble, self._silent_since = "", None
        self._unanswered.clear()

    @property
    def silent(self) -> float:
        """Seconds for which the API server has not answered; 0.0 where it does."""
        now = time.monotonic()
        if self._silent_since is not None:
            return now - self._silent_since
        return now - self.heard if now - self.heard > SILENT else 0.0

    async def keep_listing(self) -> None:
        """The whole of both lists every few minutes, and soon after the API server has not answered, until it does."""
        pauses = Pauses(1.0, 15.0)
        while True:
            try:
                await self.relist()
                pauses.worked()
            except KubeError as error:
                log.warning("the jobs cannot be listed: %s", error)
                self.unanswered(error)
                await asyncio.sleep(pauses.failed(time.monotonic()))
                continue
            try:
                await asyncio.wait_for(self._unanswered.wait(), RELIST_EVERY)
                await asyncio.sleep(SOON)
            except TimeoutError:
                continue

    # -- what it says ------------------------------------------------------------------------------------------------

    async def relist(self) -> None:
        """A namespace in which the right is missing, or that is not there, does not keep the others from being served.
        Raises KubeError, where none can be listed too."""
        jobs: list[Object] = []
        pods: list[Object] = []
        refused: dict[str, KubeError] = {}
        for namespace in self._namespaces or [""]:
            try:
                found = await self._kube.list(JOBS, namespace), await self._kube.list(PODS, namespace, SELECTOR)
            except KubeError as error:
                if error.status != 403:
                    raise
                refused[namespace] = error
                continue
            jobs += found[0]
            pods += found[1]
        if len(refused) == len(self._namespaces or [""]):
            raise next(iter(refused.values()))
        for namespace, refusal in refused.items():
            if namespace not in self.refused:
                log.error("namespace %s is not served, because a right is missing: %s", namespace, refusal)
        self.refused = set(refused)
        self._cache.replace(jobs, pods, self.refused)
        self.answered()

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
        self.answered()
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
    settings.networking.error_backoffs = Backoffs()
    settings.process.ultimate_exiting_timeout = 20
    prefix = GROUP
    settings.persistence.finalizer = f"{prefix}/unused"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=prefix)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=prefix)
    return settings
