"""After a job's end: its pods by podRetention, its Secret and its NetworkPolicy at once, itself by
ttlSecondsAfterFinished.

`status.cleaningUp` is set with the outcome and taken away when everything is gone, so that an operator which starts in
between knows what is left to do, and asks nothing of all the jobs that ended long ago.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from shuffle_operator.handlers import accepted, policies
from shuffle_operator.handlers.active import ActiveJob, World
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.writer import StatusWriter
from shuffle_operator.kube.api import JOBS, PODS, SECRETS, KubeError
from shuffle_operator.launchers import isolation
from shuffle_operator.launchers.kubernetes import EXIT_PATIENCE
from shuffle_operator.launchers.pod import is_owned, secret_name, trust_of
from shuffle_operator.launchers.pod_state import is_over

Object = dict[str, Any]

STOP_WITHIN = 90.0
"""Seconds after the end of a job for its pods to go; then it counts as gone what does not answer (a lost node)."""


class Cleaner:
    def __init__(self, world: World, cache: Cache, writer: StatusWriter) -> None:
        self.world = world
        self._cache = cache
        self._writer = writer
        self.authorities: dict[str, str] = {}
        """By uid: of jobs that ended a moment ago, whose Secrets are named by it."""

    async def after(self, body: Object) -> float | None:
        """One pass over a job that is over. Returns seconds until the next."""
        metadata = body["metadata"]
        wall = self.world.wall()
        finished = policies.time_of((body.get("status") or {}).get("completionTime")) or wall
        ago = (wall - finished).total_seconds()
        await self._see(body)
        body = self._cache.job(metadata["uid"]) or body
        again = [await self._pods(body, ago), await self.rest(body, ago), policies.removal_due(body, wall)]
        if again[-1] is not None and again[-1] <= 0:
            await self.world.kube.delete(
                JOBS, metadata["namespace"], metadata["name"], uid=metadata["uid"], propagation="Background"
            )
            return 30.0
        return min((each for each in again if each is not None), default=None)

    async def _see(self, body: Object) -> None:
        """Somebody changed a job that is over: report that this has no effect."""
        status, generation = body.get("status") or {}, int(body["metadata"].get("generation") or 0)
        if generation <= int(status.get("observedGeneration") or generation):
            return
        spec = body.get("spec") or {}
        if accepted.digest(spec) != status.get("specDigest") or spec.get("suspend"):
            said = "the job is over, so nothing comes of the change; delete the job and create it again"
            self.world.recorder.tell(body, accepted.IGNORED, said, warning=True)
        await self._writer.write(body, {**status, "observedGeneration": generation})

    async def _pods(self, body: Object, ago: float) -> float | None:
        """ago: seconds since it ended. Workers are left a moment to end by themselves, which keeps their logs."""
        again: float | None = None
        failed = policies.condition(body, "Failed") == "True"
        for pod in self._mine(body):
            if "deletionTimestamp" in pod["metadata"]:
                continue
            if is_over(pod):
                if not policies.keeps_pod(body, pod, failed=failed):
                    await self._delete(pod)
            elif ago >= EXIT_PATIENCE:
                await self._delete(pod)
            else:
                again = min(EXIT_PATIENCE - ago, again or EXIT_PATIENCE)
        return again

    async def rest(self, body: Object, ago: float) -> float | None:
        """What only its pods needed. ago: seconds since it ended."""
        if not (body.get("status") or {}).get("cleaningUp"):
            return None
        pods = self._mine(body)
        gone = all(is_over(pod) for pod in pods)
        if not gone and ago < STOP_WITHIN:
            return max(1.0, STOP_WITHIN - ago)  # or when a pod says so
        await self.release(body, self._authorities(body, pods), gone=gone)
        status = {key: value for key, value in body["status"].items() if key != "cleaningUp"}
        await self._writer.write(body, status)
        self.authorities.pop(body["metadata"]["uid"], None)
        return None

    def _authorities(self, body: Object, pods: Iterable[Object]) -> set[str]:
        """By which the job's Secret may be named: as its pods say; where there are none, by this operator's authority,
        or without one, as before TLS was turned on."""
        known = self.authorities.get(body["metadata"]["uid"])
        if known is not None:
            return {known}
        found = {trust.authority for pod in pods if (trust := trust_of(pod)) is not None}
        if found:
            return found
        authority = self.world.authority
        return {""} if authority is None else {"", authority.fingerprint(body["metadata"]["uid"])}

    async def release(self, body: Object, authorities: Iterable[str], *, gone: bool) -> None:
        """Its Secret and its NetworkPolicy. gone: no pod of it is left; a policy stays for those on a lost node, which
        may come back. What Kubernetes refuses to remove goes with the resource, and keeps no job from its end. Raises
        KubeError where trying again may help."""
        metadata = body["metadata"]
        uid, name, namespace = metadata["uid"], metadata["name"], metadata["namespace"]
        for authority in sorted(authorities):
            try:
                await self.world.kube.delete(SECRETS, namespace, secret_name(name, uid, authority))
            except KubeError as error:
                if error.may_mend:
                    raise
                said = f"its Secret stays until the job is removed: {error.message}"
                self.world.recorder.tell(body, "SecretStays", said, warning=True)
        if self.world.pods.isolated and gone:
            await isolation.release(self.world.kube, namespace, name, uid)

    async def settle(self, active: ActiveJob, keep: Callable[[Object], bool]) -> None:
        """Delete the pods of a job that is over. Where they cannot be deleted an event says so, and their time to go
        runs all the same. Raises KubeError where the API server does not answer."""
        try:
            await active.launcher.settle(keep)
        except KubeError as error:
            if error.unanswered:
                raise
            said = f"its pods cannot be deleted: {error.message}"
            self.world.recorder.tell(active.body, "PodsStay", said, warning=True)

    def _mine(self, body: Object) -> list[Object]:
        uid = body["metadata"]["uid"]
        return [pod for pod in self._cache.pods(uid).values() if is_owned(pod, uid)]

    async def _delete(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if not await self.world.kube.delete(PODS, metadata["namespace"], metadata["name"], uid=metadata["uid"]):
            self._cache.drop_pod(pod)
