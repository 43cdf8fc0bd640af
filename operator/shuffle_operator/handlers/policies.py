"""One function a policy: what a job's spec and status say should become of it. Pure; `reconcile.py` acts on them.

They read the resource as it is, because a job must be left alone, deleted or failed even where its spec cannot be
checked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shuffle_operator.api.spec import GROUP
from shuffle_operator.coordinator.rebuild import EPOCHS
from shuffle_operator.coordinator.settings import Settings
from shuffle_protocol.messages import Phase

Object = dict[str, Any]

EVERY = 1.0
"""Seconds between passes over a running job for which nothing happens."""
CONTROLLER = f"{GROUP}/operator"
"""What `managedBy` is where this operator is meant, if it is set at all."""


def managed_elsewhere(job: Object) -> bool:
    """managedBy names someone else: this operator does not touch the job, nor its status."""
    return _spec(job).get("managedBy") not in (None, CONTROLLER)


def condition(job: Object, kind: str) -> str:
    """A condition's status, "" where there is none."""
    conditions = _status(job).get("conditions") or []
    return next((str(c.get("status", "")) for c in conditions if c.get("type") == kind), "")


def is_finished(job: Object) -> bool:
    """Complete or Failed, for ever: whatever else happens, nothing is started for it again."""
    return "True" in (condition(job, "Complete"), condition(job, "Failed"))


def is_deleting(job: Object) -> bool:
    return "deletionTimestamp" in job["metadata"]


def wants_suspension(job: Object) -> bool:
    return bool(_spec(job).get("suspend"))


def was_started(job: Object) -> bool:
    """An earlier coordinator has had the job, so workers of it may be there."""
    return "epoch" in _status(job)


def is_suspended(job: Object) -> bool:
    """Only the job's resource is left: the job was stopped and undone, or never started."""
    return not was_started(job) or _status(job).get("phase") == Phase.SUSPENDED


def generation_of(job: Object) -> int:
    """Of the coordinator that took the job up last; -1: none has."""
    return int(_status(job)["epoch"]) // EPOCHS if was_started(job) else -1


def next_generation(job: Object) -> int:
    """Of the coordinator that takes the job up now: above every one before it."""
    return generation_of(job) + 1


def settings_of(job: Object, base: Settings) -> Settings:
    """The machine's limits, as the job has them."""
    from dataclasses import replace

    spec = _spec(job)
    deadline = spec.get("activeDeadlineSeconds")
    return replace(
        base,
        backoff_limit=int(spec.get("backoffLimit", base.backoff_limit)),
        disruption_limit=int(spec.get("disruptionLimit", base.disruption_limit)),
        startup_deadline=float(spec.get("startupDeadlineSeconds", base.startup_deadline)),
        active_deadline=float(deadline) if deadline is not None else None,
    )


def keeps_pod(job: Object, pod: Object, *, failed: bool) -> bool:
    """podRetention: whether a pod that ended stays for its logs. OnFailure: its own, or that of the job; but not of a
    worker that ended, however it did, after the job was complete."""
    retention = _spec(job).get("podRetention", "OnFailure")
    if retention == "OnFailure":
        return failed or (pod.get("status", {}).get("phase") == "Failed" and not _ended_after(pod, job))
    return bool(retention == "Always")


def _ended_after(pod: Object, job: Object) -> bool:
    """The job was complete when the pod's worker ended."""
    states = [each.get("state", {}).get("terminated") or {} for each in pod["status"].get("containerStatuses") or []]
    ended = [at for state in states if (at := time_of(state.get("finishedAt"))) is not None]
    complete = time_of(_status(job).get("completionTime"))
    return complete is not None and bool(ended) and max(ended) >= complete


def keeps_every_pod(job: Object) -> bool:
    return bool(_spec(job).get("podRetention") == "Always")


def removal_due(job: Object, now: datetime) -> float | None:
    """ttlSecondsAfterFinished: seconds until the resource is to be removed (0: now); None: never."""
    ttl = _spec(job).get("ttlSecondsAfterFinished")
    finished = time_of(_status(job).get("completionTime"))
    if ttl is None or finished is None:
        return None
    return max(0.0, float(ttl) - (now - finished).total_seconds())


def started_at(job: Object) -> datetime | None:
    return time_of(_status(job).get("startTime"))


def created_at(job: Object) -> datetime | None:
    return time_of(job["metadata"].get("creationTimestamp"))


def time_of(text: object) -> datetime | None:
    """A time as Kubernetes writes it."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _spec(job: Object) -> Object:
    spec: Object = job.get("spec") or {}
    return spec


def _status(job: Object) -> Object:
    status: Object = job.get("status") or {}
    return status
