"""Kubernetes events: what a person reads under `kubectl describe`. Written in the background, never waited for.

What is not taken is tried again, in order and with pauses that grow, for `KEPT` seconds; then it is dropped, counted
and may be recorded again. Bounded: at most `WAITING` events wait, further ones are dropped; the same sentence about the
same job is recorded once, `MOST_PER_JOB` in all. Namespaces do not wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shuffle_operator.api.spec import API_VERSION, KIND
from shuffle_operator.kube.api import EVENTS, Kube, KubeError
from shuffle_operator.launchers.pauses import Pauses

log = logging.getLogger("shuffle.operator")

COMPONENT = "shuffle-operator"
AT_ONCE = 16
"""Namespaces for which an event is being written at a time: one that is slow takes as long as a request may."""
WAITING = 5000
"""Events that wait to be written, a kilobyte each. Further ones are counted and not recorded; the log has them."""
KEPT = 900.0
"""Seconds for which one is tried: an API server is away for minutes while it is upgraded."""
MOST_PER_JOB = 200
LONGEST = 1024


@dataclass(slots=True)
class _Event:
    """One event to be written."""

    uid: str
    digest: str
    """`uid`, `digest`: what it is known by."""
    since: float
    """When `tell` was called with it."""
    body: dict[str, Any]


@dataclass(slots=True)
class _Lane:
    """The events of one namespace, oldest first."""

    events: deque[_Event] = field(default_factory=deque)
    pauses: Pauses = field(default_factory=lambda: Pauses(1.0, 30.0))
    busy: bool = False
    """They are being written, or wait for their turn at that."""


class Recorder:
    """`tell` may be called anywhere in the event loop's thread; `run` writes until it is cancelled."""

    def __init__(self, kube: Kube, instance: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._instance = instance
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._news = asyncio.Event()
        self._told: dict[str, set[str]] = {}
        self._count: Counter[str] = Counter()
        self._last = 0
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
        event = _Event(uid, digest, self._clock(), self._body(metadata, reason, message, warning))
        if self.waiting >= WAITING:
            self._drop(event, "too many wait")
            return
        self._lanes.setdefault(namespace, _Lane()).events.append(event)
        self._news.set()

    def _body(self, metadata: dict[str, Any], reason: str, message: str, warning: bool) -> dict[str, Any]:
        """Its name has the time in it, as those of Kubernetes' own events: kubectl shows events of the same second in
        the order of their names."""
        now = datetime.now(UTC)
        self._last = max(self._last + 1, int(now.timestamp() * 1e6))
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        name = metadata["name"]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{self._last:x}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": metadata["namespace"],
                "name": name,
                "uid": metadata["uid"],
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

    def forget(self, uid: str) -> None:
        self._told.pop(uid, None)
        self._count.pop(uid, None)

    @property
    def waiting(self) -> int:
        """Events that are not written yet."""
        return sum(len(lane.events) for lane in self._lanes.values())

    async def run(self) -> None:
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as writers:
            while True:
                self._news.clear()
                pauses: list[float] = []
                for namespace, lane in self._lanes.items():
                    left = lane.pauses.left(self._clock())
                    if left > 0 and not lane.busy:
                        pauses.append(left)
                    elif not lane.busy:
                        lane.busy = True
                        writers.create_task(self._write_all(namespace, lane, room))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), min(pauses, default=None))

    async def _write_all(self, namespace: str, lane: _Lane, room: asyncio.Semaphore) -> None:
        """Write a namespace's events until none is left or one is not accepted. Namespaces take turns."""
        while lane.events and lane.pauses.left(self._clock()) <= 0:
            async with room:
                await self._write(namespace, lane)
        lane.busy = False
        if not lane.events:
            del self._lanes[namespace]
        self._news.set()

    async def _write(self, namespace: str, lane: _Lane) -> None:
        """The oldest of a namespace's."""
        event = lane.events[0]
        try:
            await self._kube.create(EVENTS, namespace, event.body)
        except KubeError as error:
            if error.may_mend and self._clock() - event.since < KEPT:
                lane.pauses.failed(self._clock())
                return
            if error.reason != "AlreadyExists":  # taken, and the answer was lost
                self._drop(event, error.message)
        lane.events.popleft()
        lane.pauses.worked()

    def _drop(self, event: _Event, why: str) -> None:
        self.dropped += 1
        self._told.get(event.uid, set()).discard(event.digest)
        log.warning("an event was not recorded (%s): %s", why, event.body["message"])

    async def drain(self, within: float = 2.0) -> None:
        """Wait until all that waits is written, at most so long."""
        end = self._clock() + within
        while self._lanes and self._clock() < end:  # noqa: ASYNC110 - at the end of the process, for a moment
            await asyncio.sleep(0.01)
