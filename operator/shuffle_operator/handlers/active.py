"""A job that runs: its state machine, its pods and its token, put together and taken apart.

Everything here happens in memory; `reconcile.py` decides when, and makes the requests.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shuffle_operator.api.resolve import declared_memory, declared_workers, resolve
from shuffle_operator.api.restrictions import UNRESTRICTED, Restrictions
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.workers import DEFAULT_MEMORY
from shuffle_operator.coordinator.actions import Action, Note, StartWorker, StopWorker
from shuffle_operator.coordinator.events import (
    Cancelled,
    Configured,
    Event,
    HeldUp,
    Resized,
    Restored,
    Started,
    Tick,
    WaitingReason,
    WorkerGone,
    WorkerMissed,
)
from shuffle_operator.coordinator.machine import Coordinator
from shuffle_operator.coordinator.settings import Settings
from shuffle_operator.coordinator.state import JobState
from shuffle_operator.handlers import accepted, policies, statuses
from shuffle_operator.handlers.defects import Defects
from shuffle_operator.handlers.recorder import Recorder
from shuffle_operator.handlers.statuses import Loss, Outcome
from shuffle_operator.history.document import JobHistory
from shuffle_operator.history.recorder import HistoryRecorder
from shuffle_operator.history.telling import history_of, when_committed
from shuffle_operator.kube.api import Kube
from shuffle_operator.launchers.kubernetes import KubernetesLauncher
from shuffle_operator.launchers.pod import PodSettings, Trust
from shuffle_operator.launchers.pod_state import ended
from shuffle_operator.launchers.quota_queue import QuotaQueue
from shuffle_operator.launchers.resources import cut_of
from shuffle_operator.server.http import CoordinatorServer, Hosted
from shuffle_operator.tls.authority import Authority
from shuffle_operator.web.report import render
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Phase
from shuffle_protocol.release import version

log = logging.getLogger("shuffle.operator")

Object = dict[str, Any]

SAID_LATER = frozenset({str(Phase.COMPLETE), str(Phase.FAILED)})
"""Notes of a machine about how it ended. The event comes when the status says so (`writer.py`)."""

DEFAULT_PODS = 3
"""Pods where a job leaves the number open: only its workers learn the size of its input, when they plan."""


def pods_of(job: ShuffleJob) -> int:
    return declared_workers(job, DEFAULT_PODS)


def message_of(job: ShuffleJob, uid: str) -> Job:
    """The job as the workers get it. Raises InvalidJob."""
    memory = declared_memory(job, DEFAULT_MEMORY)
    per_pod = cut_of(job, memory).workers
    return resolve(job, uid=uid, workers=pods_of(job), memory=memory, local=False, per_pod=per_pod)


@dataclass(slots=True)
class World:
    """What all jobs share."""

    kube: Kube
    server: CoordinatorServer
    recorder: Recorder
    pods: PodSettings
    settings: Settings
    wake: Callable[[str], None]
    authority: Authority | None = None
    """None: new jobs go without TLS."""
    line: QuotaQueue = field(default_factory=lambda: QuotaQueue(lambda _: None))
    """Of the jobs that wait for a quota."""
    most_jobs: int = 0
    """Jobs that may run at once; 0: any number."""
    pod_made: Callable[[Object], None] = lambda _: None
    pod_absent: Callable[[Object], None] = lambda _: None
    """Tells the cache of our own requests before the watch does."""
    restrictions: Restrictions = UNRESTRICTED
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(slots=True)
class ActiveJob:
    """A job that this operator carries out."""

    uid: str
    namespace: str
    body: Object
    """The resource as last seen, with the accepted spec."""
    world: World
    hosted: Hosted
    launcher: KubernetesLauncher
    spec: Object
    """The spec that was accepted."""
    history: HistoryRecorder
    note: str | None = None
    """The spec again, where it must be written down."""
    loss: Loss | None = None
    orphaned: float | None = None
    """When its resource was found to be gone."""
    over_since: float | None = None
    outcome_written: bool = False
    """The status says how it ended."""
    suspending: bool = False
    """Its machine stops and undoes, and does not fail."""
    status_written: float = 0.0
    last_patch: Object | None = None
    """When the status was last patched."""
    losses: int = 0
    replacement: bool = False
    """Its machine is there to undo what one that raised had begun."""
    given_up: Outcome | None = None
    """How it ends without its machine."""
    defects: Defects = field(default_factory=Defects)
    first_defect: str = ""
    """What that one raised."""

    def see(self, body: Object) -> None:
        """Take over the resource as it now is. What cannot be changed while the job runs stays as it was accepted."""
        given = body.get("spec") or {}
        fields = accepted.changed(self.spec, given)
        if fields and body["metadata"].get("generation") != self.body["metadata"].get("generation"):
            said = f"{', '.join(fields)} cannot be changed while the job runs, and the change is ignored"
            self.world.recorder.tell(body, accepted.IGNORED, said, warning=True)
        self.note = accepted.written(self.spec, given)
        self.body = {**body, "spec": accepted.effective(self.spec, given)}

    @property
    def machine(self) -> Coordinator:
        return self.hosted.machine

    @property
    def state(self) -> JobState:
        return self.machine.state

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def per_pod(self) -> int:
        """How many workers run in each pod."""
        return self.state.job.workers_per_pod

    def told(self) -> JobHistory:
        """What its page and its report show, as of now."""
        now, wall = self.world.clock(), self.world.wall().timestamp()
        return history_of(self.state, self.history, now=now, wall=wall, namespace=self.namespace, version=version())

    def report(self) -> bytes:
        """Its report, for beside its output."""
        return render(when_committed(self.told())).encode()

    @property
    def waiting_reason(self) -> str:
        """What keeps its workers from starting; "" where nothing does, or only briefly."""
        return self.launcher.waiting_reason or self.launcher.slow(self.state.starting)

    def take(self, event: Event) -> None:
        """Something happened to the job: its machine says what to do."""
        self.hosted.perform(self.machine.handle(event, self.world.clock()))

    def act(self, action: Action) -> None:
        """Carries out what the machine asks for."""
        if self.given_up is not None:
            return
        if isinstance(action, StartWorker):
            self.launcher.start(action.worker, action.epoch)
        elif isinstance(action, StopWorker):
            if self.state.phase not in (Phase.COMPLETE, Phase.FAILED):
                self.launcher.stop(action.worker, now=action.now)
        elif isinstance(action, Note) and action.reason not in SAID_LATER:
            self.world.recorder.tell(self.body, action.reason, action.message, warning=action.warning)
        self.world.wake(self.uid)

    def pod_ended(self, worker: int, incarnation: str | None, why: str, fault: bool, crashed: bool) -> None:
        """The launcher saw a worker's pod end."""
        loss = self.launcher.last_loss
        if loss is not None:
            self.loss = Loss(*loss, at=self.world.wall())
        if self.state.over or self.given_up is not None:
            return
        self.losses += 1
        _, pod, end = loss if loss is not None else (worker, "", None)
        if end is not None:
            self.world.recorder.tell(self.body, end.reason, f"worker {worker} ({pod}): {why}", warning=True)
        self.take(WorkerGone(worker, incarnation, why, fault, crashed))

    def missed(self, worker: int, why: str, pod: Object | None) -> None:
        """A worker went while no operator was there, with its pod. pod: what is left of that."""
        end = ended(pod) if pod is not None else None
        if pod is not None and end is not None:
            self.loss = Loss(worker, pod["metadata"]["name"], end, at=self.world.wall())
            why = end.why
        self.take(WorkerMissed(worker, why, end is not None and end.fault))

    def keeps(self, pod: Object) -> bool:
        """Whether one of its pods that ended stays."""
        if self.suspending:
            return policies.keeps_every_pod(self.body)
        return policies.keeps_pod(self.body, pod, failed=self.state.cause is not None)

    def defect(self, error: BaseException) -> None:
        """Its machine raised, and may be of no use any more."""
        log.error("%s/%s: its coordinator cannot go on: %s", self.namespace, self.name, error, exc_info=error)
        if self.defects.add(error, self.world.clock()):
            self.world.wake(self.uid)

    def tick(self) -> None:
        if self.given_up is not None:
            return
        if not self.state.over:
            self.take(WaitingReason(self.waiting_reason))
            if self.launcher.queued:  # it waits for its turn, and nothing is wrong
                self.take(HeldUp())
            self.take(Tick())
        if self.state.over and self.over_since is None:
            self.over_since = self.world.clock()
            self.world.wake(self.uid)

    def follow_spec(self) -> None:
        """Apply what may be changed while the job runs: the deadline and the number of workers."""
        self.take(Configured(policies.settings_of(self.body, self.world.settings)))
        replicas = ((self.body.get("spec") or {}).get("workers") or {}).get("replicas")
        if isinstance(replicas, int) and 1 <= replicas != self.state.job.workers // self.per_pod:
            self.take(Resized(replicas * self.per_pod))

    def suspend(self) -> None:
        """Stop it and have what it wrote removed, unless it is failing already."""
        if self.state.cause is None:
            self.suspending = True
            self.cancel("Suspended", "what was written is removed")

    def cancel(self, reason: str, message: str, *, refusal: bool = False) -> None:
        self.take(Cancelled(reason, message, refusal))


def take_up(
    world: World, body: Object, job: ShuffleJob, message: Job, trust: Trust, generation: int, pods: int
) -> ActiveJob:
    """Host a job. pods: of an earlier coordinator's, whose workers are expected back. `body` has the status in which
    this generation was noted."""
    uid, namespace = body["metadata"]["uid"], body["metadata"]["namespace"]
    status = body.get("status") or {}
    history = HistoryRecorder()
    machine = Coordinator(message, policies.settings_of(body, world.settings), generation, history)
    earlier = statuses.earlier(status, pods * message.workers_per_pod)
    machine.handle(Restored(earlier, survivors=pods > 0), world.clock())
    launcher = KubernetesLauncher(
        kube=world.kube,
        job=job,
        namespace=namespace,
        uid=uid,
        memory=declared_memory(job, DEFAULT_MEMORY),
        per_pod=message.workers_per_pod,
        trust=trust,
        settings=world.pods,
        on_exit=lambda *_: None,
        clock=world.clock,
        place=world.line.place(body),
        created=world.pod_made,
        absent=world.pod_absent,
    )
    hosted = world.server.host(machine, bytes.fromhex(trust.token), lambda _: None, secure=bool(trust.authority))
    hosted.may_stop = False  # first the outcome is written down
    active = ActiveJob(uid, namespace, body, world, hosted, launcher, body.get("spec") or {}, history)
    launcher.on_exit = active.pod_ended
    hosted.act = active.act
    hosted.raised = active.defect
    hosted.report = active.report
    return active


def begin(active: ActiveJob) -> None:
    """Have the workers started; the job's time runs from when it was first started."""
    started, ago = policies.started_at(active.body), None
    if started is not None:
        ago = max(0.0, (active.world.wall() - started).total_seconds())
    active.take(Started(ago))
