"""One pass over one job: from what is known of it to what is done next. Level-triggered; each pass can be the first.

    gone or deleted      have what was written removed while the pods are still there; let go of it
    managed elsewhere    let go of it
    finished             its pods, its Secret, at last itself; nothing is started, ever         cleaning.py
    to be suspended      what it wrote is removed, pods go; the status says so
    new, or taken over   checked; generation noted; then token, machine, network, pods          beginning.py
    running              spec followed, pods seen to, status written
    beyond hope          its machine raises, or has outlived its deadline: ended without it     giving_up.py

Order matters where the operator may die in between: what is intended is written before it is done, and workers learn
that the job is over only when its status says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from shuffle_operator.handlers import policies, statuses
from shuffle_operator.handlers.active import ActiveJob, World
from shuffle_operator.handlers.admission import Admission
from shuffle_operator.handlers.beginning import Beginner
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.cleaning import STOP_WITHIN, Cleaner
from shuffle_operator.handlers.giving_up import GivingUp
from shuffle_operator.handlers.policies import EVERY
from shuffle_operator.handlers.statuses import Outcome
from shuffle_operator.handlers.writer import StatusWriter
from shuffle_operator.kube.api import KubeError
from shuffle_operator.launchers.pod import is_owned
from shuffle_operator.server.http import Unhosted
from shuffle_protocol.messages import Phase

log = logging.getLogger("shuffle.operator")

Object = dict[str, Any]

STATUS_EVERY = 2.0
"""Seconds between writes of a status, but for what people wait for (`statuses.is_urgent`)."""
UNDO_WITHIN = 60.0
"""Seconds that a deleted job is kept in mind so that its workers can remove what they wrote."""


class Reconciler:
    """`active`: the jobs that run, by uid."""

    def __init__(self, world: World, cache: Cache) -> None:
        self.world = world
        self.cache = cache
        self.active: dict[str, ActiveJob] = {}
        self.writer = StatusWriter(world, cache, self.active)
        self.finished_here = self.writer.finished_here
        self.beginner = Beginner(world, cache, self.writer, self.active)
        self.admission = Admission(world, self.active, self.beginner.under_way)
        self.cleaner = Cleaner(world, cache, self.writer)
        self.giving_up = GivingUp(
            world, cache, self.writer, self.cleaner, self.beginner, self.active, lambda active: self.let_go(active)
        )
        self.let_go: Callable[[ActiveJob], None] = lambda _: None
        """Called once for each job that ran and does no more, and for one whose machine is replaced."""
        self.superseded: Callable[[str], None] = lambda _: None
        """Called with a sentence when another operator turns out to be at work in this one's place."""
        self._closed = False
        world.pod_made, world.pod_absent = cache.put_pod, cache.drop_pod
        world.line.wake = world.wake

    async def reconcile(self, uid: str) -> float | None:
        if self._closed:
            return None
        body, active = self.cache.job(uid), self.active.get(uid)
        if active is not None and body is not None:
            active.see(body)
            body = active.body
        if body is None or policies.is_deleting(body):
            return await self._undo(uid, active)
        if policies.managed_elsewhere(body):
            self._drop(uid)
            return None
        if active is not None:
            return await self._guarded(active)
        if policies.is_finished(body) or uid in self.finished_here:
            if self.admission.knows(uid):  # it was refused, and the answer to that write was lost
                self.admission.forget(uid)
            return await self.cleaner.after(body)
        if policies.wants_suspension(body) and self._has_nothing(body):
            return await self._suspended(body)
        return await self._begin(body)  # a job that is to be suspended, too: it is undone first

    async def _begin(self, body: Object) -> float | None:
        uid = body["metadata"]["uid"]
        if self._has_nothing(body):  # else it was begun before, and is taken up whatever waits
            why, again = self.admission.obstacle(body)
            if why:
                await self.writer.say(body, why)
                return again
        left = await self.beginner.begin(body)
        active = self.active.get(uid)
        if active is None:
            if uid not in self.beginner.under_way:
                self.admission.forget(uid)
            return left
        return await self._guarded(active)

    def unhosted(self, uid: str) -> Unhosted:
        """The answer to workers of a job that is not hosted."""
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
            except Exception as error:  # a worker's false report, perhaps: other jobs must not suffer
                active.defect(error)

    def _drop(self, uid: str) -> None:
        active = self.active.pop(uid, None)
        self.world.server.jobs.pop(uid, None)
        self.admission.forget(uid)
        if active is not None:
            active.launcher.finish()
            self.let_go(active)

    def _has_nothing(self, body: Object) -> bool:
        """Nothing of it is left but its resource: it was undone, or never had a pod."""
        uid = body["metadata"]["uid"]
        if policies.is_suspended(body):
            return True
        return policies.started_at(body) is None and not any(is_owned(p, uid) for p in self.cache.pods(uid).values())

    # -- running -----------------------------------------------------------------------------------------------------

    async def _guarded(self, active: ActiveJob) -> float | None:
        """A pass over a running job. What its machine raises is counted; too many exceptions end the machine."""
        if policies.generation_of(active.body) > active.state.generation:
            return self._give_way(active)
        try:
            left = await self.giving_up.step(active)
            if left is None:
                return await self._run(active)
        except KubeError:
            raise
        except Exception as error:
            active.defect(error)
            return EVERY
        if active.outcome_written:
            self._drop(active.uid)
        return left

    async def _run(self, active: ActiveJob) -> float | None:
        state, launcher, uid = active.state, active.launcher, active.uid
        launcher.observe(self.cache.pods(uid))
        active.follow_spec()
        if policies.wants_suspension(active.body) and state.phase is not Phase.COMMITTING and not state.over:
            active.suspend()
        active.tick()
        if active.suspending and state.phase is Phase.FAILED:
            return await self._end_suspended(active)
        if launcher.refused and not state.over:
            active.cancel("InvalidSpec", launcher.refused, refusal=True)
        if state.phase is Phase.COMPLETE:
            return await self._complete(active)
        if state.phase is Phase.FAILED:
            return await self._failed(active)
        trouble: KubeError | None = None
        try:
            await launcher.settle(active.keeps)
        except KubeError as error:
            trouble = error
        await self._tell(active)
        if trouble is not None:
            raise trouble  # tried again, later every time; meanwhile the machine's time goes on
        return 0.0 if launcher.more else EVERY

    def _give_way(self, active: ActiveJob) -> float | None:
        """Another operator has taken the job over: this one touches nothing any more."""
        self._closed = True
        self.superseded(f"another operator has taken {active.namespace}/{active.name} over")
        return None

    async def _tell(self, active: ActiveJob) -> None:
        """Write the status, if it says something new and the last writing is long enough ago."""
        now, wall = self.world.clock(), self.world.wall()
        before = active.body.get("status") or {}
        launcher = active.launcher
        status = statuses.running(
            active.state, now, wall, before, active.loss, active.waiting_reason, begun=launcher.had_pods
        )
        status = {key: value for key, value in status.items() if key != "acceptedSpec"}
        if active.note is not None:
            status["acceptedSpec"] = active.note
        status = statuses.with_conditions(status, active.body, None, wall)
        patch = statuses.patch_of(before, status)
        urgent = statuses.is_urgent(before, patch) and patch != active.last_patch  # what does not take is not repeated
        if not patch or (now - active.status_written < STATUS_EVERY and not urgent):
            return
        active.status_written, active.last_patch = now, patch
        await self.writer.write(active.body, status)

    async def _complete(self, active: ActiveJob) -> float | None:
        """Write the status first; then the workers learn it."""
        if not active.outcome_written:
            now, wall = self.world.clock(), self.world.wall()
            before = active.body.get("status") or {}
            status = statuses.running(active.state, now, wall, before, active.loss, "")
            message = status["message"].partition(": ")[2] or "complete"
            await self.writer.conclude(active.body, status, Outcome(True, "Completed", message), leaves=True)
            active.outcome_written = True
        if not await self._wind_down(active):
            return EVERY
        self.cleaner.authorities[active.uid] = active.launcher.trust.authority
        await self.cleaner.rest(active.body, self.world.clock() - (active.over_since or 0.0))
        self._drop(active.uid)
        return 0.0

    async def _failed(self, active: ActiveJob) -> float | None:
        """Stop the workers first, then write the status: nothing of a failed job writes any more."""
        if not await self._wind_down(active):
            await self._tell(active)
            return EVERY
        await self._release(active)
        now, wall = self.world.clock(), self.world.wall()
        cause = active.state.cause
        assert cause is not None
        before = active.body.get("status") or {}
        status = statuses.running(active.state, now, wall, before, active.loss, "", begun=active.launcher.had_pods)
        status.pop("phase")
        await self.writer.conclude(active.body, status, Outcome(False, cause.reason, cause.message), leaves=False)
        active.outcome_written = True
        self._drop(active.uid)
        return 0.0

    async def _wind_down(self, active: ActiveJob) -> bool:
        """Stop the workers. True when they are gone, or do not answer."""
        active.hosted.release()
        launcher = active.launcher
        launcher.finish()
        launcher.observe(self.cache.pods(active.uid))
        await self.cleaner.settle(active, active.keeps)
        over = self.world.clock() - (active.over_since or self.world.clock())
        return launcher.gone or over >= STOP_WITHIN

    async def _release(self, active: ActiveJob) -> None:
        launcher = active.launcher
        await self.cleaner.release(active.body, {launcher.trust.authority}, gone=launcher.gone)

    # -- suspended ---------------------------------------------------------------------------------------------------

    async def _end_suspended(self, active: ActiveJob) -> float | None:
        """Its machine has had what was written removed, as for a job that failed, so that nothing is left behind should
        it never be resumed. When its workers are gone it is suspended."""
        if not await self._wind_down(active):
            await self._tell(active)
            return EVERY
        await self._release(active)
        said = "its workers are stopped, and what they had written is removed"
        if active.state.left_behind and active.state.cause is not None:
            said = active.state.cause.message
        self._drop(active.uid)
        written = await self._note_suspension(active.body, said)
        if written is not None:
            self.world.recorder.tell(written, "Suspended", said, warning=active.state.left_behind)
        return 0.0

    async def _suspended(self, body: Object) -> float | None:
        """The job is to stay as it is."""
        if policies.condition(body, "Suspended") != "True":
            await self._note_suspension(body, "it has not been started")
        self.admission.forget(body["metadata"]["uid"])
        return None

    async def _note_suspension(self, body: Object, said: str) -> Object | None:
        """It begins anew when it is resumed: of what it did, the status keeps only what went wrong."""
        before = body.get("status") or {}
        status = {key: before[key] for key in ("epoch", "failures", "disruptions", "lastFailure") if key in before}
        if "workers" in before:
            status["workers"] = {**before["workers"], "ready": 0}
        status |= {"phase": str(Phase.SUSPENDED), "message": f"Suspended: {said}; set suspend: false to start it"}
        return await self.writer.write(
            body, statuses.with_conditions(status, body, None, self.world.wall(), suspended=True)
        )

    # -- deleted -----------------------------------------------------------------------------------------------------

    async def _undo(self, uid: str, active: ActiveJob | None) -> float | None:
        """The resource goes, and its pods with it. A job that had not finished has what it wrote removed, by its
        workers in the grace period that they are given; one that is committing or complete keeps its output."""
        if self.cache.job(uid) is None:
            self.finished_here.pop(uid, None)
            self.cleaner.authorities.pop(uid, None)
        if active is None:
            self.admission.forget(uid)  # at once, however long a finalizer keeps its resource
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
            log.info("job %s/%s was deleted; %s", active.namespace, active.name, active.state.phase)
            self._drop(uid)
            self.world.recorder.forget(uid)
            return None
        return EVERY / 2
