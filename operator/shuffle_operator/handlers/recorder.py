"""Kubernetes events: what a person reads under `kubectl describe`. Written in the background, never waited for.

Bounded: at most `WAITING` events wait to be written, further ones are dropped; the same sentence about the same job is
told once, `MOST_PER_JOB` in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from shuffle_operator.api.spec import API_VERSION, KIND
from shuffle_operator.kube import EVENTS, Kube, KubeError

log = logging.getLogger("shuffle.operator")

COMPONENT = "shuffle-operator"
WAITING = 5000
"""Events that wait to be written, a kilobyte each; more are not recorded (and counted): the log has them."""
MOST_PER_JOB = 200
LONGEST = 1024


class Recorder:
    """`tell` may be called anywhere in the event loop's thread; `run` writes until it is cancelled."""

    def __init__(self, kube: Kube, instance: str = "") -> None:
        self._kube = kube
        self._instance = instance
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(WAITING)
        self._told: dict[str, set[str]] = {}
        self._count: Counter[str] = Counter()
        self.dropped = 0

    def tell(self, job: dict[str, Any], reason: str, message: str, *, warning: bool = False) -> None:
        metadata = job["metadata"]
        uid, namespace, name = metadata["uid"], metadata["namespace"], metadata["name"]
        log.log(logging.WARNING if warning else logging.INFO, "%s/%s: %s: %s", namespace, name, reason, message)
        digest = hashlib.sha256(f"{reason}\0{message}".encode()).hexdigest()[:16]
        told = self._told.setdefault(uid, set())
        if digest in told or self._count[uid] >= MOST_PER_JOB:
            return
        told.add(digest)
        self._count[uid] += 1
        now = datetime.now(UTC)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{uid[:8]}.{digest}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": namespace,
                "name": name,
                "uid": uid,
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:LONGEST],
            "source": {"component": COMPONENT, "host": self._instance},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        try:
            self._queue.put_nowait((namespace, body))
        except asyncio.QueueFull:
            self.dropped += 1

    def forget(self, uid: str) -> None:
        self._told.pop(uid, None)
        self._count.pop(uid, None)

    async def run(self) -> None:
        while True:
            namespace, body = await self._queue.get()
            try:
                await self._kube.create(EVENTS, namespace, body)
            except KubeError as error:
                if error.reason != "AlreadyExists":  # told before this operator was started
                    log.info("an event was not recorded: %s", error)
            finally:
                self._queue.task_done()

    async def drain(self, within: float = 2.0) -> None:
        """Wait until all that waits is written, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), within)
