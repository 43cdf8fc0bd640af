"""Workers as pods: which there should be, which there are, and the requests that bring the two together.

Level-triggered: `start` and `stop` only note what is wanted, `observe` what is there, and `settle` makes the requests
that are due. It can be called again after any failure, or by an operator that started a minute ago: names are
deterministic, a pod that exists is adopted if it is the job's, one that is gone is no error. Every pod that ends is
reported once, to `on_exit`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.kube.api import PODS, Kube, KubeError, Object
from shuffle_operator.launchers import isolation
from shuffle_operator.launchers.launcher import OnExit
from shuffle_operator.launchers.pauses import Pauses
from shuffle_operator.launchers.pod import LABEL_WORKER, PodSettings, Trust, is_owned, pod_name, trust_of, worker_pod
from shuffle_operator.launchers.pod_state import (
    Ended,
    ended,
    incarnation_of,
    is_live,
    is_over,
    is_running,
    stage,
    waiting_reason,
)
from shuffle_operator.launchers.quota_queue import QueuePlace, QuotaQueue, exceeded, too_large

AT_ONCE = 8
"""Requests of one job at a time."""
KILL_GRACE = 1
"""Seconds for a worker that is in the way. Not 0, which would only remove the pod's name while it still runs."""
EXIT_PATIENCE = 15.0
"""Seconds for workers of a job that is over to end by themselves, which keeps their logs."""
KEPT_PODS = 20
"""Failed pods that a running job keeps for their logs."""
PER_PASS = 64
"""Pods that one pass creates at most: a webhook may take a second for each, and a pass should not take minutes."""
SLOW = 10.0
"""Seconds after which the message names a pod that has not started."""
UNSEEN = 30.0
"""Seconds for the watch to show a pod that was created."""


@dataclass(slots=True)
class KubernetesLauncher:
    """The pods of one job."""

    kube: Kube
    job: ShuffleJob
    namespace: str
    uid: str
    memory: int
    """Bytes for each pod."""
    trust: Trust
    """How the pods and the operator know each other."""
    settings: PodSettings
    on_exit: OnExit
    """Called for a pod with the worker that made it end, or with its first."""
    per_pod: int = 1
    """How many workers run in each pod: pod 1 has those from `per_pod` on."""
    clock: Callable[[], float] = time.monotonic
    place: QueuePlace | None = None
    """In the line of those that wait for a quota; None: it has one of its own."""
    created: Callable[[Object], None] = lambda _: None
    """Called with each pod that was made, as the API server answered; what the watch shows comes later."""
    absent: Callable[[Object], None] = lambda _: None
    """Called with each pod that turned out not to be there."""
    last_loss: tuple[int, str, Ended] | None = None
    """Worker, name of its pod, how that ended: the latest."""
    refused: str = ""
    """Why Kubernetes refuses these pods, now and for ever; "" where it does not."""
    frozen: bool = False
    """Nothing is created any more."""
    had_pods: bool = False
    """There has been a pod of the job's."""
    queued: bool = False
    """A quota is in the way of its pods, and nothing else is wrong."""
    more: bool = False
    """Pods are due that the last pass did not create, because there were many."""
    _wanted: dict[int, str] = field(default_factory=dict)  # index of the pod -> its name
    _pods: dict[str, Object] = field(default_factory=dict)
    _created: dict[str, float] = field(default_factory=dict)  # name -> when, until it is observed
    _seen: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)  # names of pods whose end is known to `on_exit`
    _deleted: set[str] = field(default_factory=set)  # names whose deletion was asked for
    _kill: set[str] = field(default_factory=set)
    _since: dict[str, float] = field(default_factory=dict)  # name -> when it was first seen
    _over_since: float | None = None
    _isolated: bool = False
    _trouble: str = ""
    _pauses: Pauses = field(default_factory=Pauses)
    _queue_place: QueuePlace = field(init=False)

    def __post_init__(self) -> None:
        body = {"metadata": {"name": self.job.metadata.name, "namespace": self.namespace, "uid": self.uid}}
        self._queue_place = self.place or QuotaQueue(lambda _: None, self.clock).place(body)

    # -- what is wanted ----------------------------------------------------------------------------------------------

    def start(self, worker: int, epoch: int) -> None:
        """The pod with that worker. A live one, from an earlier operator, is as good as a new one."""
        index = worker // self.per_pod
        name = self._wanted.get(index)
        if name is not None and name not in self._told:
            return
        here = sorted(n for n, pod in self._pods.items() if _index(pod) == index and self._is_usable(n, pod))
        self._seen.update(here)
        self._wanted[index] = here[-1] if here else pod_name(self.job.metadata.name, index, epoch)

    def stop(self, worker: int, *, now: bool) -> None:
        name = self._wanted.pop(worker // self.per_pod, None)
        if name is not None and now:
            self._kill.add(name)

    def finish(self) -> None:
        """The job is over: workers are left a moment to end by themselves."""
        if self._over_since is None:
            self._over_since = self.clock()
        self.frozen = True
        self._wanted.clear()
        self._queue_place.leave()

    # -- what there is -----------------------------------------------------------------------------------------------

    def observe(self, pods: Mapping[str, Object]) -> None:
        """pods: all of the job's, by name. Calls `on_exit` for those that ended."""
        before = self._living()
        self._pods = {name: pod for name, pod in pods.items() if is_owned(pod, self.uid)}
        self.had_pods = self.had_pods or bool(self._pods)
        if before - self._living():
            self._queue_place.freed()
        late = self.clock() - UNSEEN
        for name in [n for n, at in self._created.items() if n in self._pods or (at < late and self.frozen)]:
            del self._created[name]
        self._seen.update(name for name in self._wanted.values() if name in self._pods)
        self._since = {name: self._since.get(name, self.clock()) for name in self._pods}
        for index, name in list(self._wanted.items()):
            pod = self._pods.get(name)
            end = ended(pod) if pod is not None else self._vanished(name)
            if end is not None and end.going:
                continue  # its worker was asked to leave and hands over what it has; it ends with its process
            if end is not None and name not in self._told:
                self._told.add(name)
                del self._wanted[index]
                worker = index * self.per_pod + min(max(end.blamed, 0), self.per_pod - 1)
                self.last_loss = (worker, name, end)
                incarnation = incarnation_of(pod) if pod is not None else None
                self.on_exit(worker, incarnation, end.why, end.fault, end.crashed)

    def _living(self) -> set[str]:
        return {name for name, pod in self._pods.items() if not is_over(pod)}

    def _vanished(self, name: str) -> Ended | None:
        """A pod that the API server had confirmed is no longer there."""
        if name in self._created and self.clock() - self._created[name] < UNSEEN:
            return None  # the watch has not shown it yet
        if name in self._created or name in self._deleted or name in self._seen:
            self._created.pop(name, None)
            return Ended("Deleted", "its pod was deleted", fault=False)
        return None

    def _is_usable(self, name: str, pod: Object) -> bool:
        here = name not in self._told and name not in self._deleted and name not in self._kill
        return here and is_live(pod) and trust_of(pod) == self.trust

    @property
    def waiting_reason(self) -> str:
        """What keeps workers from starting, in Kubernetes' words."""
        if self._trouble:
            return self._trouble
        found = (waiting_reason(self._pods[n]) for n in self._wanted.values() if n in self._pods)
        return next((text for text in found if text), "")

    def slow(self, workers: Iterable[int]) -> str:
        """What is known of a pod that takes long to start. workers: those that have not reported."""
        late = self.clock() - SLOW
        for index in sorted({worker // self.per_pod for worker in workers}):
            name = self._wanted.get(index, "")
            if name in self._pods and self._since.get(name, late) < late:
                return stage(self._pods[name])
        return ""

    @property
    def gone(self) -> bool:
        """No process of the job's pods runs any more."""
        return not self._created and all(is_over(pod) for pod in self._pods.values())

    # -- bringing the two together -----------------------------------------------------------------------------------

    async def settle(self, keep: Callable[[Object], bool]) -> None:
        """Make the requests that are due. keep: which of the pods that ended stay. What was refused is the
        `waiting_reason`, and is asked for again with pauses that grow. Raises KubeError where pods cannot be
        deleted."""
        missing = [
            (index, name)
            for index, name in sorted(self._wanted.items())
            if name not in self._pods and name not in self._created
        ]
        self.more = False
        to_isolate = self.settings.isolated and not self._isolated
        if self.frozen or self.refused or not (missing or to_isolate):
            self._queue_place.leave()
            self._trouble, self.queued = "", False
        elif self._pauses.left(self.clock()) <= 0:
            await self._create_some(missing)
        await self._clear(keep)

    async def _create_some(self, missing: Sequence[tuple[int, str]]) -> None:
        """As many as one pass may; where a quota is full one after another, when it is this job's turn."""
        due = list(missing[:PER_PASS])
        try:
            await self._isolate()
            while due and not self.refused:
                wait = self._queue_place.turn()
                if wait is None:
                    self._trouble, self.queued = self._queue_place.sentence, True
                if wait != 0:
                    return
                at_once = 1 if self._queue_place.crowded else AT_ONCE
                await self._create_all(due[:at_once])
                due = due[at_once:]
        except KubeError as error:
            self._note(error)
            return
        self._pauses.worked()
        self._trouble, self.queued = "", False
        self.more = len(missing) > PER_PASS

    async def _create_all(self, some: Sequence[tuple[int, str]]) -> None:
        """Together. Raises the KubeError of the first that was refused, once the others are through."""
        results = await asyncio.gather(*(self._create(i, n) for i, n in some), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error

    def _note(self, error: KubeError) -> None:
        """What was refused, and when to ask again."""
        quota = exceeded(error.message)
        self.queued = bool(quota)
        wanted = self._isolated or not self.settings.isolated
        if quota:
            self._queue_place.refused(quota)
            self._trouble = f"waiting for room in the quota {quota}: {error.message}"
            return
        self._queue_place.leave()
        self._pauses.failed(self.clock())
        self._trouble = f"pods cannot be created: {error.message}" if wanted else error.message
        if too_large(error.message):
            self._trouble += "; one worker asks for more than the quota holds: lower workers.resources, or raise it"

    async def _isolate(self) -> None:
        """Before the first pod, and once more where an operator takes the job up: it may have begun without."""
        if self.settings.isolated and not self._isolated:
            await isolation.isolate(self.kube, self.namespace, self.job.metadata.name, self.uid, self.per_pod)
            self._isolated = True

    async def _create(self, index: int, name: str) -> None:
        epoch = int(name.rpartition("-")[2])
        try:
            body = worker_pod(self.job, self.uid, index, epoch, self.memory, self.trust, self.settings)
        except InvalidJob as error:
            self.refused = error.message
            return
        self._created[name] = self.clock()
        try:
            made = await self.kube.create(PODS, self.namespace, body)
            self._pods.setdefault(name, made)
            self.had_pods = True
            if not has_its_scratch(made, body):
                self.refused = f"the worker's pod has not the scratch that it asks for{NO_EPHEMERAL}"
            self._queue_place.created()
            self.created(made)
        except KubeError as error:
            del self._created[name]
            if error.reason == "AlreadyExists":
                await self._adopt(name)
            elif error.status in (400, 422):
                self.refused = f"Kubernetes refuses the worker's pod: {error.message}{_advice(self.job, error.message)}"
            else:
                raise

    async def _adopt(self, name: str) -> None:
        pod = await self.kube.get(PODS, self.namespace, name)
        if pod is None:
            return
        if not is_owned(pod, self.uid):
            raise KubeError(409, "AlreadyExists", f"pod {name} exists and belongs to something else")
        self._pods[name] = pod
        self.created(pod)

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
        pod = self._pods[name]
        there = await self.kube.delete(PODS, self.namespace, name, uid=pod["metadata"]["uid"], grace=grace)
        self._deleted.add(name)
        if not there:
            self.absent(pod)

    async def close(self) -> None:
        """Nothing to do: what is left belongs to the job, and is deleted with it."""


NO_EPHEMERAL = (
    ": this cluster has no generic ephemeral volumes (they are on by default from Kubernetes 1.21); leave "
    "workers.scratch.storageClassName out"
)


def _advice(job: ShuffleJob, message: str) -> str:
    scratch = job.spec.workers.scratch if job.spec.workers is not None else None
    wanted = scratch is not None and scratch.storage_class_name is not None
    return NO_EPHEMERAL if wanted and "volume type" in message else ""


def has_its_scratch(made: Object, asked: Object) -> bool:
    """Whether the API server has kept the volume for scratch; one that does not know its kind drops it silently."""
    wanted = [
        each for each in asked["spec"].get("volumes") or [] if each.get("name") == "scratch" and "ephemeral" in each
    ]
    found = [each for each in made["spec"].get("volumes") or [] if each.get("name") == "scratch"]
    return not wanted or any("ephemeral" in each for each in found)


def _index(pod: Object) -> int:
    try:
        return int(pod["metadata"].get("labels", {}).get(LABEL_WORKER, "-1"))
    except ValueError:
        return -1
