"""One pass over one job: from what is known of it to what is done next. Level-triggered; each pass can be the first.

    gone or deleted      have what was written removed while the pods are still there; let go of it
    managed elsewhere    let go of it
    finished             its pods by podRetention, itself by ttlSecondsAfterFinished; nothing is started, ever
    to be suspended      what it wrote is removed, pods go; the status says so
    new, or taken over   checked; generation and epoch are noted in the status; then token, machine, network, pods
    running              spec followed, pods seen to, status written

Order matters where the operator may die in between: what is intended is written before it is done, and workers learn
that the job is over only when its status says so.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

from shuffle_operator.api.problems import InvalidJob
from shuffle_operator.api.restrictions import Restrictions, restriction_problems
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.validation import check_job
from shuffle_operator.coordinator.rebuild import EPOCHS
from shuffle_operator.coordinator.server import Unhosted, digest_of
from shuffle_operator.handlers import policies, statuses
from shuffle_operator.handlers.active import ActiveJob, World, begin, message_of, take_up
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.statuses import Outcome
from shuffle_operator.kube import JOBS, PODS, SECRETS, KubeError
from shuffle_operator.launchers import isolation
from shuffle_operator.launchers.kubernetes import EXIT_PATIENCE, KILL_GRACE
from shuffle_operator.launchers.pod import (
    PodSettings,
    Trust,
    credential_problems,
    is_owned,
    secret_name,
    token_secret,
    trust_of,
    worker_pod,
)
from shuffle_operator.launchers.pod_state import is_live, is_over
from shuffle_worker.protocol.messages import Job, Phase
from shuffle_worker.units import counted, readable

log = logging.getLogger("shuffle.operator")

Object = dict[str, Any]

EVERY = 1.0
"""Seconds between passes over a running job for which nothing happens."""
STATUS_EVERY = 2.0
"""Seconds between writes of a status, but for what people wait for (`statuses.is_urgent`)."""
UNDO_WITHIN = 60.0
"""Seconds that a deleted job is kept in mind so that its workers can remove what they wrote."""
STOP_WITHIN = 90.0
"""Seconds after the end of a job for its pods to go; then it counts as gone what does not answer (a lost node)."""


class Reconciler:
    """`active`: the jobs that run, by uid."""

    def __init__(self, world: World, cache: Cache) -> None:
        self.world = world
        self.cache = cache
        self.active: dict[str, ActiveJob] = {}
        self.finished_here: dict[str, str] = {}
        """Jobs that ended under this operator, with their phase: never started again, whatever a cache says."""
        self.let_go: Callable[[ActiveJob], None] = lambda _: None
        """Called once for each job that ran and does no more."""
        self.superseded: Callable[[str], None] = lambda _: None
        """Called with a sentence when another operator turns out to be at work in this one's place."""
        self._closed = False

    async def reconcile(self, uid: str) -> float | None:
        if self._closed:
            return None
        body, active = self.cache.job(uid), self.active.get(uid)
        if active is not None and body is not None:
            active.body = body
        if body is None or policies.is_deleting(body):
            return await self._undo(uid, active)
        if policies.managed_elsewhere(body):
            self._drop(uid)
            return None
        if active is not None:
            return await self._run(active)
        if policies.is_finished(body) or uid in self.finished_here:
            return await self._after(body)
        if policies.wants_suspension(body) and policies.is_suspended(body):
            return await self._suspended(body)
        return await self._begin(body)  # one that is to be suspended as well: it is undone first

    def unhosted(self, uid: str) -> Unhosted:
        """What workers of a job that is not hosted are told."""
        if not self.cache.loaded:
            return Unhosted.AWAITED
        body = self.cache.job(uid)
        if body is None:
            return Unhosted.UNKNOWN
        return Unhosted.OVER if uid in self.finished_here or policies.is_finished(body) else Unhosted.AWAITED

    def tick(self) -> None:
        """About once a second: time passes for every machine."""
        for active in list(self.active.values()):
            try:
                active.tick()
            except Exception:  # of a worker that lies, perhaps: one job's trouble is no other's
                log.exception("%s/%s: its coordinator cannot go on", active.namespace, active.name)

    def _drop(self, uid: str) -> None:
        active = self.active.pop(uid, None)
        self.world.server.jobs.pop(uid, None)
        if active is not None:
            self.let_go(active)

    # -- new, or taken over ------------------------------------------------------------------------------------------

    async def _begin(self, body: Object) -> float | None:
        uid = body["metadata"]["uid"]
        try:
            job, message = _checked(body, self.world.pods, self.world.restrictions)
        except InvalidJob as error:
            return await self._refuse(body, error.message)
        generation = policies.next_generation(body)
        live = [p for p in self.cache.pods(uid).values() if is_owned(p, uid) and is_live(p)]
        trust = next((t for p in live if (t := trust_of(p)) is not None and self._is_ours(t, uid)), None)
        strangers = [p for p in live if trust_of(p) != trust or trust is None]
        noted = await self._note_intent(body, generation)
        if noted is None:
            return None
        await self._dismiss(noted, strangers, trust)
        if trust is None:
            trust = await self._new_trust(noted)
        survivors = len(strangers) < len(live)
        active = take_up(self.world, noted, job, message, trust, generation, survivors)
        active.machine.losses.disruptions += len(strangers)
        active.machine.lost += len(strangers)
        self.active[uid] = active
        active.launcher.observe(self.cache.pods(uid))
        begin(active)
        if generation == 0:
            self.world.recorder.tell(
                noted, "Started", f"{counted(message.workers, 'worker')} of {readable(message.memory)} each"
            )
        return await self._run(active)

    def _is_ours(self, trust: Trust, uid: str) -> bool:
        """Whether this operator can be who workers take for their coordinator. Those that were started without TLS can
        be told nothing else, and go on so until the job is over."""
        authority = self.world.authority
        return not trust.authority or (authority is not None and trust.authority == authority.fingerprint(uid))

    async def _dismiss(self, body: Object, strangers: list[Object], trust: Trust | None) -> None:
        """Workers that would not talk to this operator make room for others, rather than knock for ever. trust: of
        those that stay."""
        if not strangers:
            return
        metadata = body["metadata"]
        uid, name, namespace = metadata["uid"], metadata["name"], metadata["namespace"]
        why = "whose seed is lost" if self.world.authority is not None else "which had TLS, as this one has not"
        said = (
            f"{len(strangers)} workers are replaced: they trust the certificates of an earlier operator, {why}; what "
            "they had not written is done again"
        )
        self.world.recorder.tell(body, "AuthorityLost", said, warning=True)
        past = {t.authority for p in strangers if (t := trust_of(p)) is not None}
        for authority in past - ({trust.authority} if trust is not None else set()):
            await self.world.kube.delete(SECRETS, namespace, secret_name(name, uid, authority))
        for pod in strangers:
            found = pod["metadata"]
            await self.world.kube.delete(PODS, namespace, found["name"], uid=found["uid"], grace=KILL_GRACE)

    async def _note_intent(self, body: Object, generation: int) -> Object | None:
        """The generation is written down before it is used. None where the job is gone."""
        before = body.get("status") or {}
        status = {key: value for key, value in before.items() if key != "conditions"}
        status |= {"phase": "Pending", "epoch": generation * EPOCHS}
        status.setdefault("startTime", statuses.stamp(self.world.wall()))
        if generation == 0 or before.get("phase") == "Suspended":
            status["message"] = "Pending: starting workers"
        else:
            status["message"] = "Pending: a new operator takes the job over; its workers keep what they have"
            status["phase"] = before.get("phase", "Pending")
        return await self._write(body, statuses.with_conditions(status, body, None, self.world.wall()))

    async def _new_trust(self, body: Object) -> Trust:
        """Make the job's Secret: its token, and with TLS its certificates. One that is there is of a try before this
        one, and nobody has read it."""
        uid, name, namespace = body["metadata"]["uid"], body["metadata"]["name"], body["metadata"]["namespace"]
        token, authority = secrets.token_urlsafe(32), self.world.authority
        fingerprint, certificates = "", {}
        if authority is not None:
            fingerprint, certificates = authority.fingerprint(uid), authority.for_workers(uid)
        secret = token_secret(name, uid, token, fingerprint, certificates)
        try:
            await self.world.kube.create(SECRETS, namespace, secret)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
            await self.world.kube.delete(SECRETS, namespace, secret["metadata"]["name"])
            await self.world.kube.create(SECRETS, namespace, secret)
        return Trust(digest_of(token).hex(), fingerprint)

    async def _refuse(self, body: Object, message: str) -> float | None:
        """InvalidSpec: nothing is started."""
        status = {key: value for key, value in (body.get("status") or {}).items() if key != "conditions"}
        return await self._conclude(body, status, Outcome(False, "InvalidSpec", message))

    # -- running -----------------------------------------------------------------------------------------------------

    async def _run(self, active: ActiveJob) -> float | None:
        machine, launcher, uid = active.machine, active.launcher, active.uid
        if policies.generation_of(active.body) > machine.generation:
            return self._give_way(active)
        launcher.observe(self.cache.pods(uid))
        active.follow_spec()
        if policies.wants_suspension(active.body) and machine.phase is not Phase.COMMITTING and not machine.over:
            active.suspend()
        active.tick()
        if active.suspending and machine.phase is Phase.FAILED:
            return await self._end_suspended(active)
        if launcher.refused and not machine.over:
            active.cancel("InvalidSpec", launcher.refused, refusal=True)
        if machine.phase is Phase.COMPLETE:
            return await self._complete(active)
        if machine.phase is Phase.FAILED:
            return await self._failed(active)
        trouble: KubeError | None = None
        try:
            await launcher.settle(active.keeps)
        except KubeError as error:
            trouble = error
        await self._tell(active)
        if trouble is not None:
            raise trouble  # tried again, later every time; meanwhile the machine's time goes on
        return EVERY

    def _give_way(self, active: ActiveJob) -> float | None:
        """Another operator has taken the job over, so this one was given up: it touches nothing any more."""
        self._closed = True
        self.superseded(f"another operator has taken {active.namespace}/{active.name} over")
        return None

    async def _tell(self, active: ActiveJob) -> None:
        """Write the status, if it says something new and the last writing is long enough ago."""
        now, wall = self.world.clock(), self.world.wall()
        before = active.body.get("status") or {}
        status = statuses.running(active.machine, now, wall, before, active.loss, active.launcher.hindrance)
        status = statuses.with_conditions(status, active.body, None, wall)
        patch = statuses.patch_of(before, status)
        urgent = statuses.is_urgent(before, patch) and patch != active.last_patch  # what does not take is not repeated
        if not patch or (now - active.status_written < STATUS_EVERY and not urgent):
            return
        active.status_written, active.last_patch = now, patch
        await self._write(active.body, status)

    async def _complete(self, active: ActiveJob) -> float | None:
        """First the status says so, then the workers are told."""
        if not active.outcome_written:
            now, wall = self.world.clock(), self.world.wall()
            before = active.body.get("status") or {}
            status = statuses.running(active.machine, now, wall, before, active.loss, "")
            message = status["message"].partition(": ")[2] or "complete"
            await self._conclude(active.body, status, Outcome(True, "Completed", message))
            active.outcome_written = True
        return await self._wind_down(active)

    async def _failed(self, active: ActiveJob) -> float | None:
        """First the workers go, then the status says so: nothing of a failed job writes any more."""
        left = await self._wind_down(active)
        if left is not None and not active.outcome_written:
            await self._tell(active)
            return left
        now, wall = self.world.clock(), self.world.wall()
        cause = active.machine.cause
        assert cause is not None
        status = statuses.running(active.machine, now, wall, active.body.get("status") or {}, active.loss, "")
        status.pop("phase")
        await self._conclude(active.body, status, Outcome(False, cause.reason, cause.message))
        active.outcome_written = True
        self._drop(active.uid)
        return 0.0

    async def _wind_down(self, active: ActiveJob) -> float | None:
        """Tell the workers that it is over and see them go. None when they are gone."""
        active.hosted.release()
        launcher = active.launcher
        launcher.finish()
        launcher.observe(self.cache.pods(active.uid))
        await launcher.settle(active.keeps)
        over = self.world.clock() - (active.over_since or self.world.clock())
        if not launcher.gone and over < STOP_WITHIN:
            return EVERY
        secret = secret_name(active.name, active.uid, launcher.trust.authority)
        await self.world.kube.delete(SECRETS, active.namespace, secret)
        if self.world.pods.isolated and launcher.gone:  # not of those on a lost node, which may come back
            await isolation.release(self.world.kube, active.namespace, active.name, active.uid)
        if active.machine.phase is Phase.COMPLETE:
            self._drop(active.uid)
        return None if active.machine.phase is Phase.FAILED else 0.0

    async def _conclude(self, body: Object, status: Object, outcome: Outcome) -> float | None:
        """Write down how it ended. From here on nothing is started for this job, ever."""
        wall = self.world.wall()
        uid = body["metadata"]["uid"]
        status = statuses.ended(status, outcome, wall)
        written = await self._write(body, statuses.with_conditions(status, body, outcome, wall))
        self.finished_here[uid] = "Complete" if outcome.complete else "Failed"
        if written is not None:
            reason = "Completed" if outcome.complete else outcome.reason
            self.world.recorder.tell(body, reason, outcome.message, warning=not outcome.complete)
        return 0.0

    async def _write(self, body: Object, status: Object) -> Object | None:
        """The one place that writes a status. Returns the resource as it then is; None where it is gone."""
        metadata = body["metadata"]
        patch = statuses.patch_of(body.get("status") or {}, status)
        if not patch:
            return body
        # Onto what is known of it and nothing else: an operator that was given up cannot overwrite its successor.
        known = {key: metadata[key] for key in ("uid", "resourceVersion") if key in metadata}
        whole = {"metadata": known, "status": patch}
        written = await self.world.kube.patch(JOBS, metadata["namespace"], metadata["name"], whole, status=True)
        if written is not None:
            self.cache.put_job(written)
            active = self.active.get(metadata["uid"])
            if active is not None:
                active.body = self.cache.job(metadata["uid"]) or written
        return written

    # -- suspended ---------------------------------------------------------------------------------------------------

    async def _end_suspended(self, active: ActiveJob) -> float | None:
        """Its machine has had what was written removed, as for a job that failed, so that nothing is left behind should
        it never be resumed. When its workers are gone it is suspended."""
        if await self._wind_down(active) is not None:
            await self._tell(active)
            return EVERY
        said = "its workers are stopped, and what they had written is removed"
        if active.machine.left_behind and active.machine.cause is not None:
            said = active.machine.cause.message
        self._drop(active.uid)
        written = await self._note_suspension(active.body, said)
        if written is not None:
            self.world.recorder.tell(written, "Suspended", said, warning=active.machine.left_behind)
        return 0.0

    async def _suspended(self, body: Object) -> float | None:
        """It is to stay as it is."""
        if policies.condition(body, "Suspended") != "True":
            await self._note_suspension(body, "it has not been started")
        return None

    async def _note_suspension(self, body: Object, said: str) -> Object | None:
        """It begins anew when it is resumed: of what it did only what went wrong stays told."""
        before = body.get("status") or {}
        status = {key: before[key] for key in ("epoch", "failures", "disruptions", "lastFailure") if key in before}
        if "workers" in before:
            status["workers"] = {**before["workers"], "ready": 0}
        status |= {"phase": "Suspended", "message": f"Suspended: {said}; set suspend: false to start it"}
        return await self._write(body, statuses.with_conditions(status, body, None, self.world.wall(), suspended=True))

    # -- over --------------------------------------------------------------------------------------------------------

    async def _after(self, body: Object) -> float | None:
        """podRetention and ttlSecondsAfterFinished."""
        metadata = body["metadata"]
        uid = metadata["uid"]
        again: float | None = None
        wall = self.world.wall()
        finished = policies.time_of((body.get("status") or {}).get("completionTime")) or wall
        for pod in self.cache.pods(uid).values():
            if not is_owned(pod, uid) or "deletionTimestamp" in pod["metadata"]:
                continue
            if is_over(pod):
                if not policies.keeps_pod(body, pod, failed=policies.condition(body, "Failed") == "True"):
                    await self._delete_pod(pod)
            elif (wall - finished).total_seconds() >= EXIT_PATIENCE:
                await self._delete_pod(pod)
            else:
                again = EXIT_PATIENCE
        due = policies.removal_due(body, wall)
        if due is not None and due <= 0:
            await self.world.kube.delete(
                JOBS, metadata["namespace"], metadata["name"], uid=uid, propagation="Background"
            )
            return 30.0
        return min((each for each in (again, due) if each is not None), default=None)

    async def _delete_pod(self, pod: Object) -> None:
        metadata = pod["metadata"]
        await self.world.kube.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    # -- deleted -----------------------------------------------------------------------------------------------------

    async def _undo(self, uid: str, active: ActiveJob | None) -> float | None:
        """The resource goes, and its pods with it. A job that had not finished has what it wrote removed, by its
        workers in the grace period that they are given; one that is committing or complete keeps its output."""
        if self.cache.job(uid) is None:
            self.finished_here.pop(uid, None)
        if active is None:
            self.world.recorder.forget(uid)
            return None
        now = self.world.clock()
        if active.orphaned is None:
            active.orphaned = now
            active.launcher.finish()
            active.hosted.may_stop = True
            active.cancel("Deleted", "the job was deleted")
        active.tick()
        launcher = active.launcher
        launcher.observe(self.cache.pods(uid))
        waited = now - active.orphaned
        over = active.over_since is not None and now - active.over_since > 5.0
        if over or waited > UNDO_WITHIN or (launcher.gone and waited > 2.0):
            log.info("job %s/%s was deleted; %s", active.namespace, active.name, active.machine.phase)
            self._drop(uid)
            self.world.recorder.forget(uid)
            return None
        return EVERY / 2


def _checked(body: Object, settings: PodSettings, allowed: Restrictions) -> tuple[ShuffleJob, Job]:
    """All that can be known to be wrong before anything is started. Raises InvalidJob."""
    job = check_job({key: value for key, value in body.items() if key != "status"})
    problems = [*credential_problems(job), *restriction_problems(job, allowed)]
    if problems:
        raise InvalidJob(problems, job.metadata.name)
    message = message_of(job, body["metadata"]["uid"])
    worker_pod(job, message.uid, 0, 0, message.memory, Trust(), settings)
    return job, message
