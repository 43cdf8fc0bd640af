"""Workers as pods: which there should be, which there are, and the requests that bring the two together.

Level-triggered: `start` and `stop` only note what is wanted, `observe` what is there, and `settle` makes the requests
that are due. It can be called again after any failure, or by an operator that started a minute ago: names are
deterministic, a pod that exists is adopted if it is the job's, one that is gone is no error. Every pod that ends is
told once, to `on_exit`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.kube import PODS, Kube, KubeError, Object
from shuffle_operator.launchers import isolation
from shuffle_operator.launchers.base import OnExit
from shuffle_operator.launchers.pod import LABEL_WORKER, PodSettings, Trust, is_owned, pod_name, trust_of, worker_pod
from shuffle_operator.launchers.pod_state import (
    Ended,
    ended,
    hindrance,
    incarnation_of,
    is_live,
    is_over,
    is_running,
)

AT_ONCE = 8
"""Requests of one job at a time."""
KILL_GRACE = 1
"""Seconds for a worker that is in the way. Not 0, which would only remove the pod's name while it still runs."""
EXIT_PATIENCE = 15.0
"""Seconds for workers of a job that is over to end by themselves, which keeps their logs."""
KEPT_PODS = 20
"""Failed pods that a running job keeps for their logs."""


@dataclass(slots=True)
class KubernetesLauncher:
    """The pods of one job. memory: bytes for each. trust: what they are given to be known by."""

    kube: Kube
    job: ShuffleJob
    namespace: str
    uid: str
    memory: int
    trust: Trust
    settings: PodSettings
    on_exit: OnExit
    clock: Callable[[], float] = time.monotonic
    last_loss: tuple[int, str, Ended] | None = None
    """Worker, pod, how it ended: the latest."""
    refused: str = ""
    """Why Kubernetes refuses these pods, now and for ever; "" where it does not."""
    frozen: bool = False
    """Nothing is created any more."""
    _wanted: dict[int, str] = field(default_factory=dict)
    _pods: dict[str, Object] = field(default_factory=dict)
    _created: dict[str, float] = field(default_factory=dict)  # name -> when, until it is observed
    _seen: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)  # names of pods whose end was told
    _deleted: set[str] = field(default_factory=set)  # names whose deletion was asked for
    _kill: set[str] = field(default_factory=set)
    _over_since: float | None = None
    _isolated: bool = False
    _trouble: str = ""

    # -- what is wanted ----------------------------------------------------------------------------------------------

    def start(self, worker: int, epoch: int) -> None:
        """A live pod in the slot, from before this operator, is as good as a new one."""
        name = self._wanted.get(worker)
        if name is not None and name not in self._told:
            return
        here = sorted(n for n, pod in self._pods.items() if _slot(pod) == worker and self._is_usable(n, pod))
        self._seen.update(here)
        self._wanted[worker] = here[-1] if here else pod_name(self.job.metadata.name, worker, epoch)

    def stop(self, worker: int, *, now: bool) -> None:
        name = self._wanted.pop(worker, None)
        if name is not None and now:
            self._kill.add(name)

    def finish(self) -> None:
        """The job is over: workers are left a moment to end by themselves."""
        if self._over_since is None:
            self._over_since = self.clock()
        self.frozen = True
        self._wanted.clear()

    # -- what there is -----------------------------------------------------------------------------------------------

    def observe(self, pods: Mapping[str, Object]) -> None:
        """pods: all of the job's, by name. Tells `on_exit` of those that ended."""
        self._pods = {name: pod for name, pod in pods.items() if is_owned(pod, self.uid)}
        for worker, name in list(self._wanted.items()):
            pod = self._pods.get(name)
            if pod is not None:
                self._created.pop(name, None)
                self._seen.add(name)
            end = ended(pod) if pod is not None else self._vanished(name)
            if end is not None and end.going:
                continue  # its worker was told, and hands over what it has; it is over when its process is
            if end is not None and name not in self._told:
                self._told.add(name)
                del self._wanted[worker]
                self.last_loss = (worker, name, end)
                incarnation = incarnation_of(pod) if pod is not None else None
                self.on_exit(worker, incarnation, end.why, end.fault, end.crashed)

    def _vanished(self, name: str) -> Ended | None:
        """It was there, by the API server's word, and is not."""
        if name in self._created and self.clock() - self._created[name] < 30:
            return None  # the watch has not shown it yet
        if name in self._created or name in self._deleted or name in self._seen:
            self._created.pop(name, None)
            return Ended("Deleted", "its pod was deleted", fault=False)
        return None

    def _is_usable(self, name: str, pod: Object) -> bool:
        here = name not in self._told and name not in self._deleted and name not in self._kill
        return here and is_live(pod) and trust_of(pod) == self.trust

    @property
    def hindrance(self) -> str:
        """What keeps workers from starting, in Kubernetes' words."""
        if self._trouble:
            return self._trouble
        found = (hindrance(self._pods[n]) for n in self._wanted.values() if n in self._pods)
        return next((text for text in found if text), "")

    @property
    def gone(self) -> bool:
        """No process of the job's pods runs any more."""
        return not self._created and all(is_over(pod) for pod in self._pods.values())

    # -- bringing the two together -----------------------------------------------------------------------------------

    async def settle(self, keep: Callable[[Object], bool]) -> None:
        """Make the requests that are due. keep: which of the pods that ended stay. Raises KubeError where trying again
        may help; what it says until then is the `hindrance`."""
        missing = [
            (worker, name)
            for worker, name in sorted(self._wanted.items())
            if name not in self._pods and name not in self._created
        ]
        try:
            if not self.frozen and not self.refused:
                await self._isolate()
                for at in range(0, len(missing), AT_ONCE):
                    await asyncio.gather(*(self._create(w, n) for w, n in missing[at : at + AT_ONCE]))
            self._trouble = ""
        except KubeError as error:
            wanted = self._isolated or not self.settings.isolated
            self._trouble = f"pods cannot be created: {error.message}" if wanted else error.message
            raise
        await self._clear(keep)

    async def _isolate(self) -> None:
        """Before the first pod, and once more where an operator takes the job up: it may have begun without."""
        if self.settings.isolated and not self._isolated:
            await isolation.isolate(self.kube, self.namespace, self.job.metadata.name, self.uid)
            self._isolated = True

    async def _create(self, worker: int, name: str) -> None:
        epoch = int(name.rpartition("-")[2])
        try:
            body = worker_pod(self.job, self.uid, worker, epoch, self.memory, self.trust, self.settings)
        except InvalidJob as error:
            self.refused = error.message
            return
        self._created[name] = self.clock()
        try:
            made = await self.kube.create(PODS, self.namespace, body)
            self._pods.setdefault(name, made)
        except KubeError as error:
            del self._created[name]
            if error.reason == "AlreadyExists":
                await self._adopt(name)
            elif error.status in (400, 422):
                self.refused = f"Kubernetes refuses the worker's pod: {error.message}"
            else:
                raise

    async def _adopt(self, name: str) -> None:
        pod = await self.kube.get(PODS, self.namespace, name)
        if pod is None:
            return
        if not is_owned(pod, self.uid):
            raise KubeError(409, "AlreadyExists", f"pod {name} exists and belongs to something else")
        self._pods[name] = pod

    async def _clear(self, keep: Callable[[Object], bool]) -> None:
        """Delete what is in the way, and of what has ended all that need not be kept."""
        wanted = set(self._wanted.values())
        kept = 0
        due: list[tuple[str, int | None]] = []
        for name, pod in sorted(
            self._pods.items(), key=lambda item: item[1]["metadata"].get("creationTimestamp", ""), reverse=True
        ):
            if name in self._deleted or "deletionTimestamp" in pod["metadata"]:
                continue
            if is_over(pod):
                kept += keep(pod)
                if not keep(pod) or kept > KEPT_PODS:
                    due.append((name, None))
            elif name not in wanted and (not self._leaving_by_itself(pod) or name in self._kill):
                due.append((name, KILL_GRACE if name in self._kill else None))
        for at in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._delete(name, grace) for name, grace in due[at : at + AT_ONCE]))

    def _leaving_by_itself(self, pod: Object) -> bool:
        since = self._over_since
        return since is not None and is_running(pod) and self.clock() - since < EXIT_PATIENCE

    async def _delete(self, name: str, grace: int | None) -> None:
        uid = self._pods[name]["metadata"]["uid"]
        await self.kube.delete(PODS, self.namespace, name, uid=uid, grace=grace)
        self._deleted.add(name)

    async def close(self) -> None:
        """Nothing to do: what is left belongs to the job, and goes with it."""


def _slot(pod: Object) -> int:
    try:
        return int(pod["metadata"].get("labels", {}).get(LABEL_WORKER, "-1"))
    except ValueError:
        return -1
