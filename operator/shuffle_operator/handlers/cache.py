"""The latest state of every job and of its pods: from the watch, from a full listing now and then, and from the
answers to our own writes.

An object that is older than what is known is ignored, so that the watch, which lags behind our writes, never takes us
back: a job that was finished a moment ago must not look unfinished.

Bounded by what is in the cluster: one entry a job and a worker pod; `managedFields` are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from shuffle_operator.kube.api import Object
from shuffle_operator.launchers.pod import LABEL_UID

YOUNG = 30.0
"""Seconds for which an object that a listing does not have is believed in: it may be newer than the listing."""


class Cache:
    """`changed` is called with the job's uid after every change."""

    def __init__(self, changed: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = changed
        self._clock = clock
        self._jobs: dict[str, Object] = {}
        self._pods: dict[str, dict[str, Object]] = {}
        self._touched: dict[str, float] = {}  # uid of a job or pod -> when it was put
        self.loaded = False
        """Whether everything that was there at the start is known."""

    def job(self, uid: str) -> Object | None:
        return self._jobs.get(uid)

    def pods(self, uid: str) -> dict[str, Object]:
        """A job's pods, by name: as of now, whatever comes in while the caller waits for something."""
        return dict(self._pods.get(uid, {}))

    def jobs(self) -> list[str]:
        return list(self._jobs)

    def put_job(self, body: Object) -> None:
        uid = body["metadata"]["uid"]
        if _is_older(body, self._jobs.get(uid)):
            return
        self._jobs[uid] = _slim(body)
        self._touched[uid] = self._clock()
        self._changed(uid)

    def drop_job(self, uid: str) -> None:
        if self._jobs.pop(uid, None) is not None:
            self._touched.pop(uid, None)
            self._changed(uid)

    def put_pod(self, body: Object) -> None:
        owner = body["metadata"].get("labels", {}).get(LABEL_UID)
        if not owner:
            return
        pods = self._pods.setdefault(owner, {})
        name = body["metadata"]["name"]
        if _is_older(body, pods.get(name)):
            return
        pods[name] = _slim(body)
        self._touched[body["metadata"]["uid"]] = self._clock()
        self._changed(owner)

    def drop_pod(self, body: Object) -> None:
        owner = body["metadata"].get("labels", {}).get(LABEL_UID, "")
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]
        known = self._pods.get(owner, {}).get(name)
        if known is None or known["metadata"]["uid"] != uid:
            return
        del self._pods[owner][name]
        self._touched.pop(uid, None)
        if not self._pods[owner]:
            del self._pods[owner]
        self._changed(owner)

    def replace(self, jobs: Iterable[Object], pods: Iterable[Object], unread: Collection[str] = ()) -> None:
        """A full listing: what it does not have is gone, whether or not the watch said so. unread: namespaces of which
        nothing could be listed, and so nothing is known to be gone."""
        seen = set()
        jobs = sorted(jobs, key=lambda each: str(each["metadata"].get("creationTimestamp", "")))  # in their turn
        for body in jobs:
            seen.add(body["metadata"]["uid"])
            self.put_job(body)
        for body in pods:
            seen.add(body["metadata"]["uid"])
            self.put_pod(body)
        old = self._clock() - YOUNG if self.loaded else float("inf")
        for uid, job in list(self._jobs.items()):
            if uid not in seen and self._touched.get(uid, 0) < old and job["metadata"].get("namespace") not in unread:
                self.drop_job(uid)
        for pod in [pod for pods_ in self._pods.values() for pod in pods_.values()]:
            uid = pod["metadata"]["uid"]
            if uid not in seen and self._touched.get(uid, 0) < old and pod["metadata"].get("namespace") not in unread:
                self.drop_pod(pod)
        self.loaded = True


def _slim(body: Object) -> Object:
    """The object without what only the API server needs, which may be most of it."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}


def _is_older(new: Object, known: Object | None) -> bool:
    if known is None or known["metadata"].get("uid") != new["metadata"].get("uid"):
        return False
    try:
        return int(new["metadata"]["resourceVersion"]) < int(known["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return False
