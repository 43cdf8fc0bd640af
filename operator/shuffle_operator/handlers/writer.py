"""The one place that writes a status, and the only one that says how a job ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shuffle_operator.handlers import statuses
from shuffle_operator.handlers.active import ActiveJob, World
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.statuses import Outcome
from shuffle_operator.kube.api import JOBS
from shuffle_protocol.messages import Phase

Object = dict[str, Any]


class StatusWriter:
    """active: the jobs that run, by uid; they keep the resource as it was last written."""

    def __init__(self, world: World, cache: Cache, active: dict[str, ActiveJob]) -> None:
        self.world = world
        self._cache = cache
        self._active = active
        self.finished_here: dict[str, str] = {}
        """Jobs that ended under this operator, with their phase: never started again, whatever a cache says."""
        self.concluded: Callable[[Object, Outcome], None] = lambda *_: None
        """Called once for each job whose end was written down."""

    async def write(self, body: Object, status: Object) -> Object | None:
        """Returns the resource as it then is; None where it is gone. Raises KubeError."""
        metadata = body["metadata"]
        before = body.get("status") or {}
        if "observedGeneration" not in before:
            before = {}  # what the API server fills in (`api.schema.UNSEEN`) is in no store
        patch = statuses.patch_of(before, status)
        if not patch:
            return body
        # Onto what is known of it and nothing else: an operator that was given up cannot overwrite its successor.
        known = {key: metadata[key] for key in ("uid", "resourceVersion") if key in metadata}
        whole = {"metadata": known, "status": patch}
        written = await self.world.kube.patch(JOBS, metadata["namespace"], metadata["name"], whole, status=True)
        if written is not None:
            self._cache.put_job(written)
            active = self._active.get(metadata["uid"])
            if active is not None:
                active.see(self._cache.job(metadata["uid"]) or written)
        return written

    async def conclude(self, body: Object, status: Object, outcome: Outcome, *, leaves: bool) -> None:
        """Write down how it ended. From here on nothing is started for this job, ever. leaves: pods, its Secret or its
        NetworkPolicy may still be there, and are to be removed (`cleaning.py`)."""
        wall = self.world.wall()
        uid = body["metadata"]["uid"]
        status = statuses.ended(status, outcome, wall, leaves=leaves)
        written = await self.write(body, statuses.with_conditions(status, body, outcome, wall))
        if uid not in self.finished_here:
            self.concluded(body, outcome)
        self.finished_here[uid] = "Complete" if outcome.complete else "Failed"
        if written is not None:
            reason = "Completed" if outcome.complete else outcome.reason
            self.world.recorder.tell(body, reason, outcome.message, warning=not outcome.complete)

    async def say(self, body: Object, message: str) -> Object | None:
        """Of a job that is not carried out yet: why not, and nothing else is changed."""
        before = body.get("status") or {}
        phase = str(before.get("phase") or Phase.PENDING)
        phase = str(Phase.PENDING) if phase == Phase.SUSPENDED else phase
        status = {key: value for key, value in before.items() if key != "conditions"}
        status |= {"phase": phase, "message": f"{phase}: {message}"[: statuses.LONGEST_MESSAGE]}
        return await self.write(body, statuses.with_conditions(status, body, None, self.world.wall()))
